//! What programs need besides their libraries, as text and JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use serde_json::json;

use crate::needs::{NeedRule, RULES, Sign};
use crate::vfs::safe;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Lists all rules.
///
/// # Errors
/// When `out` fails.
pub fn need_rules(as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        let rules = RULES.iter().map(|rule| {
            json!({
                "need": rule.name,
                "mode": rule.mode.as_str(),
                "sign": rule.sign,
                "adds": rule.adds,
            })
        });
        let rules: Vec<_> = rules.collect();
        return writeln!(out, "{}", json!({"schema": 1, "needs": rules}));
    }
    for rule in RULES {
        writeln!(
            out,
            "{BOLD}{}{BOLD:#} {DIM}({}){DIM:#}",
            rule.name,
            rule.mode.as_str()
        )?;
        writeln!(out, "    {DIM}sign{DIM:#} {}", rule.sign)?;
        writeln!(out, "    {DIM}adds{DIM:#} {}", rule.adds)?;
    }
    Ok(())
}

/// Lists the needs of one program, each with its sign.
///
/// # Errors
/// When `out` fails.
pub fn needs_of(
    program: &Path,
    signs: &[(&NeedRule, Sign)],
    path_of: &dyn Fn(usize) -> PathBuf,
    as_json: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    if as_json {
        let needs = signs.iter().map(|(rule, sign)| {
            json!({
                "need": rule.name,
                "mode": rule.mode.as_str(),
                "object": path_of(sign.object).display().to_string(),
                "sign": sign.text,
                "adds": rule.adds,
            })
        });
        let needs: Vec<_> = needs.collect();
        let program = program.display().to_string();
        return writeln!(
            out,
            "{}",
            json!({"schema": 1, "program": program, "needs": needs})
        );
    }
    writeln!(out, "{BOLD}{}{BOLD:#}", safe(program.display()))?;
    if signs.is_empty() {
        writeln!(out, "  {DIM}nothing besides its libraries{DIM:#}")?;
    }
    for (rule, sign) in signs {
        let object = path_of(sign.object);
        writeln!(
            out,
            "  {} {DIM}({}): {} {}; adds {}{DIM:#}",
            rule.name,
            rule.mode.as_str(),
            safe(object.display()),
            safe(&sign.text),
            rule.adds
        )?;
    }
    Ok(())
}
