//! The library's balancer under simulated load. See `simulate --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    simulate::cli::main()
}
