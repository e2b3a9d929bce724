//! `maths`: mathematics as a service, over HTTP. Three pools of workers, each of which does its work in another way.

mod compensated;
mod derivatives;
mod integrals;
mod polynomial;
mod query;
mod refusal;
mod service;
mod summations;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Serves derivatives, summations and integrals of polynomials over HTTP until SIGTERM or Ctrl-C.
///
/// A polynomial is the list of its coefficients, from the lowest power up: c=1,2,3 is 1 + 2x + 3x².
///
///   GET /derivative?c=1,2,3&order=2         {"derivative":[6.0]}
///   GET /summation?c=1,2&from=1&to=100      {"summation":10200.0}
///   GET /integral?c=0,1&from=0&to=4         {"integral":8.0,"error":1.4e-14,"rounds":1,"converged":true}
///
/// What is malformed is answered 400, what is refused 422, each with a sentence that says what would be right. /healthz and
/// /metrics are there too.
#[derive(Parser)]
#[command(name = "maths", version, verbatim_doc_comment)]
struct Arguments {
    /// Where to serve; port 0 takes a free one
    #[arg(default_value = "tcp://127.0.0.1:8003")]
    endpoint: String,

    /// Workers of each stage that computes [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Print the stages and where they lead, and serve nothing
    #[arg(long, conflicts_with = "dot")]
    describe: bool,

    /// Print the same for Graphviz (`dot -Tsvg`), and serve nothing
    #[arg(long)]
    dot: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false).init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With nowhere to say it, the status must do.
            let _ = writeln!(std::io::stderr(), "maths: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { endpoint, workers, describe, dot } = arguments;
    let maths = service::maths(*workers)?;
    if *describe || *dot {
        let text = if *dot { maths.to_dot() } else { maths.describe() };
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(());
    }
    maths.serve_with(endpoint, |running| {
        // Whoever does not read this has no need of it.
        let _ = writeln!(std::io::stderr(), "listening on {}", running.endpoint().unwrap_or(endpoint));
    })?;
    Ok(())
}
