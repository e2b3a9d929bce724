//! The work that every contestant does, kept in one place so that all of them do the same.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The whole answer to `GET /`.
pub(crate) const FIXED_ANSWER: &str = "true";

/// One request's worth of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// `GET /`: nothing to compute, so that only the way there and back is measured.
    Fixed,
    /// `GET /is_prime?possible_prime=N`.
    IsPrime(u64),
    /// `GET /spin?us=N`: burn that much of a processor.
    Spin(Duration),
}

impl Job {
    /// The job that a request asks for, for servers that bring no router of their own.
    pub(crate) fn from_target(path: &str, query: Option<&str>) -> Option<Self> {
        let number = |name: &str| -> Option<u64> {
            query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?.parse().ok()
        };
        match path {
            "/" => Some(Self::Fixed),
            "/is_prime" => number("possible_prime").map(Self::IsPrime),
            "/spin" => number("us").map(|us| Self::Spin(Duration::from_micros(us))),
            _ => None,
        }
    }

    /// Does the work and gives the answer's body.
    pub(crate) fn run(self) -> &'static str {
        match self {
            Self::Fixed => FIXED_ANSWER,
            Self::IsPrime(n) => {
                if is_prime(n) {
                    "true"
                } else {
                    "false"
                }
            }
            Self::Spin(time) => {
                spin(time);
                FIXED_ANSWER
            }
        }
    }
}

/// Trial division by odd numbers up to the square root.
pub(crate) fn is_prime(n: u64) -> bool {
    if n < 4 {
        return n >= 2;
    }
    if n.is_multiple_of(2) {
        return false;
    }
    let mut divisor = 3;
    // `n / divisor` cannot overflow where `divisor * divisor` would, and costs nothing beside the
    // remainder.
    while divisor <= n / divisor {
        if n.is_multiple_of(divisor) {
            return false;
        }
        divisor += 2;
    }
    true
}

/// Burns `time` of a processor.
///
/// It counts turns of a loop rather than watching a clock: a thread that has been preempted must
/// not have its waiting counted as work, or a scheduler that preempts would seem to finish jobs for
/// nothing.
pub(crate) fn spin(time: Duration) {
    let turns = u128::from(turns_per_ms()) * time.as_nanos() / 1_000_000;
    turn(u64::try_from(turns).unwrap_or(u64::MAX));
}

static TURNS_PER_MS: OnceLock<u64> = OnceLock::new();

/// How many turns of the loop make a millisecond here; measured at the first call unless it was
/// set.
pub(crate) fn turns_per_ms() -> u64 {
    *TURNS_PER_MS.get_or_init(calibrate)
}

/// Takes over another process's calibration, so that a job weighs the same in all of them.
pub(crate) fn set_turns_per_ms(turns: u64) {
    // A second call changes nothing: jobs must not change their weight within one process.
    let _ = TURNS_PER_MS.set(turns);
}

/// The fastest of many short tries, which is the one that nothing disturbed.
fn calibrate() -> u64 {
    const TURNS: u64 = 20_000;
    let fastest = (0..1000)
        .map(|_| {
            let start = Instant::now();
            turn(TURNS);
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    TURNS * 1_000_000 / u64::try_from(fastest.as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn turn(turns: u64) {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..turns {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_division_agrees_with_a_sieve() {
        let mut prime = [true; 2000];
        prime[..2].fill(false);
        for n in 2..prime.len() {
            if prime[n] {
                (2 * n..prime.len()).step_by(n).for_each(|multiple| prime[multiple] = false);
            }
        }
        for (n, expected) in prime.into_iter().enumerate() {
            assert_eq!(is_prime(n as u64), expected, "{n}");
        }
    }

    #[test]
    fn squares_of_primes_and_the_dear_prime() {
        assert!(!is_prime(180_043 * 180_043));
        assert!(is_prime(32_416_190_071));
        assert!(!is_prime(u64::MAX));
    }

    #[test]
    fn targets_name_jobs() {
        assert_eq!(Job::from_target("/", None), Some(Job::Fixed));
        assert_eq!(Job::from_target("/is_prime", Some("a=1&possible_prime=7")), Some(Job::IsPrime(7)));
        assert_eq!(Job::from_target("/spin", Some("us=8")), Some(Job::Spin(Duration::from_micros(8))));
        assert_eq!(Job::from_target("/is_prime", Some("possible_prime=-7")), None);
        assert_eq!(Job::from_target("/elsewhere", None), None);
    }

    #[test]
    fn a_longer_spin_has_more_turns() {
        set_turns_per_ms(1000);
        assert_eq!(turns_per_ms(), 1000);
        spin(Duration::from_micros(10));
    }
}
