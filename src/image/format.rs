//! What an image is written as.

/// What an image is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One tar that is a docker archive and an OCI layout at once
    #[default]
    Image,
    /// A tar as docker save wrote it before OCI layouts
    Docker,
    /// A tar of an OCI layout
    Oci,
    /// An OCI layout folder; images with other tags in it stay
    OciDir,
    /// A root folder, without a configuration
    Rootfs,
    /// A tar of the root, for ADD and docker import
    RootfsTar,
}

impl Format {
    /// Whether it is a folder.
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
