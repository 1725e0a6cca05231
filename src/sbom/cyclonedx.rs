//! CycloneDX 1.6 in JSON, the version that syft writes.
//!
//! In: an inventory. Out: the document. Packages of the distribution hold their files as components;
//! modules of programs are components of their own, and dependencies of the programs. Source: the
//! CycloneDX specification 1.6 and its JSON schema.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::iter::once;
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;

use super::inventory::{Inventory, MaterialFile, MaterialPackage};
use super::pieces::DocumentPieces;
use super::spdx::is_of_url;
use super::{Expression, reasons};

const IMAGE: &str = "image";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CdxDocument<'i> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: CdxMetadata<'i>,
}

#[derive(Serialize)]
struct CdxMetadata<'i> {
    timestamp: String,
    tools: CdxTools<'i>,
    component: CdxComponent<'i>,
}

#[derive(Serialize)]
struct CdxTools<'i> {
    components: [CdxComponent<'i>; 1],
}

#[derive(Default, Serialize)]
struct CdxComponent<'i> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "String::is_empty")]
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<&'i str>,
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'i str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'i str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<CdxHash<'i>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<CdxLicenseChoice<'i>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<&'i str>,
    #[serde(rename = "externalReferences", skip_serializing_if = "Vec::is_empty")]
    references: Vec<CdxReference<'i>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<CdxProperty<'i>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<CdxComponent<'i>>,
}

#[derive(Serialize)]
struct CdxHash<'i> {
    alg: &'static str,
    content: Cow<'i, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum CdxLicenseChoice<'i> {
    Expression(String),
    License(CdxLicense<'i>),
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum CdxLicense<'i> {
    Id(&'i str),
    Name(&'i str),
}

#[derive(Serialize)]
struct CdxReference<'i> {
    #[serde(rename = "type")]
    kind: &'static str,
    url: &'i str,
}

#[derive(Serialize)]
struct CdxProperty<'i> {
    name: &'static str,
    value: Cow<'i, str>,
}

#[derive(Serialize)]
struct CdxDependency<'i> {
    #[serde(rename = "ref")]
    of: String,
    #[serde(rename = "dependsOn", skip_serializing_if = "Vec::is_empty")]
    on: Vec<Cow<'i, str>>,
}

/// Writes the document.
pub(super) fn write(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let keys = inventory.package_keys();
    let purl = super::image_purl(inventory);
    let document = CdxDocument {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: format!("urn:uuid:{}", inventory.uuid("cyclonedx")),
        version: 1,
        metadata: CdxMetadata {
            timestamp: inventory.time(),
            tools: CdxTools {
                components: [CdxComponent {
                    kind: "application",
                    name: "slimpack".to_owned(),
                    version: env!("CARGO_PKG_VERSION"),
                    ..CdxComponent::default()
                }],
            },
            component: CdxComponent {
                purl: purl.as_deref(),
                ..of_image(inventory)
            },
        },
    };
    let packages = inventory.packages.iter().zip(&keys);
    let packages = packages.map(|(package, key)| of_package(package, key, inventory));
    let files = inventory.files.iter().filter(|file| file.package.is_none());
    let components = of_system(inventory).into_iter().chain(packages);
    let mut pieces = DocumentPieces::new(out, &document)?;
    pieces.list("components", components.chain(files.map(of_file)))?;
    pieces.list("dependencies", dependencies(inventory, &keys))?;
    pieces.end()
}

fn of_image(inventory: &Inventory) -> CdxComponent<'_> {
    let image = &inventory.image;
    let digest = image.digest.as_deref();
    let hex = digest.and_then(|digest| digest.strip_prefix("sha256:"));
    let hash = hex.map(|hex| CdxHash {
        alg: "SHA-256",
        content: hex.into(),
    });
    CdxComponent {
        kind: "container",
        reference: IMAGE.to_owned(),
        name: image.name.clone(),
        version: digest.unwrap_or_default(),
        hashes: hash.into_iter().collect(),
        ..CdxComponent::default()
    }
}

