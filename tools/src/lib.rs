//! What the programs of this crate share.

use std::io::Write;
use std::process::ExitCode;

use prime_server::StartError;

/// Runs a program, and says on standard error why it cannot run.
pub fn run(program: fn() -> Result<(), StartError>) -> ExitCode {
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever has closed it does not want to know.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
