//! Versions and symbols of a closure, for people.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::binding::{Binder, BindingError};
use crate::closure::Closure;
use crate::elf::Linkage;
use crate::source::Source;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const MISSING: Style = AnsiColor::Red.on_default().bold();

/// Lists what each object needs of each other, what is missing, and the lowest glibc.
/// Returns whether the loader would accept it.
///
/// # Errors
/// When a version table cannot be read.
pub fn versions(
    source: &Source,
    closure: &Closure,
    binder: &Binder<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, BindingError> {
    let shown = |index: usize| {
        let path = &closure.map.objects()[index].opened_as;
        source.shown(path).display().to_string()
    };
    let missing = binder.missing_versions(closure)?;
    let mut last = None;
    for (needer, provider, versions) in binder.needed_versions(closure)? {
        if last.replace(needer) != Some(needer) {
            line(out, format_args!("{BOLD}{}{BOLD:#}", shown(needer)));
        }
        let names: Vec<_> = versions
            .iter()
            .map(|name| name.display().to_string())
            .collect();
        line(
            out,
            format_args!("  {}{DIM}:{DIM:#} {}", shown(provider), names.join(" ")),
        );
    }
    for fault in &missing {
        let newest = match &fault.newest {
            Some(newest) => format!("has {} at the most", newest.display()),
            None => "has no version of that name".to_owned(),
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
                shown(fault.needer),
                fault.version.display(),
                shown(fault.provider),
            ),
        );
    }
    if let Some(lowest) = binder.lowest_glibc(closure)? {
        let because = match &lowest.because_of {
            Some(symbol) => format!(" because of {}", symbol.display()),
            None => String::new(),
        };
        line(
            out,
            format_args!(
                "needs glibc ≥ {}{because} {DIM}({}){DIM:#}",
                lowest.release,
                shown(lowest.needer),
            ),
        );
    }
    Ok(missing.iter().all(|fault| fault.is_weak))
}

/// Lists symbols that nothing defines, and needed libraries of which nothing is used. Returns
/// whether the program starts.
///
/// # Errors
/// When a symbol table cannot be read.
pub fn symbols(
    source: &Source,
    closure: &Closure,
    binder: &Binder<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, BindingError> {
    let shown = |index: usize| {
        let path = &closure.map.objects()[index].opened_as;
        source.shown(path).display().to_string()
    };
    line(out, format_args!("{BOLD}{}{BOLD:#}", shown(0)));
    let unresolved = binder.unresolved(closure)?;
    for fault in &unresolved {
        let when = match fault.fails_at_load {
            true => "when it is loaded",
            false => "when it is called",
        };
        line(
            out,
            format_args!(
                "  {MISSING}undefined{MISSING:#} {} {DIM}({}, {when}){DIM:#}",
                fault.reference.display(),
                shown(fault.needer),
            ),
        );
    }
    for unused in binder.unused(closure)? {
        line(
            out,
            format_args!(
                "  unused {} {DIM}({}){DIM:#}",
                unused.name.display(),
                shown(unused.needer),
            ),
        );
    }
    // A library may leave symbols to the program that loads it.
    let is_library = closure.program().object.linkage() == Linkage::Library;
    Ok(is_library || !unresolved.iter().any(|fault| fault.fails_at_load))
}

/// Writing to memory does not fail.
fn line(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}
