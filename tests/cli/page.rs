//! `slimpack inspect --html`: the page in a browser shows what the same command prints as JSON, and
//! what `slimpack why` says.

use crate::{browser, common, image_writer, root_images};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use browser::{DESKTOP, PHONE, Visit, has_browser, visit};
use common::{have, output, slimpack, succeed, temporary};
use image_writer::{Format, Layer, Member, Packing, archive, tar};
use serde_json::{Value, json};

/// The page of an image.
pub fn page_of(image: &Path) -> Vec<u8> {
    let page = image.with_extension("html");
    succeed(
        slimpack()
            .args(["inspect", "-q", "--html"])
            .args([&page, image]),
    );
    fs::read(page).unwrap()
}

pub fn inspected(image: &Path) -> Value {
    let text = succeed(slimpack().args(["inspect", "--json", "--files"]).arg(image));
    let document: Value = serde_json::from_str(&text).unwrap();
    document["images"][0].clone()
}

fn packed(folder: &Path, program: &str) -> PathBuf {
    let image = folder.join("packed.tar");
    succeed(slimpack().arg(program).arg("-o").arg(&image));
    image
}

/// The answer of a visit during which nothing was requested, and nothing went wrong.
pub fn quiet(visit: Visit) -> Value {
    assert_eq!(visit.requests, Vec::<String>::new());
    assert_eq!(visit.console, Vec::<String>::new());
    assert_eq!(visit.answer["error"], Value::Null, "{}", visit.answer);
    visit.answer
}

/// Names and settings that would be markup, code or another path if they were not escaped.
const HOSTILE: [&str; 6] = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "a&amp;b\"'`${1}\\",
    "\u{2028}\u{2029}line",
    "]]><svg onload=alert(1)>",
    "</style><style>*{display:none}",
];

/// An image of three layers: the second replaces and removes, and all have hostile names.
pub fn hostile_image(folder: &Path) -> PathBuf {
    let path = |name: &str| format!("srv/{}", name.replace('/', "\u{2215}"));
    let hostile = HOSTILE.iter().map(|name| Member::file(path(name), name));
    let mut first = vec![
        Member::folder("srv"),
        Member::file("srv/big", vec![7; 50_000]),
        Member::file("srv/gone", vec![7; 20_000]),
        Member::file("srv/twice", vec![9; 9000]),
        Member::hard_link("srv/hard", "srv/big"),
        Member::symlink("srv/soft", HOSTILE[0]),
        // A name with a slash makes a directory of that name.
        Member::file(format!("srv/{}/inner", HOSTILE[0]), "inner"),
    ];
    first.extend(hostile);
    let second = [
        Member::file("srv/big", vec![8; 30_000]),
        Member::file("srv/.wh.gone", ""),
    ];
    let third = [Member::file("opt/again", vec![9; 9000])];
    let layers = [&first[..], &second, &third]
        .map(|members| Layer::new(&tar(members, Format::Pax), Packing::Gzip));
    let files = root_images::docker_archive("team/app:1.0", &layers, |config| {
        config["config"] = json!({
            "Entrypoint": [HOSTILE[0]],
            "Env": [format!("A={}", HOSTILE[1])],
            "Labels": {HOSTILE[5]: HOSTILE[4]},
        });
        config["history"] = json!([
            {"created_by": HOSTILE[0]}, {"created_by": HOSTILE[1]}, {"created_by": "third"},
        ]);
    });
    let image = folder.join("hostile.tar");
    fs::write(&image, archive(&files)).unwrap();
    image
}

#[test]
fn a_page_counts_what_inspect_counts() {
    if !has_browser() || !have(&["/usr/bin/curl"]) {
        return;
    }
    let folder = temporary();
    for image in [
        packed(folder.path(), "/usr/bin/curl"),
        hostile_image(folder.path()),
    ] {
        let expected = inspected(&image);
        let answer = quiet(visit(
            &page_of(&image),
            DESKTOP,
            "const files = data().files;
             const own = files.filter((file) => !['link', 'special'].includes(file.kind) && file.same === undefined);
             return {
               files: own.length,
               bytes: files.reduce((sum, file) => sum + file.bytes, 0),
               links: files.filter((file) => file.kind === 'link').length,
               all: Object.fromEntries(files.map((file) => [file.path, file.bytes])),
               crumbs: one('.crumbs').textContent,
               facts: texts('.facts li'),
               status: one('.files .status').textContent,
               rows: Number(one('.list table').getAttribute('aria-rowcount')) - 1,
               layers: texts('.layers .waste'),
             };",
        ));
        let totals = &expected["totals"];
        for count in ["files", "bytes", "links"] {
            assert_eq!(answer[count], totals[count], "{count}");
        }
        let nodes = expected["tree"].as_array().unwrap().iter();
        let listed: Vec<_> = nodes.filter(|node| node["kind"] != "folder").collect();
        assert_eq!(answer["rows"], listed.len());
        assert_eq!(answer["all"].as_object().unwrap().len(), listed.len());
        for node in listed {
            let path = slimpack::vfs::one_line(node["path"].as_str().unwrap());
            let bytes = &answer["all"][&path];
            // A hard link is counted under the first of its names.
            let is_other_name = path == "/srv/hard" && *bytes == 0;
            assert!(is_other_name || *bytes == node["bytes"], "{path}: {bytes}");
        }
        let crumbs = answer["crumbs"].as_str().unwrap();
        assert!(
            crumbs.contains(&format!("in {} files", totals["files"])),
            "{crumbs}"
        );
        let layers = expected["layers"].as_array().unwrap().len();
        assert_eq!(answer["layers"].as_array().unwrap().len(), layers);
    }
}

