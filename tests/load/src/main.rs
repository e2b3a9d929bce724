//! The load harness: drives prime_server and its peers in turn, prints medians and judges them. See
//! `load --help`.

mod cli;
mod client;
mod contest;
mod copied;
mod generator;
mod judge;
mod ours;
mod peers;
mod process;
mod relay;
mod report;
mod response;
mod sample;
mod scenarios;
mod server;
mod stats;
mod work;
mod wrk;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use cli::{Cli, Command, Contestant};
use report::Report;
use rustix::process::{Signal, set_parent_process_death_signal};
use scenarios::{ALL, Scenario, Settings};
use server::{Absent, EXIT_ABSENT};

/// The same for all that this binary serves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::List => list(),
        Command::Run(args) => run(&args),
        Command::Serve(args) => serve(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::from(if error.is::<Absent>() { EXIT_ABSENT } else { 2 })
    })
}

fn list() -> Result<ExitCode> {
    write!(io::stdout(), "{}", cli::scenarios())?;
    Ok(ExitCode::SUCCESS)
}

fn run(args: &cli::Run) -> Result<ExitCode> {
    let scenarios = chosen(&args.scenarios)?;
    process::end_children_on_signals()?;
    wrk::find()?;
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, whose figures mean nothing; build with --release");
    }
    let settings = Settings {
        window: Duration::from_secs(args.seconds),
        seed: args.seed,
        load: args.load,
        root: args.root(),
        python_baseline: args.python_baseline(),
    };
    let mut reports = Vec::new();
    let mut good = true;
    for scenario in scenarios {
        let progress = |what: &str| eprintln!("{}: {what}", scenario.name);
        progress("begins");
        let contest = match (scenario.contest)(&settings) {
            Ok(contest) => contest,
            Err(error) => {
                progress(&format!("cannot be run: {error:#}"));
                good = false;
                continue;
            }
        };
        let rounds = args.rounds.unwrap_or(scenario.rounds);
        let runs = contest::run(&contest, rounds, progress);
        let report = Report::new(scenario.name, scenario.about, rounds, &contest, runs);
        if !args.json {
            writeln!(io::stdout(), "{report}")?;
        }
        good &= report.is_good();
        reports.push(report);
    }
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&reports)?)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The scenarios with these names in the order of the list; all where none is named.
fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|scenario| scenario.name != **name)) {
        bail!("there is no scenario `{unknown}`; `load list` shows those that there are");
    }
    Ok(ALL.iter().filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name)).collect())
}

fn serve(args: &cli::Serve) -> Result<ExitCode> {
    // Whatever ends the harness, even SIGKILL, ends its servers.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if let Some(turns) = args.turns_per_ms {
        work::set_turns_per_ms(turns);
    }
    work::turns_per_ms();
    match args.contestant {
        Contestant::Peer(peer) => peers::serve(peer, args.listen, args.workers, announce)?,
        Contestant::Ours(kind) => match (args.part, &args.link) {
            (Some(part), Some(link)) => {
                let link = relay::at_distance(link, Duration::from_micros(args.distance))?;
                let place = ours::Place { part, link, ahead: Duration::from_micros(args.ahead) };
                ours::serve_part(kind, &place, args.listen, args.workers, announce)?;
            }
            _ => ours::serve(kind, args.listen, args.workers, announce)?,
        },
    }
    Ok(ExitCode::SUCCESS)
}

/// The first line, from which whoever started this server knows where it listens.
fn announce(address: SocketAddr) {
    println!("listening on http://{address}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name() {
        let names = |chosen: Vec<&Scenario>| chosen.iter().map(|scenario| scenario.name).collect::<Vec<_>>();
        assert_eq!(chosen(&[]).map(|all| all.len()).ok(), Some(ALL.len()));
        assert_eq!(chosen(&["open".to_owned(), "fixed".to_owned()]).map(names).ok(), Some(vec!["fixed", "open"]));
        assert!(chosen(&["slow".to_owned()]).is_err());
    }
}
