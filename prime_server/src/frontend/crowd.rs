//! Gives the memory back that a crowd of connections took, once it has left.
//!
//! ZeroMQ takes up to 48 KiB for a connection from the C library's allocator, which keeps what is freed. Of a flood that has
//! passed, as much would stay resident for ever.

use std::thread;
use std::time::{Duration, Instant};

/// Fewer are no crowd: what they leave behind is soon used again.
const CROWD: usize = 64;

/// A crowd has left when one in so many is still there.
const LEFT: usize = 4;

/// How long it must be quiet: fewer come meanwhile than make a crowd, and ZeroMQ has time to be done with those that left.
const QUIET: Duration = Duration::from_secs(1);

/// How many connections have come since memory was given back.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    came: usize,
    /// When it will have been quiet, and how many had come before.
    quiet: Option<(Instant, usize)>,
}

impl Crowd {
    /// A connection has come.
    pub(super) fn came(&mut self) {
        self.came += 1;
    }

    /// Whether it is time to give back the memory of those that came; so many are still there.
    pub(super) fn has_left(&mut self, still_there: usize, now: Instant) -> bool {
        if self.came < CROWD || still_there > self.came / LEFT {
            self.quiet = None;
            return false;
        }
        let (due, before) = *self.quiet.get_or_insert((now + QUIET, self.came));
        if due > now {
            return false;
        }
        if self.came - before >= CROWD {
            self.quiet = Some((now + QUIET, self.came));
            return false;
        }
        *self = Self::default();
        true
    }

    /// When that is to be asked again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.quiet.map(|(due, _)| due)
    }
}

/// Returns what the C library's allocator has free to the system, on a thread of its own: with a large heap it takes a while.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        let trim = || {
            // SAFETY: it may be called at any time, and on any thread.
            #[allow(unsafe_code)]
            let trimmed = unsafe { libc::malloc_trim(0) };
            tracing::debug!(trimmed, "the memory of a crowd of connections was given back");
        };
        if let Err(error) = thread::Builder::new().name("prime-trim".to_owned()).spawn(trim) {
            tracing::debug!(%error, "the memory of a crowd of connections is kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn come(crowd: &mut Crowd, connections: usize) {
        (0..connections).for_each(|_| crowd.came());
    }

    #[test]
    fn memory_is_given_back_once_after_a_crowd_has_left() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        come(&mut crowd, CROWD - 1);
        assert!(!crowd.has_left(0, now));
        assert_eq!(crowd.due(), None, "that was no crowd");
        crowd.came();
        assert!(!crowd.has_left(CROWD / LEFT, now));
        assert_eq!(crowd.due(), Some(now + QUIET));
        assert!(!crowd.has_left(0, now + QUIET / 2));
        assert!(crowd.has_left(0, now + QUIET));
        assert!(!crowd.has_left(0, now + QUIET * 2) && crowd.due().is_none());
    }

    #[test]
    fn nothing_is_given_back_while_others_come_or_the_crowd_is_there() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        come(&mut crowd, CROWD);
        assert!(!crowd.has_left(0, now));
        come(&mut crowd, CROWD);
        assert!(!crowd.has_left(0, now + QUIET));
        assert_eq!(crowd.due(), Some(now + QUIET * 2));
        assert!(!crowd.has_left(CROWD, now + QUIET * 2));
        assert_eq!(crowd.due(), None);
        assert!(!crowd.has_left(1, now + QUIET * 3));
        assert!(crowd.has_left(1, now + QUIET * 4));
    }
}
