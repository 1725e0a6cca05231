//! Stacked layers: generated stacks against a model of the OCI image specification (`layer.md`) and
//! against umoci, and tars with unusual members.

use crate::{common, image_writer};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use common::{succeed, temporary};
use image_writer::*;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use slimpack::elf::Object;
use slimpack::image::read::Head;
use slimpack::loader::Objects;
use slimpack_test_elf::Elf;
use tar::EntryType;

/// One name in a layer.
#[derive(Clone, Debug)]
struct Change {
    /// For a whiteout the name that it removes, for an opaque whiteout the directory; the root is
    /// "".
    path: String,
    what: What,
    mode: u32,
    owner: (u64, u64),
    has_dot: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    File(String),
    Folder,
    Symlink(String),
    HardLink(String),
    Whiteout,
    Opaque,
}

impl Change {
    fn is_removal(&self) -> bool {
        matches!(self.what, What::Whiteout | What::Opaque)
    }

    fn is_leaf(&self) -> bool {
        !self.is_removal() && self.what != What::Folder
    }

    fn member(&self) -> Member {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let slash = |folder: &str| match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let path = match self.what {
            What::Whiteout => format!("{}.wh.{name}", slash(folder)),
            What::Opaque => format!("{}.wh..wh..opq", slash(&self.path)),
            What::Folder => slash(&self.path),
            _ => self.path.clone(),
        };
        let has_dot = self.has_dot || path.is_empty();
        let path = if has_dot { format!("./{path}") } else { path };
        let member = match &self.what {
            What::File(content) => Member::file(path, content),
            What::Folder => Member::folder(path),
            What::Symlink(target) => Member::symlink(path, target),
            What::HardLink(target) => Member::hard_link(path, target),
            What::Whiteout | What::Opaque => Member::file(path, ""),
        };
        Member {
            mode: self.mode,
            owner: self.owner,
            ..member
        }
    }
}

/// All parent directories of a path, from the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').map(|(at, _)| &path[..at]);
    let root = (!path.is_empty()).then_some("");
    root.into_iter().chain(slashes)
}

fn is_below(path: &str, folder: &str) -> bool {
    above(path).any(|above| above == folder)
}

/// The result of layers by the specification.
#[derive(Clone, Default)]
struct Model {
    names: BTreeMap<String, Named>,
    inodes: u64,
}

#[derive(Clone, PartialEq)]
struct Named {
    text: String,
    is_folder: bool,
    inode: u64,
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        model.insert("", "folder 0755 0:0".into(), true);
        model
    }

    fn is_folder(&self, path: &str) -> Option<bool> {
        self.names.get(path).map(|named| named.is_folder)
    }

    fn insert(&mut self, path: &str, text: String, is_folder: bool) {
        self.inodes += 1;
        let named = Named {
            text,
            is_folder,
            inode: self.inodes,
        };
        self.names.insert(path.to_owned(), named);
    }

    fn remove_below(&mut self, folder: &str) {
        self.names.retain(|path, _| !is_below(path, folder));
    }

    /// Whiteouts apply to the layers below, wherever they are in the archive.
    fn apply(&mut self, layer: &[Change]) {
        for change in layer.iter().filter(|change| change.is_removal()) {
            self.remove_below(&change.path);
            if change.what == What::Whiteout {
                self.names.remove(&change.path);
            }
        }
        for change in layer.iter().filter(|change| !change.is_removal()) {
            self.write(change);
        }
    }

    fn write(&mut self, change: &Change) {
        let Change { path, mode, .. } = change;
        let owner = format!("{}:{}", change.owner.0, change.owner.1);
        for folder in above(path) {
            if self.is_folder(folder).is_none() {
                self.insert(folder, "folder 0755 0:0".into(), true);
            }
        }
        if change.what != What::Folder || self.is_folder(path) != Some(true) {
            self.remove_below(path);
        }
        match &change.what {
            What::Folder => self.insert(path, format!("folder {mode:04o} {owner}"), true),
            What::File(content) => {
                self.insert(path, format!("file {mode:04o} {owner} {content:?}"), false);
            }
            What::Symlink(target) => self.insert(path, format!("link {owner} {target}"), false),
            What::HardLink(target) => {
                let same = self.names[target].clone();
                self.names.insert(path.clone(), same);
            }
            What::Whiteout | What::Opaque => {}
        }
    }

    fn tree(&self) -> Tree {
        let names = self.names.iter();
        tree_of(
            names
                .map(|(path, named)| (format!("/{path}"), named.text.clone(), named.inode))
                .collect(),
        )
    }
}

