//! Packing: from programs to a proven tree, and from the tree to an image.
//!
//! In: the parsed command line ([`Options`]). Out: a [`Plan`], which says what the image would
//! hold and why, and the image when it is written.

mod access;
mod accounts;
mod budget;
mod error;
mod flags;
mod minimize;
mod options;
mod packages;
mod phases;
mod platforms;
mod record;
mod settings;
mod strip;
mod subjects;
mod traced;

pub use error::{MissingLibrary, PackError};
pub use flags::{TraceFlags, without_trace};
pub use minimize::{Census, Minimized, started};
pub use options::{Add, Grant, Mkdir, Options, TracedRuns};
pub use strip::{StrippedFile, Stripping, debug_path};
pub use traced::lookups;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::closure::Closure;
use crate::elf::Linkage;
use crate::image::{
    Destination, FolderOptions, FolderOwners, ImageError, Part, Settings, Style, Written,
};
use crate::inputs::Inputs;
use crate::needs::Hint;
use crate::proof::MissedCall;
use crate::rootfs::{Content, Rootfs, RootfsVfs, SourcedRootfs};
use crate::source::{Source, choose_root};
use crate::vfs::{Capabilities, View};
use accounts::Owners;
use phases::Subjects;

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
    /// Messages about what the image cannot give its programs: needs that the source cannot meet,
    /// and files that its user may not read.
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
        let source = Source::open(&root, &options.current_dir)?;
        if let Some(user) = &options.configured.user {
            Owners::new(&source, options).owner(user)?;
        }
        Self::in_source(options, source)
    }

    /// The same, for programs in `source`.
    fn in_source(options: &Options, source: Source) -> Result<Self, PackError> {
        let subjects = Subjects::find(options, &source)?;
        let resolved = subjects.resolve(options, &source)?;
        let placed = resolved.place(options, &source)?;
        let proven = placed.prove(options, &source)?;
        proven.plan(options, source)
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

    /// Whether the tree has owners, setuid bits or capabilities that only root can set.
    pub fn has_rights(&self) -> bool {
        crate::image::has_rights(&self.tree())
    }

    /// The files that have capabilities in the image, with those.
    pub fn capabilities(&self) -> Vec<(&Path, Capabilities)> {
        let files = self.rootfs.nodes().filter_map(|(path, node)| {
            let Content::File(file) = &node.content else {
                return None;
            };
            Some((path, file.capabilities?))
        });
        files.collect()
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
        let options = FolderOptions {
            time: self.settings.configured.created,
            owners: FolderOwners::Privileged,
            go_on,
        };
        crate::image::write_folder(&self.tree(), folder, &options)
            .map_err(|error| PackError::Image(error.into()))
    }

    /// The files of the image, as its programs will see them.
    pub fn view(&self) -> View {
        let vfs = RootfsVfs::new(self.rootfs.clone(), self.source.view.clone());
        View::new(Box::new(vfs), Arc::default())
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
