//! The phases of a pack, each of which consumes the one before.
//!
//! In: what was requested, and the tree that it comes from. Out: [`Subjects`] that were found,
//! [`Resolved`] with all they load and need, [`Placed`] into a tree, [`Proven`] inside it, and the
//! [`Plan`]. A later phase can be reached only through the earlier ones.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::subjects::Subject;
use super::{
    MissingLibrary, Options, PackError, PackedProgram, Plan, Stripping, access, budget, packages,
    record, settings, strip, subjects, traced, traced::PartlyPacked,
};
use crate::closure::{Closure, Missing};
use crate::elf::{Linkage, go_machine};
use crate::image::Platform;
use crate::inputs::Inputs;
use crate::loader::Environment;
use crate::needs::{self, Addition, Cause, Provision, Provisions};
use crate::proof::{MissedCall, prove};
use crate::rootfs::{Placer, Reason, Rootfs, is_excluded, is_installed};
use crate::source::Source;

/// Programs that were found, and what is added to them.
pub(super) struct Subjects {
    programs: Vec<Subject>,
    added: Vec<Provision>,
    /// Directories in which globs were matched.
    globbed: Vec<PathBuf>,
    platform: Platform,
}

/// Programs with everything they load and need.
pub(super) struct Resolved {
    programs: Vec<(Subject, Closure)>,
    provisions: Provisions,
    missing: Vec<MissingLibrary>,
    partly: PartlyPacked,
    globbed: Vec<PathBuf>,
    platform: Platform,
}

/// The tree of the image, and what has to start in it.
pub(super) struct Placed {
    programs: Vec<PlacedProgram>,
    /// What needs and `--add` added, by its path in the image.
    started: Vec<(PathBuf, Closure)>,
    rootfs: Arc<Rootfs>,
    stripping: Stripping,
    /// Bytes that `--hardlink` saves.
    linked: u64,
    /// What the needs added, except programs.
    provisions: Provisions,
    missing: Vec<MissingLibrary>,
    partly: PartlyPacked,
    globbed: Vec<PathBuf>,
    platform: Platform,
}

/// A program in the tree.
struct PlacedProgram {
    program: PackedProgram,
    /// Where its ELF file is: that of the interpreter for a script.
    elf: PathBuf,
}

/// A tree in which everything was resolved again.
pub(super) struct Proven {
    placed: Placed,
    missed_calls: Vec<MissedCall>,
}

impl Subjects {
    /// Finds the programs and files that were named.
    ///
    /// # Errors
    /// Everything that is wrong with them, not only the first.
    pub fn find(options: &Options, source: &Source) -> Result<Self, PackError> {
        let mut errors = Vec::new();
        let (programs, mut added) = subjects::find(source, options, &mut errors);
        let by_hand = subjects::added(source, options, &mut errors);
        PackError::all(errors)?;
        let platform = common_platform(source, &programs)?;
        if options.require_static {
            require_static(&programs)?;
        }
        added.extend(by_hand.provisions);
        Ok(Self {
            programs,
            added,
            globbed: by_hand.globbed,
            platform,
        })
    }

