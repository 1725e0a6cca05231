//! The sandbox from inside: from fork to exec.
//!
//! In: the machine that a program is to see. Out: that program, or a message why not. All paths after the
//! change of root lead to nothing of the machine outside, whatever links the image has.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount,
    mount_bind, mount_change, mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{DumpableBehavior, Gid, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use slimpack_trace::TraceGate;

use crate::channel::{Message, Side};
use crate::forbidden::{Stage, reason};
use crate::ids::IdMap;
use crate::{Sandbox, Volume, capabilities, filter, sys};

/// Device nodes that engines give every container.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Links in `/dev`.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
];
/// What tells of the machine, or changes it; hidden as docker hides it (`oci/defaults.go` of moby).
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// More than the last capability that a kernel knows.
const CAPABILITIES_MAX: u64 = 64;
/// Where the C library looks for programs if `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program was not started: a message for the process that waits.
struct Failure(Message);

/// What a step is called, should it fail.
fn step<T>(what: &str, result: Result<T, impl Into<io::Error>>) -> Result<T, Failure> {
    result.map_err(|error| {
        let error: io::Error = error.into();
        let number = error.raw_os_error().unwrap_or_default();
        Failure(Message::Failed(format!("cannot {what}: {error}"), number))
    })
}

/// The same for a step that a setting may forbid.
fn allowed<T>(
    stage: Stage,
    what: &str,
    result: Result<T, impl Into<io::Error>>,
) -> Result<T, Failure> {
    let result = result.map_err(Into::into);
    if let Err(error) = &result {
        let is_forbidden = [libc::EPERM, libc::EACCES, libc::ENOSPC, libc::EINVAL]
            .map(Some)
            .contains(&error.raw_os_error());
        if let Some(reason) = reason(stage, Path::new("/proc")).filter(|_| is_forbidden) {
            return Err(Failure(Message::Forbidden(reason)));
        }
    }
    step(what, result)
}

/// The process between slimpack and the program.
pub(crate) struct Inside<'a> {
    pub sandbox: &'a Sandbox<'a>,
    pub map: &'a IdMap,
    pub side: Side,
    /// What the program reads and writes; those of this process where there is none.
    pub streams: [Option<OwnedFd>; 3],
    pub gate: Option<TraceGate>,
}

