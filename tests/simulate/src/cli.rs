//! The command line.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, iter};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use rayon::prelude::*;

use crate::check;
use crate::curves::{CURVES, Curve};
use crate::policy::{self, Entry, Machine};
use crate::progress::Progress;
use crate::report;
use crate::summary::Summary;
use crate::theory;
use crate::workload::{Random, Shape, Trace, Workload};

/// Simulates prime_server's balancer under load: the library's own code, driven event by event.
///
/// Jobs arrive at random (an open loop), or as a trace says, before a pool of workers, and each
/// policy gets the same jobs. Printed is their slowdown, which is how much longer a job was there
/// than it ran: 1 is the least that there can be. The first tenth of the jobs is not counted. The
/// same seed gives the same output.
///
/// docs/simulation.md says what is simulated and what is not. Build it with --release: 10^7 jobs
/// take some seconds a policy.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", policies()))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  simulate run
  simulate run --workload pareto --workers 10000 --load 0.9 --jobs 1e7
  simulate run --workload bimodal:0.01,100,50000 --policy fifo,demotion
  simulate run --trace yesterday.txt --workers 8
  simulate check
  simulate curves --out docs/simulation";

fn policies() -> String {
    let line = |entry: &&Entry| format!("\n  {:<10} {}", entry.name, entry.about);
    iter::once("Policies:".to_owned()).chain(policy::ALL.iter().map(line)).collect()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulate a workload under some policies, and print their figures; progress goes to standard
    /// error.
    Run(Box<Run>),
    /// Compare the simulator with theory; exits with 1 where it differs by more than 2 %.
    Check(Check),
    /// Draw the curves of the docs as SVG.
    Curves(Curves),
}

#[derive(Args, Debug)]
struct Run {
    /// How service times are distributed: constant:TIME, exponential:MEAN,
    /// bimodal:LONG_PART,SHORT,LONG or pareto:LEAST,ALPHA (cut off at 10^4 times its least), in
    /// microseconds. Without numbers: 100, 1000, 0.06,8,8000 and 8,1.1.
    #[arg(long, default_value = "bimodal", value_name = "NAME[:NUMBERS]", verbatim_doc_comment)]
    workload: Shape,

    /// Replay a file instead. A line for each job, in the order of arrival: ARRIVAL_US SERVICE_US
    /// [KIND [TENANT]]. `#` begins a comment.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workload", "shuffled", "tenants"], verbatim_doc_comment)]
    trace: Option<PathBuf>,

    /// The workers: how many jobs have a slot at a time.
    #[arg(long, default_value_t = 2, value_parser = count::<1, 10_000>)]
    workers: usize,

    /// How busy they are kept, as a part of the time. At 1 and above the queue grows without end
    /// [default: 0.8, and as recorded for a trace]
    #[arg(long, value_parser = load)]
    load: Option<f64>,

    /// How many jobs arrive, 1e7 for instance [default: 1e6, and a trace once]
    #[arg(long, value_parser = jobs)]
    jobs: Option<u64>,

    /// Where the random numbers begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// The policies, with commas between them [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = named)]
    policy: Vec<&'static Entry>,

    /// The part of the jobs whose kind is wrong, which matters to policies that look at it.
    #[arg(long, default_value_t = 0.0, value_parser = part)]
    shuffled: f64,

    /// On behalf of how many tenants jobs come, each as often; which matters to `tenants`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    tenants: u32,

    /// How many processors there are [default: as many as workers]
    #[arg(long, value_parser = count::<1, 10_000>)]
    cores: Option<usize>,

    /// The most workers that there may be, those of demoted jobs among them [default: no limit]
    #[arg(long, value_parser = count::<1, 1_000_000>)]
    max_instances: Option<usize>,

    /// The most jobs that may wait; what is above is refused [default: no limit]
    #[arg(long)]
    queue: Option<usize>,

    /// What each demotion costs, in microseconds of a processor.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    overhead_us: u32,
}

#[derive(Args, Debug)]
struct Check {
    /// How many jobs arrive for each comparison. With far fewer, chance alone makes more than 2 %.
    #[arg(long, default_value = "1e7", value_parser = jobs)]
    jobs: u64,

    /// Where the random numbers begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args, Debug)]
struct Curves {
    /// Where the SVG files go; those that are there are replaced.
    #[arg(long, default_value = "docs/simulation", value_name = "FOLDER")]
    out: PathBuf,

    /// How many jobs arrive for each point.
    #[arg(long, default_value = "1e6", value_parser = jobs)]
    jobs: u64,

