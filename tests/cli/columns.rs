//! Output fits a terminal of 80 columns, and long operations show their progress.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::common::{compile, have, hello, output, slimpack, succeed, temporary, text};

/// A program whose library is reached through symbolic links, and has a path longer than a line.
#[test]
fn the_plan_fits_eighty_columns_and_folds_links_under_their_files() {
    let folder = temporary();
    let deep = "opt/a-vendor-with-a-long-name/a-product-with-a-longer-name/releases/2024.10.1/lib";
    let lib = folder.path().join(deep);
    fs::create_dir_all(&lib).unwrap();
    let soname = "-Wl,-soname,libinner.so.1";
    let source = "int inner(void) { return 0; }";
    let library = compile(&lib, "libinner.so.1.2.3", source, &["-shared", soname]);
    symlink("libinner.so.1.2.3", lib.join("libinner.so.1")).unwrap();
    let source = "int inner(void); int main(void) { return inner(); }";
    let rpath = format!("-Wl,-rpath,{}", lib.display());
    let library = library.to_str().unwrap();
    let app = compile(folder.path(), "app", source, &[library, &rpath]);
    let plan = succeed(slimpack().arg(&app));
    for line in plan.lines() {
        assert!(line.chars().count() <= 80, "{line}\n{plan}");
    }
    assert!(
        plan.contains('…') && plan.contains("/libinner.so.1.2.3"),
        "{plan}"
    );
    assert!(plan.contains("← libinner.so.1\n"), "{plan}");
    assert!(!plan.contains("needed by"), "{plan}");
    // -v prints whole paths, and the reasons.
    let plan = succeed(slimpack().arg("-v").arg(&app));
    assert!(
        plan.contains(&format!("{deep}/libinner.so.1.2.3  needed by")),
        "{plan}"
    );
    assert!(!plan.contains('…'), "{plan}");
}

#[test]
fn a_plan_of_many_files_begins_with_a_total_by_directory() {
    let folder = temporary();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    for number in 0..20 {
        fs::write(data.join(format!("{number}")), vec![0; 1_000_000]).unwrap();
    }
    let add = format!("{}:/srv/data", data.display());
    let plan = succeed(slimpack().arg(hello()).args(["--add", &add]));
    let second = plan.lines().nth(1).unwrap();
    assert_eq!(second.trim(), "20.0 MB  /srv/data  20 files");
}

/// The other end of the pipe is opened only once the bar is shown, so that the operation takes long
/// enough on any machine.
#[test]
fn long_work_shows_a_bar_with_bytes() {
    if !have(&["script", "mkfifo", "timeout"]) {
        return;
    }
    let folder = temporary();
    let pipe = folder.path().join("pipe");
    succeed(Command::new("mkfifo").arg(&pipe));
    let line = format!(
        "timeout 60 {} {} -o {}",
        env!("CARGO_BIN_EXE_slimpack"),
        hello().display(),
        pipe.display()
    );
    let mut shown = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = shown.stdout.take().unwrap();
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    let is_shown = |said: &[u8]| {
        let said = String::from_utf8_lossy(said);
        said.contains("writing") && said.contains("B/2.")
    };
    while !is_shown(&said) {
        let count = terminal.read(&mut piece).unwrap();
        assert!(count > 0, "no bar: {}", String::from_utf8_lossy(&said));
        said.extend(&piece[..count]);
    }
    let mut image = Vec::new();
    fs::File::open(&pipe)
        .unwrap()
        .read_to_end(&mut image)
        .unwrap();
    terminal.read_to_end(&mut said).unwrap();
    assert!(shown.wait().unwrap().success());
    assert!(image.len() > 1 << 20);
}

/// On a terminal everything is printed, in lines that fit; elsewhere lines stay whole, for scripts.
#[test]
fn other_texts_are_folded_on_a_terminal() {
    if !have(&["script", "stty"]) {
        return;
    }
    let folder = temporary();
    let image = folder.path().join("image.tar");
    let other = folder.path().join("other.tar");
    for (program, image) in [("/usr/bin/curl", &image), ("/bin/ls", &other)] {
        succeed(slimpack().args([program, "-qo"]).arg(image));
    }
    let (image, other) = (image.display().to_string(), other.display().to_string());
    let library = "/usr/lib/x86_64-linux-gnu/libz.so.1";
    for words in [
        &["tree", "/usr/bin/curl"][..],
        &["why", &image, library],
        &["inspect", &image],
        &["diff", &image, &other],
        &["needs", "/usr/bin/curl"],
        &["needs"],
        &["lint", "-v", &image],
        &["-v", "/usr/bin/curl"],
    ] {
        let plain = output(slimpack().args(words));
        let plain = String::from_utf8(plain.stdout).unwrap();
        assert!(
            plain.lines().any(|line| line.chars().count() > 80),
            "{words:?}"
        );
        let slimpack = env!("CARGO_BIN_EXE_slimpack");
        let line = format!("stty cols 80; NO_COLOR=1 {slimpack} {}", words.join(" "));
        let mut script = Command::new("script");
        script
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::null());
        let shown = script.output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        // The progress bar is erased before the text.
        let shown = shown.rsplit("\x1b[2K").next().unwrap().replace('\r', "");
        for line in shown.lines() {
            let is_one_word = line.trim_start().split(' ').count() == 1;
            assert!(
                line.chars().count() <= 80 || is_one_word,
                "{words:?}: {line}"
            );
        }
        let bare = |text: &str| {
            let words = text.split_whitespace();
            words
                .filter(|word| !word.chars().all(|c| "│├└─".contains(c)))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(bare(&shown), bare(&plain), "{words:?}");
    }
}

#[test]
fn help_topics_and_summaries_fit_eighty_columns() {
    for topic in ["make", "slimpack.mk", "ninja", "cmake", "docker", "config"] {
        let help = succeed(slimpack().args(["help", topic]));
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{topic}: {line}");
        }
    }
    // Many needs in one line.
    let folder = temporary();
    let image = folder.path().join("image.tar");
    let mut pack = slimpack();
    pack.args([
        "/usr/bin/curl",
        "-e",
        "TZ=Europe/Paris",
        "-e",
        "LANG=C.UTF-8",
    ]);
    pack.args(["--with", "services,gconv,openssl,terminfo,busybox"]);
    let said = output(pack.arg("-o").arg(&image));
    assert!(said.status.success(), "{}", text(&said));
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("\nadded ") && said.contains(",\n    "),
        "{said}"
    );
    for line in said.lines().filter(|line| !line.contains(" → ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
