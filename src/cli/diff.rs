//! `slimpack diff A B`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::args::{Common, DiffArgs};
use super::error::CliError;
use super::progress::Progress;
use super::{inspect, page};
use crate::bytes::{ReadAt, is_same};
use crate::diff::{ElfChange, Setting, TreeDiff, elf_changes, settings};
use crate::image::read::{Head, Image, Images, Interest};
use crate::inspect::file_bytes;
use crate::page::{ComparedTrees, ElfPair, Page};
use crate::report;
use crate::vfs::HostFile;

/// The differences, as JSON of schema 1.
#[derive(Serialize)]
struct DiffDocument {
    schema: u32,
    a: String,
    b: String,
    equal: bool,
    /// For images: a comparison for each platform.
    images: Vec<Compared>,
    /// For two ELF files: what changed.
    elf: Vec<ElfChange>,
}

#[derive(Serialize)]
struct Compared {
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// `a` or `b` if only that one has an image for this platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    only_in: Option<&'static str>,
    #[serde(flatten)]
    files: TreeDiff,
    config: Vec<Setting>,
    layers: [usize; 2],
    /// Bytes of all files of each.
    #[serde(skip)]
    bytes: [u64; 2],
}

impl Compared {
    fn is_equal(&self) -> bool {
        self.only_in.is_none() && self.files.is_empty() && self.config.is_empty()
    }
}

pub(super) fn run(args: &DiffArgs, common: &Common) -> Result<ExitCode, CliError> {
    page::check(args.html.as_deref(), args.json)?;
    let progress = Progress::start("comparing".to_owned(), None, common.quiet);
    let mut document = DiffDocument {
        schema: 1,
        a: args.a.display().to_string(),
        b: args.b.display().to_string(),
        equal: true,
        images: Vec::new(),
        elf: Vec::new(),
    };
    match (elf_file(&args.a)?, elf_file(&args.b)?) {
        (Some(a), Some(b)) => {
            document.elf = elf_changes(&a, &b);
            document.equal = is_same(&a, &b).map_err(|error| unread(&args.a, error))?;
        }
        (None, None) => {
            document.images = compare_images(args)?;
            document.equal = document.images.iter().all(Compared::is_equal);
        }
        (Some(_), None) => return Err(unrelated(&args.a, &args.b)),
        (None, Some(_)) => return Err(unrelated(&args.b, &args.a)),
    }
    drop(progress);
    if let Some(path) = &args.html {
        page::write(&document.page(), path, common, args.json)?;
    }
    let mut out = super::text_output(!args.json);
    if args.json {
        writeln!(out, "{}", super::json(&document)?)?;
    } else if !common.quiet && args.html.is_none() {
        document.tell(&mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::from(u8::from(!document.equal)))
}

impl DiffDocument {
    /// The page about the differences.
    fn page(&self) -> Page {
        let mut page = Page::new(&format!("{} → {}", self.a, self.b), "slimpack diff");
        for compared in &self.images {
            page.add_diff(&ComparedTrees {
                platform: compared.platform.as_deref(),
                names: match compared.only_in {
                    Some("a") => [Some(&self.a), None],
                    Some(_) => [None, Some(&self.b)],
                    None => [Some(&self.a), Some(&self.b)],
                },
                files: &compared.files,
                bytes: compared.bytes,
                config: &compared.config,
                layers: compared.layers,
                is_equal: compared.is_equal(),
            });
        }
        if self.images.is_empty() {
            page.add_elf(&ElfPair {
                changes: &self.elf,
                is_equal: self.equal,
            });
        }
        page
    }

    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        for compared in &self.images {
            if let (Some(platform), true) = (&compared.platform, self.images.len() > 1) {
                writeln!(out, "{platform}")?;
            }
            match compared.only_in {
                Some("a") => writeln!(out, "only in {}", self.a)?,
                Some(_) => writeln!(out, "only in {}", self.b)?,
                None => {}
            }
            report::diff(&compared.files, out)?;
            report::diff_settings(&compared.config, out)?;
            let is_pair = compared.only_in.is_none();
            match compared.layers {
                _ if !is_pair => {}
                [0, 0] => {}
                [0, _] | [_, 0] => writeln!(
                    out,
                    "only the files are compared: a directory has no configuration and no layers"
                )?,
                [one, other] if one != other => writeln!(out, "layers  {one} → {other}")?,
                _ => {}
            }
            if compared.is_equal() && is_pair && compared.layers[0] != compared.layers[1] {
                writeln!(out, "equal")?;
            }
        }
        if self.elf.is_empty() && self.images.is_empty() && !self.equal {
            return writeln!(out, "the contents of their sections differ");
        }
        report::diff_elf(&self.elf, out)
    }
}

