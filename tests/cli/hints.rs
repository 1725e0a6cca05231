//! Hints: never at what the image has, and never with an option that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{compile, have, hello, slimpack, succeed, temporary, text};
use crate::packing::{pack, refused};

/// Writes an executable script.
fn script(at: &Path, name: &str, source: &str) -> String {
    let path = at.join(name);
    fs::write(&path, source).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn what_is_added_by_hand_is_no_hint() {
    let folder = temporary();
    let app = script(folder.path(), "app", "#!/bin/sh\nls | sort\n");
    let plain = pack(&[app.as_str()]);
    assert!(
        plain.said.contains("--with commands=ls+sort"),
        "{}",
        plain.said
    );
    let one = pack(&[&app, "--add", "/bin/ls"]);
    assert!(
        one.said.contains("--with commands=sort adds"),
        "{}",
        one.said
    );
    let both = pack(&[&app, "--add", "/bin/ls", "--add", "/usr/bin/sort"]);
    assert!(!both.said.contains("hint"), "{}", both.said);
}

/// The run tests for a program that is in the image, and lists a directory that is there as a whole.
#[test]
fn what_a_trace_and_something_else_bring_is_no_hint() {
    let folder = temporary();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    for name in ["one", "two"] {
        fs::write(data.join(name), name).unwrap();
    }
    let bash = "/bin/bash";
    let source = format!(
        "#!{bash}\ntest -x {bash}\nfor name in {}/*; do :; done\n",
        data.display()
    );
    let app = script(folder.path(), "app", &source);
    let traced = pack(&[&app, "--trace", ""]);
    assert!(traced.said.contains("--trace-dirs"), "{}", traced.said);
    assert!(!traced.said.contains("--add /bin/bash"), "{}", traced.said);
    let whole = pack(&[&app, "--trace", "", "--add", &data.display().to_string()]);
    assert!(!whole.said.contains("hint"), "{}", whole.said);
}

#[test]
fn a_hint_at_time_zones_says_that_all_come() {
    let folder = temporary();
    let source =
        "#include <stdio.h>\nint main(void) { return puts(\"/usr/share/zoneinfo/zone.tab\") < 0; }";
    let program = compile(folder.path(), "app", source, &[]);
    let packed = pack(&[&program]);
    let told = "--with tzdata adds all time zones";
    assert!(packed.said.contains(told), "{}", packed.said);
    // Not what such a program certainly has.
    let needs = succeed(slimpack().arg("needs").arg(&program));
    assert!(needs.contains("tzdata (hint)"), "{needs}");
}

/// Packages for several architectures in one directory, as of npm.
#[test]
fn files_of_a_directory_may_be_for_another_architecture() {
    if !have(&["aarch64-linux-gnu-gcc"]) {
        return;
    }
    let folder = temporary();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let source = folder.path().join("addon.c");
    fs::write(
        &source,
        "#include <stdio.h>\nint addon(void) { return puts(\"\"); }",
    )
    .unwrap();
    let addon = data.join("addon.node");
    let mut compiler = std::process::Command::new("aarch64-linux-gnu-gcc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&addon);
    succeed(compiler.arg(&source));
    let add = |path: &Path, to: &str| format!("{}:{to}", path.display());
    let packed = pack(&[hello().to_str().unwrap(), "--add", &add(&data, "/data")]);
    assert!(packed.has("data/addon.node"));
    assert!(
        packed.said.contains("another architecture"),
        "{}",
        packed.said
    );
    let said = refused(
        2,
        &[hello().to_str().unwrap(), "--add", &add(&addon, "/addon")],
    );
    assert!(said.contains("aarch64"), "{said}");
}

/// A plugin that no user named, and that cannot be loaded in the source either.
#[test]
fn an_option_that_is_suggested_does_not_fail_for_a_plugin_without_its_library() {
    let folder = temporary();
    let root = folder.path().join("root");
    let at = |path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    for object in [
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libc.so.6",
    ] {
        fs::copy(object, at(&object[1..])).unwrap();
    }
    let gone = compile(
        folder.path(),
        "libgone.so.1",
        "int gone(void) { return 0; }",
        &["-shared", "-fPIC"],
    );
    let plugin = "int gone(void); int plugin(void) { return gone(); }";
    let flags = ["-shared", "-fPIC", gone.to_str().unwrap()];
    let plugins = at("usr/lib/app/plugins/one.so");
    compile(plugins.parent().unwrap(), "one.so", plugin, &flags);
    let source =
        "#include <stdio.h>\nint main(void) { return puts(\"/usr/lib/app/plugins\") < 0; }";
    let program = at("usr/bin/app");
    compile(program.parent().unwrap(), "app", source, &[]);
    let list = at("var/lib/dpkg/info/app.list");
    fs::write(
        list,
        "/.\n/usr/bin/app\n/usr/lib/app/plugins\n/usr/lib/app/plugins/one.so\n",
    )
    .unwrap();
    let words = ["--root", root.to_str().unwrap(), program.to_str().unwrap()];
    let plain = pack(&words);
    assert!(plain.said.contains("--with plugins"), "{}", plain.said);
    let with = pack(&[&words[..], &["--with", "plugins"]].concat());
    assert!(with.has("usr/lib/app/plugins/one.so"));
    let told = "one.so cannot be loaded, here either";
    assert!(with.said.contains(told), "{}", with.said);
    // What the user names has to work.
    let add = format!("{}:/one.so", plugins.display());
    let said = refused(1, &[&words[..], &["--add", &add]].concat());
    assert!(said.contains("not found"), "{said}");
}

/// A configuration may name a file that slimpack writes itself.
#[test]
fn a_configuration_names_a_file_that_is_written() {
    let folder = temporary();
    let source = "#include <netdb.h>\nint main(void) { return !gethostbyname(\"localhost\"); }";
    let program = compile(folder.path(), "app", source, &[]);
    let configuration = folder.path().join("app.conf");
    fs::write(&configuration, "hosts = /etc/hosts\n").unwrap();
    let add = format!("{}:/etc/app.conf", configuration.display());
    let packed = pack(&[program.to_str().unwrap(), "--add", &add]);
    assert!(
        packed
            .file("etc/hosts")
            .starts_with("127.0.0.1\tlocalhost\n")
    );
}

/// Every hint of some programs with many of them.
#[test]
fn an_option_that_is_suggested_does_not_fail() {
    let programs = [
        "/usr/bin/git",
        "/usr/sbin/nginx",
        "/usr/bin/vim.basic",
        "/usr/bin/jshell",
        "/usr/bin/python3",
        "/usr/bin/ssh",
    ];
    for program in programs {
        if !Path::new(program).exists() {
            continue;
        }
        let plan = succeed(slimpack().args(["--json", program]));
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        for hint in plan["hints"].as_array().unwrap() {
            let flag = hint["flag"].as_str().unwrap();
            let mut words = vec!["--json", program];
            words.extend(flag.splitn(2, ' '));
            let with = crate::common::output(slimpack().args(&words));
            assert!(with.status.success(), "{program} {flag}: {}", text(&with));
        }
    }
}
