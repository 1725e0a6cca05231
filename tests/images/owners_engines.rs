//! Services under their own users in podman and docker: minimized images work as before.

use crate::common;
use crate::docker::Docker;
use crate::podman::Podman;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::packing::{Packed, pack, runs_containers};
use crate::roots::lint;
use crate::servers::{answer, free_port, serve};
use common::{compile, find, have, is_root, output, succeed, temporary, text};

const POSTGRES: &str = "/usr/lib/postgresql/15/bin/postgres";
const INITDB: &str = "/usr/lib/postgresql/15/bin/initdb";
const PSQL: &str = "/usr/lib/postgresql/15/bin/psql";
const DATA: &str = "/var/lib/postgresql/data";

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn postgres_keeps_its_data_in_a_volume_as_its_own_user() {
    let Some(podman) = Podman::start().filter(|_| Path::new(POSTGRES).exists()) else {
        return;
    };
    let words = [POSTGRES, INITDB, PSQL, "-u", "postgres", "--volume", DATA];
    let said = text(&output(common::slimpack().arg("-v").args(words)));
    for suggested in ["plugins", "directories", "tzdata", "commands=NAME+NAME"] {
        assert!(said.contains(suggested), "{said}");
    }
    let suggested = [
        "--with=plugins,directories,tzdata,commands=locale",
        "--env=LANG=C.UTF-8",
        // LLVM, the query compiler, which is most of the image.
        "--exclude=*llvmjit*",
    ];
    podman.pack("before", &[&words[..], &suggested].concat());
    let volume = format!("--volume=data:{DATA}");
    let made = [
        &volume,
        "--entrypoint",
        INITDB,
        "before",
        "-A",
        "trust",
        DATA,
    ];
    let said = podman.run(&made);
    assert!(said.contains("Success"), "{said}");
    let serve = |image: &str| {
        let words = [
            "--detach",
            "--name=db",
            &volume,
            image,
            "-D",
            DATA,
            "-c",
            "listen_addresses=",
        ];
        succeed(&mut podman.container(&words));
    };
    let query = |text: &str| {
        let host = "/var/run/postgresql";
        podman.once(&["db", PSQL, "-h", host, "-d", "postgres", "-qAtc", text])
    };
    serve("before");
    assert_eq!(query("select current_user"), "postgres\n");
    query("create table answers (answer int); insert into answers values (42)");
    podman.says(&["restart", "db"]);
    assert_eq!(query("select * from answers"), "42\n");
    podman.says(&["rm", "--force", "db"]);
    // The same image, minimized.
    let archive = temporary();
    let archive = archive.path().join("before.tar");
    podman.says(&["save", "-o", archive.to_str().unwrap(), "before"]);
    let smaller = [
        "--from",
        archive.to_str().unwrap(),
        POSTGRES,
        PSQL,
        "--with=plugins,tzdata",
    ];
    podman.pack("after", &smaller);
    serve("after");
    assert_eq!(query("select * from answers"), "42\n");
    query("insert into answers values (43)");
    assert_eq!(query("select sum(answer) from answers"), "85\n");
}

#[test]
fn redis_keeps_values_as_its_own_user() {
    let Some(podman) = Podman::start() else {
        return;
    };
    let (Some(server), Some(client)) = (find("redis-server"), find("redis-cli")) else {
        return;
    };
    let (server, client) = (server.to_str().unwrap(), client.to_str().unwrap());
    let words = [server, client, "-u", "redis", "-w", "/var/lib/redis"];
    let said = text(&output(common::slimpack().arg("-v").args(words)));
    assert!(
        said.contains("/var/lib/redis, /var/log/redis, /var/run/redis --with directories"),
        "{said}"
    );
    let options = ["--volume=/var/lib/redis", "--with=directories"];
    podman.pack("before", &[&words[..], &options].concat());
    let archive = temporary();
    let archive = archive.path().join("before.tar");
    podman.says(&["save", "-o", archive.to_str().unwrap(), "before"]);
    podman.pack(
        "after",
        &["--from", archive.to_str().unwrap(), server, client],
    );
    let socket = "/var/run/redis/socket";
    for (image, before) in [("before", "\n"), ("after", "value\n")] {
        let words = [
            "--detach",
            "--name=kv",
            "--user=redis",
            "--volume=data:/var/lib/redis",
            image,
            "--unixsocket",
            socket,
            "--port",
            "0",
            "--logfile",
            "/var/log/redis/log",
        ];
        succeed(&mut podman.container(&words));
        let ask = |words: &[&str]| podman.once(&[&["kv", client, "-s", socket], words].concat());
        assert_eq!(ask(&["ping"]), "PONG\n");
        assert_eq!(ask(&["get", "key"]), before);
        assert_eq!(ask(&["set", "key", "value"]), "OK\n");
        assert_eq!(ask(&["save"]), "OK\n");
        podman.says(&["restart", "kv"]);
        assert_eq!(ask(&["get", "key"]), "value\n");
        podman.says(&["rm", "--force", "kv"]);
    }
}

