//! Prints what a command looks up: `cargo run --example lookups -- ls /`.

use std::process::Command;
use std::sync::atomic::AtomicUsize;

use slimpack_trace::{TraceOptions, trace};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1);
    let mut command = Command::new(words.next().ok_or("name a command by its path")?);
    command.args(words);
    let options = TraceOptions {
        only: None,
        timeout: None,
        is_stopped: &|| false,
        paths: &AtomicUsize::new(0),
    };
    let recording = trace(command, &options)?;
    for (path, traced) in &recording.found {
        let uses: Vec<&str> = traced.uses.words().collect();
        println!("{}: {}", path.display(), uses.join(", "));
    }
    for path in &recording.absent {
        println!("{}: absent", path.display());
    }
    Ok(())
}
