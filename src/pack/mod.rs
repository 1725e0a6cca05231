//! Packing: from programs to a proven tree, and from the tree to an image.
//!
//! In: the parsed command line ([`Options`]). Out: a [`Plan`], which says what the image would
//! hold and why, and the image when it is written.

mod error;
mod minimize;
mod options;
mod platforms;
mod record;
mod settings;
mod strip;
mod subjects;

pub use error::{MissingLibrary, PackError};
pub use minimize::{Census, Minimized, started};
pub use options::{Add, Options};
pub use strip::{StrippedFile, Stripping, debug_path};

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::closure::Closure;
use crate::elf::{Linkage, go_machine};
use crate::image::{Destination, ImageError, Part, Platform, Settings, Style, Written};
use crate::inputs::Inputs;
use crate::loader::Environment;
use crate::needs::{self, Addition, Cause, Hint, Provision, Provisions};
use crate::proof::{MissedCall, prove};
use crate::rootfs::{Content, Placer, Reason, Rootfs, SourcedRootfs, is_installed};
use crate::source::{Source, choose_root};
use subjects::Subject;

/// A program in the image.
pub struct PackedProgram {
    /// Its path as it was typed.
    pub typed: PathBuf,
    /// Its path in the image.
    pub path: PathBuf,
    /// Whether it is a script; if so, the closure is that of its interpreter.
    pub is_script: bool,
    /// The program and what it loads, in the source tree.
    pub closure: Closure,
}

impl PackedProgram {
    fn is_library(&self) -> bool {
        !self.is_script && self.closure.program().object.linkage() == Linkage::Library
    }
}

/// What an image would hold.
pub struct Plan {
    /// The source tree that the files come from.
    pub source: Source,
    /// The programs, the entrypoint first.
    pub programs: Vec<PackedProgram>,
    /// The files of the image.
    pub rootfs: Arc<Rootfs>,
    /// Its configuration.
    pub settings: Settings,
    /// The files that the image depends on.
    pub inputs: Inputs,
    /// Missing libraries that `--allow-missing` tolerates.
    pub missing: Vec<MissingLibrary>,
    /// Undefined functions that fail only when they are first called.
    pub missed_calls: Vec<MissedCall>,
    /// Bytes that `--hardlink` saves.
    pub linked: u64,
    /// The image that it is made from, with figures of both; `None` for other sources.
    pub minimized: Option<Minimized>,
    /// What stripping saves, or would save.
    pub stripping: Stripping,
    /// What else programs may need.
    pub hints: Vec<Hint>,
    /// Messages about needs that the source cannot meet.
    pub unserved: Vec<String>,
}

impl Plan {
    /// Plans what the image would hold, and proves that its programs start.
    ///
    /// # Errors
    /// [`PackError`]; nothing has been written.
    pub fn new(options: &Options) -> Result<Self, PackError> {
        // All programs are for one platform, so they share the first one's root.
        let first = options.programs.first().ok_or(PackError::NoProgram)?;
        let root = choose_root(&options.roots, first, &options.current_dir)?;
        Self::in_source(options, Source::open(&root, &options.current_dir)?)
    }

