//! Limits on reading an image.
//!
//! In: numbers from the command line. Out: bounds on memory and time, which stop a hostile
//! archive before it exhausts the machine. Each can be raised.

/// Bounds for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most members of all layers together, and most files and directories in the tree.
    pub members: u64,
    /// Largest JSON document, in bytes.
    pub document: u64,
    /// Most bytes that compressed data may decompress to, all layers together.
    pub unpacked: u64,
    /// Highest compression ratio, checked once 256 MiB have been decompressed. Real layers stay
    /// below 50; DEFLATE cannot exceed 1032.
    pub ratio: u64,
    /// Most bytes of compressed layers that are kept in memory; also the largest file in one
    /// that is examined.
    pub kept: u64,
    /// Most bytes that a decompressor may look back: the window of zstd, the dictionary of xz.
    pub window: u64,
    /// Most images in one archive, index or layout.
    pub images: u64,
    /// Most seconds that all requests to a registry may take for one image.
    pub registry_time: u64,
}

/// Bytes that may be decompressed whatever the ratio.
pub const RATIO_FROM: u64 = 256 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            members: 1_000_000,
            document: 16 << 20,
            unpacked: 64 << 30,
            ratio: 200,
            kept: 1 << 30,
            // zstd's own default; xz -9 needs 64 MiB.
            window: 128 << 20,
            images: 500,
            registry_time: 2 * 60 * 60,
        }
    }
}

impl Limits {
    /// Names of the limits on the command line.
    pub const NAMES: [&'static str; 8] = [
        "members",
        "document",
        "unpacked",
        "ratio",
        "kept",
        "window",
        "images",
        "registry-time",
    ];

    /// The limit called `name`; `None` for an unknown name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
        match name {
            "members" => Some(&mut self.members),
            "document" => Some(&mut self.document),
            "unpacked" => Some(&mut self.unpacked),
            "ratio" => Some(&mut self.ratio),
            "kept" => Some(&mut self.kept),
            "window" => Some(&mut self.window),
            "images" => Some(&mut self.images),
            "registry-time" => Some(&mut self.registry_time),
            _ => None,
        }
    }
}
