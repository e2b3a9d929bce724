//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::ours::Kind;
use crate::peers::Peer;
use crate::scenarios::{ALL, Scenario};
use crate::server::WORKERS;

/// Measures prime_server beside its peers, in turn and on this machine.
///
/// Every scenario starts its contestants as child processes on 127.0.0.1 and drives them one after
/// the other, round after round, each round beginning with another: a noisy moment then touches
/// all of them alike. Before each measured window comes a warm-up. Printed are, over the rounds,
///
///   * the medians of req/s (answers a second), of CPU µs/req (what the server's process used,
///     user and system, for each request), and of p50 and p99 (latency as the client sees it);
///   * their ratios to one of the contestants, taken within each round before the median is;
///   * each required figure with the one measured, its median, least and most, and the verdict.
///
/// The verdict is `met`, `fell short`, `void` where a run that it needs saw an error or an answer
/// that was not 2xx, or `not wired` where a contestant is not there. Read ratios and CPU per
/// request: requests per second depend on what else the machine does.
///
/// The peers are this same binary, hence have the same allocator, set TCP_NODELAY, take two
/// threads where ours takes two workers, and do the same work.
///
/// `open` runs its generator in real time where it is allowed to (root, CAP_SYS_NICE); where it is
/// not, more runs are void because the generator itself was late.
///
/// Needs Linux, wrk (package `wrk`), for `python` python3, for `hello` cargo and a C++ compiler.
/// Build it with --release. Exits with 0 where everything required was met, 1 where something was
/// not, 2 where something needed is missing.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, after_long_help = scenarios())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The scenarios, one a line.
pub(crate) fn scenarios() -> String {
    let line = |scenario: &Scenario| format!("  {:<12} {}\n", scenario.name, scenario.about);
    format!("Scenarios:\n{}", ALL.iter().map(line).collect::<String>())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the scenarios.
    List,
    /// Run scenarios and print their figures; progress goes to standard error.
    Run(Run),
    /// Serve as one of the contestants; `run` starts these.
    #[command(hide = true)]
    Serve(Serve),
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Scenarios to run, all if none is named; `load list` shows them.
    pub(crate) scenarios: Vec<String>,

    /// Rounds, in each of which every contestant runs once [default: 5, or 1 to 3 where that is
    /// enough]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,

    /// Seconds that each measured window lasts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,

    /// Print one JSON document with every run instead of tables.
    #[arg(long)]
    pub(crate) json: bool,

    /// Where the random numbers of `mix` and `open` begin; each round counts one on.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// The rate of `open` as a share of what axum-rayon answers in a closed loop.
    #[arg(long, default_value_t = 0.85, value_parser = share)]
    pub(crate) load: f64,

    /// The project's root directory, where the examples are [default: the one that this was built
    /// in]
    #[arg(long)]
    pub(crate) root: Option<PathBuf>,

    /// The Python baseline, run as `python3 PATH 127.0.0.1:0` [default: examples/primes/baseline.py
    /// under the root]
    #[arg(long, value_name = "PATH")]
    pub(crate) python_baseline: Option<PathBuf>,
}

impl Run {
    /// The project's root directory.
    pub(crate) fn root(&self) -> PathBuf {
        let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned);
        self.root.clone().or_else(built_in).unwrap_or_default()
    }

    /// The Python baseline's script.
    pub(crate) fn python_baseline(&self) -> PathBuf {
        let example = || self.root().join("examples/primes/baseline.py");
        self.python_baseline.clone().unwrap_or_else(example)
    }
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Who serves.
    #[arg(value_parser = contestant)]
    pub(crate) contestant: Contestant,

    /// Where to listen; port 0 takes any free port. The first line on standard output says which.
    #[arg(long)]
    pub(crate) listen: SocketAddr,

    /// Workers a stage, threads a pool.
    #[arg(long, default_value_t = WORKERS)]
    pub(crate) workers: usize,

    /// Which part of the pipeline it is, where that runs as processes.
    #[arg(long, requires = "link")]
    pub(crate) part: Option<Part>,

    /// Where the proxy of its one stage is.
    #[arg(long)]
    pub(crate) link: Option<String>,

    /// How much work a worker takes ahead, in microseconds.
    #[arg(long, default_value_t = 1000)]
    pub(crate) ahead: u64,

    /// How far away a worker is: the microseconds of a round trip to its proxy.
    #[arg(long, default_value_t = 0)]
    pub(crate) distance: u64,

    /// The calibration of /spin; measured if it is not given.
    #[arg(long)]
    pub(crate) turns_per_ms: Option<u64>,
}

/// A process of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Httpd,
    Proxyd,
    Workerd,
}

/// A contestant that this binary serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contestant {
    Peer(Peer),
    Ours(Kind),
}

fn contestant(name: &str) -> Result<Contestant, String> {
    let peer = Peer::from_str(name, false).map(Contestant::Peer);
    peer.or_else(|_| Kind::from_str(name, false).map(Contestant::Ours)).map_err(|_| {
        let peers = Peer::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let ours = Kind::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = peers.chain(ours).map(|value| value.get_name().to_owned()).collect();
        format!("the contestants are {}", names.join(", "))
    })
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.01..=2.0).contains(share))
        .ok_or_else(|| "a share of capacity lies between 0.01 and 2".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn contestants_are_found_by_name() {
        assert!(matches!(contestant("axum-rayon"), Ok(Contestant::Peer(Peer::AxumRayon))));
        assert!(matches!(contestant("prime-two"), Ok(Contestant::Ours(Kind::Two))));
        assert!(contestant("nobody").is_err_and(|names| names.contains("hyper-inline")));
    }
}
