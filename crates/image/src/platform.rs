//! The platform of an image.

use std::fmt;

use oci_spec::image::Arch;

/// The platform that an image is for; the operating system is Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `architecture` of the image configuration.
    pub architecture: Arch,
    /// `variant`, where the architecture has several.
    pub variant: Option<&'static str>,
}

impl Platform {
    /// The platform of a machine by its `GOARCH` (`config.md` of the specification).
    pub fn linux(architecture: &str, variant: Option<&'static str>) -> Self {
        Self {
            architecture: match architecture {
                // The types of `oci-spec` parse this name as another one.
                "armbe" => Arch::ARMbe,
                name => Arch::from(name),
            },
            variant,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        match self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}
