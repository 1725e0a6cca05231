//! Values of options, checked as they are parsed.
//!
//! In: the text of an option's value. Out: the value, or a message that clap prints
//! with the name of the option.

use bytesize::ByteSize;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use serde::Deserialize;

use crate::image::read::Limits;
use crate::image::{Format, Tag};
use crate::pack::{Add, Grant, Mkdir};
use crate::run::Volume;
use crate::source::Root;
use crate::suggest::nearest;

/// `NAME[:TAG]`.
pub(super) fn tag(text: &str) -> Result<Tag, String> {
    Tag::parse(text).map_err(|error| {
        let lower = text.to_lowercase();
        match Tag::parse(&lower) {
            Ok(_) if lower != text => format!("{error}; write it in lower case: {lower}"),
            _ => error.to_string(),
        }
    })
}

/// Architectures that roots can be for, by their names in images and in `uname -m`.
const ARCHITECTURES: [&str; 19] = [
    "amd64",
    "x86_64",
    "386",
    "i386",
    "arm64",
    "aarch64",
    "arm",
    "riscv64",
    "ppc64le",
    "ppc64",
    "s390x",
    "loong64",
    "loongarch64",
    "mips",
    "mipsle",
    "mipsel",
    "mips64",
    "mips64le",
    "mips64el",
];

/// `[ARCH=]DIR`; a directory whose name has this form is written `./ARCH=DIR`.
pub(super) fn root(text: &str) -> Result<Root, String> {
    if text.is_empty() {
        return Err("write a directory".into());
    }
    Ok(match text.split_once('=') {
        Some((architecture, folder)) if !architecture.contains('/') => {
            if !ARCHITECTURES.contains(&architecture) {
                return Err(format!(
                    "unknown architecture {architecture:?}; use one of {}",
                    ARCHITECTURES.join(", ")
                ));
            }
            if folder.is_empty() {
                return Err(format!("write {architecture}=DIR"));
            }
            Root {
                architecture: Some(architecture.to_owned()),
                folder: folder.into(),
            }
        }
        _ => Root {
            architecture: None,
            folder: text.into(),
        },
    })
}

/// `NAME=N`, a limit of image reading; sizes may have a unit.
pub(super) fn limit(text: &str) -> Result<(&'static str, u64), String> {
    let known = Limits::NAMES.join(", ");
    let (name, value) = text
        .split_once('=')
        .ok_or(format!("write NAME=N; names are {known}"))?;
    let known_name = Limits::NAMES.into_iter().find(|known| *known == name);
    let name = known_name.ok_or(format!("unknown limit {name:?}; use one of {known}"))?;
    let value = match name {
        "registry-time" => seconds(value)?,
        "members" | "images" | "ratio" => value
            .parse()
            .map_err(|_| "write a whole number, such as 500000".to_owned())?,
        _ => bytes(value)?,
    };
    Ok((name, value))
}

/// The formats by name, for help and for parsing.
pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    let names = Format::ALL.map(|(name, _, about)| PossibleValue::new(name).help(about));
    PossibleValuesParser::new(names).map(|name| {
        let mut formats = Format::ALL.into_iter();
        let found = formats.find(|(known, ..)| *known == name);
        found.map_or(Format::Image, |(_, format, _)| format)
    })
}

/// `NAME=VALUE`, or `NAME` for a variable of this process.
pub(super) fn env_or_own(text: &str) -> Result<String, String> {
    if text.contains('=') {
        return env(text);
    }
    match std::env::var(text) {
        Ok(value) => env(&format!("{text}={value}")),
        Err(_) => Err(format!("{text} is not set here; write NAME=VALUE")),
    }
}

