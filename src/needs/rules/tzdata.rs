//! Time zones.

use crate::needs::strings::ZONES as FOLDER;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

pub(super) static RULE: NeedRule = NeedRule {
    name: "tzdata",
    mode: Mode::Automatic,
    what: "time zones",
    sign: "a zone set with -e TZ=Area/City; the string /usr/share/zoneinfo is only a hint",
    adds: "all time zones; only that of TZ if one is set; tzdata=ZONE+ZONE only those",
    fires,
    supply,
    is_met: Some(|process| match zone(process) {
        Some(zone) => process.has(&format!("{FOLDER}/{zone}")),
        None => process.has(FOLDER),
    }),
};

/// The zone that `TZ` names; a rule such as `UTC0` or `CET-1CEST` needs no file.
fn zone<'p>(process: &'p Process<'_>) -> Option<&'p str> {
    let zone = process.variable("TZ")?.trim_start_matches(':');
    (!zone.starts_with('/') && is_zone(zone) && !zone.contains(',')).then_some(zone)
}

fn is_zone(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    !name.is_empty()
        && name.bytes().all(is_plain)
        && name.bytes().next().is_some_and(|b| b.is_ascii_uppercase())
}

fn fires(process: &Process<'_>) -> Option<Sign> {
    configured(process).or_else(|| reads_zones(process))
}

fn configured(process: &Process<'_>) -> Option<Sign> {
    let zone = zone(process)?;
    // `EST5EDT` is both a rule and a file; only a value that looks like a name has to be a file.
    let is_name = zone.contains('/') || process.has(&format!("{FOLDER}/{zone}"));
    is_name.then(|| Sign::new(0, format!("is started with TZ={zone}")))
}

/// The sign that a program reads zone files itself, not through the C library.
fn reads_zones(process: &Process<'_>) -> Option<Sign> {
    if !process.wants_hints || !process.is_packed || process.is_static() {
        return None;
    }
    // Few programs contain it, and the search is part of one pass that is made anyway.
    process.string_of(0, &[FOLDER])?;
    let texts = process.texts(0);
    let mut paths = texts.words.iter();
    let path = paths.find(|text| text.starts_with(FOLDER))?;
    Some(Sign {
        is_weak: true,
        ..Sign::new(0, format!("contains the path {path}"))
    })
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let mut zones: Vec<&str> = supply.arguments.iter().map(String::as_str).collect();
    let configured = configured(supply.process).and_then(|_| zone(supply.process));
    if zones.is_empty() && configured.is_none() {
        return match supply.source.walk(FOLDER.as_ref()) {
            Ok(_) => Ok(vec![Addition::Tree(FOLDER.into())]),
            Err(_) => Err("the source has no time zones (package tzdata)".into()),
        };
    }
    zones.extend(configured);
    let mut additions = Vec::new();
    for zone in zones {
        let path = format!("{FOLDER}/{zone}");
        if !is_zone(zone) || supply.source.walk(path.as_ref()).is_err() {
            return Err(format!("the source has no time zone {zone} (package tzdata)").into());
        }
        additions.push(Addition::File(path.into()));
    }
    Ok(additions)
}
