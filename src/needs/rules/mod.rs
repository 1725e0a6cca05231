//! The rules, one per file.

mod bundle;
mod busybox;
mod certificates;
mod commands;
mod configuration;
mod dictionaries;
mod directories;
mod dlopen;
mod fonts;
mod gconv;
mod hosts;
mod idn;
mod libgcc;
mod libraries;
mod locale;
mod mime;
mod nss;
mod openssl;
mod package_records;
mod pam;
mod paths;
mod plugins;
mod reasons;
mod services;
mod shell;
mod startup;
mod state;
mod stdlib;
mod terminfo;
mod tmp;
mod tzdata;
mod users;

pub(super) use bundle::{BUNDLE, unknown_payload};
pub(super) use commands::{RULE as COMMANDS, script_with_data};
pub(super) use configuration::RULE as CONFIGURATION;
pub use libraries::absent as absent_libraries;
pub use package_records::PACKAGE_RECORDS;
pub(super) use paths::WRITTEN as WRITTEN_FILES;
pub use paths::absent as absent_paths;
pub(super) use stdlib::STDLIB;
pub(super) use users::with as entries_of_users;

use std::path::{Component, Path};

use super::{Addition, NeedRule, Process, Sign, Supply, Unmet};
use crate::exec::is_shell;

/// All rules, in report order.
pub static RULES: &[&NeedRule] = &[
    &dlopen::RULE,
    &bundle::RULE,
    &users::RULE,
    &tmp::RULE,
    &directories::RULE,
    &hosts::RULE,
    &certificates::RULE,
    &shell::RULE,
    &libgcc::RULE,
    &idn::RULE,
    &nss::RULE,
    &terminfo::RULE,
    &tzdata::RULE,
    &locale::RULE,
    &gconv::RULE,
    &services::RULE,
    &startup::RULE,
    &stdlib::RULE,
    &openssl::RULE,
    &pam::RULE,
    &libraries::RULE,
    &fonts::RULE,
    &mime::RULE,
    &dictionaries::RULE,
    &plugins::RULE,
    &commands::RULE,
    &paths::RULE,
    &configuration::RULE,
    &busybox::RULE,
    &reasons::RULE,
    &package_records::RULE,
];

/// Where packages install the data and helpers of their programs.
const HOMES: [&str; 3] = ["/usr/lib", "/usr/share", "/usr/libexec"];

/// Whether a path is absolute and has no `..` in it.
pub(super) fn is_straight(path: &Path) -> bool {
    let mut parts = path.components();
    path.is_absolute() && parts.all(|part| part != Component::ParentDir)
}

/// Whether the needs of the program depend on scripts: it is a shell or an interpreter, or it
/// starts a script.
fn runs_scripts(process: &Process<'_>) -> bool {
    process.script.is_some() || is_shell(process.name()) || !stdlib::paths(process).is_empty()
}

/// The rules whose signs a process shows, each with the sign.
pub fn signs<'p>(process: &'p Process<'_>) -> impl Iterator<Item = (&'static NeedRule, Sign)> + 'p {
    let signs = RULES.iter().copied();
    signs.filter_map(|rule| Some((rule, (rule.fires)(process)?)))
}

/// A library that the C library opens by name, from the package that has it.
fn opened_by_libc(supply: &Supply<'_>, library: &str, package: &str) -> Result<Addition, Unmet> {
    let by = supply.process.loaded("libc.so.6").unwrap_or(0);
    let name = library.to_owned();
    match supply.process.finds(by, library) {
        true => Ok(Addition::Library { by, name }),
        false => Err(format!("the source has no {library} (package {package})").into()),
    }
}

/// The first `most` names, and how many more there are; `None` if there are none.
fn told(names: &[String], most: usize) -> Option<String> {
    let first = names.get(..most).unwrap_or(names).join(", ");
    match names.len().checked_sub(most) {
        _ if names.is_empty() => None,
        None | Some(0) => Some(first),
        Some(more) => Some(format!("{first} and {more} more")),
    }
}

/// The first `most` paths, and how many more there are; `None` if there are none.
pub fn told_paths<'p>(paths: impl IntoIterator<Item = &'p Path>, most: usize) -> Option<String> {
    let paths = paths.into_iter().map(|path| path.display().to_string());
    told(&paths.collect::<Vec<_>>(), most)
}

/// The rule with this name; `None` if there is no such rule.
pub fn rule(name: &str) -> Option<&'static NeedRule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

/// The known name closest to `name`, for a "did you mean" hint.
pub fn nearest(name: &str) -> Option<&'static str> {
    crate::suggest::nearest(name, RULES.iter().map(|rule| rule.name), 3)
}
