//! What the user adds to an image: files, directories, globs, busybox, and scripts with what they
//! start.

use crate::{common, packing};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use packing::{Packed, pack, pack_in, refused, runs_containers};

/// Prints the file named by its argument.
const CAT: &str = r#"
#include <stdio.h>
int main(int argc, char **argv) {
    FILE *file = argc > 1 ? fopen(argv[1], "r") : 0;
    if (!file) return 1;
    for (int letter; (letter = getc(file)) != EOF;) putchar(letter);
    return 0;
}
"#;

fn hello() -> &'static str {
    common::hello().to_str().unwrap()
}

/// Packs hello with these flags.
fn with(flags: &[&str]) -> Packed {
    pack(&[&[hello()], flags].concat())
}

/// The error output of a pack of hello with these flags, which must fail.
fn refused_with(status: i32, flags: &[&str]) -> String {
    refused(status, &[&[hello()], flags].concat())
}

fn add(source: &Path, to: &str) -> String {
    format!("--add={}:{to}", source.display())
}

/// An executable script.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_file_goes_where_it_is_told() {
    let folder = common::temporary();
    let file = folder.path().join("settings");
    fs::write(&file, "verbose\n").unwrap();
    let program = common::compile(folder.path(), "cat", CAT, &[]);
    let word = program.to_str().unwrap();
    let packed = pack(&[word, &add(&file, "/etc/folder/")]);
    assert!(packed.has("etc/folder/settings"));
    let packed = pack(&[word, &add(&file, "/etc/x")]);
    assert_eq!(packed.file("etc/x"), "verbose\n");
    assert_eq!(packed.node("etc/x").unwrap(), "file 0644 8");
    assert!(
        !packed.said.contains(file.to_str().unwrap()),
        "{}",
        packed.said
    );
    if runs_containers() {
        assert_eq!(
            packed.prints(&["/usr/local/bin/cat", "/etc/x"]),
            "verbose\n"
        );
    }
}

#[test]
fn a_path_of_the_system_keeps_its_place() {
    let packed = with(&["--add", "/etc/passwd"]);
    assert_eq!(
        packed.file("etc/passwd"),
        fs::read_to_string("/etc/passwd").unwrap()
    );
}

#[test]
fn a_folder_comes_with_everything_in_it() {
    let folder = common::temporary();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("deep/empty")).unwrap();
    fs::write(data.join("deep/file"), "x").unwrap();
    fs::write(data.join(".hidden"), "x").unwrap();
    script(&data, "run.sh", "#!/bin/sh\n");
    let packed = with(&[&add(&data, "/srv")]);
    assert_eq!(packed.node("srv/deep/file").unwrap(), "file 0644 1");
    assert_eq!(packed.node("srv/run.sh").unwrap(), "file 0755 10");
    assert!(packed.has("srv/.hidden"));
    assert_eq!(packed.node("srv/deep/empty").unwrap(), "folder 0755");
}

#[test]
fn a_link_in_a_folder_stays_a_link() {
    let folder = common::temporary();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("one"), "x").unwrap();
    symlink("one", data.join("two")).unwrap();
    let packed = with(&[&add(&data, "/srv")]);
    assert_eq!(packed.node("srv/one").unwrap(), "file 0644 1");
    assert_eq!(packed.node("srv/two").unwrap(), "link one");
}

#[test]
fn a_link_to_a_folder_stays_a_link() {
    let folder = common::temporary();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("v1")).unwrap();
    fs::write(data.join("v1/file"), "x").unwrap();
    symlink("v1", data.join("current")).unwrap();
    let packed = with(&[&add(&data, "/srv")]);
    assert_eq!(packed.node("srv/v1/file").unwrap(), "file 0644 1");
    assert_eq!(packed.node("srv/current").unwrap(), "link v1");
}

