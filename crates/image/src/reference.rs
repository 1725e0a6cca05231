//! Image names.
//!
//! In: `-t NAME[:TAG]`, or the name of a program. Out: the forms of the name that
//! engines write into archives.

use oci_spec::distribution::{ParseError, Reference};
use thiserror::Error;

/// A tag as engines know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The short form: `hello:latest`. docker's `RepoTags`.
    pub familiar: String,
    /// With registry and namespace: `docker.io/library/hello:latest`.
    pub full: String,
    /// The part after the colon.
    pub tag: String,
}

/// A tag that no engine would accept.
#[derive(Debug, Error)]
pub enum TagError {
    /// It does not follow the grammar.
    #[error("{0:?} is not a valid image name ({1}); use one like me/app:1.0")]
    Grammar(String, ParseError),
    /// It has a digest.
    #[error("{0} has a digest; use a tag like app:1.0")]
    Digest(String),
}

impl Tag {
    /// Parses a tag given by the user.
    ///
    /// # Errors
    /// When it does not follow the grammar of references or has a digest.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let reference: Reference = text
            .parse()
            .map_err(|error| TagError::Grammar(text.to_owned(), error))?;
        let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
            return Err(TagError::Digest(text.to_owned()));
        };
        let repository = reference.repository();
        let familiar = match reference.registry() {
            "docker.io" => repository
                .strip_prefix("library/")
                .unwrap_or(repository)
                .to_owned(),
            registry => format!("{registry}/{repository}"),
        };
        Ok(Self {
            familiar: format!("{familiar}:{tag}"),
            full: format!("{}/{repository}:{tag}", reference.registry()),
            tag: tag.to_owned(),
        })
    }

    /// `NAME:latest` for a program, in lower case and with invalid characters replaced by `-`.
    pub fn for_program(name: &str) -> Self {
        let mut valid = String::new();
        for letter in name.to_lowercase().chars() {
            if letter.is_ascii_alphanumeric() {
                valid.push(letter);
            } else if !valid.is_empty() && !valid.ends_with(['-', '.', '_']) {
                valid.push(if matches!(letter, '.' | '_') {
                    letter
                } else {
                    '-'
                });
            }
        }
        valid.truncate(MAX_NAME);
        let valid = match valid.trim_end_matches(['-', '.', '_']) {
            "" => "image",
            valid => valid,
        };
        Self {
            familiar: format!("{valid}:latest"),
            full: format!("docker.io/library/{valid}:latest"),
            tag: "latest".to_owned(),
        }
    }
}

/// Longest name derived from a program's, in bytes; the grammar allows 255 for the whole name.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_a_familiar_and_a_full_form() {
        for (text, familiar, full) in [
            ("hello", "hello:latest", "docker.io/library/hello:latest"),
            ("me/app:1.0", "me/app:1.0", "docker.io/me/app:1.0"),
            (
                "localhost:5000/app",
                "localhost:5000/app:latest",
                "localhost:5000/app:latest",
            ),
        ] {
            let tag = Tag::parse(text).unwrap();
            assert_eq!((tag.familiar.as_str(), tag.full.as_str()), (familiar, full));
        }
    }

    #[test]
    fn what_no_engine_would_take_is_refused() {
        for text in ["", "UPPER", "a b", "a:b:c", "a//b", ":tag"] {
            assert!(
                matches!(Tag::parse(text), Err(TagError::Grammar(..))),
                "{text}"
            );
        }
        let digest = format!("a@sha256:{}", "0".repeat(64));
        assert!(matches!(Tag::parse(&digest), Err(TagError::Digest(_))));
    }

    #[test]
    fn the_name_of_any_program_becomes_a_valid_tag() {
        for (name, expected) in [
            ("Hello", "hello:latest"),
            ("g++-12", "g-12:latest"),
            ("[", "image:latest"),
            ("a__b..c", "a_b.c:latest"),
            ("_x_", "x:latest"),
            ("naïve", "na-ve:latest"),
        ] {
            let tag = Tag::for_program(name);
            assert_eq!(tag.familiar, expected);
            assert_eq!(Tag::parse(&tag.familiar).unwrap(), tag);
        }
    }
}
