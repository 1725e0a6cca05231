//! SPDX 2.3 in JSON.
//!
//! In: an inventory. Out: the document. Packages contain files, the image contains packages and files
//! that no package owns, files depend on what they need, and programs contain the modules that they
//! were built from. Source: the SPDX specification 2.3 and its JSON schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::iter::once;
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;

use super::digests::{short, verification_code};
use super::inventory::{CauseKind, Inventory, MaterialFile, MaterialPackage};
use super::pieces::DocumentPieces;
use super::{Expression, reasons};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";
const UNKNOWN: &str = "NOASSERTION";
/// Longest part of an identifier that is for the reader.
const MAX_NAME: usize = 60;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxDocument<'i> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'i str,
    document_namespace: String,
    creation_info: SpdxCreation,
    has_extracted_licensing_infos: Vec<SpdxLicense>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxCreation {
    created: String,
    creators: [&'static str; 1],
    license_list_version: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage<'i> {
    #[serde(rename = "SPDXID")]
    id: &'i str,
    name: &'i str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version_info: &'i str,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_verification_code: Option<SpdxVerification>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<SpdxChecksum<'i>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage: Option<&'i str>,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<SpdxReference<'i>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    primary_package_purpose: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxVerification {
    package_verification_code_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxChecksum<'i> {
    algorithm: &'static str,
    checksum_value: Cow<'i, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxReference<'i> {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: &'i str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxFile<'i> {
    #[serde(rename = "SPDXID")]
    id: String,
    file_name: String,
    file_types: [&'static str; 1],
    checksums: [SpdxChecksum<'i>; 2],
    license_concluded: &'static str,
    license_info_in_files: [&'static str; 1],
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxLicense {
    license_id: String,
    extracted_text: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxRelationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// Writes the document.
pub(super) fn write(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let keys = inventory.package_keys();
    let packages = inventory.packages.iter().zip(&keys);
    let ids: Vec<String> = packages
        .map(|(package, key)| {
            let name = plain(&package.name);
            format!(
                "SPDXRef-Package-{}-{name}-{}",
                package.kind,
                short(key.as_bytes())
            )
        })
        .collect();
    let purl = super::image_purl(inventory);
    let document = SpdxDocument {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: &inventory.image.name,
        document_namespace: format!("urn:uuid:{}", inventory.uuid("spdx")),
        creation_info: SpdxCreation {
            created: inventory.time(),
            creators: [concat!("Tool: slimpack-", env!("CARGO_PKG_VERSION"))],
            license_list_version: "3.25",
        },
        has_extracted_licensing_infos: references(inventory),
    };
    let image = of_image(inventory, purl.as_deref());
    let packages = inventory.packages.iter().zip(&ids);
    let packages = packages.map(|(package, id)| SpdxPackage::of(package, id, inventory));
    let packages = once(image).chain(of_system(inventory)).chain(packages);
    let mut pieces = DocumentPieces::new(out, &document)?;
    pieces.list("packages", packages)?;
    pieces.list("files", inventory.files.iter().map(SpdxFile::of))?;
    pieces.list("relationships", relationships(inventory, &ids))?;
    pieces.end()
}

fn of_image<'i>(inventory: &'i Inventory, purl: Option<&'i str>) -> SpdxPackage<'i> {
    let image = &inventory.image;
    let digest = image.digest.as_deref();
    let hex = digest.and_then(|digest| digest.strip_prefix("sha256:"));
    let checksum = hex.map(|hex| SpdxChecksum {
        algorithm: "SHA256",
        checksum_value: hex.into(),
    });
    SpdxPackage {
        id: IMAGE,
        name: &image.name,
        version_info: digest.unwrap_or_default(),
        files_analyzed: !inventory.files.is_empty(),
        package_verification_code: SpdxVerification::of(inventory.files.iter()),
        checksums: checksum.into_iter().collect(),
        external_refs: purl.into_iter().map(SpdxReference::of).collect(),
        primary_package_purpose: "CONTAINER",
        ..SpdxPackage::unknown()
    }
}

fn of_system(inventory: &Inventory) -> Option<SpdxPackage<'_>> {
    let distribution = inventory.distribution.as_ref()?;
    Some(SpdxPackage {
        id: SYSTEM,
        name: &distribution.id,
        version_info: distribution.version.as_deref().unwrap_or_default(),
        primary_package_purpose: "OPERATING_SYSTEM",
        ..SpdxPackage::unknown()
    })
}

impl SpdxVerification {
    /// The code of a package with these files; `None` if it has none.
    fn of<'f>(files: impl Iterator<Item = &'f MaterialFile>) -> Option<Self> {
        let mut files = files.peekable();
        files.peek()?;
        let code = verification_code(files.map(|file| &file.sha1));
        Some(Self {
            package_verification_code_value: code.to_string(),
        })
    }
}

impl<'i> SpdxReference<'i> {
    fn of(purl: &'i str) -> Self {
        Self {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: purl,
        }
    }
}

impl<'i> SpdxPackage<'i> {
    fn unknown() -> Self {
        Self {
            download_location: UNKNOWN,
            license_concluded: UNKNOWN,
            license_declared: UNKNOWN.to_owned(),
            copyright_text: UNKNOWN,
            ..Self::default()
        }
    }

    fn of(package: &'i MaterialPackage, id: &'i str, inventory: &'i Inventory) -> Self {
        let maintainer = package.maintainer.as_deref();
        let is_url = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
        let homepage = package.homepage.as_deref().filter(is_url);
        Self {
            id,
            name: &package.name,
            version_info: &package.version,
            supplier: maintainer.map(supplier),
            files_analyzed: !package.files.is_empty(),
            package_verification_code: SpdxVerification::of(
                package.files.iter().map(|&file| &inventory.files[file]),
            ),
            // A database may hold anything there, and a URL has neither blanks nor angles.
            homepage: homepage.filter(|url| url.bytes().all(is_of_url)),
            license_declared: Expression::all(&package.licenses)
                .unwrap_or_else(|| UNKNOWN.to_owned()),
            external_refs: vec![SpdxReference::of(&package.purl)],
            ..Self::unknown()
        }
    }
}

/// `Name <address>` as SPDX has it.
fn supplier(maintainer: &str) -> String {
    let line = maintainer.lines().next().unwrap_or_default();
    match line.strip_suffix('>').and_then(|line| line.split_once('<')) {
        Some((name, address)) => format!("Person: {} ({})", name.trim(), address.trim()),
        None => format!("Person: {}", line.trim()),
    }
}

/// Whether a URL may have this byte (RFC 3986).
pub(super) fn is_of_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

impl SpdxFile<'_> {
    fn of(file: &MaterialFile) -> Self {
        Self {
            id: file_id(file),
            file_name: format!(".{}", file.path.display()),
            file_types: [if file.is_elf { "BINARY" } else { "OTHER" }],
            checksums: [
                SpdxChecksum {
                    algorithm: "SHA1",
                    checksum_value: file.sha1.to_string().into(),
                },
                SpdxChecksum {
                    algorithm: "SHA256",
                    checksum_value: file.sha256.to_string().into(),
                },
            ],
            license_concluded: UNKNOWN,
            license_info_in_files: [UNKNOWN],
            copyright_text: UNKNOWN,
            comment: reasons(file).collect::<Vec<_>>().join("; "),
        }
    }
}

fn file_id(file: &MaterialFile) -> String {
    let name = file.path.file_name().unwrap_or_default();
    let key = short(file.path.as_os_str().as_bytes());
    format!("SPDXRef-File-{}-{key}", plain(&name.to_string_lossy()))
}

/// The part of a name that an identifier may have.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let chars = name.chars().take(MAX_NAME);
    chars.map(|c| if is_plain(c) { c } else { '-' }).collect()
}

/// The names that license references stand for.
fn references(inventory: &Inventory) -> Vec<SpdxLicense> {
    let licenses = inventory
        .packages
        .iter()
        .flat_map(|package| &package.licenses);
    let references = licenses.flat_map(|license| license.references.iter().cloned());
    let references: BTreeMap<String, String> = references.collect();
    let references = references.into_iter();
    references
        .map(|(license_id, name)| SpdxLicense {
            license_id,
            extracted_text: format!("The package calls its license {name}"),
            name,
        })
        .collect()
}

fn relationships<'i>(
    inventory: &'i Inventory,
    ids: &'i [String],
) -> impl Iterator<Item = SpdxRelationship> + 'i {
    let related = |from: &str, kind: &'static str, to: &str| SpdxRelationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind,
        related_spdx_element: to.to_owned(),
    };
    let described = [related(DOCUMENT, "DESCRIBES", IMAGE)].into_iter();
    let system = of_system(inventory);
    let system = system.map(move |_| related(IMAGE, "CONTAINS", SYSTEM));
    // Modules are in the programs that were built from them.
    let packages = inventory.packages.iter().zip(ids);
    let packages = packages.filter(|(package, _)| !package.is_module());
    let packages = packages.map(move |(_, id)| related(IMAGE, "CONTAINS", id));
    let files = inventory.files.iter().flat_map(move |file| {
        let id = file_id(file);
        let owner = file.package.map_or(IMAGE, |package| &ids[package]);
        let mut all = vec![related(owner, "CONTAINS", &id)];
        all.extend(
            file.modules
                .iter()
                .map(|&module| related(&id, "CONTAINS", &ids[module])),
        );
        for (by, kind) in file.leading() {
            let by = file_id(&inventory.files[by]);
            all.push(match kind {
                CauseKind::Needed => related(&by, "DEPENDS_ON", &id),
                CauseKind::Opened => related(&id, "RUNTIME_DEPENDENCY_OF", &by),
            });
        }
        all
    });
    described.chain(system).chain(packages).chain(files)
}
