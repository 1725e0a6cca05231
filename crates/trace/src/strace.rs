//! The output of strace.
//!
//! In: lines of `strace -f -e trace=file,desc,process`, to a file or not, with or without `-y`,
//! `-t` and the like. Out: what a tracer would have recorded. Without `-y`, descriptors and working
//! directories are tracked from call to call. Source: strace(1).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use memchr::{memchr, memmem};

use crate::calls::{self, Action, Call};
use crate::lookup::{Lookup, is_of_process, without_parents};
use crate::recording::{Ending, Note, Recording, RunRecorder, Uses};

/// What is wrong with a line, and the position of the byte, from 1.
type LineFault = (usize, String);

/// Names of relevant flags, and their bits.
const FLAGS: [(&str, libc::c_int); 8] = [
    ("O_WRONLY", libc::O_WRONLY),
    ("O_RDWR", libc::O_RDWR),
    ("O_CREAT", libc::O_CREAT),
    ("O_TRUNC", libc::O_TRUNC),
    ("O_PATH", libc::O_PATH),
    ("O_NOFOLLOW", libc::O_NOFOLLOW),
    ("AT_SYMLINK_NOFOLLOW", libc::AT_SYMLINK_NOFOLLOW),
    ("CLONE_NEWNS", libc::CLONE_NEWNS),
];

/// Names of relevant errors, and their numbers.
const ERRORS: [(&str, i32); 11] = [
    ("ENOENT", libc::ENOENT),
    ("ENOTDIR", libc::ENOTDIR),
    ("EINVAL", libc::EINVAL),
    ("ENODATA", libc::ENODATA),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
    ("ERANGE", libc::ERANGE),
    ("ENOEXEC", libc::ENOEXEC),
    ("EEXIST", libc::EEXIST),
    ("EISDIR", libc::EISDIR),
    ("ENOTEMPTY", libc::ENOTEMPTY),
    ("ETXTBSY", libc::ETXTBSY),
];

/// The open descriptors of a thread in the log. Threads of a process have copies: what one of them
/// opens or enters is known to the others only with `-y`.
#[derive(Clone, Debug)]
struct LoggedThread {
    process: usize,
    directory: Rc<Path>,
    files: Rc<HashMap<i32, Rc<Path>>>,
    /// A call that was interrupted by a line of another thread.
    begun: Vec<u8>,
}

/// The state of reading a log.
pub(crate) struct Strace {
    directory: Rc<Path>,
    threads: HashMap<u32, LoggedThread>,
    recorder: RunRecorder,
    command: Vec<String>,
    /// The thread of the first line, and how it ended.
    first: Option<u32>,
    ending: Option<Ending>,
}

