//! Packing: from programs to a proven tree, and from the tree to an image.
//!
//! In: what the command line means ([`Options`]). Out: a [`Plan`], which says what the
//! image would hold and why, and the image when it is written.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::closure::{Closure, ClosureError, Program};
use crate::elf::{Linkage, Platform, platform};
use crate::image::{Destination, ImageError, Settings, Tag, Written};
use crate::loader::Environment;
use crate::proof::{MissedCall, ProofError, prove};
use crate::rootfs::{Content, Placer, Rootfs, RootfsError};
use crate::source::{Root, Source, SourceError, choose_root};
use crate::vfs::Errno;

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

/// Why nothing is packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The tree cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A program cannot be packed.
    #[error("cannot pack {}: {error}", .path.display())]
    Program {
        /// As it was typed.
        path: PathBuf,
        /// Why.
        error: ClosureError,
    },
    /// Libraries are missing.
    #[error("{}", incomplete(.0))]
    Incomplete(Vec<MissingLibrary>),
    /// `--require-static` and the program is not.
    #[error(
        "cannot pack {}: it is not static (--require-static): {why}",
        .path.display()
    )]
    NotStatic {
        /// As it was typed.
        path: PathBuf,
        /// What makes it dynamic.
        why: String,
    },
    /// The image would be too large.
    #[error(
        "the image would hold {bytes} bytes, --max-size allows {limit}; the largest file is {} \
         ({largest_bytes} bytes)",
        .largest.display()
    )]
    TooLarge {
        /// What it would hold.
        bytes: u64,
        /// What is allowed.
        limit: u64,
        /// The largest file.
        largest: PathBuf,
        /// Its size.
        largest_bytes: u64,
    },
    /// The machine has no name in image configurations.
    #[error("cannot pack {}: images have no platform name for {machine} programs", .path.display())]
    NoPlatform {
        /// As it was typed.
        path: PathBuf,
        /// The machine.
        machine: &'static str,
    },
    /// Two programs are for different platforms.
    #[error(
        "cannot pack {} together with {}: one is for {second}, the other for {first}; pack them \
         into an image each",
        .path.display(), .first_path.display()
    )]
    Platforms {
        /// The first program.
        first_path: PathBuf,
        /// Its platform.
        first: String,
        /// The other program.
        path: PathBuf,
        /// Its platform.
        second: String,
    },
    /// The first file is a library.
    #[error(
        "cannot start {}: it is a shared library; name the program first, or say what to start \
         with --entrypoint",
        .0.display()
    )]
    Library(PathBuf),
    /// Several programs and one destination.
    #[error("--dest {} is one path for {count} programs; end it in / to name a folder", .path.display())]
    OneDestination {
        /// The destination.
        path: PathBuf,
        /// How many programs there are.
        count: usize,
    },
    /// The entrypoint is not in the image.
    #[error("--entrypoint: {0:?} is not a program in the image; the image has {1}")]
    Entrypoint(String, String),
    /// The path of the program is not text, and image configurations are.
    #[error(
        "cannot start {} in an image: its path is not UTF-8 text; give it another with --dest",
        .0.display()
    )]
    NotText(PathBuf),
    /// There is nothing to pack.
    #[error("there is no program to pack")]
    NoProgram,
    /// The tree cannot be built.
    #[error("cannot build the image: {0}")]
    Rootfs(#[from] RootfsError),
    /// The image would not work.
    #[error("cannot publish the image, the program would not start in it: {0}")]
    Proof(#[from] Box<ProofError>),
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1.message())]
    Read(PathBuf, Errno),
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Image(#[from] ImageError),
}

impl PackError {
    /// Whether the inputs are sound and the answer is no: exit status 1 and not 2.
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Incomplete(_) | Self::NotStatic { .. } | Self::TooLarge { .. } => true,
            Self::Proof(proof) => proof.is_verdict(),
            _ => false,
        }
    }
}

/// A library that no rule finds.
#[derive(Clone, Debug)]
pub struct MissingLibrary {
    /// The program, as it was typed.
    pub program: PathBuf,
    /// The name that is asked for.
    pub name: OsString,
    /// Who asks for it.
    pub requesters: Vec<PathBuf>,
    /// Paths tried, each with the reason why it was not taken.
    pub tried: Vec<String>,
}

