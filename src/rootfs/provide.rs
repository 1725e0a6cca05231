//! Placing what programs read, start and open at run time.
//!
//! In: what the needs add. Out: files, directories and links in the tree, each with its reason.

use std::path::{Path, PathBuf};

use super::{Placer, Reason, RootfsError, SourceFile};
use crate::loader::Objects;
use crate::needs::{Addition, Cause, Ownership, Provision};
use crate::vfs::{Errno, Owner};

/// Why something that was added cannot be placed.
#[derive(Debug, thiserror::Error)]
pub enum ProvideError {
    /// The tree of the image cannot be built.
    #[error("cannot build the image: {0}")]
    Rootfs(#[from] RootfsError),
    /// A file of the source can no longer be used.
    #[error("cannot add {}: {}", .0.display(), .1.message())]
    Source(PathBuf, Errno),
    /// A busybox whose list of commands cannot be found.
    #[error("cannot add {} as busybox: it contains no command table; name a static busybox \
         (package busybox-static)", .0.display())]
    NoBusybox(PathBuf),
}

impl Placer<'_> {
    /// Turns a cause into a reason, with the object's path in the image.
    pub fn reason(&self, cause: &Cause) -> Reason {
        let object = cause
            .object
            .as_ref()
            .and_then(|object| self.place_of(object));
        Reason::Need {
            need: cause.need,
            object: object.cloned(),
            sign: cause.sign.clone(),
        }
    }

    /// Creates a directory that nothing else provides, for its owner to write to.
    pub fn make_folder(&mut self, path: &Path, owner: Owner, cause: &Cause) {
        let reason = self.reason(cause);
        self.builder
            .missing_folder(path.to_path_buf(), owner, reason);
    }

    /// Sets the owner and mode of what a path finally resolves to.
    pub fn own(&mut self, path: &Path, ownership: Ownership) {
        self.builder.own(path.to_path_buf(), ownership);
    }

    /// Places a script; returns its path in the image.
    ///
    /// # Errors
    /// When its path conflicts with another entry, or does not exist.
    pub fn place_script(
        &mut self,
        path: &Path,
        destination: Option<&Path>,
    ) -> Result<PathBuf, ProvideError> {
        let walk = self.walk(path)?;
        let file = SourceFile::of(walk.clone(), true);
        let placed = self.place_program(path, &walk, file, destination, &Reason::Program)?;
        Ok(placed.0)
    }

    /// Places what a need adds. Programs and libraries are placed with what they load by
    /// [`Placer::place`].
    ///
    /// # Errors
    /// When a file can no longer be found, or two entries conflict.
    pub fn provide(&mut self, provision: &Provision) -> Result<(), ProvideError> {
        let reason = self.reason(&provision.cause);
        let ownership = provision.ownership;
        match &provision.addition {
            Addition::Made(path, bytes) => {
                let file = SourceFile::made(bytes.clone());
                self.builder.own(path.clone(), ownership);
                self.builder.weak_file(path.clone(), file, reason);
            }
            Addition::Folder(path, mode) => {
                // A link in the place of a directory stays one: `/var/run` leads to `/run`.
                let path = match reason.is_by_hand() {
                    true => path.clone(),
                    false => self.keep_way_to(path, &reason)?,
                };
                self.builder.own(path.clone(), ownership);
                self.builder.given_folder(path, *mode, reason);
            }
            Addition::State { path, owner, mode } => {
                let path = self.keep_way_to(path, &reason)?;
                let ownership = Ownership {
                    owner: Some(*owner),
                    mode: Some(*mode),
                };
                self.builder.own_weakly(path.clone(), ownership);
                self.builder.given_folder(path, *mode, reason);
            }
            Addition::Link(path, target) => {
                if let Some(owner) = ownership.owner {
                    self.builder.keep_owner(path.clone(), owner);
                }
                self.builder.weak_link(path.clone(), target.clone(), reason);
            }
            Addition::File(path) => {
                let walk = self.walk(path)?;
                self.builder.own(walk.real.clone(), ownership);
                self.keep_way_for(&walk, &reason)?;
                let file = SourceFile::added(walk.clone(), self.source);
                match reason.is_by_hand() {
                    true => self.builder.file(walk.real.clone(), file, reason),
                    false => self.builder.weak_file(walk.real.clone(), file, reason),
                }
            }
            Addition::Copy { from, to } => {
                let walk = self.walk(from)?;
                let file = SourceFile::added(walk.clone(), self.source);
                self.builder.own(to.clone(), ownership);
                self.builder.file(to.clone(), file, reason);
            }
            Addition::Busybox(path) => self.busybox(path, &reason)?,
            // The engine has already split these up.
            Addition::Tree(_)
            | Addition::Part { .. }
            | Addition::Program(_)
            | Addition::Library { .. } => {}
        }
        Ok(())
    }

