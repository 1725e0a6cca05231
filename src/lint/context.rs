//! What is linted, and what is known of it beside its files.

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
    /// Where only data that is read at run time counts, whose.
    pub runtime: Option<Runtime>,
    /// What the image says it is for.
    pub platform: Option<ImagePlatform>,
    /// Its layers.
    pub layers: &'a [Layer],
    /// What loaders are told, for programs without raised privileges.
    pub environment: Environment,
    /// Libraries of the survey by file name and by soname.
    pub names: OnceLock<HashMap<OsString, Vec<usize>>>,
}

/// The programs whose data is looked for, with the contents of all files at hand.
pub struct Runtime {
    /// Programs that the image starts; none where it does not say, and then all count.
    pub programs: Vec<PathBuf>,
}

impl Runtime {
    /// Whether the program at a path counts.
    pub fn starts(&self, context: &Context<'_>, path: &Path) -> bool {
        let is_same = |program: &PathBuf| context.is_same(program, path);
        self.programs.is_empty() || self.programs.iter().any(is_same)
    }
}

impl Context<'_> {
    /// The tree, when the target is a whole root.
    pub fn tree(&self) -> Option<&Tree> {
        match &self.scope {
            Scope::Files => None,
            Scope::Root(tree) => Some(tree),
        }
    }

    /// The libraries that have this file name or this soname.
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

    /// Whether a path is that of the program that the image starts, links followed.
    pub fn is_started(&self, path: &Path) -> bool {
        let started = self.started.as_ref();
        started.is_some_and(|started| self.is_same(started, path))
    }

    /// Whether two paths lead to one file.
    fn is_same(&self, one: &Path, other: &Path) -> bool {
        let id = |path: &Path| self.source.view.walk(path).map(|walk| walk.metadata.id);
        one == other || matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
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
