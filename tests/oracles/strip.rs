//! Stripping, compared with binutils and elfutils.
//!
//! Every ELF file on this machine (a sample unless `SLIMPACK_TEST_ALL` is set) is stripped by all
//! three; the loaded bytes, and all output of readelf and eu-elflint, are compared.

use crate::{common, machine};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{compile, have, output, slimpack, succeed, temporary};
use slimpack::bytes::ReadAt;
use slimpack::strip::{Assembled, LeftAlone, Level, Strip};

const TOOLS: [&str; 4] = ["strip", "eu-strip", "readelf", "eu-elflint"];
/// By default, one in this many files is compared.
const STRIDE: usize = 29;

fn stripped(bytes: &[u8], level: Level) -> Result<Vec<u8>, LeftAlone> {
    let strip = Strip::of(&bytes, level)?;
    let file = Assembled::new(strip.pieces().clone(), bytes);
    let whole = file.range(0, file.size()).unwrap().unwrap();
    assert_eq!(whole.len() as u64, strip.after());
    Ok(whole)
}

fn word(bytes: &[u8], at: usize, width: usize, is_little: bool) -> u64 {
    let mut field = bytes[at..at + width].to_vec();
    if !is_little {
        field.reverse();
    }
    field.resize(8, 0);
    u64::from_le_bytes(field.try_into().unwrap())
}

/// The loaded bytes, without the three fields that lead to the section table.
fn loaded(bytes: &[u8]) -> Vec<u8> {
    let (is_64, is_little) = (bytes[4] == 2, bytes[5] == 1);
    let field = |at, width| word(bytes, at, width, is_little);
    // Elf64_Ehdr and Elf64_Phdr of elf(5), and their 32-bit relatives.
    let (table, count, size) = match is_64 {
        true => (field(0x20, 8), field(0x38, 2), 56),
        false => (field(0x1c, 4), field(0x2c, 2), 32),
    };
    let end = (0..count).map(|number| {
        let at = (table + number * size) as usize;
        match is_64 {
            true => field(at + 8, 8) + field(at + 0x20, 8),
            false => field(at + 4, 4) + field(at + 0x10, 4),
        }
    });
    let end = end.max().unwrap_or(0).max(table + count * size) as usize;
    let mut loaded = bytes[..end].to_vec();
    let fields: &[std::ops::Range<usize>] = match is_64 {
        true => &[0x28..0x30, 0x3c..0x40],
        false => &[0x20..0x24, 0x30..0x34],
    };
    for field in fields {
        loaded[field.clone()].fill(0);
    }
    loaded
}

/// readelf's output on segments, the dynamic table, symbols and versions, and the complaints of
/// readelf and eu-elflint.
fn described(file: &Path) -> (String, Vec<String>) {
    let mut readelf = Command::new("readelf");
    readelf.args(["-lW", "-d", "--dyn-syms", "-V"]).arg(file);
    let said = output(readelf.stdin(Stdio::null()));
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut complaints: Vec<String> = String::from_utf8_lossy(&said.stderr)
        .lines()
        .map(str::to_owned)
        .collect();
    let lint = output(Command::new("eu-elflint").arg("--gnu-ld").arg(file));
    for line in String::from_utf8_lossy(&lint.stdout).lines() {
        // Sections are renumbered.
        let plain = line.replace(|c: char| c.is_ascii_digit(), "");
        if plain != "No errors" {
            complaints.push(plain);
        }
    }
    // Section names are not compared.
    let text = text
        .split(" Section to Segment mapping")
        .next()
        .unwrap()
        .to_owned()
        + text
            .split_once("Dynamic section")
            .map_or("", |(_, rest)| rest);
    (text, complaints)
}

fn has_section(path: &Path, name: &str) -> bool {
    succeed(Command::new("readelf").args(["-SW"]).arg(path)).contains(&format!(" {name} "))
}

