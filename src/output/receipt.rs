//! Evidence that slimpack wrote a root directory.
//!
//! In: the directory. Out: `.NAME.slimpack` next to it, with the digest of the tree. A tree with
//! that digest contains only what slimpack wrote, so nothing is lost when it is removed. Time
//! stamps would not prove this, since any user can set them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::claim;
use crate::image::Digester;

/// Longest receipt, in bytes: `sha256:`, the digest and a line feed.
const LENGTH: u64 = 7 + 64 + 1;

/// Writes the receipt of the tree in `written`, which is about to become `target`. Until then the one that
/// is there is slimpack's, too: its digest follows.
///
/// # Errors
/// When the tree cannot be read or the receipt cannot be written.
pub(super) fn write(written: &Path, target: &Path) -> io::Result<()> {
    let at = place(target);
    let before = digests(&at).unwrap_or_default();
    let before = before
        .lines()
        .next()
        .map_or(String::new(), |line| format!("{line}\n"));
    let text = format!("{}\n{before}", digest(written)?);
    let mut file = claim::file(
        super::parent(&at),
        at.file_name().unwrap_or_default(),
        |path| {
            let mut options = File::options();
            let file = options
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(path)?;
            claim::hold(&file, path).map(|()| file)
        },
    )?;
    file.write_all(text.as_bytes())?;
    file.persist(at).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the receipt of a directory that was not renamed into place.
pub(super) fn remove(directory: &Path) {
    // It matches no tree: --force refuses with or without it.
    let _ = fs::remove_file(place(directory));
}

/// Whether `directory` still matches its receipt; false if there is none.
///
/// # Errors
/// When the tree cannot be read.
pub(super) fn holds(directory: &Path) -> io::Result<bool> {
    let Ok(known) = digests(&place(directory)) else {
        return Ok(false);
    };
    let found = digest(directory)?;
    Ok(known.lines().any(|known| known == found))
}

/// The lines of a receipt.
fn digests(place: &Path) -> io::Result<String> {
    io::read_to_string(io::Read::take(File::open(place)?, 2 * LENGTH))
}

/// Path of the receipt of a directory.
fn place(directory: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(directory.file_name().unwrap_or_default());
    name.push(".slimpack");
    directory.with_file_name(name)
}

/// The digest of everything below `directory`: names, kinds, permission bits, link targets, contents.
fn digest(directory: &Path) -> io::Result<String> {
    let mut digester = Digester::new(io::sink(), 0);
    // Names in order, each directory before its contents.
    let mut pending = vec![directory.to_path_buf()];
    while let Some(path) = pending.pop() {
        let found = fs::symlink_metadata(&path)?;
        let kind = found.file_type();
        let name = path.strip_prefix(directory).unwrap_or(&path);
        let name = name.as_os_str().as_bytes();
        let mode = found.permissions().mode();
        let size = if kind.is_file() { found.len() } else { 0 };
        write!(digester, "{} {mode:o} {size} ", name.len())?;
        digester.write_all(name)?;
        if kind.is_dir() {
            let entries = fs::read_dir(&path)?.map(|entry| Ok(entry?.path()));
            let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
            entries.sort_unstable_by(|one, other| other.cmp(one));
            pending.append(&mut entries);
        } else if kind.is_symlink() {
            digester.write_all(fs::read_link(&path)?.as_os_str().as_bytes())?;
        } else if kind.is_file() {
            io::copy(&mut File::open(&path)?, &mut digester)?;
        }
        digester.write_all(b"\n")?;
    }
    Ok(digester.finish()?.digest())
}
