//! The program in the image has the rights that it had before: owners, modes, capabilities, and
//! directories to write to.

use crate::common;
use crate::docker;
use crate::image_writer;
use crate::packing;
use crate::root_images;
use crate::roots;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{find, have, is_root, output, slimpack, succeed, temporary, text};
use docker::Docker;
use image_writer::Member;
use packing::{Packed, pack, pack_by, refused, runs_containers};
use roots::Root;
use serde_json::json;

/// A file with these permission bits.
fn file(path: &Path, content: &str, mode: u32) -> PathBuf {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_path_buf()
}

/// The members of the layer as tar lists them: mode, owner, path.
pub(crate) fn listed(packed: &Packed) -> Vec<String> {
    listed_in(&packed.archive)
}

fn listed_in(archive: &Path) -> Vec<String> {
    let mut outer = tar::Archive::new(fs::File::open(archive).unwrap());
    let layer = common::first_file(&mut outer);
    let mut layer = tar::Archive::new(layer);
    let members = layer.entries().unwrap().map(|member| {
        let member = member.unwrap();
        let header = member.header();
        format!(
            "{:04o} {}:{} {}",
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            member.path().unwrap().display()
        )
    });
    members.collect()
}

pub(crate) fn assert_lists(members: &[String], expected: &str) {
    assert!(
        members.iter().any(|member| member == expected),
        "{expected} is not in {members:#?}"
    );
}

#[test]
fn what_is_added_belongs_to_whom_it_is_given_and_only_that_user_reads_it() {
    let folder = temporary();
    let key = file(&folder.path().join("key"), "secret", 0o600);
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("below")).unwrap();
    file(&data.join("below/file"), "x", 0o644);
    let packed = pack(&[
        "/bin/cat",
        "-u",
        "1000",
        "--add",
        &format!("{}:/etc/key,chown=1000,chmod=0400", key.display()),
        "--add",
        &format!("{}:/data,chmod=0750", data.display()),
        "--mkdir",
        "/cache,chown=daemon:1234,chmod=1777",
        "--chown",
        "5:6",
    ]);
    let members = listed(&packed);
    for expected in [
        "0400 1000:1000 etc/key",
        "0750 5:6 data/",
        "0750 5:6 data/below/",
        "0750 5:6 data/below/file",
        "1777 1:1234 cache/",
        "0755 0:0 etc/",
    ] {
        assert_lists(&members, expected);
    }
    assert!(!packed.said.contains("/etc/key"), "{}", packed.said);
    assert!(
        packed.said.contains("may not read /data and 2 more"),
        "{}",
        packed.said
    );
    if !runs_containers() {
        return;
    }
    let ended = common::run_image_as_docker(&packed.archive, &["/bin/cat", "/etc/key"]);
    assert_eq!(text(&ended), "secret");
    let ended = common::run_image_as_docker(&packed.archive, &["/bin/cat", "/data/below/file"]);
    assert!(text(&ended).contains("Permission denied"), "{ended:?}");
}

#[test]
fn directories_to_work_in_belong_to_the_user() {
    let touch = ["/usr/bin/touch", "-u", "1000", "--cmd", "file"];
    let in_data = pack(&[&touch[..], &["-w", "/data"]].concat());
    assert_lists(&listed(&in_data), "0755 1000:1000 data/");
    let volume = pack(&[&touch[..4], &["/var/lib/x/file", "--volume", "/var/lib/x"]].concat());
    assert_lists(&listed(&volume), "0755 1000:1000 var/lib/x/");
    assert_lists(&listed(&volume), "0755 0:0 var/lib/");
    // Directories that come from something else are left as they are.
    let etc = pack(&[&touch[..], &["-w", "/usr/bin"]].concat());
    assert_lists(&listed(&etc), "0755 0:0 usr/bin/");
    if !runs_containers() {
        return;
    }
    let ended = common::run_image_as_docker(&in_data.archive, &[]);
    assert!(ended.status.success(), "{}", text(&ended));
    let ended = common::run_image_as_docker(&etc.archive, &[]);
    assert!(text(&ended).contains("Permission denied"), "{ended:?}");
    if !have(&["dockerd", "docker"]) {
        return;
    }
    let docker = Docker::start();
    for packed in [&in_data, &volume] {
        let said = docker.load(&packed.archive);
        let name = said.trim().rsplit(' ').next().unwrap();
        docker.run(&["run", "--rm", "--network=none", name]);
    }
}

