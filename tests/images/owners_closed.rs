//! No file is more accessible in the image than in its source, whatever the combination of options.

use crate::common;
use crate::packing;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::docker::Docker;
use crate::owners::{assert_lists, listed};
use common::{fail_with, have, hello, is_root, output, slimpack, succeed, temporary, text};
use packing::{pack, refused};

/// A copy of a program with this owner and mode.
fn program(folder: &Path, name: &str, owner: (u32, u32), mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::copy(hello(), &path).unwrap();
    chown(&path, Some(owner.0), Some(owner.1)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn add(from: &Path, to: &str) -> String {
    format!("--add={}:{to}", from.display())
}

#[test]
fn a_program_with_privileges_is_not_for_more_users_than_before() {
    if !is_root() || !have(&["setcap"]) {
        return;
    }
    let folder = temporary();
    let folder = folder.path();
    for (mode, expected) in [
        (0o4754, "4754"),
        (0o4750, "4750"),
        (0o6711, "6711"),
        (0o2777, "2755"),
    ] {
        let path = program(folder, "setuid", (0, 42), mode);
        let packed = pack(&[path.to_str().unwrap(), "--keep-setuid"]);
        assert_lists(
            &listed(&packed),
            &format!("{expected} 0:42 usr/local/bin/setuid"),
        );
        let added = [
            hello().to_str().unwrap(),
            &add(&path, "/bin/su"),
            "--keep-setuid",
        ];
        assert_lists(&listed(&pack(&added)), &format!("{expected} 0:42 bin/su"));
        // The setuid and setgid bits belong to the old owner.
        let given = add(&path, "/bin/su,chown=7");
        let packed = pack(&[hello().to_str().unwrap(), &given, "--keep-setuid"]);
        let plain = format!("0{} 7:7 bin/su", &expected[1..]);
        assert_lists(&listed(&packed), &plain);
    }
    let path = program(folder, "capable", (0, 0), 0o750);
    succeed(Command::new("setcap").arg("cap_net_raw=ep").arg(&path));
    let packed = pack(&[&path]);
    assert_lists(&listed(&packed), "0750 0:0 usr/local/bin/capable");
    // Added files keep their permission bits, programs too.
    for (mode, expected) in [(0o700, "0700"), (0o750, "0750"), (0o555, "0755")] {
        let path = program(folder, "plain", (5, 5), mode);
        let packed = pack(&[hello().to_str().unwrap(), &add(&path, "/opt/plain")]);
        assert_lists(&listed(&packed), &format!("{expected} 0:0 opt/plain"));
    }
}

#[test]
fn each_place_of_one_file_has_its_own_owner_and_mode() {
    let folder = temporary();
    let key = folder.path().join("key");
    fs::write(&key, "secret").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let words = [
        hello().to_str().unwrap(),
        &add(&key, "/a,chmod=0644"),
        &add(&key, "/b,chown=2,chmod=0400"),
        &add(&key, "/c,chmod=0644"),
    ];
    let packed = pack(&words);
    let members = listed(&packed);
    for expected in ["0644 0:0 a", "0400 2:2 b", "0644 0:0 c"] {
        assert_lists(&members, expected);
    }
    // Identical destinations share one file.
    let alike = pack(&[words[0], words[1], words[3]]);
    let node = alike.node("c").unwrap();
    assert_eq!(node, "same as a");
    let root = folder.path().join("root/");
    if is_root() {
        succeed(slimpack().args(words).arg("-qo").arg(&root));
        let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("b")), (0o644, 0o400));
    }
}

/// Sets an access control list: the permissions of the owner, user 1001, the owning group, the
/// mask, and others.
fn set_access_list(path: &Path, permissions: [u16; 5]) {
    let tags = [0x01, 0x02, 0x04, 0x10, 0x20_u16];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions) in tags.into_iter().zip(permissions) {
        let id = if tag == 0x02 { 1001 } else { u32::MAX };
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    let name = "system.posix_acl_access";
    rustix::fs::setxattr(path, name, &value, rustix::fs::XattrFlags::empty()).unwrap();
}

