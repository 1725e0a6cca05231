//! What passes between a running program and this process: bytes, signals, and the size of the terminal.
//!
//! In: the program's process and the ends of its pipes or its terminal. Out: nothing; returns when the
//! program has ended and everything that it wrote is passed on.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{OptionalActions, Termios};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use slimpack_trace::Ending;

use crate::start::{Streams, end_of};
use crate::{OnOutput, Sandbox};

/// Signals that are passed on, as engines do.
const SIGNALS: [i32; 8] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT,
];
/// Those that end a program which does not handle them. The kernel keeps them from the first process of
/// a namespace unless it does.
const ENDING: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
/// How often, and after which pauses, it is asked whether a signal is still blocked.
const GLANCES: usize = 20;
const GLANCE: Duration = Duration::from_millis(2);
/// After so many of these, the program is killed.
const IMPATIENT: usize = 3;
/// Bytes passed on at a time.
const PIECE: usize = 64 << 10;

/// Where a program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// To standard output.
    Out,
    /// To standard error.
    Err,
}

/// The side of this process while a program runs.
pub(crate) struct Relay<'a> {
    timeout: Option<Duration>,
    is_interactive: bool,
    to: Option<&'a OnOutput<'a>>,
    copy: Option<&'a OnOutput<'a>>,
    pid: Pid,
    end: OwnedFd,
    output: Vec<(OutputStream, OwnedFd)>,
    input: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    _raw: Option<RawTerminal>,
    signals: SignalDelivery<UnixStream, SignalOnly>,
    /// The signal that it was killed for.
    killed_for: Option<i32>,
    asked: usize,
    /// Whether it took too long.
    pub timed_out: bool,
}

/// What became readable.
struct Readable {
    has_ended: bool,
    signals: bool,
    input: bool,
    terminal: bool,
    output: Vec<bool>,
}

impl<'a> Relay<'a> {
    pub fn new(
        sandbox: &'a Sandbox<'a>,
        pid: Pid,
        streams: Streams,
        terminal: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let raw = match sandbox.conditions.is_interactive && terminal.is_some() {
            true => RawTerminal::of_stdin(),
            false => None,
        };
        let relay = Self {
            timeout: sandbox.conditions.timeout,
            is_interactive: sandbox.conditions.is_interactive,
            to: sandbox.conditions.output,
            copy: sandbox.conditions.copy,
            pid,
            end: end_of(pid)?,
            output: streams.output,
            input: streams.input,
            terminal,
            _raw: raw,
            signals: SignalDelivery::with_pipe(read, write, SignalOnly, SIGNALS)?,
            killed_for: None,
            asked: 0,
            timed_out: false,
        };
        relay.resize();
        Ok(relay)
    }

    /// Passes on what comes until the program has ended.
    pub fn run(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        let mut is_over = false;
        loop {
            let left = self
                .timeout
                .map(|limit| limit.saturating_sub(begin.elapsed()));
            // What it wrote before its end is still in the pipes.
            let wait = if is_over { Some(Duration::ZERO) } else { left };
            let ready = self.wait(wait)?;
            if left == Some(Duration::ZERO) && !is_over && !self.timed_out {
                self.timed_out = true;
                self.kill();
            }
            if ready.signals {
                self.pass_signals();
            }
            let mut has_passed = false;
            if ready.terminal {
                has_passed |= self.pass_terminal();
            }
            for number in (0..ready.output.len())
                .rev()
                .filter(|number| ready.output[*number])
            {
                has_passed |= self.pass_output(number);
            }
            if is_over && !has_passed {
                return Ok(());
            }
            is_over |= ready.has_ended;
            if ready.input && !is_over {
                self.pass_input();
            }
        }
    }

    /// How the program ended, if it was killed in place of a signal.
    pub fn stood_for(&self, ending: Ending) -> Ending {
        match self.killed_for {
            Some(signal) if ending == Ending::Signal(Signal::KILL.as_raw()) => {
                Ending::Signal(signal)
            }
            _ => ending,
        }
    }

