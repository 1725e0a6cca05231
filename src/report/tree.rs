//! The closure as a tree, as text.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};

use crate::closure::{Closure, Edge, Request};
use crate::elf::DependencyKind;
use crate::loader::{FoundVia, Tried};
use crate::needs::{NeedRule, Sign};
use crate::source::Source;
use crate::vfs::{one_line, safe};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const MISSING: Style = AnsiColor::Red.on_default().bold();

/// Maximum number of levels that are drawn; deeper objects are counted.
const MAX_DEPTH: usize = 100;

/// Draws which object needs which, each object once; with `verbose`, also everything that
/// was tried to find them.
///
/// # Errors
/// When `out` fails.
pub fn tree(
    source: &Source,
    closure: &Closure,
    verbose: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let program = closure.program();
    let shown = |index: usize| source.shown(&closure.map.objects()[index].opened_as);
    write!(
        out,
        "{BOLD}{}{BOLD:#} {DIM}({}, {}{}){DIM:#}",
        safe(shown(0).display()),
        program.object.machine_name(),
        program.object.linkage().as_str(),
        closure
            .rules
            .as_ref()
            .map_or(String::new(), |rules| format!(", {}", rules.libc())),
    )?;
    writeln!(out)?;
    if verbose {
        facts(closure, out)?;
    }
    let mut drawing = Drawing::new(source, closure, verbose);
    if let Some(interpreter) = interpreter_only(closure) {
        drawing.line("", drawing.branches[0].is_empty(), out)?;
        writeln!(
            out,
            "{} {DIM}[interpreter]{DIM:#}",
            safe(shown(interpreter).display())
        )?;
    }
    drawing.draw(out)?;
    if drawing.deeper > 0 {
        writeln!(
            out,
            "{DIM}({} deeper than {MAX_DEPTH} levels; --list shows all){DIM:#}",
            drawing.deeper
        )?;
    }
    Ok(())
}

/// What the program needs besides what it loads, one per line, as in the summary of a pack.
///
/// # Errors
/// When `out` fails.
pub fn tree_needs(
    source: &Source,
    closure: &Closure,
    needs: &[(&NeedRule, Sign)],
    out: &mut dyn Write,
) -> io::Result<()> {
    for (rule, sign) in needs {
        let object = source.shown(&closure.map.objects()[sign.object].opened_as);
        writeln!(
            out,
            "{DIM}needs{DIM:#} {}: {} {}",
            rule.name,
            safe(object.display()),
            one_line(&sign.text)
        )?;
    }
    Ok(())
}

/// The paths under which the loader opens the objects, one per line, without the program.
///
/// # Errors
/// When `out` fails.
pub fn list(source: &Source, closure: &Closure, out: &mut dyn Write) -> io::Result<()> {
    for index in closure.listed() {
        let object = &closure.map.objects()[index];
        writeln!(out, "{}", source.shown(&object.opened_as).display())?;
    }
    Ok(())
}

/// What the program's ELF file specifies for the loader.
fn facts(closure: &Closure, out: &mut dyn Write) -> io::Result<()> {
    let object = &closure.program().object;
    let dynamic = object.dynamic.as_ref();
    let texts = [
        ("interpreter", object.interpreter.as_ref()),
        ("soname", object.soname()),
        ("rpath", dynamic.and_then(|d| d.rpath.as_ref())),
        ("runpath", dynamic.and_then(|d| d.runpath.as_ref())),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            writeln!(out, "  {DIM}{name}: {}{DIM:#}", safe(text.display()))?;
        }
    }
    let flags = object.flags();
    if !flags.is_empty() {
        writeln!(out, "  {DIM}flags: {}{DIM:#}", flags.join(", "))?;
    }
    Ok(())
}

/// The interpreter, if no object needs it by name: otherwise it is in the tree.
fn interpreter_only(closure: &Closure) -> Option<usize> {
    let objects = closure.map.objects();
    let index = objects
        .iter()
        .position(|object| object.via == FoundVia::Interpreter)?;
    let is_needed = closure.edges.iter().any(|edge| edge.target == Some(index));
    (!is_needed).then_some(index)
}