    /// Where the random numbers begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// The curves, all if none is named.
    #[arg(value_parser = curve)]
    curves: Vec<Curve>,
}

/// What the binary does. Exits with 1 where the simulator differs from theory, with 2 where something was wrong.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.run().map(|()| true),
        Command::Check(check) => check.run(),
        Command::Curves(curves) => curves.run().map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// How busy workers are kept where nothing else is said.
const LOAD: f64 = 0.8;
const JOBS: u64 = 1_000_000;

impl Run {
    fn run(&self) -> Result<()> {
        let cores = self.cores.unwrap_or(self.workers);
        let (what, workload) = self.workload(self.workers.min(cores))?;
        ensure!(
            workload.is_short_enough(),
            "the jobs take more than 11 days to arrive; simulate fewer, or shorter ones"
        );
        let machine = Machine {
            workers: self.workers,
            cores,
            instances: self.max_instances.unwrap_or(usize::MAX),
            queue: self.queue.unwrap_or(usize::MAX),
            overhead: u64::from(self.overhead_us) * 1000,
        };
        let policies = if self.policy.is_empty() { &policy::ALL } else { &*self.policy };
        let summaries: Vec<Summary> = policies
            .par_iter()
            .map(|policy| {
                let mut progress = Progress::new(policy.name.to_owned(), workload.len());
                Summary::of(&workload, policy, &machine, |_| progress.count())
            })
            .collect();
        let mut out = io::stdout().lock();
        writeln!(out, "{what}; {} workers, {} jobs\n", self.workers, workload.len())?;
        write!(out, "{}", report::tables(&summaries, &workload.classes()))?;
        if let Workload::Random(random) = &workload
            && cores >= self.workers
            && self.queue.is_none()
        {
            for policy in policies {
                if let Some((wait, formula)) = theory::mean_wait(policy.name, random, self.workers) {
                    writeln!(out, "\nThe mean wait of {} by theory ({formula}): {}", policy.name, report::time(wait))?;
                }
            }
        }
        Ok(())
    }

    /// What is simulated, in words too.
    fn workload(&self, processors: usize) -> Result<(String, Workload)> {
        let Some(path) = &self.trace else {
            let (load, jobs) = (self.load.unwrap_or(LOAD), self.jobs.unwrap_or(JOBS));
            let random = Random::new(self.workload, processors, load, jobs, self.seed);
            let random = Random { shuffled: self.shuffled, tenants: self.tenants, ..random };
            return Ok((format!("{}; load {load}", self.workload), Workload::Random(random)));
        };
        let trace = Trace::read(path)?;
        let trace = match self.load {
            Some(load) => trace.at(load, processors),
            None => trace,
        };
        let trace = match self.jobs {
            Some(jobs) => trace.repeated(jobs),
            None => trace,
        };
        let load = trace.load(processors);
        if load >= 1.0 {
            eprintln!("simulate: the trace asks for {load:.2} of what the workers can do: its queue only grows");
        }
        Ok((format!("{}; load {load:.3}", path.display()), Workload::Trace(trace)))
    }
}

impl Check {
    fn run(&self) -> Result<bool> {
        let compared = check::compare(self.jobs, self.seed);
        write!(io::stdout(), "{}", check::lines(&compared))?;
        Ok(compared.iter().all(check::Compared::agrees))
    }
}

impl Curves {
    fn run(&self) -> Result<()> {
        fs::create_dir_all(&self.out).with_context(|| format!("{} cannot be made", self.out.display()))?;
        let curves = if self.curves.is_empty() { &CURVES[..] } else { &*self.curves };
        for curve in curves {
            let svg = curve.simulate(self.jobs, self.seed).svg()?;
            let path = self.out.join(curve.name).with_extension("svg");
            fs::write(&path, svg).with_context(|| format!("{} cannot be written", path.display()))?;
            writeln!(io::stdout(), "{}", path.display())?;
        }
        Ok(())
    }
}

fn count<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("it is a number from {LEAST} to {MOST}"))
}

fn jobs(text: &str) -> Result<u64, String> {
    let number = text.replace('_', "").parse::<f64>().ok();
    let number = number.filter(|number| (10.0..=1e10).contains(number) && number.fract() == 0.0);
    number
        .map(|number| number as u64)
        .ok_or_else(|| "it is a whole number from 10 to 1e10, written 5000 or 1e7".to_owned())
}

fn load(text: &str) -> Result<f64, String> {
    let load = text.parse().ok().filter(|load| (0.001..=10.0).contains(load));
    load.ok_or_else(|| "a load lies between 0.001 and 10; 1 is all that the workers can do".to_owned())
}

fn part(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|part| (0.0..=1.0).contains(part)).ok_or_else(|| "a part lies between 0 and 1".to_owned())
}

fn named(name: &str) -> Result<&'static Entry> {
    let names = || policy::ALL.map(|entry| entry.name).join(", ");
    policy::find(name).with_context(|| format!("the policies are {}", names()))
}

fn curve(name: &str) -> Result<Curve> {
    match CURVES.into_iter().find(|curve| curve.name == name) {
        Some(curve) => Ok(curve),
        None => bail!("the curves are {}", CURVES.map(|curve| curve.name).join(", ")),
    }
}
