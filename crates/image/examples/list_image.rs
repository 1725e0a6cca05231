//! Every file of any container image: `list_image IMAGE`.
//!
//! In: a docker or OCI archive, an OCI layout, a root directory or a tar of one. Out: modes, sizes and
//! paths of its one effective tree; an error if a digest is wrong.

use std::path::Path;

use slimpack_image::read::{self, Interest, Limits, ReadOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: list_image IMAGE")?;
    let options = ReadOptions {
        limits: Limits::default(),
        name: None,
        platform: None,
        interest: Interest::Listing,
        probe: |_, _| {},
    };
    let mut images = read::open(Path::new(&path), &options)?;
    for number in 0..images.count() {
        let image = images.read(number)?;
        if let Some(description) = &image.description {
            println!("{} {}", description.tags.join(", "), description.platform);
        }
        for (path, _, node) in image.tree.walk() {
            println!("{:06o} {:>10} {}", node.mode, node.size, path.display());
        }
        if let Some(fault) = image.verification.finish()?.first() {
            return Err(format!("{fault:?}").into());
        }
    }
    Ok(())
}
