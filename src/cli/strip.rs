//! `slimpack strip FILE -o FILE`, and the files for debuggers.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::args::{Common, StripArgs};
use super::error::CliError;
use crate::bytes::ReadAt;
use crate::elf::{Notes, Object};
use crate::output::{Output, OutputError};
use crate::report::size;
use crate::strip::{Assembled, DebugFile, LeftAlone, Strip, checksum_of};
use crate::vfs::HostFile;

/// The result, as JSON of schema 1.
#[derive(Serialize)]
struct StripDocument {
    schema: u32,
    file: String,
    output: String,
    before: u64,
    after: u64,
    left_alone: Option<String>,
    debug_file: Option<String>,
}

pub(super) fn run(args: &StripArgs, common: &Common) -> Result<ExitCode, CliError> {
    let unreadable = |error: io::Error| CliError::File(args.file.clone(), error);
    let opened = File::open(&args.file).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let file = HostFile::new(opened).map_err(unreadable)?;
    let mut document = StripDocument {
        schema: 1,
        file: args.file.display().to_string(),
        output: args.output.display().to_string(),
        before: file.size(),
        after: file.size(),
        left_alone: None,
        debug_file: None,
    };
    match stripped(args, &file) {
        Ok((strip, debug)) => {
            if let (Some(folder), Some((name, debug))) = (&args.debug_file, &debug) {
                let path = write_debug(folder, Path::new(name), debug, &file)?;
                document.debug_file = Some(path.display().to_string());
            }
            document.after = strip.after();
            let content = Assembled::new(strip.pieces().clone(), &file);
            write(args, &content, &metadata.permissions())?;
        }
        Err(error @ (LeftAlone::Read(_) | LeftAlone::TooLarge)) => {
            return Err(CliError::Strip(args.file.clone(), error));
        }
        // It is copied anyway: the next step of a build expects the output.
        Err(why) => {
            write(args, &file, &metadata.permissions())?;
            document.left_alone = Some(why.to_string());
        }
    }
    if args.json {
        let mut out = super::stdout();
        writeln!(out, "{}", super::json(&document)?)?;
        out.flush()?;
    } else if !common.quiet {
        super::say(|out| document.tell(out));
    }
    Ok(ExitCode::SUCCESS)
}

impl StripDocument {
    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(why) = &self.left_alone {
            return writeln!(out, "{} is not stripped: {why}", self.file);
        }
        let (before, after) = (size(self.before), size(self.after));
        write!(out, "{}: {before} → {after}", self.file)?;
        match &self.debug_file {
            Some(path) => writeln!(out, "; debug file: {path}"),
            None => writeln!(out),
        }
    }
}

type Stripped = (Strip, Option<(OsString, DebugFile)>);

fn stripped(args: &StripArgs, file: &dyn ReadAt) -> Result<Stripped, LeftAlone> {
    let checksum = checksum_of(&args.file).filter(|path| path.exists());
    if let Some(checksum) = checksum {
        return Err(LeftAlone::Checksum(checksum.display().to_string()));
    }
    let level = args.level;
    let debug = match &args.debug_file {
        None => None,
        Some(_) => {
            let name = debug_name(args.output.file_name().unwrap_or_default());
            let debug = DebugFile::of(file, level, &name)?;
            Some((name, debug))
        }
    };
    let link = debug.as_ref().map(|(_, debug)| debug);
    Ok((Strip::linked(file, level, link)?, debug))
}

/// The name of the debug file of `name`.
fn debug_name(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(".debug");
    name
}

fn write(args: &StripArgs, file: &dyn ReadAt, permissions: &Permissions) -> Result<(), CliError> {
    let path = &args.output;
    // A rename would replace even a read-only file.
    if fs::metadata(path).is_ok_and(|there| there.permissions().readonly()) {
        let why = "it is read-only; make it writable with chmod u+w, or name another file";
        return Err(OutputError::Io(path.clone(), io::Error::other(why)).into());
    }
    // Processes that run the file keep the old one: it is replaced by a rename, not modified.
    copy(file, path, Some(permissions.mode() & 0o777))
}

/// Writes a file atomically: whole or not at all.
fn copy(file: &dyn ReadAt, path: &Path, mode: Option<u32>) -> Result<(), CliError> {
    let fail = |error| OutputError::Io(path.to_path_buf(), error);
    match Output::create(path)? {
        Output::Device(mut device) => {
            file.each_chunk(&mut |bytes| device.write_all(bytes))
                .map_err(fail)?;
        }
        Output::File(mut out) => {
            let copied = file.each_chunk(&mut |bytes| out.write_all(bytes));
            if let Some(signal) = out.interrupted() {
                drop(out);
                return Err(CliError::Interrupted(signal));
            }
            copied.map_err(fail)?;
            if let Some(mode) = mode {
                out.set_mode(mode)?;
            }
            out.publish()?;
        }
    }
    Ok(())
}

/// Writes what was removed from `file` below `folder`: under `name`, with a link by build ID, where
/// debuggers look first (GDB manual, "Debugging Information in Separate Files").
pub(super) fn write_debug(
    folder: &Path,
    name: &Path,
    debug: &DebugFile,
    file: &dyn ReadAt,
) -> Result<PathBuf, CliError> {
    let path = folder.join(name);
    make_parent(&path)?;
    copy(&Assembled::new(debug.pieces().clone(), file), &path, None)?;
    if let Some([first, rest @ ..]) = build_id(file).as_deref() {
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        let link = folder.join(format!(".build-id/{first:02x}/{rest}.debug"));
        make_parent(&link)?;
        let fail = |error| OutputError::Io(link.clone(), error);
        // symlink(2) does not replace an existing link.
        if let Err(error) = fs::remove_file(&link)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(fail(error).into());
        }
        symlink(Path::new("../..").join(name), &link).map_err(fail)?;
    }
    Ok(path)
}

fn build_id(file: &dyn ReadAt) -> Option<Vec<u8>> {
    let object = Object::read(file).ok()?;
    Notes::read(&object, file).build_id
}

fn make_parent(path: &Path) -> Result<(), OutputError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| OutputError::Io(parent.to_path_buf(), error))
}
