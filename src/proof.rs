//! The proof: resolve again inside the finished tree.
//!
//! In: the closures of the source and the tree of the image. Out: nothing, or the
//! first request that would be answered differently. The same code that resolved on
//! the source resolves in the image, so what it finds is what the loader will find.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::closure::{Closure, ClosureError, Program, Request};
use crate::loader::{Environment, Loaders};
use crate::rootfs::{Rootfs, RootfsVfs};
use crate::vfs::{FileId, View};

/// How the image differs from the source.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The program cannot be resolved in the image at all.
    #[error("{} would not start in the image: {error}", .program.display())]
    Broken {
        /// The program.
        program: PathBuf,
        /// Why.
        error: ClosureError,
    },
    /// A request finds another file than on the source, or none.
    #[error(
        "in the image {} would ask for {} and find {}, not {}; {advice}",
        .requester.display(), .name.display(), .found, .expected.display()
    )]
    Differs {
        /// Who asks.
        requester: PathBuf,
        /// The name it asks for.
        name: OsString,
        /// What it would find.
        found: String,
        /// What it finds on the source.
        expected: PathBuf,
        /// What to do.
        advice: String,
    },
}

/// Checks that `program` (a path of the image) loads in `rootfs` exactly what
/// `source` loads.
///
/// # Errors
/// [`ProofError`] names the request that differs.
pub fn prove(
    source: &Closure,
    program: &Path,
    rootfs: &Arc<Rootfs>,
    source_view: &Arc<View>,
    environment: &Environment,
) -> Result<Closure, Box<ProofError>> {
    let broken = |error| {
        Box::new(ProofError::Broken {
            program: program.to_path_buf(),
            error,
        })
    };
    let vfs = RootfsVfs::new(rootfs.clone(), source_view.clone());
    let view = View::new(Box::new(vfs), source_view.store().clone());
    let found = Program::find(&view, program).map_err(broken)?;
    let image = Closure::of(&found, &view, &Loaders::default(), environment).map_err(broken)?;
    let answers = answers(&image);
    for edge in &source.edges {
        let Some(expected) = edge.target else {
            continue;
        };
        let requester = &source.map.objects()[edge.requester];
        let expected = &source.map.objects()[expected];
        let key = (requester.walk.metadata.id, &edge.name, edge.request);
        let found = answers.get(&key).copied().flatten();
        let found_id = found.map(|index| image.map.objects()[index].walk.metadata.id);
        if found_id == Some(expected.walk.metadata.id) {
            continue;
        }
        return Err(Box::new(ProofError::Differs {
            requester: requester.opened_as.clone(),
            name: edge.name.clone(),
            found: match found {
                Some(index) => image.map.objects()[index].opened_as.display().to_string(),
                None => "nothing".into(),
            },
            expected: expected.opened_as.clone(),
            advice: advice(expected),
        }));
    }
    Ok(image)
}

fn advice(expected: &crate::loader::Loaded) -> String {
    let folder = expected.opened_as.parent().unwrap_or(Path::new("/"));
    format!(
        "give the program a search path to it (-Wl,-rpath), or name its folder with \
         -L {} so that the library moves to a folder the loader searches by itself",
        folder.display()
    )
}

/// Who gets which answer to which request.
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
