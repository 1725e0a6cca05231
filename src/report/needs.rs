//! What programs need besides their libraries, as text and JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use serde_json::{Value, json};

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

/// The needs of one program.
pub struct NeedsOf<'a> {
    /// Its path, as it was given.
    pub program: &'a Path,
    /// The rules that apply, each with its sign.
    pub signs: &'a [(&'a NeedRule, Sign)],
    /// What recorded runs looked up, and which process did; `None` without a recording.
    pub lookups: Option<&'a [(PathBuf, String)]>,
}

impl NeedsOf<'_> {
    /// Lists them. `path_of` is the path of an object by its index.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(
        &self,
        path_of: &dyn Fn(usize) -> PathBuf,
        as_json: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if as_json {
            return writeln!(out, "{}", self.json(path_of));
        }
        writeln!(out, "{BOLD}{}{BOLD:#}", safe(self.program.display()))?;
        let lookups = self.lookups.unwrap_or_default();
        if self.signs.is_empty() && lookups.is_empty() {
            writeln!(out, "  {DIM}nothing besides its libraries{DIM:#}")?;
        }
        for (rule, sign) in self.signs {
            let object = path_of(sign.object);
            writeln!(
                out,
                "  {} {DIM}({}): {} {}; adds {}{DIM:#}",
                rule.name,
                sign.mode(rule).as_str(),
                safe(object.display()),
                safe(&sign.text),
                rule.adds
            )?;
        }
        for (path, sign) in lookups {
            let path = safe(path.display());
            writeln!(out, "  trace {DIM}{path}: {}{DIM:#}", safe(sign))?;
        }
        Ok(())
    }

    fn json(&self, path_of: &dyn Fn(usize) -> PathBuf) -> Value {
        let needs = self.signs.iter().map(|(rule, sign)| {
            json!({
                "need": rule.name,
                "mode": sign.mode(rule).as_str(),
                "object": path_of(sign.object).display().to_string(),
                "sign": sign.text,
                "adds": rule.adds,
            })
        });
        let program = self.program.display().to_string();
        let mut value =
            json!({"schema": 1, "program": program, "needs": needs.collect::<Vec<_>>()});
        if let Some(lookups) = self.lookups {
            let lookups = lookups
                .iter()
                .map(|(path, sign)| json!({"path": path.display().to_string(), "sign": sign}));
            value["trace"] = lookups.collect();
        }
        value
    }
}
