//! glibc's character set converters; musl has them built in.
//!
//! `gconv-modules` and, since glibc 2.34, the files in `gconv-modules.d` map character sets to
//! modules (`iconv/gconv_conf.c`). To add only some character sets, slimpack writes a file that
//! lists just these, and no `gconv-modules.cache`, which glibc would read instead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{runs_scripts, told};
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::suggest::{did_you_mean, nearest};
use crate::vfs::View;

/// The file that maps character sets to modules.
const CONFIGURATION: &str = "gconv-modules";
/// Maximum total size of these files, in bytes; glibc's own have 60 KB.
const MAX_CONFIGURATION: u64 = 4 << 20;
/// Shortest string of a program that counts as the name of a character set, in bytes.
const MIN_NAME: usize = 4;
/// Maximum number of character sets that a sign lists.
const TOLD: usize = 3;
/// The internal encoding that all modules convert from and to.
const INTERNAL: &str = "INTERNAL";
/// Character sets with a built-in converter (`iconv/gconv_builtin.h`).
const BUILT_IN: [&str; 43] = [
    INTERNAL,
    "WCHAR_T",
    "ISO-10646/UCS4/",
    "UCS4",
    "UCS-4",
    "UCS-4BE",
    "UCS-4LE",
    "CSUCS4",
    "ISO-10646",
    "10646-1:1993",
    "10646-1:1993/UCS4/",
    "OSF00010104",
    "OSF00010105",
    "OSF00010106",
    "ISO-10646/UTF8/",
    "ISO-10646/UTF-8/",
    "UTF8",
    "UTF-8",
    "ISO-IR-193",
    "OSF05010001",
    "ISO-10646/UCS2/",
    "UCS2",
    "UCS-2",
    "UCS-2LE",
    "UCS-2BE",
    "UNICODELITTLE",
    "UNICODEBIG",
    "OSF00010100",
    "OSF00010101",
    "OSF00010102",
    "ANSI_X3.4-1968",
    "ANSI_X3.4",
    "ANSI_X3.4-1986",
    "ISO-IR-6",
    "ISO_646.IRV:1991",
    "ASCII",
    "ISO646-US",
    "US-ASCII",
    "US",
    "IBM367",
    "CP367",
    "CSASCII",
    "OSF00010020",
];

/// Libraries that import `iconv_open` for something that few of their programs do.
const GENERAL: [&str; 8] = [
    "libglib-",
    "libxml2",
    "libarchive",
    "libcurl",
    "libidn",
    "libpython",
    "libgnutls",
    "libstdc++",
];

pub(super) static RULE: NeedRule = NeedRule {
    name: "gconv",
    mode: Mode::Hint,
    what: "glibc's character set converters",
    sign: "an import of iconv_open by a glibc program, or by a library that it names itself",
    adds: "all converters of glibc (8 MB); --with gconv=UTF-16+LATIN1 only those character sets",
    fires,
    supply,
    is_met: Some(|process| folder(process.view, process).is_some()),
};

/// The program converts, or a library does that it names itself and that is not used by most
/// programs.
fn imports(process: &Process<'_>) -> Option<Sign> {
    let objects = process.objects();
    let is_general = |index: &usize| {
        let name = objects[*index].opened_as.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        GENERAL.iter().any(|general| name.starts_with(general))
    };
    let mut own = process.own_objects().filter(|index| !is_general(index));
    own.find_map(|index| process.imports_of(index, &["iconv_open"]))
}

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_glibc() {
        return None;
    }
    let mut sign = imports(process)?;
    if runs_scripts(process) {
        return None;
    }
    if process.arguments.is_empty() {
        return Some(sign);
    }
    // The arguments of the image may name the character sets.
    let converters = folder(process.view, process)
        .map(|folder| Converters::read(process.view, &folder))
        .unwrap_or_default();
    if converters.modules.is_empty() {
        return Some(sign);
    }
    let is_meant = |word: &str| {
        let known = converters.known(&name_of(word)).map(is_built_in);
        known == Some(false)
    };
    // `de` and `no` are also languages.
    let is_own_word = |word: &str| word.len() >= MIN_NAME && is_meant(word);
    let words = process.arguments.iter().flat_map(|word| names_in(word));
    let words: BTreeSet<&str> = words.filter(|word| is_meant(word)).collect();
    sign.arguments = words.into_iter().map(str::to_owned).collect();
    match told(&sign.arguments, TOLD) {
        Some(names) => sign.text = format!("{} and is passed {names}", sign.text),
        // Neither its arguments nor its strings name one: it converts to the locale's charset.
        None if process.names(&is_own_word).is_empty() => return None,
        None => {}
    }
    Some(sign)
}

