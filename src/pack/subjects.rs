//! What was requested: programs, scripts, and files to add.
//!
//! In: arguments of the command line. Out: ELF programs with the scripts they run, and additions
//! for the needs to process.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::accounts::Owners;
use super::{Add, Options, PackError};
use crate::closure::{ClosureError, Program};
use crate::elf::ElfError;
use crate::exec::{Interpreters, TELLING, describe};
use crate::needs::{Addition, BY_HAND, Cause, Provision, SCRIPT};
use crate::source::Source;
use crate::vfs::View;

/// A glob with this many matches or more is refused.
const MAX_MATCHES: usize = 10_000;

/// A program to pack.
pub(super) struct Subject {
    /// Its path as it was typed.
    pub typed: PathBuf,
    /// The ELF program; for a script, its interpreter.
    pub program: Program,
    /// The path of the script in the source, if it is one.
    pub script: Option<PathBuf>,
}

/// The programs to pack, and the commands that scripts among them start through `env`.
pub(super) fn find(
    source: &Source,
    options: &Options,
    errors: &mut Vec<PackError>,
) -> (Vec<Subject>, Vec<Provision>) {
    let (mut subjects, mut more) = (Vec::new(), Vec::new());
    for typed in &options.programs {
        match subject(source, options, typed, &mut more) {
            Ok(subject) => subjects.push(subject),
            Err(error) => errors.push(error),
        }
    }
    (subjects, more)
}

fn subject(
    source: &Source,
    options: &Options,
    typed: &Path,
    more: &mut Vec<Provision>,
) -> Result<Subject, PackError> {
    let path = source.locate(typed);
    let fail = |error| PackError::Program {
        path: typed.to_path_buf(),
        error,
    };
    match Program::find(&source.view, &path) {
        Ok(program) => Ok(Subject {
            typed: typed.to_path_buf(),
            program,
            script: None,
        }),
        Err(ClosureError::Elf(ElfError::NotElf(true))) => {
            let script = |why| PackError::Script {
                path: typed.to_path_buf(),
                why,
            };
            let found = Interpreters::of(&source.view, &options.configured.env, &path)
                .unwrap_or_else(|| Err("it can no longer be read".into()));
            let Interpreters {
                interpreter,
                command,
            } = found.map_err(script)?;
            let program = Program::find(&source.view, &interpreter).map_err(fail)?;
            more.extend(command.map(|command| {
                let cause = Cause {
                    need: SCRIPT,
                    object: Some(path.clone()),
                    sign: "starts it with env".to_owned(),
                };
                Provision::usual(Addition::Program(command), cause)
            }));
            Ok(Subject {
                typed: typed.to_path_buf(),
                program,
                script: Some(path),
            })
        }
        Err(ClosureError::Elf(ElfError::NotElf(false))) => {
            let file = source
                .view
                .walk(&path)
                .and_then(|walk| source.view.open(&walk));
            let start = file.ok().and_then(|file| file.prefix(0, TELLING).ok());
            Err(PackError::NotProgram {
                path: typed.to_path_buf(),
                what: describe(&start.unwrap_or_default()),
            })
        }
        Err(error) => Err(fail(error)),
    }
}

/// The cause of what an option requests.
pub(super) fn requested(option: &'static str) -> Cause {
    Cause {
        need: option,
        object: None,
        sign: "requested".to_owned(),
    }
}

/// What `--add` and `--mkdir` add.
#[derive(Default)]
pub(super) struct ByHand {
    pub provisions: Vec<Provision>,
    /// Directories in which globs were matched.
    pub globbed: Vec<PathBuf>,
}

