//! Which package a file belongs to, according to the package manager's database.
//!
//! In: a file tree. Out: packages with their files. Invalid records are skipped: nothing is decided
//! by them alone.

mod apk;
mod cut;
mod distribution;
mod dpkg;
mod installed;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::HashSet;

use crate::vfs::View;
pub use cut::{NotedPackage, PackageRecords, PackedFile, RpmManifest, RpmManifestError, records};
pub use distribution::Distribution;
use dpkg::List;
pub use installed::{InstalledPackage, PackageFormat, installed};

/// Largest database of all packages, in bytes.
const MAX_DATABASE: u64 = 128 << 20;
/// Memory that a path takes in addition to its bytes.
const PER_PATH: u64 = 64;
/// Maximum number of packages that are read.
const MAX_PACKAGES: usize = 50_000;
/// Maximum number of dependencies of all packages that are recorded: each takes many times its size
/// in the database. A whole distribution has half as many.
const MAX_NEEDS: usize = if cfg!(test) { 100 } else { 1_000_000 };

/// The databases of systems that have a package manager.
pub const DATABASES: [&str; 2] = [dpkg::STATUS, apk::DATABASE];

/// The installed packages.
#[derive(Debug, Default)]
pub struct Packages {
    files: BTreeMap<String, Vec<PathBuf>>,
    /// Their source packages and dependencies, as far as recorded.
    origins: Origins,
}

impl Packages {
    /// Reads the package database of `view`; `None` if there is none.
    pub fn read(view: &View) -> Option<Self> {
        dpkg::read(view).or_else(|| apk::read(view))
    }

    /// Number of packages.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The packages by name, each with its files as recorded: a path may contain symbolic links
    /// (`/lib` to `/usr/lib`).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[PathBuf])> {
        let all = self.files.iter();
        all.map(|(name, files)| (name.as_str(), files.as_slice()))
    }
}

/// One package, with its dependencies from the same source package: `libmagic1` with
/// `libmagic-mgc`, `cmake` with `cmake-data`.
#[derive(Debug, Default)]
pub struct Package {
    /// Paths as recorded.
    files: HashSet<Vec<u8>>,
}

/// The package database of a tree, read lazily and once.
pub struct Records<'v> {
    view: &'v View,
    lists: OnceCell<Vec<List>>,
    origins: OnceCell<Origins>,
    apk: OnceCell<Option<Packages>>,
}

impl<'v> Records<'v> {
    /// The package database of `view`.
    pub fn of(view: &'v View) -> Self {
        Self {
            view,
            lists: OnceCell::new(),
            origins: OnceCell::new(),
            apk: OnceCell::new(),
        }
    }

    /// The package that owns the file at a real path; `None` if no record has it.
    pub fn package_of(&self, path: &Path) -> Option<Package> {
        self.package_with(path, Origins::siblings)
    }

    /// The same, with its dependencies whose names begin with the same word: `postgresql-15` with
    /// `postgresql-common`.
    pub fn family_of(&self, path: &Path) -> Option<Package> {
        self.package_with(path, Origins::family)
    }

    fn package_with(&self, path: &Path, relatives: Relatives) -> Option<Package> {
        let names = names_of(path);
        let lists = self.lists.get_or_init(|| dpkg::lists(self.view));
        if !lists.is_empty() {
            return self.package_of_dpkg(lists, &names, relatives);
        }
        let (packages, own) = self.own_of_apk(&names)?;
        let siblings = relatives(&packages.origins, own);
        let files = siblings.iter().filter_map(|name| packages.files.get(*name));
        let (mut package, mut left) = (Package::default(), MAX_DATABASE);
        // apk records files, and directories only as part of their paths.
        for path in files.flatten() {
            package.add_with_parents(path, &mut left)?;
        }
        Some(package)
    }

    /// The name of the package that owns the file at a real path; `None` if no record has it.
    pub fn owner_of(&self, path: &Path) -> Option<String> {
        let names = names_of(path);
        let lists = self.lists.get_or_init(|| dpkg::lists(self.view));
        let own = match lists.is_empty() {
            false => self.own_of_dpkg(lists, &names)?.0.package(),
            true => self.own_of_apk(&names)?.1,
        };
        Some(own.to_owned())
    }

    fn own_of_apk(&self, names: &[PathBuf]) -> Option<(&Packages, &str)> {
        let packages = self.apk.get_or_init(|| apk::read(self.view)).as_ref()?;
        let is_own = |files: &Vec<PathBuf>| files.iter().any(|file| names.contains(file));
        let (own, _) = packages.files.iter().find(|(_, files)| is_own(files))?;
        Some((packages, own))
    }

