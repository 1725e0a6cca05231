//! ELF objects made by a test: takes what a loader will read, and returns the bytes of a file with
//! headers and a dynamic table, and no code.

/// An x86-64 object.
#[derive(Clone, Debug, Default)]
pub struct Elf {
    /// `PT_INTERP`; makes the object a program.
    pub interpreter: Option<String>,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_NEEDED`.
    pub needed: Vec<String>,
    /// `DT_AUXILIARY`.
    pub auxiliary: Vec<String>,
    /// `DT_FILTER`.
    pub filter: Vec<String>,
    /// `DT_RPATH`.
    pub rpath: Option<String>,
    /// `DT_RUNPATH`.
    pub runpath: Option<String>,
    /// `DT_FLAGS_1`.
    pub flags_1: u64,
    /// Read-only data, such as the directories compiled into a loader.
    pub data: Vec<u8>,
}

const HEADER: usize = 64;
const SEGMENT: usize = 56;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DT_AUXILIARY: u64 = 0x7fff_fffd;
const DT_FILTER: u64 = 0x7fff_ffff;
/// Read and write, read.
const PF_RW: u32 = 6;
const PF_R: u32 = 4;

impl Elf {
    /// The bytes of a file with exactly these contents.
    #[expect(
        clippy::too_many_lines,
        reason = "the parts of a file, in the order in which they are written"
    )]
    pub fn bytes(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut tags: Vec<(u64, u64)> = Vec::new();
        let mut named = |tag: u64, text: &str| {
            tags.push((tag, strings.len() as u64));
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
        };
        self.needed.iter().for_each(|name| named(1, name));
        self.auxiliary
            .iter()
            .for_each(|name| named(DT_AUXILIARY, name));
        self.filter.iter().for_each(|name| named(DT_FILTER, name));
        self.soname.iter().for_each(|name| named(14, name));
        self.rpath.iter().for_each(|path| named(15, path));
        self.runpath.iter().for_each(|path| named(29, path));

        if self.flags_1 != 0 {
            tags.push((DT_FLAGS_1, self.flags_1));
        }

        let parts = [self.interpreter.is_some(), !self.data.is_empty()];
        let segments = 2 + parts.iter().filter(|&&is_there| is_there).count();
        let interpreter = self.interpreter.clone().map_or(Vec::new(), |mut path| {
            path.push('\0');
            path.into_bytes()
        });
        let interpreter_at = HEADER + segments * SEGMENT;
        let dynamic_at = (interpreter_at + interpreter.len()).next_multiple_of(8);
        let dynamic_length = (tags.len() + 3) * 16;
        let strings_at = dynamic_at + dynamic_length;
        let data_at = strings_at + strings.len();
        tags.extend([(5, strings_at as u64), (10, strings.len() as u64), (0, 0)]);

        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        for half in [3_u16, 62] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes.extend_from_slice(&1_u32.to_le_bytes());
        for word in [0, HEADER as u64, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        for half in [HEADER, SEGMENT, segments, 0, 0, 0] {
            bytes.extend_from_slice(&(half as u16).to_le_bytes());
        }
        let mut segment = |kind: u32, flags: u32, at: usize, length: usize| {
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.extend_from_slice(&flags.to_le_bytes());
            for value in [at, at, at, length, length, 8] {
                bytes.extend_from_slice(&(value as u64).to_le_bytes());
            }
        };
        segment(1, PF_RW, 0, data_at);
        // The real loader requires separate pages for each segment: objects that it reads have no
        // data.
        if !self.data.is_empty() {
            segment(1, PF_R, data_at, self.data.len());
        }
        segment(2, PF_RW, dynamic_at, dynamic_length);
        if self.interpreter.is_some() {
            segment(3, PF_R, interpreter_at, interpreter.len());
        }
        bytes.extend_from_slice(&interpreter);
        bytes.resize(dynamic_at, 0);
        for (tag, value) in tags {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&strings);
        bytes.extend_from_slice(&self.data);
        bytes
    }
}
