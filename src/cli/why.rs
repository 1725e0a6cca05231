//! `slimpack why IMAGE PATH`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::args::{Common, WhyArgs};
use super::error::CliError;
use super::inspect;
use super::progress::Progress;
use crate::exec::Start;
use crate::image::read::{Image, Interest};
use crate::image::{MAX_RECORD_FILE, RECORD_FILE, recorded};
use crate::loader::Environment;
use crate::pack::{PackError, started};
use crate::report;
use crate::source::Source;
use crate::vfs::NodeKind;
use crate::why::{Graph, Why};

#[derive(Serialize)]
struct WhyDocument<'a> {
    schema: u32,
    image: String,
    needed: bool,
    #[serde(flatten)]
    why: &'a Why,
}

pub(super) fn run(args: &WhyArgs, common: &Common) -> Result<ExitCode, CliError> {
    let progress = Progress::reading(&args.image, "reading", common.quiet);
    let mut images = inspect::open(&args.image, &args.reading, Interest::Closures)?;
    let mut answers = Vec::new();
    for number in 0..images.count() {
        let image = inspect::read_one(&args.image, &mut images, number)?;
        answers.push(answer(args, &image)?);
        inspect::check(&args.image, image)?;
    }
    drop(progress);
    let mut out = super::text_output(!args.json);
    for why in &answers {
        if args.json {
            let document = WhyDocument {
                schema: 1,
                image: args.image.display().to_string(),
                needed: why.is_needed(),
                why,
            };
            writeln!(out, "{}", super::json(&document)?)?;
        } else {
            report::why(why, common.verbose > 0, &mut out)?;
        }
    }
    out.flush()?;
    let is_needed = answers.iter().all(Why::is_needed);
    Ok(ExitCode::from(u8::from(!is_needed)))
}

fn answer(args: &WhyArgs, image: &Image) -> Result<Why, CliError> {
    let start = Start::of(image);
    let source = Source::of_image(&args.image, image.view(), &start.working_dir);
    let environment = source.environment(&[], Environment::with_variables(&start.env));
    let mut graph = Graph::new(&source, &environment, &start.env);
    // A root without configuration starts nothing: only `--program` counts then.
    match add_started(&mut graph, image, &args.image, &source) {
        Err(_) if !args.programs.is_empty() => {}
        Err(error) => {
            return Err(CliError::Usage(format!(
                "{}; set it with --program PATH",
                error.to_string().trim_end_matches("; name a FILE in it")
            )));
        }
        Ok(()) => {}
    }
    for path in &args.programs {
        graph.add(&source.locate(path), "--program");
    }
    add_recorded(&mut graph, image, &source);
    let path = source.locate(&args.path);
    graph
        .why(&path)
        .map_err(|errno| CliError::Usage(inspect::lacks(&image.tree, &args.image, &path, errno)))
}

/// Adds what an image starts.
///
/// # Errors
/// When it starts nothing, or does not contain the program.
pub(super) fn add_started(
    graph: &mut Graph<'_>,
    image: &Image,
    name: &Path,
    source: &Source,
) -> Result<(), PackError> {
    for path in started(image, name, source)? {
        graph.add(&path, "entrypoint");
    }
    Ok(())
}

/// Adds what the record of a packed image explains.
pub(super) fn add_recorded(graph: &mut Graph<'_>, image: &Image, source: &Source) {
    let description = image.description.as_ref();
    let record = whole_record(source).or_else(|| description.map(recorded));
    for (recorded, reason) in record.unwrap_or_default() {
        match recorded.strip_suffix('/') {
            None => graph.add(Path::new(&recorded), &reason),
            Some(directory) => add_below(graph, image, Path::new(directory), &reason),
        }
    }
}

/// The record that the image has as a file; `None` if it has none that can be read.
fn whole_record(source: &Source) -> Option<BTreeMap<String, String>> {
    let walk = source.view.walk(Path::new(RECORD_FILE)).ok()?;
    let size = walk.metadata.size;
    if size > MAX_RECORD_FILE {
        return None;
    }
    let file = source.view.open(&walk).ok()?;
    serde_json::from_slice(&file.prefix(0, size).ok()?).ok()
}

/// Adds everything below `directory`, to which the record gives one common reason.
fn add_below(graph: &mut Graph<'_>, image: &Image, directory: &Path, reason: &str) {
    for (path, _, node) in image.tree.walk() {
        if node.kind() != NodeKind::Directory && path.starts_with(directory) {
            graph.add(&path, reason);
        }
    }
}