#[test]
fn a_user_by_name_is_a_number_in_the_configuration_and_a_name_in_passwd() {
    let config = |packed: &Packed| common::image_config(&packed.archive)["config"]["User"].clone();
    let packed = pack(&["/usr/bin/id", "-u", "daemon"]);
    assert_eq!(config(&packed), "1");
    let packed = pack(&["/usr/bin/id", "-u", "daemon:www-data"]);
    assert_eq!(config(&packed), "1:33");
    assert!(packed.file("etc/passwd").contains("daemon:x:1:1:"));
    if runs_containers() {
        let ended = common::run_image_as_docker(&packed.archive, &[]);
        assert_eq!(
            text(&ended),
            "uid=1(daemon) gid=33(www-data) groups=33(www-data)\n"
        );
    }
    assert!(
        packed
            .said
            .contains("the user daemon:www-data has the home /usr/sbin"),
        "{}",
        packed.said
    );
}

#[test]
fn owners_that_are_unknown_or_malformed_are_refused() {
    let folder = temporary();
    let key = file(&folder.path().join("key"), "secret", 0o600);
    let add = |more: &str| format!("{}:/etc/key{more}", key.display());
    let hello = common::hello().to_str().unwrap();
    for (words, says) in [
        (
            &["--add", &add(",chown=deamon")][..],
            "did you mean daemon?",
        ),
        (
            &["--add", &add(",chown=daemon:nosuchgroup")],
            "no group \"nosuchgroup\"",
        ),
        (&["--add", &add(",chown=")], "write OWNER or OWNER:GROUP"),
        (
            &["--add", &add(",chown=1:2:3")],
            "write OWNER or OWNER:GROUP",
        ),
        (&["--add", &add(",chmod=888")], "is not a mode"),
        (&["--add", &add(",chmod=17777")], "is not a mode"),
        (&["--add", &add(",chmod=+x")], "is not a mode"),
        (
            &["--add", &add(",chowm=1")],
            "write chown= and chmod= once each",
        ),
        (
            &["--add", &add(",chmod=1,chmod=2")],
            "write chown= and chmod= once each",
        ),
        (&["--mkdir", "/"], "write a directory below it"),
        (
            &["--mkdir", "/proc/x"],
            "mount their own file system on /proc",
        ),
        (&["--mkdir", "/a/../b"], "without .."),
        (&["--chown", "1"], "there is neither"),
        (&["--chmod", "0600"], "there is neither"),
        (&["-u", "nosuchuser"], "no user \"nosuchuser\""),
    ] {
        let said = refused(2, &[&[hello], words].concat());
        assert!(said.contains(says), "{words:?}: {said}");
    }
    // A comma may also be part of a name.
    let comma = file(&folder.path().join("a,b=c"), "x", 0o644);
    let packed = pack(&[hello, "--add", &format!("{}:/etc/a,b=c", comma.display())]);
    assert!(packed.has("etc/a,b=c"));
}

/// Prints whether it may open a raw socket.
const RAW: &str = r#"
#include <stdio.h>
#include <sys/socket.h>
#include <netinet/in.h>
int main(void) { puts(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? "refused" : "raw"); return 0; }
"#;