impl Strace {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.into(),
            threads: HashMap::new(),
            recorder: RunRecorder::default(),
            command: Vec::new(),
            first: None,
            ending: None,
        }
    }

    /// The number of paths so far.
    pub fn len(&self) -> usize {
        self.recorder.len()
    }

    pub fn finish(self) -> Recording {
        self.recorder.finish(self.command, self.ending)
    }

    /// Reads one line.
    pub fn line(&mut self, line: &[u8]) -> Result<(), LineFault> {
        let (id, start) = prefix(line);
        let text = &line[start..];
        if self.first.is_none() {
            self.first = Some(id);
        }
        if text.is_empty() || text.starts_with(b"strace: ") {
            return Ok(());
        }
        if text.starts_with(b"---") {
            return Ok(());
        }
        if let Some(ended) = text.strip_prefix(b"+++ ") {
            // It continues as the thread that executes a program.
            if let Some(former) = ended.strip_prefix(b"superseded by execve in pid ") {
                self.superseded(id, former);
                return Ok(());
            }
            if self.first == Some(id) {
                self.ending = ending(ended);
            }
            self.threads.remove(&id);
            return Ok(());
        }
        // `<... openat resumed>, …) = 3`
        if let Some(rest) = text.strip_prefix(b"<... ") {
            let Some(end) = memchr(b'>', rest) else {
                return Err((start + 1, "expected <... NAME resumed>".to_owned()));
            };
            let mut whole = match self.threads.get_mut(&id) {
                Some(thread) => std::mem::take(&mut thread.begun),
                None => Vec::new(),
            };
            // Its beginning is not in the log, or was not relevant.
            if whole.is_empty() {
                return Ok(());
            }
            whole.extend_from_slice(&rest[end + 1..]);
            return self.call(id, &whole, start);
        }
        // `<pid changed to 7 ...>`: a thread other than the first executes a program.
        if let Some(begun) = text.strip_suffix(b" ...>")
            && let Some(at) = memmem::find(begun, b" <pid changed to ")
        {
            let (begun, changed) = begun.split_at(at);
            let heir = changed.rsplit(|byte| *byte == b' ').next().and_then(number);
            if let Some(heir) = heir.and_then(|heir| u32::try_from(heir).ok()) {
                let begun = begun.to_vec();
                let thread = self.thread(id).clone();
                self.threads.insert(heir, LoggedThread { begun, ..thread });
            }
            return Ok(());
        }
        match text.strip_suffix(b" <unfinished ...>") {
            Some(begun) => {
                let begun = begun.to_vec();
                self.thread(id).begun = begun;
                Ok(())
            }
            None => self.call(id, text, start),
        }
    }

    /// A thread takes the ID of its process, and with it the call that it is in, unless `<pid changed to>`
    /// has told.
    fn superseded(&mut self, id: u32, former: &[u8]) {
        let former = number(former).and_then(|former| u32::try_from(former).ok());
        let former = former.and_then(|former| self.threads.remove(&former));
        if let Some(thread) = former.filter(|thread| !thread.begun.is_empty()) {
            self.threads.insert(id, thread);
        }
    }

    fn thread(&mut self, id: u32) -> &mut LoggedThread {
        let known = self.threads.get(&id);
        // The first line of a child may precede the return of its parent's call.
        let parent = || self.threads.values().find(|thread| is_clone(&thread.begun));
        let fresh = match known.is_none().then(parent).flatten() {
            Some(parent) => LoggedThread {
                begun: Vec::new(),
                ..parent.clone()
            },
            None => LoggedThread {
                process: 0,
                directory: self.directory.clone(),
                files: Rc::default(),
                begun: Vec::new(),
            },
        };
        self.threads.entry(id).or_insert(fresh)
    }

    /// A complete call: `NAME(ARGUMENT, …) = RESULT`.
    fn call(&mut self, id: u32, text: &[u8], start: usize) -> Result<(), LineFault> {
        let expected = || {
            let what = "expected a line of strace output, such as openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 3";
            (start + 1, what.to_owned())
        };
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let end = text.iter().position(|byte| !is_name(byte));
        let end = end.filter(|end| *end > 0).ok_or_else(expected)?;
        let name = String::from_utf8_lossy(&text[..end]).into_owned();
        let rest = text[end..].strip_prefix(b"(").ok_or_else(expected)?;
        let (arguments, after) = arguments(rest).ok_or_else(|| {
            let what = format!("the arguments of {name} are unterminated");
            (start + end + 2, what)
        })?;
        let result = CallResult::of(after).ok_or_else(|| {
            let at = start + text.len() - after.len();
            (at + 1, format!("expected = and the result of {name}"))
        })?;
        self.follow(id, &name, &arguments, &result);
        if let Some(call) = calls::named(&name) {
            self.record(id, call, &arguments, &result);
        }
        Ok(())
    }

    /// Tracks descriptors and new threads.
    fn follow(&mut self, id: u32, name: &str, arguments: &[&[u8]], result: &CallResult) {
        let CallResult::Done(value) = *result else {
            return;
        };
        let argument = |index: usize| arguments.get(index).and_then(|text| number(text));
        match name {
            "clone" | "clone3" | "fork" | "vfork" => {
                let child = LoggedThread {
                    begun: Vec::new(),
                    ..self.thread(id).clone()
                };
                if let Ok(child_id) = u32::try_from(value) {
                    self.threads.entry(child_id).or_insert(child);
                }
            }
            "dup" | "dup2" | "dup3" | "fcntl" => {
                let is_copy = name != "fcntl"
                    || arguments
                        .get(1)
                        .is_some_and(|command| command.starts_with(b"F_DUPFD"));
                let thread = self.thread(id);
                let from = argument(0).and_then(|from| thread.files.get(&from).cloned());
                if let (true, Some(from), Ok(to)) = (is_copy, from, i32::try_from(value)) {
                    Rc::make_mut(&mut thread.files).insert(to, from);
                }
            }
            "close" => {
                if let Some(descriptor) = argument(0) {
                    let thread = self.thread(id);
                    if thread.files.contains_key(&descriptor) {
                        Rc::make_mut(&mut thread.files).remove(&descriptor);
                    }
                }
            }
            _ => {}
        }
    }

    /// Records a call that has paths.
    fn record(&mut self, id: u32, call: Call, arguments: &[&[u8]], result: &CallResult) {
        let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
        let mut flags = call.flags.map_or(0, |index| flags(argument(index)));
        match call.action {
            Action::Create => flags = flags_of(&["O_CREAT", "O_WRONLY", "O_TRUNC"]),
            Action::IoUring => {
                self.recorder.notes.insert(Note::IoUring);
                return;
            }
            Action::Unshare | Action::Clone3 | Action::Mount | Action::ChangeRights => return,
            _ => {}
        }
        let paths = self.paths(id, call, arguments);
        if paths.is_empty() || paths.len() < call.paths.len() {
            return;
        }
        let mut lookup = Lookup {
            action: call.action,
            flags,
            existed: true,
            paths,
            ..Lookup::default()
        };
        let process = self.thread(id).process;
        let value = match *result {
            CallResult::Failed(error) => return lookup.failed(&mut self.recorder, error, process),
            CallResult::Unknown => return,
            CallResult::Done(value) => value,
        };
        let Some(last) = lookup.paths.last().cloned() else {
            return;
        };
        if Lookup::may_change(call.action, flags) {
            // Whether it existed before is known only from earlier lines.
            let may_create = call.action == Action::Rename || flags & flags_of(&["O_CREAT"]) != 0;
            lookup.existed = !may_create || self.recorder.has_found(&last);
        }
        match call.action {
            Action::Execute => {
                let words = words(argument(if call.paths[0].0.is_some() { 2 } else { 1 }));
                if self.command.is_empty() {
                    self.command.clone_from(&words);
                }
                let process = self.recorder.process(words);
                self.thread(id).process = process;
                self.recorder.found(&last, Uses::EXECUTED, process);
                return;
            }
            Action::Enter | Action::EnterOpen => self.thread(id).directory = without_parents(&last),
            Action::Open | Action::OpenHow | Action::Create => {
                if let Ok(descriptor) = i32::try_from(value) {
                    let thread = self.thread(id);
                    Rc::make_mut(&mut thread.files).insert(descriptor, without_parents(&last));
                }
                if is_of_process(&last) {
                    return;
                }
            }
            _ => {}
        }
        lookup.succeeded(&mut self.recorder, process);
    }

    /// The paths of a call.
    fn paths(&mut self, id: u32, call: Call, arguments: &[&[u8]]) -> Vec<PathBuf> {
        let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
        let mut paths = Vec::new();
        match call.action {
            Action::List | Action::EnterOpen => paths.extend(self.open_file(id, argument(0))),
            Action::Map if argument(2).windows(9).any(|word| word == b"PROT_EXEC") => {
                paths.extend(self.open_file(id, argument(4)));
            }
            _ => {}
        }
        for (directory, at) in call.paths {
            let directory = directory.map(argument);
            let path = match (directory, argument(*at)) {
                // The file of a descriptor, with AT_EMPTY_PATH.
                (Some(directory), b"\"\"") if call.action == Action::Execute => {
                    self.open_file(id, directory)
                }
                (directory, name) => self.path(id, directory, name),
            };
            paths.extend(path);
        }
        paths
    }

    /// The file of a descriptor, by `-y` or an earlier call.
    fn open_file(&mut self, id: u32, argument: &[u8]) -> Option<PathBuf> {
        if let Some(path) = annotation(argument) {
            return Some(path);
        }
        let descriptor = number(argument)?;
        let path = self.thread(id).files.get(&descriptor)?;
        Some(path.to_path_buf())
    }

    /// The absolute path of a call.
    fn path(&mut self, id: u32, directory: Option<&[u8]>, argument: &[u8]) -> Option<PathBuf> {
        let name = string(argument)?;
        let name = Path::new(OsStr::from_bytes(&name));
        if name.as_os_str().is_empty() {
            return None;
        }
        let base = match directory {
            _ if name.is_absolute() => PathBuf::from("/"),
            Some(directory) if !directory.starts_with(b"AT_FDCWD") => {
                self.open_file(id, directory)?
            }
            Some(directory) => {
                annotation(directory).unwrap_or_else(|| self.thread(id).directory.to_path_buf())
            }
            None => self.thread(id).directory.to_path_buf(),
        };
        Some(base.join(name).components().collect())
    }
}