/// The changes in a layer whose result the specification defines in any order: nothing below a file
/// or link, no name twice, no hard link to a name that the layer removes.
fn defined(lower: &Model, layer: Vec<Change>) -> Vec<Change> {
    let leaves: BTreeSet<String> = layer
        .iter()
        .filter(|change| change.is_leaf())
        .map(|change| change.path.clone())
        .collect();
    let is_in_folder = |change: &Change| {
        let itself = (change.what == What::Opaque).then_some(change.path.as_str());
        let mut folders = above(&change.path).chain(itself);
        folders.all(|folder| !leaves.contains(folder) && lower.is_folder(folder) != Some(false))
    };
    let is_removal = |change: &&Change| change.is_removal() && is_in_folder(change);
    let mut left = lower.clone();
    left.apply(&layer.iter().filter(is_removal).cloned().collect::<Vec<_>>());
    let mut now = left.clone();
    let (mut written, mut implied) = (BTreeSet::new(), BTreeSet::new());
    let mut accept = |change: &Change| {
        let path = &change.path;
        if change.is_removal() {
            return is_in_folder(change);
        }
        // A directory that is removed and created again has its own member, before its contents;
        // otherwise its mode would depend on the order.
        let folders_are_made = above(path).all(|folder| {
            now.is_folder(folder) != Some(false)
                && (written.contains(folder) || lower.is_folder(folder) == left.is_folder(folder))
        });
        let is_taken = written.contains(path) || (change.is_leaf() && implied.contains(path));
        let has_target = match &change.what {
            What::HardLink(target) => {
                target != path && !is_below(target, path) && now.is_folder(target) == Some(false)
            }
            _ => true,
        };
        let is_defined = folders_are_made && !is_taken && has_target;
        if is_defined {
            now.write(change);
            written.insert(path.clone());
            implied.extend(above(path).map(str::to_owned));
        }
        is_defined
    };
    let accepted = layer.iter().filter(|change| accept(change));
    accepted.cloned().collect()
}

fn path(depth: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(select(&["a", "b", "c"][..]), depth).prop_map(|parts| parts.join("/"))
}

fn change() -> impl Strategy<Value = Change> {
    // A script is kept whole even from a compressed layer, so that it can be compared.
    let file = "[a-z]{0,99}".prop_map(|text| What::File(format!("#!{text}")));
    let target = ("|/|\\.\\./", path(1..=3)).prop_map(|(up, path)| format!("{up}{path}"));
    let below = prop_oneof![
        4 => (file, path(1..=3)),
        2 => (target.prop_map(What::Symlink), path(2..=3)),
        5 => (path(1..=3).prop_map(What::HardLink), path(1..=3)),
        2 => (Just(What::Whiteout), path(1..=3)),
        3 => (Just(What::Folder), path(0..=3)),
        1 => (Just(What::Opaque), path(0..=2)),
    ];
    let id = || prop_oneof![Just(0_u64), 0..70_000_u64, Just(3_000_000_000)];
    let mode = prop_oneof![Just(0o755_u32), 0..=0o7777_u32];
    (below, mode, id(), id(), any::<bool>()).prop_map(|((what, path), mode, uid, gid, has_dot)| {
        Change {
            path,
            what,
            mode,
            owner: (uid, gid),
            has_dot,
        }
    })
}

/// A stack of layers, and how each is written.
type Stack = Vec<(Vec<Change>, Format, Packing)>;

fn stack() -> impl Strategy<Value = Stack> {
    let changes = prop::collection::vec(change(), 0..40);
    let format = select(&[Format::Gnu, Format::Pax][..]);
    let packing = select(&Packing::ALL[..]);
    prop::collection::vec((changes, format, packing), 1..=5).prop_map(|layers| {
        let mut model = Model::new();
        let layers = layers.into_iter().map(|(changes, format, packing)| {
            let changes = defined(&model, changes);
            model.apply(&changes);
            (changes, format, packing)
        });
        layers.collect()
    })
}

