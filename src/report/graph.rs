//! The closure as a graph: in the DOT language of Graphviz, and in Mermaid syntax, which code hosts
//! render in Markdown.

use std::io::{self, Write};

use crate::closure::{Closure, Request};
use crate::source::Source;
use crate::vfs::one_line;

/// The language of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphLanguage {
    /// The DOT language of Graphviz.
    Dot,
    /// A Mermaid flowchart.
    Mermaid,
}

/// Writes which object needs which, under which name, and by which rule each is found.
///
/// # Errors
/// When `out` fails.
pub fn graph(
    source: &Source,
    closure: &Closure,
    language: GraphLanguage,
    out: &mut dyn Write,
) -> io::Result<()> {
    let objects = closure.map.objects();
    let shown = |index: usize| source.shown(&objects[index].opened_as);
    let draw = Draw { language };
    draw.begin(out)?;
    for index in 0..objects.len() {
        draw.node(
            &format!("n{index}"),
            &shown(index).display().to_string(),
            false,
            out,
        )?;
    }
    for (number, missing) in closure.missing.iter().enumerate() {
        draw.node(
            &format!("m{number}"),
            &missing.name.display().to_string(),
            true,
            out,
        )?;
    }
    for edge in &closure.edges {
        let from = format!("n{}", edge.requester);
        let name = edge.name.display().to_string();
        let Some(target) = edge.target else {
            let is_it = |missing: &crate::closure::Missing| missing.name == edge.name;
            if let Some(number) = closure.missing.iter().position(is_it) {
                draw.edge(
                    &from,
                    &format!("m{number}"),
                    &format!("{name} not found"),
                    out,
                )?;
            }
            continue;
        };
        let object = &objects[target];
        let rule = match edge.request {
            Request::Opened(need) => format!("{name} opened: {need}"),
            _ if object.requester == Some(edge.requester) => {
                format!("{name} {}", object.via.rule(edge.requester, &shown))
            }
            _ => name,
        };
        draw.edge(&from, &format!("n{target}"), &rule, out)?;
    }
    let is_interpreter =
        |object: &crate::loader::Loaded| object.via == crate::loader::FoundVia::Interpreter;
    if let Some(index) = objects.iter().position(is_interpreter) {
        draw.edge("n0", &format!("n{index}"), "interpreter", out)?;
    }
    draw.end(out)
}

struct Draw {
    language: GraphLanguage,
}

impl Draw {
    fn begin(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.language {
            GraphLanguage::Dot => writeln!(
                out,
                "digraph closure {{\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];"
            ),
            GraphLanguage::Mermaid => writeln!(out, "flowchart LR"),
        }
    }

    fn end(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.language {
            GraphLanguage::Dot => writeln!(out, "}}"),
            GraphLanguage::Mermaid => Ok(()),
        }
    }

    fn node(&self, id: &str, label: &str, is_missing: bool, out: &mut dyn Write) -> io::Result<()> {
        let label = self.quoted(label);
        match (self.language, is_missing) {
            (GraphLanguage::Dot, false) => writeln!(out, "  {id} [label={label}];"),
            (GraphLanguage::Dot, true) => {
                writeln!(out, "  {id} [label={label}, color=red, style=dashed];")
            }
            (GraphLanguage::Mermaid, false) => writeln!(out, "  {id}[{label}]"),
            (GraphLanguage::Mermaid, true) => {
                writeln!(
                    out,
                    "  {id}[{label}]\n  style {id} stroke:red,stroke-dasharray:5"
                )
            }
        }
    }

    fn edge(&self, from: &str, to: &str, label: &str, out: &mut dyn Write) -> io::Result<()> {
        let label = self.quoted(label);
        match self.language {
            GraphLanguage::Dot => writeln!(out, "  {from} -> {to} [label={label}];"),
            GraphLanguage::Mermaid => writeln!(out, "  {from} -->|{label}| {to}"),
        }
    }

    /// A quoted label; file names are untrusted.
    fn quoted(&self, text: &str) -> String {
        let text = one_line(text);
        match self.language {
            GraphLanguage::Dot => {
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            GraphLanguage::Mermaid => {
                let mut quoted = String::from("\"");
                for c in text.chars() {
                    match c {
                        // Mermaid accepts numeric entities, which begin with `#`.
                        '"' | '#' | '<' | '>' | '&' | '`' | '|' | '$' => {
                            quoted.push_str(&format!("#{};", u32::from(c)));
                        }
                        c => quoted.push(c),
                    }
                }
                quoted.push('"');
                quoted
            }
        }
    }
}