/// What is wrong with a stripped file, or why it was not stripped.
fn compared(path: &Path, folder: &Path) -> Result<&'static str, String> {
    let bytes = fs::read(path).unwrap();
    let place = |name: &str| folder.join(name);
    let (ours, theirs, elfutils) = (place("ours"), place("strip"), place("eu-strip"));
    for file in [&ours, &theirs, &elfutils] {
        let _ = fs::remove_file(file);
    }
    let is_done = |command: &mut Command| output(command).status.success();
    let size = |file: &Path| fs::metadata(file).map_or(u64::MAX, |metadata| metadata.len());
    let best = || {
        // The others remove what Guile reads from its compiled modules.
        if has_section(path, ".guile.arities") {
            return u64::MAX;
        }
        is_done(
            Command::new("strip")
                .args(["--strip-all", "-o"])
                .arg(&theirs)
                .arg(path),
        );
        // eu-strip would remove from procedural macros what the compiler reads from them.
        if !has_section(path, ".rustc") {
            is_done(Command::new("eu-strip").arg("-o").arg(&elfutils).arg(path));
        }
        size(&theirs).min(size(&elfutils))
    };
    let small = match stripped(&bytes, Level::All) {
        Ok(small) => small,
        Err(LeftAlone::Nothing) => {
            let best = best();
            let is_small = bytes.len() as u64 <= best.saturating_add(best / 100 + 256);
            return match is_small {
                true => Ok("nothing to strip"),
                false => Err(format!("{} bytes, others {best}", bytes.len())),
            };
        }
        Err(LeftAlone::Enclosed) => return Ok("enclosed"),
        Err(LeftAlone::Misfit | LeftAlone::Read(_)) => return Ok("misfit"),
        Err(LeftAlone::NotLinked) => return Ok("not linked"),
        Err(LeftAlone::Appended(_) | LeftAlone::Unnamed(_)) => return Ok("appended"),
        Err(_) => return Ok("other"),
    };
    fs::write(&ours, &small).unwrap();
    if loaded(&small) != loaded(&bytes) {
        return Err("what is loaded differs".to_owned());
    }
    let (before, complaints) = described(path);
    let (after, more) = described(&ours);
    let name = |text: &str, file: &Path| text.replace(&file.display().to_string(), "FILE");
    if name(&before, path) != name(&after, &ours) {
        return Err("readelf says something else".to_owned());
    }
    let known: Vec<String> = complaints.iter().map(|line| name(line, path)).collect();
    let new = more.iter().map(|line| name(line, &ours));
    if let Some(line) = new.into_iter().find(|line| !known.contains(line)) {
        return Err(format!("a new complaint: {line}"));
    }
    let best = best();
    // eu-strip also removes the name of the debug file: a section, its header and its name.
    let link = u64::from(has_section(path, ".gnu_debuglink")) * 160;
    match small.len() as u64 <= best.saturating_add(best / 100 + link) {
        true => Ok("stripped"),
        false => Err(format!("{} bytes, others {best}", small.len())),
    }
}