/// Everything that the `--add` and `--mkdir` options add.
pub(super) fn added(source: &Source, options: &Options, errors: &mut Vec<PackError>) -> ByHand {
    let owners = Owners::new(source, options);
    let mut by_hand = ByHand::default();
    for add in &options.add {
        errors.extend(by_hand.add(source, add, &owners).err());
    }
    for directory in &options.mkdir {
        match owners.ownership(&directory.grant) {
            Ok(ownership) => by_hand.provisions.push(Provision {
                addition: Addition::Folder(directory.path.clone(), 0o755),
                cause: requested("--mkdir"),
                ownership,
            }),
            Err(error) => errors.push(error),
        }
    }
    by_hand
}

impl ByHand {
    fn add(&mut self, source: &Source, add: &Add, owners: &Owners<'_>) -> Result<(), PackError> {
        let ownership = owners.ownership(&add.grant)?;
        let fail = |why: &str| PackError::Add {
            word: add.source.clone(),
            why: why.to_owned(),
        };
        let paths = matching(source, &add.source, &mut self.globbed);
        if paths.is_empty() {
            // A directory that may not be entered is not an absent file.
            let whole = source.locate(Path::new(&add.source));
            return Err(match source.view.walk(&whole) {
                Err(errno) if !has_glob(&add.source) => fail(&errno.message()),
                _ => fail("no such file or directory"),
            });
        }
        if paths.len() >= MAX_MATCHES {
            let why = format!("it matches {MAX_MATCHES} paths or more; add their directory");
            return Err(fail(&why));
        }
        let several = paths.len() > 1 || has_glob(&add.source);
        for path in paths {
            let name = path.file_name().unwrap_or_default();
            let addition = match &add.destination {
                None if !Path::new(&add.source).is_absolute() => {
                    return Err(fail(
                        "a relative path has no default place in the image; use SRC:DEST",
                    ));
                }
                // Below a root, it keeps its path relative to that root.
                None => {
                    let to = source.shown(&path);
                    match to == path {
                        true => Addition::Tree(path.clone()),
                        false => Addition::Copy {
                            from: path.clone(),
                            to,
                        },
                    }
                }
                Some(to) => Addition::Copy {
                    from: path.clone(),
                    to: match several || to.ends_with('/') {
                        true => Path::new(to).join(name),
                        false => PathBuf::from(to),
                    },
                },
            };
            self.provisions.push(Provision {
                addition,
                cause: requested(BY_HAND),
                ownership,
            });
        }
        Ok(())
    }
}

fn has_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The paths that `word` names: itself if it exists, else what its globs match, in order.
fn matching(source: &Source, word: &str, globbed: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let whole = source.locate(Path::new(word));
    if source.view.walk(&whole).is_ok() {
        return vec![whole];
    }
    if !has_glob(word) {
        return Vec::new();
    }
    // The components before the first glob are a literal directory.
    let mut fixed = PathBuf::new();
    let mut globs: Vec<&OsStr> = Vec::new();
    for component in Path::new(word).components() {
        let text = component.as_os_str();
        if globs.is_empty() && !has_glob(&text.to_string_lossy()) {
            fixed.push(component);
        } else if let Component::Normal(part) = component {
            globs.push(part);
        }
    }
    if fixed.as_os_str().is_empty() {
        fixed.push(".");
    }
    let mut paths = vec![source.locate(&fixed)];
    for glob in globs {
        globbed.extend(paths.iter().cloned());
        let level = paths
            .iter()
            .flat_map(|path| below(&source.view, path, glob));
        paths = level.take(MAX_MATCHES).collect();
    }
    paths
}

fn below(view: &View, folder: &Path, glob: &OsStr) -> Vec<PathBuf> {
    let names = view.read_dir(folder).unwrap_or_default();
    let names = names.iter().filter(|name| {
        // As in a shell, a hidden file is matched only by a pattern that begins with a dot.
        let is_meant = !name.as_bytes().starts_with(b".") || glob.as_bytes().starts_with(b".");
        is_meant && fast_glob::glob_match(glob.as_bytes(), name.as_bytes())
    });
    names.map(|name| folder.join(name)).collect()
}
