//! The files of an image as data for the script: each with what leads to it.
//!
//! In: an image, the graph of `why`, and packages. Out: files in order of their paths, as many as the
//! budget of the page allows; the others as one entry for each of their directories, so that the
//! bytes still add up.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::image::InspectedImage;
use super::shown;
use crate::image::read::Node;
use crate::inspect::FileKind;
use crate::packages::{InstalledPackage, PackedFile, installed};
use crate::vfs::{Capabilities, NodeKind, one_line};

/// Number of leading components of the directories for which files are counted that are not listed.
const DEPTH: usize = 3;
/// Maximum number of characters of a rule, and of the target of a link.
const SHORT: usize = 300;
/// Most of these directories; the rest counts as one.
const MAX_FOLDERS: usize = 1000;

/// What a page may still hold.
pub(super) struct PageBudget {
    /// Files or changes.
    pub files: usize,
    /// Bytes of their texts.
    pub bytes: usize,
    /// Edges of the graph.
    pub edges: usize,
}

impl Default for PageBudget {
    fn default() -> Self {
        Self {
            files: 20_000,
            bytes: 4 << 20,
            edges: 60_000,
        }
    }
}

impl PageBudget {
    /// Takes the room for a file with texts of `length` bytes; false if there is none.
    pub fn admits(&mut self, length: usize) -> bool {
        if self.files == 0 || self.bytes < length {
            return false;
        }
        self.files -= 1;
        self.bytes -= length;
        true
    }
}

/// A file, link or device; or files of a directory that are not listed one by one.
#[derive(Default, Serialize)]
pub(super) struct FileEntry {
    path: String,
    /// Its size; 0 for another name of a file that is listed already.
    bytes: u64,
    kind: &'static str,
    /// Number of files, if they are not listed one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    mode: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<String>,
    /// The target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The file that has the bytes, if this is another name of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    same: Option<usize>,
    layer: u32,
    /// Index of the package that owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<usize>,
    /// The file before it in the shortest chain to it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<usize>,
    /// The last rule of that chain; none if nothing leads to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<usize>,
}

impl FileEntry {
    /// Whether it is one file.
    pub fn is_listed(&self) -> bool {
        self.files.is_none()
    }
}

/// All that the script gets to know about an image.
#[derive(Default, Serialize)]
pub(super) struct ImageData {
    pub kind: &'static str,
    pub files: Vec<FileEntry>,
    pub rules: Vec<String>,
    /// Which file needs which: the file, the one that it needs, the rule.
    pub edges: Vec<[usize; 3]>,
    pub packages: Vec<String>,
    pub layers: usize,
    /// Number of files that are not listed one by one.
    pub unlisted: usize,
    /// Number of files and bytes of each package.
    #[serde(skip)]
    pub of_packages: Vec<(usize, u64)>,
}

/// The rules, each once.
#[derive(Default)]
struct RuleTexts {
    numbers: HashMap<String, usize>,
    texts: Vec<String>,
}

impl RuleTexts {
    fn number(&mut self, rule: &str) -> usize {
        if let Some(number) = self.numbers.get(rule) {
            return *number;
        }
        self.texts.push(super::cut(rule, SHORT));
        self.numbers.insert(rule.to_owned(), self.texts.len() - 1);
        self.texts.len() - 1
    }
}

/// What is in the image, but its directories.
fn entries<'i>(image: &InspectedImage<'i>) -> impl Iterator<Item = (PathBuf, u32, &'i Node)> {
    let all = image.image.tree.walk().skip(1);
    all.filter(|(.., node)| node.kind() != NodeKind::Directory)
}

/// The packages of the image, with the positions of what they own among its [`entries`].
pub(super) fn packages(image: &InspectedImage<'_>) -> Vec<InstalledPackage> {
    let paths: Vec<PathBuf> = entries(image).map(|(path, ..)| path).collect();
    let files: Vec<PackedFile<'_>> = paths
        .iter()
        .map(|path| PackedFile {
            source: path,
            image: path,
            is_changed: false,
            note: None,
        })
        .collect();
    installed(image.view, &files, true)
}

/// Their names; with the architecture where one is installed for several.
fn names(packages: &[InstalledPackage]) -> Vec<String> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for package in packages {
        *times.entry(&package.name).or_default() += 1;
    }
    let name = |package: &InstalledPackage| match times[package.name.as_str()] {
        1 => shown(&package.name),
        _ => shown(&format!("{}:{}", package.name, package.architecture)),
    };
    packages.iter().map(name).collect()
}

