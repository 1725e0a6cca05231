//! Real programs in a container without a network, packed with only the options that slimpack
//! suggests.

use crate::{common, packing};
use std::fs;
use std::process::Command;

use packing::{Packed, pack, runs_containers};

/// Whether containers can be run, and these programs are installed.
fn can_run(programs: &[&str]) -> bool {
    runs_containers() && common::have(programs)
}

/// The path of an installed program.
fn installed(program: &str) -> String {
    common::find(program).unwrap().display().to_string()
}

/// Packs an installed program without options.
fn packed(program: &str) -> Packed {
    pack(&[installed(program)])
}

/// The program prints the same in its image as here.
fn prints_as_here(program: &str, arguments: &[&str]) {
    if !can_run(&[program]) {
        return;
    }
    let path = installed(program);
    let mut here = Command::new(&path);
    let expected = common::output(here.args(arguments).env_clear().current_dir("/"));
    let output = packed(program).run(&[&[path.as_str()], arguments].concat());
    assert_eq!(packing::text(&output), packing::text(&expected));
    assert_eq!(output.status.code(), expected.status.code());
}

#[test]
fn ls_knows_the_owner_of_files() {
    if !can_run(&["ls"]) {
        return;
    }
    let listed = packed("ls").prints(&[&installed("ls"), "-l", "/"]);
    assert!(listed.contains(" root root "), "{listed}");
}

#[test]
fn id_knows_names() {
    if !can_run(&["id"]) {
        return;
    }
    let said = packed("id").prints(&[&installed("id")]);
    assert_eq!(said.trim(), "uid=0(root) gid=0(root) groups=0(root)");
    let named = pack(&[installed("id"), "-u".into(), "nobody".into()]);
    let said = named.prints(&[&installed("id"), "-un"]);
    assert_eq!(said.trim(), "nobody");
}

#[test]
fn a_script_of_bash_runs_pipes() {
    if !can_run(&["bash", "sort", "wc"]) {
        return;
    }
    let folder = common::temporary();
    let script = folder.path().join("pipes");
    fs::write(
        &script,
        "#!/bin/bash\nset -o pipefail\nprintf 'b\\na\\n' | sort | head -n 1\n",
    )
    .unwrap();
    let mut words = vec![script.display().to_string()];
    words.push(pack(&words).suggested());
    assert_eq!(pack(&words).prints(&[]), "a\n");

    let bash = installed("bash");
    let command = "echo one two | while read -r first rest; do echo \"$rest\"; done";
    assert_eq!(packed("bash").prints(&[&bash, "-c", command]), "two\n");
}

/// Clones a local repository in the image of git, packed with these flags.
fn git_clones(flags: &[String]) {
    let git = installed("git");
    let folder = common::temporary();
    let repository = folder.path().join("repository");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
        common::succeed(command.args(arguments))
    };
    run(&["init", "-q", repository.to_str().unwrap()]);
    let at = ["-C", repository.to_str().unwrap()];
    fs::write(repository.join("file"), "text\n").unwrap();
    run(&[&at[..], &["add", "file"]].concat());
    run(&[&at[..], &["commit", "-q", "-m", "first"]].concat());
    let mut words = vec![git.clone()];
    words.push(format!("--add={}:/srv/repository", repository.display()));
    words.extend_from_slice(flags);
    let image = pack(&words);
    let output = image.run(&[&git, "clone", "-q", "/srv/repository", "/copy"]);
    let said = packing::text(&output);
    assert!(output.status.success(), "{said}\n{}", image.said);
}

#[test]
fn git_says_its_version() {
    prints_as_here("git", &["--version"]);
}

#[test]
fn git_clones_a_local_repository_with_the_commands_that_are_suggested() {
    if !can_run(&["git", "git-upload-pack"]) {
        return;
    }
    let said = packed("git").said;
    let hint = said.lines().find(|line| line.contains("--with commands"));
    assert!(hint.unwrap().contains("git-upload-pack"), "{said}");
    git_clones(&["--with=commands".into()]);
    git_clones(&["--with=commands=git-upload-pack".into()]);
}

