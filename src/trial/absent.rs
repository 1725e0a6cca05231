//! What a program looked for that is not in the source of the image either.
//!
//! In: failed lookups, and what the program said. Out: the last of them, in words: no option adds it.

use std::path::{Path, PathBuf};

use super::diagnosis::{ENOENT, ENOTDIR, Failed, FoundPaths, LOADER, PROVIDED, Rank, Suspect, who};
use super::places::{is_library, is_noise, plain};
use crate::elf::Object;
use crate::trace::{FailedLookup, LookupGoal, Recording, Uses};
use crate::vfs::NodeKind;

/// Names that are looked for at every start: by glibc's loader, and by Python.
const AT_START: [&str; 4] = [
    "glibc-hwcaps",
    "pyvenv.cfg",
    "pybuilddir.txt",
    "gconv-modules.d",
];

/// Something that is nowhere.
pub(super) struct Absent {
    /// A sentence about it.
    pub what: String,
    /// Whether the program said its name.
    pub is_named: bool,
}

impl Failed<'_> {
    /// What a process that failed looked for last: first of all, what it named.
    pub(super) fn absent(&self, recording: &Recording, found: &FoundPaths<'_>) -> Option<Absent> {
        let failures = recording.failures.iter();
        let failures = failures.filter(|failure| self.is_absent(failure, found));
        let failures = failures.map(|failure| (self.is_named(&failure.path), failure));
        let failures = failures.filter(|(is_named, failure)| {
            *is_named || matches!(failure.wanted, LookupGoal::Read | LookupGoal::Execute)
        });
        let (is_named, failure) =
            failures.min_by_key(|(is_named, failure)| (!is_named, found.distance(failure)))?;
        let path = plain(&failure.path);
        let name = path.file_name().unwrap_or_default();
        let place = self.place();
        let what = match is_library(name) {
            true => {
                let by = self.requester(name.as_encoded_bytes(), recording);
                let by = match by {
                    Some(path) => format!("{} needs it", path.display()),
                    None => format!("{} loads it", who(&recording.process(failure.process))),
                };
                format!("{} is not in the image, nor {place}; {by}", name.display())
            }
            false => format!(
                "it looked for {}, which is not {place} either",
                path.display()
            ),
        };
        Some(Absent { what, is_named })
    }

    /// Where the files of the image come from, in words.
    fn place(&self) -> &'static str {
        match self.project {
            Some(_) => "on this machine",
            None => "in the source",
        }
    }

    fn is_absent(&self, failure: &FailedLookup, found: &FoundPaths<'_>) -> bool {
        let path = &plain(&failure.path);
        let name = path.file_name().unwrap_or_default();
        let mut tops = PROVIDED.iter().chain(&LOADER);
        let is_usual = tops.any(|top| path.starts_with(top))
            || is_noise(path)
            || path
                .extension()
                .is_some_and(|extension| extension == "_pth")
            || path
                .iter()
                .any(|part| AT_START.iter().any(|name| part == *name));
        // It was found in another directory.
        let is_found = found.names.contains(name) || found.executed.contains(name);
        [ENOENT, ENOTDIR].contains(&failure.error)
            && failure.wanted != LookupGoal::Write
            && found.failed.contains_key(&failure.process)
            && !is_usual
            && !is_found
            && self.view.walk(path).is_err()
            && self.source.walk(path).is_err()
    }

    /// Whether the program said the name of a file.
    pub(super) fn is_named(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_part = |c: char| c.is_alphanumeric() || "_-+.".contains(c);
        let mut words = self.said.split(|c| !is_part(c));
        words.any(|word| word.trim_end_matches('.') == name)
    }

    /// The object in whose dynamic section a library is named.
    fn requester(&self, library: &[u8], recording: &Recording) -> Option<PathBuf> {
        let loaded = Uses::EXECUTED.and(Uses::MAPPED);
        let mut objects = recording.found.iter();
        let object = objects.find(|(path, traced)| {
            let names_it = || {
                let walk = self.view.walk(path).ok()?;
                let file = self.view.open(&walk).ok()?;
                let object = Object::read(file.as_ref()).ok()?;
                let dynamic = object.dynamic?;
                let mut names = dynamic.dependencies.iter();
                Some(names.any(|needed| needed.name.as_encoded_bytes() == library))
            };
            traced.uses.has(loaded) && names_it() == Some(true)
        });
        object.map(|(path, _)| path.clone())
    }

    /// A file of the current directory that the program looked for in the working directory of the image.
    pub(super) fn relative(
        &self,
        failure: &FailedLookup,
        path: &Path,
        process: String,
        found: &FoundPaths<'_>,
    ) -> Option<(Rank, Suspect)> {
        let relative = path.strip_prefix(&self.start.working_dir).ok()?;
        let is_read = matches!(failure.wanted, LookupGoal::Read | LookupGoal::Test);
        let is_found = found.names.contains(path.file_name()?);
        if !is_read || is_found || is_noise(path) {
            return None;
        }
        let here = self.project?.join(relative);
        let text = relative.to_str()?;
        // Hidden files are for the tools of the project; `:` and `,` separate the parts of an option.
        let is_plain = !text.starts_with('.') && !text.contains([':', ',']) && !text.contains("/.");
        if self.source.kind(&here) != Some(NodeKind::File) || !is_plain {
            return None;
        }
        let what = format!(
            "{} cannot open {}: ./{text} of the current directory is not in the image",
            who(&process),
            path.display()
        );
        let flag = format!("--add ./{text}:{}", path.display());
        Some((Rank::Lookup, Suspect::new(path, what, process, Some(flag))))
    }
}
