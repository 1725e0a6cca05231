//! `slimpack cat IMAGE PATH`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::args::{CatArgs, Common};
use super::error::CliError;
use super::inspect::{self, Whole};
use crate::image::{LayerError, ViewFile, copy_file};
use crate::vfs::NodeKind;

pub(super) fn run(args: &CatArgs, common: &Common) -> Result<ExitCode, CliError> {
    let whole = Whole::read(&args.image, &args.reading, args.layer, common)?;
    let path = Path::new("/").join(&args.path);
    let view = &whole.view;
    let walk = view
        .walk(&path)
        .map_err(|errno| CliError::Usage(whole.lacks(&args.image, &args.path, errno)))?;
    let refuse = |what: &str| {
        Err(CliError::Usage(format!(
            "cannot print {} of {}: it is {what}",
            args.path.display(),
            args.image.display()
        )))
    };
    match walk.metadata.kind {
        NodeKind::File => {}
        NodeKind::Directory => return refuse("a directory; use slimpack extract"),
        NodeKind::Symlink | NodeKind::Special => return refuse("a device node, FIFO or socket"),
    }
    whole.admit(&args.image, walk.metadata.size)?;
    let file = ViewFile::new(view, &walk.real, walk.metadata);
    // Not by way of the stream for text, which takes colors out.
    let mut out = io::stdout().lock();
    copy_file(&file, &walk.real, &mut out)
        .and_then(|()| Ok(out.flush()?))
        .map_err(|error| match error {
            LayerError::Write(error) => CliError::Stdout(error),
            error => inspect::unwritten(Path::new("standard output"), error),
        })?;
    Ok(ExitCode::SUCCESS)
}
