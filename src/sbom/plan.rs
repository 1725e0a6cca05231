//! The inventory of an image that is packed.
//!
//! In: a plan. Out: an inventory whose reasons are those of the plan, and whose packages are those that
//! the source tree has for the files, whether the image has records of them or not.

use std::path::PathBuf;

use super::inventory::{
    CauseKind, Contents, FileCause, GivenFile, ImageSubject, Inventory, SbomError,
};
use crate::bytes::ReadAt;
use crate::pack::Plan;
use crate::rootfs::{Content, Reason, SourceFile};
use crate::vfs::{Errno, View};

/// The inventory of the image of `plan`; `digest` is that of its manifest, if it has one.
///
/// # Errors
/// When a file can no longer be read.
pub fn of_plan(plan: &Plan, digest: Option<String>) -> Result<Inventory, SbomError> {
    let settings = &plan.settings;
    let tag = settings.tags.first();
    let subject = ImageSubject {
        name: tag.map_or_else(|| "image".to_owned(), |tag| tag.familiar.clone()),
        digest,
        architecture: settings.platform.architecture.to_string(),
        created: settings.configured.created,
    };
    let mut contents = PlanContents {
        files: Vec::new(),
        source: &plan.source.view,
    };
    let view = plan.view();
    let mut given = Vec::new();
    for (path, node) in plan.rootfs.nodes() {
        let Content::File(file) = &node.content else {
            continue;
        };
        let causes = node.reasons.iter().map(|reason| FileCause {
            text: reason.to_string(),
            by: leading(&view, reason),
        });
        given.push(GivenFile {
            path,
            source: file.source_path(),
            size: file.size(),
            causes: causes.collect(),
        });
        contents.files.push(file);
    }
    Inventory::of(subject, given, &contents, &plan.source.view, false)
}

struct PlanContents<'p> {
    files: Vec<&'p SourceFile>,
    source: &'p View,
}

impl Contents for PlanContents<'_> {
    fn open(&self, file: usize) -> Result<Box<dyn ReadAt>, Errno> {
        self.files[file].open(self.source)
    }

    fn original(&self, file: usize) -> Result<Box<dyn ReadAt>, Errno> {
        match self.files[file].walk() {
            Some(walk) => self.source.open(walk),
            None => self.open(file),
        }
    }
}

/// The file that a reason names, by its real path in the image `view`: a reason has the path that a
/// loader opens, which may go through links.
fn leading(view: &View, reason: &Reason) -> Option<(PathBuf, CauseKind)> {
    let (by, kind) = match reason {
        Reason::NeededBy { requester, .. } => (requester, CauseKind::Needed),
        Reason::InterpreterOf(program) => (program, CauseKind::Needed),
        Reason::LoaderConfiguration(program) => (program, CauseKind::Opened),
        Reason::Need { object, .. } => (object.as_ref()?, CauseKind::Opened),
        Reason::Program | Reason::OnTheWayTo(_) => return None,
    };
    let walk = view.walk(by).ok()?;
    Some((walk.real.clone(), kind))
}
