//! What is linted, and what is known of it beside its files.

use std::path::{Path, PathBuf};

use super::survey::{ElfFile, Survey};
use crate::binding::Binder;
use crate::image::Start;
use crate::image::read::{ImagePlatform, Layer, Tree};
use crate::loader::Environment;
use crate::source::Source;

/// How much of the source the target is.
pub enum Scope<'a> {
    /// Some files of a machine; what else is there is none of their business.
    Files,
    /// A whole root.
    Root(&'a Tree),
}

/// A target with everything that rules look at.
pub struct Context<'a> {
    /// Where files are found.
    pub source: &'a Source,
    /// How much of it is the target.
    pub scope: Scope<'a>,
    /// What there is to check.
    pub survey: Survey,
    /// Checks versions and symbols.
    pub binder: Binder<'a>,
    /// How the image is started.
    pub start: Start,
    /// The program that it starts, where it is found.
    pub started: Option<PathBuf>,
    /// What the image says it is for.
    pub platform: Option<ImagePlatform>,
    /// Its layers.
    pub layers: &'a [Layer],
    /// What loaders are told, for programs without raised privileges.
    pub environment: Environment,
}

impl Context<'_> {
    /// The tree, when the target is a whole root.
    pub fn tree(&self) -> Option<&Tree> {
        match &self.scope {
            Scope::Files => None,
            Scope::Root(tree) => Some(tree),
        }
    }

    /// What the loader of a program is told.
    pub fn environment_of(&self, file: &ElfFile) -> Environment {
        Environment {
            secure: file.walk.metadata.changes_identity(),
            ..self.environment.clone()
        }
    }

    /// The digest of the layer that a path comes from.
    pub fn layer_of(&self, path: &Path) -> Option<String> {
        use std::os::unix::ffi::OsStrExt;
        // A link that leads nowhere comes from a layer too: its folder is walked, not itself.
        let view = &self.source.view;
        let real = match view.walk(path) {
            Ok(walk) => walk.real.clone(),
            Err(_) => view.walk(path.parent()?).ok()?.real.join(path.file_name()?),
        };
        let (_, node) = self.tree()?.node(real.as_os_str().as_bytes()).ok()?;
        let layer = self.layers.get(node.layer as usize)?;
        Some(
            layer
                .digest
                .clone()
                .unwrap_or_else(|| layer.diff_id.clone()),
        )
    }
}
