//! PostgreSQL and Redis in images of a Debian root, as their own users: they do the same before and after
//! `--from`, and when they are packed from that root with the options that slimpack suggests.
//!
//! `SLIMPACK_TEST_DATABASES` names the root (`.ci/run` creates it).

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{self, output, slimpack, succeed, temporary, text};
use crate::podman::Podman;

/// A server and what it is asked.
struct Database {
    /// Its programs in the root; the image starts the first.
    programs: &'static [&'static str],
    user: &'static str,
    /// The directory of its data, a volume.
    data: &'static str,
    env: &'static str,
    /// Creates the data; nothing if the server does that.
    creates: &'static [&'static str],
    arguments: &'static [&'static str],
    client: &'static [&'static str],
    /// Questions before and after a restart.
    asks: [&'static [&'static str]; 2],
    answers: &'static str,
}

const POSTGRES: Database = Database {
    programs: &[
        "/usr/lib/postgresql/15/bin/postgres",
        "/usr/lib/postgresql/15/bin/initdb",
        "/usr/lib/postgresql/15/bin/psql",
    ],
    user: "postgres",
    data: "/var/lib/postgresql/data",
    env: "LANG=C.UTF-8",
    creates: &[
        "/usr/lib/postgresql/15/bin/initdb",
        "--auth=trust",
        "/var/lib/postgresql/data",
    ],
    arguments: &["-D", "/var/lib/postgresql/data", "-c", "listen_addresses="],
    client: &[
        "/usr/lib/postgresql/15/bin/psql",
        "--host=/var/run/postgresql",
        "--dbname=postgres",
        "-qAtc",
    ],
    asks: [
        &[
            "select current_user, version() like 'PostgreSQL 15%'",
            "set timezone = 'Europe/Berlin'; select '2020-07-01 12:00+00'::timestamptz",
            "create table answers (answer int); insert into answers values (42); \
             select upper('ä'), format('%s', answer) from answers",
        ],
        &["select answer from answers"],
    ],
    answers: "postgres|t\n2020-07-01 14:00:00+02\nÄ|42\n42\n",
};

const REDIS: Database = Database {
    programs: &["/usr/bin/redis-server", "/usr/bin/redis-cli"],
    user: "redis",
    data: "/var/lib/redis",
    env: "TZ=UTC",
    creates: &[],
    arguments: &[
        "--dir",
        "/var/lib/redis",
        "--unixsocket",
        "/var/lib/redis/socket",
        "--port",
        "0",
        "--logfile",
        "/var/log/redis/log",
    ],
    client: &["/usr/bin/redis-cli", "-s", "/var/lib/redis/socket"],
    asks: [&["ping", "incr", "eval", "save"], &["get"]],
    answers: "PONG\n1\ntwo\nOK\n1\n",
};

impl Database {
    /// The words of one question.
    fn words(&self, ask: &'static str) -> Vec<&'static str> {
        let words: &[&str] = match ask {
            "incr" => &["incr", "key"],
            "get" => &["get", "key"],
            "eval" => &["eval", "return 'two'", "0"],
            other => &[other],
        };
        [self.client, words].concat()
    }

    /// What the database answers in an image, before and after a restart.
    fn answers(&self, podman: &Podman, image: &str) -> String {
        let volume = format!("--volume={image}:{}", self.data);
        if let [program, words @ ..] = self.creates {
            let start = [&volume[..], "--entrypoint", program, image];
            let said = podman.run(&[&start[..], words].concat());
            assert!(said.contains("Success"), "{image}: {said}");
        }
        let name = format!("--name={image}-db");
        let start = ["--detach", &name, &volume, image];
        succeed(&mut podman.container(&[&start[..], self.arguments].concat()));
        let container = format!("{image}-db");
        let mut answers = String::new();
        for (number, asks) in self.asks.into_iter().enumerate() {
            if number > 0 {
                podman.says(&["restart", &container]);
            }
            for ask in asks {
                let words = [&[&container[..]][..], &self.words(ask)].concat();
                answers += &podman.once(&words);
            }
        }
        podman.says(&["rm", "--force", &container]);
        answers
    }
}

/// Imports a root as an image that starts a database, as its user.
fn import(podman: &Podman, root: &Path, database: &Database) {
    let mut files = Command::new("tar");
    files
        .args(["-c", "--numeric-owner", "-C"])
        .arg(root)
        .arg(".");
    let mut files = files.stdout(Stdio::piped()).spawn().unwrap();
    let changes = [
        format!("USER {}", database.user),
        format!("VOLUME {}", database.data),
        format!("ENV {}", database.env),
        format!("ENTRYPOINT [\"{}\"]", database.programs[0]),
    ];
    let changes: Vec<&str> = changes
        .iter()
        .flat_map(|change| ["--change", change])
        .collect();
    let words = [&["import", "--quiet"], &changes[..], &["-", "before"]].concat();
    let mut command = podman.command(&words);
    succeed(command.stdin(files.stdout.take().unwrap()));
    assert!(files.wait().unwrap().success());
}

/// The options that a plan with these words suggests.
fn suggested(words: &[String]) -> Vec<String> {
    let said = output(slimpack().arg("--json").args(words));
    assert!(said.status.success(), "{}", text(&said));
    let plan: Value = serde_json::from_slice(&said.stdout).unwrap();
    let hints = plan["hints"].as_array().unwrap().iter();
    let flags = hints.flat_map(|hint| hint["flag"].as_str().unwrap().split(' '));
    flags.map(str::to_owned).collect()
}

fn is_the_same_before_and_after(database: &Database) {
    let (Some(root), Some(podman)) = (common::given("SLIMPACK_TEST_DATABASES"), Podman::start())
    else {
        return;
    };
    import(&podman, &root, database);
    assert_eq!(database.answers(&podman, "before"), database.answers);
    let place = temporary();
    let archive = place.path().join("before.tar");
    podman.says(&["save", "-o", archive.to_str().unwrap(), "before"]);
    podman.says(&["rmi", "before"]);
    let typed = |path: &Path| path.to_str().unwrap().to_owned();
    // The query compiler of PostgreSQL, which is most of its image, is left out.
    let rest = ["--exclude=*llvmjit*".to_owned()];
    let programs = database.programs.iter().map(|path| (*path).to_owned());
    let mut after = vec!["--from".to_owned(), typed(&archive)];
    after.extend(programs.chain(rest.clone()));
    let below = |path: &&str| typed(&root.join(path.trim_start_matches('/')));
    let mut packed = vec!["--root".to_owned(), typed(&root)];
    packed.extend(database.programs.iter().map(below).chain(rest));
    let configured = [
        format!("--user={}", database.user),
        format!("--volume={}", database.data),
        format!("--env={}", database.env),
    ];
    packed.extend(configured);
    for (name, mut words) in [("after", after), ("packed", packed)] {
        words.extend(suggested(&words));
        podman.pack(name, &words);
        let answers = database.answers(&podman, name);
        assert_eq!(answers, database.answers, "{name}: {words:?}");
        podman.says(&["rmi", name]);
    }
}

#[test]
fn postgres_of_a_debian_root_keeps_its_data_as_its_own_user() {
    is_the_same_before_and_after(&POSTGRES);
}

#[test]
fn redis_of_a_debian_root_keeps_its_data_as_its_own_user() {
    is_the_same_before_and_after(&REDIS);
}
