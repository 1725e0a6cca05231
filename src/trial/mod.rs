//! Trying an image: what its configuration starts, in its files, on this machine.
//!
//! In: an image or a plan, and what the user changes about its start. Out: how the program ended.

mod absent;
mod diagnosis;
mod obstacle;
mod places;
mod remedies;
mod unpack;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::exec::{Account, AccountKind, Accounts, ENGINE_PATH, Start, UnknownAccount, variable};
use crate::image::read::{Image, Tree};
use crate::run::{Conditions, IdMap, Ids, Ran, Sandbox, SandboxError};
use crate::suggest::{did_you_mean, nearest};
use crate::vfs::{NodeKind, View};
pub use diagnosis::{Diagnosis, Failed, Suspect};
pub use places::is_shared;
pub use remedies::NeedOption;

/// The host name of a program that is tried.
const HOSTNAME: &str = "slimpack";

/// Most letters in which a suggested name differs.
const MAX_TYPOS: usize = 2;

/// An image that can be started.
pub struct Startable {
    /// Its files.
    pub view: Arc<View>,
    /// How it is started.
    pub start: Start,
    /// Where the times of its files come from.
    times: Times,
}

enum Times {
    Tree(Arc<Tree>),
    /// All the same, in seconds since 1970.
    Same(u64),
}

impl Startable {
    /// An image that was read with all its contents.
    pub fn of_image(image: &Image) -> Self {
        Self {
            view: Arc::new(image.view()),
            start: Start::of(image),
            times: Times::Tree(image.tree.clone()),
        }
    }

    /// Files that all have one time, in seconds since 1970.
    pub fn of_files(view: Arc<View>, start: Start, time: u64) -> Self {
        let times = Times::Same(time);
        Self { view, start, times }
    }

    fn changed(&self, path: &Path) -> u64 {
        match &self.times {
            Times::Same(time) => *time,
            Times::Tree(tree) => tree.changed(path),
        }
    }
}

/// What the user changes about the start of an image.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Arguments in place of the default ones.
    pub arguments: Vec<String>,
    /// The program in place of the entrypoint.
    pub entrypoint: Option<String>,
    /// Variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Whom it runs as.
    pub user: Option<String>,
    /// Its working directory.
    pub working_dir: Option<PathBuf>,
}

impl Changes {
    /// Applies them.
    pub fn apply(&self, image: &Start) -> Start {
        let mut start = image.clone();
        match (&self.entrypoint, &self.arguments[..]) {
            (Some(entrypoint), arguments) => {
                start.words = [std::slice::from_ref(entrypoint), arguments].concat();
            }
            (None, []) => {}
            (None, arguments) => {
                start.words.truncate(start.entrypoint);
                start.words.extend_from_slice(arguments);
            }
        }
        start.env.extend(self.env.iter().cloned());
        if let Some(user) = &self.user {
            start.user.clone_from(user);
        }
        if let Some(directory) = &self.working_dir {
            start.working_dir = Path::new("/").join(directory);
        }
        start
    }
}

/// How a program is tried.
#[derive(Clone, Default)]
pub struct TrialOptions<'a> {
    /// What it sees of this machine, and what it may do.
    pub conditions: Conditions<'a>,
    /// `/etc/hosts` and `/etc/resolv.conf` of this machine, for a program that uses its network.
    pub network_files: Vec<(PathBuf, Vec<u8>)>,
}

/// Why an image could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It has nothing to start.
    #[error("the image has neither an entrypoint nor a default command; name a command after it")]
    NoCommand,
    /// Its user is not in it.
    #[error(
        "{kind} {name} is not in {file} of the image{hint}; choose another with -u, by name or by number, \
         such as -u 1000",
        hint = did_you_mean(nearest.as_deref())
    )]
    UnknownUser {
        /// A user or a group.
        kind: AccountKind,
        /// The name.
        name: String,
        /// Where it was looked up.
        file: PathBuf,
        /// The name there that is most like it.
        nearest: Option<String>,
    },
    /// The program was not run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Whom a start runs as.
