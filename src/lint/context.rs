//! The lint target, and what is known about it besides its files.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::survey::{ElfFile, Survey};
use crate::binding::Binder;
use crate::exec::Start;
use crate::image::read::{ImagePlatform, Layer, Tree};
use crate::loader::Environment;
use crate::source::Source;

/// How much of the source belongs to the target.
pub enum Scope<'a> {
    /// Individual files of a machine; the rest of its file system is not checked.
    Files,
    /// A whole root file system.
    Root(&'a Tree),
}

/// The target, with everything that the rules look at.
pub struct Context<'a> {
    /// The files, and the loaders among them.
    pub source: &'a Source,
    /// How much of the source belongs to the target.
    pub scope: Scope<'a>,
    /// The files to check.
    pub survey: Survey,
    /// Checks symbol versions and symbols.
    pub binder: Binder<'a>,
    /// How the image is started: command, environment, working directory, user.
    pub start: Start,
    /// The path of the program that the image starts, if it was found.
    pub started: Option<PathBuf>,
    /// Set to check only the data that these programs read at run time.
    pub runtime: Option<Runtime>,
    /// The platform that the image declares.
    pub platform: Option<ImagePlatform>,
    /// The layers of the image, the lowest first; empty for anything else.
    pub layers: &'a [Layer],
    /// The environment in which loaders search, for programs without raised privileges.
    pub environment: Environment,
    /// Indices into the survey's ELF files, by file name and by soname; filled on first use.
    pub names: OnceLock<HashMap<OsString, Vec<usize>>>,
}

/// The programs whose run-time data is checked; the contents of all files are available.
pub struct Runtime {
    /// Programs that the image starts; if it declares none, every program counts.
    pub programs: Vec<PathBuf>,
}

impl Runtime {
    /// Whether the program at `path` is one of these.
    pub fn starts(&self, context: &Context<'_>, path: &Path) -> bool {
        let is_same = |program: &PathBuf| context.is_same(program, path);
        self.programs.is_empty() || self.programs.iter().any(is_same)
    }
}

impl Context<'_> {
    /// The tree, if the target is a whole root.
    pub fn tree(&self) -> Option<&Tree> {
        match &self.scope {
            Scope::Files => None,
            Scope::Root(tree) => Some(tree),
        }
    }

    /// The libraries with this file name or soname.
    pub fn libraries_called(&self, name: &OsStr) -> impl Iterator<Item = &ElfFile> {
        let names = self.names.get_or_init(|| {
            let mut names: HashMap<OsString, Vec<usize>> = HashMap::new();
            let files = self.survey.elf.iter().enumerate();
            for (number, file) in files.filter(|(_, file)| !file.is_program()) {
                let file_name = file.path.file_name().map(OsStr::to_os_string);
                let soname = file.object.soname().cloned();
                let both = file_name.iter().chain(
                    soname
                        .iter()
                        .filter(|name| file_name.as_ref() != Some(name)),
                );
                for name in both {
                    names.entry(name.clone()).or_default().push(number);
                }
            }
            names
        });
        let found = names.get(name).map_or(&[][..], Vec::as_slice);
        found.iter().map(|&number| &self.survey.elf[number])
    }

    /// Whether `path` is the program that the image starts; links are followed.
    pub fn is_started(&self, path: &Path) -> bool {
        let started = self.started.as_ref();
        started.is_some_and(|started| self.is_same(started, path))
    }

    /// Whether two paths lead to the same file.
    fn is_same(&self, one: &Path, other: &Path) -> bool {
        let id = |path: &Path| self.source.view.walk(path).map(|walk| walk.metadata.id);
        one == other || matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
    }

    /// The environment in which the loader of `file` searches.
    pub fn environment_of(&self, file: &ElfFile) -> Environment {
        Environment {
            secure: file.walk.metadata.changes_identity(),
            ..self.environment.clone()
        }
    }

    /// The digest of the layer that `path` comes from, or its diff ID if no digest is known.
    pub fn layer_of(&self, path: &Path) -> Option<String> {
        use std::os::unix::ffi::OsStrExt;
        // A dangling link comes from a layer too: walk its directory instead of the link.
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
