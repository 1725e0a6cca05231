//! Images in a Makefile: rebuilt exactly when one of their inputs changes.
//!
//! The Makefile is that of the README and of `slimpack help slimpack.mk`. After each change, the
//! image is compared with a freshly packed one.

use crate::{common, recipes};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use common::{compile, output, succeed, temporary, text};
use recipes::{path_with_slimpack, readme_block};

/// Longer than the granularity of file timestamps.
const TICK: Duration = Duration::from_millis(20);

/// Adds a directory to every image, so that changes in it are tested, too.
const FLAGS: &str = "--add data:/srv/data";

/// A program with libraries in directories of its own, whose image is already built.
struct Project {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Project {
    fn new(makefile: &str) -> Self {
        let folder = temporary();
        let root = folder.path().join("project");
        for path in [
            "lib1",
            "lib2",
            "lib3",
            "releases/1",
            "releases/2",
            "data/sub",
            "build",
        ] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let project = Self {
            root,
            _folder: folder,
        };
        fs::write(project.at("data/file"), "1").unwrap();
        fs::write(project.at("data/sub/file"), "1").unwrap();
        project.link("releases/1", "current");
        project.library("releases/1/libbar.so.1", "int bar(void) { return 1; }", &[]);
        project.library("releases/2/libbar.so.1", "int bar(void) { return 2; }", &[]);
        let bar = project.at("releases/1/libbar.so.1");
        let flags = [bar.to_str().unwrap(), "-Wl,-rpath,$ORIGIN/../current"];
        let source = "int bar(void); int foo(void) { return bar() + NUMBER; }";
        for (number, path) in [("1", "lib2/libfoo.so.1.1"), ("2", "lib2/libfoo.so.1.2")] {
            project.library(path, &source.replace("NUMBER", number), &flags);
        }
        project.link("libfoo.so.1.1", "lib2/libfoo.so.1");
        let copy = project.at("lib3/libfoo.so.1");
        fs::copy(project.at("lib2/libfoo.so.1.2"), copy).unwrap();
        project.library("lib2/libother.so.1", "int other;", &[]);
        project.program("app", 1);
        fs::write(project.at("Makefile"), makefile).unwrap();
        // All inputs are older than the image.
        succeed(
            Command::new("find")
                .arg(&project.root)
                .args(["-exec", "touch", "-hd", "-1 hour", "{}", "+"]),
        );
        let made = project.make();
        assert!(made.status.success(), "{}", text(&made));
        project
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn link(&self, target: &str, at: &str) {
        let _ = fs::remove_file(self.at(at));
        symlink(target, self.at(at)).unwrap();
    }

    fn library(&self, path: &str, source: &str, flags: &[&str]) {
        let built = self.at("build/library");
        fs::create_dir_all(&built).unwrap();
        let soname = Path::new(path).file_name().unwrap().to_str().unwrap();
        let soname = format!(
            "-Wl,-soname,{}",
            soname
                .split(".1.")
                .next()
                .unwrap()
                .trim_end_matches(".1")
                .to_owned()
                + ".1"
        );
        let flags = [&["-shared", "-fPIC", soname.as_str()], flags].concat();
        let library = compile(&built, "library", source, &flags);
        fs::rename(library, self.at(path)).unwrap();
    }

    fn program(&self, name: &str, number: u32) {
        let source = format!("int foo(void); int main(void) {{ return foo() + {number}; }}");
        let library = self.at("lib2/libfoo.so.1");
        let rpath = "-Wl,-rpath,$ORIGIN/lib1:$ORIGIN/lib2:$ORIGIN/lib3";
        let bar = format!("-Wl,-rpath-link,{}", self.at("releases/1").display());
        let built = compile(
            &self.at("build"),
            name,
            &source,
            &[library.to_str().unwrap(), rpath, &bar],
        );
        fs::rename(built, self.at(name)).unwrap();
    }

    fn make(&self) -> Output {
        self.make_target("app.tar")
    }

    fn make_target(&self, target: &str) -> Output {
        let mut command = Command::new("make");
        command
            .current_dir(&self.root)
            .arg(target)
            .arg(format!("SLIMPACK_FLAGS={FLAGS}"));
        command.env("PATH", path_with_slimpack(&self.root));
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        output(&mut command)
    }

    /// Whether the change makes Make repack the image. Fails unless it is up to date afterwards.
    fn is_made_anew(&self, change: &str) -> bool {
        let made = self.make();
        assert!(made.status.success(), "{change}: {}", text(&made));
        let is_anew = text(&made).contains("-o app.tar");
        let again = self.make();
        assert!(
            text(&again).contains("up to date"),
            "{change}: {}",
            text(&again)
        );
        is_anew
    }

    /// Whether the image equals a freshly packed one.
    fn is_right(&self) -> bool {
        let mut command = common::slimpack();
        command
            .current_dir(&self.root)
            .args(["app", "-q", "-o", "build/fresh.tar"]);
        succeed(command.args(FLAGS.split(' ')));
        fs::read(self.at("app.tar")).unwrap() == fs::read(self.at("build/fresh.tar")).unwrap()
    }

    fn touch(&self, path: &str) {
        succeed(Command::new("touch").arg(self.at(path)));
    }
}

/// What Make should do with the image.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Then {
    /// It is repacked.
    Anew,
    /// It is left alone.
    Stays,
    /// It is repacked only with `slimpack.mk`: plain Make cannot express the dependency.
    AnewByInclude,
}

type Change = (&'static str, Then, fn(&Project));

const CHANGES: &[Change] = &[
    ("nothing", Then::Stays, |_| {}),
    ("the program is replaced", Then::Anew, |p| {
        p.program("app", 2)
    }),
    ("the program is touched", Then::Anew, |p| p.touch("app")),
    ("a library is replaced", Then::Anew, |p| {
        fs::copy(p.at("lib2/libfoo.so.1.2"), p.at("new")).unwrap();
        fs::rename(p.at("new"), p.at("lib2/libfoo.so.1.1")).unwrap();
    }),
    ("a library is touched", Then::Anew, |p| {
        p.touch("lib2/libfoo.so.1.1")
    }),
    ("a library of a library is replaced", Then::Anew, |p| {
        p.library("releases/1/libbar.so.1", "int bar(void) { return 3; }", &[]);
    }),
    ("a link leads to a newer file", Then::Anew, |p| {
        p.touch("lib2/libfoo.so.1.2");
        p.link("libfoo.so.1.2", "lib2/libfoo.so.1");
    }),
    ("a link leads to an older file", Then::Anew, |p| {
        p.link("libfoo.so.1.2", "lib2/libfoo.so.1");
    }),
    (
        "a link is made anew and leads where it led",
        Then::Anew,
        |p| {
            p.link("libfoo.so.1.1", "lib2/libfoo.so.1");
        },
    ),
    ("a link to a folder leads to newer files", Then::Anew, |p| {
        p.touch("releases/2/libbar.so.1");
        p.link("releases/2", "current");
    }),
    (
        "a link to a folder leads to older files",
        Then::AnewByInclude,
        |p| {
            p.link("releases/2", "current");
        },
    ),
    (
        "a library appears earlier in RUNPATH",
        Then::AnewByInclude,
        |p| {
            fs::copy(p.at("lib2/libfoo.so.1.2"), p.at("lib1/libfoo.so.1")).unwrap();
        },
    ),
    (
        "an old library appears earlier in RUNPATH",
        Then::AnewByInclude,
        |p| {
            let mut copy = Command::new("cp");
            succeed(
                copy.arg("-p")
                    .arg(p.at("lib2/libfoo.so.1.2"))
                    .arg(p.at("lib1/libfoo.so.1")),
            );
        },
    ),
    (
        "a library is removed and another is found",
        Then::Anew,
        |p| {
            fs::remove_file(p.at("lib2/libfoo.so.1")).unwrap();
        },
    ),
    ("an added file changes", Then::Anew, |p| {
        fs::write(p.at("data/file"), "2").unwrap()
    }),
    ("a file below an added folder changes", Then::Anew, |p| {
        fs::write(p.at("data/sub/file"), "2").unwrap();
    }),
    ("a file appears in an added folder", Then::Anew, |p| {
        fs::write(p.at("data/sub/more"), "2").unwrap();
    }),
    ("a file disappears from an added folder", Then::Anew, |p| {
        fs::remove_file(p.at("data/file")).unwrap();
    }),
    ("the image is removed", Then::Anew, |p| {
        fs::remove_file(p.at("app.tar")).unwrap()
    }),
    ("the image is touched", Then::Stays, |p| p.touch("app.tar")),
    ("the dependencies are touched", Then::Stays, |p| {
        p.touch("app.tar.d")
    }),
    ("the dependencies are removed", Then::Stays, |p| {
        fs::remove_file(p.at("app.tar.d")).unwrap()
    }),
    ("another file changes", Then::Stays, |p| {
        fs::write(p.at("notes"), "2").unwrap()
    }),
    (
        "a library that it does not load changes",
        Then::Stays,
        |p| p.touch("lib2/libother.so.1"),
    ),
    ("a later candidate changes", Then::Stays, |p| {
        p.touch("lib3/libfoo.so.1")
    }),
    ("another image is made", Then::Stays, |p| {
        p.program("other", 5);
        let made = p.make_target("other.tar");
        assert!(
            made.status.success() && p.at("other.tar.d").exists(),
            "{}",
            text(&made)
        );
    }),
];

fn by_changes(makefile: &str, sees_all: bool) {
    for (change, then, act) in CHANGES {
        let project = Project::new(makefile);
        // File timestamps are coarser than the time a test takes.
        sleep(TICK);
        act(&project);
        let expected = match then {
            Then::Anew => true,
            Then::Stays => false,
            Then::AnewByInclude => sees_all,
        };
        assert_eq!(project.is_made_anew(change), expected, "{change}");
        let is_missed = *then == Then::AnewByInclude && !sees_all;
        assert_eq!(project.is_right(), !is_missed, "{change}");
    }
}

/// The Makefile of the README, with a place for further options.
fn plain_makefile() -> String {
    let block = readme_block("make", "--check-symlink-times");
    assert!(block.contains("-o $@ --depfile\n"), "{block}");
    // Without the rule that builds the program.
    let rule = block
        .lines()
        .find(|line| line.starts_with("app: "))
        .unwrap();
    let block = block.replace(rule, "");
    block.replace("--depfile\n", "--depfile $(SLIMPACK_FLAGS)\n")
}

fn include_makefile(folder: &Path) -> String {
    let text = succeed(common::slimpack().args(["help", "slimpack.mk"]));
    let path = folder.join("slimpack.mk");
    fs::write(&path, text).unwrap();
    format!("include {}\n", path.display())
}

#[test]
fn the_makefile_of_the_readme_packs_anew_when_an_input_changes() {
    if common::have(&["make"]) {
        by_changes(&plain_makefile(), false);
    }
}

#[test]
fn slimpack_mk_sees_what_make_has_no_word_for() {
    if common::have(&["make"]) {
        let folder = temporary();
        by_changes(&include_makefile(folder.path()), true);
    }
}

#[test]
fn the_first_goal_stays_that_of_the_makefile() {
    if !common::have(&["make"]) {
        return;
    }
    let folder = temporary();
    let include = include_makefile(folder.path());
    for makefile in [
        format!("{include}all:\n\t@echo the goal\n"),
        format!("all:\n\t@echo the goal\n{include}"),
    ] {
        fs::write(folder.path().join("Makefile"), makefile).unwrap();
        // A dependency file from an earlier run contains rules, too.
        fs::write(folder.path().join("app.tar.d"), "app.tar: app\n").unwrap();
        let mut make = Command::new("make");
        let output = make.current_dir(folder.path()).output().unwrap();
        assert!(text(&output).contains("the goal"), "{}", text(&output));
    }
}

#[test]
fn a_library_that_is_removed_is_named_and_the_image_stays() {
    if !common::have(&["make"]) {
        return;
    }
    let project = Project::new(&plain_makefile());
    let before = fs::read(project.at("app.tar")).unwrap();
    fs::remove_file(project.at("releases/1/libbar.so.1")).unwrap();
    let made = project.make();
    assert!(!made.status.success());
    assert!(
        text(&made).contains("libbar.so.1 not found"),
        "{}",
        text(&made)
    );
    assert!(!text(&made).contains("No rule to make"), "{}", text(&made));
    assert_eq!(fs::read(project.at("app.tar")).unwrap(), before);
}

#[test]
fn names_that_make_would_read_otherwise_are_quoted() {
    if !common::have(&["make"]) {
        return;
    }
    let folder = temporary();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let names = [
        "a b", "c$d", "e#f", "g%h", "i:j", "k[l]m", "n\\o", "p\\ q", "~r", "s*t", "u'v", "w\"x",
    ];
    for name in names {
        fs::write(data.join(name), "1").unwrap();
    }
    compile(folder.path(), "app", common::HELLO, &["-static"]);
    let makefile = "%.tar: %\n\tslimpack $< -o $@ --depfile --add data:/srv\n-include app.tar.d\n";
    fs::write(folder.path().join("Makefile"), makefile).unwrap();
    let make = || {
        let mut command = Command::new("make");
        command.current_dir(folder.path()).arg("app.tar");
        text(&output(
            command.env("PATH", path_with_slimpack(folder.path())),
        ))
    };
    assert!(make().contains("-o app.tar"));
    assert!(make().contains("up to date"), "{}", make());
    for name in names {
        sleep(TICK);
        // Written in place: the mtime of the directory does not change.
        fs::write(data.join(name), "2").unwrap();
        let said = make();
        assert!(said.contains("-o app.tar"), "{name}: {said}");
        let said = make();
        assert!(said.contains("up to date"), "{name}: {said}");
    }
    for name in names {
        fs::remove_file(data.join(name)).unwrap();
        let said = make();
        assert!(said.contains("-o app.tar"), "{name}: {said}");
    }
}

#[test]
fn a_line_break_in_a_name_is_refused_and_nothing_is_written() {
    let folder = temporary();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a\nb"), "1").unwrap();
    let mut command = common::slimpack();
    command.current_dir(folder.path()).arg(common::hello());
    let said = common::fail_with(
        2,
        command.args(["-o", "app.tar", "--depfile", "--add", "data:/srv"]),
    );
    assert!(said.contains("line break"), "{said}");
    assert_eq!(common::names_in(folder.path()), ["data"]);
}

#[test]
fn many_images_at_once_do_not_disturb_each_other() {
    if !common::have(&["make"]) {
        return;
    }
    let folder = temporary();
    let names: Vec<String> = (0..12).map(|number| format!("app{number}")).collect();
    for name in &names {
        fs::copy(common::hello(), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("Makefile"), plain_makefile()).unwrap();
    let images: Vec<String> = names.iter().map(|name| format!("{name}.tar")).collect();
    let mut command = Command::new("make");
    command.current_dir(folder.path()).arg("-j12").args(&images);
    succeed(command.env("PATH", path_with_slimpack(folder.path())));
    // Two concurrent runs with one output: one image remains, whole, and no temporary file.
    let packs = (0..6).map(|_| {
        let mut command = common::slimpack();
        command
            .current_dir(folder.path())
            .args(["app0", "-q", "-o", "app0.tar", "--depfile"]);
        command.spawn().unwrap()
    });
    for mut pack in packs.collect::<Vec<_>>() {
        assert!(pack.wait().unwrap().success());
    }
    for (name, image) in names.iter().zip(&images) {
        let mut command = common::slimpack();
        command
            .current_dir(folder.path())
            .args([name.as_str(), "-q", "-o", "fresh.tar"]);
        succeed(&mut command);
        let [made, fresh] =
            [image.as_str(), "fresh.tar"].map(|path| fs::read(folder.path().join(path)).unwrap());
        assert!(made == fresh, "{image}");
    }
    assert!(
        common::names_in(folder.path())
            .iter()
            .all(|name| !name.starts_with('.') || name == ".bin")
    );
}

#[test]
fn lint_leaves_a_stamp_and_says_nothing_when_all_is_well() {
    let folder = temporary();
    let path = |name: &str| folder.path().join(name);
    let lint = |target: &Path| {
        let mut command = common::slimpack();
        command
            .arg("lint")
            .arg(target)
            .arg("--stamp")
            .arg(path("checked"));
        command
    };
    let app = compile(folder.path(), "app", common::HELLO, &[]);
    let said = output(&mut lint(&app));
    assert!(
        said.status.success() && text(&said).is_empty(),
        "{}",
        text(&said)
    );
    assert!(path("checked").exists());
    let first = fs::metadata(path("checked")).unwrap().modified().unwrap();
    succeed(&mut lint(&app));
    assert!(fs::metadata(path("checked")).unwrap().modified().unwrap() > first);
    fs::remove_file(path("checked")).unwrap();
    let broken = common::incomplete(folder.path());
    let said = output(&mut lint(&broken));
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said).contains("libgone.so"), "{}", text(&said));
    assert!(!path("checked").exists());
}