/// Whether the kernel lets group 44 read a file.
fn group_reads(path: &Path) -> bool {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=44", "--clear-groups", "cat"]);
    output(command.arg(path)).status.success()
}

#[test]
fn the_mask_of_an_access_control_list_does_not_open_a_file_to_its_group() {
    if !is_root() || !have(&["setpriv"]) {
        return;
    }
    let folder = temporary();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // The mode that stat shows, and the mode that is correct for the group.
    for (permissions, shown, expected) in [
        ([6, 6, 0, 6, 0], 0o660, 0o600),
        ([6, 6, 4, 6, 0], 0o660, 0o640),
        ([7, 5, 7, 5, 0], 0o750, 0o750),
        ([6, 4, 0, 4, 4], 0o644, 0o604),
    ] {
        let key = folder.path().join("key");
        fs::write(&key, "secret").unwrap();
        chown(&key, Some(1000), Some(44)).unwrap();
        set_access_list(&key, permissions);
        assert_eq!(mode(&key), shown);
        let given = add(&key, "/key,chown=1000:44");
        let packed = pack(&[hello().to_str().unwrap(), &given]);
        assert_lists(&listed(&packed), &format!("{expected:04o} 1000:44 key"));
        assert_eq!(group_reads(&key), expected & 0o040 != 0, "{permissions:?}");
        let said = format!(
            "the access control list of {} is not in the image",
            key.display()
        );
        assert!(packed.said.contains(&said), "{}", packed.said);
        // From a root directory, too.
        let root = folder.path().join("root");
        succeed(
            slimpack()
                .args([hello(), Path::new("-qo")])
                .arg(root.join("")),
        );
        set_access_list(
            &root.join("usr/local/bin/hello"),
            [7, 7, permissions[2], 7, 0],
        );
        let image = pack(&["--from", root.to_str().unwrap(), "/usr/local/bin/hello"]);
        let expected = 0o700 | u32::from(permissions[2]) << 3;
        assert_lists(
            &listed(&image),
            &format!("{expected:04o} 0:0 usr/local/bin/hello"),
        );
        fs::remove_dir_all(&root).unwrap();
        fs::remove_file(&key).unwrap();
    }
    let program = program(folder.path(), "setuid", (0, 44), 0o4750);
    set_access_list(&program, [7, 5, 0, 5, 0]);
    let packed = pack(&[program.to_str().unwrap(), "--keep-setuid"]);
    assert_lists(&listed(&packed), "4700 0:44 usr/local/bin/setuid");
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    set_access_list(&tree, [7, 7, 0, 7, 0]);
    let packed = pack(&[hello().to_str().unwrap(), &add(&tree, "/tree")]);
    assert_lists(&listed(&packed), "0700 0:0 tree/");
    // An explicit mode is used as it is.
    let packed = pack(&[hello().to_str().unwrap(), &add(&tree, "/tree,chmod=0770")]);
    assert_lists(&listed(&packed), "0770 0:0 tree/");
    assert!(!packed.said.contains("access control"), "{}", packed.said);
}

