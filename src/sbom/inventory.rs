//! What an image holds, before it is written in any format.
//!
//! In: the files of an image, and the tree whose package database describes them. Out: files with
//! digests and reasons, and the packages that they are from: those of the distribution, and those that
//! programs of Go and Rust say they were built from. What cannot be read of a package becomes a note;
//! a file that cannot be read is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::auditable::crates_in;
use super::copyright::{MAX_COPYRIGHT, declared};
use super::digests::{self, Hex};
use super::go::GoBuild;
use super::license::Expression;
use super::purl;
use crate::bytes::ReadAt;
use crate::elf::Object;
use crate::packages::{Distribution, InstalledPackage, PackageFormat, PackedFile, installed};
use crate::vfs::{Errno, View};

/// The kinds of modules.
const GOLANG: &str = "golang";
const CARGO: &str = "cargo";
/// Most modules of all programs of one image, each counted for each program.
const MAX_MODULES: usize = 200_000;
/// Most bytes of all copyright files.
const MAX_COPYRIGHTS: u64 = 256 << 20;
/// Most notes.
const MAX_NOTES: usize = 100;

/// Why a bill of materials cannot be made.
#[derive(Debug, Error)]
pub enum SbomError {
    /// A file cannot be read.
    #[error("cannot describe {} in a bill of materials: {error}", .path.display())]
    File {
        /// Its path in the image.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The image that is described.
#[derive(Clone, Debug, Default)]
pub struct ImageSubject {
    /// Its name.
    pub name: String,
    /// The digest of its manifest, if it has one.
    pub digest: Option<String>,
    /// Its architecture, as images call it.
    pub architecture: String,
    /// When it was created, in seconds since 1970.
    pub created: u64,
}

/// How one file leads to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CauseKind {
    /// It does not start without it.
    Needed,
    /// It opens it at run time.
    Opened,
}

/// Why a file is in an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileCause {
    /// The reason as a text.
    pub text: String,
    /// The file that leads to it, by its real path in the image.
    pub by: Option<(PathBuf, CauseKind)>,
}

/// A file that an inventory is made of.
pub(super) struct GivenFile<'f> {
    /// Its real path in the image.
    pub path: &'f Path,
    /// Its real path in the tree with the package database; `None` for a generated file.
    pub source: Option<&'f Path>,
    pub size: u64,
    pub causes: Vec<FileCause>,
}

/// Opens files of an image, by their position.
pub(super) trait Contents {
    /// The bytes that are in the image.
    fn open(&self, file: usize) -> Result<Box<dyn ReadAt>, Errno>;

    /// The bytes before anything was stripped.
    fn original(&self, file: usize) -> Result<Box<dyn ReadAt>, Errno> {
        self.open(file)
    }
}

/// A file of an image.
#[derive(Clone, Debug)]
pub struct MaterialFile {
    /// Its real path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digests.
    pub sha1: Hex<20>,
    /// The same.
    pub sha256: Hex<32>,
    /// Whether it is an ELF file.
    pub is_elf: bool,
    /// The package that owns it, by its position.
    pub package: Option<usize>,
    /// The packages that it was built from.
    pub modules: Vec<usize>,
    /// Why it is in the image.
    pub reasons: Vec<String>,
    /// The files that lead to it and how: each by its position and its kind, as [`Self::leading`]
    /// splits them.
    by: Vec<usize>,
}

/// A package of an image.
#[derive(Clone, Debug)]
pub struct MaterialPackage {
    /// Its kind, such as `deb`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its version; empty if it is not known.
    pub version: String,
    /// Its package URL.
    pub purl: String,
    /// Who maintains it.
    pub maintainer: Option<String>,
    /// Its homepage.
    pub homepage: Option<String>,
    /// The licenses that it declares; all of them apply.
    pub licenses: Vec<Expression>,
    /// The files that it owns.
    pub files: Vec<usize>,
}

/// What an image holds.
#[derive(Debug)]
pub struct Inventory {
    /// The image.
    pub image: ImageSubject,
    /// The distribution that its packages are from.
    pub distribution: Option<Distribution>,
    /// Its packages.
    pub packages: Vec<MaterialPackage>,
    /// Its files, sorted by path.
    pub files: Vec<MaterialFile>,
    /// Messages about what could not be read.
    pub notes: Vec<String>,
}

/// What was read of one file.
struct FileFacts {
    sha1: Hex<20>,
    sha256: Hex<32>,
    is_elf: bool,
    modules: Vec<BuildModule>,
    notes: Vec<String>,
}

/// A package that a program was built from.
struct BuildModule {
    kind: &'static str,
    name: String,
    version: String,
    purl: String,
}

