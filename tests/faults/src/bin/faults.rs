//! The report of the faults: what requests came to, and how long it took at most. See `faults --help`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use faults::{Came, Hosts, Report, Wire, scenarios};
use lexopt::{Arg, ValueExt};

const HELP: &str = "\
Kills, stops and cuts off the processes of a pipeline while clients ask, and reports what their requests came to.

Usage: faults [table]
       faults random [--seconds N] [--seed N]
       faults hosts --namespace NAME --near ADDRESS --far ADDRESS --interface NAME

table    each fault once, over ipc and tcp (default)
random   random faults for so long [default: 600 s, seed 1]; every request is accounted for
hosts    a network that is cut, and a worker that finds its proxy by a beacon, between this host and a network
         namespace; tests/netns.sh makes these
-h, --help
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("faults: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut what, mut seconds, mut seed) = (What::Table, 600, 1);
    let mut hosts = Hosts::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            Arg::Value(word) if word == "random" => what = What::Random,
            Arg::Value(word) if word == "table" => what = What::Table,
            Arg::Value(word) if word == "hosts" => what = What::Hosts,
            Arg::Long("namespace") => hosts.namespace = arguments.value()?.string()?,
            Arg::Long("near") => hosts.near = arguments.value()?.string()?,
            Arg::Long("far") => hosts.far = arguments.value()?.string()?,
            Arg::Long("interface") => hosts.interface = arguments.value()?.string()?,
            Arg::Long("seconds") => seconds = arguments.value()?.parse()?,
            Arg::Long("seed") => seed = arguments.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let exe = beside("faulty")?;
    match what {
        What::Random => at_random(&exe, seed, Duration::from_secs(seconds)),
        What::Hosts => between(&exe, &hosts),
        What::Table => {
            for wire in [Wire::Ipc, Wire::Tcp] {
                heading(&format!("{wire:?}"));
                table(&exe, wire);
            }
            Ok(())
        }
    }
}

enum What {
    Table,
    Random,
    Hosts,
}

fn heading(of: &str) {
    println!("{of}: {:<52} {:>8} {:>8} {:>8}  others", "fault", "right", "502", "longest");
}

/// What needs two hosts.
fn between(exe: &Path, hosts: &Hosts) -> Result<(), Box<dyn std::error::Error>> {
    heading("two hosts");
    let (mut passed, mut failed) = (0, 0);
    let mut check = |fault: &str, report: &Report, allowed: &[Came]| {
        row(fault, report);
        let holds = report.counts.keys().all(|came| allowed.contains(came)) && report.of(Came::Right) > 0;
        *(if holds { &mut passed } else { &mut failed }) += 1;
    };
    let lost = Came::Status(502);
    let cut = Duration::from_secs(3);
    for (there, what) in [(&["w0", "w1"][..], "proxy and workers"), (&["p0", "w0", "w1"], "front end and proxy")] {
        for (stage, allowed) in [("steady", &[Came::Right][..]), ("once", &[Came::Right, lost])] {
            let report = scenarios::network_cut(exe, hosts, there, stage, cut);
            check(&format!("{stage}: no network for 3 s between {what}"), &report, allowed);
        }
    }
    check("a worker elsewhere, found by a beacon", &scenarios::beacon(exe, hosts), &[Came::Right]);
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("a fault was not survived".into()) }
}

/// The binary of that name, which cargo builds with this one.
fn beside(name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} is not there: build it with `cargo build --release -p faults`", path.display()).into())
}

fn table(exe: &Path, wire: Wire) {
    for stage in ["steady", "once"] {
        let row = |fault: &str, report: &Report| row(&format!("{stage}: {fault}"), report);
        row("kill -9 a worker, 50 times", &scenarios::workers_killed(exe, wire, stage, 50));
        row(
            "kill -9 both workers, new ones 1 s later",
            &scenarios::all_workers_killed(exe, wire, stage, Duration::from_secs(1)),
        );
        row(
            "kill -9 the proxy, restart 0.5 s later",
            &scenarios::proxy_killed(exe, wire, stage, Duration::from_millis(500)),
        );
        row("kill -9 one of two proxies", &scenarios::one_of_two_proxies_killed(exe, wire, stage));
        row("SIGSTOP a worker for 5 s", &scenarios::worker_stopped(exe, wire, stage, Duration::from_secs(5)));
        row("rolling restart of everything, 2 rounds", &scenarios::rolling_restart(exe, wire, stage, 2));
    }
    row("two stages, all workers and proxies killed in turn", &scenarios::chain(exe, wire, 5));
    row("no worker at all, --wait 500ms", &scenarios::no_worker(exe, wire));
    let (report, dead) = scenarios::poison(exe, wire, 5);
    row(&format!("a request that kills workers: {dead} of 5 died"), &report);
    let took = scenarios::front_end_killed(exe, wire);
    println!("  kill -9 a front end: its job at the worker is cancelled after {took:.1?}");
}

fn row(fault: &str, report: &Report) {
    let lost = Came::Status(502);
    let longest = report.times.values().flatten().max().copied().unwrap_or_default();
    let others: Vec<_> = report.counts.iter().filter(|(came, _)| ![Came::Right, lost].contains(came)).collect();
    let right = report.of(Came::Right);
    let of_lost = if report.of(lost) > 0 {
        format!(" (a 502 after {:.2?} at most)", report.longest(lost))
    } else {
        String::new()
    };
    println!("  {fault:<57} {right:>8} {:>8} {longest:>8.2?}  {others:?}{of_lost}", report.of(lost));
}

fn at_random(exe: &Path, seed: u64, time: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let shows = std::io::stderr().is_terminal();
    let report = scenarios::random(exe, Wire::Ipc, seed, time, |faults, what| {
        if shows {
            let _ = write!(std::io::stderr(), "\r{:>4.0?} {faults} faults: {what:<24}", begun.elapsed());
        }
    });
    let answered: u64 =
        report.counts.iter().filter(|(came, _)| matches!(came, Came::Right | Came::Status(_))).map(|(_, n)| n).sum();
    let closed = report.of(Came::Closed) + report.of(Came::Refused);
    println!(
        "seed {seed}, {time:?}: sent {} = answered {answered} + closed {closed}: {:?}",
        report.total(),
        report.counts
    );
    if report.total() == answered + closed { Ok(()) } else { Err("not every request is accounted for".into()) }
}
