//! What configuration files name that come into the image.
//!
//! In: what was added below `/etc`, or with the ending of a configuration. Out: the users that it
//! names, the files whose paths are in it, and hints at those that are closed to others or are
//! directories. `user www-data;` and `LoadModule … /usr/lib/apache2/modules/mod_dir.so` are what a
//! server reads next.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::engine::{Loop, MOUNTED};
use super::provision::{Addition, Cause, Hint, NeedError, Provision};
use super::rules::{CONFIGURATION, WRITTEN_FILES, entries_of_users, is_straight};
use super::{BY_HAND, TRACE};
use crate::exec::{AccountKind, Accounts};
use crate::vfs::{NodeKind, Walk};

/// Largest file that is read as a configuration, in bytes.
const MAX_FILE: u64 = 256 << 10;
/// Maximum number of files that are read.
const MAX_FILES: usize = 2_000;
/// Largest file that comes in because a configuration names it, in bytes.
const MAX_NAMED: u64 = 64 << 20;
/// Where configurations are.
const HOME: &str = "/etc";
/// Endings of configurations elsewhere.
const ENDINGS: [&str; 5] = ["conf", "cfg", "cnf", "ini", "load"];
/// Needs that bring the configuration of a program.
const SOURCES: [&str; 4] = ["paths", "plugins", BY_HAND, TRACE];
/// Words of settings whose value is a user or group.
const OWNERS: [&str; 3] = ["user", "group", "owner"];
/// Directories that programs share.
const SHARED: [&str; 8] = [
    "/bin", "/boot", "/etc", "/home", "/lib", "/root", "/sbin", "/usr",
];
/// Where programs write: what is there now is not what they need.
const WRITTEN: [&str; 7] = [
    "/run",
    "/tmp",
    "/var/cache",
    "/var/lock",
    "/var/log",
    "/var/run",
    "/var/tmp",
];
/// Where commands are, which a configuration may only speak of.
const COMMANDS: [&str; 6] = [
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/sbin",
];
/// Ending of directories with configurations from which those in use are linked.
const AVAILABLE: &str = "-available";
/// Where content is.
const CONTENT: [&str; 2] = ["/var/www", "/srv"];

/// What a line of a configuration names.
#[derive(Default)]
struct Named {
    users: BTreeSet<String>,
    paths: BTreeSet<PathBuf>,
}

impl Named {
    fn read(&mut self, text: &str) {
        for line in text.lines() {
            let code = line.split('#').next().unwrap_or_default().trim();
            // A comment of ini files and of vim.
            if code.starts_with([';', '"', '/']) && !code.starts_with("/usr") {
                continue;
            }
            let is_separator = |c: char| c.is_whitespace() || "=;,\"'(){}".contains(c);
            let mut is_owner = false;
            for word in code.split(is_separator).filter(|word| !word.is_empty()) {
                if word.starts_with('/') && is_straight(Path::new(word)) {
                    self.paths.insert(Path::new(word).components().collect());
                } else if is_owner {
                    self.users.insert(word.to_owned());
                }
                let lower = word.to_ascii_lowercase();
                is_owner |= OWNERS.iter().any(|owner| lower.contains(owner));
            }
        }
    }
}

