//! Packing: from programs to a proven tree, and from the tree to an image.
//!
//! In: what the command line means ([`Options`]). Out: a [`Plan`], which says what the
//! image would hold and why, and the image when it is written.

mod error;
mod settings;

pub use error::{MissingLibrary, PackError};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::closure::{Closure, Program};
use crate::elf::{Linkage, Platform, platform};
use crate::image::{Destination, Settings, Tag, Written};
use crate::loader::Environment;
use crate::proof::{MissedCall, prove};
use crate::rootfs::{Content, Placer, Rootfs};
use crate::source::{Root, Source, choose_root};

/// What a pack is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Programs to pack; the first is the one that is started.
    pub programs: Vec<PathBuf>,
    /// Trees that libraries come from; without any, this machine.
    pub roots: Vec<Root>,
    /// The folder that relative paths start from.
    pub current_dir: PathBuf,
    /// Further folders to search for libraries.
    pub library_path: Vec<PathBuf>,
    /// Where the program goes; a folder when it ends in `/`.
    pub destination: Option<PathBuf>,
    /// Whether variants of libraries for better machines are packed too.
    pub hwcaps: bool,
    /// Whether to go on when libraries are missing.
    pub allow_missing: bool,
    /// Whether a program that needs a loader is an error.
    pub require_static: bool,
    /// Most bytes that the files of the image may have.
    pub max_size: Option<u64>,
    /// Names of the image; without any, the program's.
    pub tags: Vec<Tag>,
    /// Replaces the program as the command to start.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// `UID[:GID]`.
    pub user: Option<String>,
    /// The working directory in the image.
    pub working_dir: Option<String>,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Time stamp of everything in the image, in seconds since 1970.
    pub created: u64,
}

/// A program in the image.
pub struct PackedProgram {
    /// As it was typed.
    pub typed: PathBuf,
    /// Its path in the image.
    pub path: PathBuf,
    /// What it loads, in the tree it comes from.
    pub closure: Closure,
}

impl PackedProgram {
    fn is_library(&self) -> bool {
        self.closure.program().object.linkage() == Linkage::Library
    }
}

/// What an image would hold.
pub struct Plan {
    /// The tree that the files come from.
    pub source: Source,
    /// The programs, the entrypoint first.
    pub programs: Vec<PackedProgram>,
    /// The files of the image.
    pub rootfs: Arc<Rootfs>,
    /// Its configuration.
    pub settings: Settings,
    /// Libraries left out by `--allow-missing`.
    pub missing: Vec<MissingLibrary>,
    /// Symbols that will be missed when they are first called.
    pub missed_calls: Vec<MissedCall>,
}

impl Plan {
    /// Works out and proves what the image would hold.
    ///
    /// # Errors
    /// [`PackError`] says what stands in the way; nothing has been written.
    pub fn new(options: &Options) -> Result<Self, PackError> {
        // All programs are for one platform, so the first one's root is that of all.
        let first = options.programs.first().ok_or(PackError::NoProgram)?;
        let root = choose_root(&options.roots, first, &options.current_dir)?;
        let source = Source::open(&root, &options.current_dir)?;
        let environment = Environment {
            hwcaps: options.hwcaps,
            ..Environment::with_variables(&options.env)
        };
        let (platform, closures) = resolve(&source, options, &environment)?;
        if options.require_static {
            require_static(&closures)?;
        }
        let missing: Vec<MissingLibrary> = closures
            .iter()
            .flat_map(|(typed, closure)| missing_libraries(&source, typed, closure))
            .collect();
        if !missing.is_empty() && !options.allow_missing {
            return Err(PackError::Incomplete(missing));
        }

        let image_environment = Environment {
            working_dir: PathBuf::from(options.working_dir.as_deref().unwrap_or("/")),
            ..environment
        };
        let mut placer = Placer::new(&source.view, &image_environment.working_dir);
        let mut programs = Vec::new();
        for (typed, closure) in closures {
            let destination = settings::destination(options, &typed)?;
            let placement = placer.place(&closure, destination.as_deref())?;
            programs.push(PackedProgram {
                typed,
                path: placement.program,
                closure,
            });
        }
        let rootfs = Arc::new(placer.finish()?);
        if let Some(limit) = options.max_size {
            check_size(&rootfs, limit)?;
        }
        let mut missed_calls = Vec::new();
        for program in &programs {
            missed_calls.extend(prove(
                &program.closure,
                &program.path,
                &rootfs,
                &source.view,
                &image_environment,
            )?);
        }
        let settings = settings::settings(options, &programs, platform, &rootfs)?;
        Ok(Self {
            source,
            programs,
            rootfs,
            settings,
            missing,
            missed_calls,
        })
    }

    /// Writes the image.
    ///
    /// # Errors
    /// When a file cannot be read any more or the destination fails.
    pub fn write(&self, destination: Destination<'_>) -> Result<Written, PackError> {
        Ok(crate::image::write(
            &self.rootfs,
            &self.source.view,
            &self.settings,
            destination,
        )?)
    }