#[test]
fn reading_attributes_takes_one_system_call_a_file_and_none_where_there_are_none() {
    if !is_root() || !have(&["strace", "mount", "umount"]) {
        return;
    }
    let folder = temporary();
    let folder = folder.path();
    let tree = folder.join("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..50 {
        fs::write(tree.join(format!("file{number}")), "x").unwrap();
    }
    let calls = |words: &[&str]| {
        let log = folder.join("log");
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-e", "trace=/xattr", "-o"])
            .arg(&log);
        succeed(command.arg(slimpack().get_program()).arg("-q").args(words));
        fs::read_to_string(log).unwrap().lines().count()
    };
    let program = program(folder, "program", (0, 0), 0o755);
    let program = program.to_str().unwrap();
    // Capabilities are read for a program; support is checked once per device.
    assert_eq!(calls(&[program]), 2);
    let given = add(&tree, "/tree");
    // The directory counts as well.
    assert!(calls(&[program, &given]) <= 53);
    // ramfs has no extended attributes.
    succeed(
        Command::new("mount")
            .args(["-t", "ramfs", "ramfs"])
            .arg(&tree),
    );
    let written = (0..50).try_for_each(|number| fs::write(tree.join(format!("{number}")), "x"));
    let counted = written.map(|()| calls(&[program, &given]));
    succeed(Command::new("umount").arg(&tree));
    assert!(counted.unwrap() <= 4);
}

#[test]
fn what_a_user_writes_into_a_directory_has_no_privileges_of_the_user() {
    if !is_root() || !have(&["setpriv"]) {
        return;
    }
    let folder = temporary();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    chown(&out, Some(65534), Some(65534)).unwrap();
    let path = program(folder.path(), "setuid", (0, 0), 0o4755);
    let root = out.join("root/");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(slimpack().get_program()).arg(&path).args([
        "--keep-setuid",
        "--mkdir",
        "/closed,chmod=0",
    ]);
    let said = text(&output(command.arg("-o").arg(&root).current_dir("/")));
    assert!(said.contains("only root can set owners"), "{said}");
    let made = fs::metadata(root.join("usr/local/bin/setuid")).unwrap();
    assert_eq!(made.permissions().mode() & 0o7777, 0o755);
    // And the user can remove the directory.
    let mut remove = Command::new("setpriv");
    remove.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "rm",
        "-r",
    ]);
    succeed(remove.arg(&root));
}

#[test]
fn a_link_that_is_added_is_not_replaced_and_nested_directories_are_all_given() {
    let folder = temporary();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("real")).unwrap();
    fs::write(tree.join("real/file"), "x").unwrap();
    symlink("real", tree.join("link")).unwrap();
    let hello = hello().to_str().unwrap();
    let said = refused(2, &[hello, &add(&tree, "/t"), "--mkdir", "/t/link/below"]);
    assert!(said.contains("/t/link"), "{said}");
    let packed = pack(&[hello, "-u", "5:6", "-w", "/x/y/z", "--volume", "/x/y"]);
    let members = listed(&packed);
    assert_lists(&members, "0755 5:6 x/y/");
    assert_lists(&members, "0755 5:6 x/y/z/");
    // Directories writable by all stay so.
    fs::set_permissions(tree.join("real"), fs::Permissions::from_mode(0o1777)).unwrap();
    assert_lists(
        &listed(&pack(&[hello, &add(&tree, "/t")])),
        "1777 0:0 t/real/",
    );
}

#[test]
fn what_no_engine_could_use_is_refused() {
    let folder = temporary();
    let key = folder.path().join("key");
    fs::write(&key, "secret").unwrap();
    let hello = hello().to_str().unwrap();
    for (words, says) in [
        (
            &[&*add(&key, "/k,chown=4294967295")][..],
            "write OWNER or OWNER:GROUP",
        ),
        (&[&*add(&key, "/k,chown=+5")], "write OWNER or OWNER:GROUP"),
        (&["-u", "2147483648"], "write USER or USER:GROUP"),
        (&[&*add(&key, "/k,chown=5,")], "at the end"),
        (&[&*add(&key, "/k,chown=a,b")], "at the end"),
        (&["-w", "/usr/local/bin/hello"], "it is a file in the image"),
        (&["--volume", "/"], "cannot mount over /"),
        (&["--with", "directories"], "use --mkdir"),
    ] {
        let said = refused(2, &[&[hello], words].concat());
        assert!(said.contains(says), "{words:?}: {said}");
    }
    let pipe = folder.path().join("pipe");
    succeed(Command::new("mkfifo").arg(&pipe));
    let said = refused(2, &[hello, &add(&pipe, "/pipe")]);
    assert!(said.contains("device, socket or pipe"), "{said}");
    // In TOML, 0o640 is the number 416.
    let config = folder.path().join("slimpack.toml");
    let text = |mode: &str| {
        let image = format!(
            "[[image]]\nfile = \"{hello}\"\nadd = \"{}:/k\"\n",
            key.display()
        );
        format!("{image}output = \"out.tar\"\nchmod = {mode}\n")
    };
    for mode in ["0o640", "640", "true"] {
        fs::write(&config, text(mode)).unwrap();
        let said = fail_with(2, slimpack().arg("--config").arg(&config));
        assert!(said.contains("octal digits in a string"), "{mode}: {said}");
    }
    fs::write(&config, text("\"0640\"")).unwrap();
    succeed(slimpack().arg("-q").arg("--config").arg(&config));
}

