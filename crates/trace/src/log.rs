//! Recordings as files.
//!
//! In: a recording, or a file that holds one. Out: JSON, one object per line, so that line-oriented
//! tools can split, join and search it. Logs of strace are read, too.

use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::recording::{Ending, MAX_PATHS, Note, Recording, Traced, Uses};
use crate::strace::Strace;

/// The version of the format.
const SCHEMA: u32 = 1;
/// The name of the format in the first line.
const FORMAT: &str = "slimpack-trace";
/// Longest line that is read, in bytes.
const LINE_MAX: u64 = 1 << 20;
/// Maximum number of processes.
const PROCESSES_MAX: usize = 1_000_000;

/// Why a log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is not as expected.
    #[error("line {line}, column {column}: {what}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The number of the byte in it, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// The file is empty.
    #[error("it is empty; expected a recording of slimpack trace, or the output of strace -f")]
    Empty,
}

/// A path: text if it is UTF-8, else bytes.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Bytes(Vec<u8>),
}

/// A line of a recording.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum LogEntry {
    Header {
        schema: u32,
        format: String,
        command: Vec<String>,
        ending: Option<Ending>,
    },
    Process {
        process: Vec<String>,
    },
    Found {
        path: PathText,
        uses: Uses,
        by: usize,
    },
    Absent {
        absent: PathText,
    },
    Note {
        note: Note,
    },
}

impl From<&Path> for PathText {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_encoded_bytes().to_vec()),
        }
    }
}

impl From<PathText> for PathBuf {
    fn from(name: PathText) -> Self {
        use std::os::unix::ffi::OsStringExt;
        match name {
            PathText::Text(text) => Self::from(text),
            PathText::Bytes(bytes) => Self::from(std::ffi::OsString::from_vec(bytes)),
        }
    }
}

impl Recording {
    /// Writes it as lines of JSON, sorted by path.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |line: LogEntry| {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")
        };
        line(LogEntry::Header {
            schema: SCHEMA,
            format: FORMAT.to_owned(),
            command: self.command.clone(),
            ending: self.ending,
        })?;
        for process in &self.processes {
            let process = process.clone();
            line(LogEntry::Process { process })?;
        }
        for (path, traced) in &self.found {
            line(LogEntry::Found {
                path: path.as_path().into(),
                uses: traced.uses,
                by: traced.process,
            })?;
        }
        for path in &self.absent {
            let absent = path.as_path().into();
            line(LogEntry::Absent { absent })?;
        }
        for note in &self.notes {
            line(LogEntry::Note { note: note.clone() })?;
        }
        Ok(())
    }

    /// Reads a recording, or the output of strace. `directory` is what relative paths of strace are
    /// relative to.
    ///
    /// # Errors
    /// [`LogError`]; its line and column say where.
    pub fn read(log: &mut dyn BufRead, directory: &Path) -> Result<Self, LogError> {
        let is_json = log.fill_buf()?.first() == Some(&b'{');
        let mut lines = Lines::new(log);
        match is_json {
            true => json(&mut lines),
            false => {
                let mut strace = Strace::new(directory);
                while let Some(line) = lines.next()? {
                    if let Err((column, what)) = strace.line(&line.bytes) {
                        // A log that was truncated while being written.
                        if line.is_whole {
                            return Err(lines.error(column, what));
                        }
                    }
                    if strace.len() > MAX_PATHS {
                        return Err(
                            lines.error(1, format!("more than {MAX_PATHS} different paths"))
                        );
                    }
                }
                match lines.number {
                    0 => Err(LogError::Empty),
                    _ => Ok(strace.finish()),
                }
            }
        }
    }
}

