//! The rules, one a file.

mod busybox;
mod certificates;
mod dlopen;
mod gconv;
mod hosts;
mod libgcc;
mod locale;
mod nss;
mod services;
mod shell;
mod terminfo;
mod tmp;
mod tzdata;
mod users;

use super::Rule;

/// All rules, in the order of reports.
pub static RULES: &[&Rule] = &[
    &dlopen::RULE,
    &users::RULE,
    &tmp::RULE,
    &hosts::RULE,
    &certificates::RULE,
    &shell::RULE,
    &libgcc::RULE,
    &nss::RULE,
    &terminfo::RULE,
    &tzdata::RULE,
    &locale::RULE,
    &gconv::RULE,
    &services::RULE,
    &busybox::RULE,
];

/// The rule of that name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

/// The name that somebody who wrote `name` may have meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let by_distance = RULES
        .iter()
        .map(|rule| (strsim::levenshtein(rule.name, name), rule.name));
    by_distance
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}
