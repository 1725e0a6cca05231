//! Images in registries, if this slimpack was built with the `registry` feature.
//!
//! In: names from `--push` and `docker://`. Out: a layout pushed, or one pulled into a temporary
//! directory.

use std::path::Path;

use super::args::ImageArgs;
use super::error::CliError;
use crate::image::read::{HeldLayers, LayerCache, ReadOptions};
use crate::output::Scratch;
#[cfg(feature = "registry")]
use crate::output::{Interrupts, watch};

#[cfg(feature = "registry")]
pub(super) use crate::registry::Attachment;

/// Prefix of the name of an image in a registry.
pub(super) const PREFIX: &str = "docker://";

/// The name of an image in a registry; `None` for any other path.
pub(super) fn name(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(PREFIX)
}

/// Options for access to registries.
#[cfg(feature = "registry")]
fn access<'a>(
    args: &'a ImageArgs,
    interrupted: &'a dyn Fn() -> Option<i32>,
) -> crate::registry::Access<'a> {
    let limits = super::inspect::limits(args);
    crate::registry::Access {
        insecure: &args.insecure,
        deadline: std::time::Duration::from_secs(limits.registry_time),
        interrupted,
    }
}

/// Pushes the layout in `folder` under all `names`, one after the other, with the documents that are
/// attached; returns a line about each.
#[cfg(feature = "registry")]
pub(super) fn push(
    folder: &Path,
    names: &[String],
    args: &ImageArgs,
    attached: &[Attachment],
) -> Result<Vec<String>, CliError> {
    use crate::registry::Registry;
    let interrupts = Interrupts::hold();
    let interrupted = || interrupts.received();
    let mut pushed: Vec<Registry<'_>> = Vec::new();
    let mut said = Vec::new();
    for name in names {
        let fail = |error| CliError::registry("push", name, error);
        let registry = Registry::open(name, access(args, &interrupted)).map_err(fail)?;
        let result = registry.push(folder, pushed.last()).map_err(fail)?;
        for attachment in attached {
            registry.attach(folder, attachment).map_err(fail)?;
        }
        said.push(crate::report::pushed(&registry.name(), &result));
        pushed.push(registry);
    }
    Ok(said)
}

/// Pulls an image into a layout, without the layers that are returned: those that the cache has.
#[cfg(feature = "registry")]
pub(super) fn pull(
    name: &str,
    args: &ImageArgs,
    cache: Option<&LayerCache>,
    options: &ReadOptions,
) -> Result<(Scratch, HeldLayers), CliError> {
    use crate::registry::Registry;
    let fail = |error| CliError::registry("pull", name, error);
    let folder = Scratch::new().map_err(|error| fail(error.into()))?;
    // It outlives the pull, since it is read afterwards; a signal removes it.
    watch();
    let interrupts = Interrupts::hold();
    let interrupted = || interrupts.received();
    let registry = Registry::open(name, access(args, &interrupted)).map_err(fail)?;
    let known = cache.map(|cache| crate::registry::KnownLayers { cache, options });
    let held = registry
        .pull(folder.path(), args.platform.as_deref(), known)
        .map_err(fail)?;
    Ok((folder, held))
}

/// There is no document to attach where nothing can be pushed.
#[cfg(not(feature = "registry"))]
pub(super) enum NoAttachment {}
#[cfg(not(feature = "registry"))]
pub(super) use NoAttachment as Attachment;

#[cfg(not(feature = "registry"))]
const NONE: &str = "this slimpack was built without registry support (feature registry)";

/// Always fails, because registries are not compiled in.
#[cfg(not(feature = "registry"))]
pub(super) fn push(
    _: &Path,
    _: &[String],
    _: &ImageArgs,
    _: &[Attachment],
) -> Result<Vec<String>, CliError> {
    Err(CliError::Usage(format!(
        "cannot push: {NONE}; write to a file and use skopeo copy"
    )))
}

/// Always fails, like `push`.
#[cfg(not(feature = "registry"))]
pub(super) fn pull(
    _: &str,
    _: &ImageArgs,
    _: Option<&LayerCache>,
    _: &ReadOptions,
) -> Result<(Scratch, HeldLayers), CliError> {
    Err(CliError::Usage(format!(
        "cannot pull: {NONE}; use skopeo copy"
    )))
}