fn json(lines: &mut Lines<'_>) -> Result<Recording, LogError> {
    let mut recording = Recording::default();
    while let Some(line) = lines.next()? {
        // For an untagged enum, serde reports only that nothing matched.
        let value: serde_json::Value = serde_json::from_slice(&line.bytes)
            .map_err(|error| lines.error(error.column(), error.to_string()))?;
        let line = LogEntry::deserialize(value).map_err(|_| {
            let what = "expected a header, process, path, absent or note of a recording";
            lines.error(1, what.to_owned())
        })?;
        if lines.number == 1 && !matches!(line, LogEntry::Header { .. }) {
            let what = format!("expected {{\"schema\":{SCHEMA},\"format\":\"{FORMAT}\",…");
            return Err(lines.error(1, what));
        }
        match line {
            LogEntry::Header { schema, format, .. } if schema != SCHEMA || format != FORMAT => {
                let what = format!(
                    "format {format:?} of version {schema} is unknown; this slimpack reads {FORMAT:?} \
                     of version {SCHEMA}"
                );
                return Err(lines.error(1, what));
            }
            LogEntry::Header {
                command, ending, ..
            } => {
                // A file may contain several recordings.
                let before = Recording {
                    command,
                    ending,
                    ..Recording::default()
                };
                recording.merge(before);
            }
            LogEntry::Process { process } => recording.processes.push(process),
            LogEntry::Found { path, uses, by } => {
                let traced = Traced { uses, process: by };
                let known = recording.found.entry(path.into()).or_insert(traced);
                known.uses = known.uses.and(uses);
            }
            LogEntry::Absent { absent } => {
                recording.absent.insert(absent.into());
            }
            LogEntry::Note { note } => {
                recording.notes.insert(note);
            }
        }
        if recording.found.len() + recording.absent.len() > MAX_PATHS {
            return Err(lines.error(1, format!("more than {MAX_PATHS} different paths")));
        }
        if recording.processes.len() > PROCESSES_MAX {
            return Err(lines.error(1, format!("more than {PROCESSES_MAX} processes")));
        }
    }
    Ok(recording)
}

/// The lines of a file, each of bounded length.
struct Lines<'a> {
    log: &'a mut dyn BufRead,
    number: usize,
}

struct LogLine {
    bytes: Vec<u8>,
    /// Whether it ends in a newline.
    is_whole: bool,
}

impl<'a> Lines<'a> {
    fn new(log: &'a mut dyn BufRead) -> Self {
        Self { log, number: 0 }
    }

    fn next(&mut self) -> Result<Option<LogLine>, LogError> {
        let mut bytes = Vec::new();
        let mut limited = (&mut *self.log).take(LINE_MAX);
        limited.read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let is_whole = bytes.last() == Some(&b'\n');
        if is_whole {
            bytes.pop();
        } else if bytes.len() as u64 == LINE_MAX {
            return Err(self.error(1, format!("longer than {LINE_MAX} bytes")));
        }
        Ok(Some(LogLine { bytes, is_whole }))
    }

    fn error(&self, column: usize, what: String) -> LogError {
        LogError::Line {
            line: self.number,
            column,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::recording::Recording;

    /// strace prints either, as it goes.
    #[test]
    fn a_thread_that_executes_goes_on_as_its_process() {
        for line in ["7 +++ superseded by execve in pid 8 +++\n", ""] {
            let begun = match line.is_empty() {
                false => "<unfinished ...>",
                true => "<pid changed to 7 ...>",
            };
            let log = format!(
                "7 execve(\"/bin/a\", [\"a\"], 0x1 /* 1 var */) = 0\n7 clone3({{flags=0}}) = 8\n\
                 8 execve(\"/bin/b\", [\"b\"], 0x1 /* 1 var */ {begun}\n{line}\
                 7 <... execve resumed>) = 0\n7 +++ exited with 0 +++\n"
            );
            let read = Recording::read(&mut log.as_bytes(), Path::new("/")).unwrap();
            let found: Vec<_> = read.found.into_keys().collect();
            assert_eq!(found, ["/bin/a", "/bin/b"].map(PathBuf::from), "{log}");
        }
    }
}
