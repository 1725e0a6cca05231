//! Output formats.

/// The format an image is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// An initrd: a cpio archive of the root directory
    Cpio,
}

impl Format {
    /// All formats, by the names of the command line, each with what it is.
    pub const ALL: [(&'static str, Self, &'static str); 7] = [
        (
            "image",
            Self::Image,
            "One tar that is both a docker archive and an OCI layout",
        ),
        (
            "docker",
            Self::Docker,
            "A tar in the docker save format from before OCI layouts",
        ),
        ("oci", Self::Oci, "A tar of an OCI layout"),
        (
            "oci-dir",
            Self::OciDir,
            "An OCI layout directory; images with other tags in it are kept",
        ),
        (
            "rootfs",
            Self::Rootfs,
            "A root directory, without a configuration",
        ),
        (
            "rootfs-tar",
            Self::RootfsTar,
            "A tar of the root directory, for ADD and docker import",
        ),
        (
            "cpio",
            Self::Cpio,
            "An initrd: a cpio archive of the root directory",
        ),
    ];

    /// Whether the output is a directory.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::OciDir | Self::Rootfs)
    }

    /// Whether it has a configuration, and a manifest for each platform.
    pub fn is_image(self) -> bool {
        !matches!(self, Self::Rootfs | Self::RootfsTar | Self::Cpio)
    }

    pub(super) fn is_docker(self) -> bool {
        matches!(self, Self::Image | Self::Docker)
    }

    pub(super) fn is_oci(self) -> bool {
        matches!(self, Self::Image | Self::Oci | Self::OciDir)
    }
}
