//! Deterministic mutations.
//!
//! In: a number and seeds. Out: a stream of inputs that is the same for the same number and seeds.

/// Values that replace lengths, counts and offsets.
const EXTREMES: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];
/// Maximum size of an input, in bytes.
const MAX_INPUT: usize = 128 << 10;
/// Maximum size of a piece that is copied, removed or repeated, in bytes.
const MAX_PIECE: usize = 512;
/// Maximum number of repetitions of a short piece.
const MAX_REPEATS: usize = 4096;
/// Values that replace numbers in text.
const NUMBERS: [&str; 6] = [
    "0",
    "-1",
    "4294967296",
    "18446744073709551615",
    "1e999",
    "0777777777777",
];

/// Makes inputs from seeds.
pub struct Mutator<'s> {
    seeds: &'s [Vec<u8>],
    state: u64,
    next_seed: usize,
}

impl<'s> Mutator<'s> {
    /// The stream with this number.
    pub fn new(seeds: &'s [Vec<u8>], number: u64) -> Self {
        Self {
            seeds,
            state: number,
            next_seed: 0,
        }
    }

    /// The next input: first each seed unchanged, then mutated ones without end.
    pub fn input(&mut self) -> Vec<u8> {
        if let Some(seed) = self.seeds.get(self.next_seed) {
            self.next_seed += 1;
            return seed.clone();
        }
        let which = self.below(self.seeds.len());
        let mut input = self.seeds.get(which).cloned().unwrap_or_default();
        // Mostly few changes: with many, the first check fails.
        let most = [1, 1, 2, 4, 16][self.below(5)];
        for _ in 0..=self.below(most) {
            self.change(&mut input);
        }
        input.truncate(MAX_INPUT);
        input
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        match end {
            0 => 0,
            end => (self.random() % end as u64) as usize,
        }
    }

    /// A position, more often near the beginning, where headers are.
    fn place(&mut self, length: usize) -> usize {
        let end = [length, length, length.min(4096), length.min(256)][self.below(4)];
        self.below(end)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.place(input.len());
        let length = self.below(MAX_PIECE.min(input.len() - at) + 1);
        match self.below(13) {
            0 | 1 => {
                let bit = self.below(8);
                input
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << bit);
            }
            2 | 3 => {
                let value = [0, 0xff, b'0', b'9', b'/', b'\n', self.random() as u8][self.below(7)];
                input
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte = value);
            }
            4..=6 => self.set_number(input, at),
            7 => input.truncate(at),
            // Several adjacent fields: a single extreme value often fails a check.
            12 => {
                let value = [0, 0xff][self.below(2)];
                let length = length.min(1 + self.below(64));
                input[at..at + length].fill(value);
            }
            8 => drop(input.drain(at..at + length)),
            9 => {
                // A short piece many times: nesting, and quadratic work.
                let (length, most) = match self.below(4) {
                    0 => (length.min(8), MAX_REPEATS),
                    _ => (length, 4),
                };
                let times = 1 + self.below(most);
                let piece = input[at..at + length].repeat(times);
                input.splice(at..at, piece);
            }
            10 => {
                let other = &self.seeds[self.below(self.seeds.len())];
                let from = self.place(other.len());
                let piece = &other[from..other.len().min(from + length.max(8))];
                let end = match self.below(2) {
                    0 => at,
                    _ => input.len().min(at + piece.len()),
                };
                input.splice(at..end, piece.iter().copied());
            }
            _ => self.set_text_number(input, at),
        }
    }

    /// Sets a field of 2, 4 or 8 bytes in either byte order, half of the time at an aligned offset.
    fn set_number(&mut self, input: &mut [u8], at: usize) {
        let width = [2, 4, 8][self.below(3)];
        let at = at - at % [1, width][self.below(2)];
        let value = match self.below(3) {
            0 => input.len() as u64 - self.below(16).min(input.len()) as u64,
            1 => at as u64,
            _ => EXTREMES[self.below(EXTREMES.len())],
        };
        let mut bytes = value.to_le_bytes()[..width].to_vec();
        if self.below(4) == 0 {
            bytes.reverse();
        }
        if let Some(field) = input.get_mut(at..at + width) {
            field.copy_from_slice(&bytes);
        }
    }

    /// The first run of digits at `at` or after it.
    fn set_text_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let Some(start) = input[at..].iter().position(u8::is_ascii_digit) else {
            return;
        };
        let start = at + start;
        let length = input[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let number = NUMBERS[self.below(NUMBERS.len())];
        input.splice(start..start + length, number.bytes());
    }
}