fn of_system(inventory: &Inventory) -> Option<CdxComponent<'_>> {
    let distribution = inventory.distribution.as_ref()?;
    let version = distribution.version.as_deref().unwrap_or_default();
    Some(CdxComponent {
        kind: "operating-system",
        reference: format!("os:{}@{version}", distribution.id),
        name: distribution.id.clone(),
        version,
        description: distribution.name.as_deref(),
        ..CdxComponent::default()
    })
}

fn of_package<'i>(
    package: &'i MaterialPackage,
    key: &str,
    inventory: &'i Inventory,
) -> CdxComponent<'i> {
    let homepage = package.homepage.as_deref().filter(|url| {
        let is_url = url.starts_with("http://") || url.starts_with("https://");
        is_url && url.bytes().all(is_of_url)
    });
    CdxComponent {
        kind: "library",
        reference: key.to_owned(),
        publisher: package.maintainer.as_deref(),
        name: package.name.clone(),
        version: &package.version,
        licenses: licenses(&package.licenses),
        purl: Some(&package.purl),
        references: homepage
            .map(|url| CdxReference {
                kind: "website",
                url,
            })
            .into_iter()
            .collect(),
        components: package
            .files
            .iter()
            .map(|&file| of_file(&inventory.files[file]))
            .collect(),
        ..CdxComponent::default()
    }
}

/// One expression, or names: a list has no expressions in it.
fn licenses(expressions: &[Expression]) -> Vec<CdxLicenseChoice<'_>> {
    if expressions.iter().any(|expression| expression.is_compound) {
        let all = Expression::all(expressions);
        return all.map(CdxLicenseChoice::Expression).into_iter().collect();
    }
    let licenses = expressions
        .iter()
        .map(|expression| match expression.is_listed {
            true => CdxLicense::Id(&expression.text),
            false => CdxLicense::Name(expression.references.first().map_or("", |(_, name)| name)),
        });
    licenses.map(CdxLicenseChoice::License).collect()
}

fn of_file(file: &MaterialFile) -> CdxComponent<'_> {
    let hash = |alg, digest: String| CdxHash {
        alg,
        content: digest.into(),
    };
    CdxComponent {
        kind: "file",
        reference: file_reference(file),
        name: file.path.display().to_string(),
        hashes: vec![
            hash("SHA-1", file.sha1.to_string()),
            hash("SHA-256", file.sha256.to_string()),
        ],
        properties: reasons(file)
            .map(|value| CdxProperty {
                name: "slimpack:reason",
                value,
            })
            .collect(),
        ..CdxComponent::default()
    }
}

/// A reference that no other file has, whatever bytes are in its name.
fn file_reference(file: &MaterialFile) -> String {
    let mut reference = String::from("file:");
    for &byte in file.path.as_os_str().as_bytes() {
        match byte.is_ascii_alphanumeric() || b"/-._~+".contains(&byte) {
            true => reference.push(byte.into()),
            // Writing to a string cannot fail.
            false => drop(write!(reference, "%{byte:02X}")),
        }
    }
    reference
}

fn dependencies<'i>(
    inventory: &'i Inventory,
    keys: &'i [String],
) -> impl Iterator<Item = CdxDependency<'i>> + 'i {
    let own = inventory.packages.iter().zip(keys);
    let own = own.filter(|(package, _)| !package.is_module());
    let loose = inventory.files.iter().filter(|file| file.package.is_none());
    let image = CdxDependency {
        of: IMAGE.to_owned(),
        on: own
            .map(|(_, key)| key.as_str().into())
            .chain(loose.map(|file| file_reference(file).into()))
            .collect(),
    };
    // What each file leads to, in order.
    let mut on = vec![Vec::new(); inventory.files.len()];
    for (number, file) in inventory.files.iter().enumerate() {
        for (by, _) in file.leading() {
            if on[by].last() != Some(&number) {
                on[by].push(number);
            }
        }
    }
    let files = inventory.files.iter().zip(on);
    let files = files.filter_map(move |(file, on)| {
        let leads = on.iter();
        let leads = leads.map(|&other| file_reference(&inventory.files[other]).into());
        let modules = file
            .modules
            .iter()
            .map(|&module| keys[module].as_str().into());
        let on: Vec<_> = leads.chain(modules).collect();
        (!on.is_empty()).then(|| CdxDependency {
            of: file_reference(file),
            on,
        })
    });
    once(image).chain(files)
}
