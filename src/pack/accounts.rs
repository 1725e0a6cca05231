//! Users and groups by name.
//!
//! In: `OWNER[:GROUP]` as it is typed. Out: IDs, looked up as the image will have them: in the
//! `/etc/passwd` and `/etc/group` that are added, else in those of the source.

use std::path::{Path, PathBuf};

use super::options::Grant;
use super::{Options, PackError};
use crate::needs::{Ownership, account, accounts};
use crate::source::Source;
use crate::vfs::Owner;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Where users and groups are looked up.
pub(super) struct Accounts<'s> {
    source: &'s Source,
    passwd: PathBuf,
    group: PathBuf,
}

impl<'s> Accounts<'s> {
    /// The users and groups of the image that `options` describe.
    pub fn new(source: &'s Source, options: &Options) -> Self {
        let file = |path: &str| {
            let mut added = options.add.iter();
            let added = added.find(|add| add.destination.as_deref() == Some(path));
            let typed = added.map_or(path, |add| &add.source);
            match added {
                Some(_) => source.locate(Path::new(typed)),
                None => PathBuf::from(path),
            }
        };
        Self {
            source,
            passwd: file(PASSWD),
            group: file(GROUP),
        }
    }

    /// The owner and mode that were typed.
    ///
    /// # Errors
    /// [`PackError::Owner`] if there is no such user or group.
    pub fn ownership(&self, grant: &Grant) -> Result<Ownership, PackError> {
        let owner = grant.owner.as_deref().map(|typed| self.owner(typed));
        Ok(Ownership {
            owner: owner.transpose()?,
            mode: grant.mode,
        })
    }

    /// The IDs of `OWNER[:GROUP]`. As with `COPY --chown`, the group of a user that is given by name
    /// is the user's, and that of a number is the same number.
    ///
    /// # Errors
    /// [`PackError::Owner`] if there is no such user or group.
    pub fn owner(&self, typed: &str) -> Result<Owner, PackError> {
        let (user, group) = match typed.split_once(':') {
            // Engines take an empty part for one that is not there.
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (typed, None),
        };
        let (uid, own_group) = match user.parse() {
            _ if user.is_empty() => (0, 0),
            Ok(number) => (number, number),
            Err(_) => self.ids(&self.passwd, "user", user)?,
        };
        let gid = match group.map(|group| (group, group.parse())) {
            None => own_group,
            Some((_, Ok(number))) => number,
            Some((name, Err(_))) => self.ids(&self.group, "group", name)?.0,
        };
        Ok(Owner { uid, gid })
    }

    /// `USER[:GROUP]` in numbers, for engines that have to know without looking into the image: some
    /// refuse a name where root is not allowed.
    ///
    /// # Errors
    /// [`PackError::Owner`] if there is no such user or group.
    pub fn numbers(&self, typed: &str) -> Result<String, PackError> {
        let Owner { uid, gid } = self.owner(typed)?;
        Ok(match typed.contains(':') {
            true => format!("{uid}:{gid}"),
            // The engine takes the group from the image's /etc/passwd.
            false => uid.to_string(),
        })
    }

    /// The home of a user, if the user has an entry; `typed` may name a group, too.
    pub fn home(&self, typed: &str) -> Option<PathBuf> {
        let user = typed.split(':').next()?;
        let home = account(&self.source.view, &self.passwd, user)?;
        let home = PathBuf::from(home.get(5)?);
        home.is_absolute().then_some(home)
    }

    /// The third field of an entry, and the fourth if it is a number.
    fn ids(&self, file: &Path, kind: &'static str, name: &str) -> Result<(u32, u32), PackError> {
        let view = &self.source.view;
        let fields = account(view, file, name).unwrap_or_default();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        let unknown = || PackError::Owner {
            kind,
            name: name.to_owned(),
            file: self.source.shown(file),
            known: accounts(view, file)
                .into_iter()
                .filter(|fields| fields.len() > 1)
                .map(|mut fields| fields.swap_remove(0))
                .filter(|known| known != name)
                .collect(),
        };
        let id: u32 = number(2).ok_or_else(unknown)?;
        Ok((id, number(3).unwrap_or(id)))
    }
}
