//! Bills of materials of images that lie: the documents stay valid, what cannot be read is said, and
//! nothing of it stops a pack.

use crate::common;
use std::fs::{self, File};
use std::process::Command;

use common::{compile, have, slimpack, succeed, temporary};

use crate::roots::Root;
use crate::sbom::{of_image, packed};

/// Packs the program in `root`, and returns what was said.
fn said(root: &Root, program: &str) -> String {
    let mut command = slimpack();
    command
        .arg(root.at(program))
        .arg(format!("--root={}", root.at("").display()));
    let output = common::output(command.args(["--sbom", "spdx-json"]));
    assert!(output.status.success(), "{}", common::text(&output));
    String::from_utf8(output.stderr).unwrap()
}

fn root_with(name: &str, fields: &str) -> Root {
    let root = Root::empty();
    root.folder("usr/bin");
    compile(&root.at("usr/bin"), "tool", common::HELLO, &["-static"]);
    root.write("etc/os-release", "ID=debian\nVERSION_ID=12\n");
    let status = format!("Package: {name}\nStatus: install ok installed\n{fields}\n");
    root.write("var/lib/dpkg/status", status);
    root.write(&format!("var/lib/dpkg/info/{name}.list"), "/usr/bin/tool\n");
    root
}

#[test]
fn a_copyright_file_without_end_is_left_out_and_said() {
    let root = root_with("tool", "Version: 1\nArchitecture: amd64\n");
    root.folder("usr/share/doc/tool");
    let file = File::create(root.at("usr/share/doc/tool/copyright")).unwrap();
    file.set_len(100 << 20).unwrap();
    let said = said(&root, "usr/bin/tool");
    let expected = "note: /usr/share/doc/tool/copyright has more than 4194304 bytes";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn build_information_that_lies_is_left_out_and_said() {
    if !have(&["objcopy", "python3"]) {
        return;
    }
    let endless = "import sys, zlib; c = zlib.compressobj(9); d = c.compress(b'[' + b' ' * (64 << 20)); \
                   sys.stdout.buffer.write(d + c.flush())";
    let bomb = common::output(Command::new("python3").args(["-c", endless])).stdout;
    assert!(bomb.len() < 1 << 17);
    let go = |flags: u8, rest: &[u8]| [b"\xff Go buildinf:\x08", &[flags][..], rest].concat();
    let length = |bytes: &[u8]| go(2, &[&[0; 16][..], bytes].concat());
    let itself = go(0, &[0x10, 0, 0x40, 0, 0, 0, 0, 0].repeat(4));
    for (section, content, expected) in [
        (".dep-v0", bomb, "inflates to too much"),
        (".dep-v0", b"no zlib".to_vec(), "is not compressed by zlib"),
        (".go.buildinfo", length(&[0xff; 16]), "has no end"),
        (
            ".go.buildinfo",
            length(&[0xff, 0xff, 3]),
            "longer than its section",
        ),
        (".go.buildinfo", itself, "longer than any"),
    ] {
        let root = root_with("tool", "Version: 1\n");
        root.write("content", content);
        let mut objcopy = Command::new("objcopy");
        let added = format!("{section}={}", root.at("content").display());
        objcopy
            .args(["--add-section", &added])
            .arg(root.at("usr/bin/tool"));
        succeed(&mut objcopy);
        fs::remove_file(root.at("content")).unwrap();
        let said = said(&root, "usr/bin/tool");
        assert!(said.contains("note: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn hostile_names_make_no_invalid_document() {
    if !have(&["python-sbom"]) {
        return;
    }
    let hostile = "Version: 1?a=b#c@d/%41 \u{1b}[2J\u{202e}é\nArchitecture: x&distro=none\n\
                   Maintainer: <<>\u{7}> (\nHomepage: https://a b\"<>\n\
                   Source: ../../x (2) (3)\nDescription: x\n";
    let root = root_with("tool", hostile);
    root.write(
        "etc/os-release",
        "ID='de bian/../\u{1b}'\nVERSION_ID=\"$(x)\nID=\n",
    );
    let copyright =
        "Format: copyright-format\nLicense: \u{1b}\"(a) OR b\nLicense: and or\nLicense: )\n";
    root.write("usr/share/doc/tool/copyright", copyright);
    let folder = temporary();
    let program = root.at("usr/bin/tool");
    let at = format!("--root={}", root.at("").display());
    packed(folder.path(), &[program.to_str().unwrap(), &at]);
    // Names that are no text, and two packages that are the same.
    use std::os::unix::ffi::OsStrExt;
    for name in [&b"a\xff"[..], b"a\xfe", b"new\nline", b"quote\"#?%"] {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::write(root.at("usr").join(name), "x").unwrap();
    }
    let twice = "Package: one\nVersion: 1\n\nPackage: one\nVersion: 1\n";
    root.write("var/lib/dpkg/status.d/one", twice);
    root.write("var/lib/dpkg/status.d/other", twice);
    let bom = of_image(folder.path(), root.at("").to_str().unwrap());
    assert!(bom.spdx["packages"].as_array().unwrap().len() >= 3);
}
