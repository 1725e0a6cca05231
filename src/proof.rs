//! The proof: resolve again inside the finished tree.
//!
//! In: the closures of the source and the tree of the image. Out: the undefined functions that fail
//! when they are called, or the first error that keeps a program from starting: a library that is
//! found elsewhere or not at all, a symbol version or a symbol that is not defined. The same code
//! resolves in the source and in the image, so what it finds is what the loader will find.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::binding::{Binder, BindingError};
use crate::closure::{Closure, ClosureError, Program, Request};
use crate::elf::Linkage;
use crate::lint::{Finding, LintedProcess, process_errors};
use crate::loader::{Environment, Loaded, Loaders};
use crate::rootfs::{Rootfs, RootfsVfs};
use crate::vfs::{FileId, View};

/// Why a program would not start in the image.
#[derive(Debug, Error)]
pub enum ProofError {
    /// A symbol version is not defined, so the loader refuses the program.
    #[error(
        "{} needs version {} of {}, which {}; pack against the C library and the libraries \
         that the program was built with (--root, -L), or build it for these",
        .needer.display(), .version.display(), .provider.display(),
        match .newest {
            Some(newest) => format!("has {} at most", newest.display()),
            None => "has no version of that name".to_owned(),
        }
    )]
    Version {
        /// The object that needs it.
        needer: PathBuf,
        /// The object that should define it.
        provider: PathBuf,
        /// The version.
        version: OsString,
        /// The newest version with the same prefix that it defines.
        newest: Option<OsString>,
    },
    /// A symbol is not defined, so the loader refuses the program.
    #[error(
        "{} refers to the symbol {symbol}, which no object of the program defines{}; link it \
         with the library that does, or use the library versions that it was built with",
        .needer.display(),
        match .others {
            0 => String::new(),
            others => format!(" (and {others} more)"),
        }
    )]
    Symbol {
        /// The object that refers to it.
        needer: PathBuf,
        /// The symbol, with its version.
        symbol: String,
        /// Number of further undefined symbols.
        others: usize,
    },
    /// Lint reports an error.
    #[error("{message} ({rule}); {}", advice_text(.fix))]
    Lint {
        /// The rule's ID, such as `SP014`.
        rule: &'static str,
        /// The message of the finding.
        message: String,
        /// How to fix it.
        fix: String,
    },
    /// A symbol table is damaged.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The program cannot be resolved in the image.
    #[error("{}: {error}; check what --exclude leaves out", .program.display())]
    Broken {
        /// The program.
        program: PathBuf,
        /// Why it cannot be resolved.
        error: ClosureError,
    },
    /// A request finds another file than in the source, or none.
    #[error(
        "in the image, {} would request {} and find {} instead of {}; {advice}",
        .requester.display(), .name.display(), .found, .expected.display()
    )]
    Differs {
        /// The object that makes the request.
        requester: PathBuf,
        /// The name that it requests.
        name: OsString,
        /// The path that it would find in the image, or `nothing`.
        found: String,
        /// The path that it finds in the source.
        expected: PathBuf,
        /// How to fix it.
        advice: String,
    },
}