    /// The same, for programs in `source`.
    fn in_source(options: &Options, source: Source) -> Result<Self, PackError> {
        let environment = Environment {
            hwcaps: options.hwcaps,
            ..Environment::with_variables(&options.configured.env)
        };
        // Report all errors in what was named, not only the first.
        let mut errors = Vec::new();
        let (subjects, mut added) = subjects::find(&source, options, &mut errors);
        let by_hand = subjects::added(&source, options, &mut errors);
        PackError::all(errors)?;
        let platform = common_platform(&source, &subjects)?;
        if options.require_static {
            require_static(&subjects)?;
        }
        added.extend(by_hand.provisions);
        let mut resolved = resolve(&source, options, &environment, subjects, added)?;
        resolved.globbed = by_hand.globbed;
        if !resolved.missing.is_empty() && !options.allow_missing {
            return Err(PackError::Incomplete(resolved.missing));
        }

        let image_environment = Environment {
            working_dir: PathBuf::from(options.configured.working_dir.as_deref().unwrap_or("/")),
            ..environment
        };
        let mut placer = Placer::new(&source.view, &image_environment.working_dir)
            .keeping_all_paths(source.is_image());
        let mut to_prove = Vec::new();
        let mut programs = Vec::new();
        for (subject, closure) in resolved.programs {
            let destination = settings::destination(options, &subject.typed)?;
            let (path, program) = place(&mut placer, &subject, &closure, destination.as_deref())?;
            programs.push((subject.typed, path, subject.script.is_some()));
            to_prove.push((program, closure));
        }
        for started in std::mem::take(&mut resolved.provisions.started) {
            let reason = placer.reason(&started.cause);
            let own_place = started.to.or_else(|| {
                // What a need adds keeps its path, wherever that is.
                let is_kept = source.is_image() || is_installed(&started.path);
                (!is_kept).then(|| source.shown(&started.path))
            });
            let placement = placer.place(&started.closure, own_place.as_deref(), &reason)?;
            to_prove.push((placement.program, started.closure));
        }
        for provision in &resolved.provisions.provisions {
            placer.provide(provision)?;
        }
        let mut rootfs = placer.finish()?;
        if !options.exclude.is_empty() {
            rootfs.exclude(&options.exclude);
        }
        let stripping = strip::strip(&mut rootfs, &source.view, options)?;
        let linked = match options.hardlink {
            true => rootfs.link_duplicates(&source.view),
            false => 0,
        };
        let rootfs = Arc::new(rootfs);
        if let Some(limit) = options.max_size {
            check_size(&rootfs, limit)?;
        }
        let declines_opened = needs::rule("dlopen").is_some_and(|rule| options.needs.forbids(rule));
        let may_lack_opened = options.allow_missing || declines_opened;
        let mut missed_calls = Vec::new();
        for (path, closure) in &to_prove {
            let missed = prove(
                closure,
                path,
                &rootfs,
                &source.view,
                &image_environment,
                may_lack_opened,
            )?;
            missed_calls.extend(missed);
        }
        let (folders, globbed) = (&resolved.provisions.folders, &resolved.globbed);
        let inputs = inputs(&source, options, &to_prove, &rootfs, folders, globbed);
        let closures = to_prove.into_iter().map(|(_, closure)| closure);
        let programs: Vec<PackedProgram> = programs
            .into_iter()
            .zip(closures)
            .map(|((typed, path, is_script), closure)| PackedProgram {
                typed,
                path,
                is_script,
                closure,
            })
            .collect();
        let settings = settings::settings(options, &programs, platform, &rootfs)?;
        Ok(Self {
            source,
            programs,
            rootfs,
            settings,
            inputs,
            missing: resolved.missing,
            missed_calls,
            stripping,
            minimized: None,
            linked,
            hints: resolved.provisions.hints,
            unserved: resolved.provisions.warnings.into_iter().collect(),
        })
    }

    /// One plan for each platform of the programs; the platform of the first program comes first.
    ///
    /// # Errors
    /// Those of [`Plan::new`], for all platforms together.
    pub fn for_each_platform(options: &Options) -> Result<Vec<Self>, PackError> {
        let (mut plans, mut errors) = (Vec::new(), Vec::new());
        for options in platforms::split(options) {
            match Self::new(&options) {
                Ok(plan) => plans.push(plan),
                Err(error) => errors.push(error),
            }
        }
        PackError::all(errors)?;
        // All plans share the tags of the first.
        let tags = plans.first().map(|plan: &Self| plan.settings.tags.clone());
        for plan in &mut plans {
            plan.settings
                .tags
                .clone_from(tags.as_ref().unwrap_or(&Vec::new()));
        }
        Ok(plans)
    }