#[test]
fn file_capabilities_are_kept_and_count() {
    if !have(&["setcap", "getcap", "umoci"]) || !is_root() {
        return;
    }
    let folder = temporary();
    let program = common::compile(folder.path(), "raw", RAW, &[]);
    succeed(Command::new("setcap").arg("cap_net_raw=ep").arg(&program));
    let packed = pack(&[program.to_str().unwrap(), "-u", "1000"]);
    let path = "/usr/local/bin/raw";
    assert!(
        packed
            .said
            .contains(&format!("capabilities {path} cap_net_raw=ep")),
        "{}",
        packed.said
    );
    // As slimpack reads it back, and as umoci unpacks it.
    let files = succeed(slimpack().args(["inspect", "--files"]).arg(&packed.archive));
    assert!(files.contains("cap_net_raw=ep"), "{files}");
    let unpacked = temporary();
    let (bundle, mut run) = common::container_with(&packed.archive, &["CAP_NET_RAW"]);
    let rootfs = bundle.path().join("bundle/rootfs");
    let said = succeed(Command::new("getcap").arg(rootfs.join(&path[1..])));
    assert!(said.ends_with("raw cap_net_raw=ep\n"), "{said}");
    assert_eq!(text(&output(&mut run)), "raw\n");
    // In a root directory, too.
    let root = unpacked.path().join("root/");
    succeed(slimpack().arg("-q").arg(&program).arg("-o").arg(&root));
    let said = succeed(Command::new("getcap").arg(root.join(&path[1..])));
    assert!(said.ends_with("raw cap_net_raw=ep\n"), "{said}");
    // With --normalize the program loses the capability, and diff reports it.
    let plain = pack(&[program.to_str().unwrap(), "-u", "1000", "--normalize"]);
    assert!(!plain.said.contains("cap_net_raw"), "{}", plain.said);
    let diff = output(
        slimpack()
            .arg("diff")
            .arg(&packed.archive)
            .arg(&plain.archive),
    );
    assert!(
        text(&diff).contains("capabilities  cap_net_raw=ep → none"),
        "{}",
        text(&diff)
    );
    if !have(&["dockerd", "docker"]) {
        return;
    }
    let docker = Docker::start();
    for (packed, expected) in [(&packed, "raw\n"), (&plain, "refused\n")] {
        docker.load(&packed.archive);
        let said = docker.run(&["run", "--rm", "--network=none", "raw:latest"]);
        assert_eq!(said, expected);
    }
}

#[test]
fn malformed_capabilities_are_left_out_with_a_warning() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    let mut members = root_images::members(&root.path);
    let key = "SCHILY.xattr.security.capability";
    for member in &mut members {
        if member.name == b"usr/bin/app" {
            // A revision unknown to any kernel.
            let value = b"\x01\0\0\x09\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            *member = member.clone().record(key, value);
        }
    }
    let packed = from(&root, &members, &[], |_| {});
    assert!(
        packed
            .said
            .contains("capabilities of /usr/bin/app are malformed"),
        "{}",
        packed.said
    );
    let files = succeed(slimpack().args(["inspect", "--files"]).arg(&packed.archive));
    assert!(!files.contains("malformed"), "{files}");
}

/// Packs from an image with these members.
fn from(
    root: &Root,
    members: &[Member],
    words: &[&str],
    edit: impl Fn(&mut serde_json::Value),
) -> Packed {
    let layer = image_writer::Layer::of(members);
    let files = root_images::docker_archive("app:1", &[layer], |config| {
        config["config"] = json!({"Entrypoint": ["/usr/bin/app"]});
        edit(config);
    });
    let image = root_images::write(root, &files);
    pack_by(slimpack().arg("--from").arg(&image).args(words))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn what_comes_from_an_image_keeps_owner_mode_and_capabilities() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    let mut members = root_images::members(&root.path);
    let owned = |mut member: Member, mode: u32, uid: u64, gid: u64| {
        (member.mode, member.owner) = (mode, (uid, gid));
        member
    };
    let net_raw = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for member in &mut members {
        if member.name == b"usr/bin/app" {
            let kept = owned(member.clone(), 0o4750, 0, 44);
            *member = kept.record("SCHILY.xattr.security.capability", net_raw);
        }
        if member.name.starts_with(b"usr/bin") && member.name.len() <= 8 {
            *member = owned(member.clone(), 0o751, 3, 4);
        }
    }
    let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv/web:/bin/sh\n";
    members.extend([
        Member::folder("etc"),
        Member::file("etc/passwd", passwd),
        Member::file("etc/group", "root:x:0:\nweb:x:33:\n"),
        owned(Member::folder("work"), 0o700, 33, 33),
        owned(Member::folder("data"), 0o770, 33, 33),
        Member::folder("srv"),
        owned(Member::folder("srv/web"), 0o711, 33, 34),
        owned(Member::folder("tmp"), 0o1777, 0, 0),
        Member::folder("var"),
        owned(Member::folder("var/cache"), 0o750, 33, 0),
        owned(Member::folder("var/other"), 0o755, 44, 44),
        owned(Member::file("var/file", "x"), 0o644, 33, 33),
    ]);
    let as_web = |config: &mut serde_json::Value| {
        config["config"]["User"] = json!("web");
        config["config"]["WorkingDir"] = json!("/work");
        config["config"]["Volumes"] = json!({"/data": {}, "/gone": {}});
    };
    let packed = from(&root, &members, &[], as_web);
    let kept = listed(&packed);
    for expected in [
        "4750 0:44 usr/bin/app",
        "0751 3:4 usr/bin/",
        "0700 33:33 work/",
        "0770 33:33 data/",
        "0711 33:34 srv/web/",
        "1777 0:0 tmp/",
        "0750 33:0 var/cache/",
    ] {
        assert_lists(&kept, expected);
    }
    for gone in ["var/other", "var/file", "gone"] {
        let is_kept = kept.iter().any(|member| member.contains(gone));
        assert!(!is_kept, "{gone}");
    }
    assert!(packed.said.contains("writable"), "{}", packed.said);
    assert_eq!(
        common::image_config(&packed.archive)["config"]["User"],
        "web"
    );
    let files = succeed(slimpack().args(["inspect", "--files"]).arg(&packed.archive));
    assert!(files.contains("cap_net_raw=ep"), "{files}");
    // Minimizing the result again changes nothing.
    let again = pack_by(slimpack().arg("--from").arg(&packed.archive));
    assert_eq!(listed(&again), kept);
    // With --normalize, as before.
    let packed = from(&root, &members, &["--normalize"], as_web);
    let kept = listed(&packed);
    assert_lists(&kept, "0755 0:0 usr/bin/app");
    assert_lists(&kept, "0755 0:0 usr/bin/");
}

