//! Images of several layers, built by common tools.

#![allow(dead_code)] // Each test program uses a part of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{in_chroot, slimpack, succeed, unpack_layer};
use crate::docker::Docker;

/// The commands in the layers' scripts.
const COMMANDS: &[&str] = &[
    "sh", "rm", "mkdir", "ln", "chmod", "chown", "mkfifo", "mknod", "truncate",
];

/// The lowest layer: all kinds of nodes, and the files that later layers change.
const BASE: &str = r#"
mkdir -p dev proc sys etc/app opt/data/deep srv/old/below usr/share/doc/tool var/tmp
for name in one two gone; do echo $name > etc/app/$name; done
echo file > opt/file; mkdir opt/folder; echo inner > opt/folder/inner
echo deep > opt/data/deep/file; ln -s data opt/link
echo docs > usr/share/doc/tool/readme
echo old > srv/old/file; echo old > srv/old/below/file
echo linked > var/first; ln var/first var/second; ln var/first opt/third

# Owners beyond what the octal digits of a header hold.
echo owned > var/owned; chown 3000000:4000000 var/owned
echo program > usr/bin/setuid; chown 1234:5678 usr/bin/setuid; chmod 4711 usr/bin/setuid
chmod 1777 var/tmp; chmod 2750 usr/share/doc
mkfifo var/pipe var/queue; mknod var/null c 1 3; mknod var/disk b 7 9
: > var/empty; truncate -s 3000000 var/holes
ln -s nowhere var/dangling; ln -s /opt/data var/absolute