fn incomplete(missing: &[MissingLibrary]) -> String {
    let mut text = String::new();
    for library in missing {
        let requesters: Vec<String> = library
            .requesters
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        text.push_str(&format!(
            "cannot pack {}: {} not found (needed by {})\n",
            library.program.display(),
            library.name.display(),
            requesters.join(", "),
        ));
        for attempt in &library.tried {
            text.push_str(&format!("  tried {attempt}\n"));
        }
    }
    text.push_str("add the folder that has it with -L DIR, or leave it out with --allow-missing");
    text
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
        let image_dir = PathBuf::from(options.working_dir.as_deref().unwrap_or("/"));
        let environment = Environment {
            hwcaps: options.hwcaps,
            ..Environment::with_variables(&options.env)
        };
        let image_environment = Environment {
            working_dir: image_dir.clone(),
            ..environment.clone()
        };
        let extra = options
            .library_path
            .iter()
            .map(|folder| source.locate(folder))
            .collect();
        let source_environment = Environment {
            extra,
            working_dir: source.working_dir(),
            ..environment
        };

        let programs = find_programs(&source, options)?;
        let platform = common_platform(&source, &programs)?;
        let mut closures = Vec::new();
        for (typed, program) in programs {
            let closure = Closure::of(&program, &source.view, &source.loaders, &source_environment);
            match closure {
                Ok(closure) => closures.push((typed, program, closure)),
                Err(error) => return Err(PackError::Program { path: typed, error }),
            }
        }
        if options.require_static {
            require_static(&closures)?;
        }
        let missing: Vec<MissingLibrary> = closures
            .iter()
            .flat_map(|(typed, _, closure)| missing_libraries(&source, typed, closure))
            .collect();
        if !missing.is_empty() && !options.allow_missing {
            return Err(PackError::Incomplete(missing));
        }

        let mut placer = Placer::new(&source.view, &image_dir);
        let mut programs = Vec::new();
        for (typed, _, closure) in closures {
            let destination = destination(options, &typed)?;
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
        let settings = settings(options, &programs, platform, &rootfs)?;
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

type Resolved = (PathBuf, Program, Closure);

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
    for (typed, program, _) in closures {
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

/// Where the program `typed` shall go; `None` to let its own path decide.
fn destination(options: &Options, typed: &Path) -> Result<Option<PathBuf>, PackError> {
    let Some(path) = &options.destination else {
        return Ok(None);
    };
    let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if is_folder {
        let name = typed.file_name().unwrap_or(OsStr::new("program"));
        return Ok(Some(path.join(name)));
    }
    match options.programs.len() {
        1 => Ok(Some(path.clone())),
        count => Err(PackError::OneDestination {
            path: path.clone(),
            count,
        }),
    }
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

fn settings(
    options: &Options,
    programs: &[PackedProgram],
    platform: Platform,
    rootfs: &Rootfs,
) -> Result<Settings, PackError> {
    let main = &programs[0];
    let entrypoint = match &options.entrypoint {
        Some(words) => {
            check_entrypoint(words, options, programs, rootfs)?;
            words.clone()
        }
        None if main.is_library() => {
            return Err(PackError::Library(main.typed.clone()));
        }
        None => match main.path.to_str() {
            Some(path) => vec![path.to_owned()],
            None => return Err(PackError::NotText(main.path.clone())),
        },
    };
    let tags = if options.tags.is_empty() {
        let name = main.path.file_name().unwrap_or_default();
        vec![Tag::for_program(&name.display().to_string())]
    } else {
        options.tags.clone()
    };
    Ok(Settings {
        platform,
        tags,
        entrypoint,
        cmd: options.cmd.clone(),
        env: options.env.clone(),
        user: options.user.clone(),
        working_dir: options.working_dir.clone(),
        labels: options.labels.clone(),
        created: options.created,
    })
}

/// An entrypoint has to be an executable file of the image, by its path or by a name that
/// the PATH leads to.
fn check_entrypoint(
    words: &[String],
    options: &Options,
    programs: &[PackedProgram],
    rootfs: &Rootfs,
) -> Result<(), PackError> {
    /// What engines set where the image does not.
    const ENGINE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let first = words.first().map_or("", String::as_str);
    let is_program = |path: &Path| {
        let node = rootfs.node(path);
        programs
            .iter()
            .any(|program| program.path == path && !program.is_library())
            || node.is_some_and(|node| match &node.content {
                Content::File(file) => file.executable,
                Content::Symlink(_) => true,
                Content::Directory => false,
            })
    };
    let is_there = if first.contains('/') {
        is_program(&Path::new("/").join(first))
    } else {
        let own = options
            .env
            .iter()
            .rev()
            .find_map(|entry| entry.strip_prefix("PATH="));
        let mut folders = own.unwrap_or(ENGINE_PATH).split(':');
        !first.is_empty() && folders.any(|folder| is_program(&Path::new(folder).join(first)))
    };
    if is_there {
        return Ok(());
    }
    let paths: Vec<_> = programs
        .iter()
        .filter(|program| !program.is_library())
        .map(|program| program.path.display().to_string())
        .collect();
    let known = match paths.is_empty() {
        true => "none".to_owned(),
        false => paths.join(", "),
    };
    Err(PackError::Entrypoint(first.to_owned(), known))
}
