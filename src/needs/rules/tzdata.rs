//! Time zones.

use crate::needs::{Addition, Mode, Process, Rule, Sign, Supply};

const FOLDER: &str = "/usr/share/zoneinfo";

pub(super) static RULE: Rule = Rule {
    name: "tzdata",
    mode: Mode::Automatic,
    what: "the time zone",
    sign: "a zone given by -e TZ=Area/City",
    adds: "that zone; with tzdata=ZONE+ZONE those, with --with tzdata all",
    fires,
    supply,
    is_met: Some(|process| {
        zone(process).is_none_or(|zone| process.has(&format!("{FOLDER}/{zone}")))
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
    let zone = zone(process)?;
    // `EST5EDT` is a rule and a file; only what looks like a name has to be a file.
    (zone.contains('/') || process.has(&format!("{FOLDER}/{zone}"))).then(|| Sign {
        object: 0,
        text: format!("is started with TZ={zone}"),
    })
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    let mut zones: Vec<&str> = supply.arguments.iter().map(String::as_str).collect();
    let configured = fires(supply.process).and_then(|_| zone(supply.process));
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
            return Err(format!(
                "the source has no time zone {zone} (package tzdata)"
            ));
        }
        additions.push(Addition::File(path.into()));
    }
    Ok(additions)
}
