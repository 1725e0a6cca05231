//! A page in headless Chromium.
//!
//! The page is in a frame, and a script beside it looks at it and answers with JSON. Both come from a
//! server on this machine, which is also the browser's proxy: whatever is requested is seen.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::common::{self, temporary};

/// What a browser made of a page.
#[derive(Debug)]
pub struct Visit {
    /// The answer of the script.
    pub answer: Value,
    /// The paths and addresses that were requested, besides the page and its frame.
    pub requests: Vec<String>,
    /// What was written to the console.
    pub console: Vec<String>,
}

/// The window of a page, and how it is shown.
#[derive(Clone, Copy)]
pub struct Window {
    pub width: u32,
    pub height: u32,
}

pub const DESKTOP: Window = Window {
    width: 1400,
    height: 900,
};
pub const PHONE: Window = Window {
    width: 400,
    height: 800,
};

/// What the scripts of the tests use: `page` is the document, `win` its window.
const HELPERS: &str = r#"
const win = frame.contentWindow, page = frame.contentDocument;
const all = (selector, from = page) => [...from.querySelectorAll(selector)];
const one = (selector, from = page) => from.querySelector(selector);
const texts = (selector, from = page) => all(selector, from).map((element) => element.textContent);
const data = () => JSON.parse(one("script.data").textContent);
const turn = () => new Promise((done) => win.requestAnimationFrame(() => win.setTimeout(done, 0)));
const type = async (field, text) => {
  field.value = text;
  field.dispatchEvent(new win.Event("input", { bubbles: true }));
  field.dispatchEvent(new win.Event("change", { bubbles: true }));
  await turn();
};
const press = async (element, key) => {
  element.dispatchEvent(new win.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await turn();
};
"#;

/// Whether there is a browser; the test is ignored without one.
pub fn has_browser() -> bool {
    common::have(&["chromium"])
}

/// Opens a page; `script` is the body of a function that returns the answer.
pub fn visit(html: &[u8], window: Window, script: &str) -> Visit {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let Window { width, height } = window;
    // The browser ends once everything is loaded: the picture, which the server holds back until
    // there is an answer.
    let outside = format!(
        "<!doctype html><link rel=icon href=data:,><style>body{{margin:0}}iframe{{display:block;border:0;\
         width:{width}px;height:{height}px}}</style><iframe src=/page.html></iframe><img src={WAIT}>\
         <script>\n\
         const frame = document.querySelector('iframe');\n\
         frame.onload = async () => {{\n\
           let answer;\n\
           try {{ answer = await (async () => {{ {HELPERS}\n await turn();\n {script} }})(); }}\n\
           catch (error) {{ answer = {{ error: String(error), stack: error.stack }}; }}\n\
           await fetch('{ANSWER}', {{ method: 'POST', body: JSON.stringify(answer) }});\n\
         }};\n</script>"
    );
    let server = Arc::new(Server {
        outside: outside.into_bytes(),
        page: html.to_vec(),
        seen: Mutex::new(Vec::new()),
        answer: Mutex::new(None),
        answered: Condvar::new(),
    });
    let serving = server.clone();
    // Ends with the test program.
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let server = serving.clone();
            thread::spawn(move || server.serve(&connection));
        }
    });
    let profile = temporary();
    let mut browser = Command::new("chromium");
    browser.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
    ]);
    browser.args([
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]);
    browser.args(["--enable-logging=stderr", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", profile.path().display()));
    browser.arg(format!("--window-size={width},{height}"));
    browser.arg(format!("--proxy-server={address}"));
    browser.arg(format!("http://{address}/"));
    let output = browser.stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = server.answer.lock().unwrap().take();
    let answer = answer.unwrap_or_else(|| panic!("no answer: {log}"));
    let console = log.lines().filter(|line| line.contains("CONSOLE"));
    let requests = server.seen.lock().unwrap().clone();
    Visit {
        answer: serde_json::from_str(&answer).unwrap(),
        requests,
        console: console.map(str::to_owned).collect(),
    }
}

/// Where the picture is that takes as long as the answer, and where the answer goes.
const WAIT: &str = "/wait";
const ANSWER: &str = "/answer";
/// Longest time until an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the browser asks of its maker on its own.
const BROWSERS_OWN: [&str; 2] = [".google.com", ".googleapis.com"];

struct Server {
    outside: Vec<u8>,
    page: Vec<u8>,
    seen: Mutex<Vec<String>>,
    answer: Mutex<Option<String>>,
    answered: Condvar,
}

impl Server {
    /// Answers one request.
    fn serve(&self, mut connection: &TcpStream) {
        let mut reader = BufReader::new(connection);
        let mut head = String::new();
        while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
        let first = head.lines().next().unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match path {
            "/" => ("200 OK", self.outside.as_slice()),
            "/page.html" => ("200 OK", self.page.as_slice()),
            WAIT => {
                let answer = self.answer.lock().unwrap();
                drop(
                    self.answered
                        .wait_timeout_while(answer, PATIENCE, |answer| answer.is_none()),
                );
                ("204 No Content", &b""[..])
            }
            ANSWER => {
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length")
                        .then(|| value.trim().parse().ok())?
                });
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                *self.answer.lock().unwrap() = Some(String::from_utf8(body).unwrap());
                self.answered.notify_all();
                ("204 No Content", &b""[..])
            }
            _ => {
                let host = path
                    .trim_start_matches("http://")
                    .split('/')
                    .next()
                    .unwrap_or_default();
                let host = host.split(':').next().unwrap_or_default();
                if !first.is_empty() && !BROWSERS_OWN.iter().any(|own| host.ends_with(own)) {
                    self.seen.lock().unwrap().push(first.to_owned());
                }
                ("404 Not Found", &b""[..])
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        // A browser that has gone needs no answer.
        let _ = connection.write_all(&[head.as_bytes(), body].concat());
    }
}
