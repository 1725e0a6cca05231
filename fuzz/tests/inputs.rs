//! Every harness on a fixed number of mutated seeds: no panic, no hang, no memory that the input
//! does not account for.
//!
//! `SLIMPACK_FUZZ_INPUTS=COUNT` sets the number of inputs for each harness,
//! `SLIMPACK_FUZZ_SECONDS=TIME` a time for each harness instead, `SLIMPACK_FUZZ_TARGET=NAME`
//! selects one harness, `SLIMPACK_FUZZ_START=NUMBER` selects another stream, and
//! `SLIMPACK_FUZZ_FILE=FILE` runs one input.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use slimpack_fuzz::{Mutator, TARGETS, Target, seeds};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The address space of the process, in bytes: the heap counter does not see memory of C libraries.
const ADDRESS_SPACE: u64 = 4 << 30;
/// The most memory that one input may take, in bytes. Inputs have at most 128 KiB, and the harness
/// for images allows 16 MiB.
const MOST_MEMORY: usize = 64 << 20;
/// The most CPU time of all threads for one input. Wall-clock time would also count other
/// processes.
const MOST_TIME: Duration = Duration::from_secs(5);
/// After this time the process is killed, and the input reported.
const HANG: Duration = Duration::from_secs(60);

/// The number of inputs for a harness unless one is given.
fn count(name: &str) -> u64 {
    match name {
        "registry" => 300,
        "needs" | "root" => 800,
        "image" | "tar" | "initrd" | "facts" | "docker" | "oci" => 2000,
        _ => 4000,
    }
}

/// The number of the current input, counted over all targets.
static STARTED: AtomicU64 = AtomicU64::new(0);

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    let parsed = value.parse().ok();
    assert!(parsed.is_some(), "{name}={value} is not valid");
    parsed
}

/// Ends the process if one input takes too long: a thread cannot be stopped.
fn watch() {
    std::thread::spawn(|| {
        loop {
            let before = STARTED.load(Ordering::Relaxed);
            std::thread::sleep(HANG);
            if before > 0 && before == STARTED.load(Ordering::Relaxed) {
                eprintln!(
                    "an input takes longer than {HANG:?}; it is in the newest file of {}",
                    folder().display()
                );
                std::process::abort();
            }
        }
    });
}

/// The CPU time of all threads so far.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The results of one target.
struct Run {
    name: &'static str,
    inputs: u64,
    longest: Duration,
    most: usize,
}

impl Run {
    fn input(&mut self, target: fn(&[u8]), input: &[u8], place: &Path) {
        STARTED.fetch_add(1, Ordering::Relaxed);
        self.inputs += 1;
        let Self { name, inputs, .. } = *self;
        HEAP.reset_peak_usage();
        let (before, start) = (HEAP.current_usage(), worked());
        let ended = catch_unwind(AssertUnwindSafe(|| target(input)));
        let took = worked().saturating_sub(start);
        let memory = HEAP.peak_usage().saturating_sub(before);
        self.longest = self.longest.max(took);
        self.most = self.most.max(memory);
        let what = format!("{name}, input {inputs}, kept in {}", place.display());
        assert!(ended.is_ok(), "{what}: panics");
        assert!(took < MOST_TIME, "{what}: takes {took:?}");
        assert!(memory < MOST_MEMORY, "{what}: takes {memory} bytes");
    }
}

fn run(&(name, target): &Target) -> io::Result<Run> {
    let mut run = Run {
        name,
        inputs: 0,
        longest: Duration::ZERO,
        most: 0,
    };
    if let Some(file) = variable::<PathBuf>("SLIMPACK_FUZZ_FILE") {
        run.input(target, &fs::read(&file)?, &file);
        return Ok(run);
    }
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    // If the process is killed, this file holds the input.
    let place = folder().join(format!("fuzz-{name}.input"));
    let kept = File::create(&place)?;
    let mut stream = Mutator::new(&seeds, variable("SLIMPACK_FUZZ_START").unwrap_or(1));
    let limit = variable("SLIMPACK_FUZZ_SECONDS").map(Duration::from_secs);
    let begin = Instant::now();
    let count = variable("SLIMPACK_FUZZ_INPUTS").unwrap_or(match limit {
        Some(_) => u64::MAX,
        None => count(name),
    });
    for _ in 0..count {
        if limit.is_some_and(|limit| begin.elapsed() > limit) {
            break;
        }
        let input = stream.input();
        kept.set_len(input.len() as u64)?;
        kept.write_all_at(&input, 0)?;
        run.input(target, &input, &place);
    }
    fs::remove_file(&place)?;
    Ok(run)
}

#[test]
fn parsers_survive_mutated_seeds() {
    let limit = Some(ADDRESS_SPACE);
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::As, limit).unwrap();
    watch();
    let wanted: Option<String> = variable("SLIMPACK_FUZZ_TARGET");
    let is_wanted = |target: &&Target| wanted.as_ref().is_none_or(|name| name == target.0);
    let mut ran = 0;
    for target in TARGETS.iter().filter(is_wanted) {
        let start = Instant::now();
        let run = run(target).unwrap();
        ran += 1;
        println!(
            "{:12} {:8} inputs in {:6.1} s, longest {:6.1} ms, most memory {:6} KiB",
            run.name,
            run.inputs,
            start.elapsed().as_secs_f64(),
            run.longest.as_secs_f64() * 1e3,
            run.most >> 10,
        );
    }
    assert!(ran > 0, "there is no target {wanted:?}");
}

#[test]
fn each_harness_is_a_target_of_cargo_fuzz() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut programs: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    programs.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(programs, names);
}
