//! Users and groups of a root, by name and by number.
//!
//! In: `/etc/passwd` and `/etc/group` (`passwd(5)`, `group(5)`), and a user as given in a
//! configuration or an option. Out: its IDs, as engines look them up (`GetExecUser` in runc's
//! `user` package). Each file is read once, and only if it is needed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::vfs::{Owner, View};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// Largest of these files that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// An entry of `/etc/passwd` or `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User ID or group ID.
    pub id: u32,
    fields: Vec<String>,
}

impl Account {
    /// Its name.
    pub fn name(&self) -> &str {
        self.field(0)
    }

    /// A field by its position in the line; empty if the line ends before it.
    pub fn field(&self, at: usize) -> &str {
        self.fields.get(at).map_or("", String::as_str)
    }

    /// The line that it was read from.
    pub fn line(&self) -> String {
        self.fields.join(":")
    }

    /// An entry without its password; `None` for a line that engines skip.
    fn parse(line: &str) -> Option<Self> {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        let id = fields.get(2)?.parse().ok()?;
        "x".clone_into(&mut fields[1]);
        Some(Self { id, fields })
    }
}

/// A user or group that is given by name but has no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAccount {
    /// User or group.
    pub kind: AccountKind,
    /// The name.
    pub name: String,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// A user, in `/etc/passwd`.
    User,
    /// A group, in `/etc/group`.
    Group,
}

impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

/// The IDs of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessIds {
    /// User ID.
    pub uid: u32,
    /// Group IDs, the primary group first.
    pub gids: Vec<u32>,
}

/// Where users and groups are looked up.
pub struct Accounts<'v> {
    view: &'v View,
    passwd: PathBuf,
    group: PathBuf,
}

impl<'v> Accounts<'v> {
    /// The users and groups of a root.
    pub fn of(view: &'v View) -> Self {
        Self::at(view, PASSWD.into(), GROUP.into())
    }

    /// The users and groups of an image whose `/etc/passwd` and `/etc/group` come from these files
    /// of `view`.
    pub fn at(view: &'v View, passwd: PathBuf, group: PathBuf) -> Self {
        Self {
            view,
            passwd,
            group,
        }
    }

    /// The file that entries of a kind are looked up in.
    pub fn file(&self, kind: AccountKind) -> &Path {
        match kind {
            AccountKind::User => &self.passwd,
            AccountKind::Group => &self.group,
        }
    }

    /// All entries of a kind; none if their file cannot be read.
    pub fn all(&self, kind: AccountKind) -> Arc<Vec<Account>> {
        let read = || {
            let text = self.view.read(self.file(kind), MAX_FILE)?;
            let text = String::from_utf8_lossy(&text);
            let accounts = text.lines().filter_map(Account::parse);
            Ok(Arc::new(accounts.collect()))
        };
        let walk = self.view.walk(self.file(kind));
        let accounts = walk.and_then(|walk| self.view.remember(&walk, read));
        accounts.unwrap_or_default()
    }

    /// The entry with this name or ID.
    pub fn find(&self, kind: AccountKind, wanted: &str) -> Option<Account> {
        let id: Option<u32> = id(wanted);
        let all = self.all(kind);
        let mut all = all.iter();
        let found = match id {
            Some(id) => all.find(|account| account.id == id),
            None => all.find(|account| account.name() == wanted),
        };
        found.cloned()
    }

    /// The IDs of a process that an engine starts as `USER[:GROUP]`. A number needs no entry;
    /// without one its group is root. Without a group in the text, all groups that list the user
    /// count.
    ///
    /// # Errors
    /// [`UnknownAccount`] for a name without an entry.
    pub fn process(&self, text: &str) -> Result<ProcessIds, UnknownAccount> {
        let (user, group) = split(text);
        let uid = self.id(AccountKind::User, user)?;
        if let Some(group) = group {
            let gids = vec![self.id(AccountKind::Group, group)?];
            return Ok(ProcessIds { uid, gids });
        }
        let account = self.find(AccountKind::User, user);
        let own = account.as_ref().and_then(|account| id(account.field(3)));
        let mut gids = vec![own.unwrap_or_default()];
        if let Some(account) = &account {
            let groups = self.all(AccountKind::Group);
            let lists = groups.iter().filter(|group| {
                let mut members = group.field(3).split(',');
                members.any(|member| member == account.name())
            });
            gids.extend(lists.map(|group| group.id));
        }
        Ok(ProcessIds { uid, gids })
    }