struct Drawing<'a> {
    source: &'a Source,
    closure: &'a Closure,
    verbose: bool,
    /// The requests of each object.
    branches: Vec<Vec<&'a Edge>>,
    drawn: HashSet<usize>,
    deeper: usize,
}

impl<'a> Drawing<'a> {
    fn new(source: &'a Source, closure: &'a Closure, verbose: bool) -> Self {
        let mut branches = vec![Vec::new(); closure.map.objects().len()];
        for edge in &closure.edges {
            if edge.target.is_some() || !edge.request.is_optional() {
                branches[edge.requester].push(edge);
            }
        }
        Self {
            source,
            closure,
            verbose,
            branches,
            drawn: HashSet::from([0]),
            deeper: 0,
        }
    }

    /// Depth first with an explicit stack: a chain of libraries may be long.
    fn draw(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let branches = std::mem::take(&mut self.branches);
        let mut stack = vec![(String::new(), branches[0].iter())];
        while let Some((indent, edges)) = stack.last_mut() {
            let Some(edge) = edges.next() else {
                stack.pop();
                continue;
            };
            let last = edges.len() == 0;
            self.line(indent, last, out)?;
            let next = format!("{indent}{}", if last { "    " } else { "│   " });
            let Some(target) = self.node(edge, &next, out)? else {
                continue;
            };
            if stack.len() < MAX_DEPTH {
                stack.push((next, branches[target].iter()));
            } else {
                self.deeper += branches[target].len();
            }
        }
        Ok(())
    }

    fn line(&self, indent: &str, last: bool, out: &mut dyn Write) -> io::Result<()> {
        let branch = if last { "└── " } else { "├── " };
        write!(out, "{DIM}{indent}{branch}{DIM:#}")
    }

    /// Draws the target of `edge`; returns its index if its own branches are to be drawn.
    fn node(
        &mut self,
        edge: &Edge,
        indent: &str,
        out: &mut dyn Write,
    ) -> io::Result<Option<usize>> {
        let objects = self.closure.map.objects();
        let name = one_line(&edge.name.display().to_string());
        let how = match edge.request {
            Request::Dependency(DependencyKind::Needed) => String::new(),
            Request::Dependency(kind) => format!(" {}", kind.tag()),
            Request::Preload(source) => format!(" {source}"),
            Request::Opened(need) => format!(" dlopen ({need})"),
        };
        let Some(target) = edge.target else {
            writeln!(out, "{MISSING}{name} not found{MISSING:#}{how}")?;
            let missing = self.closure.missing.iter().find(|m| m.name == edge.name);
            if let Some(missing) = missing.filter(|_| self.verbose) {
                self.tried(&missing.tried, indent, out)?;
            }
            return Ok(None);
        };
        let object = &objects[target];
        let path = self.source.shown(&object.opened_as);
        if !self.drawn.insert(target) {
            writeln!(
                out,
                "{name} {DIM}→ {} (above){how}{DIM:#}",
                safe(path.display())
            )?;
            return Ok(None);
        }
        let shown = |index: usize| -> PathBuf { self.source.shown(&objects[index].opened_as) };
        let rule = object.via.rule(edge.requester, &shown);
        writeln!(
            out,
            "{name} {DIM}→{DIM:#} {} {DIM}[{}]{how}{DIM:#}",
            safe(path.display()),
            safe(rule)
        )?;
        if self.verbose {
            self.tried(&object.tried, indent, out)?;
        }
        Ok(Some(target))
    }

    fn tried(&self, tried: &Tried, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        for (path, why) in tried.lines() {
            let path = path.map_or(String::new(), |path| {
                format!("{}: ", safe(self.source.shown(path).display()))
            });
            writeln!(out, "{DIM}{indent}tried {path}{}{DIM:#}", safe(why))?;
        }
        Ok(())
    }
}