///
/// # Errors
/// [`TrialError::UnknownUser`].
pub fn ids(view: &View, start: &Start) -> Result<Ids, TrialError> {
    let accounts = Accounts::of(view);
    let ids = accounts.process(&start.user);
    let ids = ids.map_err(|UnknownAccount { kind, name }| {
        let known = accounts.all(kind);
        let names = known.iter().map(Account::name);
        TrialError::UnknownUser {
            nearest: nearest(&name, names, MAX_TYPOS).map(str::to_owned),
            kind,
            name,
            file: accounts.file(kind).to_path_buf(),
        }
    })?;
    Ok(Ids {
        uid: ids.uid,
        gids: ids.gids,
    })
}

/// How many files and directories belong to users or groups that a run does not have.
pub fn strangers(view: &View, map: &IdMap) -> usize {
    let mut stack = vec![PathBuf::from("/")];
    let mut count = 0;
    while let Some(path) = stack.pop() {
        let Ok(metadata) = view.lookup(&path) else {
            continue;
        };
        let owner = metadata.owner;
        count += usize::from(!map.has_user(owner.uid) || !map.has_group(owner.gid));
        if metadata.kind == NodeKind::Directory {
            let names = view.read_dir(&path).unwrap_or_default();
            stack.extend(names.into_iter().map(|name| path.join(name)));
        }
    }
    count
}

/// Writes the files of an image into an empty directory.
///
/// # Errors
/// A message about a file that cannot be read or written.
pub fn unpack(image: &Startable, root: &Path, map: &IdMap) -> Result<(), String> {
    unpack::unpack(&image.view, &|path| image.changed(path), root, map)
}

/// Runs an image until its program ends.
///
/// # Errors
/// [`TrialError`]; nothing of it runs on.
pub fn run(
    image: &Startable,
    start: &Start,
    settings: &TrialOptions<'_>,
) -> Result<Ran, TrialError> {
    if start.words.is_empty() {
        return Err(TrialError::NoCommand);
    }
    let ids = ids(&image.view, start)?;
    let populate = |root: &Path, map: &IdMap| unpack(image, root, map);
    let sandbox = Sandbox {
        words: start.words.clone(),
        environment: environment(&image.view, start, settings.conditions.has_terminal),
        working_dir: start.working_dir.clone(),
        ids,
        populate: &populate,
        files: files(&settings.network_files),
        hostname: HOSTNAME.to_owned(),
        conditions: settings.conditions.clone(),
    };
    Ok(crate::run::run(&sandbox)?)
}

/// The environment that engines give: a search path, the host name, and the home of the user.
pub fn environment(view: &View, start: &Start, has_terminal: bool) -> Vec<String> {
    let mut env: Vec<String> = Vec::new();
    let mut set = |name: &str, value: &str| {
        let start_of = format!("{name}=");
        env.retain(|variable| !variable.starts_with(&start_of));
        env.push(format!("{name}={value}"));
    };
    set("PATH", ENGINE_PATH);
    set("HOSTNAME", HOSTNAME);
    if has_terminal {
        set("TERM", "xterm");
    }
    for variable in &start.env {
        match variable.split_once('=') {
            Some((name, value)) => set(name, value),
            None => set(variable, ""),
        }
    }
    if variable(&start.env, "HOME").is_none() {
        let user = start.user.split(':').next().unwrap_or_default();
        let user = if user.is_empty() { "0" } else { user };
        let account = Accounts::of(view).find(AccountKind::User, user);
        let home = account.as_ref().map(|account| account.field(5));
        set("HOME", home.filter(|home| !home.is_empty()).unwrap_or("/"));
    }
    env
}

/// The files that engines write into every container.
fn files(network: &[(PathBuf, Vec<u8>)]) -> Vec<(PathBuf, Vec<u8>)> {
    let hosts = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\t{HOSTNAME}\n"
    );
    let mut files = vec![
        (
            PathBuf::from("/etc/hostname"),
            format!("{HOSTNAME}\n").into_bytes(),
        ),
        (PathBuf::from("/etc/hosts"), hosts.into_bytes()),
        (PathBuf::from("/etc/resolv.conf"), Vec::new()),
    ];
    for (path, bytes) in network {
        match files.iter_mut().find(|(known, _)| known == path) {
            Some((_, known)) => known.clone_from(bytes),
            None => files.push((path.clone(), bytes.clone())),
        }
    }
    files
}

#[cfg(test)]
mod tests;