    /// The package that has one of these names, and its list.
    fn own_of_dpkg<'l>(&self, lists: &'l [List], names: &[PathBuf]) -> Option<(&'l List, Vec<u8>)> {
        let mut left = MAX_DATABASE;
        lists.iter().find_map(|list| {
            let paths = list.paths(self.view).filter(|_| left > 0)?;
            left = left.saturating_sub(paths.len() as u64);
            let is_own = names.iter().any(|name| has_line(&paths, name));
            is_own.then_some((list, paths))
        })
    }

    fn package_of_dpkg(
        &self,
        lists: &[List],
        names: &[PathBuf],
        relatives: Relatives,
    ) -> Option<Package> {
        let (list, paths) = self.own_of_dpkg(lists, names)?;
        let own = list.package();
        let (mut package, mut bytes, mut left) = (Package::default(), 0, MAX_DATABASE);
        package.add_list(list, &paths, &mut left)?;
        let origins = self.origins.get_or_init(|| dpkg::origins(self.view));
        let siblings = relatives(origins, own);
        let of_siblings = lists.iter().filter(|list| {
            let name = list.package();
            name != own && siblings.contains(name)
        });
        for list in of_siblings {
            let sibling = list.paths(self.view).unwrap_or_default();
            bytes += sibling.len() as u64;
            if bytes > MAX_DATABASE {
                break;
            }
            package.add_list(list, &sibling, &mut left)?;
        }
        Some(package)
    }
}

impl Package {
    /// Whether the package owns the file or directory at `path`.
    pub fn has(&self, path: &Path) -> bool {
        let names = names_of(path);
        let mut names = names.iter().map(|name| name.as_os_str().as_bytes());
        names.any(|name| self.files.contains(name))
    }

    /// The paths as recorded, in no order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let paths = self.files.iter();
        paths.map(|path| Path::new(OsStr::from_bytes(path)))
    }

    /// Adds the paths of a list; `None` if they and their directories are longer than `left` bytes.
    fn add_list(&mut self, list: &List, paths: &[u8], left: &mut u64) -> Option<()> {
        for path in paths.split(|byte| *byte == b'\n') {
            if list.has_directories() {
                self.files.insert(path.to_vec());
            } else {
                self.add_with_parents(Path::new(OsStr::from_bytes(path)), left)?;
            }
        }
        Some(())
    }

    fn add_with_parents(&mut self, path: &Path, left: &mut u64) -> Option<()> {
        for path in path.ancestors() {
            let path = path.as_os_str().as_bytes();
            if self.files.contains(path) {
                break;
            }
            *left = left.checked_sub(path.len() as u64)?;
            self.files.insert(path.to_vec());
        }
        Some(())
    }
}

/// Whether a list of paths contains `path`.
fn has_line(list: &[u8], path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    memchr::memmem::find_iter(list, name).any(|at| {
        let before = at.checked_sub(1).map(|at| list[at]);
        let after = list.get(at + name.len());
        before.is_none_or(|byte| byte == b'\n') && after.is_none_or(|byte| *byte == b'\n')
    })
}

/// The ways a path may be recorded: if `/lib` is a link to `/usr/lib`, some records have the
/// shorter one.
fn names_of(path: &Path) -> Vec<PathBuf> {
    let short = path
        .strip_prefix("/usr")
        .ok()
        .map(|rest| Path::new("/").join(rest));
    [Some(path.to_path_buf()), short]
        .into_iter()
        .flatten()
        .collect()
}

/// The packages that are treated as part of a package.
type Relatives = for<'o> fn(&'o Origins, &'o str) -> BTreeSet<&'o str>;

/// Source packages and dependencies of packages.
#[derive(Debug, Default)]
struct Origins {
    packages: BTreeMap<String, PackageOrigin>,
    /// Number of dependencies of all packages.
    needs: usize,
}

#[derive(Debug, Default)]
struct PackageOrigin {
    source: String,
    needs: BTreeSet<String>,
}

impl Origins {
    fn note(&mut self, package: &str, note: impl FnOnce(&mut PackageOrigin)) {
        if let Some(origin) = self.packages.get_mut(package) {
            note(origin);
        }
    }

