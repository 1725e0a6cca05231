//! Faults that would show up only later are reported while packing, and by lint.

use crate::common;
use crate::image_writer;
use crate::packing;
use crate::root_images;
use crate::roots;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{fail_with, hello, output, slimpack, succeed, temporary, text};
use image_writer::Member;
use packing::pack;
use proptest::prelude::*;
use roots::Root;
use serde_json::json;

#[test]
fn a_library_to_preload_that_is_not_there_is_told_by_pack_and_by_lint() {
    let preload = ["-e", "LD_PRELOAD=libgone.so:/opt/other.so"];
    let packed = pack(&[&[hello().to_str().unwrap()], &preload[..]].concat());
    for name in ["libgone.so", "/opt/other.so"] {
        let line = format!("LD_PRELOAD lists {name}, which is not found");
        assert!(packed.said.contains(&line), "{}", packed.said);
    }
    let json = common::succeed(
        slimpack()
            .args([hello().to_str().unwrap(), "--json", "-o", "/dev/null"])
            .args(preload),
    );
    assert!(json.contains("LD_PRELOAD lists libgone.so"), "{json}");
    let report = roots::lint(["--only", "SP017", packed.archive.to_str().unwrap()]);
    assert_eq!(report.of("SP017").len(), 2);
    let found = report.about("SP017", "libgone.so");
    roots::assert_has(
        found,
        &json!({"severity": "warning", "evidence": {"source": "LD_PRELOAD"}}),
    );
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    root.lint().is_silent("SP017");
    root.write("etc/ld.so.preload", "/lib/libabsent.so # a comment\n");
    let report = root.lint();
    assert_eq!(
        report.of("SP017").len(),
        1,
        "once, however many programs there are"
    );
    report.about("SP017", "/lib/libabsent.so");
    // The loader prints an error and continues.
    if let Some(started) = root.start("/usr/bin/app", &[]) {
        assert!(started.is_ok(), "{started:?}");
    }
}

#[test]
fn a_shell_is_followed_however_its_options_are_written() {
    let root = Root::glibc();
    root.program("bin/sh", &[], &[]);
    for (words, is_told) in [
        (json!(["/bin/sh", "-c", "/app/gone"]), true),
        (json!(["/bin/sh", "-ec", "/app/gone"]), true),
        (json!(["/bin/sh", "-e", "-c", "exec /app/gone --now"]), true),
        (
            json!(["/bin/sh", "-eo", "pipefail", "-c", "/app/gone"]),
            true,
        ),
        (json!(["/bin/sh", "-c", "/bin/sh"]), false),
        (json!(["/bin/sh", "/app/script", "-c", "/app/gone"]), false),
    ] {
        let report = root_images::lint_image(&root, |config| {
            config["config"] = json!({"Entrypoint": words});
        });
        match is_told {
            true => drop(report.about("SP302", "/app/gone")),
            false => report.is_silent("SP302"),
        }
    }
}

