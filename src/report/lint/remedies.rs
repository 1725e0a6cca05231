//! What would fix an image: lines for a Dockerfile, and options of slimpack.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::remedy::{PackageManager, Remedies, Remedy};
use crate::vfs::one_line;

/// Writes the lines, if there are any.
///
/// # Errors
/// When `out` fails.
pub(super) fn remedies(remedies: &Remedies, out: &mut dyn Write) -> io::Result<()> {
    if let Some(line) = install(remedies) {
        writeln!(out, "  in its Dockerfile:\n    {}", one_line(&line))?;
    }
    if !remedies.files.is_empty() {
        writeln!(
            out,
            "  or copy the files (docker build --build-context host=/):"
        )?;
    }
    for file in &remedies.files {
        let line = format!(
            "COPY --from=host {} {}",
            word(file, true),
            word(file, false)
        );
        writeln!(out, "    {}", one_line(&line))?;
    }
    if !remedies.files.is_empty() {
        writeln!(out, "  or pack it with:")?;
    }
    for option in options(remedies) {
        writeln!(out, "    {}", one_line(&option))?;
    }
    if !remedies.unknown.is_empty() {
        let names = remedies.unknown.join(", ");
        writeln!(out, "  not found: {}", one_line(&names))?;
    }
    Ok(())
}

/// The same as JSON.
pub(super) fn remedies_json(remedies: &Remedies) -> Value {
    let files = remedies.files.iter().map(|file| {
        json!({
            "file": file.file.display().to_string(),
            "to": file.to.display().to_string(),
            "package": file.package,
        })
    });
    json!({
        "install": install(remedies),
        "files": files.collect::<Vec<_>>(),
        "options": options(remedies),
        "not_found": remedies.unknown,
    })
}

/// The line that installs the packages of all files.
fn install(remedies: &Remedies) -> Option<String> {
    let packages: Vec<&str> = remedies.packages().into_iter().collect();
    if packages.is_empty() {
        return None;
    }
    let packages = packages.join(" ");
    Some(match remedies.manager? {
        PackageManager::Apt => format!(
            "RUN apt-get update && apt-get install -y --no-install-recommends {packages} && rm -rf /var/lib/apt/lists/*"
        ),
        PackageManager::Apk => format!("RUN apk add --no-cache {packages}"),
    })
}

/// A path in a COPY instruction, which splits words at spaces.
fn word(file: &Remedy, is_source: bool) -> String {
    let path = if is_source { &file.file } else { &file.to };
    path.display().to_string().replace(' ', "\\ ")
}

/// The options of slimpack, each once.
fn options(remedies: &Remedies) -> BTreeSet<String> {
    let options = remedies.files.iter().map(|file| {
        let (from, to) = (file.opened_as.display(), file.to.display());
        match file.opened_as == file.to {
            true => format!("--add {from}"),
            false => format!("--add {from}:{to}"),
        }
    });
    options.collect()
}
