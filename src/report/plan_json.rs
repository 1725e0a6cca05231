//! `slimpack --json FILE...`: the plan of a pack and its output, as JSON of schema 1. Fields may be
//! added, never renamed.

use std::path::Path;

use serde::Serialize;

use super::plan::served;
use crate::image::{Blob, Written};
use crate::needs::Hint;
use crate::pack::{Census, MissingLibrary, PackedProgram, Plan, StrippedFile};
use crate::rootfs::{Content, RootfsNode};

#[derive(Serialize)]
struct PlanDocument<'a> {
    schema: u32,
    tags: Vec<String>,
    platform: String,
    programs: Vec<PlanProgram>,
    files: usize,
    links: usize,
    bytes: u64,
    entries: Vec<PlanEntry>,
    needs: Vec<PlanNeed>,
    hints: Vec<PlanHint>,
    warnings: Vec<String>,
    stripped: Vec<PlanStripped>,
    not_stripped: Vec<PlanNotStripped>,
    strippable_bytes: u64,
    linked_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<PlanMinimized<'a>>,
    missing: Vec<PlanMissing>,
    missed_calls: Vec<PlanMissedCall>,
    written: Option<PlanOutput>,
}

#[derive(Serialize)]
struct PlanProgram {
    file: String,
    path: String,
    linkage: &'static str,
    libc: Option<&'static str>,
}

#[derive(Serialize)]
struct PlanEntry {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "is_root")]
    uid: u32,
    #[serde(skip_serializing_if = "is_root")]
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct PlanNeed {
    need: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct PlanHint {
    need: &'static str,
    why: String,
    adds: String,
    flag: String,
    names: Vec<String>,
    /// Number of programs with the same hint, besides the one in `why`.
    more_programs: usize,
}

/// The image that was minimized.
#[derive(Serialize)]
struct PlanMinimized<'a> {
    image: String,
    before: &'a Census,
    after: &'a Census,
}

#[derive(Serialize)]
struct PlanStripped {
    path: String,
    before: u64,
    after: u64,
}

#[derive(Serialize)]
struct PlanNotStripped {
    path: String,
    why: String,
}

#[derive(Serialize)]
struct PlanMissing {
    name: String,
    program: String,
    needed_by: Vec<String>,
}

#[derive(Serialize)]
struct PlanMissedCall {
    symbol: String,
    caller: String,
}

#[derive(Serialize)]
struct PlanOutput {
    path: String,
    bytes: u64,
    image_id: Option<String>,
    manifest: Option<String>,
    layer: String,
    diff_id: String,
}

/// The plan as one JSON object on one line. `written` is the output, the index of this plan's image
/// in it, and its path.
///
/// # Errors
/// Never for real plans; the type is that of the serializer.
pub fn plan_json(
    plan: &Plan,
    written: Option<(&Written, usize, &Path)>,
) -> serde_json::Result<String> {
    let entries: Vec<PlanEntry> = plan
        .rootfs
        .nodes()
        .filter_map(|(path, node)| entry(path, node))
        .collect();
    let count = |kind: &str| entries.iter().filter(|entry| entry.kind == kind).count();
    let settings = &plan.settings;
    let stripping = &plan.stripping;
    let document = PlanDocument {
        schema: 1,
        tags: settings
            .tags
            .iter()
            .map(|tag| tag.familiar.clone())
            .collect(),
        platform: settings.platform.to_string(),
        programs: plan.programs.iter().map(PlanProgram::from).collect(),
        files: count("file"),
        links: count("link"),
        bytes: plan.rootfs.bytes(),
        needs: served(plan)
            .into_iter()
            .map(|(need, reason)| PlanNeed { need, reason })
            .collect(),
        hints: plan.hints.iter().map(PlanHint::from).collect(),
        warnings: [plan.unserved.clone(), super::plan::preload_warnings(plan)].concat(),
        from: plan.minimized.as_ref().map(|minimized| PlanMinimized {
            image: text(&minimized.image),
            before: &minimized.before,
            after: &minimized.after,
        }),
        stripped: stripping.files.iter().map(PlanStripped::from).collect(),
        not_stripped: stripping
            .left_alone
            .iter()
            .map(|(path, why)| PlanNotStripped {
                path: text(path),
                why: why.to_string(),
            })
            .collect(),
        strippable_bytes: stripping.could_save,
        linked_bytes: plan.linked,
        missing: plan.missing.iter().map(PlanMissing::from).collect(),
        missed_calls: plan
            .missed_calls
            .iter()
            .map(|call| PlanMissedCall {
                symbol: call.symbol.to_string(),
                caller: text(&call.caller),
            })
            .collect(),
        written: written.map(|(written, number, path)| PlanOutput::of(written, number, path)),
        entries,
    };
    serde_json::to_string(&document)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl From<&PackedProgram> for PlanProgram {
    fn from(program: &PackedProgram) -> Self {
        Self {
            file: text(&program.typed),
            path: text(&program.path),
            linkage: match program.is_script {
                true => "script",
                false => program.closure.program().object.linkage().as_str(),
            },
            libc: program.closure.rules.as_ref().map(|rules| rules.libc()),
        }
    }
}

impl From<&Hint> for PlanHint {
    fn from(hint: &Hint) -> Self {
        Self {
            need: hint.need,
            why: hint.why.clone(),
            adds: hint.adds.clone(),
            names: hint.names.clone(),
            flag: hint.flag.clone(),
            more_programs: hint.more,
        }
    }
}

impl From<&StrippedFile> for PlanStripped {
    fn from(file: &StrippedFile) -> Self {
        Self {
            path: text(&file.path),
            before: file.strip.before(),
            after: file.strip.after(),
        }
    }
}

impl From<&MissingLibrary> for PlanMissing {
    fn from(missing: &MissingLibrary) -> Self {
        Self {
            name: missing.name.display().to_string(),
            program: text(&missing.program),
            needed_by: missing.requesters.iter().map(|path| text(path)).collect(),
        }
    }
}

impl PlanOutput {
    fn of(written: &Written, number: usize, path: &Path) -> Self {
        let image = &written.images[number];
        Self {
            path: text(path),
            bytes: written.size,
            image_id: image.config.as_ref().map(Blob::digest),
            manifest: image.manifest.as_ref().map(Blob::digest),
            layer: image.layer.blob.digest(),
            diff_id: image.layer.plain.digest(),
        }
    }
}

/// Whether an ID is root's, which is omitted.
fn is_root(id: &u32) -> bool {
    *id == 0
}

/// The entry of a node; `None` for a directory that only holds other nodes.
fn entry(path: &Path, node: &RootfsNode) -> Option<PlanEntry> {
    let mut entry = PlanEntry {
        path: path.display().to_string(),
        kind: "folder",
        bytes: None,
        mode: None,
        uid: node.owner.uid,
        gid: node.owner.gid,
        capabilities: None,
        target: None,
        reasons: node.reasons.iter().map(ToString::to_string).collect(),
    };
    match &node.content {
        Content::File(file) => {
            entry.kind = "file";
            entry.bytes = Some(file.size());
            entry.mode = Some(format!("{:04o}", file.mode));
            entry.capabilities = file
                .capabilities
                .map(|capabilities| capabilities.to_string());
        }
        Content::Symlink(target) => {
            entry.kind = "link";
            entry.target = Some(target.display().to_string());
        }
        Content::Directory(_) if node.reasons.is_empty() => return None,
        Content::Directory(mode) => entry.mode = Some(format!("{mode:04o}")),
    }
    Some(entry)
}
