//! What ld.so would load for a program, and why: `what_would_load ROOT PROGRAM`.
//!
//! In: a root directory and the path of a program inside it. Out: a line for each library, and what
//! was tried for those that are missing. Nothing is executed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use slimpack_loader::closure::{Closure, Program};
use slimpack_loader::{Environment, Loaders};
use slimpack_vfs::{HostVfs, Memo, View};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [root, program] = &words[..] else {
        return Err("usage: what_would_load ROOT PROGRAM".into());
    };
    let root = HostVfs::new(std::fs::canonicalize(root)?);
    let view = View::new(Box::new(root), Arc::new(Memo::default()));
    let program = Program::find(&view, Path::new(program))?;
    let closure = Closure::of(
        &program,
        &view,
        &Loaders::default(),
        &Environment::default(),
    )?;
    let path_of = |index: usize| -> PathBuf { closure.map.objects()[index].opened_as.clone() };
    for index in closure.listed() {
        let object = &closure.map.objects()[index];
        let rule = object.via.rule(object.requester.unwrap_or(0), &path_of);
        println!("{}  [{rule}]", object.opened_as.display());
    }
    for missing in &closure.missing {
        println!("{} not found", missing.name.display());
        for (path, why) in missing.tried.lines() {
            println!("    {}: {why}", path.unwrap_or(Path::new("")).display());
        }
    }
    Ok(())
}
