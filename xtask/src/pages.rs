//! The pages of the book that are generated from the code.
//!
//! In: the tables of rules. Out: the name and text of each page.

use std::fmt::Write;

use slimpack::lint::{self, Rule};
use slimpack::needs;

/// All generated pages, with their names relative to `docs/src`.
pub fn all() -> [(&'static str, String); 2] {
    [
        ("lint-rules.md", lint_rules()),
        ("needs-rules.md", needs_rules()),
    ]
}

fn page(title: &str, about: &str) -> String {
    format!(
        "<!-- Written by `cargo xtask docs`; edit the tables in src/. -->\n\n# {title}\n\n{about}\n"
    )
}

fn lint_rules() -> String {
    let about = "`slimpack lint --explain RULE` prints the same. IDs are stable. E is an error, W a warning, \
                 I an info.";
    let mut page = page("All rules", about);
    page.push_str("\n| rule | | finds |\n|---|---|---|\n");
    let letter = |rule: &Rule| match rule.severity {
        lint::Severity::Error => "E",
        lint::Severity::Warning => "W",
        lint::Severity::Info => "I",
    };
    for rule in lint::RULES {
        let (id, title) = (rule.id, cell(rule.title));
        let _ = writeln!(
            page,
            "| [{id}](#{}) | {} | {title} |",
            id.to_lowercase(),
            letter(rule)
        );
    }
    for rule in lint::RULES {
        let _ = write!(
            page,
            "\n## {}\n\n{} ({}).\n\n{}\n\n**Fix:** {}\n",
            rule.id,
            capital(rule.title),
            rule.severity.as_str(),
            rule.why,
            rule.fix
        );
    }
    page
}

fn needs_rules() -> String {
    let about = "What programs need besides libraries, and the sign of each need. *automatic* needs are added by \
                 default, *hints* are suggested and added with `--with NEED`, the others only with \
                 `--with NEED`. `slimpack needs` prints the same.";
    let mut page = page("All needs", about);
    for rule in needs::RULES {
        let _ = write!(
            page,
            "\n## {}\n\n{} ({}).\n\n- Sign: {}.\n- Adds: {}.\n",
            rule.name,
            capital(rule.what),
            rule.mode.as_str(),
            rule.sign,
            rule.adds
        );
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Text escaped for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