fn written(stack: &Stack) -> Vec<Layer> {
    let layers = stack.iter().map(|(changes, format, packing)| {
        let members: Vec<_> = changes.iter().map(Change::member).collect();
        Layer::new(&tar(&members, *format), *packing)
    });
    layers.collect()
}

/// A stack that umoci reads as the specification has it.
fn generated(seed: u8) -> Stack {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut stack = stack().new_tree(&mut runner).unwrap().current();
    for (changes, _, packing) in &mut stack {
        // Not every umoci that is about reads zstd.
        if *packing == Packing::Zstd {
            *packing = Packing::Gzip;
        }
        // Linux hands this bit and the group down to the folders that umoci adds.
        for change in changes.iter_mut().filter(|change| !change.is_leaf()) {
            change.mode &= !0o2000;
        }
    }
    stack
}

/// The layers of such a stack.
pub fn generated_layers(seed: u8) -> Vec<Layer> {
    written(&generated(seed))
}

fn expected(stack: &Stack) -> Tree {
    let mut model = Model::new();
    for (changes, ..) in stack {
        model.apply(changes);
    }
    model.tree()
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(1000) })]

    #[test]
    fn a_stack_of_layers_is_the_tree_that_the_specification_makes_of_it(
        stack in stack(), form in 0..4,
    ) {
        let folder = temporary();
        let path = folder.path().join("image");
        let layers = written(&stack);
        match form {
            0 => fs::write(&path, archive(&oci(&layers))).unwrap(),
            1 => fs::write(&path, gzip(&archive(&oci(&layers)))).unwrap(),
            2 => fs::write(&path, archive(&docker(&layers))).unwrap(),
            _ => write_folder(&oci(&layers), &path),
        }
        let image = read(&path).unwrap();
        prop_assert_eq!(tree(&image), expected(&stack));
        prop_assert_eq!(&image.tree.anomalies.kept, &[]);
        prop_assert_eq!(image.verification.finish().unwrap(), vec![]);
    }
}

#[test]
fn a_stack_of_layers_is_the_tree_that_umoci_unpacks() {
    if !has_umoci() {
        return;
    }
    for seed in 0..100 {
        let stack = generated(seed);
        let layers = written(&stack);
        let image = read_layers(&layers).unwrap();
        assert_eq!(tree(&image), unpacked(&layers), "{seed}: {stack:#?}");
    }
}

#[test]
fn links_on_the_way_to_a_member_are_followed_as_umoci_follows_them() {
    if !has_umoci() {
        return;
    }
    let file = |name: &str| Member::file(name, "upper");
    let lower = |target: &str| {
        vec![
            Member::file("usr/lib/x", "lower"),
            Member::symlink("lib", target),
            Member::symlink("lib64", "lib"),
        ]
    };
    let uppers = [
        vec![file("lib/x"), file("lib64/y"), file("lib/new/z")],
        vec![file("lib/.wh.x"), file("lib/y")],
        vec![file("lib64/.wh..wh..opq"), file("lib64/y")],
        vec![Member::folder("lib"), file("lib/y")],
        vec![Member::hard_link("y", "lib64/x"), file(".wh.lib64")],
        vec![Member::symlink("lib/x", "y"), Member::folder("lib/y/z")],
    ];
    for target in ["usr/lib", "/usr/lib", "../../usr/lib", "usr/../usr/./lib/"] {
        for (number, upper) in uppers.iter().enumerate() {
            let layers = [Layer::of(&lower(target)), Layer::of(upper)];
            let image = read_layers(&layers).unwrap();
            assert_eq!(tree(&image), unpacked(&layers), "{target}: {number}");
        }
    }
}

