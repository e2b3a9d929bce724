//! `prime_serverd`: tells primes from other numbers, over HTTP or for a whole range at once, through the same two pools.

mod simulate;
mod stages;

use std::io::{IsTerminal, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use prime_server::Built;
use tracing_subscriber::filter::LevelFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tells primes from other numbers.
///
/// Given an endpoint, serves HTTP there until SIGTERM or Ctrl-C: `GET /is_prime?possible_prime=N`, or `POST /is_prime` with N as
/// the body, is answered `true` or `false`, or 504 after 30 s; /healthz and /metrics are there too. Port 0 takes a free one.
///
/// Given a number or a range (LOW and HIGH included), sends every number through the same two pools without a socket and prints
/// how many are prime. Ctrl-C ends that with what has been counted.
///
/// `prime_serverd all`, `httpd`, `proxyd` and `workerd` run it as a part of the whole each: see `prime_serverd httpd --help`.
#[derive(Parser)]
#[command(name = "prime_serverd", version)]
struct Arguments {
    /// Where to serve (tcp://*:8002), or which numbers to count (UP_TO, or LOW,HIGH)
    #[arg(value_parser = job, required_unless_present_any = ["describe", "dot"])]
    job: Option<Job>,

    /// Print the pipeline: routes, stages, limits
    #[arg(long, conflicts_with = "job")]
    describe: bool,

    /// Print the pipeline for Graphviz
    #[arg(long, conflicts_with_all = ["job", "describe"])]
    dot: bool,

    /// Workers of each of the two stages [default: one for each core]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    workers: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Job {
    Serve(String),
    Count(RangeInclusive<u64>),
}

fn job(argument: &str) -> Result<Job, String> {
    if argument.contains("://") {
        return Ok(Job::Serve(argument.to_owned()));
    }
    let number = |text: &str| {
        let parsed = text.trim().parse::<u64>();
        parsed.map_err(|_| format!("`{text}` is neither an endpoint like tcp://*:8002 nor a whole number below 2^64"))
    };
    let range = match argument.split_once(',') {
        None => 0..=number(argument)?,
        Some((low, high)) => number(low)?..=number(high)?,
    };
    if range.is_empty() {
        return Err("the range is empty: LOW must not be above HIGH".to_owned());
    }
    Ok(Job::Count(range))
}

/// The words by which the same pipeline runs as processes: see `prime_serverd httpd --help`.
const PROCESSES: [&str; 4] = ["all", "httpd", "proxyd", "workerd"];

fn main() -> ExitCode {
    let is_process = std::env::args().nth(1).is_some_and(|word| PROCESSES.contains(&word.as_str()));
    if is_process {
        return ended(stages::primes(None, DEADLINE).and_then(|primes| primes.main(ENDPOINT)));
    }
    let Arguments { job, dot, workers, .. } = Arguments::parse();
    log(if matches!(job, Some(Job::Serve(_))) { LevelFilter::INFO } else { LevelFilter::WARN });
    ended(match job {
        Some(Job::Serve(endpoint)) => serve(&endpoint, workers),
        Some(Job::Count(range)) => simulate::count(range, workers),
        None => print(workers, if dot { Built::to_dot } else { Built::describe }),
    })
}

fn log(level: LevelFilter) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
}

fn ended<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With nowhere to say it, the status must do.
            let _ = writeln!(std::io::stderr(), "prime_serverd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(workers: Option<u16>, how: fn(&Built) -> String) -> Result<(), Box<dyn std::error::Error>> {
    std::io::stdout().write_all(how(&stages::primes(workers, DEADLINE)?).as_bytes())?;
    Ok(())
}

/// Where it serves if nothing else is said.
const ENDPOINT: &str = "tcp://127.0.0.1:8002";

/// A client of the server waits this long at most.
const DEADLINE: Duration = Duration::from_secs(30);

fn serve(endpoint: &str, workers: Option<u16>) -> Result<(), Box<dyn std::error::Error>> {
    let primes = stages::primes(workers, DEADLINE)?;
    primes.serve_with(endpoint, |running| {
        // Whoever does not read this has no need of it.
        let _ = writeln!(std::io::stderr(), "listening on {}", running.endpoint().unwrap_or(endpoint));
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_an_endpoint_a_number_or_a_range() {
        assert_eq!(job("tcp://*:8002"), Ok(Job::Serve("tcp://*:8002".to_owned())));
        assert_eq!(job("100"), Ok(Job::Count(0..=100)));
        assert_eq!(job("10,20"), Ok(Job::Count(10..=20)));
        assert_eq!(job("18446744073709551615"), Ok(Job::Count(0..=u64::MAX)));
        for wrong in ["", "x", "-1", "1,", ",1", "20,10", "1,2,3", "18446744073709551616", "8002tcp:"] {
            assert!(job(wrong).is_err(), "{wrong}");
        }
    }
}
