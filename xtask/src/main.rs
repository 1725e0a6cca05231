//! Tasks around the program: `cargo xtask docs` writes the pages of `docs/src` that are generated
//! from the code, `cargo xtask demo` renders a run of slimpack as a terminal recording, and
//! `cargo xtask picture` a report page as a picture.
//!
//! In: the tables of rules, and the command. Out: files in `docs/src`.

mod pages;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anstyle_svg::Term;
use clap::Parser;

#[derive(Parser)]
enum Task {
    /// Write the generated pages of the documentation
    Docs {
        /// Write nothing; fail if a page is stale
        #[arg(long)]
        check: bool,
    },
    /// Draw what slimpack prints as docs/src/demo.svg
    Demo,
    /// Take a picture of a report page as docs/src/report.png (needs chromium and imagemagick)
    Picture,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Docs { check } => docs(check),
        Task::Demo => demo().map(|()| true),
        Task::Picture => picture(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// The directory of the book's pages.
fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src")
}

/// Writes the pages, or with `check` reports stale ones; returns whether all are up to date.
fn docs(check: bool) -> io::Result<bool> {
    let mut is_fresh = true;
    for (name, text) in pages::all() {
        let path = book().join(name);
        if fs::read_to_string(&path).is_ok_and(|written| written == text) {
            continue;
        }
        match check {
            false => fs::write(&path, text)?,
            true => {
                eprintln!("docs/src/{name} is stale; run cargo xtask docs");
                is_fresh = false;
            }
        }
    }
    Ok(is_fresh)
}

/// Packs curl, and takes a picture of its report page; returns whether all programs succeeded.
fn picture() -> io::Result<bool> {
    const COMMANDS: [&str; 4] = [
        "slimpack -q /usr/bin/curl -o curl.tar",
        "slimpack inspect -q --html curl.html curl.tar",
        "chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1240,2000 \
         --virtual-time-budget=2000 --screenshot=page.png file://$PWD/curl.html 2>chromium.log",
        // A palette: a third of the size.
        "convert page.png -strip -dither none -colors 96 -define png:compression-level=9 PNG8:report.png",
    ];
    let (folder, path) = room()?;
    for command in COMMANDS {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&folder);
        if !shell.env("PATH", &path).status()?.success() {
            return Ok(false);
        }
    }
    fs::copy(folder.join("report.png"), book().join("report.png"))?;
    fs::remove_dir_all(folder)?;
    Ok(true)
}

/// An empty directory to work in, and a PATH with the slimpack that was built last.
fn room() -> io::Result<(PathBuf, String)> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = target.join("demo");
    fs::create_dir_all(&folder)?;
    let tools = target.join("debug").canonicalize()?;
    let path = env::var("PATH").unwrap_or_default();
    Ok((folder, format!("{}:{path}", tools.display())))
}

/// Runs a few commands as a user would, and renders their output.
fn demo() -> io::Result<()> {
    const COMMANDS: [&str; 4] = [
        "slimpack /usr/bin/curl -o curl.tar",
        "slimpack lint curl.tar",
        "slimpack tree /usr/bin/curl | head -n 6",
        "slimpack why curl.tar /usr/lib/x86_64-linux-gnu/libz.so.1",
    ];
    let (folder, path) = room()?;
    let mut shown = String::new();
    for command in COMMANDS {
        let output = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(&folder)
            .env("PATH", &path)
            .env("CLICOLOR_FORCE", "1")
            .output()?;
        shown.push_str(&format!("\u{1b}[1m$ {command}\u{1b}[0m\n"));
        shown.push_str(&String::from_utf8_lossy(&output.stdout));
        shown.push('\n');
    }
    fs::remove_dir_all(folder)?;
    fs::write(
        book().join("demo.svg"),
        Term::new().render_svg(shown.trim_end()),
    )
}
