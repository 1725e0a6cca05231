//! Writes the seeds of all harnesses as corpora for `cargo fuzz`.
//!
//! In: nothing. Out: `fuzz/corpus/NAME/seed-N`.

use std::fs;
use std::io;
use std::path::Path;

use slimpack_fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    for (name, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds(name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