    fn wait(&self, limit: Option<Duration>) -> io::Result<Readable> {
        let stdin = io::stdin();
        let reads_input = self.input.is_some() || (self.terminal.is_some() && self.is_interactive);
        let mut sources: Vec<(u8, BorrowedFd<'_>)> = vec![
            (b'e', self.end.as_fd()),
            (b's', self.signals.get_read().as_fd()),
        ];
        if reads_input {
            sources.push((b'i', stdin.as_fd()));
        }
        sources.extend(
            self.terminal
                .iter()
                .map(|terminal| (b't', terminal.as_fd())),
        );
        sources.extend(self.output.iter().map(|(_, pipe)| (b'o', pipe.as_fd())));
        let mut polled: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, source)| PollFd::from_borrowed_fd(*source, PollFlags::IN))
            .collect();
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match poll(&mut polled, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
        let of_kind = |kind: u8| {
            let of_kind = sources.iter().zip(&polled);
            of_kind
                .filter(move |((other, _), _)| *other == kind)
                .map(|(_, polled)| is_ready(polled))
                .collect::<Vec<_>>()
        };
        let any = |kind| of_kind(kind).contains(&true);
        Ok(Readable {
            has_ended: any(b'e'),
            signals: any(b's'),
            input: any(b'i'),
            terminal: any(b't'),
            output: of_kind(b'o'),
        })
    }

    fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }

    fn pass_signals(&mut self) {
        let signals: Vec<i32> = self.signals.pending().collect();
        for number in signals {
            if number == SIGWINCH && self.terminal.is_some() {
                self.resize();
            }
            let Some(signal) = Signal::from_named_raw(number) else {
                continue;
            };
            let is_ending = ENDING.contains(&number);
            self.asked += usize::from([SIGINT, SIGTERM].contains(&number));
            if is_ending && (!self.is_known(number) || self.asked >= IMPATIENT) {
                self.killed_for = Some(number);
                self.kill();
            } else {
                let _ = kill_process(self.pid, signal);
            }
        }
    }

    /// Whether the program handles a signal, ignores it, or blocks it to wait for it. A shell blocks
    /// all for the moment in which it forks, and then loses one that it does not handle.
    fn is_known(&self, signal: i32) -> bool {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        for _ in 0..GLANCES {
            let status = fs::read_to_string(&path).unwrap_or_default();
            let is_in = |sets: &[&str]| {
                status.lines().any(|line| {
                    let Some((name, set)) = line.split_once(':') else {
                        return false;
                    };
                    let set = u64::from_str_radix(set.trim(), 16).unwrap_or_default();
                    sets.contains(&name) && set & (1 << (signal - 1)) != 0
                })
            };
            if is_in(&["SigIgn", "SigCgt"]) {
                return true;
            }
            if !is_in(&["SigBlk"]) {
                return false;
            }
            std::thread::sleep(GLANCE);
        }
        true
    }

    /// Gives the program's terminal the size of this process's.
    fn resize(&self) {
        if let Some(terminal) = &self.terminal
            && let Ok(size) = rustix::termios::tcgetwinsize(io::stdin())
                .or_else(|_| rustix::termios::tcgetwinsize(io::stdout()))
        {
            let _ = rustix::termios::tcsetwinsize(terminal, size);
        }
    }

    /// Passes on what stands in a pipe; `false` when nothing does.
    fn pass_output(&mut self, number: usize) -> bool {
        let mut bytes = [0; PIECE];
        let (stream, pipe) = &self.output[number];
        let read = rustix::io::read(pipe, &mut bytes).unwrap_or_default();
        if read == 0 || !self.write(*stream, &bytes[..read]) {
            // A program that writes on gets SIGPIPE, as if it wrote there itself.
            self.output.remove(number);
            return false;
        }
        true
    }

    fn pass_terminal(&mut self) -> bool {
        let mut bytes = [0; PIECE];
        let Some(terminal) = &self.terminal else {
            return false;
        };
        // EIO: nobody has the other side open.
        let read = rustix::io::read(terminal, &mut bytes).unwrap_or_default();
        if read == 0 || !self.write(OutputStream::Out, &bytes[..read]) {
            self.terminal = None;
            return false;
        }
        true
    }

    fn write(&self, stream: OutputStream, bytes: &[u8]) -> bool {
        if let Some(output) = self.to {
            output(stream, bytes);
            return true;
        }
        if let Some(copy) = self.copy {
            copy(stream, bytes);
        }
        let written = match stream {
            OutputStream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            OutputStream::Err => io::stderr().write_all(bytes),
        };
        written.is_ok()
    }

    fn pass_input(&mut self) {
        let mut bytes = [0; 4096];
        let read = rustix::io::read(io::stdin(), &mut bytes).unwrap_or_default();
        let to = self.input.as_ref().or(self.terminal.as_ref());
        let is_written = to.is_some_and(|to| {
            let mut left = &bytes[..read];
            while !left.is_empty() {
                match rustix::io::write(to, left) {
                    Ok(written) => left = &left[written..],
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
            true
        });
        if read == 0 || !is_written {
            self.input = None;
        }
    }
}

/// The terminal of this process, which passes every key on; as it was when this ends.
struct RawTerminal(Termios);

impl RawTerminal {
    fn of_stdin() -> Option<Self> {
        let before = rustix::termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
