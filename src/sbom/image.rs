//! The inventory of an image that was read.
//!
//! In: an image, and the graph of what leads to its files. Out: an inventory whose packages are those
//! that the databases in the image have, with or without files.

use std::path::PathBuf;

use super::inventory::{
    CauseKind, Contents, FileCause, GivenFile, ImageSubject, Inventory, SbomError,
};
use crate::bytes::ReadAt;
use crate::image::read::Image;
use crate::vfs::{Errno, NodeKind};
use crate::why::Graph;

/// The inventory of `image`, with the reasons that `graph` has.
///
/// # Errors
/// When a file cannot be read.
pub fn of_image(
    image: &Image,
    subject: ImageSubject,
    graph: &Graph<'_>,
) -> Result<Inventory, SbomError> {
    let nodes = image.tree.walk();
    let nodes = nodes.filter(|(_, _, node)| node.kind() == NodeKind::File);
    let files: Vec<(PathBuf, u32)> = nodes.map(|(path, number, _)| (path, number)).collect();
    let given = files.iter().map(|(path, number)| {
        let causes = graph.causes(path).map(|(by, rule)| {
            // The rules of needs are texts of their own.
            let is_needed = rule.starts_with("needed as") || rule == "interpreter";
            let kind = match is_needed {
                true => CauseKind::Needed,
                false => CauseKind::Opened,
            };
            FileCause {
                text: match by {
                    Some(by) => format!("{}: {rule}", by.display()),
                    None => rule.to_owned(),
                },
                by: by.map(|by| (by.to_path_buf(), kind)),
            }
        });
        GivenFile {
            path,
            source: Some(path),
            size: image.tree.numbered(*number).size,
            causes: causes.collect(),
        }
    });
    let given = given.collect();
    let contents = ImageContents {
        image,
        files: &files,
    };
    Inventory::of(subject, given, &contents, &image.view(), true)
}

struct ImageContents<'i> {
    image: &'i Image,
    files: &'i [(PathBuf, u32)],
}

impl Contents for ImageContents<'_> {
    fn open(&self, file: usize) -> Result<Box<dyn ReadAt>, Errno> {
        self.image.tree.numbered(self.files[file].1).open()
    }
}