#[test]
fn curl_has_the_certificates_where_its_openssl_looks() {
    prints_as_here("curl", &["--version"]);
    if !common::have(&["/etc/ssl/certs/ca-certificates.crt", "curl"]) {
        return;
    }
    let image = packed("curl");
    let bundle = image.node("etc/ssl/certs/ca-certificates.crt");
    assert!(bundle.unwrap().starts_with("file 0644"), "{}", image.said);
    let link = image.node("usr/lib/ssl/cert.pem");
    assert_eq!(
        link.as_deref(),
        Some("link /etc/ssl/certs/ca-certificates.crt")
    );
}

#[test]
fn ssh_says_its_version_and_knows_its_user() {
    prints_as_here("ssh", &["-V"]);
    if !can_run(&["ssh"]) {
        return;
    }
    // Without an entry for its user, it exits before it looks up a host.
    let ssh = installed("ssh");
    let settings = packed("ssh").prints(&[&ssh, "-G", "localhost"]);
    assert!(settings.contains("user root"), "{settings}");
}

#[test]
fn node_runs_a_line() {
    prints_as_here(
        "node",
        &["-e", "console.log([1, 2].map(n => n * 2).join())"],
    );
}

#[test]
fn less_shows_a_file() {
    if !can_run(&["less"]) {
        return;
    }
    let less = installed("less");
    let folder = common::temporary();
    let file = folder.path().join("page");
    fs::write(&file, "a page\n").unwrap();
    let add = format!("--add={}:/page", file.display());
    let image = pack(&[less.as_str(), &add]);
    assert_eq!(image.prints(&[&less, "/page"]), "a page\n");
    assert!(
        image
            .layer()
            .keys()
            .any(|path| path.ends_with("terminfo/x/xterm"))
    );
}

#[test]
fn sort_follows_the_language() {
    if !can_run(&["sort"]) {
        return;
    }
    let folder = common::temporary();
    let file = folder.path().join("words");
    fs::write(&file, "ä\nb\nB\na\n").unwrap();
    let sort = installed("sort");
    let add = format!("--add={}:/words", file.display());
    let image = pack(&[sort.as_str(), &add, "-e", "LANG=C.UTF-8"]);
    let mut here = Command::new(&sort);
    let expected = common::succeed(here.arg(&file).env_clear().env("LANG", "C.UTF-8"));
    assert_eq!(image.prints(&[&sort, "/words"]), expected);
    assert!(image.added("locale"), "{}", image.said);
}

#[test]
fn tmux_starts_a_server() {
    if !can_run(&["tmux"]) {
        return;
    }
    let tmux = installed("tmux");
    let image = pack(&[tmux.as_str(), "-e", "LANG=C.UTF-8"]);
    let output = image.run(&[&tmux, "new-session", "-d", ";", "list-sessions"]);
    assert!(
        output.status.success(),
        "{}\n{}",
        packing::text(&output),
        image.said
    );
}

#[test]
fn a_one_file_program_of_pyinstaller_finds_what_its_libraries_need() {
    if !common::have(&["pyinstaller"]) || !runs_containers() {
        return;
    }
    let folder = common::temporary();
    let source = folder.path().join("answer.py");
    std::fs::write(
        &source,
        "import math, ssl, json\nprint(int(math.sqrt(1764)), json.dumps([]))\n",
    )
    .unwrap();
    let mut build = std::process::Command::new("pyinstaller");
    build
        .current_dir(folder.path())
        .args(["-y", "-F"])
        .arg(&source);
    common::succeed(&mut build);
    let program = folder.path().join("dist/answer");
    let packed = pack(&[&program]);
    assert!(
        packed.has("usr/lib/x86_64-linux-gnu/libm.so.6"),
        "{}",
        packed.said
    );
    assert_eq!(packed.prints(&[]), "42 []\n");
    let without = pack(&["--without".as_ref(), "bundle".as_ref(), program.as_os_str()]);
    assert!(!without.run(&[]).status.success());
}

#[test]
fn a_program_that_draws_text_finds_a_font() {
    if !common::have(&["fc-match"]) || !runs_containers() {
        return;
    }
    let program = installed("fc-match");
    let plain = pack(&[&program]);
    assert!(plain.said.contains("--with fonts"), "{}", plain.said);
    let with = pack(&[&*program, "--with", "fonts"]);
    let matched = with.prints(&[&program, "sans", "file"]);
    assert!(matched.contains("/usr/share/fonts/"), "{matched}");
    let without = plain.run(&[&program, "sans", "file"]);
    assert!(!packing::text(&without).contains("/usr/share/fonts/"));
}
