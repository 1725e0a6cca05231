//! Which needs are enabled.
//!
//! In: `--with NAME,…` and `--without NAME,…`. Out: for each rule, whether it adds files. The last
//! option about a rule wins.

use thiserror::Error;

use super::rules::{nearest, rule};
use super::{Mode, NeedRule};
use crate::suggest::did_you_mean;

/// Why a selection cannot be used.
#[derive(Debug, Error)]
pub enum SelectionError {
    /// No need has this name.
    #[error("there is no need {0:?}{hint}; slimpack needs lists them", hint = did_you_mean(nearest(.0)))]
    Unknown(String),
    /// The need takes no values.
    #[error("the need {0} does not take a value; write only {0}")]
    Arguments(String),
}

/// One name from `--with` or `--without`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    /// The rule's name; `None` for all rules.
    name: Option<&'static str>,
    is_wanted: bool,
    arguments: Vec<String>,
}

/// Which needs are enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    wishes: Vec<Wish>,
}

/// Needs that take values.
const WITH_ARGUMENTS: [&str; 7] = [
    "users",
    "dlopen",
    "gconv",
    "tzdata",
    "locale",
    "commands",
    "libraries",
];

impl Selection {
    /// Adds one item of `--with` or `--without`: `NAME`, `NAME=A+B`, `all`, `none`.
    ///
    /// # Errors
    /// [`SelectionError`] if there is no such need, or it takes no values.
    pub fn add(&mut self, text: &str, is_wanted: bool) -> Result<(), SelectionError> {
        let (name, arguments) = match text.split_once('=') {
            Some((name, arguments)) => (name, arguments.split('+').map(str::to_owned).collect()),
            None => (text, Vec::new()),
        };
        let wish = |name, is_wanted| Wish {
            name,
            is_wanted,
            arguments,
        };
        let wish = match name {
            "all" => wish(None, is_wanted),
            "none" => wish(None, !is_wanted),
            name => {
                let rule = rule(name).ok_or_else(|| SelectionError::Unknown(name.to_owned()))?;
                if text.contains('=') && !WITH_ARGUMENTS.contains(&rule.name) {
                    return Err(SelectionError::Arguments(rule.name.to_owned()));
                }
                wish(Some(rule.name), is_wanted)
            }
        };
        self.wishes.push(wish);
        Ok(())
    }

    /// Whether a rule adds files when a program shows its sign.
    pub fn serves(&self, rule: &NeedRule) -> bool {
        let said = self.last_word(rule);
        match said {
            Some(wish) => wish.is_wanted && (wish.name.is_some() || rule.mode != Mode::Request),
            None => rule.mode == Mode::Automatic,
        }
    }

    /// Whether a rule adds files even without a sign, because it was requested by name.
    pub fn demands(&self, rule: &NeedRule) -> bool {
        self.last_word(rule)
            .is_some_and(|wish| wish.is_wanted && wish.name.is_some())
    }

    /// Whether a rule was disabled.
    pub fn forbids(&self, rule: &NeedRule) -> bool {
        self.last_word(rule).is_some_and(|wish| !wish.is_wanted)
    }

    /// The values after the `=`.
    pub fn arguments(&self, rule: &NeedRule) -> &[String] {
        self.last_word(rule).map_or(&[], |wish| &wish.arguments)
    }

    fn last_word(&self, rule: &NeedRule) -> Option<&Wish> {
        let about = |wish: &&Wish| wish.name.is_none_or(|name| name == rule.name);
        self.wishes.iter().rev().find(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(words: &[(&str, bool)]) -> Selection {
        let mut selection = Selection::default();
        for (word, is_wanted) in words {
            selection.add(word, *is_wanted).unwrap();
        }
        selection
    }

    #[test]
    fn the_last_word_about_a_need_counts() {
        let (users, gconv) = (rule("users").unwrap(), rule("gconv").unwrap());
        let default = Selection::default();
        assert!(default.serves(users) && !default.serves(gconv) && !default.demands(users));
        let none = selection(&[("none", true), ("gconv=UTF-16+LATIN1", true)]);
        assert!(!none.serves(users) && none.forbids(users));
        assert!(none.demands(gconv));
        assert_eq!(none.arguments(gconv), ["UTF-16", "LATIN1"]);
        let all = selection(&[("all", true), ("users", false)]);
        assert!(all.serves(gconv) && !all.serves(users) && !all.demands(gconv));
    }

    #[test]
    fn an_unknown_need_is_refused_with_the_nearest() {
        let error = Selection::default()
            .add("host", true)
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean hosts?"), "{error}");
        assert!(Selection::default().add("hosts=x", true).is_err());
    }
}
