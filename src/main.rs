//! The command `slimpack`: see [`slimpack::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    slimpack::cli::main()
}
