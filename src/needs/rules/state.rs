//! Directories that a program's package creates for it to write to.
//!
//! In: the package records of this machine, with the package's `tmpfiles.d(5)` and units
//! (`systemd.exec(5)`). Out: directories below `/var` and `/run`, each with the owner and mode that
//! it has, or gets at boot.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::exec::Accounts;
use crate::needs::{Addition, Process};
use crate::packages::{Package, Records};
use crate::vfs::{NodeKind, Owner, View};

/// The path of `/run` in programs that predate it; a link today.
pub(super) const OLD_RUN: &str = "/var/run";
/// Directories whose subdirectories are shared by all packages.
const SHARED: [&str; 9] = [
    "/run",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/lock",
    "/var/log",
    "/var/opt",
    OLD_RUN,
    "/var/spool",
];
/// Directories directly below these that do not belong to a single package.
const OTHERS: [&str; 6] = [
    "/run/lock",
    "/run/user",
    "/var/backups",
    "/var/local",
    "/var/mail",
    "/var/tmp",
];
/// Largest configuration file of a package that is read, in bytes, and maximum number of them.
const MAX_FILE: u64 = 64 << 10;
const MAX_FILES: usize = 64;
/// Maximum number of directories.
const MAX_DIRECTORIES: usize = 64;
/// Settings of a unit that name directories below another one, and those of their modes.
const UNIT_DIRECTORIES: [(&str, &str, &str); 4] = [
    ("RuntimeDirectory", "RuntimeDirectoryMode", "/run"),
    ("StateDirectory", "StateDirectoryMode", "/var/lib"),
    ("CacheDirectory", "CacheDirectoryMode", "/var/cache"),
    ("LogsDirectory", "LogsDirectoryMode", "/var/log"),
];
/// Settings of a unit that name what its processes write to.
const UNIT_PATHS: [&str; 2] = ["ReadWritePaths", "ReadWriteDirectories"];

/// The directories, by their paths.
pub(super) fn directories<'p>(process: &'p Process<'_>) -> &'p [Addition] {
    process.memo.state.get_or_init(|| find(process))
}

/// The owner and mode of a directory that is created if missing; `None` if it is not created.
type MadeAs = Option<(Owner, u32)>;

fn find(process: &Process<'_>) -> Vec<Addition> {
    let view = process.view;
    let program = &process.objects()[0];
    let records = Records::of(view);
    // A package may have only a link to another package's program.
    let mut paths = [&program.opened_as, &program.walk.real].into_iter();
    let Some(package) = paths.find_map(|path| records.family_of(path)) else {
        return Vec::new();
    };
    let mut found: BTreeMap<PathBuf, MadeAs> = BTreeMap::new();
    for path in package.paths().filter(|path| is_own(path)) {
        found.insert(path.to_path_buf(), None);
    }
    for (path, text) in configuration(view, &package) {
        let named = match path.extension().is_some_and(|end| end == "conf") {
            true => of_tmpfiles(view, &text),
            false => of_unit(view, &text),
        };
        for (path, made) in named.into_iter().filter(|(path, _)| is_own(path)) {
            let known = found.entry(path).or_default();
            *known = known.or(made);
        }
    }
    // The same directory by the path that programs use.
    let has_link = view.read_link(Path::new(OLD_RUN)).is_ok();
    let found = found.into_iter().filter_map(|(path, made)| {
        let (owner, mode) = match view.walk(&path) {
            Ok(walk) if walk.metadata.kind != NodeKind::Directory => return None,
            Ok(walk) => (walk.metadata.owner, walk.metadata.mode),
            Err(_) => made?,
        };
        let path = match path.strip_prefix("/run") {
            Ok(below) if has_link => Path::new(OLD_RUN).join(below),
            _ => path,
        };
        Some(Addition::State { path, owner, mode })
    });
    let mut found: Vec<Addition> = found.take(MAX_DIRECTORIES).collect();
    found.sort();
    found.dedup();
    found
}

/// Whether a path below `/var` or `/run` belongs to a single package.
fn is_own(path: &Path) -> bool {
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let mut above = path.ancestors().skip(1);
    let is_below = above.any(|above| SHARED.iter().any(|known| above == Path::new(known)));
    let is_others = path
        .ancestors()
        .any(|above| OTHERS.iter().any(|known| above == Path::new(known)));
    is_plain && is_below && !is_others && !SHARED.iter().any(|known| path == Path::new(known))
}

