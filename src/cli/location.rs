//! Where an image is, as typed: a path, and which image of several in it.
//!
//! In: `IMAGE#NAME`, `IMAGE:NAME`, or `oci:`, `oci-archive:` and `docker-archive:` before a path, as
//! skopeo writes it. Out: the path and the name. A file whose own name has such a character is meant
//! itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{inspect, registry};

/// What skopeo writes before the path of an image on this machine.
const TRANSPORTS: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];

/// Where an image is.
#[derive(Clone, Copy)]
pub(super) struct ImageLocation<'p> {
    pub path: &'p Path,
    /// The name, tag or digest of the image; all images if `None`.
    pub name: Option<&'p str>,
}

impl<'p> ImageLocation<'p> {
    pub fn of(typed: &'p Path) -> Self {
        let whole = Self {
            path: typed,
            name: None,
        };
        // Names of engines and registries are no paths.
        if typed.symlink_metadata().is_ok()
            || inspect::reference(typed).is_some()
            || registry::name(typed).is_some()
        {
            return whole;
        }
        let bytes = typed.as_os_str().as_bytes();
        let rest = &bytes[transport_length(bytes)..];
        let inner = Self {
            path: path(rest),
            name: None,
        };
        if inner.path.symlink_metadata().is_ok() {
            return inner;
        }
        let mut ends: Vec<usize> = Vec::new();
        ends.extend(rest.iter().rposition(|byte| *byte == b'#'));
        ends.extend((0..rest.len()).filter(|at| rest[*at] == b':'));
        let split = |end: &usize| {
            let path = path(&rest[..*end]);
            let name = std::str::from_utf8(&rest[*end + 1..]).ok()?;
            let is_there = path == Path::new("-") || path.symlink_metadata().is_ok();
            (is_there && !name.is_empty()).then_some(Self {
                path,
                name: Some(name),
            })
        };
        ends.iter().find_map(split).unwrap_or(inner)
    }
}

/// The transport before a path, and the path.
pub(super) fn transport(typed: &str) -> (&str, &str) {
    typed.split_at(transport_length(typed.as_bytes()))
}

fn transport_length(typed: &[u8]) -> usize {
    let mut transports = TRANSPORTS.iter();
    let found = transports.find(|transport| typed.starts_with(transport.as_bytes()));
    found.map_or(0, |transport| transport.len())
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
