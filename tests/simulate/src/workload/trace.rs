//! Jobs as they were once: a file of arrival and service times.
//!
//! A line for each job, in the order of arrival: when it arrived and what it took, in microseconds, then, if known, its kind (0 to 255, the
//! shortest first) and its tenant, with spaces between them. Empty lines, and those that begin with `#`, are skipped.

use std::path::{Path, PathBuf};
use std::{fs, io};

use thiserror::Error;

use super::{LONGEST, MOST};
use crate::job::{Job, Nanos};

/// Jobs as they were once.
#[derive(Clone, Debug)]
pub struct Trace {
    rows: Vec<Job>,
    /// By how much the times between arrivals are multiplied.
    stretch: f64,
    jobs: u64,
}

/// Why a trace cannot be replayed.
#[derive(Debug, Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A line is not a job.
    #[error("{path}, line {1}: {2}", path = .0.display())]
    Line(PathBuf, usize, &'static str),
    /// There is no line.
    #[error("there is no job in {}; write a line for each: ARRIVAL_US SERVICE_US [KIND [TENANT]]", .0.display())]
    Empty(PathBuf),
}

impl Trace {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, has no job, or has a line that is none; the error names the line.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let text = fs::read_to_string(path).map_err(|error| TraceError::Read(path.to_owned(), error))?;
        let (mut rows, mut last) = (Vec::new(), 0);
        for (at, line) in text.lines().enumerate() {
            let line_error = |what| TraceError::Line(path.to_owned(), at + 1, what);
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let job = row(line, rows.len() as u64).map_err(line_error)?;
            if job.arrives < last {
                return Err(line_error("it arrives before the line above; sort them by arrival"));
            }
            last = job.arrives;
            rows.push(job);
        }
        if rows.is_empty() {
            return Err(TraceError::Empty(path.to_owned()));
        }
        let jobs = rows.len() as u64;
        Ok(Self { rows, stretch: 1.0, jobs })
    }

    /// The same so many jobs: over and over, where there are not as many in it.
    #[must_use]
    pub fn repeated(self, jobs: u64) -> Self {
        Self { jobs, ..self }
    }

    /// The same, faster or slower, so that it keeps so many processors busy for that part of the time.
    #[must_use]
    pub fn at(self, load: f64, processors: usize) -> Self {
        Self { stretch: self.stretch * self.load(processors) / load, ..self }
    }

    /// The part of the time for which it keeps so many processors busy.
    #[must_use]
    pub fn load(&self, processors: usize) -> f64 {
        let service: f64 = self.rows.iter().map(|job| job.service as f64).sum();
        service / self.round() as f64 / self.stretch / processors as f64
    }

    /// How many jobs there are.
    pub(super) fn len(&self) -> u64 {
        self.jobs
    }

    /// How long one takes to arrive after the other, in the mean, in nanoseconds.
    pub(super) fn gap(&self) -> f64 {
        self.round() as f64 / self.rows.len() as f64 * self.stretch
    }

    /// What the kinds are, in the order of their numbers.
    pub(super) fn classes(&self) -> Vec<String> {
        let most = self.rows.iter().map(|job| job.class).max().unwrap_or(0);
        (0..=most).map(|kind| format!("kind {kind}")).collect()
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = Job> + '_ {
        let rounds = (0..).flat_map(move |round| self.rows.iter().map(move |job| (round * self.round(), job)));
        (0..self.jobs).zip(rounds).map(|(number, (offset, job))| {
            let arrives = ((offset + job.arrives) as f64 * self.stretch) as Nanos;
            Job { number, arrives, ..*job }
        })
    }

    /// From its beginning to where it begins again, which is as long after its last arrival as one comes after the other in the mean.
    fn round(&self) -> Nanos {
        let (first, last) = (self.rows[0].arrives, self.rows[self.rows.len() - 1].arrives);
        let gap = (last - first) / (self.rows.len() as u64 - 1).max(1);
        (last + gap).max(1)
    }
}

fn row(line: &str, number: u64) -> Result<Job, &'static str> {
    let mut words = line.split_whitespace();
    let mut time = |most, wrong| {
        let micros = words.next().and_then(|word| word.parse::<f64>().ok());
        let micros = micros.filter(|micros| (0.0..=most).contains(micros)).ok_or(wrong)?;
        Ok((micros * 1e3).round() as Nanos)
    };
    let arrives = time(MOST, "the first word is not when it arrived, in microseconds from 0 to 10^12")?;
    let service = time(LONGEST, "the second word is not what it took, in microseconds from 0 to 10^9")?.max(1);
    let kind =
        words.next().map_or(Ok(0), |kind| kind.parse().map_err(|_| "the third word is not a kind, from 0 to 255"))?;
    let tenant =
        words.next().map_or(Ok(0), |tenant| tenant.parse().map_err(|_| "the fourth word is not a tenant's number"))?;
    match words.next() {
        Some(_) => Err("there are more than four words"),
        None => Ok(Job { number, arrives, service, class: kind, kind, tenant }),
    }
}
