//! A range of numbers through the same two pools, without a socket: a producer at one end, a collector at the other.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prime_server::prelude::*;
use prime_server::{Client, Pending, StageStats};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::stages;

/// How far the producer may be ahead of the collector. Below the pipeline's `max_in_flight`, so that nothing is refused.
const WINDOW: usize = 2048;

/// What the collector has seen.
#[derive(Default)]
struct Counted {
    jobs: u64,
    primes: u64,
    failed: u64,
}

pub(crate) fn count(range: RangeInclusive<u64>, workers: Option<u16>) -> Result<(), Box<dyn Error>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut signals = signals(&interrupted)?;
    let ended = signals.handle();
    let running = stages::primes(workers, Duration::MAX)?.start_in_process()?;
    let bar = progress(&range);
    let start = Instant::now();
    let counted = std::thread::scope(|scope| {
        scope.spawn(|| {
            if signals.forever().next().is_some() {
                running.abort();
            }
        });
        let (sender, pendings) = crossbeam_channel::bounded(WINDOW);
        let client = running.client();
        let (flag, numbers) = (&interrupted, range.clone());
        scope.spawn(move || produce(&client, numbers, flag, &sender));
        let counted = collect(&pendings, &bar, &interrupted);
        // Lets go of the producer and of the watcher, if they are still there.
        drop(pendings);
        ended.close();
        counted
    });
    let time = start.elapsed();
    bar.finish_and_clear();
    let stages = running.stages();
    running.stop();
    report(&range, &counted, time, &stages, interrupted.load(Ordering::Relaxed))?;
    if counted.failed > 0 { Err(format!("{} numbers got no answer", counted.failed).into()) } else { Ok(()) }
}

/// Catches the first SIGINT or SIGTERM, which sets the flag; the second ends the process.
fn signals(interrupted: &Arc<AtomicBool>) -> std::io::Result<Signals> {
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal does not find the flag set.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(interrupted))?;
    }
    Signals::new([SIGINT, SIGTERM])
}

fn produce(client: &Client, numbers: RangeInclusive<u64>, interrupted: &AtomicBool, pendings: &Sender<Pending>) {
    for n in numbers {
        if interrupted.load(Ordering::Relaxed) {
            return;
        }
        let request = Request::get(&format!("/is_prime?possible_prime={n}"));
        let Ok(pending) = client.send(request) else { return };
        if pendings.send(pending).is_err() {
            return;
        }
    }
}

fn collect(pendings: &Receiver<Pending>, bar: &ProgressBar, interrupted: &AtomicBool) -> Counted {
    let mut counted = Counted::default();
    for pending in pendings {
        let answer = pending.wait();
        // What was under way when the user had enough has been cancelled, and does not count.
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        counted.jobs += 1;
        match answer.as_ref().map(|answer| answer.body().as_bytes()) {
            Ok(b"true") => counted.primes += 1,
            Ok(b"false") => {}
            _ => counted.failed += 1,
        }
        if counted.jobs.is_multiple_of(1024) {
            bar.set_position(counted.jobs);
        }
    }
    counted
}

fn progress(range: &RangeInclusive<u64>) -> ProgressBar {
    let numbers = (range.end() - range.start()).saturating_add(1);
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {eta}");
    let bar = ProgressBar::with_draw_target(Some(numbers), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn report(
    range: &RangeInclusive<u64>,
    counted: &Counted,
    time: Duration,
    stages: &[StageStats],
    interrupted: bool,
) -> io::Result<()> {
    let Counted { jobs, primes, .. } = counted;
    let mut out = io::stdout().lock();
    let seconds = time.as_secs_f64();
    if interrupted {
        writeln!(out, "interrupted after {jobs} numbers from {} on", range.start())?;
        writeln!(out, "{primes} primes among them")?;
    } else {
        writeln!(out, "{primes} primes from {} to {}", range.start(), range.end())?;
    }
    writeln!(out, "{seconds:.2} s, {:.0} jobs/s", *jobs as f64 / seconds.max(f64::EPSILON))?;
    for stage in stages {
        writeln!(out, "{}: {} jobs, busy for {:.2} s", stage.name, stage.jobs, stage.busy.as_secs_f64())?;
    }
    Ok(())
}