/// The files of a package that declare which directories are created.
fn configuration(view: &View, package: &Package) -> Vec<(PathBuf, String)> {
    let is_configuration = |path: &&Path| {
        let ends = |end: &str| path.extension().is_some_and(|is| is == end);
        let is_in = |name: &str| path.parent().is_some_and(|parent| parent.ends_with(name));
        (is_in("tmpfiles.d") && ends("conf")) || (is_in("systemd/system") && ends("service"))
    };
    let mut paths: Vec<&Path> = package.paths().filter(is_configuration).collect();
    paths.sort();
    let texts = paths.into_iter().take(MAX_FILES).filter_map(|path| {
        let text = view.read(path, MAX_FILE).ok()?;
        Some((
            path.to_path_buf(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    });
    texts.collect()
}

/// The directories in lines such as `d /run/app 2775 app app - -`.
fn of_tmpfiles(view: &View, text: &str) -> Vec<(PathBuf, MadeAs)> {
    let directories = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let kind = fields.next()?;
        let path = fields.next().filter(|path| !path.contains('%'))?;
        let mut field = |usual| fields.next().filter(|text| *text != "-").unwrap_or(usual);
        let mode = field("0755").trim_start_matches(['~', ':']);
        let (user, group) = (field("root"), field("root"));
        let made = made(view, &format!("{user}:{group}"), mode);
        kind.starts_with(['d', 'D']).then(|| (path.into(), made))
    });
    directories.collect()
}

/// The directories of a service.
fn of_unit(view: &View, text: &str) -> Vec<(PathBuf, MadeAs)> {
    let settings = || {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.trim(), value.trim()))
    };
    let last = |key: &str| settings().rfind(|(is, _)| *is == key);
    let value = |key, usual| last(key).map_or(usual, |(_, value)| value);
    let (user, group) = (value("User", "root"), value("Group", ""));
    let owner = format!("{user}:{group}");
    let mut found = Vec::new();
    for (key, values) in settings() {
        let words = || values.split_whitespace().filter(|word| !word.contains('%'));
        if UNIT_PATHS.contains(&key) {
            let paths = words().map(|word| word.trim_start_matches(['-', '+']));
            found.extend(paths.map(|path| (path.into(), None)));
        }
        let mut known = UNIT_DIRECTORIES.iter();
        if let Some((_, mode, parent)) = known.find(|(known, ..)| *known == key) {
            let made = made(view, &owner, value(mode, "0755"));
            // A second name after a colon is the name of a link.
            let names = words().filter_map(|word| word.split(':').next());
            found.extend(names.map(|name| (Path::new(parent).join(name), made)));
        }
    }
    found
}

fn made(view: &View, owner: &str, mode: &str) -> MadeAs {
    let owner = Accounts::of(view).owner(owner).ok()?;
    let mode = u32::from_str_radix(mode, 8).ok()?;
    Some((owner, mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::vfs::Memo;
    use crate::vfs::memory::MemoryVfs;

    fn told(found: Vec<(PathBuf, MadeAs)>) -> Vec<String> {
        let lines = found.into_iter().map(|(path, made)| {
            let made = made.map(|(owner, mode)| format!(" {}:{} {mode:04o}", owner.uid, owner.gid));
            format!("{}{}", path.display(), made.unwrap_or_default())
        });
        lines.collect()
    }

    #[test]
    fn what_is_made_when_a_machine_starts_is_read() {
        let passwd = "root:x:0:0::/root:/bin/sh\napp:x:33:34::/:/bin/sh\n";
        let vfs = MemoryVfs::new()
            .file("/etc/passwd", passwd)
            .file("/etc/group", "root:x:0:\nkeys:x:44:\n");
        let view = View::new(Box::new(vfs), Arc::new(Memo::default()));
        let text = "# comment\nd /run/app 2775 app keys - -\nD! /run/plain\nf /run/file 0644 app\n\
                    d /run/%u 0755 app\nd /run/gone ~0750 gone\n";
        assert_eq!(
            told(of_tmpfiles(&view, text)),
            ["/run/app 33:44 2775", "/run/plain 0:0 0755", "/run/gone"]
        );
        let text = "[Service]\nUser=app\nRuntimeDirectory=app app/sub\nRuntimeDirectoryMode=2755\n\
                    StateDirectory=app:link %i\nReadWritePaths=-/var/log/app /srv\n";
        assert_eq!(
            told(of_unit(&view, text)),
            [
                "/run/app 33:34 2755",
                "/run/app/sub 33:34 2755",
                "/var/lib/app 33:34 0755",
                "/var/log/app",
                "/srv"
            ]
        );
    }

    #[test]
    fn what_packages_share_is_nobody_s_own() {
        for path in ["/run/app", "/var/lib/app", "/var/lib/app/data", "/var/www"] {
            assert!(is_own(Path::new(path)), "{path}");
        }
        for path in [
            "/var",
            "/var/lib",
            "/run/lock",
            "/srv/app",
            "/var/lib/../x",
            "/var/tmp/x",
        ] {
            assert!(!is_own(Path::new(path)), "{path}");
        }
    }
}