/// The character sets that a word may name: `UTF-16`, `-fUTF-16`, `--from-code=UTF-16`, each
/// without the error handling after it (`LATIN1//TRANSLIT`).
fn names_in(word: &str) -> impl Iterator<Item = &str> {
    let value = word.split_once('=').map(|(_, value)| value);
    let option = word.strip_prefix("-f").or_else(|| word.strip_prefix("-t"));
    let words = [Some(word), value, option].into_iter().flatten();
    words.filter_map(|word| word.split("//").next())
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let Some(folder) = folder(supply.source, supply.process) else {
        return Err("the source has no gconv modules (package libc6, or libc-bin)".into());
    };
    if supply.arguments.is_empty() {
        return Ok(vec![Addition::Tree(folder)]);
    }
    let converters = Converters::read(supply.source, &folder);
    let (text, modules) = converters.of(supply.arguments)?;
    if modules.is_empty() {
        return Ok(Vec::new());
    }
    let mut additions = vec![Addition::Made(
        folder.join(CONFIGURATION),
        text.into_bytes(),
    )];
    for name in modules {
        let path = folder.join(&name);
        if supply.source.walk(&path).is_err() {
            return Err(format!(
                "{} lists {name}, which is missing",
                folder.join(CONFIGURATION).display()
            )
            .into());
        }
        additions.push(Addition::Tree(path));
    }
    Ok(additions)
}

/// The `gconv` directory: next to the C library, or in a usual place. A static program has no C
/// library next to it, but still uses the converters of the installed one.
fn folder(view: &View, process: &Process<'_>) -> Option<PathBuf> {
    let beside: Vec<PathBuf> = match process.loaded("libc.so.6") {
        Some(libc) => {
            let real = &process.objects()[libc].walk.real;
            real.parent().map(Path::to_path_buf).into_iter().collect()
        }
        None => {
            // Debian's directories for each architecture.
            let names = view.read_dir(Path::new("/usr/lib")).unwrap_or_default();
            let names = names.iter().filter(|name| {
                let name = name.to_string_lossy();
                name.contains("-linux-gnu")
            });
            names.map(|name| Path::new("/usr/lib").join(name)).collect()
        }
    };
    let usual = ["/usr/lib64", "/usr/lib"].map(PathBuf::from);
    let mut places = beside.into_iter().chain(usual);
    places.find_map(|place| {
        let folder = place.join("gconv");
        view.walk(&folder).is_ok().then_some(folder)
    })
}

/// A module that converts one character set to another.
struct Module {
    from: String,
    to: String,
    /// The file name in the `gconv` directory.
    file: String,
    /// The configuration line that declares it.
    line: String,
}

/// The parsed configuration.
#[derive(Default)]
struct Converters {
    modules: Vec<Module>,
    /// Indices into `modules`, by source and by target character set.
    ends: BTreeMap<String, Vec<usize>>,
    /// Aliases of character sets, each with the name that it stands for.
    aliases: BTreeMap<String, String>,
}

impl Converters {
    fn read(view: &View, folder: &Path) -> Self {
        let more = folder.join("gconv-modules.d");
        let names = view.read_dir(&more).unwrap_or_default();
        let names = names.iter().filter(|name| {
            // As glibc does.
            Path::new(name).extension().is_some_and(|end| end == "conf")
        });
        let files = [folder.join(CONFIGURATION)]
            .into_iter()
            .chain(names.map(|name| more.join(name)));
        let (mut converters, mut left) = (Self::default(), MAX_CONFIGURATION);
        for file in files {
            let text = view.read(&file, left).unwrap_or_default();
            left -= (text.len() as u64).min(left);
            for line in String::from_utf8_lossy(&text).lines() {
                converters.add(line);
            }
        }
        converters
    }

    fn add(&mut self, line: &str) {
        let code = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = code.split_whitespace().collect();
        match words[..] {
            ["alias", name, of] => {
                // The first one counts.
                self.aliases.entry(name_of(name)).or_insert(name_of(of));
            }
            // A module in another directory is not part of glibc.
            ["module", from, to, file, ..] if !file.contains('/') => {
                let [from, to] = [from, to].map(name_of);
                for end in [&from, &to] {
                    let modules = self.ends.entry(end.clone()).or_default();
                    modules.push(self.modules.len());
                }
                self.modules.push(Module {
                    from,
                    to,
                    file: match file.strip_suffix(".so") {
                        Some(_) => file.to_owned(),
                        None => format!("{file}.so"),
                    },
                    line: words.join("\t"),
                });
            }
            _ => {}
        }
    }

