//! The pages for those who hear them or use keys alone, as axe judges them; and the packages of apk.

use crate::page::{hostile_image, page_of, quiet};
use crate::{browser, common, roots};
use std::fs;

use browser::{DESKTOP, PHONE, Window, has_browser, visit};
use common::{given, output, slimpack, succeed, temporary};
use serde_json::{Value, json};

/// What axe says of a page: each fault with the first element that has it.
fn faults(axe: &str, page: &[u8], window: Window) -> Value {
    let page = String::from_utf8(page.to_vec()).unwrap();
    // The policy of the page allows its own script alone.
    let policy = "<meta http-equiv=\"Content-Security-Policy\"";
    let (before, after) = page.split_once(policy).unwrap();
    let (_, after) = after.split_once('>').unwrap();
    let axe = axe.replace("</script", "<\\/script");
    let page = format!("{before}{after}<script>{axe}</script>");
    let script = "const found = await win.axe.run(page);
        if (found.passes.length < 20) throw new Error('hardly anything was checked');
        return found.violations.map(({ id, nodes }) => [id, nodes[0].html, nodes[0].failureSummary]);";
    let visit = visit(page.as_bytes(), window, script);
    assert_eq!(visit.answer["error"], Value::Null, "{}", visit.answer);
    visit.answer
}

#[test]
fn assistive_technology_finds_no_fault() {
    let Some(axe) = given("SLIMPACK_TEST_AXE") else {
        return;
    };
    if !has_browser() {
        return;
    }
    let axe = fs::read_to_string(axe).unwrap();
    let folder = temporary();
    let packed = folder.path().join("packed.tar");
    succeed(slimpack().args(["/bin/ls", "-o"]).arg(&packed));
    let hostile = hostile_image(folder.path());
    let page = folder.path().join("difference.html");
    output(
        slimpack()
            .args(["diff", "-q", "--html"])
            .args([&page, &packed, &hostile]),
    );
    let difference = fs::read(page).unwrap();
    for (name, page) in [
        ("packed", page_of(&packed)),
        ("hostile", page_of(&hostile)),
        ("difference", difference),
    ] {
        for window in [DESKTOP, PHONE] {
            let faults = faults(&axe, &page, window);
            assert_eq!(faults, json!([]), "{name} at {}", window.width);
        }
    }
}

#[test]
fn packages_of_apk_own_what_their_database_lists() {
    if !has_browser() {
        return;
    }
    let root = roots::Root::empty();
    root.write("usr/bin/tool", "#!/bin/sh\n");
    root.write("usr/local/bin/tool", "#!/bin/sh\n");
    let database = "P:musl\nV:1.2.4-r2\nF:lib\nR:libc.so\n\nP:tool\nV:3-r0\nF:usr/bin\nR:tool\nF:usr/local/bin\nR:tool\n";
    root.write("lib/apk/db/installed", database);
    let answer = quiet(visit(
        &page_of(&root.at("")),
        DESKTOP,
        "return all('#packages-0 tbody tr').map((row) => [...row.children].slice(0, 3).map((cell) => cell.textContent));",
    ));
    assert_eq!(
        answer,
        json!([["tool", "3-r0", "1"], ["musl", "1.2.4-r2", "0"]])
    );
}