#[test]
fn nginx_fills_its_cache_as_www_data() {
    if !runs_containers() || !have(&["nginx"]) {
        return;
    }
    let nginx = find("nginx").unwrap();
    let nginx = nginx.to_str().unwrap();
    let folder = temporary();
    let (port, behind) = (free_port(), free_port());
    let configuration = format!(
        "pid /run/nginx/pid; error_log stderr; daemon off; events {{}}\n\
         http {{ access_log off; proxy_cache_path /var/cache/nginx keys_zone=all:1m;\n\
         server {{ listen 127.0.0.1:{behind}; return 200 page; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind};\n\
         proxy_cache all; proxy_cache_valid 1h; add_header X-Cache $upstream_cache_status; }} }} }}\n"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let image = pack(&[
        nginx,
        "-u",
        "www-data",
        "--with=directories",
        "--mkdir=/var/lib/nginx,chown=www-data",
        "--mkdir=/var/cache/nginx,chown=www-data,chmod=0700",
        "--mkdir=/run/nginx,chown=www-data",
        &format!("--add={}:/etc/nginx/nginx.conf", file.display()),
    ]);
    let smaller = pack(&[
        "--from",
        image.archive.to_str().unwrap(),
        "--add=/etc/nginx",
    ]);
    for image in [&image, &smaller] {
        let (_bundle, _server) = serve(&image.archive, &[], port);
        for expected in ["X-Cache: MISS", "X-Cache: HIT"] {
            let page = answer(port, "GET / HTTP/1.0\r\n\r\n");
            assert!(page.contains(expected) && page.ends_with("page"), "{page}");
        }
    }
}

#[test]
fn a_python_service_writes_to_its_home_as_user_1000() {
    let Some(podman) = Podman::start().filter(|_| have(&["python3"])) else {
        return;
    };
    let folder = temporary();
    let script = folder.path().join("service");
    let source = "#!/usr/bin/python3\n\
        import os, pathlib\n\
        home = pathlib.Path.home()\n\
        (home / 'state').write_text('kept')\n\
        print(os.getuid(), home, (home / 'state').read_text())\n";
    fs::write(&script, source).unwrap();
    succeed(Command::new("chmod").arg("755").arg(&script));
    let words = [
        script.to_str().unwrap(),
        "--with=stdlib",
        "--user=1000",
        "--env=HOME=/home/app",
        "--mkdir=/home/app,chown=1000,chmod=0700",
    ];
    podman.pack("before", &words);
    assert_eq!(podman.run(&["before"]), "1000 /home/app kept\n");
    let archive = folder.path().join("before.tar");
    podman.says(&["save", "-o", archive.to_str().unwrap(), "before"]);
    podman.pack(
        "after",
        &["--from", archive.to_str().unwrap(), "--with=stdlib"],
    );
    assert_eq!(podman.run(&["after"]), "1000 /home/app kept\n");
    // Not as another user: the home directory is private.
    let said = podman.run(&["--user=1001", "after"]);
    assert!(said.contains("PermissionError"), "{said}");
}

#[test]
fn ping_has_its_capability_where_the_group_range_is_closed() {
    if !have(&["dockerd", "docker", "ping", "getcap"]) || !is_root() {
        return;
    }
    let ping = find("ping").unwrap();
    let ping = ping.to_str().unwrap();
    let capabilities = succeed(Command::new("getcap").arg(ping));
    assert!(capabilities.contains("cap_net_raw=ep"), "{capabilities}");
    let docker = Docker::start();
    // podman gives an added capability to the process itself; docker only allows it.
    let run = |packed: &Packed| {
        docker.load(&packed.archive);
        let options = [
            "--rm",
            "--network=none",
            "--sysctl=net.ipv4.ping_group_range=1 0",
        ];
        let words = [
            &["run"],
            &options[..],
            &["ping:latest", "-nc1", "127.0.0.1"],
        ]
        .concat();
        text(&output(docker.command().args(words)))
    };
    let before = pack(&[ping, "--user=1000"]);
    let said = &before.said;
    assert!(said.contains("/ping cap_net_raw=ep"), "{said}");
    let after = pack(&["--from", before.archive.to_str().unwrap(), "-t", "ping"]);
    for packed in [&before, &after] {
        let said = run(packed);
        assert!(said.contains("1 received"), "{said}");
    }
    let said = run(&pack(&[ping, "--user=1000", "--normalize"]));
    assert!(said.contains("Operation not permitted"), "{said}");
}

/// Prints whether it may listen on port 80.
const LISTEN: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
int main(void) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
    int s = socket(AF_INET, SOCK_STREAM, 0);
    puts(bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 1) ? "refused" : "listens");
    return 0;
}
"#;

#[test]
fn sp312_is_about_engines_that_refuse() {
    let Some(podman) = Podman::start().filter(|_| is_root() && have(&["setcap"])) else {
        return;
    };
    let folder = temporary();
    let program = compile(folder.path(), "server", LISTEN, &[]);
    let path = program.to_str().unwrap();
    let words = [path, "--user=1000", "--expose=80"];
    let plain = pack(&words);
    succeed(Command::new("setcap").args(["cap_net_bind_service=ep", path]));
    let capable = pack(&words);
    let as_root = pack(&[path, "--expose=80", "--normalize"]);
    let docker = have(&["dockerd", "docker"]).then(Docker::start);
    for (packed, answer, is_found) in [
        (&plain, "refused\n", true),
        (&capable, "listens\n", false),
        (&as_root, "listens\n", false),
    ] {
        podman.load(&packed.archive);
        assert_eq!(podman.run(&["server"]), answer);
        let report = lint([&packed.archive]);
        assert_eq!(!report.of("SP312").is_empty(), is_found, "{report:?}");
        // docker lets every user listen on every port (since 20.10).
        if let Some(docker) = &docker {
            docker.load(&packed.archive);
            let run = ["run", "--rm", "--network=none", "server"];
            assert_eq!(docker.run(&run), "listens\n");
        }
    }
}
