//! Bytes in an image that are not visible in its tree.
//!
//! In: what each layer writes and removes. Out: bytes hidden by later layers, and the
//! efficiency that dive computes (its `filetree/efficiency.go`): for each path the smallest size
//! it ever had, divided by all bytes that were ever written for it or removed with it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::members::Member;

/// What was written under one path in all layers.
#[derive(Clone, Copy, Debug)]
struct PathWrites {
    all: u64,
    least: u64,
    times: u32,
}

/// What layers write and remove.
#[derive(Default)]
pub(super) struct Waste {
    /// Bytes of files that a later layer replaced or removed.
    pub hidden: u64,
    /// Whether there are several layers: a single one hides nothing, so paths are not recorded.
    pub is_layered: bool,
    paths: HashMap<Vec<u8>, PathWrites>,
}

impl Waste {
    pub fn member(&mut self, folder: &[&[u8]], name: &[u8], member: &Member) {
        use super::members::MemberKind;
        if member.kind != MemberKind::Directory {
            self.note(folder, name, member.stored);
        }
    }

    /// Counts a whiteout with the bytes of the directory that it removes.
    pub fn whiteout(&mut self, folder: &[&[u8]], name: &[u8], bytes: u64) {
        self.note(folder, name, bytes);
    }

    fn note(&mut self, folder: &[&[u8]], name: &[u8], bytes: u64) {
        if !self.is_layered {
            return;
        }
        let mut path = folder.join(&b'/');
        path.push(b'/');
        path.extend_from_slice(name);
        let written = self.paths.entry(path).or_insert(PathWrites {
            all: 0,
            least: u64::MAX,
            times: 0,
        });
        written.all = written.all.saturating_add(bytes);
        written.least = written.least.min(bytes);
        written.times += 1;
    }

    /// Between 0 and 1.
    pub fn efficiency(&self) -> f64 {
        let sum = |field: fn(&PathWrites) -> u64| {
            let values = self.paths.values().map(field);
            values.fold(0_u64, u64::saturating_add)
        };
        match sum(|written| written.all) {
            0 => 1.0,
            all => sum(|written| written.least) as f64 / all as f64,
        }
    }

    /// Paths that several layers write, with all their bytes and how often; the largest first.
    pub fn repeated(&self) -> Vec<(PathBuf, u64, u32)> {
        let repeated = self.paths.iter().filter(|(_, written)| written.times > 1);
        let mut repeated: Vec<_> = repeated
            .map(|(path, written)| {
                let path = match path.strip_prefix(b"/") {
                    Some(_) => path.clone(),
                    None => [b"/", path.as_slice()].concat(),
                };
                (
                    PathBuf::from(OsString::from_vec(path)),
                    written.all,
                    written.times,
                )
            })
            .collect();
        repeated.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_efficiency_is_that_of_dives_own_example() {
        let mut waste = Waste {
            is_layered: true,
            ..Waste::default()
        };
        let nginx: &[&[u8]] = &[b"etc", b"nginx"];
        waste.note(nginx, b"nginx.conf", 2000);
        waste.note(nginx, b"public", 3000);
        waste.note(nginx, b"nginx.conf", 5000);
        waste.note(&[b"etc"], b"athing", 10_000);
        // Its example removes a directory of unknown size.
        waste.whiteout(&[b"etc"], b"nginx", 0);
        assert_eq!(waste.efficiency(), 0.75);
        let repeated = waste.repeated();
        assert_eq!(repeated, [("/etc/nginx/nginx.conf".into(), 7000, 2)]);
        assert_eq!(Waste::default().efficiency(), 1.0);
    }
}