#[test]
fn the_access_control_list_of_a_layer_does_not_open_a_file_to_its_group() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    let mut members = root_images::members(&root.path);
    // For the owner, user 1001, the group, the mask, and others.
    let entries = [
        (1, 7, u32::MAX),
        (2, 7, 1001),
        (4, 5, u32::MAX),
        (16, 7, u32::MAX),
    ];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(u16::to_le_bytes(tag));
        value.extend(u16::to_le_bytes(permissions));
        value.extend(u32::to_le_bytes(id));
    }
    for member in &mut members {
        if member.name == b"usr/bin/app" {
            member.mode = 0o770;
            *member = member
                .clone()
                .record("SCHILY.xattr.system.posix_acl_access", &value);
        }
    }
    let packed = from(&root, &members, &[], |_| {});
    assert_lists(&listed(&packed), "0750 0:0 usr/bin/app");
    // What user 1001 loses is reported; what nobody gets, is not.
    let lost = "the access control list of /usr/bin/app names users or groups";
    assert!(packed.said.contains(lost), "{}", packed.said);
    for member in &mut members {
        member.records.clear();
    }
    let packed = from(&root, &members, &[], |_| {});
    assert!(!packed.said.contains("access control"), "{}", packed.said);
}

#[test]
fn a_setuid_program_stays_one_on_request() {
    if !is_root() || !runs_containers() {
        return;
    }
    let folder = temporary();
    let program = folder.path().join("id");
    fs::copy(find("id").unwrap(), &program).unwrap();
    chown(&program, Some(33), Some(44)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    let words = [program.to_str().unwrap(), "-u", "1000", "--cmd", "-u"];
    let packed = pack(&words);
    assert!(
        packed.said.contains("--keep-setuid keeps the bits"),
        "{}",
        packed.said
    );
    assert_eq!(
        text(&common::run_image_as_docker(&packed.archive, &[])),
        "1000\n"
    );
    let packed = pack(&[&words[..], &["--keep-setuid"]].concat());
    assert!(!packed.said.contains("setuid"), "{}", packed.said);
    assert_lists(&listed(&packed), "6755 33:44 usr/local/bin/id");
    let (_bundle, mut run) = common::container_with(&packed.archive, &["CAP_SETUID"]);
    assert_eq!(text(&output(&mut run)), "33\n");
    let root = folder.path().join("root/");
    succeed(
        slimpack()
            .args(words)
            .args(["-q", "--keep-setuid", "-o"])
            .arg(&root),
    );
    let made = fs::metadata(root.join("usr/local/bin/id")).unwrap();
    assert_eq!(
        (made.mode() & 0o7777, made.uid(), made.gid()),
        (0o6755, 33, 44)
    );
}
