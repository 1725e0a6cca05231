//! The bills of materials of a pack (`--sbom`).
//!
//! In: plans, and the digests of the images when they are known. Out: documents, which are written when
//! everything else has been, and attached to images that are pushed.

use std::io::Write;
use std::path::Path;

use super::ConsoleOutput;
use super::target::{place, refuse_inputs, refuse_to_replace_input};
use crate::cli::args::{Common, PackArgs};
use crate::cli::error::CliError;
use crate::cli::registry::Attachment;
use crate::image::{Blob, Written};
use crate::output::{Output, OutputError};
use crate::pack::Plan;
use crate::sbom::{Inventory, SbomTarget, of_plan};

/// The bills of materials of the images of one pack.
pub(super) struct Bills<'p> {
    plans: &'p [Plan],
    /// For each plan and each document: where it goes.
    outputs: Vec<BillOutput>,
    digests: Vec<Option<String>>,
    inventories: Vec<Inventory>,
    attachments: Vec<Attachment>,
}

struct BillOutput {
    plan: usize,
    target: SbomTarget,
    /// `None` for standard output.
    output: Option<Output>,
}

/// Whether a bill of materials goes to standard output.
pub(super) fn is_on_stdout(args: &PackArgs) -> bool {
    args.sbom.iter().any(|target| target.path.is_none())
}

/// Refuses the path of another output.
pub(super) fn refuse_same_file(
    args: &PackArgs,
    others: [Option<&Path>; 2],
) -> Result<(), CliError> {
    let files = args.sbom.iter().filter_map(SbomTarget::file);
    let mut taken: Vec<_> = others.into_iter().flatten().map(place).collect();
    for file in files {
        let at = place(file);
        if taken.contains(&at) {
            return Err(CliError::Usage(format!(
                "cannot write two outputs to {}; name another --sbom",
                file.display()
            )));
        }
        taken.push(at);
    }
    Ok(())
}

impl<'p> Bills<'p> {
    /// Opens the outputs: one that cannot be written stops the pack before anything is.
    pub fn open(args: &PackArgs, plans: &'p [Plan]) -> Result<Self, CliError> {
        let mut bills = Self {
            plans,
            outputs: Vec::new(),
            digests: vec![None; plans.len()],
            inventories: Vec::new(),
            attachments: Vec::new(),
        };
        if args.sbom.is_empty() {
            return Ok(bills);
        }
        if args.output.is_none() {
            refuse_same_file(args, [None, None])?;
        }
        if is_on_stdout(args) {
            refuse_stdout(args, plans)?;
        }
        for target in &args.sbom {
            for (plan, of) in plans.iter().enumerate() {
                let target = match plans.len() {
                    1 => target.clone(),
                    _ => target.of_platform(&of.settings.platform.to_string()),
                };
                if let Some(file) = target.file() {
                    refuse_to_replace_input(file, &args.files)?;
                    refuse_inputs(plans, &[Some(file)])?;
                }
                let output = target.file().map(Output::create).transpose()?;
                bills.outputs.push(BillOutput {
                    plan,
                    target,
                    output,
                });
            }
        }
        Ok(bills)
    }

    /// Takes note of the digests of the images.
    pub fn know(&mut self, written: &Written) {
        for (digest, image) in self.digests.iter_mut().zip(&written.images) {
            *digest = digest.take().or(image.manifest.as_ref().map(Blob::digest));
        }
    }

    fn take_stock(&mut self) -> Result<(), CliError> {
        if self.inventories.is_empty() && !self.outputs.is_empty() {
            for (plan, digest) in self.plans.iter().zip(&self.digests) {
                self.inventories.push(of_plan(plan, digest.clone())?);
            }
        }
        Ok(())
    }

    /// The documents to attach to the images, by now with their digests.
    #[cfg(feature = "registry")]
    pub fn attachments(&mut self) -> Result<&[Attachment], CliError> {
        self.take_stock()?;
        for output in &self.outputs {
            let (format, inventory) = (output.target.format, &self.inventories[output.plan]);
            // The same format in two files is one document.
            let is_known = self
                .attachments
                .iter()
                .any(|known| (known.image, known.media_type) == (output.plan, format.media_type()));
            if is_known {
                continue;
            }
            let mut bytes = Vec::new();
            format.write(inventory, &mut bytes)?;
            self.attachments.push(Attachment {
                image: output.plan,
                media_type: format.media_type(),
                name: format!("sbom{}", format.suffix()),
                created: inventory.time(),
                bytes,
            });
        }
        Ok(&self.attachments)
    }

    /// Nothing can be pushed.
    #[cfg(not(feature = "registry"))]
    pub fn attachments(&mut self) -> Result<&[Attachment], CliError> {
        Ok(&self.attachments)
    }

    /// Writes the documents, and what is to be said about them.
    pub fn publish(
        mut self,
        args: &PackArgs,
        common: &Common,
        said: &mut ConsoleOutput,
    ) -> Result<(), CliError> {
        self.take_stock()?;
        if !common.quiet {
            for note in self
                .inventories
                .iter()
                .flat_map(|inventory| &inventory.notes)
            {
                writeln!(said.err, "note: {}", crate::vfs::one_line(note))?;
            }
        }
        for BillOutput {
            plan,
            target,
            output,
        } in self.outputs
        {
            let inventory = &self.inventories[plan];
            let path = target.file().unwrap_or(Path::new("-"));
            let fail = |error| OutputError::Io(path.to_path_buf(), error);
            match output {
                None => target.format.write(inventory, &mut said.out)?,
                Some(Output::Device(mut device)) => {
                    target.format.write(inventory, &mut device).map_err(fail)?;
                }
                Some(Output::File(mut file)) => {
                    target.format.write(inventory, &mut file).map_err(fail)?;
                    if let Some(signal) = file.interrupted() {
                        return Err(CliError::Interrupted(signal));
                    }
                    if args.if_changed && file.is_same_as_before()? {
                        continue;
                    }
                    match args.sync {
                        true => file.publish_synced()?,
                        false => file.publish()?,
                    }
                }
            }
        }
        Ok(())
    }
}

fn refuse_stdout(args: &PackArgs, plans: &[Plan]) -> Result<(), CliError> {
    let is_other = args.json || args.output.as_deref() == Some(Path::new("-"));
    let count = args
        .sbom
        .iter()
        .filter(|target| target.path.is_none())
        .count();
    let why = if is_other || count > 1 {
        "--sbom and another output cannot share standard output"
    } else if plans.len() > 1 {
        "standard output takes one bill of materials, and each platform has its own"
    } else {
        return Ok(());
    };
    let suffix = args.sbom.last().map_or("", |target| target.format.suffix());
    Err(CliError::Usage(format!("{why}; write --sbom FILE{suffix}")))
}
