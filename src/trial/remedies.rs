//! Options that bring more than one file, and what a program says that it does not find.
//!
//! In: suspects, the trees with and without each option, and what the program said. Out: suspects that
//! name the option where it brings what is missing.
//!
//! An interpreter that has listed a directory does not look for a module that was not in it, so that no
//! lookup fails: Python (`importlib._bootstrap_external.FileFinder`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::diagnosis::{Failed, Rank, Ranked, Suspect, add, who};
use super::places::{is_noise, plain};
use crate::trace::{Recording, Uses};
use crate::vfs::{NodeKind, View};

/// Most directories whose names are compared with what was said.
const MAX_DIRECTORIES: usize = 200;
/// What programs put around names.
const QUOTES: [char; 5] = ['\'', '"', '`', '‘', '’'];

/// An option that adds all of something, such as the library of an interpreter.
pub struct NeedOption {
    /// The option.
    pub flag: String,
    /// The image with it.
    pub view: View,
}

impl NeedOption {
    fn brings(&self, path: &Path, image: &View) -> bool {
        self.view.walk(path).is_ok() && image.walk(path).is_err()
    }
}

impl Failed<'_> {
    /// Names each option that brings suspects in place of what adds only one of them.
    pub(super) fn remedied(&self, mut ranked: Vec<Ranked>, recording: &Recording) -> Vec<Ranked> {
        for remedy in &self.remedies {
            let is_brought =
                |suspect: &Suspect| remedy.brings(&suspect.path, self.view) && !suspect.is_private;
            let likely = ranked.iter().filter(|(rank, ..)| *rank < Rank::Listed);
            let likely = likely.filter(|(.., suspect)| is_brought(suspect));
            let first = likely.min_by_key(|(rank, distance, _)| (*rank, *distance));
            let (rank, distance, mut suspect) = match first {
                Some(first) => first.clone(),
                None => match self.partly_listed(remedy, recording) {
                    Some(suspect) => (Rank::Listed, 0, suspect),
                    None => continue,
                },
            };
            suspect.flag = Some(remedy.flag.clone());
            let is_found = rank < Rank::Listed;
            ranked.retain(|(.., suspect)| !is_brought(suspect));
            for (rank, _, other) in &mut ranked {
                // Where an interpreter looks, too, whether anything is there or not.
                let is_directory = self.source.kind(&other.path) == Some(NodeKind::Directory);
                if is_found && is_directory && *rank == Rank::Lookup {
                    *rank = Rank::Shared;
                }
            }
            ranked.push((rank, distance, suspect));
        }
        ranked
    }

    /// A directory that was listed, to which an option adds more.
    fn partly_listed(&self, remedy: &NeedOption, recording: &Recording) -> Option<Suspect> {
        let listed = recording.found.iter();
        let mut listed = listed.filter(|(_, traced)| traced.uses.has(Uses::LISTED));
        let (directory, traced) = listed.find(|(directory, _)| {
            let names = remedy.view.read_dir(directory).unwrap_or_default();
            let mut paths = names.iter().map(|name| directory.join(name));
            paths.any(|path| !is_noise(&path) && remedy.brings(&path, self.view))
        })?;
        let process = recording.process(traced.process);
        let what = format!(
            "{} reads {}, of which the image has only a part",
            who(&process),
            directory.display()
        );
        Some(Suspect::new(directory, what, process, None))
    }

    /// What the program names in its output, and what is in the source where it looked.
    pub(super) fn named_in_output(&self, recording: &Recording) -> Vec<Ranked> {
        let words: BTreeSet<&str> = quoted(&self.said).collect();
        if words.is_empty() {
            return Vec::new();
        }
        let listed = recording.found.iter();
        let listed = listed.filter(|(_, traced)| traced.uses.has(Uses::LISTED));
        let listed = listed.map(|(path, traced)| (path.clone(), traced.process));
        let failed = recording.failures.iter();
        let failed = failed.map(|failure| (plain(&failure.path), failure.process));
        let is_directory = |path: &PathBuf| self.source.kind(path) == Some(NodeKind::Directory);
        let directories = listed.chain(failed).filter(|(path, _)| is_directory(path));
        let mut seen = BTreeSet::new();
        let directories = directories.filter(|(path, _)| seen.insert(path.clone()));
        let mut found = Vec::new();
        for (directory, process) in directories.take(MAX_DIRECTORIES) {
            for name in self.source.read_dir(&directory).unwrap_or_default() {
                let text = name.to_string_lossy();
                let stem = text.split('.').next().unwrap_or_default();
                let path = directory.join(&name);
                if !words.contains(stem) || self.view.walk(&path).is_ok() {
                    continue;
                }
                let process = recording.process(process);
                let what = format!(
                    "{} does not find {stem}: {} is not in the image",
                    who(&process),
                    path.display()
                );
                let suspect = Suspect::new(&path, what, process, Some(add(&path)));
                found.push((Rank::Load, 0, suspect));
            }
        }
        found
    }
}

/// The words of a text that are in quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(QUOTES);
    parts.filter(|part| {
        let is_name = |c: char| c.is_alphanumeric() || "_-+".contains(c);
        !part.is_empty() && part.chars().all(is_name)
    })
}
