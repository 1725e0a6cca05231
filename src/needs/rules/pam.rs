//! PAM's modules and configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::exec::{Account, AccountKind, Accounts};
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::vfs::NodeKind;

/// Functions that start a PAM transaction.
const USERS: [&str; 1] = ["pam_start"];
/// What PAM and its usual modules read (`pam.conf(5)`, `pam_limits(8)`, `login.defs(5)`). Passwords
/// are deliberately left out.
const CONFIGURATION: [&str; 5] = [
    "/etc/pam.d",
    "/etc/pam.conf",
    "/etc/security",
    "/etc/login.defs",
    "/etc/environment",
];
/// Where pam_unix looks for an account (`shadow(5)`).
const SHADOW: &str = "/etc/shadow";
/// The rest of an entry of an account that no password opens.
const LOCKED: &str = ":*:::::::\n";
/// The accounts of the `/etc/passwd` that is made where the source is no image.
const OWN: [&str; 2] = ["root", "nobody"];
/// Programs that modules start: pam_unix checks passwords with the first (`unix_chkpwd(8)`,
/// `unix_update(8)`).
const HELPERS: [&str; 4] = [
    "/sbin/unix_chkpwd",
    "/usr/sbin/unix_chkpwd",
    "/usr/sbin/unix_update",
    "/usr/sbin/mkhomedir_helper",
];
/// The directory of the modules, next to the library.
const MODULES: &str = "security";

pub(super) static RULE: NeedRule = NeedRule {
    name: "pam",
    mode: Mode::Hint,
    what: "PAM's modules and configuration",
    sign: "an import of pam_start by the program itself",
    adds: "/etc/pam.d, /etc/security, /etc/login.defs, the installed modules and their helpers, and \
           the shells of root and of the user; no passwords",
    fires,
    supply,
    is_met: Some(|process| process.has("/etc/pam.d")),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    process.program_imports(&USERS)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let process = supply.process;
    let library = process
        .loaded("libpam.so")
        .ok_or(Unmet::NotShown("the program does not load libpam"))?;
    let library = &process.objects()[library];
    let folders = [&library.opened_as, &library.walk.real];
    let modules = folders
        .iter()
        .filter_map(|path| Some(path.parent()?.join(MODULES)));
    let is_folder = |path: &PathBuf| supply.source.kind(path) == Some(NodeKind::Directory);
    let modules = modules
        .into_iter()
        .find(is_folder)
        .ok_or("there are no PAM modules next to libpam")?;
    let there = CONFIGURATION
        .iter()
        .filter(|path| supply.source.walk(Path::new(path)).is_ok());
    let configuration = there.map(|path| Addition::Tree(PathBuf::from(path)));
    let helpers = HELPERS.iter().map(Path::new);
    let helpers = helpers.filter(|path| process.has_file(path));
    let helpers = helpers.map(|path| Addition::File(path.to_owned()));
    // What `su` starts for root, and for the user of the image.
    let users = ["root", process.user.split(':').next().unwrap_or_default()];
    let accounts = Accounts::of(supply.source);
    let shells: BTreeSet<PathBuf> = users
        .iter()
        .filter_map(|user| accounts.find(AccountKind::User, user))
        .map(|account| PathBuf::from(account.field(6)))
        .collect();
    let shells = shells.into_iter().filter(|path| process.has_file(path));
    let shells = shells.map(Addition::Program);
    // `/etc/passwd` refers to it (`x`), and no account without an entry is valid. There is no password
    // in it: what is added by hand counts instead.
    let all = accounts.all(AccountKind::User);
    let names: Vec<&str> = match supply.is_image {
        true => all.iter().map(Account::name).collect(),
        false => OWN.to_vec(),
    };
    let locked: String = names.iter().flat_map(|name| [*name, LOCKED]).collect();
    let shadow = Addition::Made(SHADOW.into(), locked.into());
    Ok([Addition::Tree(modules), shadow]
        .into_iter()
        .chain(configuration)
        .chain(helpers)
        .chain(shells)
        .collect())
}