#[test]
fn layers_show_what_later_ones_overwrite_and_remove() {
    if !has_browser() {
        return;
    }
    let folder = temporary();
    let image = hostile_image(folder.path());
    let waste = &inspected(&image)["waste"];
    // The link keeps the bytes of the file that it names.
    assert_eq!(
        (&waste["hidden_bytes"], &waste["duplicate_bytes"]),
        (&json!(70_000), &json!(9000))
    );
    let answer = quiet(visit(
        &page_of(&image),
        DESKTOP,
        "return { waste: texts('.layers .waste'), tables: texts('#layers-0 tbody tr') };",
    ));
    assert_eq!(
        answer["waste"],
        json!(["20.0 kB wasted", "0 B wasted", "0 B wasted"])
    );
    let tables = answer["tables"].to_string();
    assert!(
        tables.contains("/srv/big") && tables.contains("in 2 layers"),
        "{tables}"
    );
    assert!(
        tables.contains("/opt/again") && tables.contains("= /srv/twice"),
        "{tables}"
    );
}

#[test]
fn the_path_to_each_file_is_the_first_chain_of_why() {
    if !has_browser() || !have(&["/usr/bin/curl"]) {
        return;
    }
    let folder = temporary();
    let image = packed(folder.path(), "/usr/bin/curl");
    // What is shown, in the details of each row, for every file.
    let answer = quiet(visit(
        &page_of(&image),
        DESKTOP,
        "const found = {};
         const scroller = one('.list .scroller');
         await press(scroller, 'Home');
         for (let row = 0; row < data().files.length; row += 1) {
           const path = one('.details h3').textContent;
           found[path] = all('.details .chain li').map((step) => [one('.path', step).title, one('.muted', step).textContent]);
           await press(scroller, 'ArrowDown');
         }
         return found;",
    ));
    let shown: BTreeMap<String, Vec<(String, String)>> = serde_json::from_value(answer).unwrap();
    assert!(shown.len() > 60, "{}", shown.len());
    let mut longest = 0;
    for (path, chain) in &shown {
        let said = output(slimpack().args(["why", "--json"]).arg(&image).arg(path));
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let expected: Vec<(String, String)> = said["chains"][0]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| {
                let text = |field: &str| step[field].as_str().unwrap().to_owned();
                (text("path"), text("rule"))
            })
            .collect();
        assert_eq!(*chain, expected, "{path}");
        longest = longest.max(chain.len());
    }
    assert!(longest > 3, "{longest}");
}

#[test]
fn packages_are_those_of_the_records() {
    if !has_browser() || !have(&["/usr/bin/curl", "dpkg-query"]) {
        return;
    }
    let folder = temporary();
    let image = packed(folder.path(), "/usr/bin/curl");
    let answer = quiet(visit(
        &page_of(&image),
        DESKTOP,
        "return all('#packages-0 tbody tr').map((row) => [...row.children].slice(0, 2).map((cell) => cell.textContent));",
    ));
    let shown: Vec<(String, String)> = serde_json::from_value(answer).unwrap();
    let shown: BTreeMap<_, _> = shown.into_iter().collect();
    let records = common::layer(&image);
    let records = records
        .keys()
        .filter_map(|path| path.strip_prefix("var/lib/dpkg/status.d/"));
    let records: Vec<_> = records
        .filter(|name| !name.ends_with(".md5sums") && !name.is_empty())
        .collect();
    assert!(
        records.len() > 10 && shown.len() == records.len(),
        "{shown:?}"
    );
    for name in records {
        let mut query = std::process::Command::new("dpkg-query");
        let version = succeed(query.args(["-W", "-f", "${Version}\n", name]));
        assert_eq!(shown[name], version.lines().next().unwrap(), "{name}");
    }
}

