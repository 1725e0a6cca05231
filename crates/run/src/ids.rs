//! Which users and groups of a sandbox are which of this machine.
//!
//! In: whom a program runs as. Out: the maps of its user namespace. Root has all of its own IDs; any
//! other user has those of `/etc/subuid` and `/etc/subgid` if `newuidmap` is installed, and otherwise one.
//! Source: user_namespaces(7), newuidmap(1), subuid(5).

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Pid;

/// Whom a program runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// User ID.
    pub uid: u32,
    /// Group IDs, that of the process itself first; root's if there are none.
    pub gids: Vec<u32>,
}

impl Ids {
    /// The ID of its own group.
    pub fn gid(&self) -> u32 {
        self.gids.first().copied().unwrap_or_default()
    }
}

/// A range of IDs: the first inside, the first outside, and how many.
type Range = (u32, u32, u32);

/// The IDs that a sandbox has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    users: Vec<Range>,
    groups: Vec<Range>,
    kind: MapKind,
    may_set_groups: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MapKind {
    /// All IDs of this process, as they are.
    All,
    /// By `newuidmap`.
    Subordinate,
    /// One user and one group.
    One,
}

impl IdMap {
    /// The map for a program that this process starts.
    pub fn for_program(ids: &Ids) -> Self {
        // Root of a user namespace may have few IDs.
        let has_all = |map: &Self| map.has_user(ids.uid) && map.has_group(ids.gid());
        Self::of_root()
            .filter(has_all)
            .or_else(Self::subordinate)
            .unwrap_or_else(|| Self::one(ids))
    }

    /// One user and one group, whichever the program runs as.
    pub fn one(ids: &Ids) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        Self {
            users: vec![(ids.uid, uid, 1)],
            groups: vec![(ids.gid(), gid, 1)],
            kind: MapKind::One,
            may_set_groups: false,
        }
    }

    fn of_root() -> Option<Self> {
        let all = |file: &str| {
            let text = fs::read_to_string(file).ok()?;
            let ranges: Vec<Range> = text
                .lines()
                .filter_map(|line| {
                    let mut numbers = line.split_whitespace().map(str::parse);
                    let (inside, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
                    let inside = inside.ok()?;
                    Some((inside, inside, count.ok()?))
                })
                .collect();
            (!ranges.is_empty()).then_some(ranges)
        };
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        Some(Self {
            users: all("/proc/self/uid_map")?,
            groups: all("/proc/self/gid_map")?,
            kind: MapKind::All,
            // Denied below a user namespace that an unprivileged user made (user_namespaces(7)).
            may_set_groups: fs::read_to_string("/proc/self/setgroups")
                .is_ok_and(|text| text.trim() == "allow"),
        })
    }

    fn subordinate() -> Option<Self> {
        helper("newuidmap").and(helper("newgidmap"))?;
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let name = name_of(uid);
        let ranges = |file: &str, own: u32| {
            let text = fs::read_to_string(file).ok()?;
            let (first, count) = range_of(&text, name.as_deref(), uid)?;
            Some(vec![(0, own, 1), (1, first, count)])
        };
        Some(Self {
            users: ranges("/etc/subuid", uid)?,
            groups: ranges("/etc/subgid", gid)?,
            kind: MapKind::Subordinate,
            may_set_groups: true,
        })
    }

    /// Whether it has only one user and one group.
    pub fn is_one(&self) -> bool {
        self.kind == MapKind::One
    }

    /// Whether it has a user.
    pub fn has_user(&self, id: u32) -> bool {
        has(&self.users, id)
    }

    /// Whether it has a group.
    pub fn has_group(&self, id: u32) -> bool {
        has(&self.groups, id)
    }

    /// What it has, in words.
    pub fn describe(&self) -> &'static str {
        match self.kind {
            MapKind::All => "all users and groups of this machine",
            MapKind::Subordinate => "the users and groups of /etc/subuid and /etc/subgid",
            MapKind::One => "one user and one group",
        }
    }

    /// Sets it for a process that has just made its user namespace.
    pub(crate) fn set(&self, process: Pid) -> io::Result<()> {
        let id = process.as_raw_nonzero();
        if self.kind == MapKind::Subordinate {
            return [("newuidmap", &self.users), ("newgidmap", &self.groups)]
                .into_iter()
                .try_for_each(|(name, ranges)| ask(name, id.get(), ranges));
        }
        let write = |name: &str, text: String| fs::write(format!("/proc/{id}/{name}"), text);
        if self.kind == MapKind::One {
            write("setgroups", "deny".to_owned())?;
        }
        write("uid_map", lines(&self.users))?;
        write("gid_map", lines(&self.groups))
    }

    /// Whether a program may choose its groups.
    pub(crate) fn allows_groups(&self) -> bool {
        self.may_set_groups
    }
}

fn has(ranges: &[Range], id: u32) -> bool {
    let mut ranges = ranges.iter();
    ranges.any(|(inside, _, count)| id.checked_sub(*inside).is_some_and(|at| at < *count))
}

fn lines(ranges: &[Range]) -> String {
    let line = |(inside, outside, count): &Range| format!("{inside} {outside} {count}\n");
    ranges.iter().map(line).collect()
}

/// Has a setuid helper write a map.
fn ask(name: &str, process: i32, ranges: &[Range]) -> io::Result<()> {
    let program = helper(name).ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(program);
    command.arg(process.to_string());
    for (inside, outside, count) in ranges {
        command.args([inside, outside, count].map(u32::to_string));
    }
    let said = command.stdin(Stdio::null()).output()?;
    match said.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{name}: {}",
            String::from_utf8_lossy(&said.stderr).trim()
        ))),
    }
}

fn helper(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

fn name_of(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let of_user = |fields: &Vec<&str>| fields.get(2).and_then(|id| id.parse().ok()) == Some(uid);
    let fields = lines.find(of_user)?;
    fields.first().map(|name| (*name).to_owned())
}

/// The first range of a user, who is listed by name or number.
fn range_of(text: &str, name: Option<&str>, uid: u32) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let is_own = Some(owner) == name || owner.parse() == Ok(uid);
        is_own.then_some((first.parse().ok()?, count.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_is_whom_the_program_runs_as() {
        let ids = Ids {
            uid: 33,
            gids: vec![34],
        };
        let map = IdMap::one(&ids);
        assert!(map.has_user(33) && map.has_group(34) && !map.has_user(0));
    }

    #[test]
    fn subordinate_ids_are_listed_by_name_or_number() {
        let text = "# none\nother:1:2\nme:100000:65536\n7:9:10\nbroken:x:y\n";
        assert_eq!(range_of(text, Some("me"), 5), Some((100_000, 65_536)));
        assert_eq!(range_of(text, None, 7), Some((9, 10)));
        assert_eq!(range_of(text, Some("broken"), 6), None);
    }
}
