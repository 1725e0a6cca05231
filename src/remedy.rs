//! What would fix a broken image: files of another tree, and the packages that own them.
//!
//! In: the findings about an image, and a donor: this machine or a sysroot. Out: for each missing
//! library or interpreter the file that the loader would find in the donor, where it belongs in the
//! image, and what else it needs that the image lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::closure::{Closure, Program};
use crate::lint::{Context, Finding};
use crate::loader::{Environment, Loaded, Target};
use crate::packages::Records;
use crate::source::Source;

/// A package manager that an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageManager {
    /// Debian's and Ubuntu's.
    Apt,
    /// Alpine's.
    Apk,
}

/// The program of each manager, and the database of what it has installed.
const MANAGERS: [(PackageManager, &str, &str); 2] = [
    (
        PackageManager::Apt,
        "/usr/bin/apt-get",
        "/var/lib/dpkg/status",
    ),
    (PackageManager::Apk, "/sbin/apk", "/lib/apk/db/installed"),
];

/// One file to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The file on this machine, links resolved.
    pub file: PathBuf,
    /// The file on this machine under the name by which the loader opens it.
    pub opened_as: PathBuf,
    /// Where it belongs in the image.
    pub to: PathBuf,
    /// The package of the donor that owns it.
    pub package: Option<String>,
}

/// What would fix an image.
#[derive(Debug, Default)]
pub struct Remedies {
    /// The files to add, by their path in the image.
    pub files: Vec<Remedy>,
    /// Names that the donor does not have either.
    pub unknown: Vec<String>,
    /// The package manager that both the image and the donor have.
    pub manager: Option<PackageManager>,
}

impl Remedies {
    /// What would fix the findings about the image of `context`, with files of `donor`.
    pub fn of(context: &Context<'_>, findings: &[Finding], donor: &Source) -> Self {
        let records = Records::of(&donor.view);
        let (mut files, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for finding in findings {
            let is_interpreter = finding.rule.id == "SP002";
            // A library that is there, elsewhere, needs another search path, not a copy.
            let is_elsewhere = finding.evidence.contains_key("elsewhere");
            if is_elsewhere || !(is_interpreter || finding.is_missing_library()) {
                continue;
            }
            match replacements(context, finding, donor, is_interpreter) {
                Some(found) => files.extend(found),
                None => {
                    unknown.insert(finding.subject.clone());
                }
            }
        }
        let files = files.into_iter().map(|(to, (file, opened_as))| Remedy {
            package: records.owner_of(&file),
            file: donor.host_path(&file),
            opened_as: donor.host_path(&opened_as),
            to,
        });
        Self {
            files: files.collect(),
            unknown: unknown.into_iter().collect(),
            manager: manager(context, donor),
        }
    }

    /// The packages of the files, each once.
    pub fn packages(&self) -> BTreeSet<&str> {
        let packages = self.files.iter();
        packages
            .filter_map(|file| file.package.as_deref())
            .collect()
    }
}

fn manager(context: &Context<'_>, donor: &Source) -> Option<PackageManager> {
    let has = |source: &Source, path: &str| source.view.walk(Path::new(path)).is_ok();
    let mut managers = MANAGERS.iter();
    let found = managers
        .find(|(_, program, database)| has(context.source, program) && has(donor, database));
    found.map(|(manager, ..)| *manager)
}

/// The files to add for one finding: path in the image, real path and opened path in the donor.
/// `None` if the donor lacks it, too.
fn replacements(
    context: &Context<'_>,
    finding: &Finding,
    donor: &Source,
    is_interpreter: bool,
) -> Option<Vec<(PathBuf, (PathBuf, PathBuf))>> {
    let name = OsStr::new(&finding.subject);
    let program = finding.programs.first().unwrap_or(&finding.path);
    let program = Program::find(&context.source.view, program).ok()?;
    let environment = Environment::default();
    let closure = Closure::of(&program, &donor.view, &donor.loaders, &environment);
    let mut closure = closure.ok()?;
    let wanted = match is_interpreter {
        true => Some(1),
        false => closure.map.named(name).or_else(|| {
            let opened = closure.open(&donor.view, &environment, 0, name, "fix-hints");
            opened.ok().flatten()
        }),
    };
    let wanted = wanted.filter(|index| *index < closure.map.objects().len())?;
    let mut files = Vec::new();
    for (index, object) in closure.map.objects().iter().enumerate().skip(1) {
        let to = match index == wanted {
            true => destination(finding, object, is_interpreter),
            false if is_in_image(context, &program, object) => continue,
            false => object.opened_as.clone(),
        };
        files.push((to, (object.walk.real.clone(), object.opened_as.clone())));
    }
    Some(files)
}

/// Whether the image has an object that the loader would take for this one.
fn is_in_image(context: &Context<'_>, program: &Program, object: &Loaded) -> bool {
    let target = Target::of(&program.object);
    let soname = object.object.soname().map(|name| name.as_os_str());
    let names = soname.into_iter().chain(object.opened_as.file_name());
    let mut known = names.flat_map(|name| context.libraries_called(name));
    known.any(|file| target.matches(&file.object.header))
        || context.source.view.walk(&object.opened_as).is_ok()
}

/// Where the loader of the image looks: the same path as in the donor, or the first that it tried.
fn destination(finding: &Finding, object: &Loaded, is_interpreter: bool) -> PathBuf {
    if is_interpreter {
        return PathBuf::from(&finding.subject);
    }
    let tried = finding
        .evidence
        .get("tried")
        .and_then(|tried| tried.as_array());
    let tried = tried.into_iter().flatten();
    let mut tried = tried.filter_map(|one| Some(Path::new(one["path"].as_str()?)));
    let is_same = |path: &&Path| *path == object.opened_as;
    if tried.clone().any(|path| is_same(&path)) {
        return object.opened_as.clone();
    }
    let first = tried.find(|path| path.is_absolute());
    first.map_or_else(|| object.opened_as.clone(), Path::to_path_buf)
}
