//! How much of an image is read before it is refused.
//!
//! In: numbers of the command line. Out: bounds for memory and time that a hostile archive
//! runs into before the machine does. Each can be raised.

/// Bounds for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most members of all layers together, and most files and folders of the tree.
    pub members: u64,
    /// Largest JSON document, in bytes.
    pub document: u64,
    /// Most bytes that compressed data may unpack to, all layers together.
    pub unpacked: u64,
    /// Most bytes that one compressed byte may unpack to, once 256 MiB have been
    /// unpacked. Real layers stay below 50; DEFLATE cannot pass 1032.
    pub ratio: u64,
    /// Most bytes of compressed layers that are kept in memory; also the largest file of
    /// one that is looked into.
    pub kept: u64,
    /// Most seconds that all requests to a registry may take for one image.
    pub registry_time: u64,
}

/// Bytes that may be unpacked from anything, whatever the ratio.
pub const RATIO_FROM: u64 = 256 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            members: 1_000_000,
            document: 16 << 20,
            unpacked: 64 << 30,
            ratio: 200,
            kept: 1 << 30,
            registry_time: 2 * 60 * 60,
        }
    }
}

impl Limits {
    /// The limits by the names that the command line knows them under.
    pub const NAMES: [&'static str; 6] = [
        "members",
        "document",
        "unpacked",
        "ratio",
        "kept",
        "registry-time",
    ];

    /// The limit called `name`; `None` when there is none of that name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
        match name {
            "members" => Some(&mut self.members),
            "document" => Some(&mut self.document),
            "unpacked" => Some(&mut self.unpacked),
            "ratio" => Some(&mut self.ratio),
            "kept" => Some(&mut self.kept),
            "registry-time" => Some(&mut self.registry_time),
            _ => None,
        }
    }
}
