//! How long a client may take for what it is to do next.

use std::time::{Duration, Instant};

use crate::http1::{Connection, Limits, Receiving};

/// What a client is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    /// Nothing: it is our turn.
    Nothing,
    /// To begin a request.
    Request,
    /// To end the head that it has begun.
    Head,
    /// To go on with a body.
    Body,
}

/// What a client is to do, for which of its requests, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) what: Expects,
    request: u64,
    pub(super) since: Instant,
}

/// How long a body may take to begin to come at the rate that is asked for.
const BODY_GRACE: Duration = Duration::from_secs(10);

impl Expected {
    pub(super) fn new(now: Instant) -> Self {
        Self { what: Expects::Request, request: 0, since: now }
    }

    /// Time starts again where the client is to do something else, or the same for another request.
    pub(super) fn update(&mut self, connection: &Connection, now: Instant, limits: &Limits) {
        let what = match connection.receiving(limits) {
            Receiving::Body { .. } => Expects::Body,
            Receiving::Head => Expects::Head,
            Receiving::Nothing if connection.is_idle() => Expects::Request,
            Receiving::Nothing => Expects::Nothing,
        };
        let request = connection.next_request();
        if (self.what, self.request) != (what, request) {
            *self = Self { what, request, since: now };
        }
    }

    /// When that has taken too long.
    pub(super) fn due(self, connection: &Connection, limits: &Limits) -> Option<Instant> {
        match self.what {
            Expects::Nothing => None,
            Expects::Request => self.since.checked_add(limits.idle_time),
            Expects::Head => self.since.checked_add(limits.head_time),
            Expects::Body => {
                let Receiving::Body { bytes } = connection.receiving(limits) else { return None };
                let microseconds = (bytes as u64).saturating_mul(1_000_000).checked_div(limits.body_rate)?;
                self.since.checked_add(BODY_GRACE)?.checked_add(Duration::from_micros(microseconds))
            }
        }
    }
}

/// A connection that does not take what it is sent.
#[derive(Debug)]
pub(super) struct Blocked {
    /// When it took something last.
    since: Instant,
    pub(super) retry_at: Instant,
    pause: Duration,
}

impl Blocked {
    /// The first pause before it is tried again, doubled up to the last.
    const FIRST_PAUSE: Duration = Duration::from_millis(1);
    const LAST_PAUSE: Duration = Duration::from_millis(64);

    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, retry_at: now + Self::FIRST_PAUSE, pause: Self::FIRST_PAUSE }
    }

    /// It was tried, and did not take all.
    pub(super) fn tried(&mut self, took_some: bool, now: Instant) {
        if took_some {
            *self = Self::new(now);
        } else {
            self.pause = (self.pause * 2).min(Self::LAST_PAUSE);
            self.retry_at = now + self.pause;
        }
    }

    /// Whether it has taken nothing for that long.
    pub(super) fn is_over(&self, take_answer: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= take_answer
    }
}
