//! The command line.
//!
//! In: arguments. Out: an exit status: 0 success, 1 a negative answer (an incomplete
//! closure, a failed check), 2 usage error, unreadable input or failed output.

mod about;
mod args;
mod baseline;
mod cat;
mod diff;
mod error;
mod extract;
mod folded;
mod help;
mod inspect;
mod lint;
mod location;
mod many;
mod needs;
mod pack;
mod page;
mod progress;
mod registry;
mod run;
mod runtime;
mod sbom;
mod size;
mod strip;
mod trace;
mod tree;
mod trials;
mod values;
mod why;

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use args::{Cli, Verb};
use error::CliError;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // Exceeding the limit on file sizes is an error like a full disk; it must not kill the process.
    let ignored = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, ignored);
    end_orderly_without_memory();
    let cli = Cli::read();
    cli.line.common.color.write_global();
    log();
    match run(&cli) {
        Ok(status) => status,
        // The reader closed the pipe.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            error.exit_code()
        }
    }
}

/// Makes running out of memory, for which Rust only has an abort, an error like others; a panic
/// stays an abort.
fn end_orderly_without_memory() {
    /// Exit status of an error.
    const ERROR: i32 = 2;
    let is_orderly = Arc::new(AtomicBool::new(true));
    let abort = signal_hook::consts::SIGABRT;
    let _ = signal_hook::flag::register_conditional_shutdown(abort, ERROR, is_orderly.clone());
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        is_orderly.store(false, Ordering::SeqCst);
        report(panic);
    }));
}

/// Enables logging if `SLIMPACK_LOG` is set: `debug` logs the search of the loader.
fn log() {
    if let Ok(filters) = std::env::var("SLIMPACK_LOG") {
        env_logger::Builder::new()
            .parse_filters(&filters)
            .format(|out, record| writeln!(out, "{}", record.args()))
            .init();
    }
}

/// Starts the threads that read images and many files. If the system allows none, this thread does
/// the work: the pool's own start would panic.
fn threads() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = rayon::ThreadPoolBuilder::new();
    let pool = match crate::image::threads::can_start(cores) {
        true => pool,
        false => pool.num_threads(1).use_current_thread(),
    };
    // Fails only if there is a pool already.
    let _ = pool.build_global();
}

fn run(cli: &Cli) -> Result<ExitCode, CliError> {
    let is_packing_one = cli.line.pack.from.is_none() && cli.line.pack.config.is_none();
    match &cli.verb {
        None if is_packing_one => {}
        Some(Verb::Completions(_) | Verb::Man(_) | Verb::Schema | Verb::Help(_)) => {}
        Some(Verb::Needs(_) | Verb::Trace(_)) => {}
        Some(Verb::Lint(args)) if args.list_rules || args.explain.is_some() => {}
        _ => threads(),
    }
    match &cli.verb {
        None if cli.line.version => about::version(cli.line.common.verbose > 0),
        Some(Verb::Completions(args)) => about::completions(args),
        Some(Verb::Man(args)) => about::man(args),
        Some(Verb::Schema) => about::schema(),
        Some(Verb::Help(args)) => help::run(args),
        Some(Verb::Needs(args)) => needs::run(args, &cli.line.common),
        Some(Verb::Lint(args)) => lint::run(args, &cli.line.common),
        Some(Verb::Inspect(args)) => inspect::run(args, &cli.line.common),
        Some(Verb::Diff(args)) => diff::run(args, &cli.line.common),
        Some(Verb::Size(args)) => size::run(args, &cli.line.common),
        Some(Verb::Cat(args)) => cat::run(args, &cli.line.common),
        Some(Verb::Extract(args)) => extract::run(args, &cli.line.common),
        Some(Verb::Why(args)) => why::run(args, &cli.line.common),
        Some(Verb::Tree(args)) => tree::run(args, &cli.line.common),
        Some(Verb::Sbom(args)) => sbom::run(args, &cli.line.common),
        Some(Verb::Trace(args)) => trace::run(args, &cli.line.common),
        Some(Verb::Run(args)) => run::run(args, &cli.line.common),
        Some(Verb::Strip(args)) => strip::run(args, &cli.line.common),
        None => pack::run(&cli.line.pack, &cli.line.common),
    }
}

/// Standard output, with colors only on a terminal.
fn stdout() -> io::BufWriter<anstream::AutoStream<io::StdoutLock<'static>>> {
    io::BufWriter::with_capacity(64 << 10, anstream::stdout().lock())
}

/// The same for text, which is folded on a terminal.
fn text_output(is_text: bool) -> Box<dyn Write> {
    let out = stdout();
    match columns(&io::stdout()).filter(|_| is_text) {
        Some(columns) => Box::new(folded::Folded::new(out, columns)),
        None => Box::new(out),
    }
}

/// The width of a terminal; `None` if it is not one, or folds lines for itself.
fn columns(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    /// What a terminal has that does not say.
    const USUAL: usize = 80;
    /// Narrower ones fold for themselves.
    const LEAST: usize = 40;
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    match usize::from(size.ws_col) {
        _ if !stream.is_terminal() => None,
        0 => Some(USUAL),
        columns => Some(columns).filter(|columns| *columns >= LEAST),
    }
}

/// The document of a verb as JSON on one line.
fn json(document: &impl serde::Serialize) -> io::Result<String> {
    serde_json::to_string(document).map_err(io::Error::from)
}

/// Warns of directories of `-L` that do not exist: linkers pass over them, which hides a typing error.
fn warn_of_library_path(args: &args::SourceArgs, common: &args::Common) {
    let absent = args.library_path.iter().filter(|path| !path.is_dir());
    for path in absent.filter(|_| !common.quiet) {
        say(|err| {
            writeln!(
                err,
                "warning: -L {}: there is no such directory; nothing is searched there",
                path.display()
            )
        });
    }
}

/// Writes to standard error; failures are ignored, since they cannot be reported anywhere.
fn say(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let _ = write(&mut anstream::stderr().lock());
}

/// The same for text that has nothing to copy longer than a line: it is folded on a terminal.
fn say_folded(text: &[u8]) {
    say(|err| match columns(&io::stderr()) {
        Some(columns) => {
            let mut err = folded::Folded::new(err, columns);
            err.write_all(text)?;
            err.flush()
        }
        None => err.write_all(text),
    });
}