/// The result of a call.
enum CallResult {
    Done(i64),
    Failed(i32),
    /// `?`, or an error that does not depend on the path.
    Unknown,
}

impl CallResult {
    /// `= 3`, `= 3</etc/passwd>`, `= -1 ENOENT (No such file or directory)`, `= ?`.
    fn of(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
        if let Some(error) = text.strip_prefix(b"-1 ") {
            let name = error.split(|byte| !byte.is_ascii_alphanumeric()).next();
            let known = ERRORS
                .iter()
                .find(|(known, _)| Some(known.as_bytes()) == name);
            return Some(known.map_or(Self::Unknown, |(_, number)| Self::Failed(*number)));
        }
        let digits = text.strip_prefix(b"0x");
        let is_digit = |byte: &u8| match digits {
            Some(_) => byte.is_ascii_hexdigit(),
            None => byte.is_ascii_digit(),
        };
        let digits_only = digits.unwrap_or(text);
        let end = digits_only.iter().position(|byte| !is_digit(byte));
        let number = std::str::from_utf8(&digits_only[..end.unwrap_or(digits_only.len())]).ok()?;
        let radix = if digits.is_some() { 16 } else { 10 };
        match i64::from_str_radix(number, radix) {
            Ok(value) => Some(Self::Done(value)),
            Err(_) if text.starts_with(b"?") || text.starts_with(b"-") => Some(Self::Unknown),
            // An address in the upper half.
            Err(_) => (!number.is_empty()).then_some(Self::Done(0)),
        }
    }
}