impl Loop<'_> {
    /// Adds what the configurations name that have been added, and those that come in by it.
    pub(super) fn follow_configurations(&mut self, first: &mut usize) -> Result<(), NeedError> {
        if !self.context.selection.serves(&CONFIGURATION) {
            return Ok(());
        }
        while let Some(provision) = self.result.provisions.get(*first) {
            *first += 1;
            let file = match &provision.addition {
                Addition::File(path) => (path.clone(), path.clone()),
                Addition::Copy { from, to } => (from.clone(), to.clone()),
                _ => continue,
            };
            let need = provision.cause.need;
            let comes_with = SOURCES.contains(&need) || need == CONFIGURATION.name;
            if comes_with && is_configuration(&file.1) && *first < MAX_FILES {
                self.follow(&file.0, &file.1)?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, file: &Path, place: &Path) -> Result<(), NeedError> {
        let source = self.context.source;
        // A program may be below /etc, too, such as what a link of /etc/alternatives leads to.
        let is_program = |walk: &Walk| walk.metadata.mode & 0o111 != 0;
        if source.walk(file).is_ok_and(|walk| is_program(&walk)) {
            return Ok(());
        }
        let Ok(bytes) = source.read(file, MAX_FILE) else {
            return Ok(());
        };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Ok(());
        };
        let mut named = Named::default();
        named.read(text);
        for path in named.paths {
            let mut unread = MOUNTED.iter().chain(&WRITTEN).chain(&WRITTEN_FILES);
            if unread.any(|top| path.starts_with(top)) || (self.context.is_excluded)(&path, &path) {
                continue;
            }
            let Ok(walk) = source.walk(&path) else {
                continue;
            };
            let is_open = walk.metadata.mode & 0o004 != 0;
            let is_small = walk.metadata.size <= MAX_NAMED;
            let is_command = COMMANDS.iter().any(|bin| path.starts_with(bin));
            match walk.metadata.kind {
                NodeKind::File if is_command => {
                    self.hint_at(CONFIGURATION.name, place, &path, "a command");
                }
                NodeKind::File if is_open && is_small => {
                    let cause = Cause {
                        need: CONFIGURATION.name,
                        object: Some(place.to_path_buf()),
                        sign: format!("names {}", path.display()),
                    };
                    self.add(Provision::usual(Addition::File(path), cause))?;
                }
                NodeKind::File => {
                    self.hint_at("argument", place, &path, "which is closed to others")
                }
                NodeKind::Directory if is_content(&path) => {
                    self.hint_at("argument", place, &path, "a directory of this machine");
                }
                _ => {}
            }
        }
        let accounts = Accounts::of(source);
        let is_user = |name: &String| accounts.find(AccountKind::User, name).is_some();
        let users: Vec<String> = named.users.into_iter().filter(is_user).collect();
        self.configured_users.extend(users);
        Ok(())
    }

    fn hint_at(&mut self, need: &'static str, place: &Path, path: &Path, what: &str) {
        let flag = format!("--add {}", path.display());
        let is_told = self.result.hints.iter().any(|hint| hint.flag == flag);
        if self.context.wants_hints && !is_told && !self.is_added(path) {
            self.hint(Hint {
                need,
                why: format!("{} names {}, {what}", place.display(), path.display()),
                adds: "it".to_owned(),
                flag,
                names: Vec::new(),
                more: 0,
            });
        }
    }

    /// Whether a file comes in, or anything that is in a directory.
    fn is_added(&self, path: &Path) -> bool {
        let mut provisions = self.result.provisions.iter();
        provisions.any(|provision| match &provision.addition {
            Addition::File(added) | Addition::Tree(added) => added.starts_with(path),
            Addition::Copy { to, .. } => to.starts_with(path),
            _ => false,
        })
    }

    /// Adds the users that configurations name to the files of users in the image.
    pub(super) fn add_configured_users(&mut self) -> Result<(), NeedError> {
        let context = self.context;
        let names: Vec<String> = std::mem::take(&mut self.configured_users)
            .into_iter()
            .collect();
        let provisions = &mut self.result.provisions;
        let is_made = |provision: &Provision| matches!(&provision.addition, Addition::Made(path, _) if path == Path::new("/etc/passwd"));
        // Those of an image are complete, and what the user excludes stays out.
        if names.is_empty() || !provisions.iter().any(is_made) {
            return Ok(());
        }
        let made = entries_of_users(context.source, context.user, context.selection, &names);
        let made = made.map_err(|why| NeedError::Absent {
            need: CONFIGURATION.name,
            why: why.to_string(),
        })?;
        for provision in provisions {
            for addition in &made {
                if let (Addition::Made(old, _), Addition::Made(new, _)) =
                    (&provision.addition, addition)
                    && old == new
                {
                    provision.addition = addition.clone();
                }
            }
        }
        Ok(())
    }
}

fn is_configuration(place: &Path) -> bool {
    let has_ending = || {
        let ending = place.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ENDINGS.contains(&ending))
    };
    let is_available =
        |part: std::path::Component<'_>| part.as_os_str().to_string_lossy().ends_with(AVAILABLE);
    !place.components().any(is_available) && (place.starts_with(HOME) || has_ending())
}

/// Whether a directory is of the reader's own, rather than one that programs share or write to.
fn is_content(path: &Path) -> bool {
    let is_shared = SHARED.iter().any(|shared| path.starts_with(shared));
    CONTENT.iter().any(|content| path.starts_with(content))
        || (!is_shared && !path.starts_with("/var") && path.components().count() > 1)
}