    /// The tree with the source of its files, as layers are written from it.
    fn tree(&self) -> SourcedRootfs<'_> {
        SourcedRootfs::new(&self.rootfs, &self.source.view)
    }

    /// Writes only the file tree, into an empty directory. `go_on` is called before each file; its
    /// error stops the writing.
    ///
    /// # Errors
    /// When a file can no longer be read, writing fails, or `go_on` returns an error.
    pub fn write_folder(
        &self,
        folder: &Path,
        go_on: &dyn Fn() -> std::io::Result<()>,
    ) -> Result<(), PackError> {
        let created = self.settings.configured.created;
        crate::image::write_folder(&self.tree(), created, folder, go_on)
            .map_err(|error| PackError::Image(error.into()))
    }

    /// The program that the image starts.
    pub fn main_program(&self) -> &PackedProgram {
        &self.programs[0]
    }
}

/// Writes an archive of images, one for each platform.
///
/// # Errors
/// When a file can no longer be read, or writing to the destination fails.
pub fn write(
    plans: &[Plan],
    style: Style,
    destination: Destination<'_>,
) -> Result<Written, ImageError> {
    with_parts(plans, |parts| {
        crate::image::write(parts, style, destination)
    })
}

/// Writes images into the OCI layout at `folder`. `go_on` is called before each blob; its error
/// stops the writing.
///
/// # Errors
/// When a file can no longer be read, writing fails, or the directory is not an OCI layout.
pub fn write_layout(
    plans: &[Plan],
    style: Style,
    folder: &Path,
    go_on: &dyn Fn() -> std::io::Result<()>,
) -> Result<Written, ImageError> {
    with_parts(plans, |parts| {
        crate::image::write_layout(parts, style, folder, go_on)
    })
}

/// Upper bound for the size of an archive, in bytes; 0 if it cannot be estimated.
pub fn size_hint(plans: &[Plan], style: Style) -> u64 {
    with_parts(plans, |parts| crate::image::size_hint(parts, style))
}

