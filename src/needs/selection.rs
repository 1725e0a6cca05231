//! Which needs are served.
//!
//! In: `--with NAME,…` and `--without NAME,…`. Out: for each rule whether it acts. The last word
//! about a rule counts.

use thiserror::Error;

use super::rules::{nearest, rule};
use super::{Mode, Rule};
use crate::suggest::did_you_mean;

/// Why a selection cannot be used.
#[derive(Debug, Error)]
pub enum SelectionError {
    /// There is no such need.
    #[error("there is no need {0:?}{hint}; slimpack needs lists all", hint = did_you_mean(nearest(.0)))]
    Unknown(String),
    /// The need takes no arguments.
    #[error("the need {0} takes nothing behind an =; write {0} alone")]
    Arguments(String),
}

/// A word about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    /// `None` for all.
    name: Option<&'static str>,
    is_wanted: bool,
    arguments: Vec<String>,
}

/// Which needs are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    wishes: Vec<Wish>,
}

/// Needs that take arguments.
const WITH_ARGUMENTS: [&str; 6] = ["users", "dlopen", "gconv", "tzdata", "locale", "commands"];

impl Selection {
    /// Adds one word of `--with` or `--without`: `NAME`, `NAME=A+B`, `all`, `none`.
    ///
    /// # Errors
    /// When there is no such need.
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

    /// Whether a rule acts where its sign is there.
    pub fn serves(&self, rule: &Rule) -> bool {
        let said = self.last_word(rule);
        match said {
            Some(wish) => wish.is_wanted && (wish.name.is_some() || rule.mode != Mode::Request),
            None => rule.mode == Mode::Automatic,
        }
    }

    /// Whether a rule acts even where its sign is not there: it was asked for by name.
    pub fn demands(&self, rule: &Rule) -> bool {
        self.last_word(rule)
            .is_some_and(|wish| wish.is_wanted && wish.name.is_some())
    }

    /// Whether somebody said that a rule shall not act.
    pub fn forbids(&self, rule: &Rule) -> bool {
        self.last_word(rule).is_some_and(|wish| !wish.is_wanted)
    }

    /// What stands behind the `=`.
    pub fn arguments(&self, rule: &Rule) -> &[String] {
        self.last_word(rule).map_or(&[], |wish| &wish.arguments)
    }

    fn last_word(&self, rule: &Rule) -> Option<&Wish> {
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