    /// Resolves what the programs load and need.
    ///
    /// # Errors
    /// When libraries are missing that are not allowed to be, or a requested need cannot be met.
    pub fn resolve(mut self, options: &Options, source: &Source) -> Result<Resolved, PackError> {
        let environment = environment(options);
        let environment = source.environment(&options.library_path, environment);
        let mut closures = self.closures(source, &environment)?;
        self.added.extend(options.busybox.as_ref().map(|busybox| {
            let cause = Cause {
                need: "busybox",
                object: None,
                sign: "--busybox".to_owned(),
            };
            Provision::usual(Addition::Busybox(source.locate(busybox)), cause)
        }));
        self.added.extend(access::kept(options, source));
        let from_runs = traced::added(options, source, &self.programs, &closures);
        self.added.extend(from_runs.provisions);
        let entrypoint = options.entrypoint.as_deref().unwrap_or_default();
        let arguments = entrypoint.iter().skip(1).chain(&options.configured.cmd);
        let arguments: Vec<String> = arguments.cloned().collect();
        let scripts = self.programs.iter().map(|subject| subject.script.clone());
        let scripts: Vec<_> = scripts.collect();
        let context = needs::NeedsContext {
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
            is_excluded: &|from, to| {
                is_excluded(to, &options.exclude) || from_runs.created.contains(from)
            },
            shown: &|path| source.shown(path),
        };
        let mut provisions = needs::provide(&context, &mut closures, self.added)?;
        provisions.warnings.extend(from_runs.warnings);
        let programs: Vec<_> = self.programs.into_iter().zip(closures).collect();
        let (mut missing, unloadable) = missing(source, &programs, &provisions);
        provisions.warnings.extend(warning_of(&unloadable));
        let may_be_missing = |library: &MissingLibrary| {
            let name = library.name.as_encoded_bytes();
            let mut globs = options.allow_missing.iter();
            globs.any(|glob| fast_glob::glob_match(glob.as_bytes(), name))
        };
        if !missing.iter().all(may_be_missing) {
            missing.retain(|library| !may_be_missing(library));
            return Err(PackError::Incomplete(missing));
        }
        Ok(Resolved {
            programs,
            provisions,
            missing,
            partly: from_runs.partly,
            globbed: self.globbed,
            platform: self.platform,
        })
    }

    fn closures(
        &self,
        source: &Source,
        environment: &Environment,
    ) -> Result<Vec<Closure>, PackError> {
        let closures = self.programs.iter().map(|subject| {
            let closure = Closure::of(&subject.program, &source.view, &source.loaders, environment);
            closure.map_err(|error| PackError::Program {
                path: subject.typed.clone(),
                error,
            })
        });
        closures.collect()
    }
}

impl Resolved {
    /// Puts everything into the tree of the image.
    ///
    /// # Errors
    /// When two files have the same path, or the image would be larger than allowed.
    pub fn place(mut self, options: &Options, source: &Source) -> Result<Placed, PackError> {
        let working_dir = working_dir(options);
        let mut placer = Placer::new(&source.view, &working_dir)
            .keeping_all_paths(source.is_image())
            .keeping_owners(source.is_image() && !options.normalize)
            .keeping_setuid(options.keep_setuid)
            .keeping_capabilities(!options.normalize);
        let mut programs = Vec::new();
        for (subject, closure) in self.programs {
            let destination = settings::destination(options, &subject.typed)?;
            programs.push(place(
                &mut placer,
                subject,
                closure,
                destination.as_deref(),
            )?);
        }
        let mut started = Vec::new();
        for opened in std::mem::take(&mut self.provisions.started) {
            let reason = placer.reason(&opened.cause);
            let own_place = opened.to.or_else(|| {
                // What a need adds keeps its path, wherever that is.
                let is_kept = source.is_image() || is_installed(&opened.path);
                (!is_kept).then(|| source.shown(&opened.path))
            });
            let placement = placer.place(&opened.closure, own_place.as_deref(), &reason)?;
            placer.own(&placement.program, opened.ownership);
            started.push((placement.program, opened.closure));
        }
        for provision in traced::without_made(&self.provisions.provisions, source) {
            placer.provide(provision)?;
        }
        access::make_folders(&mut placer, options, source)?;
        let mut rootfs = placer.finish()?;
        if !options.exclude.is_empty() {
            rootfs.exclude(&options.exclude);
        }
        let stripping = strip::strip(&mut rootfs, &source.view, options)?;
        let linked = match options.hardlink {
            true => rootfs.link_duplicates(&source.view),
            false => 0,
        };
        let closures = programs.iter().map(|placed| &placed.program.closure);
        let closures = closures.chain(started.iter().map(|(_, closure)| closure));
        let unrecorded = packages::add_records(&mut rootfs, options, source, closures);
        self.provisions.warnings.extend(unrecorded);
        access::check_working_dir(&rootfs, options)?;
        record::fill(&mut rootfs);
        budget::check(&rootfs, options.max_size)?;
        Ok(Placed {
            programs,
            started,
            rootfs: Arc::new(rootfs),
            stripping,
            linked,
            provisions: self.provisions,
            missing: self.missing,
            partly: self.partly,
            globbed: self.globbed,
            platform: self.platform,
        })
    }
}

