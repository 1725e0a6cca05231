//! Small C programs, each of which needs one thing besides its libraries.

#![allow(dead_code)] // Each test program uses a part of it.

/// The source of the program with this name.
pub fn named(name: &str) -> &'static str {
    let all = [
        ("users", USERS),
        ("hosts", HOSTS),
        ("tmp", TMP),
        ("shell", SHELL),
        ("cancel", CANCEL),
        ("exit", EXIT),
        ("clock", CLOCK),
        ("codeset", CODESET),
        ("convert", CONVERT),
        ("service", SERVICE),
        ("terminal", TERMINAL),
        ("authorities", AUTHORITIES),
        ("backtrace", BACKTRACE),
    ];
    let found = all.iter().find(|(known, _)| *known == name);
    found
        .unwrap_or_else(|| panic!("there is no probe {name}"))
        .1
}

pub const USERS: &str = r#"
#include <pwd.h>
#include <stdio.h>
int main(void) {
    struct passwd *root = getpwuid(0);
    if (!root) return 1;
    puts(root->pw_name);
    struct passwd *nobody = getpwnam("nobody");
    if (!nobody) return 2;
    printf("%d\n", nobody->pw_uid);
    return 0;
}
"#;
pub const WHOAMI: &str = r#"
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    struct passwd *user = getpwuid(getuid());
    if (!user) return 1;
    printf("%s %d\n", user->pw_name, getgid());
    return 0;
}
"#;
pub const HOSTS: &str = r#"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
int main(void) {
    struct addrinfo *found, wanted;
    char text[64];
    memset(&wanted, 0, sizeof wanted);
    wanted.ai_family = AF_INET;
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo("localhost", "80", &wanted, &found)) return 1;
    struct sockaddr_in *address = (struct sockaddr_in *)found->ai_addr;
    puts(inet_ntop(AF_INET, &address->sin_addr, text, sizeof text));
    return 0;
}
"#;
pub const TMP: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    char path[] = "/tmp/probe-XXXXXX";
    int file = mkstemp(path);
    if (file < 0) return 1;
    unlink(path);
    puts("made");
    return 0;
}
"#;
pub const SHELL: &str = r#"
#include <stdlib.h>
int main(void) { return system("echo from a shell"); }
"#;
pub const CANCEL: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *wait_for_ever(void *nothing) { for (;;) pause(); return nothing; }
int main(void) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, 0, wait_for_ever, 0)) return 1;
    pthread_cancel(thread);
    pthread_join(thread, &result);
    puts(result == PTHREAD_CANCELED ? "cancelled" : "ended");
    return 0;
}
"#;
pub const EXIT: &str = r#"
#include <pthread.h>
#include <stdio.h>
static void *leave(void *nothing) { pthread_exit(nothing); }
int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, 0, leave, 0)) return 1;
    pthread_join(thread, 0);
    puts("left");
    return 0;
}
"#;
/// Declared by hand, so that no header is needed.
pub const TERMINAL: &str = r#"
#include <stdio.h>
int setupterm(const char *, int, int *);
int tigetnum(const char *);
int main(void) {
    int status;
    if (setupterm("xterm-256color", 1, &status)) return 1;
    printf("%d\n", tigetnum("colors"));
    return 0;
}
"#;
pub const CLOCK: &str = r#"
#include <stdio.h>
#include <time.h>
int main(void) {
    time_t summer = 1720000000;
    char text[64];
    strftime(text, sizeof text, "%H %Z", localtime(&summer));
    puts(text);
    return 0;
}
"#;
pub const CODESET: &str = r#"
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
int main(void) {
    if (!setlocale(LC_ALL, "")) return 1;
    puts(nl_langinfo(CODESET));
    return 0;
}
"#;
pub const AUTHORITIES: &str = r#"
#include <stdio.h>
void *TLS_client_method(void);
void *SSL_CTX_new(void *);
int SSL_CTX_set_default_verify_paths(void *);
void *SSL_CTX_get_cert_store(void *);
void *X509_STORE_get0_objects(void *);
int OPENSSL_sk_num(void *);
int main(void) {
    void *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_set_default_verify_paths(context) != 1) return 1;
    void *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
    return OPENSSL_sk_num(objects) > 10 ? 0 : 2;
}
"#;
pub const CONVERT: &str = r#"
#include <iconv.h>
#include <stdio.h>
int main(void) {
    if (iconv_open("UTF-16", "UTF-8") == (iconv_t)-1) return 1;
    puts("converts");
    return 0;
}
"#;
pub const SERVICE: &str = r#"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(void) {
    struct servent *found = getservbyname("https", "tcp");
    if (!found) return 1;
    printf("%d\n", ntohs(found->s_port));
    return 0;
}
"#;
pub const BACKTRACE: &str = r#"
#include <execinfo.h>
#include <stdio.h>
int main(void) {
    void *frames[16];
    puts(backtrace(frames, 16) > 1 ? "frames" : "none");
    return 0;
}
"#;
pub const GREET: &str = "const char *greet(void) { return \"greeted\"; }\n";

/// A library or program that opens `libgreet.so.1` and declares `notes` in an ELF note.
pub fn opener(notes: &str, function: &str) -> String {
    format!(
        r#"
#include <dlfcn.h>
#include <stdio.h>
#define NOTES {notes:?}
static const struct {{ unsigned owner, size, type; char name[4]; char text[sizeof(NOTES)]; }} note
    __attribute__((section(".note.dlopen"), aligned(4), used)) =
    {{ 4, sizeof(NOTES), 0x407c0c0a, "FDO", NOTES }};
int {function}(void) {{
    void *library = dlopen("libgreet.so.1", RTLD_NOW);
    if (!library) return 1;
    const char *(*greet)(void) = (const char *(*)(void))dlsym(library, "greet");
    puts(greet());
    return 0;
}}
"#
    )
}
