//! Driving wrk and reading what it found.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::process::Process;
use crate::server::is_missing_program;

/// Marks the line of wrk's output that is ours.
const MARK: &str = "load-harness ";

/// Called once at the end, so it costs nothing while wrk measures. wrk's own summary is rounded to
/// three digits.
const REPORT: &str = r#"
function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      'load-harness {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"socket_errors":%d,"bad_statuses":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.connect + e.read + e.write + e.timeout, e.status))
end
"#;

/// One wrk thread asking for one path.
#[derive(Clone, Debug)]
pub(crate) struct Wrk {
    /// Connections kept busy.
    pub(crate) connections: u32,
    /// Requests sent together on each connection.
    pub(crate) pipelined: u32,
    /// Whether a connection serves more than one request.
    pub(crate) keep_alive: bool,
    /// What is asked for.
    pub(crate) path: &'static str,
}

/// What wrk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Found {
    /// Answers received.
    pub(crate) requests: u64,
    /// The time that took.
    micros: u64,
    /// Latencies in microseconds, which is as fine as wrk measures.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    socket_errors: u64,
    bad_statuses: u64,
}

impl Found {
    /// The rate of answers.
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 * 1e6 / self.micros as f64
    }
}

impl Wrk {
    /// Drives `address` for `time`, rounded up to whole seconds.
    pub(crate) fn run(&self, address: SocketAddr, time: Duration) -> Result<Found> {
        let mut script = tempfile::Builder::new().suffix(".lua").tempfile()?;
        script.write_all(self.script().as_bytes())?;
        let mut command = Command::new("wrk");
        command
            .args(["--threads", "1", "--connections", &self.connections.to_string(), "--latency"])
            .args(["--duration", &format!("{}s", time.as_secs_f64().ceil())])
            .arg("--script")
            .arg(script.path())
            .arg(format!("http://{address}{}", self.path));
        if !self.keep_alive {
            command.args(["--header", "Connection: close"]);
        }
        let (wrk, mut stdout) = Process::start(&mut command)?;
        let mut said = String::new();
        stdout.read_to_string(&mut said)?;
        let status = wrk.wait()?;
        ensure!(status.success(), "wrk failed, {status}: {}", wrk.complaint());
        let found = parse(&said)?;
        found.check()?;
        Ok(found)
    }

    fn script(&self) -> String {
        match self.pipelined {
            0 | 1 => REPORT.to_owned(),
            together => format!(
                "local batch\n\
                 function init(args) batch = string.rep(wrk.format(), {together}) end\n\
                 function request() return batch end\n\
                 {REPORT}"
            ),
        }
    }
}

impl Found {
    /// A run with an error measured something else.
    fn check(&self) -> Result<()> {
        ensure!(self.bad_statuses == 0, "{} answers were not 2xx", self.bad_statuses);
        ensure!(self.socket_errors == 0, "{} socket errors or timeouts", self.socket_errors);
        ensure!(self.requests > 0 && self.micros > 0, "no answers at all");
        Ok(())
    }
}

fn parse(said: &str) -> Result<Found> {
    let report = said
        .lines()
        .find_map(|line| line.strip_prefix(MARK))
        .with_context(|| format!("wrk gave no report but {said:?}; is it 4.0 or later?"))?;
    serde_json::from_str(report).with_context(|| format!("wrk's report cannot be read: {report}"))
}

/// Fails with what to install where there is no wrk.
pub(crate) fn find() -> Result<()> {
    match Process::start(Command::new("wrk").arg("--version")) {
        Ok(_) => Ok(()),
        Err(error) if is_missing_program(&error) => {
            bail!("wrk is not installed; install the package `wrk` (Debian and Ubuntu: apt-get install wrk)")
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 1s test @ http://127.0.0.1:8002/\n  1 threads and 64 connections\n\
        Requests/sec:  63154.88\n\
        load-harness {\"requests\":189500,\"micros\":3000500,\"p50\":980,\"p99\":2100,\
        \"socket_errors\":0,\"bad_statuses\":0}\n";

    #[test]
    fn the_report_is_found_among_the_rest() -> Result<()> {
        let found = parse(SAID)?;
        assert_eq!((found.requests, found.p50, found.p99), (189_500, 980, 2100));
        assert!((found.per_second() - 63_156.14).abs() < 0.01);
        found.check()
    }

    #[test]
    fn a_run_with_errors_is_void() -> Result<()> {
        for (good, bad) in
            [("\"bad_statuses\":0", "\"bad_statuses\":3"), ("\"socket_errors\":0", "\"socket_errors\":1")]
        {
            assert!(parse(&SAID.replace(good, bad))?.check().is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn no_report_is_an_error() {
        assert!(parse("unable to connect to 127.0.0.1:1 Connection refused\n").is_err());
    }

    #[test]
    fn pipelining_repeats_the_request() {
        let wrk = Wrk { connections: 1, pipelined: 16, keep_alive: true, path: "/" };
        assert!(wrk.script().contains("string.rep(wrk.format(), 16)"));
        assert!(!Wrk { pipelined: 1, ..wrk }.script().contains("function request"));
    }
}
