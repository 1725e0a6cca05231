//! What a team requires of its programs and images: `[lint.libraries]` and `[lint.image]`.
//!
//! In: these tables of a `slimpack.toml`. Out: for a program, which libraries it may and has to
//! load; for an object, the newest glibc; for an image, its budget.

use std::path::Path;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use super::PolicyError;
use crate::binding::GlibcRelease;

/// What programs and images have to fulfil, besides starting.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Requirements on libraries; those whose path is `None` hold for every program.
    pub demands: Vec<Demands>,
    /// Globs for programs that have to be static.
    pub statics: Vec<String>,
    /// What the image as a whole may have.
    pub budget: ImageLimits,
}

/// What some programs, or all, may and have to load.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// A glob for the programs; every program if `None`.
    pub programs: Option<String>,
    /// The libraries that may be loaded; any if `None`.
    pub allow: Option<Vec<String>>,
    /// Libraries that must not be loaded.
    pub deny: Vec<String>,
    /// Libraries that have to be loaded.
    pub require: Vec<String>,
    /// The newest glibc that an object may need.
    pub max_glibc: Option<GlibcRelease>,
}

impl Demands {
    /// Whether they hold for the object at `path`.
    pub fn hold_for(&self, path: &Path) -> bool {
        let programs = self.programs.as_ref();
        programs.is_none_or(|glob| matches(glob, path))
    }
}

/// Limits of an image.
#[derive(Clone, Debug, Default)]
pub struct ImageLimits {
    /// Most bytes of all regular files, hard links counted once.
    pub max_size: Option<u64>,
    /// Most regular files, hard links counted once.
    pub max_files: Option<usize>,
    /// Whether setuid and setgid programs are forbidden.
    pub no_setuid: bool,
    /// Whether shells are forbidden.
    pub no_shell: bool,
}

/// Whether a glob matches a path; `*` does not match a `/`.
pub(super) fn matches(glob: &str, path: &Path) -> bool {
    fast_glob::glob_match(glob, path.display().to_string())
}

impl Gate {
    /// Adds both tables.
    ///
    /// # Errors
    /// When a release or a size cannot be read.
    pub(super) fn add(
        &mut self,
        libraries: LibrariesSection,
        image: BudgetSection,
    ) -> Result<(), PolicyError> {
        self.statics.extend(libraries.statics);
        self.demands.push(Demands {
            programs: None,
            allow: libraries.allow,
            deny: libraries.deny,
            require: libraries.require,
            max_glibc: libraries.max_glibc.map(release).transpose()?,
        });
        for program in libraries.program {
            self.demands.push(Demands {
                programs: Some(program.path),
                allow: program.allow,
                deny: program.deny,
                require: program.require,
                max_glibc: program.max_glibc.map(release).transpose()?,
            });
        }
        self.budget = ImageLimits {
            max_size: image.max_size.map(Size::bytes).transpose()?,
            max_files: image.max_files,
            no_setuid: image.no_setuid,
            no_shell: image.no_shell,
        };
        Ok(())
    }
}

fn release(text: String) -> Result<GlibcRelease, PolicyError> {
    GlibcRelease::parse(&text).ok_or(PolicyError::BadRelease(text))
}

/// The `[lint.libraries]` table of a `slimpack.toml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LibrariesSection {
    /// The libraries that programs may load, by name or glob [default: any]
    allow: Option<Vec<String>>,
    /// Libraries that no program may load
    #[serde(default)]
    deny: Vec<String>,
    /// Libraries that every program has to load
    #[serde(default)]
    require: Vec<String>,
    /// The newest glibc that a program or library may need, such as 2.31
    max_glibc: Option<String>,
    /// Programs that have to be static: globs for paths
    #[serde(default, rename = "static")]
    statics: Vec<String>,
    /// Requirements on some programs, in addition
    #[serde(default)]
    program: Vec<ProgramSection>,
}

/// A `[[lint.libraries.program]]` table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProgramSection {
    /// The programs: a glob for paths
    path: String,
    /// Libraries that they may load; those of [lint.libraries] are allowed, too
    allow: Option<Vec<String>>,
    /// Libraries that they may not load
    #[serde(default)]
    deny: Vec<String>,
    /// Libraries that each of them has to load
    #[serde(default)]
    require: Vec<String>,
    /// The newest glibc that they may need, such as 2.31
    max_glibc: Option<String>,
}

/// The `[lint.image]` table of a `slimpack.toml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BudgetSection {
    /// Most bytes of all files, such as 20MB
    max_size: Option<Size>,
    /// Most files
    max_files: Option<usize>,
    /// Forbid setuid and setgid programs
    #[serde(default)]
    no_setuid: bool,
    /// Forbid shells
    #[serde(default)]
    no_shell: bool,
}

/// A number of bytes, or text with a unit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl Size {
    fn bytes(self) -> Result<u64, PolicyError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Text(text) => match text.parse::<ByteSize>() {
                Ok(size) => Ok(size.as_u64()),
                Err(_) => Err(PolicyError::BadSize(text)),
            },
        }
    }
}
