//! Layers that several images of one input have.
//!
//! In: the images, and the layers of each when it was read. Out: layers that need not be read again.

use std::collections::HashMap;

use super::ReadLayer;
use super::documents::Description;

/// Layers that several of the images have: each is read once.
#[derive(Default)]
pub(super) struct Reused {
    /// For each blob, by name, how many of the images still to be read have it.
    uses: HashMap<String, usize>,
    pub read: HashMap<String, ReadLayer>,
}

impl Reused {
    /// Those that are in more than one image.
    pub fn among(images: &[Description]) -> Self {
        let mut uses = HashMap::new();
        for image in images {
            for name in image.layer_names() {
                *uses.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        uses.retain(|_, count| *count > 1);
        Self {
            uses,
            read: HashMap::new(),
        }
    }

    /// Whether an image still to be read has the blob, too.
    pub fn has(&self, name: &str) -> bool {
        self.uses.contains_key(name)
    }

    /// Keeps what later images need again, and drops what no other image needs.
    pub fn keep(&mut self, read: &HashMap<String, ReadLayer>) {
        for (name, layer) in read {
            let Some(left) = self.uses.get_mut(name) else {
                continue;
            };
            *left = left.saturating_sub(1);
            match *left {
                0 => drop(self.read.remove(name)),
                _ => drop(self.read.insert(name.clone(), layer.clone())),
            }
        }
    }
}