impl Placed {
    /// Everything that has to start, by the path of its ELF file in the image.
    fn processes(&self) -> impl Iterator<Item = (&Path, &Closure)> {
        let programs = self.programs.iter();
        let programs = programs.map(|placed| (placed.elf.as_path(), &placed.program.closure));
        let started = self.started.iter();
        programs.chain(started.map(|(path, closure)| (path.as_path(), closure)))
    }

    /// Resolves everything again, inside the tree and with the environment of the image.
    ///
    /// # Errors
    /// When something would not start there as it does in the source.
    pub fn prove(self, options: &Options, source: &Source) -> Result<Proven, PackError> {
        let environment = Environment {
            working_dir: working_dir(options),
            ..environment(options)
        };
        let declines_opened = needs::rule("dlopen").is_some_and(|rule| options.needs.forbids(rule));
        let may_lack_opened = !options.allow_missing.is_empty() || declines_opened;
        let mut missed_calls = Vec::new();
        for (path, closure) in self.processes() {
            missed_calls.extend(prove(
                closure,
                path,
                &self.rootfs,
                &source.view,
                &environment,
                may_lack_opened,
            )?);
        }
        Ok(Proven {
            placed: self,
            missed_calls,
        })
    }

    /// What the image depends on.
    fn inputs(&self, options: &Options, source: &Source) -> Inputs {
        /// Where users are looked up.
        const USERS: [&str; 2] = ["/etc/passwd", "/etc/group"];
        let mut inputs = Inputs::default();
        if source.is_image() {
            // Its contents do not matter: the image is one file.
            inputs.add_image(source.root());
            return inputs;
        }
        for typed in &options.programs {
            inputs.add_path(source, &source.locate(typed));
        }
        for (_, closure) in self.processes() {
            inputs.add_closure(source, closure);
        }
        inputs.add_rootfs(source, &self.rootfs);
        for directory in &self.provisions.folders {
            inputs.add_folder(source, directory);
        }
        for directory in &self.globbed {
            inputs.add_globbed(source, directory);
        }
        if let Some((path, _)) = &options.rpm_manifest {
            inputs.add_path(source, &source.locate(path));
        }
        if options.configured.user.is_some() {
            for file in USERS {
                inputs.add_path(source, Path::new(file));
            }
        }
        inputs
    }
}

impl Proven {
    /// The plan, with the configuration of the image.
    ///
    /// # Errors
    /// When the image could not be started with what is configured.
    pub fn plan(self, options: &Options, source: Source) -> Result<Plan, PackError> {
        let inputs = self.placed.inputs(options, &source);
        let placed = self.placed;
        let programs = placed.programs.into_iter().map(|placed| placed.program);
        let programs: Vec<PackedProgram> = programs.collect();
        let settings =
            settings::settings(options, &programs, placed.platform, &placed.rootfs, &source)?;
        let mut unserved: Vec<String> = placed.provisions.warnings.into_iter().collect();
        unserved.extend(traced::unexpected(options, &placed.rootfs));
        unserved.extend(access::unreadable(&placed.rootfs, options, &source));
        let mut hints = placed.provisions.hints;
        hints.extend(placed.partly.hints(&placed.rootfs, &source.view));
        if options.wants_hints {
            hints.extend(access::homeless(&placed.rootfs, options, &source));
        }
        let mut plan = Plan {
            source,
            programs,
            rootfs: placed.rootfs,
            settings,
            inputs,
            missing: placed.missing,
            missed_calls: self.missed_calls,
            stripping: placed.stripping,
            minimized: None,
            linked: placed.linked,
            hints,
            unserved,
        };
        plan.unserved.extend(settings::absent_check(&plan));
        Ok(plan)
    }
}

/// The environment of loaders in the image.
fn environment(options: &Options) -> Environment {
    Environment {
        hwcaps: options.hwcaps,
        ..Environment::with_variables(&options.configured.env)
    }
}

fn working_dir(options: &Options) -> PathBuf {
    PathBuf::from(options.configured.working_dir.as_deref().unwrap_or("/"))
}