#[test]
fn headers_that_may_be_read_in_several_ways_are_read_as_umoci_reads_them() {
    if !has_umoci() {
        return;
    }
    // A trailing slash means a directory only in the oldest format. If its data were skipped as
    // empty, the member hidden in it would be read.
    let hidden = Member::file("hidden", "").header(Format::Gnu);
    let slash = Member::file("slash/", &hidden.as_bytes()[..]);
    let oldest = Member {
        kind: EntryType::new(0),
        ..slash.clone()
    };
    // Numeric fields that were left blank.
    let mut blank = Member::file("blank", "").header(Format::Gnu);
    blank.as_mut_bytes()[108..124].fill(0);
    blank.as_mut_bytes()[124..136].fill(b' ');
    blank.set_cksum();
    let [slash, oldest] = [slash, oldest].map(|member| member.blocks(Format::Gnu));
    for first in [slash, oldest, raw(&blank, b"")] {
        let tar = [first, gnu(&[Member::file("last", "")])].concat();
        let layers = [Layer::new(&tar, Packing::None)];
        let expected = unpacked(&layers).into_keys().collect::<Vec<_>>();
        let shown = tree(&read_layers(&layers).unwrap());
        assert_eq!(shown.into_keys().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn sparse_members_read_as_the_files_that_gnu_tar_packed() {
    let folder = temporary();
    let etc = folder.path().join("etc");
    fs::create_dir(&etc).unwrap();
    // A sparse file with more parts than fit in one header and one extension block.
    let program = Elf {
        needed: vec!["libx.so".into()],
        ..Elf::default()
    };
    let program = program.bytes();
    let contents = [("etc/few", 3), ("etc/many", 60), ("app", 30)].map(|(name, parts)| {
        let start = if name == "app" { &program[..] } else { b"" };
        let file = fs::File::create(folder.path().join(name)).unwrap();
        file.set_len(parts * 16_384 + 777).unwrap();
        file.write_all_at(start, 0).unwrap();
        for part in 1..parts {
            file.write_all_at(b"part", part * 16_384 + part).unwrap();
        }
        (name, fs::read(folder.path().join(name)).unwrap())
    });
    for arguments in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let path = folder.path().join("layer.tar");
        let mut command = Command::new("tar");
        command.args(["--create", "--sparse", "--hole-detection=raw"]);
        command.args(arguments).arg("--file").arg(&path);
        command.arg("--directory").arg(folder.path());
        succeed(command.args(["etc", "app"]));
        let layer = fs::read(path).unwrap();
        assert!(layer.len() < 1 << 20, "{arguments:?} stores the holes");
        for packing in Packing::ALL {
            let image = read_layers(&[Layer::new(&layer, packing)]).unwrap();
            let view = image.view();
            for (name, whole) in &contents {
                let (path, about) = (format!("/{name}"), format!("{name} {arguments:?}"));
                assert_eq!(node(&image, &path).size, whole.len() as u64, "{about}");
                let walk = view.walk(Path::new(&path)).unwrap();
                if *name == "app" {
                    assert_eq!(node(&image, &path).head(), Head::Elf, "{about}");
                    let facts = view.facts(&walk).unwrap().unwrap();
                    let expected = Object::read(whole).unwrap();
                    assert_eq!(facts.dependencies(), expected.dependencies(), "{about}");
                }
                if *name != "app" || packing == Packing::None {
                    assert!(content(node(&image, &path)) == *whole, "{about}");
                    let read = view.read(Path::new(&path), 2 << 20).unwrap();
                    assert!(read == *whole, "{about}");
                }
            }
            assert_eq!(image.tree.anomalies.kept, []);
        }
    }
}

#[test]
fn the_head_of_a_sparse_file_is_that_of_the_file_and_not_of_what_is_stored() {
    let sparse = |name, hole: u64, data: &str| {
        let map = format!("{hole},{}", data.len());
        let size = (hole + data.len() as u64).to_string();
        let member = Member::file(name, data).record("GNU.sparse.map", map);
        member.record("GNU.sparse.size", size)
    };
    let members = [
        sparse("data", 4096, "\x7fELF"),
        sparse("script", 0, "#!/bin/sh"),
    ];
    for packing in Packing::ALL {
        let image = read_layers(&[Layer::new(&tar(&members, Format::Pax), packing)]).unwrap();
        assert_eq!(node(&image, "/data").head(), Head::Other, "{packing:?}");
        assert_eq!(node(&image, "/script").head(), Head::Script, "{packing:?}");
        let script = content(node(&image, "/script"));
        assert_eq!(script, b"#!/bin/sh", "{packing:?}");
    }
}

#[test]
fn names_and_numbers_that_a_plain_header_cannot_hold_are_read_in_full() {
    let long = format!("{}/{}", "folder".repeat(30), "name".repeat(50));
    let target = "target/".repeat(40);
    let mut file = Member::file(&long, "#!");
    file.owner = (3_000_000_000, 4_294_967_295);
    let members = [
        file,
        Member::symlink("link", &target),
        Member::hard_link("again", &long),
    ];
    for format in [Format::Gnu, Format::Pax] {
        for packing in Packing::ALL {
            let layer = Layer::new(&tar(&members, format), packing);
            let image = read_layers(&[layer]).unwrap();
            let found = image.tree.node(long.as_bytes()).unwrap();
            assert_eq!(found.0, image.tree.node(b"again").unwrap().0, "{format:?}");
            assert_eq!((found.1.uid, found.1.gid), (3_000_000_000, 4_294_967_295));
            assert_eq!(content(found.1), b"#!");
            let link = node(&image, "/link").target();
            assert_eq!(link.unwrap(), Path::new(&target), "{format:?}");
        }
    }

    // A name split into prefix and name (ustar), and a size in base 256 (GNU).
    let mut split = tar::Header::new_ustar();
    let path = format!("{}name", "folder/".repeat(20));
    split.set_path(path).unwrap();
    split.set_size(0);
    split.set_uid(0);
    split.set_gid(0);
    split.set_cksum();
    let mut large = Member::file("large", "12345").header(Format::Gnu);
    large.as_mut_bytes()[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x05");
    large.set_cksum();
    let tar = [raw(&split, b""), raw(&large, b"12345"), gnu(&[])].concat();
    let image = read_layers(&[Layer::new(&tar, Packing::None)]).unwrap();
    node(&image, &format!("{}/name", "/folder".repeat(20)));
    assert_eq!(content(node(&image, "/large")), b"12345");
}

#[test]
fn a_layer_that_is_cut_off_inside_a_member_is_an_error() {
    let members = ["one", "two"].map(|name| Member::file(name, [b'x'; 700]));
    let whole = gnu(&members);
    let member = 512 + 1024;
    for packing in Packing::ALL {
        for cut in (0..whole.len()).step_by(64) {
            // Some writers omit the zero blocks at the end, and the padding before them.
            let files = match (cut / member, cut % member) {
                (2.., behind) => (behind == 0 || behind >= 512).then_some(2),
                (files, 0) => Some(files),
                (files, inside) => (inside >= 512 + 700).then_some(files + 1),
            };
            match read_layers(&[Layer::new(&whole[..cut], packing)]) {
                Ok(image) => assert_eq!(Some(image.layers[0].files), files, "{packing:?} {cut}"),
                Err(error) => {
                    let text = error.to_string();
                    assert_eq!(files, None, "{packing:?} {cut}: {text}");
                    assert!(text.starts_with("blobs/sha256/"), "{text}");
                    assert!(text.contains("is damaged: it is cut off"), "{text}");
                }
            }
        }
    }
}

#[test]
fn a_file_with_capabilities_is_known_and_a_later_one_without_them_has_none() {
    let key = "SCHILY.xattr.security.capability";
    let file = |name| Member::file(name, "#!").record(key, b"\x01\0\0\x02\0\x04\0\0\n=");
    for packing in Packing::ALL {
        let lower = Layer::new(&gnu(&[file("kept"), file("gone")]), packing);
        let upper = Layer::new(&gnu(&[Member::file("gone", "#!")]), packing);
        let image = read_layers(&[lower, upper]).unwrap();
        assert!(node(&image, "/kept").capabilities.is_some());
        assert!(node(&image, "/gone").capabilities.is_none());
    }
}

#[test]
fn one_content_under_several_paths_is_a_duplicate_whatever_the_layers_are_packed_with() {
    let large = vec![b'x'; 10_000];
    let other = vec![b'y'; 10_000];
    let lower = gnu(&[
        Member::file("one", &large),
        Member::file("other", &other),
        Member::hard_link("again", "one"),
        Member::file("small", "x"),
        Member::file("small too", "x"),
        Member::file("replaced", &large),
    ]);
    let upper = gnu(&[Member::file("two", &large), Member::file("replaced", "")]);
    let upper = Layer::new(&upper, Packing::Gzip);
    for packing in Packing::ALL {
        let layers = [Layer::new(&lower, packing), upper.clone()];
        let image = read_layers(&layers).unwrap();
        let duplicates = image.tree.duplicates();
        assert_eq!(duplicates.len(), 1, "{packing:?} {duplicates:?}");
        assert_eq!(duplicates[0].size, 10_000);
        // For hard links, the first name stands for all.
        let paths = ["/again", "/two"].map(Path::new);
        assert_eq!(duplicates[0].paths, paths);
    }
}