#[test]
fn hostile_names_are_text() {
    if !has_browser() {
        return;
    }
    let folder = temporary();
    let image = hostile_image(folder.path());
    let answer = quiet(visit(
        &page_of(&image),
        DESKTOP,
        "const rows = texts('.list tbody td:first-child');
         await type(one('.files input'), 'onerror');
         const found = texts('.list tbody td:first-child').filter(Boolean);
         one('.list tbody tr:not(.space)').click();
         await turn();
         return {
           rows, found,
           details: one('.details h3').textContent,
           foreign: all('img, svg[onload], article script:not(.data), article style, iframe').length,
           elements: all('*').filter((element) => [...element.attributes].some((attribute) => attribute.name.startsWith('on'))).length,
           dialog: win.document.title,
           fields: texts('.fields dd'),
           history: texts('.history code'),
         };",
    ));
    assert_eq!(
        (&answer["foreign"], &answer["elements"]),
        (&json!(0), &json!(0))
    );
    let rows = answer["rows"].to_string();
    for name in HOSTILE {
        let path = slimpack::vfs::one_line(&format!("/srv/{}", name.replace('/', "\u{2215}")));
        let quoted = Value::from(path.as_str()).to_string();
        assert!(rows.contains(quoted.trim_matches('"')), "{path} in {rows}");
    }
    assert_eq!(
        answer["found"].as_array().unwrap().len(),
        2,
        "{}",
        answer["found"]
    );
    assert!(answer["details"].as_str().unwrap().contains("onerror"));
    let fields = answer["fields"].to_string();
    assert!(
        fields.contains("A=<!--<script>") && fields.contains("</style><style>*{display:none}=")
    );
    assert_eq!(answer["history"], json!([HOSTILE[0], HOSTILE[1], "third"]));
}

#[test]
fn the_policy_refuses_what_the_page_does_not_have() {
    if !has_browser() {
        return;
    }
    let folder = temporary();
    let html = String::from_utf8(page_of(&hostile_image(folder.path()))).unwrap();
    let added = "<script>parent.foreign = 1</script><img src=/x.png><img src=x onerror='parent.foreign = 2'>\
                 <style>h1 { color: rgb(1, 2, 3) }</style><h1 style='color: rgb(1, 2, 3)'>x</h1>\
                 <link rel=stylesheet href=http://example.com/a.css><script src=http://example.com/a.js></script></main>";
    let html = html.replace("</main>", added);
    let visit = visit(
        html.as_bytes(),
        DESKTOP,
        "return {
           foreign: parent.foreign ?? 0,
           colors: all('h1').map((heading) => win.getComputedStyle(heading).color),
           works: texts('.crumbs').length,
         };",
    );
    assert_eq!(visit.answer["foreign"], 0, "{visit:?}");
    assert!(
        !visit.answer["colors"].to_string().contains("rgb(1, 2, 3)"),
        "{visit:?}"
    );
    // The page's own script still ran, each attempt was refused, and none reached the server.
    assert_eq!(visit.answer["works"], 1);
    assert!(visit.console.len() >= 6, "{:#?}", visit.console);
    let reached: Vec<_> = visit
        .requests
        .iter()
        .filter(|line| !line.contains("/data"))
        .collect();
    assert_eq!(reached, Vec::<&String>::new());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one walk through the page")]