#[test]
fn every_binary_of_the_machine_is_stripped_as_others_do_and_loads_as_before() {
    if !have(&TOOLS) {
        return;
    }
    // Test binaries are programs with symbols; installed programs have few.
    let tests = Path::new(env!("CARGO_BIN_EXE_slimpack")).parent().unwrap();
    let folders = [Path::new("/usr"), Path::new("/opt"), tests];
    let mut files = machine::elf_files(&folders, |_| true);
    if std::env::var_os("SLIMPACK_TEST_ALL").is_none() {
        files = files.into_iter().step_by(STRIDE).collect();
    }
    let start = || (BTreeMap::new(), Vec::new(), temporary());
    let threads =
        machine::on_two_threads(
            &files,
            start,
            |file, (counts, wrong, folder)| match compared(file, folder.path()) {
                Ok(what) => *counts.entry(what).or_insert(0) += 1,
                Err(what) => wrong.push(format!("{}: {what}", file.display())),
            },
        );
    let (mut counts, mut wrong) = (BTreeMap::new(), Vec::new());
    for (more, bad, _) in threads {
        wrong.extend(bad);
        for (what, count) in more {
            *counts.entry(what).or_insert(0) += count;
        }
    }
    println!("{counts:?} of {} files", files.len());
    assert!(
        wrong.is_empty(),
        "{} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(counts["stripped"] > 2, "{counts:?}");
}

const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static int answer(int x) { return x * 2; }
__attribute__((noinline)) int visible(int x) { if (x > 100) abort(); return answer(x); }
int main(int argc, char **argv) { printf("%d\n", visible(argc * 21)); return 0; }
"#;

/// Flags that produce all kinds of programs.
const KINDS: [&[&str]; 4] = [
    &["-g", "-no-pie"],
    &["-g", "-pie"],
    &["-g", "-static"],
    &["-g", "-static-pie", "-Wl,--emit-relocs"],
];

fn strip_to(file: &Path, output: &Path, arguments: &[&str]) -> String {
    let mut command = slimpack();
    command
        .arg("strip")
        .arg(file)
        .arg("-o")
        .arg(output)
        .args(arguments);
    let said = common::output(&mut command);
    assert!(said.status.success(), "{}", common::text(&said));
    String::from_utf8_lossy(&said.stderr).into_owned()
}

#[test]
fn every_kind_of_program_runs_without_symbols() {
    let folder = temporary();
    for (number, flags) in KINDS.iter().enumerate() {
        let program = compile(folder.path(), &format!("program{number}"), PROGRAM, flags);
        let small = folder.path().join("small");
        strip_to(&program, &small, &[]);
        assert_eq!(succeed(&mut Command::new(&small)), "42\n", "{flags:?}");
        assert!(!has_section(&small, ".symtab") && !has_section(&small, ".debug_info"));
        let sizes = [&small, &program].map(|file| fs::metadata(file).unwrap().len());
        assert!(sizes[0] < sizes[1], "{flags:?}: {sizes:?}");
    }
}

#[test]
fn programs_of_every_class_and_byte_order_are_stripped() {
    let compilers = [
        (
            "aarch64-linux-gnu-gcc",
            "qemu-aarch64-static",
            "/usr/aarch64-linux-gnu",
        ),
        (
            "arm-linux-gnueabihf-gcc",
            "qemu-arm-static",
            "/usr/arm-linux-gnueabihf",
        ),
        (
            "s390x-linux-gnu-gcc",
            "qemu-s390x-static",
            "/usr/s390x-linux-gnu",
        ),
    ];
    let folder = temporary();
    for (compiler, emulator, root) in compilers {
        if !have(&[compiler, emulator]) {
            continue;
        }
        let [source, program, small] =
            ["source.c", "program", "small"].map(|name| folder.path().join(name));
        fs::write(&source, PROGRAM).unwrap();
        succeed(
            Command::new(compiler)
                .args(["-g", "-o"])
                .args([&program, &source]),
        );
        for level in ["--strip=all", "--strip=debug"] {
            strip_to(&program, &small, &[level]);
            let run = succeed(Command::new(emulator).args(["-L", root]).arg(&small));
            assert_eq!(run, "42\n", "{compiler} {level}");
            let has_symbols = has_section(&small, ".symtab");
            assert_eq!(has_symbols, level == "--strip=debug", "{compiler} {level}");
        }
    }
}

#[test]
fn without_debug_information_the_symbols_are_the_same() {
    if !have(&["nm", "gdb"]) {
        return;
    }
    let folder = temporary();
    for flags in &KINDS[..3] {
        let program = compile(folder.path(), "program", PROGRAM, flags);
        let small = folder.path().join("small");
        strip_to(&program, &small, &["--strip=debug"]);
        let symbols = |file: &Path| succeed(Command::new("nm").args(["-n", "-S"]).arg(file));
        assert_eq!(symbols(&small), symbols(&program), "{flags:?}");
        assert!(!has_section(&small, ".debug_info"));
        assert_eq!(succeed(&mut Command::new(&small)), "42\n");
    }
}

/// The output of gdb.
fn gdb(arguments: &[&str], program: &Path) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    let said = output(gdb.args(arguments).arg(program).stdin(Stdio::null()));
    common::text(&said)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn a_debugger_walks_the_stack_without_symbols_and_knows_all_with_the_debug_file() {
    if !have(&["gdb", "eu-strip"]) {
        return;
    }
    let folder = temporary();
    let program = compile(folder.path(), "program", PROGRAM, &["-g", "-O0"]);
    let debug = folder.path().join("debug");
    let small = folder.path().join("small");
    strip_to(&program, &small, &["--debug-file", debug.to_str().unwrap()]);
    // With only .eh_frame: main, and its caller.
    let bare = folder.path().join("bare");
    strip_to(&program, &bare, &[]);
    let frames = gdb(
        &[
            "-ex",
            "break puts",
            "-ex",
            "break printf",
            "-ex",
            "run",
            "-ex",
            "bt",
        ],
        &bare,
    );
    assert!(frames.contains("#1 ") && frames.contains("#2 "), "{frames}");
    // With the debug file: lines and variables.
    let setting = format!("set debug-file-directory {}", debug.display());
    let asked = [
        "-iex",
        &setting,
        "-ex",
        "info line visible",
        "-ex",
        "info address answer",
    ];
    let knows = gdb(&asked, &small);
    assert!(knows.contains("Line 5 of"), "{knows}");
    assert!(knows.contains("answer"), "{knows}");
    // Compare with what eu-strip splits off.
    let [theirs, theirs_debug] = ["theirs", "theirs.debug"].map(|name| folder.path().join(name));
    succeed(
        Command::new("eu-strip")
            .arg("-f")
            .arg(&theirs_debug)
            .arg("-o")
            .arg(&theirs)
            .arg(&program),
    );
    let sections = |file: &Path| {
        let text = succeed(Command::new("readelf").args(["-SW"]).arg(file));
        let names = text
            .lines()
            .filter(|line| line.contains("PROGBITS") && line.contains(".debug_"));
        names.count()
    };
    let ours = debug.join("small.debug");
    assert_eq!(sections(&ours), sections(&theirs_debug));
    let lint = common::text(&output(Command::new("readelf").args(["-aW"]).arg(&ours)));
    assert!(!lint.contains("Error"), "{lint}");
    // The link in .build-id leads to the same file.
    let links = succeed(
        Command::new("find")
            .arg(debug.join(".build-id"))
            .args(["-type", "l"]),
    );
    assert_eq!(fs::read(links.trim()).unwrap(), fs::read(&ours).unwrap());
}

#[test]
fn files_with_data_of_their_own_are_copied_as_they_are() {
    let folder = temporary();
    let program = compile(folder.path(), "program", PROGRAM, &["-g"]);
    let mut bytes = fs::read(&program).unwrap();
    let end = bytes.len();
    bytes.extend(b"PK an archive");
    let archive = folder.path().join("archive");
    let small = folder.path().join("small");
    fs::write(&archive, &bytes).unwrap();
    let said = strip_to(&archive, &small, &[]);
    assert!(said.contains("belong to no section"), "{said}");
    assert_eq!(fs::read(&small).unwrap(), bytes);
    // A file with a checksum next to it must stay as it is.
    let checksum = folder.path().join(".program.hmac");
    fs::write(&checksum, "0123").unwrap();
    let said = strip_to(&program, &small, &[]);
    assert!(said.contains("holds a checksum of it"), "{said}");
    assert_eq!(fs::read(&small).unwrap(), fs::read(&program).unwrap());
    fs::remove_file(&checksum).unwrap();
    // An invalid section table is ignored.
    let mut lying = fs::read(&program).unwrap();
    lying[0x28..0x30].copy_from_slice(&(end as u64 - 8).to_le_bytes());
    fs::write(&archive, &lying).unwrap();
    strip_to(&archive, &small, &[]);
    assert_eq!(fs::read(&small).unwrap(), lying);
}

#[test]
fn a_running_file_is_replaced_and_a_read_only_one_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let folder = temporary();
    let source = "#include <unistd.h>\nint main(void) { char c; return read(0, &c, 1) < 0; }";
    let program = compile(folder.path(), "program", source, &["-g"]);
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let before = fs::metadata(&program).unwrap().len();
    strip_to(&program, &program, &[]);
    assert!(fs::metadata(&program).unwrap().len() < before);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let kept = fs::read(&program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o555)).unwrap();
    let mut again = slimpack();
    again.arg("strip").arg(&program).arg("-o").arg(&program);
    let said = common::fail_with(2, &mut again);
    assert!(said.contains("it is read-only"), "{said}");
    assert_eq!(fs::read(&program).unwrap(), kept);
}

