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
        clock.refresh(SystemTime::now());
        clock
    }

    /// To be called once a turn of the loop.
    pub(super) fn refresh(&mut self, now: SystemTime) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_date_is_made_once_a_second() {
        let mut clock = Clock::new();
        let second = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        clock.refresh(second(1));
        clock.date.push('!');
        clock.refresh(second(1) + Duration::from_millis(999));
        assert_eq!(clock.date(), b"Thu, 01 Jan 1970 00:00:01 GMT!");
        clock.refresh(second(2));
        assert_eq!(clock.date(), b"Thu, 01 Jan 1970 00:00:02 GMT");
    }
}