impl Inside<'_> {
    /// Leaves the namespaces of this machine, and becomes or starts the program.
    pub fn enter(mut self) -> ! {
        let ended = self.leave();
        if let Err(Failure(message)) = ended {
            self.side.send(&message);
        }
        sys::exit(127)
    }

    fn leave(&mut self) -> Result<(), Failure> {
        let mut flags = UnshareFlags::NEWUSER
            | UnshareFlags::NEWNS
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWCGROUP;
        if !self.sandbox.conditions.has_network {
            flags |= UnshareFlags::NEWNET;
        }
        allowed(
            Stage::Unshare,
            "leave the namespaces of this machine",
            sys::unshare(flags),
        )?;
        self.side.send(&Message::Unshared);
        if !self.side.wait() {
            sys::exit(127);
        }
        match step("fork", sys::fork_sibling())? {
            Some(program) => {
                let id = program.as_raw_nonzero().get();
                self.side.send(&Message::Process(id));
                sys::exit(0)
            }
            None if self.side.wait() => self.program(),
            None => sys::exit(127),
        }
    }

    /// Sets the machine up, and executes.
    fn program(&mut self) -> Result<(), Failure> {
        die_with_parent()?;
        self.set_up()?;
        let terminal = match self.sandbox.conditions.has_terminal {
            true => Some(self.terminal()?),
            false => None,
        };
        self.side.send(&Message::Ready);
        if self.sandbox.words.is_empty() {
            sys::exit(0);
        }
        let _ = rustix::process::setsid();
        self.connect(terminal)?;
        sys::reset_signals();
        self.give_up_rights()?;
        step(
            &format!("enter {}", self.sandbox.working_dir.display()),
            rustix::process::chdir(&self.sandbox.working_dir),
        )?;
        let (path, shown) = self.found()?;
        let words = strings(&self.sandbox.words)?;
        let environment = strings(&self.sandbox.environment)?;
        if !self.side.wait() {
            // Nobody is there who would end this program.
            sys::exit(127);
        }
        self.install_filters()?;
        let error = sys::execute(&path, &words, &environment);
        let number = error.raw_os_error().unwrap_or_default();
        Err(Failure(Message::NotExecuted(shown, number)))
    }

    fn set_up(&self) -> Result<(), Failure> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        allowed(
            Stage::Mount,
            "make mounts private",
            mount_change("/", private),
        )?;
        let sandbox = self.sandbox;
        let nothing = MountAttrFlags::empty();
        let no_programs = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let root = new("tmpfs", &[("mode", "0755")], nothing);
        let root = allowed(Stage::Mount, "mount a tmpfs", root)?;
        let proc = allowed(Stage::Proc, "mount /proc", new("proc", &[], no_programs))?;
        let sys = match sandbox.conditions.has_network {
            // The kernel lets nobody mount /sys anew in the network of another.
            true => clone(Path::new("/sys")),
            false => new(
                "sysfs",
                &[],
                no_programs | MountAttrFlags::MOUNT_ATTR_RDONLY,
            ),
        };
        let sys = step("mount /sys", sys)?;
        let devices = DEVICES.iter().filter_map(|name| {
            let cloned = clone(&Path::new("/dev").join(name)).ok()?;
            Some((*name, cloned))
        });
        let devices: Vec<(&str, OwnedFd)> = devices.collect();
        let volumes = sandbox.conditions.volumes.iter().map(|volume| {
            let what = format!("mount {}", volume.source.display());
            Ok((volume, step(&what, clone(&volume.source))?))
        });
        let volumes: Vec<(&Volume, OwnedFd)> = volumes.collect::<Result<_, _>>()?;
        self.populate(&root)?;
        let at = Path::new("/proc");
        step("attach the root directory", attach(&root, at))?;
        step("enter the root directory", rustix::process::fchdir(&root))?;
        step(
            "change the root directory",
            rustix::process::pivot_root(".", "."),
        )?;
        step("leave the old root", unmount(".", UnmountFlags::DETACH))?;
        step("enter the new root", rustix::process::chdir("/"))?;
        step(
            "attach /proc",
            directory(Path::new("/proc")).and_then(|()| attach(&proc, at)),
        )?;
        let at = Path::new("/sys");
        step("attach /sys", directory(at).and_then(|()| attach(&sys, at)))?;
        step("set up /dev", self.devices(&devices))?;
        for (path, bytes) in &sandbox.files {
            step(&format!("write {}", path.display()), file(path, bytes))?;
        }
        for (volume, mount) in &volumes {
            let at = &volume.destination;
            step(
                &format!("mount {}", at.display()),
                attach_volume(volume, mount),
            )?;
        }
        step("hide parts of /proc", hide())?;
        if !sandbox.hostname.is_empty() {
            let name = sandbox.hostname.as_bytes();
            step("set the host name", rustix::system::sethostname(name))?;
        }
        if !sandbox.conditions.has_network {
            step("set up the loopback interface", sys::set_loopback_up())?;
        }
        // Engines create it as root, with everything above.
        let _ = directory(&sandbox.working_dir);
        if sandbox.conditions.is_read_only {
            let flags = MountFlags::BIND | MountFlags::RDONLY;
            step("make the root read-only", mount_remount("/", flags, c""))?;
        }
        Ok(())
    }

    fn populate(&self, root: &OwnedFd) -> Result<(), Failure> {
        let at = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
        (self.sandbox.populate)(&at, self.map).map_err(|text| Failure(Message::Failed(text, 0)))
    }

    fn devices(&self, devices: &[(&str, OwnedFd)]) -> io::Result<()> {
        let no_programs = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let dev = Path::new("/dev");
        directory(dev)?;
        let options = [("mode", "0755"), ("size", "65536k")];
        attach(
            &new("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NOSUID)?,
            dev,
        )?;
        for (name, device) in devices {
            let at = dev.join(name);
            File::create_new(&at)?;
            attach(device, &at)?;
        }
        for (target, link) in LINKS {
            symlink(target, link)?;
        }
        let pts = Path::new("/dev/pts");
        fs::create_dir(pts)?;
        let mut options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
        if self.map.has_group(5) {
            options.push(("gid", "5"));
        }
        attach(&new("devpts", &options, no_programs)?, pts)?;
        let shm = Path::new("/dev/shm");
        fs::create_dir(shm)?;
        let flags = no_programs | MountAttrFlags::MOUNT_ATTR_NODEV;
        let options = [("mode", "1777"), ("size", "65536k")];
        attach(&new("tmpfs", &options, flags)?, shm)?;
        let queues = Path::new("/dev/mqueue");
        fs::create_dir(queues)?;
        // Not every kernel has message queues.
        if let Ok(mount) = new("mqueue", &[], flags) {
            attach(&mount, queues)?;
        }
        Ok(())
    }

    /// Makes a terminal in the sandbox, which is none of the machine's, and hands over its other side.
    fn terminal(&self) -> Result<OwnedFd, Failure> {
        use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
        let make = || -> io::Result<OwnedFd> {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let ours = openpt(flags)?;
            unlockpt(&ours)?;
            let its = ioctl_tiocgptpeer(&ours, flags)?;
            let ids = &self.sandbox.ids;
            let user = Uid::from_raw(ids.uid);
            rustix::fs::fchown(&its, Some(user), None)?;
            let console = Path::new("/dev/console");
            File::create_new(console)?;
            mount_bind("/dev/pts/0", console)?;
            self.side.send(&Message::Terminal(ours));
            Ok(its)
        };
        step("make a terminal", make())
    }

    /// Connects the streams of the program.
    fn connect(&mut self, terminal: Option<OwnedFd>) -> Result<(), Failure> {
        let connect = || -> io::Result<()> {
            if let Some(terminal) = &terminal {
                rustix::process::ioctl_tiocsctty(terminal)?;
                return (0..3).try_for_each(|number| sys::replace(terminal.as_fd(), number));
            }
            if !self.sandbox.conditions.is_interactive {
                sys::replace(File::open("/dev/null")?.as_fd(), 0)?;
            }
            for (number, stream) in (0..).zip(&self.streams) {
                if let Some(stream) = stream {
                    sys::replace(stream.as_fd(), number)?;
                }
            }
            Ok(())
        };
        step("connect the streams", connect())?;
        step("close other files", sys::close_on_execute(3))
    }

    /// Becomes the user, with the capabilities that docker leaves.
    fn give_up_rights(&self) -> Result<(), Failure> {
        let ids = &self.sandbox.ids;
        let (user, group) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid()));
        let given = capabilities::given();
        let give_up = || -> io::Result<()> {
            for number in 0..CAPABILITIES_MAX {
                let capability = CapabilitySet::from_bits_retain(1 << number);
                if given.contains(capability) {
                    continue;
                }
                match rustix::thread::remove_capability_from_bounding_set(capability) {
                    // The kernel does not know it.
                    Err(rustix::io::Errno::INVAL) => break,
                    done => done?,
                }
            }
            if self.map.allows_groups() {
                let groups: Vec<Gid> = ids.gids.iter().map(|id| Gid::from_raw(*id)).collect();
                rustix::thread::set_thread_groups(&groups)?;
            }
            rustix::thread::set_thread_res_gid(group, group, group)?;
            rustix::thread::set_thread_res_uid(user, user, user)?;
            let _ = rustix::thread::clear_ambient_capability_set();
            let kept = match ids.uid {
                0 => given,
                _ => CapabilitySet::empty(),
            };
            let sets = CapabilitySets {
                effective: kept,
                permitted: kept,
                inheritable: CapabilitySet::empty(),
            };
            rustix::thread::set_capabilities(None, sets)?;
            rustix::thread::set_no_new_privs(true)?;
            // Otherwise a tracer, and whoever looks at its streams in /proc, is refused.
            rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
            Ok(())
        };
        step(&format!("become user {}", ids.uid), give_up())?;
        // A change of user takes this away.
        die_with_parent()
    }

    /// The file to execute, and its name in messages.
    fn found(&self) -> Result<(CString, String), Failure> {
        let Some(word) = self.sandbox.words.first() else {
            return Err(Failure(Message::NotExecuted(String::new(), libc::ENOENT)));
        };
        let path = |path: &str| CString::new(path).map_err(|_| not_executed(word, libc::EINVAL));
        if word.contains('/') {
            return Ok((path(word)?, word.clone()));
        }
        let variables = self.sandbox.environment.iter();
        let mut variables = variables.filter_map(|variable| variable.strip_prefix("PATH="));
        let mut error = libc::ENOENT;
        for directory in variables.next_back().unwrap_or(DEFAULT_PATH).split(':') {
            let directory = if directory.is_empty() { "." } else { directory };
            let candidate = format!("{directory}/{word}");
            let is_file = fs::metadata(&candidate).is_ok_and(|found| found.is_file());
            match rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK) {
                Ok(()) if is_file => return Ok((path(&candidate)?, candidate)),
                Err(rustix::io::Errno::ACCESS) => error = libc::EACCES,
                _ => {}
            }
        }
        Err(not_executed(word, error))
    }

    fn install_filters(&self) -> Result<(), Failure> {
        let fail = || io::Error::from_raw_os_error(libc::ENOSYS);
        let programs = filter::programs().map_err(|_| fail());
        let programs = step("make a seccomp filter", programs)?;
        if let Some(gate) = &self.gate {
            step("install the filter of the tracer", gate.install())?;
        }
        programs.iter().try_for_each(|program| {
            let installed = seccompiler::apply_filter(program);
            step("install a seccomp filter", installed.map_err(|_| fail()))
        })
    }
}

