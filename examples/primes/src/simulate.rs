//! A range of numbers through the same two pools, without a socket: a producer at one end, a collector at the other.

use std::error::Error;
use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prime_server::prelude::*;
use prime_server::{Client, ClientError, Pending, Running};
use signal_hook::consts::{SIGINT, SIGTERM};

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
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag set, and ends the process.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let running = stages::primes(workers)?.start_in_process()?;
    let bar = progress(&range);
    let start = Instant::now();
    let counted = std::thread::scope(|scope| {
        let (sender, pendings) = crossbeam_channel::bounded(WINDOW);
        let client = running.client();
        let (interrupted, numbers) = (&interrupted, range.clone());
        scope.spawn(move || produce(&client, numbers, interrupted, &sender));
        collect(pendings.iter(), &bar, interrupted)
    })?;
    let time = start.elapsed();
    bar.finish_and_clear();
    report(&range, &counted, time, &running, interrupted.load(Ordering::Relaxed));
    running.stop();
    if counted.failed > 0 { Err(format!("{} numbers got no answer", counted.failed).into()) } else { Ok(()) }
}

fn produce(
    client: &Client,
    numbers: RangeInclusive<u64>,
    interrupted: &AtomicBool,
    pendings: &crossbeam_channel::Sender<Pending>,
) {
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

fn collect(
    pendings: impl Iterator<Item = Pending>,
    bar: &ProgressBar,
    interrupted: &AtomicBool,
) -> Result<Counted, ClientError> {
    let mut counted = Counted::default();
    for pending in pendings {
        // What is still under way when the user has had enough is cancelled, not waited for.
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let answer = pending.wait()?;
        counted.jobs += 1;
        match answer.body().as_bytes() {
            b"true" => counted.primes += 1,
            b"false" => {}
            _ => counted.failed += 1,
        }
        if counted.jobs.is_multiple_of(1024) {
            bar.set_position(counted.jobs);
        }
    }
    Ok(counted)
}

fn progress(range: &RangeInclusive<u64>) -> ProgressBar {
    let numbers = (range.end() - range.start()).saturating_add(1);
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {eta}");
    let bar = ProgressBar::with_draw_target(Some(numbers), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn report(range: &RangeInclusive<u64>, counted: &Counted, time: Duration, running: &Running, interrupted: bool) {
    let Counted { jobs, primes, .. } = counted;
    let seconds = time.as_secs_f64();
    if interrupted {
        println!("interrupted after {jobs} numbers from {} on", range.start());
        println!("{primes} primes among them");
    } else {
        println!("{primes} primes from {} to {}", range.start(), range.end());
    }
    println!("{seconds:.2} s, {:.0} jobs/s", *jobs as f64 / seconds.max(f64::EPSILON));
    for stage in running.stages() {
        println!("{}: {} jobs, busy for {:.2} s", stage.name, stage.jobs, stage.busy.as_secs_f64());
    }
}
