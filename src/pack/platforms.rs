//! Programs for several platforms: one image for each.
//!
//! In: the options of a pack. Out: the same for each platform, with the programs built for it.

use std::path::{Path, PathBuf};

use super::Options;
use crate::closure::Program;
use crate::elf::go_machine;
use crate::exec::Interpreters;
use crate::image::Platform;
use crate::source::{Source, choose_root};

/// The options for each platform, that of the first program first. A program that cannot be read
/// stays with the first group, whose pack reports the error.
pub(super) fn split(options: &Options) -> Vec<Options> {
    if options.programs.len() < 2 {
        return vec![options.clone()];
    }
    let mut groups: Vec<(Option<String>, Vec<PathBuf>)> = Vec::new();
    for program in &options.programs {
        let platform = platform_of(options, program);
        let is_same = |group: &&mut (Option<String>, Vec<PathBuf>)| {
            group.0 == platform || platform.is_none() || group.0.is_none()
        };
        match groups.iter_mut().find(is_same) {
            Some((known, programs)) => {
                *known = known.take().or(platform);
                programs.push(program.clone());
            }
            None => groups.push((platform, vec![program.clone()])),
        }
    }
    let groups = groups.into_iter().map(|(_, programs)| Options {
        programs,
        ..options.clone()
    });
    groups.collect()
}

fn platform_of(options: &Options, program: &Path) -> Option<String> {
    let root = choose_root(&options.roots, program, &options.current_dir).ok()?;
    let source = Source::open(&root, &options.current_dir).ok()?;
    let path = source.locate(program);
    let found = Program::find(&source.view, &path).or_else(|error| {
        let script = Interpreters::of(&source.view, &options.configured.env, &path);
        match script {
            Some(Ok(script)) => Program::find(&source.view, &script.interpreter),
            _ => Err(error),
        }
    });
    let found = found.ok()?;
    let file = source.view.open(&found.walk).ok()?;
    let machine = go_machine(&found.object, file.as_ref()).ok()??;
    Some(Platform::linux(machine.architecture, machine.variant).to_string())
}
