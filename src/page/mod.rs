//! One self-contained page of HTML about images, or about what differs between two.
//!
//! In: what `inspect`, `lint`, `why` and `diff` compute. Out: the bytes of a page that loads nothing
//! and runs nothing but its own script. Text from an image is hostile: the template escapes it, the
//! data for the script is JSON without `<`, `>` and `&`, and the policy of the page allows one style
//! and one script, by their digests.

mod data;
mod diff;
mod files;
mod image;

pub use diff::{ComparedTrees, ElfPair};
pub use image::InspectedImage;

use std::io::Read;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use crate::report::{count, size};
use crate::vfs::one_line;
use diff::{DiffPart, ElfPart};
use files::PageBudget;
use image::ImagePart;

/// The only style of a page, and its only script. `build.rs` packs them: they are as large as the
/// rest of this module.
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.css.gz"));
const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.js.gz"));
/// Maximum number of characters of one text, such as a command of the history.
const LONG: usize = 2000;

/// A page that is being made.
pub struct Page {
    title: String,
    subtitle: String,
    budget: PageBudget,
    sections: Vec<PagePart>,
}

/// A part of the page.
enum PagePart {
    Image(Box<ImagePart>),
    Diff(Box<DiffPart>),
    Elf(ElfPart),
}

/// What the template gets.
#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'p> {
    page: &'p Page,
    policy: String,
    style: &'p str,
    script: &'p str,
    version: &'static str,
}

/// A number with its name, at the top of a section.
struct KeyFact {
    name: &'static str,
    value: String,
    note: String,
    /// The part of the section that has the details.
    part: &'static str,
    /// `good`, `warn`, `bad` or empty.
    mood: &'static str,
}

impl KeyFact {
    fn new(name: &'static str, value: String, note: &str, part: &'static str) -> Self {
        Self {
            name,
            value,
            note: note.to_owned(),
            part,
            mood: "",
        }
    }
}

impl Page {
    /// An empty page.
    pub fn new(title: &str, subtitle: &str) -> Self {
        Self {
            title: one_line(title),
            subtitle: one_line(subtitle),
            budget: PageBudget::default(),
            sections: Vec::new(),
        }
    }

    /// Adds an image.
    pub fn add_image(&mut self, image: &InspectedImage<'_>) {
        let section = ImagePart::of(image, self.sections.len(), &mut self.budget);
        self.sections.push(PagePart::Image(Box::new(section)));
    }

    /// Adds what differs between two images for one platform.
    pub fn add_diff(&mut self, compared: &ComparedTrees<'_>) {
        let section = DiffPart::of(compared, self.sections.len(), &mut self.budget);
        self.sections.push(PagePart::Diff(Box::new(section)));
    }

    /// Adds what differs between two ELF files.
    pub fn add_elf(&mut self, pair: &ElfPair<'_>) {
        self.sections.push(PagePart::Elf(ElfPart::of(pair)));
    }

    /// The page.
    pub fn html(&self) -> Vec<u8> {
        let (style, script) = (unpacked(STYLE), unpacked(SCRIPT));
        let template = PageTemplate {
            page: self,
            policy: format!(
                "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
                source_of(&script),
                source_of(&style)
            ),
            style: &style,
            script: &script,
            version: env!("CARGO_PKG_VERSION"),
        };
        // Fails only if a value that is written does, and these are texts.
        template.render().unwrap_or_default().into_bytes()
    }
}

fn unpacked(packed: &[u8]) -> String {
    let mut text = String::new();
    // The build packed it.
    let _ = GzDecoder::new(packed).read_to_string(&mut text);
    text
}

/// What a policy calls a script or style that it allows (Content Security Policy Level 3, 2.3.1).
fn source_of(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// A text on one line, without what could reorder or hide it, and not too long.
fn shown(text: &str) -> String {
    cut(text, LONG)
}

/// The same with a maximum number of characters.
fn cut(text: &str, most: usize) -> String {
    let mut text = one_line(text);
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// A part of a whole, in percent.
fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "0".to_owned(),
        whole => format!("{:.1}", part as f64 * 100.0 / whole as f64),
    }
}

/// A number with a separator for thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 file", "1,000 files", "3 directories".
fn counted(number: usize, thing: &str) -> String {
    let text = count(number, thing);
    let (_, things) = text.split_once(' ').unwrap_or_default();
    format!("{} {things}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_separator_for_thousands() {
        let numbers = [0, 999, 1000, 12_345_678].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(percent(1, 3), "33.3");
        assert_eq!(percent(1, 0), "0");
    }

    #[test]
    fn the_policy_allows_the_digest_of_a_text() {
        // openssl dgst -sha256 -binary /dev/null | base64
        let empty = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(source_of(""), empty);
        let html = String::from_utf8(Page::new("a", "b").html()).unwrap();
        // In an attribute, a quote is an entity.
        let policy = html.replace("&#39;", "'");
        for (name, start, end) in [
            ("script-src", "<script>", "</script>"),
            ("style-src", "<style>", "</style>"),
        ] {
            let text = html.split(start).nth(1).unwrap();
            let text = text.split(end).next().unwrap();
            assert!(policy.contains(&format!("{name} '{}'", source_of(text))));
        }
    }
}
