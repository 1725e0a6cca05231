//! `slimpack diff --html` in a browser, and how both pages are written.

use crate::page::{hostile_image, inspected, page_of, quiet};
use crate::{browser, common, image_writer, root_images};
use std::fs;
use std::path::Path;

use browser::{DESKTOP, has_browser, visit};
use common::{fail_with, output, slimpack, temporary, text};
use image_writer::{Format, Layer, Member, Packing, archive, tar};
use serde_json::{Value, json};

#[test]
fn the_page_of_a_difference_has_what_diff_has() {
    if !has_browser() {
        return;
    }
    let folder = temporary();
    let old = hostile_image(folder.path());
    let new = folder.path().join("new.tar");
    let members = [
        Member::file("srv/big", vec![3; 45_000]),
        Member::file("srv/new", vec![3; 5000]),
        Member::symlink("srv/soft", "elsewhere"),
    ];
    let layer = Layer::new(&tar(&members, Format::Pax), Packing::None);
    let files = root_images::docker_archive("team/app:2.0", &[layer], |config| {
        config["config"] = json!({"Env": ["A=2"]});
    });
    fs::write(&new, archive(&files)).unwrap();
    let page = folder.path().join("diff.html");
    // The page, and JSON on standard output.
    let said = output(
        slimpack()
            .args(["diff", "--json", "--html"])
            .args([&page, &old, &new]),
    );
    assert_eq!(said.status.code(), Some(1), "{}", text(&said));
    let document: Value = serde_json::from_slice(&said.stdout).unwrap();
    let expected = &document["images"][0];
    let answer = quiet(visit(
        &fs::read(page).unwrap(),
        DESKTOP,
        "const { changes } = data();
         const counts = {};
         for (const change of changes) counts[change.change] = (counts[change.change] || 0) + 1;
         await type(one('.files input'), 'target');
         one('.list tbody tr:not(.space)').click();
         await turn();
         return {
           counts, sum: changes.reduce((sum, change) => sum + change.after - change.before, 0),
           details: one('.details').textContent,
           fact: one('.facts strong').textContent,
           fields: texts('.fields dt'),
         };",
    ));
    for list in ["added", "removed", "changed"] {
        assert_eq!(
            answer["counts"][list],
            expected[list].as_array().unwrap().len(),
            "{list}"
        );
    }
    let bytes = |image: &Path| inspected(image)["totals"]["bytes"].as_i64().unwrap();
    assert_eq!(answer["sum"], bytes(&new) - bytes(&old));
    let details = answer["details"].as_str().unwrap();
    assert!(details.contains("→ elsewhere"), "{details}");
    let fields: Vec<String> = expected["config"]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting["field"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(answer["fields"], json!(fields));
}

#[test]
fn two_programs_are_compared_as_facts() {
    let folder = temporary();
    let compile = |name: &str, status: u8, flags: &[&str]| {
        let source = format!("int main(void) {{ return {status}; }}");
        common::compile(folder.path(), name, &source, flags)
    };
    let (one, other) = (compile("one", 1, &[]), compile("two", 2, &[]));
    let flags = ["-Wl,--enable-new-dtags,-rpath,/opt/</script>"];
    let third = compile("three", 1, &flags);
    let page = |a: &Path, b: &Path| {
        let said = output(slimpack().args(["diff", "--html", "-"]).args([a, b]));
        String::from_utf8(said.stdout).unwrap()
    };
    assert!(page(&one, &one).contains("The files are equal"));
    assert!(page(&one, &other).contains("The contents of their sections differ"));
    let html = page(&one, &third);
    assert!(html.contains("What differs"), "{html}");
    assert!(
        html.contains("<code>+ runpath /opt/&#60;/script&#62;</code>"),
        "{html}"
    );
    assert!(!html.contains("/opt/</script>"));
}

#[test]
fn a_page_is_the_same_each_time_and_whole_or_not_there() {
    let folder = temporary();
    let image = hostile_image(folder.path());
    let first = page_of(&image);
    assert_eq!(first, page_of(&image));
    let piped = output(slimpack().args(["inspect", "--html", "-"]).arg(&image));
    assert!(piped.status.success() && piped.stdout == first);
    // With JSON, both are made; the text is not printed besides a page.
    let page = folder.path().join("both.html");
    let both = output(
        slimpack()
            .args(["inspect", "--json", "--html"])
            .args([&page, &image]),
    );
    let plain = output(slimpack().args(["inspect", "--json"]).arg(&image));
    assert_eq!(
        (both.stdout, text_of(&both.stderr)),
        (plain.stdout, String::new())
    );
    assert!(fs::read(&page).unwrap() == first);
    let alone = output(slimpack().args(["inspect", "--html"]).args([&page, &image]));
    assert_eq!(alone.stdout, b"");
    assert!(
        text_of(&alone.stderr).contains("both.html: "),
        "{}",
        text(&alone)
    );
    let refused = fail_with(
        2,
        slimpack()
            .args(["inspect", "--json", "--html", "-"])
            .arg(&image),
    );
    assert!(refused.contains("--html FILE"), "{refused}");
    let missing = folder.path().join("missing/page.html");
    let refused = fail_with(
        2,
        slimpack()
            .args(["inspect", "--html"])
            .args([&missing, &image]),
    );
    assert!(refused.contains("does not exist"), "{refused}");
    // Of an image whose digests do not match there is no page, and the last one stays.
    let mut damaged = fs::read(&image).unwrap();
    let at = damaged
        .windows(5)
        .position(|bytes| bytes == b"third")
        .unwrap();
    damaged[at] = b'T';
    fs::write(&image, damaged).unwrap();
    fail_with(
        2,
        slimpack().args(["inspect", "--html"]).args([&page, &image]),
    );
    assert!(fs::read(&page).unwrap() == first);
    assert_eq!(
        common::names_in(folder.path()),
        ["both.html", "hostile.html", "hostile.tar"]
    );
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