#[test]
fn files_that_are_no_programs_are_told_for_what_they_are() {
    let folder = temporary();
    for (name, bytes, said) in [
        ("plain", &b"echo hello\n"[..], "text without a #! line"),
        (
            "marked",
            b"\xef\xbb\xbf#!/bin/sh\necho\n",
            "byte-order mark",
        ),
        ("windows", b"MZ\x90\0\x03", "Windows program"),
        ("empty", b"", "it is empty"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let text = fail_with(2, slimpack().arg(&path));
        assert!(text.contains(said), "{name}: {text}");
        if name == "windows" {
            let text = fail_with(2, slimpack().arg("inspect").arg(&path));
            assert!(
                text.contains("it is a Windows program; images are"),
                "{text}"
            );
        }
        let root = Root::glibc();
        root.write("app", bytes);
        root.mode("app", 0o755);
        let report = root_images::lint_image(&root, |config| {
            config["config"] = json!({"Entrypoint": ["/app"]});
        });
        let message = report.only("SP302")["message"].as_str().unwrap().to_owned();
        assert!(message.contains(said), "{name}: {message}");
    }
    let archive = folder.path().join("image.tar");
    succeed(slimpack().arg(hello()).arg("-qo").arg(&archive));
    let text = fail_with(2, slimpack().arg(&archive));
    assert!(
        text.contains("tar archive") && text.contains("slimpack inspect"),
        "{text}"
    );
}

#[test]
fn the_first_executable_of_path_is_the_engine_and_not_the_first_file() {
    let folder = temporary();
    for name in ["one", "two"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("one/docker"), "not a program").unwrap();
    let real = folder.path().join("two/docker");
    fs::write(&real, "#!/bin/sh\necho it answers >&2; exit 1\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{0}/one:{0}/two", folder.path().display());
    let text = fail_with(2, slimpack().arg(hello()).arg("--load").env("PATH", path));
    assert!(text.contains("it answers"), "{text}");
}

#[test]
fn a_file_that_an_argument_names_is_offered_as_a_file() {
    let folder = temporary();
    let settings = folder.path().join("app.conf");
    fs::write(&settings, "x\n").unwrap();
    let words = format!("-f {}", settings.display());
    let packed = pack(&[hello().to_str().unwrap(), "--cmd", &words]);
    let flag = format!("--add {}", settings.display());
    assert!(packed.said.contains(&flag), "{}", packed.said);
    assert!(!packed.said.contains("commands="), "{}", packed.said);
    let add = settings.display().to_string();
    let packed = pack(&[hello().to_str().unwrap(), "--cmd", &words, "--add", &add]);
    assert!(
        !packed.said.contains("hint: an argument"),
        "{}",
        packed.said
    );
}

#[test]
fn a_script_is_followed_through_its_variables() {
    let folder = temporary();
    let helper = folder.path().join("tool.bin");
    fs::copy(hello(), &helper).unwrap();
    let script = folder.path().join("tool");
    for line in [
        "exec \"$0.bin\" \"$@\"".to_owned(),
        format!("bin={}\nexec \"$bin/tool.bin\"", folder.path().display()),
    ] {
        fs::write(&script, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let packed = pack(&[&script]);
        let flag = format!("commands={}", helper.display());
        assert!(packed.said.contains(&flag), "{line}: {}", packed.said);
    }
}

/// Characters that a terminal interprets, or that hide or reorder others.
fn strange() -> impl Strategy<Value = char> {
    prop_oneof![
        Just('\u{1b}'),
        Just('\u{9b}'),
        Just('\r'),
        Just('\u{ad}'),
        Just('\u{200e}'),
        Just('\u{202e}'),
        Just('\u{2028}'),
        Just('\u{2029}'),
        Just('\u{2066}'),
        Just('\u{feff}'),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_text_of_an_image_reaches_a_terminal_as_it_is(one in strange(), other in strange()) {
        let name = format!("a{one}b{other}c");
        let root = Root::glibc();
        root.program("usr/bin/app", &[], &[]);
        let mut members = root_images::members(&root.path);
        members.push(Member::file(format!("data/{name}"), b"x"));
        members.push(Member::file(format!("usr/bin/s{name}"), format!("#!/bin/{name}\n").as_bytes()));
        members.push(Member::symlink(format!("data/link{one}"), &name));
        let layer = image_writer::Layer::of(&members);
        let files = root_images::docker_archive("app:1", &[layer], |config| {
            config["author"] = json!(name);
            config["history"] = json!([{"created_by": name, "comment": name}]);
            config["config"] = json!({
                "Entrypoint": ["/usr/bin/app", name], "Cmd": [name], "Env": [format!("A={name}"), format!("LD_PRELOAD={name}")],
                "User": name, "WorkingDir": format!("/{name}"), "Labels": {name.clone(): name},
                "StopSignal": name, "Volumes": {format!("/{name}"): {}}, "ExposedPorts": {name.clone(): {}},
            });
        });
        let image = root_images::write(&root, &files);
        let image = image.to_str().unwrap();
        let path = format!("/data/{name}");
        for words in [
            &["inspect", "-v", image][..], &["inspect", "--files", image], &["inspect", "--layers", image],
            &["tree", "-v", image], &["lint", "-v", image], &["size", image], &["diff", image, hello().to_str().unwrap()],
            &["why", image, &path], &["--from", image], &["--from", image, "/usr/bin/gone"],
        ] {
            let said = text(&output(slimpack().args(words)));
            let is_strange = |c: char| c != '\n' && (c.is_control() || "\u{ad}\u{200e}\u{202e}\u{2028}\u{2029}\u{2066}\u{feff}".contains(c));
            prop_assert!(!said.contains(is_strange), "{words:?}: {said:?}");
        }
    }
}

#[test]
fn an_archive_that_a_program_carries_is_named() {
    if !common::have(&["python3"]) {
        return;
    }
    let folder = common::temporary();
    let program = std::fs::read(hello()).unwrap();
    let pack = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        text(&output(slimpack().arg(&path)))
    };
    assert!(!pack("plain", &program).contains("archive"));
    // A zip archive appended to the program by Python's own module.
    let zip = "import sys, zipfile, os
with zipfile.ZipFile(sys.argv[1], 'a') as z: z.writestr('data', os.urandom(1 << 17))";
    let carrier = folder.path().join("carrier");
    std::fs::write(&carrier, &program).unwrap();
    common::succeed(
        std::process::Command::new("python3")
            .args(["-c", zip])
            .arg(&carrier),
    );
    let said = pack("zip", &std::fs::read(&carrier).unwrap());
    assert!(said.contains("contains a zip archive"), "{said}");
    // Bytes of an unknown kind; a few are taken for a signature or padding.
    let bytes: Vec<u8> = (0..1 << 17).map(|n: u32| (n % 251) as u8).collect();
    let said = pack("unknown", &[&program[..], &bytes].concat());
    assert!(said.contains("bytes after its sections"), "{said}");
    let said = pack("padded", &[&program[..], &bytes[..1 << 12]].concat());
    assert!(!said.contains("bytes after its sections"), "{said}");
    // The magic number of an AppImage of type 2.
    let mut appimage = program;
    appimage[8..11].copy_from_slice(b"AI\x02");
    let said = pack("appimage", &appimage);
    assert!(said.contains("--appimage-extract"), "{said}");
}

#[test]
fn a_script_that_extracts_itself_is_named_and_its_archive_is_no_text() {
    let folder = temporary();
    let script = folder.path().join("installer");
    let mut bytes = b"#!/bin/sh\ntail -n +4 \"$0\" | tar xz -C /tmp\nexit 0\n".to_vec();
    bytes.extend(image_writer::gzip(b"\nls;w;id\n"));
    bytes.extend(b"\nls\n");
    fs::write(&script, bytes).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let packed = pack(&[&script]);
    assert!(
        packed.said.contains("has data after its commands"),
        "{}",
        packed.said
    );
    assert!(packed.said.contains("tail"), "{}", packed.said);
    assert!(!packed.said.contains("commands=ls"), "{}", packed.said);
}

#[test]
fn variables_that_are_declared_with_a_builtin_are_followed() {
    let folder = temporary();
    for line in [
        "export BINDIR=/usr/bin",
        "readonly BINDIR=/usr/bin",
        "declare -r BINDIR=/usr/bin",
        "export A=1 BINDIR=/usr/bin",
    ] {
        let script = folder.path().join("script");
        fs::write(
            &script,
            format!("#!/bin/sh\n{line}\nexport BINDIR\nexec \"$BINDIR/sort\"\n"),
        )
        .unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let packed = pack(&[&script]);
        assert!(packed.said.contains("sort"), "{line}: {}", packed.said);
    }
}