    /// How many bytes the archive will have, or a few more.
    ///
    /// # Errors
    /// When the image cannot be described.
    pub fn size_hint(&self) -> Result<u64, PackError> {
        Ok(crate::image::size_hint(&self.rootfs, &self.settings)?)
    }

    /// The program that the image starts.
    pub fn main_program(&self) -> &PackedProgram {
        &self.programs[0]
    }
}

/// A program as it was typed, and what it loads.
type Resolved = (PathBuf, Closure);

/// Finds the programs, which have to be for one platform, and works out what they load.
fn resolve(
    source: &Source,
    options: &Options,
    environment: &Environment,
) -> Result<(Platform, Vec<Resolved>), PackError> {
    let library_path = options.library_path.iter();
    let environment = Environment {
        extra: library_path.map(|folder| source.locate(folder)).collect(),
        working_dir: source.working_dir(),
        ..environment.clone()
    };
    let programs = find_programs(source, options)?;
    let platform = common_platform(source, &programs)?;
    let closures = programs.into_iter().map(|(typed, program)| {
        match Closure::of(&program, &source.view, &source.loaders, &environment) {
            Ok(closure) => Ok((typed, closure)),
            Err(error) => Err(PackError::Program { path: typed, error }),
        }
    });
    Ok((platform, closures.collect::<Result<_, _>>()?))
}

fn find_programs(source: &Source, options: &Options) -> Result<Vec<(PathBuf, Program)>, PackError> {
    let programs = options.programs.iter();
    programs
        .map(|typed| {
            Program::find(&source.view, &source.locate(typed))
                .map(|program| (typed.clone(), program))
                .map_err(|error| PackError::Program {
                    path: typed.clone(),
                    error,
                })
        })
        .collect()
}

fn common_platform(
    source: &Source,
    programs: &[(PathBuf, Program)],
) -> Result<Platform, PackError> {
    let mut common: Option<(&Path, Platform)> = None;
    for (typed, program) in programs {
        let file = source
            .view
            .open(&program.walk)
            .map_err(|errno| PackError::Read(typed.clone(), errno))?;
        let platform = platform(&program.object, file.as_ref())
            .map_err(|error| PackError::Program {
                path: typed.clone(),
                error: error.into(),
            })?
            .ok_or_else(|| PackError::NoPlatform {
                path: typed.clone(),
                machine: program.object.machine_name(),
            })?;
        match &common {
            None => common = Some((typed, platform)),
            Some((_, first)) if *first == platform => {}
            Some((first_path, first)) => {
                return Err(PackError::Platforms {
                    first_path: first_path.to_path_buf(),
                    first: first.to_string(),
                    path: typed.clone(),
                    second: platform.to_string(),
                });
            }
        }
    }
    Ok(common
        .expect("the command line wants at least one program")
        .1)
}

fn require_static(closures: &[Resolved]) -> Result<(), PackError> {
    for (typed, closure) in closures {
        let program = closure.program();
        if program.object.linkage().is_static() {
            continue;
        }
        let libraries: Vec<_> = program
            .object
            .dependencies()
            .iter()
            .map(|dependency| dependency.name.display().to_string())
            .collect();
        let mut why = match &program.object.interpreter {
            Some(interpreter) => format!("it asks for the interpreter {}", interpreter.display()),
            None => "it is a shared library".to_owned(),
        };
        if !libraries.is_empty() {
            why.push_str(&format!(" and needs {}", libraries.join(", ")));
        }
        return Err(PackError::NotStatic {
            path: typed.clone(),
            why,
        });
    }
    Ok(())
}

fn missing_libraries(source: &Source, typed: &Path, closure: &Closure) -> Vec<MissingLibrary> {
    let shown = |path: &Path| source.shown(path);
    closure
        .missing
        .iter()
        .map(|missing| MissingLibrary {
            program: typed.to_path_buf(),
            name: missing.name.clone(),
            requesters: missing
                .requesters
                .iter()
                .map(|&index| shown(&closure.map.objects()[index].opened_as))
                .collect(),
            tried: missing
                .tried
                .lines()
                .map(|(path, why)| match path {
                    Some(path) => format!("{}: {why}", shown(path).display()),
                    None => why,
                })
                .collect(),
        })
        .collect()
}

fn check_size(rootfs: &Rootfs, limit: u64) -> Result<(), PackError> {
    let bytes = rootfs.bytes();
    if bytes <= limit {
        return Ok(());
    }
    let (largest_bytes, largest) = rootfs
        .nodes()
        .filter_map(|(path, node)| match &node.content {
            Content::File(file) => Some((file.size(), path)),
            _ => None,
        })
        .max_by_key(|(size, _)| *size)
        .unwrap_or((0, Path::new("/")));
    Err(PackError::TooLarge {
        bytes,
        limit,
        largest: largest.to_path_buf(),
        largest_bytes,
    })
}
