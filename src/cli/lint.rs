//! `slimpack lint TARGET...`.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use super::args::{Common, ImageArgs, LintArgs, LintFormat};
use super::baseline::Baselines;
use super::error::CliError;
use super::inspect;
use super::location::ImageLocation;
use super::many::{self, Layers};
use super::progress::Progress;
use crate::binding::Binder;
use crate::config::Config;
use crate::exec::{Interpreters, Start};
use crate::image::read::{
    AnomalyKind, Description, Fault, Head, Image, Interest, Kind, Layer, ReadError, Tree,
};
use crate::lint::{
    self, Context, ElfFile, Findings, Gate, Ignore, Policy, PolicyError, Runtime, Scope, Survey,
    known_rule,
};
use crate::loader::Environment;
use crate::output::Output;
use crate::pack::started;
use crate::remedy::Remedies;
use crate::report::lint as report;
use crate::report::lint::Linted;
use crate::source::{Source, choose_root};
use crate::vfs::NodeKind;

/// The rule about data that programs read at run time.
const RUNTIME: &str = "SP401";
/// Name of the policy file, next to the target.
const POLICY_FILE: &str = "slimpack.toml";

pub(super) fn run(args: &LintArgs, common: &Common) -> Result<ExitCode, CliError> {
    let mut out = super::text_output(matches!(args.format, LintFormat::Text));
    if args.list_rules {
        report::list_rules(&mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(id) = &args.explain {
        let rule = known_rule(id).map_err(usage)?;
        report::explain(rule, &mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let targets = many::targets(&args.targets, &args.many)?;
    let linter = Linter {
        args,
        reading: args.reading.clone(),
        current_dir: env::current_dir().map_err(CliError::CurrentDir)?,
        policy: policy(args)?,
        layers: Layers::open(&targets, &args.many)?,
        interrupted: OnceLock::new(),
    };
    super::warn_of_library_path(&args.source, common);
    let mut baselines = Baselines::open(args)?;
    let (mut linted, mut status) = (Vec::new(), 0);
    let mut note = |checked: Checked| {
        if linter.interrupted.get().is_some() {
            return;
        }
        let (mut found, result) = checked;
        for target in &mut found {
            let counts = baselines.apply(target);
            status = status.max(u8::from(counts && target.fails()));
        }
        linted.extend(found);
        // The other targets are still checked.
        if let Err(error) = result {
            error.report();
            status = 2;
        }
    };
    let jobs = args.many.jobs.get().min(targets.len());
    match jobs {
        0 | 1 => targets
            .iter()
            .for_each(|target| note(linter.alone(target, common.quiet))),
        _ => linter
            .in_parallel(&targets, jobs, common.quiet)
            .for_each(note),
    }
    if let Some(signal) = linter.interrupted.get() {
        return Err(CliError::Interrupted(*signal));
    }
    // Nothing is known about what could not be checked.
    if status != 2 {
        baselines.finish(&linter.policy)?;
    }
    print(linted, args, common, &mut out)?;
    if let Some(stamp) = args.stamp.as_deref().filter(|_| status == 0) {
        write_stamp(stamp)?;
    }
    Ok(ExitCode::from(status))
}

/// Prints the findings in the format that is asked for.
fn print(
    linted: Vec<Linted>,
    args: &LintArgs,
    common: &Common,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let shows_all = common.verbose > 0 || args.runtime;
    match args.format {
        LintFormat::Text if args.stamp.is_some() => {
            let told: Vec<_> = linted.into_iter().filter(Linted::has_findings).collect();
            if !told.is_empty() {
                report::text(&told, shows_all, common.quiet, out)?;
            }
        }
        // Nothing was checked, and the errors are already reported.
        LintFormat::Text if linted.is_empty() => {}
        LintFormat::Text => report::text(&linted, shows_all, common.quiet, out)?,
        LintFormat::Github => report::github(&linted, out)?,
        LintFormat::Junit => report::junit(&linted, out)?,
        LintFormat::Json => writeln!(out, "{}", super::json(&report::json(&linted))?)?,
        LintFormat::Sarif => writeln!(out, "{}", super::json(&report::sarif(&linted))?)?,
        LintFormat::Gitlab => writeln!(out, "{}", super::json(&report::gitlab(&linted))?)?,
    }
    Ok(out.flush()?)
}

/// Writes an empty file whose time is that of the last successful check.
fn write_stamp(path: &Path) -> Result<(), CliError> {
    match Output::create(path)? {
        Output::File(file) => Ok(file.publish()?),
        Output::Device(_) => Ok(()),
    }
}

fn usage(error: PolicyError) -> CliError {
    CliError::Usage(error.to_string())
}

/// The policy from the command line, and from the file of `--config`.
fn policy(args: &LintArgs) -> Result<Policy, CliError> {
    let ignore = args.ignore.iter().map(|text| Ignore::parse(text));
    let runtime = args.runtime.then_some(RUNTIME);
    let only = args.only.iter().map(String::as_str).chain(runtime);
    let only = only.map(known_rule);
    let mut policy = Policy {
        ignore: ignore.collect::<Result<_, _>>().map_err(usage)?,
        only: only.collect::<Result<_, _>>().map_err(usage)?,
        fail_on: match (args.fail_on, args.runtime) {
            (Some(fail_on), _) => fail_on.severity(),
            (None, true) => Some(lint::Severity::Info),
            (None, false) => Some(lint::Severity::Error),
        },
        gate: Gate::default(),
    };
    if let Some(path) = &args.config {
        add_file(&mut policy, path, args.fail_on.is_some() || args.runtime)?;
    }
    Ok(policy)
}

fn add_file(policy: &mut Policy, path: &Path, fail_on_is_set: bool) -> Result<(), CliError> {
    let fail = |what: String| CliError::Usage(format!("cannot use {}: {what}", path.display()));
    let config = Config::read(path).map_err(|error| fail(error.to_string()))?;
    policy
        .add_section(config.lint, fail_on_is_set)
        .map_err(|error| fail(error.to_string()))
}

struct Linter<'a> {
    args: &'a LintArgs,
    /// How images are read: a job that is one of several has its share of the limits.
    reading: ImageArgs,
    current_dir: PathBuf,
    policy: Policy,
    layers: Option<Layers>,
    /// The signal that ended the check of a target, and of all that follow.
    interrupted: OnceLock<i32>,
}

/// What was found in a target, and why not all of it was checked.
type Checked = (Vec<Linted>, Result<(), CliError>);

impl Linter<'_> {
    /// Checks one target while no other is checked.
    fn alone(&self, target: &Path, quiet: bool) -> Checked {
        let _progress = Progress::reading(target, "checking", quiet);
        self.checked(target, &self.reading)
    }

    fn checked(&self, target: &Path, reading: &ImageArgs) -> Checked {
        let mut linted = Vec::new();
        if let Some(signal) = self.interrupted.get() {
            return (linted, Err(CliError::Interrupted(*signal)));
        }
        let result = self.target(target, reading, &mut linted);
        if let Err(CliError::Interrupted(signal)) = &result {
            let _ = self.interrupted.set(*signal);
        }
        (linted, result)
    }

    /// Checks several targets at a time. One for which its share of the limits is too little is checked
    /// again on its own: whatever the number of jobs, the result is the same.
    fn in_parallel<'t>(
        &'t self,
        targets: &'t [PathBuf],
        jobs: usize,
        quiet: bool,
    ) -> impl Iterator<Item = Checked> + 't {
        let (jobs, limits) = many::shares(jobs, &inspect::limits(&self.reading));
        let mut reading = self.reading.clone();
        reading.limits.extend(limits);
        let checked = many::in_parallel(targets, jobs, quiet, |target| {
            self.checked(target, &reading)
        });
        let all = targets.iter().zip(checked);
        all.map(move |(target, checked)| match checked.1 {
            Err(CliError::Image { .. } | CliError::Unread { .. }) => self.alone(target, quiet),
            _ => checked,
        })
    }

    /// Checks one target.
    fn target(
        &self,
        path: &Path,
        reading: &ImageArgs,
        linted: &mut Vec<Linted>,
    ) -> Result<(), CliError> {
        let policy = self.policy_for(path)?;
        if begins_as_elf(path) {
            linted.push(self.files(path, "elf", &[path.to_path_buf()], &policy)?);
        } else {
            self.images(path, reading, &policy, linted)?;
        }
        Ok(())
    }

    /// The policy with the `slimpack.toml` next to the target, unless `--config` was given.
    fn policy_for(&self, target: &Path) -> Result<Policy, CliError> {
        let policy = self.policy.clone();
        let fail_on_is_set = self.args.fail_on.is_some() || self.args.runtime;
        match self.args.config {
            Some(_) => Ok(policy),
            None => with_file_beside(policy, target, fail_on_is_set),
        }
    }

    /// Checks files of this machine, or of a sysroot.
    fn files(
        &self,
        name: &Path,
        kind: &'static str,
        files: &[PathBuf],
        policy: &Policy,
    ) -> Result<Linted, CliError> {
        let first = files.first().map_or(name, PathBuf::as_path);
        let root = choose_root(&self.args.source.roots, first, &self.current_dir)?;
        let source = Source::open(&root, &self.current_dir)?;
        let files: Vec<_> = files.iter().map(|file| source.locate(file)).collect();
        let told = Environment::with_variables(&self.args.env);
        let environment = source.environment(&self.args.source.library_path, told);
        let context = Context {
            survey: Survey::of_files(&files, &source.view),
            scope: Scope::Files,
            binder: Binder::new(&source.view),
            start: Start::default(),
            started: None,
            runtime: None,
            platform: None,
            layers: &[],
            environment,
            names: OnceLock::new(),
            source: &source,
        };
        if context.survey.elf.is_empty() && kind == "elf" {
            // The error says why it is not an ELF program.
            crate::closure::Program::find(&source.view, &files[0]).map_err(|error| {
                CliError::Program {
                    path: name.to_path_buf(),
                    error,
                }
            })?;
        }
        let findings = lint::lint(&context, policy, None)?;
        Ok(Linted {
            name: name.display().to_string(),
            path: name.to_path_buf(),
            kind,
            fail_on: policy.fail_on,
            remedies: None,
            findings,
        })
    }

    fn images(
        &self,
        path: &Path,
        reading: &ImageArgs,
        policy: &Policy,
        linted: &mut Vec<Linted>,
    ) -> Result<(), CliError> {
        // What a program reads is detected by the strings in it.
        let interest = match self.args.runtime {
            true => Interest::Contents,
            false => Interest::Symbols,
        };
        let cache = self.layers.as_ref().map(|layers| &layers.cache);
        let mut images = match inspect::open_cached(path, reading, interest, cache) {
            Ok(images) => images,
            // A document does not match its descriptor: nothing else can be checked.
            Err(CliError::Image {
                error: ReadError::Integrity(faults),
                ..
            }) => {
                linted.push(of_faults(path, &faults, policy));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let kind = images.kind;
        let count = images.count();
        for number in 0..count {
            let image = inspect::read_one(path, &mut images, number)?;
            let anomalies = image.tree.anomalies.kept.iter();
            let mut unread: Vec<PathBuf> = anomalies
                .filter(|anomaly| anomaly.kind == AnomalyKind::Unreadable)
                .map(|anomaly| anomaly.name.clone())
                .collect();
            if kind == Kind::Rootfs && !looks_like_root(&image.tree) {
                let files = elf_files(&image.tree, path);
                unread.extend(unreadable_files(&image.tree));
                if files.is_empty() && unread.is_empty() {
                    return Err(CliError::NothingToCheck(path.to_path_buf()));
                }
                linted.push(self.files(path, "folder", &files, policy)?);
                all_read(path, &unread)?;
                continue;
            }
            let name = images.label(number).map_or_else(
                || path.display().to_string(),
                |label| format!("{}{label}", path.display()),
            );
            let (findings, files, remedies) = self.image(path, image, policy)?;
            unread.extend(files);
            linted.push(Linted {
                name,
                path: path.to_path_buf(),
                kind: kind.as_str(),
                fail_on: policy.fail_on,
                remedies,
                findings,
            });
            all_read(path, &unread)?;
        }
        Ok(())
    }

    /// Checks one image; also returns which of its files could not be read, and what would fix it.
    fn image(
        &self,
        path: &Path,
        image: Image,
        policy: &Policy,
    ) -> Result<(Findings, Vec<PathBuf>, Option<Remedies>), CliError> {
        let start = Start::of(&image);
        let source = Source::of_image(path, image.view(), &start.working_dir);
        let runtime = self.args.runtime.then(|| Runtime {
            programs: programs_started(path, &image, &source),
        });
        let context = Context {
            runtime,
            environment: environment(&source, start.env.iter().chain(&self.args.env)),
            ..context(
                start,
                image.description.as_ref(),
                &image.tree,
                &image.layers,
                &source,
            )
        };
        // The digests were computed in the meantime.
        let findings = lint::lint(&context, policy, Some(image.verification))
            .map_err(|error| CliError::image(path, error.into()))?;
        let remedies = match self.args.fix_hints {
            false => None,
            true => {
                let root = self.args.from_root.as_deref().unwrap_or(Path::new("/"));
                let donor = Source::open(root, &self.current_dir)?;
                Some(Remedies::of(&context, &findings.findings, &donor))
            }
        };
        Ok((findings, context.survey.unreadable, remedies))
    }
}

/// An image of which only the faults of its documents are known.
fn of_faults(path: &Path, faults: &[Fault], policy: &Policy) -> Linted {
    Linted {
        name: path.display().to_string(),
        path: path.to_path_buf(),
        kind: "image",
        fail_on: policy.fail_on,
        remedies: None,
        findings: lint::of_faults(faults, policy),
    }
}

/// A policy with the `slimpack.toml` next to the target, if there is one.
fn with_file_beside(
    mut policy: Policy,
    target: &Path,
    fail_on_is_set: bool,
) -> Result<Policy, CliError> {
    let folder = match ImageLocation::of(target).path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let beside = folder.join(POLICY_FILE);
    if target != Path::new("-") && beside.is_file() {
        add_file(&mut policy, &beside, fail_on_is_set)?;
    }
    Ok(policy)
}

/// What `slimpack lint` finds in an image without options; digests are not checked.
pub(super) fn findings(path: &Path, image: &Image, source: &Source) -> Result<Findings, CliError> {
    let policy = with_file_beside(Policy::default(), path, false)?;
    let (start, description) = (Start::of(image), image.description.as_ref());
    let context = context(start, description, &image.tree, &image.layers, source);
    Ok(lint::lint(&context, &policy, None)?)
}

/// All programs of an image, then its libraries, each by path.
pub(super) fn programs_then_libraries(image: &Image, source: &Source) -> Vec<PathBuf> {
    let elf = Survey::of_tree(&image.tree, &source.view).elf;
    let (programs, libraries): (Vec<_>, Vec<_>) = elf.into_iter().partition(ElfFile::is_program);
    let all = programs.into_iter().chain(libraries);
    all.map(|file| file.path).collect()
}

/// The variables of a loader's environment in an image.
fn environment<'v>(source: &Source, variables: impl Iterator<Item = &'v String>) -> Environment {
    let variables: Vec<String> = variables.cloned().collect();
    Environment {
        working_dir: source.working_dir(),
        ..Environment::with_variables(&variables)
    }
}

/// An image as a target.
fn context<'a>(
    start: Start,
    description: Option<&Description>,
    tree: &'a Tree,
    layers: &'a [Layer],
    source: &'a Source,
) -> Context<'a> {
    Context {
        survey: Survey::of_tree(tree, &source.view),
        scope: Scope::Root(tree),
        binder: Binder::new(&source.view),
        started: start.program(&source.view).ok(),
        runtime: None,
        platform: description.map(|image| image.platform.clone()),
        layers,
        environment: environment(source, start.env.iter()),
        start,
        names: OnceLock::new(),
        source,
    }
}