/// The libraries that are not found, and those that only plugins need which no user named.
fn missing(
    source: &Source,
    programs: &[(Subject, Closure)],
    provisions: &Provisions,
) -> (Vec<MissingLibrary>, Vec<MissingLibrary>) {
    let mut unloadable = Vec::new();
    let sonames = sonames(programs, &provisions.started);
    let mut missing: Vec<MissingLibrary> = Vec::new();
    for (subject, closure) in programs {
        // As for plugins, below.
        let is_there = |missing: &Missing| {
            let mut requesters = missing.requesters.iter();
            sonames.contains(&missing.name)
                && requesters.all(|requester| closure.is_opened(*requester))
        };
        let lacks = missing_libraries(source, &subject.typed, closure).into_iter();
        let lacks = lacks.zip(&closure.missing);
        let lacks = lacks.filter(|(_, missing)| !is_there(missing));
        missing.extend(lacks.map(|(library, _)| library));
    }
    for started in &provisions.started {
        let path = source.shown(&started.path);
        let lacks = missing_libraries(source, &path, &started.closure).into_iter();
        let is_plugin = started.closure.program().object.linkage() == Linkage::Library;
        // A plugin is opened by a process that has already loaded libraries: libjvm.so is in no
        // directory that a loader searches, and every library of Java needs it.
        let lacks = lacks.filter(|library| !is_plugin || !sonames.contains(&library.name));
        // What nobody named and cannot be loaded in the source either changes nothing.
        match is_plugin && !started.cause.is_by_user() {
            true => unloadable.extend(lacks),
            false => missing.extend(lacks),
        }
    }
    (once_each(missing), unloadable)
}

/// A warning about plugins that cannot be loaded, in the source either.
fn warning_of(unloadable: &[MissingLibrary]) -> Option<String> {
    let first = unloadable.first()?;
    let programs: BTreeSet<&Path> = unloadable.iter().map(|library| &*library.program).collect();
    let more = match programs.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Some(format!(
        "{}{more} cannot be loaded, here either: {} not found",
        first.program.display(),
        first.name.display()
    ))
}

/// Each missing library once, with everything that needs it.
fn once_each(missing: Vec<MissingLibrary>) -> Vec<MissingLibrary> {
    let mut once: Vec<MissingLibrary> = Vec::new();
    let mut known: HashMap<OsString, usize> = HashMap::new();
    for library in missing {
        match known.get(&library.name) {
            Some(&at) => {
                let requesters = &mut once[at].requesters;
                let mut more = library.requesters;
                more.retain(|path| !requesters.contains(path));
                requesters.extend(more);
            }
            None => {
                known.insert(library.name.clone(), once.len());
                once.push(library);
            }
        }
    }
    once
}

/// The names of all libraries of the image.
fn sonames(programs: &[(Subject, Closure)], started: &[needs::Started]) -> BTreeSet<OsString> {
    let programs = programs.iter().map(|(_, closure)| closure);
    let closures = programs.chain(started.iter().map(|started| &started.closure));
    let objects = closures.flat_map(|closure| closure.map.objects());
    objects
        .filter_map(|object| object.object.soname().cloned())
        .collect()
}

/// Places a program or a script.
fn place(
    placer: &mut Placer<'_>,
    subject: Subject,
    closure: Closure,
    destination: Option<&Path>,
) -> Result<PlacedProgram, PackError> {
    let (path, elf) = match &subject.script {
        None => {
            let placement = placer.place(&closure, destination, &Reason::Program)?;
            (placement.program.clone(), placement.program)
        }
        Some(script) => {
            let path = placer.place_script(script, destination)?;
            let reason = Reason::InterpreterOf(path.clone());
            // The `#!` line of the script has its path.
            let place = &closure.program().opened_as;
            let interpreter = placer.place(&closure, Some(place), &reason)?;
            (path, interpreter.program)
        }
    };
    Ok(PlacedProgram {
        program: PackedProgram {
            typed: subject.typed,
            path,
            is_script: subject.script.is_some(),
            closure,
        },
        elf,
    })
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