    /// A configuration for only these character sets, and the file names of its modules.
    fn of(&self, names: &[String]) -> Result<(String, BTreeSet<String>), String> {
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        let mut pending: Vec<&str> = Vec::new();
        let upper: Vec<String> = names.iter().map(|name| name_of(name)).collect();
        for (name, upper) in names.iter().zip(&upper) {
            pending.push(self.known(upper).ok_or_else(|| {
                let all = self.modules.iter().map(|module| module.from.as_str());
                let known = all.chain(self.aliases.keys().map(String::as_str));
                format!(
                    "glibc here has no converter for {name}{}; iconv -l lists them all",
                    did_you_mean(nearest(upper, known, 3))
                )
            })?);
        }
        while let Some(name) = pending.pop() {
            if is_built_in(name) || !wanted.insert(name) {
                continue;
            }
            // Some character sets are converted through another one.
            let next = self.at(name).filter(|module| module.from == name);
            pending.extend(next.map(|module| module.to.as_str()));
        }
        let is_wanted = |name: &str| is_built_in(name) || wanted.contains(name);
        let steps = wanted.iter().flat_map(|name| self.at(name));
        let mut steps: Vec<&Module> = steps
            .filter(|module| is_wanted(&module.from) && is_wanted(&module.to))
            .collect();
        steps.sort_by_key(|module| &module.line);
        steps.dedup_by_key(|module| &module.line);
        let aliases = self.aliases.iter().filter(|(alias, _)| {
            let known = self.known(alias);
            known.is_some_and(|name| wanted.contains(name))
        });
        let aliases = aliases.map(|(alias, of)| format!("alias\t{alias}//\t{of}//\n"));
        let lines = steps.iter().map(|module| format!("{}\n", module.line));
        let text = aliases.chain(lines).collect();
        let files = steps.iter().map(|module| module.file.clone());
        Ok((text, files.collect()))
    }

    /// The modules from or to a character set.
    fn at(&self, name: &str) -> impl Iterator<Item = &Module> {
        let places = self.ends.get(name).map_or(&[][..], Vec::as_slice);
        places.iter().map(|&place| &self.modules[place])
    }

    /// The character set that a name stands for, if there is a converter for it.
    fn known<'c>(&'c self, name: &'c str) -> Option<&'c str> {
        /// Maximum number of aliases that are followed.
        const MAX_HOPS: usize = 8;
        let mut name = name;
        for _ in 0..MAX_HOPS {
            match self.aliases.get(name) {
                Some(of) => name = of,
                None => break,
            }
        }
        (is_built_in(name) || self.ends.contains_key(name)).then_some(name)
    }
}

fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// The name of a character set as glibc compares it: in upper case, without the empty error
/// handling after it (`upstr` and `strip` in `iconv/gconv_charset.h`).
fn name_of(word: &str) -> String {
    let upper = word.to_ascii_uppercase();
    match upper.strip_suffix("//") {
        Some(name) => name.to_owned(),
        None => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converters(text: &str) -> Converters {
        let mut converters = Converters::default();
        text.lines().for_each(|line| converters.add(line));
        converters
    }

    const CONFIGURATION: &str = "\
# comment
alias\tLATIN1//\tISO-8859-1//
alias L1// LATIN1//
alias\tOTHER//\tUTF-16//
module\tISO-8859-1//\tINTERNAL\tISO8859-1\t1
module\tINTERNAL\tISO-8859-1//\tISO8859-1\t1
module\tUTF-16//\tINTERNAL\tUTF-16\t1
module\tFAR//\tUTF-16//\tFAR.so\t1
module\tEVIL//\tINTERNAL\t../../evil\t1
alias A// B//
alias B// A//
";

    fn of(names: &[&str]) -> Result<(String, Vec<String>), String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (text, files) = converters(CONFIGURATION).of(&names)?;
        Ok((text, files.into_iter().collect()))
    }

    #[test]
    fn a_configuration_names_what_was_asked_for() {
        let (text, files) = of(&["l1"]).unwrap();
        assert_eq!(files, ["ISO8859-1.so"]);
        assert_eq!(
            text,
            "alias\tL1//\tLATIN1//\nalias\tLATIN1//\tISO-8859-1//\n\
             module\tINTERNAL\tISO-8859-1//\tISO8859-1\t1\nmodule\tISO-8859-1//\tINTERNAL\tISO8859-1\t1\n"
        );
        // Through another one.
        assert_eq!(of(&["FAR"]).unwrap().1, ["FAR.so", "UTF-16.so"]);
        // And nothing that is converted through it.
        assert_eq!(of(&["UTF-16"]).unwrap().1, ["UTF-16.so"]);
    }

    #[test]
    fn what_is_built_in_needs_nothing_and_what_is_unknown_is_told() {
        assert_eq!(of(&["utf-8"]).unwrap(), (String::new(), Vec::new()));
        assert!(of(&["UTF-61"]).unwrap_err().contains("UTF-16"));
        for name in ["EVIL", "A"] {
            assert!(of(&[name]).is_err(), "{name}");
        }
    }
}