    /// The owner that `OWNER[:GROUP]` means. As with `COPY --chown`, the group of a user that is given
    /// by name is the user's, and that of a number is the same number.
    ///
    /// # Errors
    /// [`UnknownAccount`] for a name without an entry.
    pub fn owner(&self, text: &str) -> Result<Owner, UnknownAccount> {
        let (user, group) = split(text);
        let uid = self.id(AccountKind::User, user)?;
        let gid = match group {
            Some(group) => self.id(AccountKind::Group, group)?,
            None if is_number(user) => uid,
            None => self.process(user)?.gids[0],
        };
        Ok(Owner { uid, gid })
    }

    /// The names in `USER[:GROUP]` that have no entry.
    pub fn unknown(&self, text: &str) -> Vec<UnknownAccount> {
        let (user, group) = split(text);
        let ids = [
            self.id(AccountKind::User, user),
            self.id(AccountKind::Group, group.unwrap_or_default()),
        ];
        ids.into_iter().filter_map(Result::err).collect()
    }

    /// The number of a user or group; an empty text is root.
    fn id(&self, kind: AccountKind, text: &str) -> Result<u32, UnknownAccount> {
        if text.is_empty() {
            return Ok(0);
        }
        let known = || self.find(kind, text).map(|account| account.id);
        let unknown = || UnknownAccount {
            kind,
            name: text.to_owned(),
        };
        id(text).or_else(known).ok_or_else(unknown)
    }
}

/// Both parts of `USER[:GROUP]`. Engines treat an empty group as absent.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    }
}

/// Whether a user or group is given by number, or empty.
pub fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn id(text: &str) -> Option<u32> {
    // `parse` also accepts a sign.
    text.parse().ok().filter(|_| is_number(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::Memo;
    use crate::vfs::memory::MemoryVfs;

    #[test]
    fn users_and_groups_are_looked_up_as_engines_do() {
        let vfs = MemoryVfs::new()
            .file(
                PASSWD,
                "root:x:0:0::/root:/bin/sh\nbroken:x\nweb:secret:33:34::/srv:/bin/sh\n+::::::\n",
            )
            .file(GROUP, "root:x:0:\nweb:x:34:\nkeys:x:44:web,other\n");
        let view = View::new(Box::new(vfs), Arc::new(Memo::default()));
        let accounts = Accounts::of(&view);
        let process = |text: &str| accounts.process(text).map(|ids| (ids.uid, ids.gids));
        assert_eq!(process("web"), Ok((33, vec![34, 44])));
        assert_eq!(process("33"), Ok((33, vec![34, 44])), "as by its name");
        assert_eq!(process("web:root"), Ok((33, vec![0])), "only that group");
        assert_eq!(process("web:"), Ok((33, vec![34, 44])));
        assert_eq!(process("1000"), Ok((1000, vec![0])), "nobody has it");
        assert_eq!(process("1000:7"), Ok((1000, vec![7])));
        assert_eq!(process(""), Ok((0, vec![0])));
        let owner = |text: &str| accounts.owner(text).map(|owner| (owner.uid, owner.gid));
        assert_eq!(owner("web"), Ok((33, 34)));
        assert_eq!(owner("33"), Ok((33, 33)), "as COPY --chown has it");
        assert_eq!(owner(":keys"), Ok((0, 44)));
        for (text, kind, name) in [
            ("broken", AccountKind::User, "broken"),
            ("+", AccountKind::User, "+"),
            ("+5", AccountKind::User, "+5"),
            ("web:nobody", AccountKind::Group, "nobody"),
        ] {
            let name = name.to_owned();
            let unknown = UnknownAccount { kind, name };
            assert_eq!(accounts.process(text), Err(unknown.clone()), "{text}");
            assert_eq!(accounts.owner(text), Err(unknown.clone()), "{text}");
            assert_eq!(accounts.unknown(text), [unknown]);
        }
        assert_eq!(accounts.unknown("a:b").len(), 2);
        let web = accounts.find(AccountKind::User, "web").unwrap();
        assert_eq!(web.line(), "web:x:33:34::/srv:/bin/sh");
    }
}