    /// Keeps the links on a path, whose last component may be missing; returns where it leads.
    fn keep_way_to(&mut self, path: &Path, reason: &Reason) -> Result<PathBuf, ProvideError> {
        if let Ok(walk) = self.source.walk(path) {
            self.keep_way_for(&walk, reason)?;
            return Ok(walk.real.clone());
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(path.to_path_buf());
        };
        let parent = match self.source.walk(parent) {
            Ok(walk) => {
                self.keep_way_for(&walk, reason)?;
                walk.real.clone()
            }
            Err(_) => parent.to_path_buf(),
        };
        Ok(parent.join(name))
    }

    fn walk(&self, path: &Path) -> Result<std::sync::Arc<crate::vfs::Walk>, ProvideError> {
        let walk = self.source.walk(path);
        walk.map_err(|errno| ProvideError::Source(path.to_path_buf(), errno))
    }

    fn busybox(&mut self, path: &Path, reason: &Reason) -> Result<(), ProvideError> {
        const PLACE: &str = "/bin/busybox";
        let walk = self.walk(path)?;
        let facts = self.source.facts(&walk);
        let object = facts.ok().and_then(Result::ok);
        let no_busybox = || ProvideError::NoBusybox(path.to_path_buf());
        let object = object.ok_or_else(no_busybox)?;
        let file = self.source.open(&walk);
        let file = file.map_err(|errno| ProvideError::Source(path.to_path_buf(), errno))?;
        let commands = object.constant_ranges().find_map(|(offset, length)| {
            let bytes = file.prefix(offset, length).ok()?;
            commands(&bytes)
        });
        let commands = commands.ok_or_else(no_busybox)?;
        let busybox = SourceFile::of(walk.clone(), true);
        self.builder.file(PLACE.into(), busybox, reason.clone());
        for command in commands {
            let link = Path::new("/bin").join(command);
            self.builder
                .weak_link(link, "busybox".into(), reason.clone());
        }
        Ok(())
    }
}

/// The names in busybox's own command table: NUL-terminated and sorted, `[` and `[[` first
/// (`applet_names` in its `include/applet_tables.h`).
fn commands(bytes: &[u8]) -> Option<Vec<String>> {
    let start = memchr::memmem::find(bytes, b"\0[\0[[\0")? + 1;
    let is_name = |name: &[u8]| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"[_-.+".contains(byte);
        !name.is_empty() && name.len() < 64 && name.iter().all(is_plain)
    };
    let names = bytes[start..]
        .split(|&byte| byte == 0)
        .take_while(|name| is_name(name));
    let mut commands: Vec<String> = Vec::new();
    for name in names {
        let name = String::from_utf8_lossy(name).into_owned();
        // The table is sorted, so an out-of-order string is no longer part of it.
        if commands.last().is_some_and(|last| *last >= name) {
            break;
        }
        commands.push(name);
    }
    (commands.len() > 1).then_some(commands)
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn the_table_of_commands_ends_where_it_is_no_longer_sorted() {
        let bytes = b"text\0[\0[[\0acpid\0ls\0sh\0applet not found\0zz\0";
        assert_eq!(commands(bytes).unwrap(), ["[", "[[", "acpid", "ls", "sh"]);
        assert_eq!(commands(b"no table"), None);
    }
}