#[test]
fn a_glob_brings_what_it_matches() {
    let folder = common::temporary();
    for name in ["a.conf", "b.conf", "c.txt", ".d.conf"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let check = |packed: Packed| {
        assert!(packed.has("etc/app/a.conf") && packed.has("etc/app/b.conf"));
        assert!(!packed.has("etc/app/c.txt") && !packed.has("etc/app/.d.conf"));
    };
    check(with(&[&add(&folder.path().join("*.conf"), "/etc/app")]));
    check(pack_in(
        folder.path(),
        &[hello(), "--add", "*.conf:/etc/app/"],
    ));
    let said = refused_with(2, &[&add(&folder.path().join("*.none"), "/etc")]);
    assert!(said.contains("*.none"), "{said}");
}

#[test]
fn an_added_program_brings_its_libraries_and_its_needs() {
    let folder = common::temporary();
    let library = "int answer(void) { return 42; }\n";
    let soname = "-Wl,-soname,libanswer.so.1";
    let flags = ["-shared", "-fPIC", soname];
    let library = common::compile(folder.path(), "libanswer.so.1", library, &flags);
    let source = "#include <stdio.h>\n#include <stdlib.h>\nint answer(void);\nint main(void) { \
                  char name[] = \"/tmp/x-XXXXXX\"; if (mkstemp(name) < 0) return 1; \
                  printf(\"%d\\n\", answer()); return 0; }\n";
    let flags = [library.to_str().unwrap(), "-Wl,-rpath,$ORIGIN"];
    let program = common::compile(folder.path(), "other", source, &flags);
    let static_hello = common::compile(folder.path(), "main", common::HELLO, &["-static"]);
    let packed = pack(&[
        static_hello.to_str().unwrap(),
        &add(&program, "/opt/app/other"),
    ]);
    assert!(packed.has("opt/app/other") && packed.has("opt/app/libanswer.so.1"));
    assert!(packed.has("tmp"), "{}", packed.said);
    if runs_containers() {
        assert_eq!(packed.prints(&["/opt/app/other"]), "42\n");
    }
}

#[test]
fn two_files_for_one_path_are_refused_and_both_named() {
    let folder = common::temporary();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::write(&one, "1").unwrap();
    fs::write(&two, "2").unwrap();
    let said = refused_with(2, &[&add(&one, "/etc/x"), &add(&two, "/etc/x")]);
    for word in ["/etc/x", one.to_str().unwrap(), two.to_str().unwrap()] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = refused_with(2, &[&add(&one, "/usr/local/bin/hello")]);
    for word in [hello(), one.to_str().unwrap()] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // Two files with the same bytes do not collide.
    fs::write(&two, "1").unwrap();
    with(&[&add(&one, "/etc/x"), &add(&two, "/etc/x")]);
}

#[test]
fn an_added_file_stands_for_the_one_that_a_need_writes() {
    let folder = common::temporary();
    let users = folder.path().join("passwd");
    let text = "me:x:1:1::/:\napp:x:2:2::/:\n";
    fs::write(&users, text).unwrap();
    let flag = add(&users, "/etc/passwd");
    for flags in [&["-u", "app"][..], &["-u", "app", "--without", "users"]] {
        let packed = with(&[flags, &[&flag]].concat());
        assert_eq!(packed.file("etc/passwd"), text);
        assert!(!packed.said.contains("needs --add"), "{}", packed.said);
    }
}

#[test]
fn what_has_no_place_is_refused() {
    let folder = common::temporary();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for (to, reason) in [
        ("/etc/../x", ".."),
        ("/proc/x", "/proc"),
        ("/etc/.wh.x", ".wh."),
        ("/etc/.wh..wh..opq", ".wh."),
    ] {
        let said = refused_with(2, &[&add(&file, to)]);
        assert!(said.contains(reason), "{to}: {said}");
    }
    let said = refused_with(2, &["--add", "etc/passwd"]);
    assert!(said.contains("SRC:DEST"), "{said}");
    let said = refused_with(2, &["--add", "/no/such/file:/etc/x"]);
    assert!(said.contains("/no/such/file"), "{said}");
    let whiteout = folder.path().join("data");
    fs::create_dir(&whiteout).unwrap();
    fs::write(whiteout.join(".wh.gone"), "").unwrap();
    let said = refused_with(2, &[&add(&whiteout, "/srv")]);
    assert!(said.contains(".wh.gone"), "{said}");
}

#[test]
fn a_needed_library_cannot_be_left_out_and_data_can() {
    let said = refused_with(1, &["--exclude", "libc.so.6"]);
    assert!(said.contains("libc.so.6"), "{said}");
    let folder = common::temporary();
    for name in ["keep.txt", "drop.md"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let data = add(&folder.path().join("*.*"), "/srv");
    for glob in ["*.md", "/srv/*.md"] {
        let packed = with(&[&data, "--exclude", glob]);
        assert!(
            packed.has("srv/keep.txt") && !packed.has("srv/drop.md"),
            "{glob}"
        );
    }
}

#[test]
fn busybox_brings_a_shell_and_its_commands() {
    if !common::have(&["busybox"]) {
        return;
    }
    let busybox = common::find("busybox").unwrap();
    for flags in [
        &["--with", "busybox"][..],
        &["--busybox", busybox.to_str().unwrap()],
    ] {
        let packed = with(flags);
        assert!(packed.node("bin/busybox").unwrap().starts_with("file 0755"));
        assert_eq!(packed.node("bin/ls").unwrap(), "link busybox");
        if runs_containers() {
            let counted = packed.prints(&["/bin/sh", "-c", "ls / | wc -l"]);
            assert!(counted.trim().parse::<u32>().unwrap() > 2, "{counted}");
        }
    }
    let said = refused_with(2, &["--busybox", hello()]);
    assert!(said.contains("as busybox"), "{said}");
}

#[test]
fn a_source_without_busybox_names_the_package() {
    let folder = common::temporary();
    fs::create_dir_all(folder.path().join("root/usr")).unwrap();
    let program = common::compile(folder.path(), "hello", common::HELLO, &["-static"]);
    let root = folder.path().join("root");
    let words = [program.to_str().unwrap(), "--with", "busybox", "--root"];
    let said = refused(2, &[&words[..], &[root.to_str().unwrap()]].concat());
    assert!(said.contains("busybox-static"), "{said}");
}

/// Packs a script, then packs it again with the suggested flags; in the image, the script must then
/// do what it does on this machine.
fn runs_as_here(script: &Path) {
    let first = pack(&[script]);
    let packed = pack(&[script.display().to_string(), first.suggested()]);
    if runs_containers() {
        let expected = common::succeed(&mut Command::new(script));
        assert_eq!(packed.prints(&[]), expected);
    }
}

#[test]
fn a_script_brings_its_interpreter_and_the_hint_the_rest() {
    let folder = common::temporary();
    let body = "set -e\nwords='b a'\nfor word in $words; do echo $word; done | sort | tr a-z A-Z\n\
                if true; then printf x | wc -c; fi\n";
    let plain = script(folder.path(), "plain.sh", &format!("#!/bin/sh\n{body}"));
    let packed = pack(&[&plain]);
    for command in ["sort", "tr", "wc"] {
        let flag = packed.suggested();
        let (_, names) = flag.split_once('=').unwrap();
        let (_, names) = names.split_once('=').unwrap();
        assert!(names.split('+').any(|name| name == command), "{names}");
    }
    assert!(packed.has("usr/local/bin/plain.sh"), "{:?}", packed.layer());
    runs_as_here(&plain);
    if !common::have(&["bash"]) {
        return;
    }
    let env = format!("#!/usr/bin/env bash\n{body}");
    runs_as_here(&script(folder.path(), "env.sh", &env));
    let split = format!("#!/usr/bin/env -S bash -u\n{body}");
    runs_as_here(&script(folder.path(), "split.sh", &split));
}

#[test]
fn a_script_that_is_added_brings_what_runs_it() {
    let folder = common::temporary();
    let tool = script(folder.path(), "tool.sh", "#!/bin/sh\necho done\n");
    let packed = with(&[&add(&tool, "/opt/tool.sh")]);
    assert!(packed.node("opt/tool.sh").unwrap().starts_with("file 0755"));
    if runs_containers() {
        assert_eq!(packed.prints(&["/opt/tool.sh"]), "done\n");
    }
}

#[test]
fn a_script_that_is_added_without_its_interpreter_is_warned_of() {
    let folder = common::temporary();
    let tool = script(folder.path(), "tool.sh", "#!/no/such/shell\n");
    let said = with(&[&add(&tool, "/opt/tool.sh")]).said;
    assert!(
        said.contains("tool.sh will not start: its interpreter /no/such/shell"),
        "{said}"
    );
}

/// The shebang of `cgi.py` names a Python that no distribution installs there. Nothing starts it.
#[test]
fn modules_of_a_standard_library_are_not_programs_that_lack_their_interpreter() {
    if !common::have(&["python3"]) {
        return;
    }
    let folder = common::temporary();
    let tool = script(folder.path(), "tool.py", "#!/usr/bin/env python3\n");
    let said = pack(&[tool.as_path(), Path::new("--with"), Path::new("stdlib")]).said;
    assert!(!said.contains("will not start"), "{said}");
}

#[test]
fn a_script_without_its_interpreter_is_refused() {
    let folder = common::temporary();
    for (line, reason) in [
        ("#!/no/such/shell", "/no/such/shell"),
        ("#!/usr/bin/env no-such-command", "no-such-command"),
        ("#!/bin/sh\r", "/bin/sh\\r"),
        ("#!", "no interpreter"),
    ] {
        let path = script(folder.path(), "bad.sh", &format!("{line}\necho x\n"));
        let said = refused(2, &[&path]);
        assert!(said.contains(reason), "{line}: {said}");
        assert!(said.contains("bad.sh"), "{line}: {said}");
    }
}

#[test]
fn no_path_of_this_machine_is_in_an_image() {
    let folder = common::temporary();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "x").unwrap();
    symlink("file", data.join("link")).unwrap();
    let program = common::compile(folder.path(), "cat", CAT, &["-s"]);
    let tool = script(folder.path(), "tool.sh", "#!/bin/sh\necho done\n");
    let name = folder.path().file_name().unwrap().as_encoded_bytes();
    for words in [
        vec![program.display().to_string(), add(&data, "/srv")],
        vec![tool.display().to_string(), add(&program, "/opt/cat")],
        vec![
            hello().to_owned(),
            add(&tool, "/opt/tool"),
            add(&data, "/srv"),
        ],
    ] {
        let packed = pack(&words);
        let bytes = fs::read(&packed.archive).unwrap();
        let found = bytes.windows(name.len()).position(|window| window == name);
        assert_eq!(found, None, "{words:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn what_is_closed_to_others_stays_closed() {
    let folder = common::temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("data/private")).unwrap();
    for (name, mode) in [
        ("data/key", 0o600),
        ("data/shadow", 0o640),
        ("data/sudoers", 0o440),
        ("data/script", 0o700),
        ("data/shared", 0o664),
        ("data/plain", 0o444),
        ("data/private/inside", 0o644),
    ] {
        fs::write(at(name), name).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(at("data/private"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(at("data/locked")).unwrap();
    fs::set_permissions(at("data/locked"), fs::Permissions::from_mode(0o550)).unwrap();
    fs::create_dir(at("data/listed")).unwrap();
    fs::set_permissions(at("data/listed"), fs::Permissions::from_mode(0o754)).unwrap();
    let packed = with(&["--add", &format!("{}:/data", at("data").display())]);
    for (name, expected) in [
        ("key", "file 0600"),
        ("shadow", "file 0640"),
        ("sudoers", "file 0440"),
        ("script", "file 0700"),
        ("shared", "file 0644"),
        ("plain", "file 0644"),
        ("private", "folder 0700"),
        ("locked", "folder 0750"),
        ("listed", "folder 0754"),
        ("private/inside", "file 0644"),
    ] {
        let node = packed.node(&format!("data/{name}")).unwrap();
        assert!(node.starts_with(expected), "{name}: {node}");
    }
    let words = |user| {
        let key = add(&at("data/key"), "/etc/key");
        let packed = with(&["-u", user, &key, "--add", "/etc/hostname"]);
        packed.said
    };
    assert!(words("33").contains("the user 33 may not read /etc/key: give it to the user with"));
    assert!(!words("root").contains("may not read"));
    let listed = add(&at("data/listed"), "/listed");
    assert!(
        with(&["-u", "33:33", &listed])
            .said
            .contains("may not read /listed")
    );
    // Without /etc/passwd in the image, a numeric user gets root's group.
    let said = with(&["-u", "33", &listed]).said;
    assert!(!said.contains("may not read"), "{said}");
    let group = add(&at("data/shadow"), "/etc/shadow");
    assert!(
        !with(&["-u", "33:root", &group])
            .said
            .contains("may not read")
    );
    assert!(
        with(&["-u", "33:33", &group])
            .said
            .contains("may not read /etc/shadow")
    );
}
