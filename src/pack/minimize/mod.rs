//! Packing from an image: what it starts, with its configuration.
//!
//! In: options, and an image that has been read. Out: the options that describe the same image
//! with nothing but what it starts, where explicit options override inherited ones; and figures of
//! both images.

mod census;
mod start;

pub use census::Census;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::image::Config;

use super::accounts::Owners;
use super::{Options, PackError, Plan};
use crate::exec::Start;
use crate::image::read::{Description, Image};
use crate::image::{Configured, Tag};
use crate::needs::told_paths;
use crate::packages::Packages;
use crate::rootfs::Rootfs;
use crate::source::Source;
use crate::vfs::NodeKind;

/// The sticky bit (`inode(7)`).
const STICKY: u32 = 0o1000;

/// The image that a plan is made from, with figures before and after.
#[derive(Debug)]
pub struct Minimized {
    /// The image, as it was typed.
    pub image: PathBuf,
    /// Figures of that image.
    pub before: Census,
    /// Figures of the minimized image.
    pub after: Census,
}

impl Plan {
    /// Plans and proves the minimal image that still runs what `image`, named `name`, starts, or
    /// the programs in it that `options` name.
    ///
    /// # Errors
    /// Those of [`Plan::new`], and [`PackError::NoEntrypoint`].
    pub fn from_image(options: &Options, name: &Path, image: &Image) -> Result<Self, PackError> {
        let view = image.view();
        let packages = Packages::read(&view);
        let before = Census::of_image(image, packages.as_ref());
        let start = Start::of(image);
        let source = Source::of_image(name, view, &start.working_dir);
        if let Some(user) = &options.configured.user {
            Owners::new(&source, options).owner(user)?;
        }
        let mut inherited = inherit(options, name, image, &source)?;
        inherited.kept = kept(options, &inherited.configured, image, &source);
        let mut plan = Self::in_source(&inherited, source)?;
        plan.unserved.extend(rights_by_name(&plan.rootfs, image));
        plan.minimized = Some(Minimized {
            image: name.to_path_buf(),
            before,
            after: Census::of_rootfs(&plan.rootfs, packages.as_ref(), &plan.source.view),
        });
        Ok(plan)
    }
}

/// Reports which files and directories lose the rights that an access control list gives to users and
/// groups by name: no image has such lists of its own.
fn rights_by_name(rootfs: &Rootfs, image: &Image) -> Option<String> {
    let names_others = |path: &&Path| {
        let node = image.tree.node(path.as_os_str().as_bytes());
        node.is_ok_and(|(_, node)| node.names_others)
    };
    let paths = rootfs.nodes().map(|(path, _)| path);
    let lost = told_paths(paths.filter(names_others), 1)?;
    Some(format!(
        "the access control list of {lost} names users or groups; in the new image, only owner, group and \
         others have rights"
    ))
}

/// The programs that an image starts through its entrypoint, arguments and health check.
///
/// # Errors
/// When it starts none, or does not contain the one that it starts.
pub fn started(image: &Image, name: &Path, source: &Source) -> Result<Vec<PathBuf>, PackError> {
    let start = Start::of(image);
    let (entrypoint, cmd) = start.words.split_at(start.entrypoint);
    all_programs(&start, source, entrypoint, cmd, name)
}

fn all_programs(
    start: &Start,
    source: &Source,
    entrypoint: &[String],
    cmd: &[String],
    name: &Path,
) -> Result<Vec<PathBuf>, PackError> {
    let mut programs = start::programs(start, &source.view, entrypoint, cmd, name)?;
    for program in start::checkers(start, &source.view) {
        if !programs.contains(&program) {
            programs.push(program);
        }
    }
    Ok(programs)
}

