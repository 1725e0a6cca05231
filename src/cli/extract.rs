//! `slimpack extract IMAGE [PATH]...`.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{Common, ExtractArgs};
use super::error::CliError;
use super::inspect::{self, Whole};
use super::progress::Progress;
use crate::image::{
    FolderOptions, FolderOwners, LayerError, LayerSource, ViewTree, has_rights, write_folder,
    write_tar,
};
use crate::output::AtomicFolder;
use crate::report;
use crate::vfs::{Errno, NodeKind, View};

pub(super) fn run(args: &ExtractArgs, common: &Common) -> Result<ExitCode, CliError> {
    let is_tar = args.output == Path::new("-");
    if is_tar && io::stdout().is_terminal() {
        return Err(CliError::Usage(
            "cannot write a tar to a terminal; redirect standard output, or name a directory with \
             -o DIR"
                .to_owned(),
        ));
    }
    // Before anything is read: a directory that is in use stays as it is.
    let folder = match is_tar {
        true => None,
        false => Some(AtomicFolder::create(&args.output, args.force)?),
    };
    let whole = Whole::read(&args.image, &args.reading, args.layer, common)?;
    let changed = |path: &Path| whole.tree.changed(path);
    let mut tree = ViewTree::new(&whole.view, &changed);
    let unwritten = |error| inspect::unwritten(&args.output, error);
    let mut missing = Vec::new();
    for path in &args.paths {
        match reached(&whole.view, &Path::new("/").join(path)) {
            Ok(nodes) => nodes
                .iter()
                .try_for_each(|node| match node {
                    Reached::Itself(path) => tree.add_alone(path),
                    Reached::All(path) => tree.add(path),
                })
                .map_err(unwritten)?,
            Err(errno) => missing.push(whole.lacks(&args.image, path, errno)),
        }
    }
    if !missing.is_empty() {
        return Err(CliError::Usage(missing.join("\n")));
    }
    if args.paths.is_empty() {
        tree.add(Path::new("/")).map_err(unwritten)?;
    }
    whole.admit(&args.image, tree.bytes())?;
    let progress = Progress::start("extracting".to_owned(), Some(tree.bytes()), common.quiet);
    match folder {
        None => write_stream(&tree)?,
        Some(folder) => write_directory(&tree, folder, args)?,
    }
    drop(progress);
    if !common.quiet {
        note(&whole, &tree, args, common)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A node that belongs to a path.
enum Reached {
    /// A link or directory on the way.
    Itself(PathBuf),
    /// Where it leads, with everything below.
    All(PathBuf),
}

/// What makes a path of the image lead to the same node in the extracted tree: the links on the way, and
/// the node. A link that leads nowhere is extracted itself.
fn reached(view: &View, path: &Path) -> Result<Vec<Reached>, Errno> {
    let (walk, at) = match view.walk(path) {
        Ok(walk) => (walk.clone(), walk.real.clone()),
        Err(errno) => {
            let at = view.location(path)?;
            match (view.lookup(&at)?.kind, path.parent()) {
                (NodeKind::Symlink, Some(parent)) => (view.walk(parent)?, at),
                _ => return Err(errno),
            }
        }
    };
    let links = walk.links.iter().map(|link| link.at.clone());
    let on_the_way = links.chain(walk.left.iter().cloned());
    let mut reached: Vec<Reached> = on_the_way.map(Reached::Itself).collect();
    reached.push(Reached::All(at));
    Ok(reached)
}

/// Writes the tree as a tar to standard output.
fn write_stream(tree: &ViewTree<'_>) -> Result<(), CliError> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    write_tar(tree, 0, &mut out)
        .and_then(|()| Ok(out.flush()?))
        .map_err(|error| match error {
            // A tar that is cut off is an error, whoever closed the pipe.
            LayerError::Write(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                CliError::Stdout(error)
            }
            error => inspect::unwritten(Path::new("standard output"), error),
        })
}

/// Writes the tree to a directory, which then appears.
fn write_directory(
    tree: &ViewTree<'_>,
    folder: AtomicFolder,
    args: &ExtractArgs,
) -> Result<(), CliError> {
    let options = FolderOptions {
        time: 0,
        owners: FolderOwners::Privileged,
        go_on: &|| folder.interrupts().check(),
    };
    let result = write_folder(tree, folder.path(), &options);
    if let Some(signal) = folder.interrupts().received() {
        drop(folder);
        return Err(CliError::Interrupted(signal));
    }
    result.map_err(|error| inspect::unwritten(&args.output, error))?;
    Ok(folder.publish()?)
}

/// Reports what was extracted, and what was not.
fn note(
    whole: &Whole,
    tree: &ViewTree<'_>,
    args: &ExtractArgs,
    common: &Common,
) -> Result<(), CliError> {
    let is_all = common.verbose > 0;
    let is_tar = args.output == Path::new("-");
    super::say(|err| {
        if args.paths.is_empty() {
            report::anomalies(&whole.tree.anomalies, is_all, err)?;
        }
        report::left_out(tree.left_out(), is_all, err)?;
        let is_root = rustix::process::geteuid().is_root();
        if !is_tar && !is_root && has_rights(tree) {
            writeln!(
                err,
                "note: only root can set owners, setuid bits and capabilities: {} has none of them; \
                 a tar (-o -) has",
                args.output.display()
            )?;
        }
        Ok(())
    });
    if !is_tar {
        let mut out = super::stdout();
        report::extracted(tree, &args.output, &mut out)?;
        out.flush()?;
    }
    Ok(())
}
