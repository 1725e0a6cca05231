//! Network programs: TLS to a local server with a private authority, and servers in a container,
//! packed with only the options that slimpack suggests.

use crate::{authority, common, packing, servers};
use std::fs;
use std::path::Path;
use std::process::Command;

use authority::Authority;
use packing::{Packed, pack, runs_containers};
use servers::{answer, free_port, page_of, serve};

/// Packs on a machine whose CA bundle contains only this authority.
fn pack_trusting(authority: &Authority, program: &Path, flags: &[&str]) -> Packed {
    const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
    let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]);
    command.arg(authority.path("ca.pem")).arg(BUNDLE);
    command.arg(common::slimpack().get_program()).arg(program);
    packing::pack_by(command.args(flags))
}

fn can_speak_tls() -> bool {
    runs_containers() && common::have(&["openssl", "unshare"])
}

/// The program connects over TLS with the packed CA certificates, and fails without.
fn trusts(program: &Path, arguments: &[&str]) {
    let authority = Authority::of("localhost");
    let (_server, port) = page_of(&authority);
    let words = |port: u16| -> Vec<String> {
        let port = port.to_string();
        let words = arguments.iter();
        words.map(|word| word.replace("PORT", &port)).collect()
    };
    let words = words(port);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let with = pack_trusting(&authority, program, &[]);
    assert!(with.added("ca-certificates"), "{}", with.said);
    let output = common::run_image_beside(&with.archive, &words);
    let text = packing::text(&output);
    let is_page = output.status.success() && text.contains("Cipher");
    assert!(is_page, "{} {text}\n{}", output.status, with.said);
    let without = pack_trusting(&authority, program, &["--without", "ca-certificates"]);
    let output = common::run_image_beside(&without.archive, &words);
    assert!(!output.status.success(), "{}", packing::text(&output));
}

#[test]
fn curl_trusts_the_authority_of_the_source() {
    if can_speak_tls() && common::have(&["curl"]) {
        let curl = common::find("curl").unwrap();
        let url = "https://localhost:PORT/";
        trusts(&curl, &[curl.to_str().unwrap(), "-sS", url]);
    }
}

#[test]
fn a_program_on_openssl_trusts_the_authority_of_the_source() {
    const SOURCE: &str = r#"
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    char target[64], page[4096];
    int read;
    if (argc < 2) return 9;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!SSL_CTX_set_default_verify_paths(context)) return 1;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    snprintf(target, sizeof target, "localhost:%s", argv[1]);
    BIO *bio = BIO_new_ssl_connect(context);
    SSL *ssl;
    BIO_get_ssl(bio, &ssl);
    SSL_set_tlsext_host_name(ssl, "localhost");
    SSL_set1_host(ssl, "localhost");
    BIO_set_conn_hostname(bio, target);
    if (BIO_do_connect(bio) <= 0) return 2;
    BIO_puts(bio, "GET / HTTP/1.0\r\n\r\n");
    while ((read = BIO_read(bio, page, sizeof page)) > 0) fwrite(page, 1, read, stdout);
    return 0;
}
"#;
    if can_speak_tls() {
        let folder = common::temporary();
        let program = common::compile(folder.path(), "client", SOURCE, &["-lssl", "-lcrypto"]);
        trusts(&program, &["/usr/local/bin/client", "PORT"]);
    }
}

#[test]
fn a_program_on_gnutls_trusts_the_authority_of_the_source() {
    const SOURCE: &str = r#"
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char page[4096];
    ssize_t read;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    struct sockaddr_in address;
    if (argc < 2) return 9;
    gnutls_certificate_allocate_credentials(&credentials);
    if (gnutls_certificate_set_x509_system_trust(credentials) < 1) return 1;
    gnutls_init(&session, GNUTLS_CLIENT);
    gnutls_set_default_priority(session);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_server_name_set(session, GNUTLS_NAME_DNS, "localhost", 9);
    gnutls_session_set_verify_cert(session, "localhost", 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address)) return 2;
    gnutls_transport_set_int(session, connection);
    int status = gnutls_handshake(session);
    if (status < 0) {
        fprintf(stderr, "%s\n", gnutls_strerror(status));
        return 3;
    }
    gnutls_record_send(session, request, sizeof request - 1);
    do {
        read = gnutls_record_recv(session, page, sizeof page);
        if (read > 0) fwrite(page, 1, read, stdout);
    } while (read > 0 || read == GNUTLS_E_AGAIN || read == GNUTLS_E_INTERRUPTED);
    return 0;
}
"#;
    if can_speak_tls() {
        let folder = common::temporary();
        let program = common::compile(folder.path(), "client", SOURCE, &["-lgnutls"]);
        trusts(&program, &["/usr/local/bin/client", "PORT"]);
    }
}

#[test]
fn an_authority_that_is_added_by_hand_replaces_those_of_the_source() {
    if !can_speak_tls() || !common::have(&["curl"]) {
        return;
    }
    let authority = Authority::of("localhost");
    let (_server, port) = page_of(&authority);
    let curl = common::find("curl").unwrap();
    let add = format!(
        "--add={}:/etc/ssl/certs/ca-certificates.crt",
        authority.path("ca.pem").display()
    );
    let image = pack(&[curl.to_str().unwrap(), &add]);
    let url = format!("https://localhost:{port}/");
    let words = [curl.to_str().unwrap(), "-sS", &url];
    let output = common::run_image_beside(&image.archive, &words);
    assert!(output.status.success(), "{}", packing::text(&output));
}

#[test]
fn nginx_serves_a_file_with_the_paths_that_are_suggested() {
    if !runs_containers() || !common::have(&["nginx"]) {
        return;
    }
    let nginx = common::find("nginx").unwrap();
    let nginx = nginx.to_str().unwrap();
    let said = pack(&[nginx]).said;
    assert!(
        said.contains("/etc/nginx") && said.contains("--with paths"),
        "{said}"
    );
    let (folder, port) = (common::temporary(), free_port());
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("page.html"), "a page\n").unwrap();
    let configuration = format!(
        "daemon off; error_log stderr; events {{}}\n\
         http {{ include /etc/nginx/mime.types; access_log off;\n\
         server {{ listen 127.0.0.1:{port}; root /srv; }} }}\n"
    );
    fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
    let image = pack(&[
        nginx,
        "--with=paths",
        &format!("--add={}:/srv", site.display()),
        &format!(
            "--add={}:/etc/nginx/nginx.conf",
            folder.path().join("nginx.conf").display()
        ),
    ]);
    let (_bundle, _server) = serve(&image.archive, &[nginx], port);
    let page = answer(port, "GET /page.html HTTP/1.0\r\n\r\n");
    assert!(
        page.contains("Content-Type: text/html") && page.ends_with("a page\n"),
        "{page}"
    );
}

#[test]
fn redis_answers() {
    if !runs_containers() || !common::have(&["redis-server"]) {
        return;
    }
    let redis = common::find("redis-server").unwrap();
    let redis = redis.to_str().unwrap();
    let (image, port) = (pack(&[redis]), free_port());
    let port_word = port.to_string();
    let words = [
        redis,
        "--port",
        &port_word,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ];
    let (_bundle, _server) = serve(&image.archive, &words, port);
    let said = answer(port, "PING\r\nSET key value\r\nGET key\r\nQUIT\r\n");
    assert_eq!(said, "+PONG\r\n+OK\r\n$5\r\nvalue\r\n+OK\r\n");
}