# Names that need more than a plain header, in every place that a header has for them.
long=long; while [ ${#long} -lt 120 ]; do long=$long-long; done
mkdir -p var/$long/$long/$long
echo far > var/$long/$long/$long/file
ln var/$long/$long/$long/file var/hard; ln -s $long/$long/$long/file var/soft
echo > "var/two words"; echo > var/ünï; echo > "var/$(printf 'latin-\351')"
"#;

/// The layers above it.
pub const LAYERS: [&str; 3] = [
    // Deleted, and replaced by another kind.
    r#"
rm etc/app/gone; rm -r usr/share/doc/tool
rm opt/file; mkdir opt/file; echo inner > opt/file/inner
rm -r opt/folder; echo file > opt/folder
rm opt/link; mkdir opt/link; echo inner > opt/link/inner
rm -r opt/data; ln -s file opt/data
rm etc/app/two; ln -s one etc/app/two
rm var/pipe; echo plain > var/pipe
"#,
    // Created again, changed in place, reached through a link, and one of several names removed.
    r#"
rm -r srv/old; mkdir srv/old; echo new > srv/old/new
mkdir lib/extra; echo through > lib/extra/file; echo through > lib/through
chmod 700 srv; chown 10:20 etc/app/one; chmod 600 etc/app/one
rm var/first; ln usr/bin/sh usr/bin/again; ln usr/bin/rm usr/bin/remove
echo more > var/tmp/a; ln var/tmp/a var/tmp/b
"#,
    // Additions of the middle layers are removed, and what they removed is restored.
    r#"
rm -r lib/extra; ln -s ../share lib/extra
rm opt/data; mkdir opt/data; echo again > opt/data/again
echo back > etc/app/gone; rm srv/old/new; mkdir srv/old/below
rm opt/link/inner; rm var/tmp/a
"#,
];

/// The lowest layer as a tar in `folder`: a root in which the scripts can run, packed by slimpack,
/// with the files of `BASE`.
pub fn base(folder: &Path) -> PathBuf {
    let (packed, root) = (folder.join("packed.tar"), folder.join("root"));
    let commands = COMMANDS.iter().map(|name| Path::new("/bin").join(name));
    succeed(slimpack().args(commands).arg("-o").arg(&packed));
    unpack_layer(&packed, &root);
    change(&root, BASE);
    // cap_net_bind_service+ep, as setcap(8) writes it.
    let mut capability = [0_u8; 20];
    capability[..8].copy_from_slice(&[1, 0, 0, 2, 0, 4, 0, 0]);
    rustix::fs::setxattr(
        root.join("usr/bin/mkfifo"),
        "security.capability",
        &capability,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let tar = folder.join("base.tar");
    succeed(
        Command::new("tar")
            .args(["--numeric-owner", "--xattrs", "--xattrs-include=*"])
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&tar)
            .arg("."),
    );
    tar
}

/// Unpacks a root over a directory.
pub fn extract(tar: &Path, root: &Path) {
    succeed(
        Command::new("tar")
            .args(["--numeric-owner", "--xattrs", "--xattrs-include=*"])
            .arg("-C")
            .arg(root)
            .arg("-xpf")
            .arg(tar),
    );
}

/// Runs the script of a layer in a root.
pub fn change(root: &Path, script: &str) {
    succeed(
        in_chroot(root, Path::new("/bin/sh"))
            .args(["-ec", script])
            .env("PATH", "/bin"),
    );
}

/// The output of a program that runs in `folder`.
pub fn run(program: &str, folder: &Path, arguments: &[&str]) -> String {
    succeed(Command::new(program).current_dir(folder).args(arguments))
}

/// The layers as a umoci image, `image` in the directory `layout`, with more on top: one layer
/// replaces the contents of a directory, two add to directories, one of them through a link, and
/// one removes a directory.
pub fn umoci_layout(folder: &Path) -> PathBuf {
    let umoci = |arguments: &[&str]| run("umoci", folder, arguments);
    let image = ["--image", "layout:image"];
    let repack = || umoci(&["repack", image[0], image[1], "--refresh-bundle", "bundle"]);
    umoci(&["init", "--layout", "layout"]);
    umoci(&["new", image[0], image[1]]);
    umoci(&["unpack", image[0], image[1], "bundle"]);
    let root = folder.join("bundle/rootfs");
    extract(&base(folder), &root);
    repack();
    for script in LAYERS {
        change(&root, script);
        repack();
    }
    fs::create_dir_all(folder.join("inserted/below")).unwrap();
    fs::write(folder.join("inserted/below/file"), "inserted\n").unwrap();
    let insert = ["insert", image[0], image[1]];
    umoci(&[&insert[..], &["--opaque", "inserted", "/etc/app"]].concat());
    umoci(&[&insert[..], &["inserted", "/opt/file"]].concat());
    umoci(&[&insert[..], &["inserted", "/lib/inserted"]].concat());
    umoci(&[&insert[..], &["--whiteout", "/opt/link"]].concat());
    folder.join("layout")
}

/// Sets all of the configuration that umoci can set in `layout`.
pub fn configure(folder: &Path) {
    let arguments = [
        "config",
        "--image=layout:image",
        "--config.entrypoint=/bin/sh",
        "--config.entrypoint=-c",
        "--config.cmd=echo two words",
        "--config.env=PATH=/usr/bin:/bin",
        "--config.env=TEXT=two words = one",
        "--config.user=1000:100",
        "--config.workingdir=/srv",
        "--config.label=org.example.name=an image",
        "--config.label=empty=",
        "--config.exposedports=80/tcp",
        "--config.exposedports=53/udp",
        "--config.volume=/data",
        "--config.volume=/cache",
        "--config.stopsignal=SIGQUIT",
        "--author=Ada <ada@example.org>",
        "--created=2001-02-03T04:05:06.789Z",
        "--architecture=amd64",
        "--os=linux",
        "--history.created_by=configured by hand",
        "--history.comment=everything",
    ];
    run("umoci", folder, &arguments);
}

/// The lowest layer imported as `lowest`, and the others committed one by one: the last is
/// `name:tag` and `name:other`.
pub fn docker_images(docker: &Docker, folder: &Path) {
    let base = base(folder);
    docker.run(&["import", base.to_str().unwrap(), "lowest"]);
    let mut image = "lowest".to_owned();
    for (number, script) in LAYERS.iter().enumerate() {
        let container = format!("layer{number}");
        let run = ["run", "--network=none", "--name", &container, &image];
        docker.run(&[&run[..], &["/bin/sh", "-ec", script]].concat());
        image = format!("step:{number}");
        docker.run(&["commit", &container, &image]);
    }
    docker.run(&["tag", &image, "name:tag"]);
    docker.run(&["tag", &image, "name:other"]);
}