fn not_executed(word: &str, error: i32) -> Failure {
    Failure(Message::NotExecuted(word.to_owned(), error))
}

/// Has the kernel kill this process, and with it all others of its namespace, when slimpack ends.
fn die_with_parent() -> Result<(), Failure> {
    let set = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    step("bind the program to slimpack", set)
}

fn strings(words: &[String]) -> Result<Vec<CString>, Failure> {
    let strings = words.iter().map(|word| CString::new(word.as_str()));
    let strings = strings.collect::<Result<_, _>>();
    step("pass on arguments", strings.map_err(io::Error::from))
}

/// A file system that is mounted nowhere yet.
fn new(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let made = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        match value.is_empty() {
            true => rustix::mount::fsconfig_set_flag(&made, *name)?,
            false => fsconfig_set_string(&made, *name, *value)?,
        }
    }
    fsconfig_create(&made)?;
    Ok(fsmount(&made, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A part of this machine, mounted nowhere yet.
fn clone(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}

fn attach(mount: &OwnedFd, at: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(mount, "", CWD, at, flags)?)
}

fn attach_volume(volume: &Volume, mount: &OwnedFd) -> io::Result<()> {
    let at = &volume.destination;
    let is_directory = rustix::fs::fstat(mount)
        .is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir());
    match is_directory {
        true => directory(at)?,
        false => {
            directory(at.parent().unwrap_or(Path::new("/")))?;
            if !at.exists() {
                File::create_new(at)?;
            }
        }
    }
    attach(mount, at)?;
    match volume.is_read_only {
        true => make_read_only(at),
        false => Ok(()),
    }
}

