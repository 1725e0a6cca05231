//! `libidn2.so.0`, which glibc loads for names with letters beyond ASCII.
//!
//! `getaddrinfo(3)`: with `AI_IDN` in its flags a name is converted first, and fails with
//! `EAI_IDN_ENCODE` if that library is missing (`inet/idna.c`). The flag is a number; what shows it is
//! that the program speaks of IDN.

use super::opened_by_libc;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const LIBRARY: &str = "libidn2.so.0";
/// Words of programs that set the flag.
const WORDS: [&str; 2] = ["idn", "ai_idn"];

pub(super) static RULE: NeedRule = NeedRule {
    name: "libidn2",
    mode: Mode::Hint,
    what: "libidn2.so.0",
    sign: "an import of getaddrinfo or getnameinfo by a dynamic glibc program that has the word IDN",
    adds: "libidn2.so.0, by which glibc looks up names such as bücher.example",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_packed || !process.is_glibc() || process.loaded("libidn2.so").is_some() {
        return None;
    }
    let sign = process.program_imports(&["getaddrinfo", "getnameinfo"])?;
    let is_idn = |part: &str| WORDS.iter().any(|word| part.eq_ignore_ascii_case(word));
    let has_word = |text: &String| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(is_idn)
    };
    let texts = process.texts(sign.object);
    let text = texts.words.iter().find(|text| has_word(text))?;
    Some(Sign::new(
        sign.object,
        format!("{} and has the text {text:?}", sign.text),
    ))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    Ok(vec![opened_by_libc(supply, LIBRARY, "libidn2-0")?])
}
