//! `slimpack sbom IMAGE`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::args::{Common, SbomArgs};
use super::error::CliError;
use super::inspect;
use super::pack::source_date_epoch;
use super::progress::Progress;
use super::why::{add_recorded, add_started};
use crate::exec::Start;
use crate::image::read::{Image, Interest};
use crate::loader::Environment;
use crate::output::{Output, OutputError};
use crate::sbom::{ImageSubject, Inventory, SbomFormat, SbomTarget, of_image};
use crate::source::Source;
use crate::vfs::one_line;
use crate::why::Graph;

pub(super) fn run(args: &SbomArgs, common: &Common) -> Result<ExitCode, CliError> {
    let targets = targets(args);
    let progress = Progress::reading(&args.image, "reading", common.quiet);
    let mut images = inspect::open(&args.image, &args.reading, Interest::Contents)?;
    let count = images.count();
    let on_stdout = targets
        .iter()
        .filter(|target| target.path.is_none())
        .count();
    if on_stdout > 1 || (on_stdout == 1 && count > 1) {
        return Err(CliError::Usage(match count {
            1 => {
                "standard output takes one bill of materials; write the others with -o FILE".into()
            }
            _ => format!(
                "{} holds several images: {}; choose one with IMAGE#NAME or --image-platform, or \
                 write files with -o FILE",
                args.image.display(),
                images.names().join(", ")
            ),
        }));
    }
    let mut described = Vec::new();
    for number in 0..count {
        let image = inspect::read_one(&args.image, &mut images, number)?;
        let platform = image.description.as_ref();
        let platform = platform.map(|description| description.platform.to_string());
        let inventory = inventory(&args.image, &image)?;
        // Nothing is written about an image whose digests do not match.
        inspect::check(&args.image, image)?;
        described.push((platform.unwrap_or_default(), inventory));
    }
    drop(progress);
    refuse_same_platform(args, &described, &images.names())?;
    for (platform, inventory) in &described {
        if !common.quiet {
            for note in &inventory.notes {
                super::say(|err| writeln!(err, "note: {}", one_line(note)));
            }
        }
        for target in &targets {
            match count {
                1 => write(target, inventory)?,
                _ => write(&target.of_platform(platform), inventory)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was asked for: SPDX on standard output if nothing was.
fn targets(args: &SbomArgs) -> Vec<SbomTarget> {
    match args.output.is_empty() {
        true => vec![SbomTarget {
            format: SbomFormat::Spdx,
            path: None,
        }],
        false => args.output.clone(),
    }
}

/// Refuses several images whose documents would have the same name.
fn refuse_same_platform(
    args: &SbomArgs,
    described: &[(String, Inventory)],
    names: &[String],
) -> Result<(), CliError> {
    for (number, (platform, _)) in described.iter().enumerate() {
        if described[..number]
            .iter()
            .any(|(other, _)| other == platform)
        {
            return Err(CliError::Usage(format!(
                "{} holds several images for {platform}: {}; choose one with IMAGE#NAME",
                args.image.display(),
                names.join(", ")
            )));
        }
    }
    Ok(())
}

fn write(target: &SbomTarget, inventory: &Inventory) -> Result<(), CliError> {
    let Some(path) = target.file() else {
        let mut out = super::stdout();
        target.format.write(inventory, &mut out)?;
        out.flush()?;
        return Ok(());
    };
    let fail = |error| OutputError::Io(path.to_path_buf(), error);
    match Output::create(path)? {
        Output::Device(mut device) => target.format.write(inventory, &mut device).map_err(fail)?,
        Output::File(mut file) => {
            target.format.write(inventory, &mut file).map_err(fail)?;
            if let Some(signal) = file.interrupted() {
                return Err(CliError::Interrupted(signal));
            }
            file.publish()?;
        }
    }
    Ok(())
}

fn inventory(path: &Path, image: &Image) -> Result<Inventory, CliError> {
    let description = image.description.as_ref();
    let start = Start::of(image);
    let source = Source::of_image(path, image.view(), &start.working_dir);
    let environment = source.environment(&[], Environment::with_variables(&start.env));
    let mut graph = Graph::new(&source, &environment, &start.env);
    // An image that starts nothing has no reasons but those of its record.
    let _ = add_started(&mut graph, image, path, &source);
    add_recorded(&mut graph, image, &source);
    let created = description.and_then(|description| description.config.created().as_ref());
    let created = created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let created = created.and_then(|time| u64::try_from(time.as_second()).ok());
    let tag = description.and_then(|description| description.tags.first());
    let file = || path.file_name().unwrap_or(path.as_os_str());
    let subject = ImageSubject {
        name: tag.map_or_else(|| file().to_string_lossy().into_owned(), Clone::clone),
        digest: description.and_then(|description| description.digest.clone()),
        architecture: description
            .map(|description| description.platform.architecture.clone())
            .unwrap_or_default(),
        created: match created {
            Some(created) => created,
            None => source_date_epoch()?,
        },
    };
    Ok(of_image(image, subject, &graph)?)
}