/// `SRC:DEST[:ro]`, which docker's `-v` takes.
pub(super) fn mounted(text: &str) -> Result<Volume, String> {
    let (text, is_read_only) = match text.strip_suffix(":ro") {
        Some(text) => (text, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    let (source, destination) = text
        .rsplit_once(':')
        .filter(|(source, destination)| !source.is_empty() && destination.starts_with('/'))
        .ok_or("write SRC:DEST, where DEST is an absolute path")?;
    let source = std::path::absolute(source).map_err(|error| error.to_string())?;
    match source.try_exists() {
        Ok(true) => Ok(Volume {
            source,
            destination: destination.into(),
            is_read_only,
        }),
        Ok(false) => Err(format!("{} does not exist", source.display())),
        Err(error) => Err(format!("cannot read {}: {error}", source.display())),
    }
}

/// A duration in seconds, or with a unit, such as `10m`.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let units = [("h", 60 * 60), ("m", 60), ("s", 1)];
    let unit = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (number, unit) = unit.unwrap_or((text, 1));
    let number = number.parse::<u64>().ok();
    let seconds = number.and_then(|number| number.checked_mul(unit));
    seconds
        .ok_or_else(|| format!("{text:?} is not a time; write seconds, or a number with s, m or h"))
}

/// `NAME=VALUE`, kept as one string.
pub(super) fn env(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the variable has no name".into()),
        Some(_) if text.contains('\0') => Err("a variable cannot contain a NUL".into()),
        Some(_) => Ok(text.to_owned()),
        None => Err("write NAME=VALUE; values are not taken from this shell".into()),
    }
}

/// `KEY=VALUE`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the key is empty".into()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("write KEY=VALUE".into()),
    }
}

/// `PORT[/PROTOCOL]`, as in docker's `EXPOSE`; returned with the protocol.
pub(super) fn port(text: &str) -> Result<String, String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_port = number.parse::<u16>().is_ok_and(|port| port > 0);
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    match is_port && is_plain && ["tcp", "udp", "sctp"].contains(&protocol) {
        true => Ok(format!("{number}/{protocol}")),
        false => Err("write a port from 1 to 65535, optionally with /tcp, /udp or /sctp".into()),
    }
}

/// Signal names, from `signal(7)`.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// A signal by name, with or without SIG, or by number.
pub(super) fn signal(text: &str) -> Result<String, String> {
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix: &str| {
        let rest = name.strip_prefix(prefix)?;
        let offset = rest.strip_prefix(['+', '-']);
        rest.is_empty()
            .then_some(0)
            .or_else(|| offset?.parse::<u8>().ok())
    };
    let is_number = text
        .parse::<u8>()
        .is_ok_and(|number| (1..=64).contains(&number));
    let is_real_time = ["RTMIN", "RTMAX"]
        .iter()
        .any(|prefix| real_time(prefix).is_some());
    if is_number {
        Ok(text.to_owned())
    } else if SIGNALS.contains(&name) || is_real_time {
        Ok(format!("SIG{name}"))
    } else {
        Err("write a signal such as SIGTERM, SIGINT or 15".into())
    }
}

/// Seconds since 1970, or a date as in RFC 3339.
pub(super) fn time(text: &str) -> Result<u64, String> {
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => Some(seconds),
        Err(_) => {
            let time: Option<jiff::Timestamp> = text.parse().ok();
            time.and_then(|time| u64::try_from(time.as_second()).ok())
        }
    };
    let known = seconds.filter(|seconds| *seconds <= LATEST);
    known.ok_or_else(|| {
        "write seconds since 1970, or a time such as 2026-01-31T12:00:00Z, up to the year 9999"
            .into()
    })
}

/// The last second of the year 9999, the latest that dates in JSON can express.
pub(super) const LATEST: u64 = 253_402_300_799;

/// The path of a volume.
pub(super) fn volume(text: &str) -> Result<String, String> {
    match image_path(text)?.as_str() {
        "/" => Err("engines cannot mount over /; write a directory below it".into()),
        path => Ok(path.to_owned()),
    }
}

/// A glob of library names; `true` is all, as for a flag.
pub(super) fn missing(text: &str) -> Result<String, String> {
    match text {
        "true" => Ok("*".to_owned()),
        _ if text.contains('/') => Err("write the name of a library or a glob, without /".into()),
        _ => Ok(text.to_owned()),
    }
}

/// `USER[:GROUP]`, each by name or number.
pub(super) fn user(text: &str) -> Result<String, String> {
    let (user, group) = text
        .split_once(':')
        .map_or((text, None), |(u, g)| (u, Some(g)));
    // Engines accept numbers of 31 bits; to chown(2), the largest of 32 bits means no change.
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = |part: &str| is_digits(part) && part.parse::<i32>().is_ok();
    // The names that useradd(8) accepts.
    let is_name = |part: &str| {
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        part.starts_with(is_start) && part.chars().all(is_letter) && part.len() <= 32
    };
    let is_valid = |part: &str| is_number(part) || is_name(part);
    if is_valid(user) && group.is_none_or(is_valid) {
        Ok(text.to_owned())
    } else {
        Err("write USER or USER:GROUP, by name or number".into())
    }
}

