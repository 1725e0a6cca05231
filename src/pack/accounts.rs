//! Users and groups of the image that is packed.
//!
//! In: `OWNER[:GROUP]` as it is typed. Out: IDs, looked up as the image will have them: in the
//! `/etc/passwd` and `/etc/group` that are added, else in those of the source.

use std::path::{Path, PathBuf};

use super::options::Grant;
use super::{Options, PackError};
use crate::exec::{AccountKind, Accounts, UnknownAccount};
use crate::needs::Ownership;
use crate::source::Source;
use crate::vfs::Owner;

/// Where users and groups are looked up, with the errors of the command line.
pub(super) struct Owners<'s> {
    source: &'s Source,
    accounts: Accounts<'s>,
}

impl<'s> Owners<'s> {
    /// The users and groups of the image that `options` describe.
    pub fn new(source: &'s Source, options: &Options) -> Self {
        let file = |path: &str| {
            let mut added = options.add.iter();
            let added = added.find(|add| add.destination.as_deref() == Some(path));
            match added {
                Some(add) => source.locate(Path::new(&add.source)),
                None => PathBuf::from(path),
            }
        };
        let accounts = Accounts::at(&source.view, file("/etc/passwd"), file("/etc/group"));
        Self { source, accounts }
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

    /// The IDs of `OWNER[:GROUP]`.
    ///
    /// # Errors
    /// [`PackError::Owner`] if there is no such user or group.
    pub fn owner(&self, typed: &str) -> Result<Owner, PackError> {
        let owner = self.accounts.owner(typed);
        owner.map_err(|unknown| self.unknown(unknown))
    }

    /// `USER[:GROUP]` in numbers, for engines that cannot look into the image: some refuse a name
    /// where root is not allowed.
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
        let account = self.accounts.find(AccountKind::User, user)?;
        let home = PathBuf::from(account.field(5));
        home.is_absolute().then_some(home)
    }

    fn unknown(&self, UnknownAccount { kind, name }: UnknownAccount) -> PackError {
        let known = self.accounts.all(kind);
        let known = known.iter().map(|account| account.name().to_owned());
        PackError::Owner {
            kind,
            file: self.source.shown(self.accounts.file(kind)),
            known: known.filter(|known| *known != name).collect(),
            name,
        }
    }
}