#[test]
fn a_table_of_names_that_symbols_share_is_not_written_anew() {
    let folder = temporary();
    let program = compile(folder.path(), "program", PROGRAM, &["-g"]);
    let mut bytes = fs::read(&program).unwrap();
    let (table, count) = (word(&bytes, 0x28, 8, true), word(&bytes, 0x3c, 2, true));
    let names = word(&bytes, 0x3e, 2, true) as u32;
    // Elf64_Shdr has sh_type at offset 4 and sh_link at 40, elf(5); SHT_SYMTAB is 2.
    let symbols = (0..count).map(|number| (table + number * 64) as usize);
    let symbols: Vec<usize> = symbols
        .filter(|&at| word(&bytes, at + 4, 4, true) == 2)
        .collect();
    bytes[symbols[0] + 40..symbols[0] + 44].copy_from_slice(&names.to_le_bytes());
    let debug = stripped(&bytes, Level::Debug);
    assert!(matches!(debug, Err(LeftAlone::Referred(_))), "{debug:?}");
    assert!(stripped(&bytes, Level::All).is_ok());
}

/// A program with the maximum number of section headers, each a copy of `header`, and `names` as
/// their names.
fn with_sections(program: &Path, header: &[u8; 64], names: &[u8]) -> Vec<u8> {
    const COUNT: u16 = 60_000;
    let mut bytes = fs::read(program).unwrap();
    let end = bytes.len() as u64;
    bytes.extend(names);
    let mut table: Vec<[u8; 64]> = vec![*header; usize::from(COUNT)];
    table[0] = [0; 64];
    // The last section holds the names: a string table at the old end of the file.
    let last = &mut table[usize::from(COUNT) - 1];
    *last = [0; 64];
    last[4..8].copy_from_slice(&3_u32.to_le_bytes());
    last[24..32].copy_from_slice(&end.to_le_bytes());
    last[32..40].copy_from_slice(&(names.len() as u64).to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let start = bytes.len() as u64;
    bytes.extend(table.as_flattened());
    bytes[0x28..0x30].copy_from_slice(&start.to_le_bytes());
    bytes[0x3c..0x3e].copy_from_slice(&COUNT.to_le_bytes());
    bytes[0x3e..0x40].copy_from_slice(&(COUNT - 1).to_le_bytes());
    bytes
}

#[test]
fn tables_made_to_cost_much_are_left_alone() {
    use slimpack::strip::DebugFile;
    let folder = temporary();
    let program = compile(folder.path(), "program", PROGRAM, &["-g"]);
    // A name without a terminator, for every section.
    let endless = with_sections(&program, &[0; 64], &vec![b'a'; 8 << 20]);
    let left = stripped(&endless, Level::All);
    assert!(
        matches!(left, Err(LeftAlone::Misfit)),
        "{:?}",
        left.map(|file| file.len())
    );
    // Sections that all share one megabyte of names: string tables, symbol tables, debug
    // information.
    let names = [&b"\0.debug_info\0"[..], &vec![0; 1 << 20]].concat();
    let end = fs::metadata(&program).unwrap().len();
    for (kind, name) in [(3_u32, 0_u32), (2, 0), (1, 1)] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&end.to_le_bytes());
        header[32..40].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        let bytes = with_sections(&program, &header, &names);
        for level in [Level::All, Level::Debug] {
            if let Ok(small) = stripped(&bytes, level) {
                assert!(small.len() < bytes.len());
            }
            let debug = DebugFile::of(&bytes, level, "a.debug".as_ref());
            assert!(debug.is_err(), "{kind} {level}");
        }
    }
}

#[test]
fn damaged_files_are_left_alone_and_never_grow() {
    let folder = temporary();
    let program = compile(folder.path(), "program", PROGRAM, &["-g"]);
    let bytes = fs::read(&program).unwrap();
    let table = word(&bytes, 0x28, 8, true) as usize;
    // Three values for every byte of the headers and of the section table.
    for at in (0..64).chain(table..bytes.len()) {
        for value in [0, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            for level in [Level::All, Level::Debug] {
                if let Ok(small) = stripped(&damaged, level) {
                    assert!(small.len() < damaged.len());
                }
            }
        }
    }
    for length in (0..bytes.len()).step_by(97) {
        let _ = stripped(&bytes[..length], Level::All);
    }
}