/// `SRC[:DEST][,chown=OWNER[:GROUP]][,chmod=MODE]`; a colon belongs to the source unless an absolute
/// path follows it.
pub(super) fn add(text: &str) -> Result<Add, String> {
    let (text, grant) = grant(text)?;
    let (source, to) = match text.rsplit_once(':') {
        Some((source, to)) if to.starts_with('/') => (source, Some(destination(to)?)),
        _ => (text, None),
    };
    if source.is_empty() {
        return Err("write SRC or SRC:DEST".into());
    }
    Ok(Add {
        source: source.to_owned(),
        destination: to,
        grant,
    })
}

/// `PATH[,chown=OWNER[:GROUP]][,chmod=MODE]`.
pub(super) fn mkdir(text: &str) -> Result<Mkdir, String> {
    let (path, grant) = grant(text)?;
    let path = destination(path)?.trim_end_matches('/').to_owned();
    if path.is_empty() {
        return Err("/ is in every image; write a directory below it".into());
    }
    Ok(Mkdir {
        path: path.into(),
        grant,
    })
}

/// A path, and the options after it, in the syntax of `docker buildx build --output`.
fn grant(text: &str) -> Result<(&str, Grant), String> {
    let (mut path, mut grant) = (text, Grant::default());
    while let Some((before, option)) = path.rsplit_once(',') {
        match option.split_once('=') {
            Some(("chown", owner)) if grant.owner.is_none() => {
                grant.owner = Some(user(owner).map_err(|_| {
                    format!("chown={owner}: write OWNER or OWNER:GROUP, by name or number")
                })?);
            }
            Some(("chmod", bits)) if grant.mode.is_none() => grant.mode = Some(mode(bits)?),
            Some((name, _)) if nearest(name, ["chown", "chmod"], 2).is_some() => {
                return Err(format!("{option:?}: write chown= and chmod= once each"));
            }
            // A comma in the path.
            _ => break,
        }
        path = before;
    }
    if path.contains(",chown=") || path.contains(",chmod=") {
        return Err("write ,chown=OWNER[:GROUP] and ,chmod=MODE at the end, once each".into());
    }
    Ok((path, grant))
}

/// Permission bits, octal.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let bits = u32::from_str_radix(text, 8).ok();
    bits.filter(|bits| is_octal && *bits <= 0o7777)
        .ok_or_else(|| format!("{text:?} is not a mode; write octal digits, such as 0640"))
}

/// The path of a program in the image, except where engines mount their own file systems.
pub(super) fn destination(text: &str) -> Result<String, String> {
    let path = image_path(text)?;
    let top = path
        .split('/')
        .find(|part| !part.is_empty() && *part != ".");
    match top {
        Some(top @ ("proc" | "dev" | "sys")) => Err(format!(
            "container engines mount their own file system on /{top}"
        )),
        _ => Ok(path),
    }
}

/// An absolute path in the image, without `..`; `.` and double slashes are removed. A trailing
/// slash is kept: it means a directory.
pub(super) fn image_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("write an absolute path inside the image, such as /app/run".into());
    }
    if text.split('/').any(|part| part == "..") {
        return Err("write a path without ..".into());
    }
    if text.contains('\0') {
        return Err("a path cannot contain a NUL".into());
    }
    let is_folder = text.ends_with('/') || text.ends_with("/.");
    let parts: Vec<_> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let slash = if is_folder && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    Ok(format!("/{}{slash}", parts.join("/")))
}

/// Words in exec form (`["a","b"]`), or as a shell would split them.
pub(super) fn words(text: &str) -> Result<Words, String> {
    let words = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| format!("not a JSON list of words: {error}"))?
    } else {
        shell_words::split(text).map_err(|error| error.to_string())?
    };
    Ok(Words(words))
}

/// Several words from one option.
#[derive(Clone, Debug)]
pub(super) struct Words(pub Vec<String>);

/// A run inside the image, and what it has to do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TestRun {
    pub args: Vec<String>,
    /// A text, or `@FILE`.
    pub stdout: Option<String>,
    pub status: Option<i32>,
    /// In seconds.
    pub timeout: Option<u64>,
}

/// Words, or a test of a `slimpack.toml` as JSON.
pub(super) fn test(text: &str) -> Result<TestRun, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("not a test: {error}"));
    }
    Ok(TestRun {
        args: words(text)?.0,
        ..TestRun::default()
    })
}

