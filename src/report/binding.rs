//! Versions and symbols of a closure, as text.

use std::fmt::Arguments;
use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::binding::{Binder, BindingError};
use crate::closure::Closure;
use crate::elf::Linkage;
use crate::source::Source;
use crate::vfs::safe;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const MISSING: Style = AnsiColor::Red.on_default().bold();

/// A report about one closure.
pub struct BindingReport<'a> {
    /// The tree with the closure's files.
    pub source: &'a Source,
    /// The closure to report on.
    pub closure: &'a Closure,
    /// Checks versions and symbols; keeps what it has read of libraries.
    pub binder: &'a Binder<'a>,
    /// Whether to print only problems.
    pub quiet: bool,
}

impl BindingReport<'_> {
    /// Lists the versions that each object needs from others, those missing, and the lowest glibc.
    /// Returns whether the loader would accept it.
    ///
    /// # Errors
    /// When a version table cannot be read.
    pub fn versions(&self, out: &mut Vec<u8>) -> Result<bool, BindingError> {
        if !self.quiet {
            self.needed_versions(out)?;
        }
        self.missing_libraries(out);
        let missing = self.binder.missing_versions(self.closure)?;
        for fault in &missing {
            let newest = match &fault.newest {
                Some(newest) => format!("has {} at most", safe(newest.display())),
                None => "has no version with that name".to_owned(),
            };
            let weak = if fault.is_weak {
                " (weak: only a warning)"
            } else {
                ""
            };
            line(
                out,
                format_args!(
                    "{MISSING}missing{MISSING:#} {} needs {} of {}, which {newest}{weak}",
                    self.shown(fault.needer),
                    safe(fault.version.display()),
                    self.shown(fault.provider),
                ),
            );
        }
        Ok(missing.iter().all(|fault| fault.is_weak))
    }

    fn needed_versions(&self, out: &mut Vec<u8>) -> Result<(), BindingError> {
        let mut last = None;
        for (needer, provider, versions) in self.binder.needed_versions(self.closure)? {
            if last.replace(needer) != Some(needer) {
                line(out, format_args!("{BOLD}{}{BOLD:#}", self.shown(needer)));
            }
            let names: Vec<_> = versions
                .iter()
                .map(|name| safe(name.display()).to_string())
                .collect();
            let provider = self.shown(provider);
            line(
                out,
                format_args!("  {provider}{DIM}:{DIM:#} {}", names.join(" ")),
            );
        }
        if let Some(lowest) = self.binder.lowest_glibc(self.closure)? {
            let because = match &lowest.because_of {
                Some(symbol) => format!(" because of {}", safe(symbol.display())),
                None => String::new(),
            };
            let needer = self.shown(lowest.needer);
            let release = lowest.release;
            line(
                out,
                format_args!("needs glibc ≥ {release}{because} {DIM}({needer}){DIM:#}"),
            );
        }
        Ok(())
    }

    /// Lists undefined symbols, and needed libraries that are not used.
    /// Returns whether the program starts.
    ///
    /// # Errors
    /// When a symbol table cannot be read.
    pub fn symbols(&self, out: &mut Vec<u8>) -> Result<bool, BindingError> {
        // A library may leave symbols to the program that loads it.
        let is_library = self.closure.program().object.linkage() == Linkage::Library;
        if !self.quiet {
            line(out, format_args!("{BOLD}{}{BOLD:#}", self.shown(0)));
        }
        self.missing_libraries(out);
        let unresolved = self.binder.unresolved(self.closure)?;
        for fault in unresolved.iter().filter(|_| !is_library || !self.quiet) {
            let when = match fault.fails_at_load {
                true => "fails when loaded",
                false => "fails when called",
            };
            let symbol = safe(fault.reference.display());
            let needer = self.shown(fault.needer);
            line(
                out,
                format_args!(
                    "  {MISSING}undefined{MISSING:#} {symbol} {DIM}({needer}, {when}){DIM:#}"
                ),
            );
        }
        if !self.quiet {
            let unused = self.binder.unused(self.closure)?;
            if self.closure.is_complete() && unresolved.is_empty() && unused.is_empty() {
                line(
                    out,
                    format_args!("  every symbol is defined, every needed library is used"),
                );
            }
            for unused in unused {
                let (name, needer) = (safe(unused.name.display()), self.shown(unused.needer));
                line(out, format_args!("  unused {name} {DIM}({needer}){DIM:#}"));
            }
        }
        Ok(is_library || !unresolved.iter().any(|fault| fault.fails_at_load))
    }

    /// Lists missing libraries; the symbols that they would define are unknown.
    fn missing_libraries(&self, out: &mut Vec<u8>) {
        for missing in &self.closure.missing {
            let requesters: Vec<_> = missing.requesters.iter().map(|&n| self.shown(n)).collect();
            let (name, requesters) = (safe(missing.name.display()), requesters.join(", "));
            line(
                out,
                format_args!("{MISSING}missing{MISSING:#} {name} (needed by {requesters})"),
            );
        }
    }

    fn shown(&self, index: usize) -> String {
        let path = &self.closure.map.objects()[index].opened_as;
        safe(self.source.shown(path).display()).to_string()
    }
}

/// Appends a line; writing to memory cannot fail.
fn line(out: &mut Vec<u8>, text: Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}