/// Makes a mount read-only; what it was refused before stays.
fn make_read_only(at: &Path) -> io::Result<()> {
    use rustix::fs::StatVfsMountFlags as Has;
    let has = rustix::fs::statvfs(at)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (known, flag) in [
        (Has::NOSUID, MountFlags::NOSUID),
        (Has::NODEV, MountFlags::NODEV),
        (Has::NOEXEC, MountFlags::NOEXEC),
        (Has::NOATIME, MountFlags::NOATIME),
        (Has::NODIRATIME, MountFlags::NODIRATIME),
        (Has::RELATIME, MountFlags::RELATIME),
    ] {
        if has.contains(known) {
            flags |= flag;
        }
    }
    Ok(mount_remount(at, flags, c"")?)
}

/// A directory that is there afterwards, with everything above it.
fn directory(at: &Path) -> io::Result<()> {
    match at.is_dir() {
        true => Ok(()),
        false => fs::create_dir_all(at),
    }
}

/// Replaces a file, as engines do that mount one over it.
fn file(at: &Path, bytes: &[u8]) -> io::Result<()> {
    directory(at.parent().unwrap_or(Path::new("/")))?;
    match fs::symlink_metadata(at) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => fs::remove_file(at)?,
        Err(_) => {}
    }
    fs::write(at, bytes)?;
    fs::set_permissions(at, Permissions::from_mode(0o644))
}

fn hide() -> io::Result<()> {
    let nothing = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for path in MASKED.map(Path::new) {
        match fs::metadata(path) {
            Err(_) => {}
            Ok(found) if found.is_dir() => mount("tmpfs", path, "tmpfs", nothing, None)?,
            Ok(_) => mount_bind("/dev/null", path)?,
        }
    }
    for path in READ_ONLY
        .map(Path::new)
        .into_iter()
        .filter(|path| path.exists())
    {
        mount_bind(path, path)?;
        mount_remount(path, MountFlags::BIND | nothing, c"")?;
    }
    Ok(())
}