impl Inventory {
    /// The inventory of `files`, sorted by path. Their packages are those of the database in `view`:
    /// all of them, or those that own a file.
    pub(super) fn of(
        image: ImageSubject,
        files: Vec<GivenFile<'_>>,
        contents: &dyn Contents,
        view: &View,
        all: bool,
    ) -> Result<Self, SbomError> {
        let packed = files.iter().enumerate();
        let packed = packed.filter_map(|(number, file)| {
            let file = PackedFile {
                source: file.source?,
                image: file.path,
                is_changed: false,
                note: None,
            };
            Some((number, file))
        });
        let (numbers, packed): (Vec<usize>, Vec<_>) = packed.unzip();
        let mut owners = installed(view, &packed, all);
        for owner in &mut owners {
            owner
                .files
                .iter_mut()
                .for_each(|file| *file = numbers[*file]);
            owner.files.sort_unstable();
        }
        let distribution = (!owners.is_empty())
            .then(|| Distribution::of(view))
            .flatten();
        let mut inventory = Self {
            image,
            distribution,
            packages: Vec::new(),
            files: Vec::new(),
            notes: Vec::new(),
        };
        let mut left = MAX_COPYRIGHTS;
        for owner in owners {
            inventory.add_package(owner, view, &mut left);
        }
        inventory.add_files(files, contents)?;
        Ok(inventory)
    }

    /// Adds a package; at most `left` bytes of copyright files are read.
    fn add_package(&mut self, package: InstalledPackage, view: &View, left: &mut u64) {
        let licenses = match package.format {
            PackageFormat::Apk => package.license.iter().cloned().collect(),
            PackageFormat::Deb => self.licenses_of(&package.name, view, left),
        };
        self.packages.push(MaterialPackage {
            kind: match package.format {
                PackageFormat::Apk => "apk",
                PackageFormat::Deb => "deb",
            },
            purl: purl::installed(&package, self.distribution.as_ref()),
            licenses: licenses.iter().map(|text| Expression::of(text)).collect(),
            name: package.name,
            version: package.version,
            maintainer: package.maintainer,
            homepage: package.homepage,
            files: package.files,
        });
    }

    /// The licenses in the copyright file of a package of Debian (Debian Policy 12.5).
    fn licenses_of(&mut self, package: &str, view: &View, left: &mut u64) -> BTreeSet<String> {
        let path = Path::new("/usr/share/doc").join(package).join("copyright");
        let Ok(walk) = view.walk(&path) else {
            return BTreeSet::new();
        };
        let most = MAX_COPYRIGHT.min(*left);
        if walk.metadata.size > most {
            self.note(format!(
                "{} has more than {most} bytes; the licenses of {package} are left out",
                path.display()
            ));
            return BTreeSet::new();
        }
        *left -= walk.metadata.size;
        let copyright = view.read(&path, MAX_COPYRIGHT);
        declared(&copyright.unwrap_or_default())
    }

    fn add_files(
        &mut self,
        files: Vec<GivenFile<'_>>,
        contents: &dyn Contents,
    ) -> Result<(), SbomError> {
        let mut modules: BTreeMap<String, usize> = BTreeMap::new();
        let (mut causes, mut left) = (Vec::new(), MAX_MODULES);
        for (position, file) in files.into_iter().enumerate() {
            let facts = FileFacts::of(file.path, position, contents);
            let facts = facts.map_err(|error| SbomError::File {
                path: file.path.to_path_buf(),
                error,
            })?;
            let mut own = Vec::new();
            for module in facts.modules {
                if left == 0 {
                    self.note(format!(
                        "more than {MAX_MODULES} modules; those of {} are left out",
                        file.path.display()
                    ));
                    break;
                }
                left -= 1;
                let next = self.packages.len();
                let number = *modules.entry(module.purl.clone()).or_insert(next);
                if number == next {
                    self.packages.push(module.into());
                }
                own.push(number);
            }
            own.sort_unstable();
            own.dedup();
            for note in facts.notes {
                self.note(note);
            }
            self.files.push(MaterialFile {
                path: file.path.to_path_buf(),
                size: file.size,
                sha1: facts.sha1,
                sha256: facts.sha256,
                is_elf: facts.is_elf,
                package: None,
                modules: own,
                reasons: Vec::new(),
                by: Vec::new(),
            });
            causes.push(file.causes);
        }
        for (number, package) in self.packages.iter().enumerate() {
            for &file in &package.files {
                self.files[file].package = Some(number);
            }
        }
        self.add_causes(causes);
        Ok(())
    }