fn with_parts<T>(plans: &[Plan], then: impl FnOnce(&[Part<'_>]) -> T) -> T {
    let trees: Vec<_> = plans.iter().map(Plan::tree).collect();
    let parts = plans.iter().zip(&trees).map(|(plan, tree)| Part {
        tree,
        settings: &plan.settings,
    });
    then(&parts.collect::<Vec<_>>())
}

/// The files that the image depends on.
fn inputs(
    source: &Source,
    options: &Options,
    closures: &[(PathBuf, Closure)],
    rootfs: &Rootfs,
    folders: &BTreeSet<PathBuf>,
    globbed: &[PathBuf],
) -> Inputs {
    /// The files in which a user is looked up.
    const USERS: [&str; 2] = ["/etc/passwd", "/etc/group"];
    let mut inputs = Inputs::default();
    if source.is_image() {
        // An image is one file, whatever it contains.
        inputs.add_image(source.root());
        return inputs;
    }
    for typed in &options.programs {
        inputs.add_path(source, &source.locate(typed));
    }
    for (_, closure) in closures {
        inputs.add_closure(source, closure);
    }
    inputs.add_rootfs(source, rootfs);
    for folder in folders {
        inputs.add_folder(source, folder);
    }
    for folder in globbed {
        inputs.add_globbed(source, folder);
    }
    if options.configured.user.is_some() {
        for file in USERS {
            inputs.add_path(source, Path::new(file));
        }
    }
    inputs
}

/// Programs with everything they load and need.
struct Resolved {
    programs: Vec<(Subject, Closure)>,
    provisions: Provisions,
    missing: Vec<MissingLibrary>,
    /// Directories in which globs were matched.
    globbed: Vec<PathBuf>,
}

/// Resolves what the programs load and need.
fn resolve(
    source: &Source,
    options: &Options,
    environment: &Environment,
    subjects: Vec<Subject>,
    mut added: Vec<Provision>,
) -> Result<Resolved, PackError> {
    let environment = source.environment(&options.library_path, environment.clone());
    let mut closures = Vec::new();
    for subject in &subjects {
        let closure = Closure::of(
            &subject.program,
            &source.view,
            &source.loaders,
            &environment,
        );
        closures.push(closure.map_err(|error| PackError::Program {
            path: subject.typed.clone(),
            error,
        })?);
    }
    if let Some(busybox) = &options.busybox {
        added.push(Provision {
            addition: Addition::Busybox(source.locate(busybox)),
            cause: Cause {
                need: "busybox",
                object: None,
                sign: "--busybox".to_owned(),
            },
        });
    }
    let entrypoint = options.entrypoint.as_deref().unwrap_or_default();
    let arguments = entrypoint.iter().skip(1).chain(&options.configured.cmd);
    let arguments: Vec<String> = arguments.cloned().collect();
    let scripts: Vec<_> = subjects
        .iter()
        .map(|subject| subject.script.clone())
        .collect();
    let scene = needs::Scene {
        source: &source.view,
        loaders: &source.loaders,
        environment: &environment,
        env: &options.configured.env,
        user: options.configured.user.as_deref().unwrap_or_default(),
        arguments: &arguments,
        scripts: &scripts,
        is_image: source.is_image(),
        selection: &options.needs,
        wants_hints: options.wants_hints,
        shown: &|path| source.shown(path),
    };
    let provisions = needs::provide(&scene, &mut closures, added)?;
    let typed = subjects.iter().map(|subject| subject.typed.as_path());
    let mut missing: Vec<MissingLibrary> = typed
        .zip(&closures)
        .flat_map(|(typed, closure)| missing_libraries(source, typed, closure))
        .collect();
    let sonames = sonames(&closures, &provisions.started);
    for started in &provisions.started {
        let path = source.shown(&started.path);
        let lacks = missing_libraries(source, &path, &started.closure).into_iter();
        let is_plugin = started.closure.program().object.linkage() == Linkage::Library;
        // A plugin is loaded into a process that has libraries already: libjvm.so is where no
        // loader looks for it, and every library of Java needs it.
        missing.extend(lacks.filter(|library| !is_plugin || !sonames.contains(&library.name)));
    }
    Ok(Resolved {
        programs: subjects.into_iter().zip(closures).collect(),
        provisions,
        missing,
        globbed: Vec::new(),
    })
}

/// The sonames of all libraries of the image.
fn sonames(closures: &[Closure], started: &[needs::Started]) -> BTreeSet<OsString> {
    let started = started.iter().map(|started| &started.closure);
    let objects = closures
        .iter()
        .chain(started)
        .flat_map(|closure| closure.map.objects());
    objects
        .filter_map(|object| object.object.soname().cloned())
        .collect()
}

/// Places a program or a script; returns the path that starts it, and the path of the ELF
/// program.
fn place(
    placer: &mut Placer<'_>,
    subject: &Subject,
    closure: &Closure,
    destination: Option<&Path>,
) -> Result<(PathBuf, PathBuf), PackError> {
    match &subject.script {
        None => {
            let placement = placer.place(closure, destination, &Reason::Program)?;
            Ok((placement.program.clone(), placement.program))
        }
        Some(script) => {
            let path = placer.place_script(script, destination)?;
            let reason = Reason::InterpreterOf(path.clone());
            // The first line of the script fixes its path.
            let place = &closure.program().opened_as;
            let interpreter = placer.place(closure, Some(place), &reason)?;
            Ok((path, interpreter.program))
        }
    }
}

fn common_platform(source: &Source, subjects: &[Subject]) -> Result<Platform, PackError> {
    let mut common: Option<(&Path, Platform)> = None;
    for Subject { typed, program, .. } in subjects {
        let file = source
            .view
            .open(&program.walk)
            .map_err(|errno| PackError::Read(typed.clone(), errno))?;
        let machine = go_machine(&program.object, file.as_ref())
            .map_err(|error| PackError::Program {
                path: typed.clone(),
                error: error.into(),
            })?
            .ok_or_else(|| PackError::NoPlatform {
                path: typed.clone(),
                machine: program.object.machine_name(),
            })?;
        let platform = Platform::linux(machine.architecture, machine.variant);
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

fn require_static(subjects: &[Subject]) -> Result<(), PackError> {
    for Subject { typed, program, .. } in subjects {
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
            Some(interpreter) => format!("it requests the interpreter {}", interpreter.display()),
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