impl ImageData {
    pub fn of(
        image: &InspectedImage<'_>,
        packages: &[InstalledPackage],
        budget: &mut PageBudget,
    ) -> Self {
        let steps = image.started.last_steps();
        let listed = listed(image, &steps, budget);
        let mut data = Self {
            kind: "image",
            of_packages: vec![(0, 0); packages.len()],
            packages: names(packages),
            layers: image.image.layers.len(),
            ..Self::default()
        };
        let owners: HashMap<usize, usize> = packages
            .iter()
            .enumerate()
            .flat_map(|(number, package)| package.files.iter().map(move |&file| (file, number)))
            .collect();
        let mut places: HashMap<PathBuf, usize> = HashMap::new();
        let mut names: HashMap<u32, Option<usize>> = HashMap::new();
        let mut folders: BTreeMap<PathBuf, (usize, u64)> = BTreeMap::new();
        for (position, (path, number, node)) in entries(image).enumerate() {
            let is_file = node.kind() == NodeKind::File;
            let first = names.get(&number).copied();
            let bytes = if first.is_some() { 0 } else { node.size };
            let package = owners.get(&position).copied();
            if let Some((files, all)) = package.and_then(|at| data.of_packages.get_mut(at)) {
                *files += usize::from(is_file && first.is_none());
                *all = all.saturating_add(bytes);
            }
            let is_listed = listed.as_ref().is_none_or(|listed| listed.contains(&path));
            names
                .entry(number)
                .or_insert(is_listed.then_some(data.files.len()));
            if !is_listed {
                data.unlisted += 1;
                let folder = match directory(&path) {
                    folder if folders.len() < MAX_FOLDERS || folders.contains_key(&folder) => {
                        folder
                    }
                    _ => PathBuf::from("/"),
                };
                let (files, all) = folders.entry(folder).or_default();
                (*files, *all) = (*files + 1, all.saturating_add(bytes));
                continue;
            }
            data.files.push(FileEntry {
                bytes,
                package,
                same: first.flatten().filter(|_| is_file),
                ..entry(image, &path, node)
            });
            places.insert(path, data.files.len() - 1);
        }
        let mut rules = RuleTexts::default();
        data.add_steps(&steps, &places, &mut rules);
        data.add_edges(image, &places, &mut rules, budget);
        data.rules = rules.texts;
        data.files.extend(folders.into_iter().map(rest));
        data
    }

    /// Notes what leads to each file.
    fn add_steps(
        &mut self,
        steps: &BTreeMap<&Path, (Option<&Path>, &str)>,
        places: &HashMap<PathBuf, usize>,
        rules: &mut RuleTexts,
    ) {
        for (path, (by, rule)) in steps {
            let by = by.map(|by| places.get(by).copied());
            // Without the file before it, a chain would begin in the middle.
            if let (Some(at), false) = (places.get(*path), by == Some(None)) {
                self.files[*at].by = by.flatten();
                self.files[*at].rule = Some(rules.number(rule));
            }
        }
    }

    fn add_edges(
        &mut self,
        image: &InspectedImage<'_>,
        places: &HashMap<PathBuf, usize>,
        rules: &mut RuleTexts,
        budget: &mut PageBudget,
    ) {
        let mut seen = HashSet::new();
        for (by, to, rule) in image.started.edges().chain(image.installed.edges()) {
            let (Some(by), Some(to)) = (places.get(by), places.get(to)) else {
                continue;
            };
            // A pair may have several rules, as different processes resolve them; one is enough.
            if budget.edges > 0 && seen.insert((*by, *to)) {
                budget.edges -= 1;
                self.edges.push([*by, *to, rules.number(rule)]);
            }
        }
    }
}

/// The numbers below `count` in order. A sort of its own for each type would be a tenth of the room.
pub(super) fn sorted(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|left, right| compare(*left, *right));
    order
}

/// The files to list, if not all of them: those to which something leads first, then the largest.
fn listed(
    image: &InspectedImage<'_>,
    steps: &BTreeMap<&Path, (Option<&Path>, &str)>,
    budget: &mut PageBudget,
) -> Option<HashSet<PathBuf>> {
    let nodes = image.image.tree.walk().skip(1);
    let mut paths: Vec<(bool, u64, PathBuf)> = nodes
        .filter(|(_, _, node)| node.kind() != NodeKind::Directory)
        .map(|(path, _, node)| (!steps.contains_key(path.as_path()), node.size, path))
        .collect();
    let all: usize = paths
        .iter()
        .map(|(_, _, path)| path.as_os_str().len())
        .sum();
    if paths.len() <= budget.files && all <= budget.bytes {
        budget.files -= paths.len();
        budget.bytes -= all;
        return None;
    }
    let order = sorted(paths.len(), &|left, right| {
        let (left, right) = (&paths[left], &paths[right]);
        let by_size = left.0.cmp(&right.0).then(right.1.cmp(&left.1));
        by_size.then_with(|| left.2.cmp(&right.2))
    });
    let admitted = order.into_iter().map(|at| mem::take(&mut paths[at].2));
    Some(
        admitted
            .take_while(|path| budget.admits(path.as_os_str().len()))
            .collect(),
    )
}

/// The entry for files of a directory that are not listed.
fn rest((folder, (files, bytes)): (PathBuf, (usize, u64))) -> FileEntry {
    FileEntry {
        path: one_line(&folder.display().to_string()),
        bytes,
        kind: "rest",
        files: Some(files),
        ..FileEntry::default()
    }
}

/// The directory for which a file counts that is not listed.
fn directory(path: &Path) -> PathBuf {
    let parent = path.parent().unwrap_or(Path::new("/"));
    parent.components().take(DEPTH + 1).collect()
}

fn entry(image: &InspectedImage<'_>, path: &Path, node: &Node) -> FileEntry {
    let kind = match FileKind::of(image.view, path, node) {
        Some(FileKind::Program) => "program",
        Some(FileKind::Library) => "library",
        Some(FileKind::Script) => "script",
        Some(FileKind::Data) => "data",
        Some(FileKind::Link) => "link",
        None => "special",
    };
    FileEntry {
        path: one_line(&path.display().to_string()),
        kind,
        mode: format!("{:04o}", node.mode),
        owner: format!("{}:{}", node.uid, node.gid),
        capabilities: node.capabilities.as_deref().map(Capabilities::text),
        target: node
            .target()
            .map(|target| super::cut(&target.display().to_string(), SHORT)),
        layer: node.layer,
        ..FileEntry::default()
    }
}