/// The file at a path, if it is an ELF file.
fn elf_file(path: &Path) -> Result<Option<HostFile>, CliError> {
    if inspect::is_name(path) {
        return Ok(None);
    }
    let file = File::open(path).map_err(|error| unread(path, error))?;
    if !file
        .metadata()
        .map_err(|error| unread(path, error))?
        .is_file()
    {
        return Ok(None);
    }
    let file = HostFile::new(file).map_err(|error| unread(path, error))?;
    let start = file
        .prefix(0, Head::LENGTH as u64)
        .map_err(|error| unread(path, error))?;
    Ok((Head::of(&start) == Head::Elf).then_some(file))
}

fn unread(path: &Path, error: io::Error) -> CliError {
    CliError::File(path.to_path_buf(), error)
}

fn unrelated(elf: &Path, other: &Path) -> CliError {
    CliError::Usage(format!(
        "cannot compare {} with {}: one is an ELF file, the other is not; name two images, two \
         directories or two ELF files",
        elf.display(),
        other.display()
    ))
}

fn compare_images(args: &DiffArgs) -> Result<Vec<Compared>, CliError> {
    if args.a == Path::new("-") && args.b == Path::new("-") {
        return Err(CliError::Usage(
            "only one of the images can come from standard input; name a file for the other".into(),
        ));
    }
    let mut left = inspect::open(&args.a, &args.reading, Interest::Contents)?;
    let mut right = inspect::open(&args.b, &args.reading, Interest::Contents)?;
    let left = read_all(&args.a, &mut left)?;
    let right = read_all(&args.b, &mut right)?;
    let mut compared = Vec::new();
    if let ([one], [other]) = (&left[..], &right[..]) {
        compared.push(compare(args, one, other)?);
    } else {
        // Images of several platforms are compared by platform.
        for one in &left {
            let other = right.iter().find(|other| platform(other) == platform(one));
            compared.push(match other {
                Some(other) => compare(args, one, other)?,
                None => only(one, "a"),
            });
        }
        let is_new = |other: &&Image| !left.iter().any(|one| platform(one) == platform(other));
        compared.extend(right.iter().filter(is_new).map(|other| only(other, "b")));
    }
    for (path, images) in [(&args.a, left), (&args.b, right)] {
        for image in images {
            inspect::check(path, image)?;
        }
    }
    Ok(compared)
}

fn read_all(path: &Path, images: &mut Images) -> Result<Vec<Image>, CliError> {
    let numbers = 0..images.count();
    numbers
        .map(|number| inspect::read_one(path, images, number))
        .collect()
}

fn platform(image: &Image) -> Option<String> {
    image
        .description
        .as_ref()
        .map(|description| description.platform.to_string())
}

fn only(image: &Image, side: &'static str) -> Compared {
    Compared {
        platform: platform(image),
        only_in: Some(side),
        files: TreeDiff::default(),
        config: Vec::new(),
        layers: [image.layers.len(); 2],
        bytes: [0, 0],
    }
}

fn compare(args: &DiffArgs, one: &Image, other: &Image) -> Result<Compared, CliError> {
    let files = TreeDiff::of(&one.tree, &other.tree).map_err(|(path, error)| {
        let of = format!(
            "{} of {} or {}",
            path.display(),
            args.a.display(),
            args.b.display()
        );
        CliError::File(of.into(), error)
    })?;
    Ok(Compared {
        platform: platform(one),
        only_in: None,
        files,
        // A bare root has no configuration to compare.
        config: match (&one.description, &other.description) {
            (Some(one), Some(other)) => settings(one, other),
            _ => Vec::new(),
        },
        layers: [one.layers.len(), other.layers.len()],
        bytes: [file_bytes(&one.tree), file_bytes(&other.tree)],
    })
}
