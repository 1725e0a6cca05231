//! Which of the images of one input are read.
//!
//! In: descriptions, a name and a platform. Out: those that have both. One name may belong to an image
//! of each platform.

use super::documents::Description;
use super::error::ReadError;
use crate::reference::Tag;

/// One way of naming an image: whether the image at this place is meant.
type Way<'w> = &'w dyn Fn(usize, &Description) -> bool;

/// The images that are called `wanted`: by a name of theirs as it is written or in full, by their
/// digest or ID, by their number (`@0`), or else by their tag alone.
pub(super) fn of_name(
    images: Vec<Description>,
    wanted: &str,
) -> Result<Vec<Description>, ReadError> {
    let full = Tag::parse(wanted).ok().map(|tag| tag.full);
    let is_full = |name: &String| {
        full.is_some() && Tag::parse(name).ok().map(|tag| tag.full) == full && has_name(name)
    };
    let number = wanted
        .strip_prefix('@')
        .and_then(|number| number.parse().ok());
    let ways: [Way<'_>; 4] = [
        &|at, image| {
            let references = image.tags.iter().chain(&image.references);
            let mut names = references.chain([&image.id]).chain(&image.digest);
            names.any(|name| name == wanted) || number == Some(at)
        },
        &|_, image| image.tags.iter().any(is_full),
        &|_, image| image.tags.iter().any(|name| tag_of(name) == wanted),
        &|_, image| {
            let hex = wanted.strip_prefix("sha256:").unwrap_or(wanted);
            let digests = [Some(&image.id), image.digest.as_ref()];
            let mut digests = digests.into_iter().flatten();
            hex.len() >= SHORTEST_DIGEST
                && digests.any(|digest| {
                    let known = digest.strip_prefix("sha256:");
                    known.is_some_and(|known| known.starts_with(hex))
                })
        },
    ];
    let found = ways.iter().find_map(|is_wanted| {
        let numbered = images.iter().enumerate();
        let found = numbered.filter(|(at, image)| is_wanted(*at, image));
        let found: Vec<_> = found.map(|(_, image)| image.clone()).collect();
        (!found.is_empty()).then_some(found)
    });
    let Some(found) = found else {
        return Err(ReadError::NoSuchImage {
            wanted: wanted.to_owned(),
            has: called(&images),
        });
    };
    match has_one_per_platform(&found) {
        true => Ok(found),
        false => Err(ReadError::SeveralImages {
            wanted: wanted.to_owned(),
            has: called(&found),
        }),
    }
}

/// The fewest digits of a digest that stand for it, as engines print them.
const SHORTEST_DIGEST: usize = 12;

pub(super) fn of_platform(
    images: Vec<Description>,
    wanted: &str,
) -> Result<Vec<Description>, ReadError> {
    let has = images
        .iter()
        .map(|image| image.platform.to_string())
        .collect();
    let matching = |image: &Description| image.platform.matches(wanted);
    let images: Vec<_> = images.into_iter().filter(matching).collect();
    match images.is_empty() {
        true => Err(ReadError::NoSuchPlatform {
            wanted: wanted.to_owned(),
            has,
        }),
        false => Ok(images),
    }
}

/// A tag alone is no name.
fn has_name(name: &str) -> bool {
    name.contains([':', '/'])
}

/// The part after the colon; a tag alone is one.
fn tag_of(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => name,
    }
}

pub(super) fn has_one_per_platform(images: &[Description]) -> bool {
    images.iter().enumerate().all(|(at, image)| {
        let others = &images[..at];
        !others.iter().any(|other| other.platform == image.platform)
    })
}

/// What tells an image from the others: its platform, with its name if others have the same platform.
pub(super) fn label(images: &[Description], number: usize) -> Option<String> {
    if images.len() < 2 {
        return None;
    }
    let image = &images[number];
    let same = images
        .iter()
        .filter(|other| other.platform == image.platform);
    let name = match same.count() {
        1 => String::new(),
        _ => format!("#{}", called_by(image)),
    };
    Some(format!("{name} ({})", image.platform))
}

fn called_by(image: &Description) -> &String {
    let name = image.tags.first().or(image.digest.as_ref());
    name.unwrap_or(&image.id)
}

/// What each image can be asked for by.
pub(super) fn called(images: &[Description]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for image in images {
        let name = called_by(image);
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}