    /// Records dependencies of a package.
    fn need<'n>(&mut self, package: &str, names: impl Iterator<Item = &'n str>) {
        if let Some(origin) = self.packages.get_mut(package) {
            let before = origin.needs.len();
            let names = names.take(MAX_NEEDS.saturating_sub(self.needs));
            origin.needs.extend(names.map(str::to_owned));
            self.needs += origin.needs.len() - before;
        }
    }

    /// A package with its dependencies from the same source package.
    fn siblings<'o>(&'o self, package: &'o str) -> BTreeSet<&'o str> {
        let source = self.packages.get(package).map(|origin| &origin.source);
        let (mut siblings, mut pending) = (BTreeSet::new(), vec![package]);
        while let Some(name) = pending.pop() {
            let origin = self.packages.get(name);
            let is_sibling = name == package || origin.map(|origin| &origin.source) == source;
            if is_sibling && siblings.insert(name) {
                let needs = origin.into_iter().flat_map(|origin| &origin.needs);
                pending.extend(needs.map(String::as_str));
            }
        }
        siblings
    }

    /// The same, and its dependencies whose names begin with the same word.
    fn family<'o>(&'o self, package: &'o str) -> BTreeSet<&'o str> {
        let word = |name: &'o str| name.split(|c: char| !c.is_ascii_alphabetic()).next();
        let mut family = self.siblings(package);
        let needs = self.packages.get(package).map(|origin| &origin.needs);
        let needs = needs.into_iter().flatten().map(String::as_str);
        family.extend(needs.filter(|name| word(name) == word(package)));
        family
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::vfs::Memo;
    use crate::vfs::memory::MemoryVfs;

    fn view(vfs: MemoryVfs) -> View {
        View::new(Box::new(vfs), Arc::new(Memo::default()))
    }

    /// What dpkg and distroless record of the same package.
    fn installed() -> View {
        let list = "/.\n/usr\n/usr/lib\n/usr/lib/libz.so.1\n";
        view(MemoryVfs::new().file("/var/lib/dpkg/info/zlib1g:amd64.list", list))
    }

    fn alone() -> View {
        let sums = "0123456789abcdef0123456789abcdef  usr/lib/libz.so.1\nshort\n";
        view(
            MemoryVfs::new()
                .file(
                    "/var/lib/dpkg/status.d/zlib",
                    "Package: zlib1g\nSource: zlib (1.2)\n",
                )
                .file("/var/lib/dpkg/status.d/zlib.md5sums", sums)
                .file("/var/lib/dpkg/status.d/base", "Package: base-files\n"),
        )
    }

    #[test]
    fn a_package_has_one_name_whatever_keeps_its_record() {
        let path = Path::new("/usr/lib/libz.so.1");
        for view in [installed(), alone()] {
            let package = Records::of(&view).package_of(path).unwrap();
            assert!(package.has(path) && !package.has(Path::new("/usr/lib/libm.so.6")));
            assert!(package.has(Path::new("/usr/lib")) && !package.has(Path::new("/usr/bin")));
        }
        let names = |view: &View| -> Vec<String> {
            let packages = Packages::read(view).unwrap();
            packages.iter().map(|(name, _)| name.to_owned()).collect()
        };
        assert_eq!(names(&installed()), ["zlib1g:amd64"]);
        assert_eq!(names(&alone()), ["base-files", "zlib1g"]);
    }

    #[test]
    fn a_file_has_one_owner_whatever_name_the_record_has_for_it() {
        let list = "/.\n/lib\n/lib/libz.so.1\n";
        let stanza = "Package: zlib1g\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1:1.2.13\n";
        let view = view(
            MemoryVfs::new()
                .file("/var/lib/dpkg/info/zlib1g:amd64.list", list)
                .file("/var/lib/dpkg/status", stanza),
        );
        let paths = ["/usr/lib/libm.so.6", "/usr/lib/libz.so.1"].map(Path::new);
        let files = paths.map(|path| PackedFile {
            source: path,
            image: path,
            is_changed: false,
            note: None,
        });
        let packages = super::installed(&view, &files, true);
        let [package] = packages.as_slice() else {
            panic!("{packages:?}");
        };
        assert_eq!(package.files, [1]);
        assert_eq!(package.version, "1:1.2.13");
    }

    #[test]
    fn dependencies_of_all_packages_together_are_bounded() {
        let names: Vec<String> = (0..200).map(|n| format!("n{n}")).collect();
        let dpkg = format!("Package: a\nDepends: {}\n", names.join(","));
        let apk = format!("P:a\nD:{}\n", names.join(" "));
        let dpkg = view(MemoryVfs::new().file("/var/lib/dpkg/status", dpkg));
        let apk = view(MemoryVfs::new().file("/lib/apk/db/installed", apk));
        for origins in [dpkg::origins(&dpkg), apk::read(&apk).unwrap().origins] {
            assert_eq!(origins.packages["a"].needs.len(), MAX_NEEDS);
        }
    }

    #[test]
    fn a_tree_without_records_has_no_packages() {
        assert!(Packages::read(&view(MemoryVfs::new().file("/a", ""))).is_none());
    }
}