/// The fix of a rule, in lower case and without its period, to continue a sentence.
fn advice_text(fix: &str) -> String {
    let mut letters = fix.trim_end_matches('.').chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

impl ProofError {
    /// Whether the inputs are valid and the answer is no.
    pub fn is_verdict(&self) -> bool {
        !matches!(self, Self::Binding(_))
    }
}

/// Checks that `program` (a path in the image) loads in `rootfs` exactly what `source` loads, and
/// that all symbols bind. `may_lack_opened` tolerates missing libraries that programs load with
/// `dlopen`. Returns the undefined functions that fail only when they are first called.
///
/// # Errors
/// [`ProofError`] names the request that differs, or the symbol that does not bind.
pub fn prove(
    source: &Closure,
    program: &Path,
    rootfs: &Arc<Rootfs>,
    source_view: &Arc<View>,
    environment: &Environment,
    may_lack_opened: bool,
) -> Result<Vec<MissedCall>, Box<ProofError>> {
    let broken = |error| {
        Box::new(ProofError::Broken {
            program: program.to_path_buf(),
            error,
        })
    };
    let vfs = RootfsVfs::new(rootfs.clone(), source_view.clone());
    let view = View::new(Box::new(vfs), source_view.memo().clone());
    let found = Program::find(&view, program).map_err(broken)?;
    let mut image = Closure::of(&found, &view, &Loaders::default(), environment).map_err(broken)?;
    // Libraries opened at run time are opened here as well, by the same objects.
    for edge in &source.edges {
        if let Request::Opened(need) = edge.request {
            let by = rootfs.identity(source.map.objects()[edge.requester].walk.metadata.id);
            let mut objects = image.map.objects().iter();
            if let Some(by) = objects.position(|object| object.walk.metadata.id == by) {
                image
                    .open(&view, environment, by, &edge.name, need)
                    .map_err(broken)?;
            }
        }
    }
    same_libraries(source, &image, program, rootfs)?;
    let binder = Binder::new(&view);
    let missed = binds(&image, &binder)?;
    let process = LintedProcess {
        view: &view,
        binder: &binder,
        closure: &image,
        environment,
        path_of: &Path::to_path_buf,
    };
    lints(&process, may_lack_opened)?;
    Ok(missed)
}

/// Checks that each request finds the file in `image` that it finds in `source`.
fn same_libraries(
    source: &Closure,
    image: &Closure,
    program: &Path,
    rootfs: &Rootfs,
) -> Result<(), Box<ProofError>> {
    let answers = answers(image);
    for edge in &source.edges {
        let Some(expected) = edge.target else {
            continue;
        };
        let requester = &source.map.objects()[edge.requester];
        let expected = &source.map.objects()[expected];
        let identity = |object: &Loaded| rootfs.identity(object.walk.metadata.id);
        let key = (identity(requester), &edge.name, edge.request);
        let found = answers.get(&key).copied().flatten();
        let found_id = found.map(|index| image.map.objects()[index].walk.metadata.id);
        if found_id == Some(identity(expected)) {
            continue;
        }
        return Err(Box::new(ProofError::Differs {
            requester: match edge.requester {
                0 => program.to_path_buf(),
                _ => requester.opened_as.clone(),
            },
            name: edge.name.clone(),
            found: match found {
                Some(index) => image.map.objects()[index].opened_as.display().to_string(),
                None => "nothing".into(),
            },
            expected: expected.opened_as.clone(),
            advice: advice(expected, rootfs),
        }));
    }
    Ok(())
}

/// Reports the first lint error, except for libraries that were left out on purpose.
fn lints(process: &LintedProcess<'_>, may_lack_opened: bool) -> Result<(), Box<ProofError>> {
    let is_complete = process.closure.is_complete();
    let mut findings = process_errors(process).into_iter();
    let is_meant = |finding: &Finding| {
        (!is_complete && finding.is_missing_library())
            || (may_lack_opened && finding.is_opened_library())
    };
    let first = findings.find(|finding| !is_meant(finding));
    match first {
        None => Ok(()),
        Some(finding) => Err(Box::new(ProofError::Lint {
            rule: finding.rule.id,
            message: finding.message,
            fix: finding.fix,
        })),
    }
}

/// A symbol that no object defines, and that is looked up only when it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedCall {
    /// The object that calls it, by its path in the image.
    pub caller: PathBuf,
    /// The symbol, with its version.
    pub symbol: String,
}

fn binds(image: &Closure, binder: &Binder<'_>) -> Result<Vec<MissedCall>, Box<ProofError>> {
    let path = |index: usize| image.map.objects()[index].opened_as.clone();
    let versions = binder.missing_versions(image).map_err(ProofError::from)?;
    if let Some(missing) = versions.into_iter().find(|missing| !missing.is_weak) {
        return Err(Box::new(ProofError::Version {
            needer: path(missing.needer),
            provider: path(missing.provider),
            version: missing.version,
            newest: missing.newest,
        }));
    }
    // A library may leave symbols for the program that loads it to define.
    if image.program().object.linkage() == Linkage::Library {
        return Ok(Vec::new());
    }
    let unresolved = binder.unresolved(image).map_err(ProofError::from)?;
    let (fatal, lazy): (Vec<_>, Vec<_>) = unresolved
        .into_iter()
        .partition(|unresolved| unresolved.fails_at_load);
    if let Some(first) = fatal.first() {
        return Err(Box::new(ProofError::Symbol {
            needer: path(first.needer),
            symbol: first.reference.display(),
            others: fatal.len() - 1,
        }));
    }
    let missed = lazy.into_iter().map(|unresolved| MissedCall {
        caller: path(unresolved.needer),
        symbol: unresolved.reference.display(),
    });
    Ok(missed.collect())
}

/// What to do when the image's loader does not find a library.
fn advice(expected: &Loaded, rootfs: &Rootfs) -> String {
    let real = &expected.walk.real;
    if rootfs.node(real).is_none() && expected.via.keeps_its_path() {
        return format!(
            "it is not in the image: --exclude leaves {} out; narrow it",
            real.display()
        );
    }
    let folder = expected.opened_as.parent().unwrap_or(Path::new("/"));
    format!(
        "give the program a search path to it (-Wl,-rpath), or name its directory with \
         -L {} so that the library moves to a directory the loader searches by default",
        folder.display()
    )
}

/// The object found for each request: by requester, name and kind of request.
fn answers(closure: &Closure) -> BTreeMap<(FileId, &OsString, Request), Option<usize>> {
    closure
        .edges
        .iter()
        .map(|edge| {
            let requester = &closure.map.objects()[edge.requester];
            let key = (requester.walk.metadata.id, &edge.name, edge.request);
            (key, edge.target)
        })
        .collect()
}
