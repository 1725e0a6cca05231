//! Formats of bills of materials, and where they are written.
//!
//! In: what the user typed. Out: a format and a path. Formats have the names that syft and docker give
//! them.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Inventory, cyclonedx, spdx};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SbomFormat {
    /// SPDX 2.3 in JSON.
    Spdx,
    /// CycloneDX 1.6 in JSON.
    CycloneDx,
}

impl SbomFormat {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Spdx, Self::CycloneDx];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spdx => "spdx-json",
            Self::CycloneDx => "cyclonedx-json",
        }
    }

    /// The end of the name of a file in this format.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Spdx => ".spdx.json",
            Self::CycloneDx => ".cdx.json",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Spdx => "application/spdx+json",
            Self::CycloneDx => "application/vnd.cyclonedx+json",
        }
    }

    /// Writes `inventory` in this format, with a line end.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(self, inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Spdx => spdx::write(inventory, out)?,
            Self::CycloneDx => cyclonedx::write(inventory, out)?,
        }
        out.write_all(b"\n")
    }
}

/// Where a bill of materials is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SbomTarget {
    /// Its format.
    pub format: SbomFormat,
    /// The file; `None` for standard output.
    pub path: Option<PathBuf>,
}

impl SbomTarget {
    /// Parses `FILE.spdx.json`, `FILE.cdx.json`, `FORMAT`, or `FORMAT=FILE`, where a FILE of `-` is
    /// standard output.
    ///
    /// # Errors
    /// A message about the format.
    pub fn parse(typed: &str) -> Result<Self, String> {
        let named = |name: &str| {
            SbomFormat::ALL
                .into_iter()
                .find(|format| format.as_str() == name)
        };
        let (format, file) = match typed.split_once('=') {
            Some((name, file)) if named(name).is_some() => (named(name), file),
            _ => match named(typed) {
                Some(format) => (Some(format), "-"),
                None => {
                    let mut formats = SbomFormat::ALL.into_iter();
                    let lower = typed.to_ascii_lowercase();
                    (
                        formats.find(|format| lower.ends_with(format.suffix())),
                        typed,
                    )
                }
            },
        };
        let format = format.ok_or_else(|| match typed {
            "-" => "standard output has no name that tells the format; write spdx-json or \
                    cyclonedx-json"
                .to_owned(),
            _ => "its name tells no format; end it in .spdx.json or .cdx.json, or write \
                  spdx-json=FILE or cyclonedx-json=FILE"
                .to_owned(),
        })?;
        match file {
            "" => Err("it has no FILE after the format".to_owned()),
            "-" => Ok(Self { format, path: None }),
            file => Ok(Self {
                format,
                path: Some(file.into()),
            }),
        }
    }

    /// The same for one of several platforms: its name goes before the suffix.
    #[must_use]
    pub fn of_platform(&self, platform: &str) -> Self {
        let insert = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let platform = platform.replace('/', "-");
            let (stem, suffix) = match name.to_ascii_lowercase().ends_with(self.format.suffix()) {
                true => name.split_at(name.len() - self.format.suffix().len()),
                false => match name.rsplit_once('.') {
                    Some((stem, _)) if !stem.is_empty() => name.split_at(stem.len()),
                    _ => (&*name, ""),
                },
            };
            path.with_file_name(format!("{stem}.{platform}{suffix}"))
        };
        Self {
            format: self.format,
            path: self.path.as_ref().map(insert),
        }
    }

    /// The same, with a relative path in this directory.
    #[must_use]
    pub fn below(&self, directory: &Path) -> Self {
        Self {
            format: self.format,
            path: self.path.as_ref().map(|path| directory.join(path)),
        }
    }

    /// The path, if it is a file.
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl fmt::Display for SbomTarget {
    /// As [`SbomTarget::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or(Path::new("-"));
        write!(f, "{}={}", self.format.as_str(), path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_or_told_by_the_name_of_the_file() {
        let parsed = |typed: &str| {
            let target = SbomTarget::parse(typed).ok()?;
            let path = target
                .path
                .map_or("-".into(), |path| path.display().to_string());
            Some((target.format.as_str(), path))
        };
        for (typed, expected) in [
            ("a.spdx.json", Some(("spdx-json", "a.spdx.json"))),
            ("b/A.CDX.JSON", Some(("cyclonedx-json", "b/A.CDX.JSON"))),
            ("spdx-json", Some(("spdx-json", "-"))),
            ("cyclonedx-json=-", Some(("cyclonedx-json", "-"))),
            ("spdx-json=x", Some(("spdx-json", "x"))),
            ("a=b.cdx.json", Some(("cyclonedx-json", "a=b.cdx.json"))),
            ("spdx-json=", None),
            ("-", None),
            ("a.json", None),
            ("spdx", None),
        ] {
            let expected = expected.map(|(format, path)| (format, path.to_owned()));
            assert_eq!(parsed(typed), expected, "{typed}");
        }
    }

    #[test]
    fn each_platform_has_a_file_of_its_own() {
        for (typed, expected) in [
            ("d.x/a.spdx.json", "d.x/a.linux-arm64.spdx.json"),
            ("cyclonedx-json=a.json", "a.linux-arm64.json"),
            ("spdx-json=.a", ".a.linux-arm64"),
        ] {
            let target = SbomTarget::parse(typed).unwrap().of_platform("linux/arm64");
            assert_eq!(target.file(), Some(Path::new(expected)), "{typed}");
        }
    }
}