/// A number of bytes: `500000`, `10MB`, `2MiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "write a number of bytes, such as 500000, 10MB or 2MiB".into())
}

/// A part of a list, as evenly as it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// The number of this part; the first is 0.
    pub index: usize,
    /// The number of parts.
    pub count: usize,
}

/// `I/N`.
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/');
    let numbers = parts.and_then(|(part, count)| {
        let numbers: (usize, usize) = (part.parse().ok()?, count.parse().ok()?);
        (1..=numbers.1).contains(&numbers.0).then_some(numbers)
    });
    match numbers {
        Some((part, count)) => Ok(Shard {
            index: part - 1,
            count,
        }),
        None => Err("write I/N with 1 ≤ I ≤ N, such as 2/5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_as_many_as_there_are() {
        let of = |index, count| Ok(Shard { index, count });
        assert_eq!(shard("1/1"), of(0, 1));
        assert_eq!(shard("5/5"), of(4, 5));
        for text in ["0/5", "6/5", "0/0", "1", "1/", "/2", "-1/2", "a/b", "1/2/3"] {
            assert!(shard(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_exec_form_or_split_as_a_shell_does() {
        let split = |text| words(text).unwrap().0;
        assert_eq!(split(r#"["a b", "c"]"#), ["a b", "c"]);
        assert_eq!(split(r#"-c 'a b' d"#), ["-c", "a b", "d"]);
        assert!(words("[1]").is_err());
        assert!(words("'open").is_err());
    }

    #[test]
    fn paths_of_the_image_are_plain() {
        for (typed, meant) in [
            ("/app/run", "/app/run"),
            ("//app//./run", "/app/run"),
            ("/app/.", "/app/"),
            ("/app/", "/app/"),
            ("/", "/"),
        ] {
            assert_eq!(image_path(typed).as_deref(), Ok(meant));
        }
        for refused in ["app", "/app/../x", ""] {
            assert!(image_path(refused).is_err(), "{refused}");
        }
        assert!(destination("/proc/x").is_err() && destination("//dev/./x").is_err());
        assert!(destination("/process").is_ok());
    }

    #[test]
    fn users_are_names_or_numbers() {
        for good in ["0", "1000", "1000:100", "root", "www-data:web", "app:7"] {
            assert_eq!(user(good).unwrap(), good);
        }
        for bad in ["", "-1", "1:2:3", "99999999999", "a b", "x:", "ünder"] {
            assert!(user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_signals_and_times_are_what_engines_take() {
        assert_eq!(port("80").as_deref(), Ok("80/tcp"));
        assert_eq!(port("53/udp").as_deref(), Ok("53/udp"));
        for bad in ["80x", "0", "65536", "80/icmp", "", "+80", "80-90"] {
            assert!(port(bad).is_err(), "{bad}");
        }
        for (typed, meant) in [
            ("SIGINT", "SIGINT"),
            ("term", "SIGTERM"),
            ("9", "9"),
            ("RTMIN+3", "SIGRTMIN+3"),
        ] {
            assert_eq!(signal(typed).as_deref(), Ok(meant));
        }
        for bad in ["SIGNO", "0", "65", "", "SIG", "RTMIN+x"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
        assert_eq!(time("1700000000"), Ok(1_700_000_000));
        assert_eq!(time("2023-11-14T22:13:20Z"), Ok(1_700_000_000));
        for bad in ["now", "-1", "1969-12-31T00:00:00Z", "253402300800", ""] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_addition_may_name_its_place() {
        let parts = |text: &str| {
            let add = add(text).unwrap();
            (add.source, add.destination)
        };
        assert_eq!(parts("a:/b"), ("a".into(), Some("/b".into())));
        assert_eq!(parts("/etc/x:y"), ("/etc/x:y".into(), None));
        assert_eq!(
            parts("conf/*:/etc/app/"),
            ("conf/*".into(), Some("/etc/app/".into()))
        );
        assert!(add("a:/../b").is_err() && add(":/b").is_err() && add("a:/proc/x").is_err());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("10MB"), Ok(10_000_000));
        assert_eq!(bytes("2MiB"), Ok(2 << 20));
        assert_eq!(bytes("500000"), Ok(500_000));
        assert!(bytes("ten").is_err());
    }
}