    /// Adds the reasons for each file, and the files that lead to it.
    fn add_causes(&mut self, causes: Vec<Vec<FileCause>>) {
        for (number, causes) in causes.into_iter().enumerate() {
            let mut by = Vec::new();
            for cause in causes {
                if let Some((path, kind)) = cause.by
                    && let Some(position) = self.position(&path).filter(|at| *at != number)
                {
                    by.push(2 * position + usize::from(kind == CauseKind::Opened));
                }
                self.files[number].reasons.push(cause.text);
            }
            by.sort_unstable();
            by.dedup();
            self.files[number].by = by;
        }
    }

    /// The position of a file: they are sorted by path.
    fn position(&self, path: &Path) -> Option<usize> {
        self.files
            .binary_search_by(|file| file.path.as_path().cmp(path))
            .ok()
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    /// An identifier for each package that no other has, in order: its URL, which a hostile database
    /// may have twice.
    pub(super) fn package_keys(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let keys = self.packages.iter().map(|package| {
            let count = seen.entry(package.purl.clone()).or_insert(0);
            *count += 1;
            match *count {
                1 => package.purl.clone(),
                count => format!("{}#{count}", package.purl),
            }
        });
        keys.collect()
    }

    /// A UUID of the document that `format` describes the image in: the same for the same image.
    pub(super) fn uuid(&self, format: &str) -> String {
        let start = [format, env!("CARGO_PKG_VERSION"), &self.image.name];
        let start = start.into_iter().chain(self.image.digest.as_deref());
        let files = self.files.iter().flat_map(|file| {
            let path = std::os::unix::ffi::OsStrExt::as_bytes(file.path.as_os_str());
            [path, &file.sha256.0[..]]
        });
        let packages = self.packages.iter().map(|package| package.purl.as_bytes());
        digests::uuid(start.map(str::as_bytes).chain(files).chain(packages))
    }

    /// The time of the image (RFC 3339).
    pub fn time(&self) -> String {
        let seconds = i64::try_from(self.image.created).unwrap_or_default();
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        time.to_string()
    }
}

impl MaterialFile {
    /// The files that lead to it, by their positions, and how.
    pub(super) fn leading(&self) -> impl Iterator<Item = (usize, CauseKind)> {
        self.by.iter().map(|by| match by % 2 {
            0 => (by / 2, CauseKind::Needed),
            _ => (by / 2, CauseKind::Opened),
        })
    }
}

impl MaterialPackage {
    /// Whether programs were built from it, and it owns no files.
    pub(super) fn is_module(&self) -> bool {
        matches!(self.kind, GOLANG | CARGO)
    }
}

impl From<BuildModule> for MaterialPackage {
    fn from(module: BuildModule) -> Self {
        Self {
            kind: module.kind,
            name: module.name,
            version: module.version,
            purl: module.purl,
            maintainer: None,
            homepage: None,
            licenses: Vec::new(),
            files: Vec::new(),
        }
    }
}

impl FileFacts {
    fn of(path: &Path, number: usize, contents: &dyn Contents) -> io::Result<Self> {
        let file = contents.open(number).map_err(io_error)?;
        let (sha1, sha256) = digests::of_file(file.as_ref())?;
        let mut facts = Self {
            sha1,
            sha256,
            is_elf: file.prefix(0, 4)? == b"\x7fELF",
            modules: Vec::new(),
            notes: Vec::new(),
        };
        if facts.is_elf {
            let original = contents.original(number).map_err(io_error)?;
            if let Ok(object) = Object::read(original.as_ref()) {
                facts.add_modules(path, &object, original.as_ref());
            }
        }
        Ok(facts)
    }

    fn add_modules(&mut self, path: &Path, object: &Object, file: &dyn ReadAt) {
        match GoBuild::of(object, file) {
            None => {}
            Some(Ok(build)) => {
                for module in &build.modules {
                    self.modules.push(BuildModule {
                        kind: GOLANG,
                        purl: purl::go(module),
                        name: module.path.clone(),
                        version: module.version.clone(),
                    });
                }
                self.modules.push(BuildModule {
                    kind: GOLANG,
                    purl: purl::go_library(&build.go),
                    name: "stdlib".to_owned(),
                    version: build.go,
                });
            }
            Some(Err(why)) => self.notes.push(format!(
                "the Go build information of {} is invalid: {why}",
                path.display()
            )),
        }
        match crates_in(object, file) {
            None => {}
            Some(Ok(crates)) => {
                for (name, version) in crates {
                    self.modules.push(BuildModule {
                        kind: CARGO,
                        purl: purl::cargo(&name, &version),
                        name,
                        version,
                    });
                }
            }
            Some(Err(why)) => self.notes.push(format!(
                "the list of crates in {} is invalid: {why}",
                path.display()
            )),
        }
    }
}

fn io_error(errno: Errno) -> io::Error {
    io::Error::other(errno.message())
}