/// The owners and modes in `/data` of an image, and whether its user may write there, by docker.
fn data_by_docker(docker: &Docker, image: &str) -> (Vec<String>, String) {
    let container = docker.run(&["create", "--network=none", image]);
    let container = container.trim();
    let mut export = docker.command();
    export.args(["export", container]);
    let archive = output(&mut export).stdout;
    let mut archive = tar::Archive::new(&archive[..]);
    let members = archive.entries().unwrap().map(Result::unwrap);
    let lines = members.filter_map(|member| {
        let path = member.path().unwrap().display().to_string();
        let (header, is_data) = (member.header(), path.starts_with("data"));
        let (uid, gid) = (header.uid().unwrap(), header.gid().unwrap());
        is_data.then(|| format!("{path} {:o} {uid}:{gid}", header.mode().unwrap() & 0o7777))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    let script = "echo written > /data/below/new && read x < /data/below/new && echo $x";
    let run = ["run", "--rm", "--network=none", image, "-c", script];
    (lines, docker.run(&run))
}

#[test]
fn chown_and_volume_are_what_a_dockerfile_makes_of_them() {
    if !have(&["dockerd", "docker", "containerd"]) || !is_root() {
        return;
    }
    let place = temporary();
    let place = place.path();
    let docker = Docker::start();
    let below = place.join("tree/below");
    fs::create_dir_all(&below).unwrap();
    for (path, mode) in [("tree/secret", 0o600), ("tree/below/tool", 0o755)] {
        fs::write(place.join(path), path).unwrap();
        fs::set_permissions(place.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(&below, fs::Permissions::from_mode(0o750)).unwrap();
    succeed(
        slimpack()
            .args(["/bin/sh", "-t", "base:1", "-qo"])
            .arg(place.join("base.tar")),
    );
    docker.load(&place.join("base.tar"));
    let recipe = "FROM base:1\nCOPY --chown=33:34 tree /data\nVOLUME /data\nUSER 33:34\n";
    fs::write(place.join("Dockerfile"), recipe).unwrap();
    let mut build = docker.command();
    // The legacy builder: BuildKit is a plugin.
    build
        .env("DOCKER_BUILDKIT", "0")
        .args(["build", "-q", "-t", "theirs:1"]);
    succeed(build.arg(place));
    let mut pack = slimpack();
    pack.args([
        "/bin/sh",
        "--add",
        "tree:/data,chown=33:34",
        "--volume",
        "/data",
    ]);
    pack.args(["-u", "33:34", "-t", "ours:1", "-qo", "ours.tar"]);
    succeed(pack.current_dir(place));
    docker.load(&place.join("ours.tar"));
    let (ours, theirs) = (
        data_by_docker(&docker, "ours:1"),
        data_by_docker(&docker, "theirs:1"),
    );
    assert_eq!(ours, theirs);
    assert_eq!(ours.1, "written\n");
    assert!(ours.0.len() >= 4, "{ours:?}");
}
