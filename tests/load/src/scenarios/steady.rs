//! A steady load by wrk, the drive that most scenarios share.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::contest::Drive;
use crate::response;
use crate::sample::{Metric, Sample, Window, micros_each};
use crate::server::Running;
use crate::wrk::Wrk;

pub(crate) const CONNECTIONS: u32 = 64;

const WARM_UP: Duration = Duration::from_secs(1);

/// wrk over a warm-up and one measured window.
#[derive(Clone, Debug)]
pub(crate) struct Steady {
    wrk: Wrk,
    /// What the body has to be, where that is known.
    body: Option<&'static str>,
    window: Duration,
}

impl Steady {
    /// 64 connections that ask for `path` one request at a time.
    pub(crate) fn new(path: &'static str, window: Duration) -> Self {
        Self { wrk: Wrk { connections: CONNECTIONS, pipelined: 1, keep_alive: true, path }, body: None, window }
    }

    /// The same, with `requests` sent together.
    pub(crate) fn pipelined(mut self, requests: u32) -> Self {
        self.wrk.pipelined = requests;
        self
    }

    /// The same, with a new connection for every request.
    pub(crate) fn closing(mut self) -> Self {
        self.wrk.keep_alive = false;
        self
    }

    /// The same, void if the answer is not `body`.
    pub(crate) fn answering(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    /// wrk looks at the status only; here is one look at the body.
    fn check_answer(&self, server: &Running) -> Result<()> {
        let mut client = Client::connect(server.address)?;
        let (status, body) = client.ask(&response::get(self.wrk.path))?;
        let body = String::from_utf8_lossy(body);
        ensure!((200..300).contains(&status), "GET {} was answered {status}: {body}", self.wrk.path);
        if let Some(expected) = self.body {
            ensure!(body == expected, "GET {} was answered {body:?}, not {expected:?}", self.wrk.path);
        }
        Ok(())
    }
}

impl Drive for Steady {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        self.check_answer(server)?;
        self.wrk.run(server.address, WARM_UP)?;
        let window = Window::open(server)?;
        let found = self.wrk.run(server.address, self.window)?;
        let cpu = window.cpu(server)?;
        Ok(Sample::default()
            .with(Metric::RequestsPerSecond, found.per_second())
            .with(Metric::CpuMicros, micros_each(cpu, found.requests))
            .with(Metric::P50Micros, found.p50 as f64)
            .with(Metric::P99Micros, found.p99 as f64))
    }
}
