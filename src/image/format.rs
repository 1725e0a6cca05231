//! Output formats.

/// The format an image is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One tar that is both a docker archive and an OCI layout
    #[default]
    Image,
    /// A tar in the docker save format from before OCI layouts
    Docker,
    /// A tar of an OCI layout
    Oci,
    /// An OCI layout directory; images with other tags in it are kept
    OciDir,
    /// A root directory, without a configuration
    Rootfs,
    /// A tar of the root directory, for ADD and docker import
    RootfsTar,
}

impl Format {
    /// Whether the output is a directory.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::OciDir | Self::Rootfs)
    }

    /// Whether it has a configuration, and a manifest for each platform.
    pub fn is_image(self) -> bool {
        !matches!(self, Self::Rootfs | Self::RootfsTar)
    }

    pub(super) fn is_docker(self) -> bool {
        matches!(self, Self::Image | Self::Docker)
    }

    pub(super) fn is_oci(self) -> bool {
        matches!(self, Self::Image | Self::Oci | Self::OciDir)
    }
}