fn a_search_finds_and_keys_move() {
    if !has_browser() || !have(&["/usr/bin/curl"]) {
        return;
    }
    let folder = temporary();
    let image = packed(folder.path(), "/usr/bin/curl");
    let answer = quiet(visit(
        &page_of(&image),
        DESKTOP,
        "const seen = {};
         await type(one('.files input'), 'libz.so libz');
         seen.listed = texts('.list .path bdi');
         seen.status = one('.files .status').textContent;
         await type(one('.files input'), '');
         await type(one('.graph input'), 'libz.so');
         seen.selected = one('.graph .selected title').textContent.split('\\n')[0];
         seen.details = one('.details h3').textContent;
         seen.row = one('.list tr[aria-selected=true] .path').title;
         seen.drawnChain = all('.graph path.chain').length;
         seen.chain = all('.details .chain li').length;
         await type(one('.graph input'), 'nothing has this name');
         seen.none = one('.graph .status').textContent;
         const tile = one('.treemap .tile');
         tile.focus();
         await press(tile, 'ArrowRight');
         seen.moved = page.activeElement === all('.treemap .tile')[1];
         seen.tabs = all('.treemap .tile').filter((tile) => tile.tabIndex === 0).length;
         all('.treemap .tile').find((tile) => tile.title.startsWith('/usr\\n')).click();
         await turn();
         seen.opened = texts('.crumbs bdi');
         await press(page.activeElement.closest('.treemap') ? page.activeElement : one('.treemap'), 'Escape');
         seen.closed = texts('.crumbs bdi');
         for (const by of ['reason', 'package']) {
           one(`.choices input[value=${by}]`).click();
           await turn();
           seen[by] = all('.level tbody tr').map((row) => [...row.children].map((cell) => cell.textContent));
         }
         const node = one('.graph .node');
         node.focus();
         await press(node, 'ArrowDown');
         await press(page.activeElement, 'Enter');
         seen.chosen = one('.graph .selected title').textContent !== seen.selected;
         const focusable = all('button, input, [tabindex], a, summary').filter((element) => !element.hidden);
         seen.unlabeled = focusable.filter((element) => !(element.textContent.trim() || element.getAttribute('aria-label') || element.labels?.length)).length;
         return seen;",
    ));
    let listed = answer["listed"].to_string();
    assert!(
        listed.contains("\"libz.so.1\"") && !listed.contains("libc.so"),
        "{listed}"
    );
    assert!(
        answer["status"].as_str().unwrap().contains(" of "),
        "{answer}"
    );
    let selected = answer["selected"].as_str().unwrap();
    assert!(selected.contains("/libz.so.1"), "{selected}");
    assert_eq!(answer["details"], selected);
    assert_eq!(answer["row"], selected);
    assert_eq!(
        answer["drawnChain"].as_u64().unwrap() + 1,
        answer["chain"].as_u64().unwrap()
    );
    assert_eq!(answer["none"], "No program or library has this name");
    assert_eq!(
        (&answer["moved"], &answer["tabs"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(answer["opened"], json!(["/", "usr"]));
    assert_eq!(answer["closed"], json!(["/"]));
    assert_eq!(answer["chosen"], true);
    assert_eq!(answer["unlabeled"], 0);
    let reasons = answer["reason"].to_string();
    for reason in ["entrypoint", "ca-certificates", "package-records", "users"] {
        assert!(reasons.contains(reason), "{reason} in {reasons}");
    }
    assert!(answer["package"].to_string().contains("libcurl4"));
}

#[test]
fn a_page_fits_a_phone_and_five_thousand_files_are_few_elements() {
    if !has_browser() {
        return;
    }
    let folder = temporary();
    let long = "a-name-without-any-place-to-break-".repeat(6);
    let files = (0..5000).map(|number| {
        let directory = format!("srv/{}/{}", number % 7, number % 90);
        Member::file(format!("{directory}/{long}{number}"), vec![1; number % 100])
    });
    let image = folder.path().join("many.tar");
    let members: Vec<_> = files.collect();
    fs::write(&image, tar(&members, Format::Pax)).unwrap();
    let html = page_of(&image);
    for window in [DESKTOP, PHONE] {
        let answer = quiet(visit(
            &html,
            window,
            "const scroller = one('.list .scroller');
             const before = all('*').length;
             scroller.scrollTop = 100000;
             await turn();
             await turn();
             return {
               before, after: all('*').length,
               shown: one('.list tbody tr:not(.space)').getAttribute('aria-rowindex'),
               width: page.documentElement.scrollWidth, room: win.innerWidth,
               rows: one('.list table').getAttribute('aria-rowcount'),
             };",
        ));
        assert_eq!(answer["rows"], "5001");
        let elements = |field: &str| answer[field].as_u64().unwrap();
        assert!(
            elements("before") < 3000 && elements("after") < 3000,
            "{answer}"
        );
        assert!(
            answer["shown"].as_str().unwrap().parse::<u32>().unwrap() > 2900,
            "{answer}"
        );
        assert_eq!(answer["width"], answer["room"]);
    }
}

#[test]
fn what_a_page_cannot_list_still_counts() {
    if !has_browser() {
        return;
    }
    let folder = temporary();
    let files =
        (0..20_500).map(|number| Member::file(format!("srv/{}/{number}", number % 9), "abc"));
    let mut members: Vec<_> = files.collect();
    members.push(Member::file("srv/large", vec![0; 100_000]));
    let image = folder.path().join("most.tar");
    fs::write(&image, tar(&members, Format::Pax)).unwrap();
    let answer = quiet(visit(
        &page_of(&image),
        DESKTOP,
        "const { files } = data();
         return {
           listed: files.filter((file) => file.kind !== 'rest').length,
           bytes: files.reduce((sum, file) => sum + file.bytes, 0),
           files: files.reduce((sum, file) => sum + (file.files ?? 1), 0),
           hasLarge: files.some((file) => file.path === '/srv/large'),
           notice: one('.notice').textContent,
           crumbs: one('.crumbs .sum').textContent,
         };",
    ));
    assert_eq!(answer["listed"], 20_000);
    assert_eq!(
        (&answer["bytes"], &answer["files"]),
        (&json!(161_500), &json!(20_501))
    );
    assert_eq!(answer["hasLarge"], true);
    let notice = answer["notice"].as_str().unwrap();
    assert!(
        notice.starts_with("20,000 of 20,501 files are listed"),
        "{notice}"
    );
    assert_eq!(answer["crumbs"], "161.5 kB in 20,501 files");
}