fn inherit(
    options: &Options,
    name: &Path,
    image: &Image,
    source: &Source,
) -> Result<Options, PackError> {
    let nothing = Config::default();
    let description = image.description.as_ref();
    let config = description.and_then(|image| image.config.config().as_ref());
    let config = config.unwrap_or(&nothing);
    let mut inherited = options.clone();
    inherited.inherits_user = options.configured.user.is_none();
    inherited.configured = configured(&options.configured, config, description);
    if inherited.tags.is_empty() {
        inherited.tags.extend(description.and_then(slim_tag));
    }
    let start = Start {
        env: inherited.configured.env.clone(),
        working_dir: source.working_dir(),
        ..Start::default()
    }
    .checked_by(inherited.configured.healthcheck.as_ref());
    if !options.programs.is_empty() {
        // A plain name is a command of the image.
        inherited.programs = options
            .programs
            .iter()
            .map(|typed| start::named(&start, &source.view, typed))
            .collect();
        return Ok(inherited);
    }
    let started = Start::of(image);
    let of_image = started.words.split_at(started.entrypoint);
    // As with docker run --entrypoint, a new entrypoint does not get the old arguments.
    let (entrypoint, cmd) = match (&options.entrypoint, options.configured.cmd.is_empty()) {
        (Some(entrypoint), _) => (entrypoint.clone(), options.configured.cmd.clone()),
        (None, false) => (of_image.0.to_vec(), options.configured.cmd.clone()),
        (None, true) => (of_image.0.to_vec(), of_image.1.to_vec()),
    };
    inherited.programs = all_programs(&start, source, &entrypoint, &cmd, name)?;
    inherited.entrypoint = Some(entrypoint);
    inherited.configured.cmd = cmd;
    Ok(inherited)
}

/// The image's configuration, overridden by `asked`. The arguments are not inherited here.
fn configured(asked: &Configured, config: &Config, image: Option<&Description>) -> Configured {
    let mut configured = asked.clone();
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let is_new = |entry: &&String| !asked.env.iter().any(|own| name(own) == name(entry));
    let inherited = config.env().iter().flatten().filter(is_new).cloned();
    configured.env = inherited.chain(asked.env.iter().cloned()).collect();
    let or = |own: &Option<String>, inherited: &Option<String>| {
        let inherited = inherited.as_ref().filter(|value| !value.is_empty());
        own.as_ref().or(inherited).cloned()
    };
    configured.user = or(&asked.user, config.user());
    configured.working_dir = or(&asked.working_dir, config.working_dir());
    configured.stop_signal = or(&asked.stop_signal, config.stop_signal());
    let record = |label: &(&String, &String)| !crate::image::is_record(label.0);
    for (label, value) in config.labels().iter().flatten().filter(record) {
        let entry = configured.labels.entry(label.clone());
        entry.or_insert_with(|| value.clone());
    }
    let more = |own: &mut Vec<String>, inherited: &Option<Vec<String>>| {
        for value in inherited.iter().flatten() {
            if !own.contains(value) {
                own.push(value.clone());
            }
        }
        own.sort();
    };
    more(&mut configured.expose, config.exposed_ports());
    more(&mut configured.volumes, config.volumes());
    if let Some(image) = image {
        configured.author = or(&asked.author, image.config.author());
        let healthcheck = asked.healthcheck.as_ref().or(image.healthcheck.as_deref());
        configured.healthcheck = healthcheck.cloned();
    }
    configured
}

/// The directories that the image's programs may write to or start in: its working directory, its
/// volumes, the home of its user, and those with the sticky bit.
fn kept(
    asked: &Options,
    configured: &Configured,
    image: &Image,
    source: &Source,
) -> Vec<(PathBuf, &'static str)> {
    let mut kept = Vec::new();
    if asked.configured.working_dir.is_none() {
        let directory = configured.working_dir.iter().map(PathBuf::from);
        kept.extend(directory.map(|path| (Path::new("/").join(path), "its working directory")));
    }
    let is_new = |path: &&String| !asked.configured.volumes.contains(path);
    let volumes = configured.volumes.iter().filter(is_new);
    kept.extend(volumes.map(|path| (Path::new("/").join(path), "one of its volumes")));
    let user = configured.user.as_deref().unwrap_or("root");
    let home = Owners::new(source, asked).home(user);
    kept.extend(home.map(|path| (path, "the home of its user")));
    let directories = image
        .tree
        .walk()
        .filter(|(_, _, node)| node.kind() == NodeKind::Directory && node.mode & STICKY != 0);
    kept.extend(directories.map(|(path, ..)| (path, "sticky: all may write to it")));
    kept.retain(|(path, _)| path != Path::new("/"));
    kept
}

/// The image's name with another tag, so that loading the new image does not replace the old one.
fn slim_tag(image: &Description) -> Option<Tag> {
    let name = image.tags.iter().find(|tag| tag.contains(':'))?;
    Tag::parse(&format!("{name}-slim")).ok()
}
