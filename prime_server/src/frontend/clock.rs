//! The `Date` header's value, made once a second.

use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(super) struct Clock {
    second: u64,
    date: String,
}

impl Clock {
    pub(super) fn new() -> Self {
        let mut clock = Self { second: 0, date: String::new() };
        clock.refresh();
        clock
    }

    /// To be called once a turn of the loop.
    pub(super) fn refresh(&mut self) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.date.is_empty() {
            self.second = second;
            self.date = httpdate::fmt_http_date(now);
        }
    }

    /// IMF-fixdate (RFC 9110, 5.6.7).
    pub(super) fn date(&self) -> &[u8] {
        self.date.as_bytes()
    }
}
