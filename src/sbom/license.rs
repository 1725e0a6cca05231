//! Names of licenses, as SPDX has them.
//!
//! In: the synopsis of a Debian copyright file, or the license field of apk. Out: an SPDX expression.
//! A name that this table does not have becomes a reference (`LicenseRef-…`), so that no name is lost
//! and none is invented. Sources: "License specification" of DEP-5, and the SPDX license list 3.25.

/// Short names of Debian and SPDX identifiers; the names are compared in lower case. `+` after a name
/// means "or any later version", and is in the table where the identifier depends on it.
const KNOWN: &[(&str, &str)] = &[
    ("0bsd", "0BSD"),
    ("afl-2.1", "AFL-2.1"),
    ("agpl-3", "AGPL-3.0-only"),
    ("agpl-3+", "AGPL-3.0-or-later"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("artistic", "Artistic-1.0"),
    ("artistic-1.0", "Artistic-1.0"),
    ("artistic-2", "Artistic-2.0"),
    ("artistic-2.0", "Artistic-2.0"),
    ("bsd-1-clause", "BSD-1-Clause"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsd-4-clause-uc", "BSD-4-Clause-UC"),
    ("bsl-1.0", "BSL-1.0"),
    ("blueoak-1.0.0", "BlueOak-1.0.0"),
    ("boost-1.0", "BSL-1.0"),
    ("bzip2-1.0.6", "bzip2-1.0.6"),
    ("cc-by-3.0", "CC-BY-3.0"),
    ("cc-by-4.0", "CC-BY-4.0"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("cc0", "CC0-1.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("cddl", "CDDL-1.0"),
    ("cddl-1.0", "CDDL-1.0"),
    ("cpl-1.0", "CPL-1.0"),
    ("curl", "curl"),
    ("eupl-1.2", "EUPL-1.2"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("fsful", "FSFUL"),
    ("fsfullr", "FSFULLR"),
    ("ftl", "FTL"),
    ("gfdl-1.2", "GFDL-1.2-only"),
    ("gfdl-1.2+", "GFDL-1.2-or-later"),
    ("gfdl-1.3", "GFDL-1.3-only"),
    ("gfdl-1.3+", "GFDL-1.3-or-later"),
    ("gpl-1", "GPL-1.0-only"),
    ("gpl-1+", "GPL-1.0-or-later"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-2.0", "GPL-2.0-only"),
    ("gpl-2.0+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("gpl-3.0", "GPL-3.0-only"),
    ("gpl-3.0+", "GPL-3.0-or-later"),
    ("hpnd", "HPND"),
    ("icu", "ICU"),
    ("ijg", "IJG"),
    ("isc", "ISC"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2+", "LGPL-2.0-or-later"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-2.1+", "LGPL-2.1-or-later"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("libpng", "Libpng"),
    ("libtiff", "libtiff"),
    ("lppl-1.3c", "LPPL-1.3c"),
    ("mit", "MIT"),
    ("mit-0", "MIT-0"),
    ("mit-cmu", "MIT-CMU"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("ncsa", "NCSA"),
    ("ofl-1.1", "OFL-1.1"),
    ("openldap-2.8", "OLDAP-2.8"),
    ("oldap-2.8", "OLDAP-2.8"),
    ("openssl", "OpenSSL"),
    ("php-3.01", "PHP-3.01"),
    ("postgresql", "PostgreSQL"),
    ("psf-2", "PSF-2.0"),
    ("psf-2.0", "PSF-2.0"),
    ("python-2.0", "Python-2.0"),
    ("qpl-1.0", "QPL-1.0"),
    ("ruby", "Ruby"),
    ("sleepycat", "Sleepycat"),
    ("smlnj", "SMLNJ"),
    ("tcl", "TCL"),
    ("unlicense", "Unlicense"),
    ("vim", "Vim"),
    ("w3c", "W3C"),
    ("wtfpl", "WTFPL"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
    ("zpl-2.1", "ZPL-2.1"),
];

/// Words of prose, which are no names of licenses.
const PROSE: [&str; 5] = ["later", "newer", "any", "version", "with"];

/// A license expression of SPDX.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expression {
    /// The expression.
    pub text: String,
    /// Whether it is one identifier of the SPDX list.
    pub is_listed: bool,
    /// Whether it has operators.
    pub is_compound: bool,
    /// The references in it, each with the name that it stands for.
    pub references: Vec<(String, String)>,
}

impl Expression {
    /// The expression of a synopsis: names that `and` and `or` join, in any case.
    pub fn of(synopsis: &str) -> Self {
        let words: Vec<&str> = synopsis.split_whitespace().collect();
        let is_operator = |word: &&str| ["and", "or"].contains(&&*word.to_ascii_lowercase());
        let names = words.iter().step_by(2);
        let operators = words.iter().skip(1).step_by(2);
        let is_name = |word: &&str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.+".contains(&byte);
            !PROSE.contains(&&*word.to_ascii_lowercase()) && word.bytes().all(is_plain)
        };
        // A comma binds weaker than DEP-5's "and", and apk's parentheses stronger: such a synopsis is
        // one name.
        let is_expression = words.len() % 2 == 1
            && names
                .clone()
                .all(|name| is_name(name) && !is_operator(name))
            && operators.clone().all(is_operator);
        if !is_expression {
            return Self::reference(&words.join(" "));
        }
        let mut whole = Self::name(words[0]);
        for (operator, name) in operators.zip(names.skip(1)) {
            let part = Self::name(name);
            let operator = operator.to_ascii_uppercase();
            whole.text = format!("{} {operator} {}", whole.text, part.text);
            whole.references.extend(part.references);
            (whole.is_listed, whole.is_compound) = (false, true);
        }
        whole
    }

    fn name(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        // apk, and newer copyright files, have the identifiers themselves.
        let known = KNOWN
            .iter()
            .find(|(short, identifier)| *short == lower || identifier.eq_ignore_ascii_case(&lower));
        match known {
            Some((_, identifier)) => Self {
                text: (*identifier).to_owned(),
                is_listed: true,
                is_compound: false,
                references: Vec::new(),
            },
            None => Self::reference(name),
        }
    }

    fn reference(name: &str) -> Self {
        let mut id = String::from("LicenseRef-");
        for c in name.chars() {
            match c {
                '+' => id.push_str("-or-later"),
                c if c.is_ascii_alphanumeric() || c == '.' => id.push(c),
                _ if id.ends_with('-') => {}
                _ => id.push('-'),
            }
        }
        let id = match id.strip_suffix('-') {
            Some("LicenseRef") => "LicenseRef-unnamed".to_owned(),
            Some(id) => id.to_owned(),
            None => id,
        };
        Self {
            references: vec![(id.clone(), name.to_owned())],
            text: id,
            is_listed: false,
            is_compound: false,
        }
    }

    /// All of these, joined by `AND`; `None` if there are none.
    pub fn all(expressions: &[Self]) -> Option<String> {
        let parts =
            expressions
                .iter()
                .map(|part| match part.is_compound && expressions.len() > 1 {
                    true => format!("({})", part.text),
                    false => part.text.clone(),
                });
        let parts: Vec<String> = parts.collect();
        (!parts.is_empty()).then(|| parts.join(" AND "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_debian_become_identifiers_and_others_references() {
        for (synopsis, expected) in [
            ("Expat", "MIT"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2.0-or-later", "GPL-2.0-or-later"),
            ("GPL-2+ or Artistic-2.0", "GPL-2.0-or-later OR Artistic-2.0"),
            ("mit AND isc and Zlib", "MIT AND ISC AND Zlib"),
            ("public-domain", "LicenseRef-public-domain"),
            ("GPL-9+", "LicenseRef-GPL-9-or-later"),
            (
                "GPL-2 with OpenSSL exception",
                "LicenseRef-GPL-2-with-OpenSSL-exception",
            ),
            ("GPL-2 or later", "LicenseRef-GPL-2-or-later"),
            (
                "GPL-2+ or MIT, and ISC",
                "LicenseRef-GPL-2-or-later-or-MIT-and-ISC",
            ),
            ("MIT ISC", "LicenseRef-MIT-ISC"),
            ("or", "LicenseRef-or"),
            ("\u{1b}[2J\"", "LicenseRef-2J"),
            ("é", "LicenseRef-unnamed"),
        ] {
            assert_eq!(Expression::of(synopsis).text, expected, "{synopsis}");
        }
    }

    #[test]
    fn all_licenses_apply() {
        let all = |texts: &[&str]| {
            let all: Vec<_> = texts.iter().map(|text| Expression::of(text)).collect();
            Expression::all(&all)
        };
        assert_eq!(all(&[]), None);
        assert_eq!(all(&["MIT or ISC"]).as_deref(), Some("MIT OR ISC"));
        let expected = "(MIT OR ISC) AND Zlib";
        assert_eq!(all(&["MIT or ISC", "zlib"]).as_deref(), Some(expected));
    }

    #[test]
    fn each_name_of_the_table_is_lower_case_and_occurs_once() {
        let mut names: Vec<_> = KNOWN.iter().map(|(name, _)| *name).collect();
        assert!(names.iter().all(|name| name.to_lowercase() == **name));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