/// The thread ID before a call, 0 without one, and where the call begins: after `[pid N]`, `N`, and
/// times of any kind.
fn prefix(line: &[u8]) -> (u32, usize) {
    let mut at = 0;
    let mut id = None;
    let skip_blanks = |mut at: usize| {
        while line.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    at = skip_blanks(at);
    if line[at..].starts_with(b"[pid")
        && let Some(end) = memchr(b']', &line[at..])
    {
        id = number(line[at + 4..at + end].trim_ascii());
        at = skip_blanks(at + end + 1);
    }
    loop {
        let word = line[at..].iter().position(u8::is_ascii_whitespace);
        let Some(word) = word.map(|end| &line[at..at + end]) else {
            break;
        };
        let is_time = |byte: &u8| byte.is_ascii_digit() || b":.+".contains(byte);
        if !word.iter().any(u8::is_ascii_digit) || !word.iter().all(is_time) {
            break;
        }
        if id.is_none() && at == 0 {
            id = number(word);
        }
        at = skip_blanks(at + word.len());
    }
    let id = id.and_then(|id| u32::try_from(id).ok());
    (id.unwrap_or_default(), at)
}

/// The arguments of a call, and what follows the closing parenthesis; `None` if there is none.
fn arguments(text: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (mut arguments, mut begin, mut depth, mut at) = (Vec::new(), 0, 0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = text.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
            }
            // A path of `-y`, or `<pipe:[1]>`. strace prints no shifts or comparisons.
            b'<' => at += memchr(b'>', &text[at..])?,
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                arguments.push(text[begin..at].trim_ascii());
                return Some((arguments, &text[at + 1..]));
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(text[begin..at].trim_ascii());
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A C string, as strace prints it; `None` if the argument is not a string, or is truncated.
fn string(argument: &[u8]) -> Option<Vec<u8>> {
    let mut rest = argument.strip_prefix(b"\"")?.iter().copied().peekable();
    let mut string = Vec::new();
    loop {
        match rest.next()? {
            b'"' => break,
            b'\\' => {
                let digits = |rest: &mut std::iter::Peekable<_>, radix: u32, most: usize| {
                    let mut value = 0;
                    for _ in 0..most {
                        let digit = rest
                            .peek()
                            .and_then(|byte: &u8| char::from(*byte).to_digit(radix));
                        let Some(digit) = digit else { break };
                        value = value * radix + digit;
                        rest.next();
                    }
                    // Octal 777 has nine bits.
                    (value & 0xff) as u8
                };
                let byte = match rest.peek()? {
                    b'0'..=b'7' => digits(&mut rest, 8, 3),
                    b'x' => {
                        rest.next();
                        digits(&mut rest, 16, 2)
                    }
                    _ => match rest.next()? {
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'r' => b'\r',
                        b'v' => 0x0b,
                        b'f' => 0x0c,
                        other => other,
                    },
                };
                string.push(byte);
            }
            byte => string.push(byte),
        }
    }
    // `"/very/lo"...`
    rest.next().is_none().then_some(string)
}

/// The strings of a list: `["ls", "-l"]`.
fn words(argument: &[u8]) -> Vec<String> {
    let inner = argument.strip_prefix(b"[").unwrap_or_default();
    let mut closed = inner.strip_suffix(b"]").unwrap_or(inner).to_vec();
    closed.push(b')');
    let Some((words, _)) = arguments(&closed) else {
        return Vec::new();
    };
    let words = words.into_iter().filter_map(string);
    words
        .map(|word| String::from_utf8_lossy(&word).into_owned())
        .collect()
}

/// The path that `-y` adds to a descriptor: `3</etc/passwd>`.
fn annotation(argument: &[u8]) -> Option<PathBuf> {
    let begin = memchr(b'<', argument)?;
    let path = argument[begin + 1..].strip_suffix(b">")?;
    let path = path.split(|byte| *byte == b'<').next()?;
    // Non-printable bytes are escaped as in a string.
    let path = string(&[b"\"", path, b"\""].concat())?;
    let path = Path::new(OsStr::from_bytes(&path));
    let is_path = path.is_absolute() && !path.as_os_str().as_bytes().ends_with(b" (deleted)");
    is_path.then(|| path.to_path_buf())
}

/// The number at the start of an argument.
fn number(argument: &[u8]) -> Option<i32> {
    let end = argument.iter().position(|byte| !byte.is_ascii_digit());
    let digits = &argument[..end.unwrap_or(argument.len())];
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The bits of the symbols in an argument.
fn flags(argument: &[u8]) -> u64 {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let words = argument.split(|byte| !is_part(byte));
    let known = words.filter_map(|word| FLAGS.iter().find(|(name, _)| name.as_bytes() == word));
    known.fold(0, |bits, (_, bit)| bits | u64::from(bit.cast_unsigned()))
}

fn flags_of(names: &[&str]) -> u64 {
    flags(names.join("|").as_bytes())
}

/// Whether a call that has begun creates a thread.
fn is_clone(begun: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b"clone(", b"clone3(", b"fork(", b"vfork("];
    names.iter().any(|name| begun.starts_with(name))
}

/// `exited with 0 +++`, `killed by SIGTERM +++`.
fn ending(text: &[u8]) -> Option<Ending> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(status) = text.strip_prefix("exited with ") {
        return status.split(' ').next()?.parse().ok().map(Ending::Exit);
    }
    let name = text.strip_prefix("killed by ")?.split(' ').next()?;
    let names = [
        ("SIGHUP", 1),
        ("SIGINT", 2),
        ("SIGQUIT", 3),
        ("SIGILL", 4),
        ("SIGABRT", 6),
        ("SIGBUS", 7),
        ("SIGKILL", 9),
        ("SIGSEGV", 11),
        ("SIGPIPE", 13),
        ("SIGTERM", 15),
        ("SIGSYS", 31),
    ];
    let known = names.iter().find(|(known, _)| *known == name);
    known.map(|(_, number)| Ending::Signal(*number))
}