/// The programs that an image starts, and the interpreters of those that are scripts; none if it
/// does not specify a program.
fn programs_started(name: &Path, image: &Image, source: &Source) -> Vec<PathBuf> {
    let mut programs = started(image, name, source).unwrap_or_default();
    let env = Start::of(image).env;
    for program in programs.clone() {
        if let Some(Ok(found)) = Interpreters::of(&source.view, &env, &program) {
            programs.push(found.interpreter);
            programs.extend(found.command);
        }
    }
    programs
}

/// Whether a file is a program or library, not an image or directory.
fn begins_as_elf(path: &Path) -> bool {
    let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
    let mut start = [0; Head::LENGTH];
    is_file
        && fs::File::open(path)
            .and_then(|mut file| file.read_exact(&mut start))
            .is_ok()
        && Head::of(&start) == Head::Elf
}

/// Whether a directory is a root, not just a directory with programs: it has the directories of a
/// root, or a loader.
fn looks_like_root(tree: &Tree) -> bool {
    const FOLDERS: [&str; 6] = [
        "/usr/bin",
        "/usr/lib",
        "/usr/local/bin",
        "/etc",
        "/lib64",
        "/bin/sh",
    ];
    let mut folders = FOLDERS.iter();
    let has_loader = || {
        let in_lib = tree
            .walk()
            .filter(|(path, ..)| path.parent() == Some(Path::new("/lib")));
        let mut names = in_lib.filter_map(|(path, ..)| path.file_name().map(ToOwned::to_owned));
        names.any(|name| name.as_encoded_bytes().starts_with(b"ld-"))
    };
    folders.any(|folder| tree.node(folder.as_bytes()).is_ok()) || has_loader()
}

/// Refuses to pass a target over which not all is known.
fn all_read(path: &Path, unread: &[PathBuf]) -> Result<(), CliError> {
    match unread.first() {
        None => Ok(()),
        Some(first) => Err(CliError::Unread {
            path: path.to_path_buf(),
            first: first.clone(),
            count: unread.len(),
        }),
    }
}

/// Files of a directory that this user may not read.
fn unreadable_files(tree: &Tree) -> Vec<PathBuf> {
    let files = tree.walk().filter(|(_, _, node)| {
        node.kind() == NodeKind::File && node.size > 0 && node.head() == Head::Other
    });
    // Programs and scripts have been read.
    files
        .filter(|(_, _, node)| !node.open().is_ok_and(|file| file.prefix(0, 1).is_ok()))
        .map(|(path, _, _)| path)
        .collect()
}

/// The ELF files in a directory of this machine.
fn elf_files(tree: &Tree, folder: &Path) -> Vec<PathBuf> {
    let files = tree
        .walk()
        .filter(|(_, _, node)| node.size > 0 && node.head() == Head::Elf);
    files
        .map(|(path, _, _)| folder.join(path.strip_prefix("/").unwrap_or(&path)))
        .collect()
}
