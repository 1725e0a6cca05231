//! `--html FILE` of `slimpack inspect` and `slimpack diff`.

use std::io::{self, Write};
use std::path::Path;

use super::args::Common;
use super::error::CliError;
use super::{lint, why};
use crate::exec::Start;
use crate::image::read::Image;
use crate::inspect::Figures;
use crate::loader::Environment;
use crate::output::{Output, OutputError};
use crate::page::{InspectedImage, Page};
use crate::report::size;
use crate::source::Source;
use crate::vfs::one_line;
use crate::why::Graph;

/// Whether a page goes to standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Fails if a page and JSON would share standard output.
pub(super) fn check(html: Option<&Path>, json: bool) -> Result<(), CliError> {
    match html.is_some_and(is_stdout) && json {
        true => Err(CliError::Usage(
            "--html - and --json both write to standard output; name a file: --html FILE".into(),
        )),
        false => Ok(()),
    }
}

/// Adds an image to a page, with what lint and why say of it.
pub(super) fn add_image(
    page: &mut Page,
    name: &Path,
    image: &Image,
    figures: &Figures,
) -> Result<(), CliError> {
    let start = Start::of(image);
    let source = Source::of_image(name, image.view(), &start.working_dir);
    let findings = lint::findings(name, image, &source)?;
    let environment = source.environment(&[], Environment::with_variables(&start.env));
    let mut started = Graph::new(&source, &environment, &start.env);
    let no_start = why::add_started(&mut started, image, name, &source).err();
    why::add_recorded(&mut started, image, &source);
    let mut installed = Graph::new(&source, &environment, &start.env);
    for path in lint::programs_then_libraries(image, &source) {
        installed.add(&path, "installed");
    }
    page.add_image(&InspectedImage {
        image,
        view: &source.view,
        figures,
        findings: &findings,
        started: &started,
        installed: &installed,
        no_start: no_start.map(|error| {
            let text = error.to_string();
            text.trim_end_matches("; name a FILE in it").to_owned()
        }),
    });
    Ok(())
}

/// Writes a page: whole or not at all.
pub(super) fn write(page: &Page, path: &Path, common: &Common, json: bool) -> Result<(), CliError> {
    let html = page.html();
    if is_stdout(path) {
        let mut out = io::stdout().lock();
        out.write_all(&html)?;
        return Ok(out.flush()?);
    }
    let fail = |error| OutputError::Io(path.to_path_buf(), error);
    match Output::create(path)? {
        Output::Device(mut device) => device.write_all(&html).map_err(fail)?,
        Output::File(mut out) => {
            let written = out.write_all(&html);
            if let Some(signal) = out.interrupted() {
                drop(out);
                return Err(CliError::Interrupted(signal));
            }
            written.map_err(fail)?;
            out.publish()?;
        }
    }
    if !common.quiet && !json {
        let path = one_line(&path.display().to_string());
        super::say(|out| writeln!(out, "{path}: {}", size(html.len() as u64)));
    }
    Ok(())
}
