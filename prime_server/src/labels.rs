//! What is said of a request once, for the order in which its jobs wait.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use crate::Priority;

/// What sort of work a request is, said by [`Pipeline::kind`](crate::Pipeline::kind): those of a kind take about as long.
///
/// ```
/// use std::time::Duration;
/// use prime_server::Kind;
///
/// assert_eq!(Kind::number(7), Kind::number(64 + 7), "there are 64");
/// assert_ne!(Kind::number(7), Kind::number(8));
/// assert_eq!(Kind::taking(Duration::from_millis(100)), Kind::taking(Duration::from_millis(110)), "about the same");
/// assert_ne!(Kind::taking(Duration::from_millis(100)), Kind::taking(Duration::from_millis(200)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kind(u8);

impl Kind {
    const NUMBERS: u64 = 64;
    pub(crate) const ALL: usize = 128;

    /// A sort of your own, of which each stage learns how long it takes: the digits of a number, a distance in steps. Numbers below
    /// 64 are told apart; `64 + n` is the same as `n`.
    #[must_use]
    pub const fn number(number: u64) -> Self {
        Self((number % Self::NUMBERS) as u8)
    }

    /// Work of which you know how long it takes at the stage where it takes longest, in about. That counts at each stage until it has run 16
    /// jobs of about that estimate; then it is what those took there, so that a wrong estimate costs little. Estimates are told apart in steps of
    /// 1.4 times, from 1 µs to 71 minutes; what is beyond counts as the last step.
    #[must_use]
    pub fn taking(time: Duration) -> Self {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let octave = u64::from(micros.ilog2());
        // The square root of two, in 128ths.
        let above = u64::from((micros >> octave.saturating_sub(7)) << 7_u64.saturating_sub(octave) >= 181);
        Self((Self::NUMBERS + (2 * octave + above).min(Self::NUMBERS - 1)) as u8)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// How long one takes of which the user has said it.
    pub(crate) fn said(self) -> Option<Duration> {
        let step = self.0.checked_sub(Self::NUMBERS as u8)?;
        Some(Duration::from_secs_f64(1e-6 * 2_f64.powf((f64::from(step) + 0.5) / 2.0)))
    }

    /// As other processes are told.
    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte % Self::ALL as u8)
    }
}

/// On whose behalf a request comes, said by [`Pipeline::tenant`](crate::Pipeline::tenant): each has an equal share.
///
/// ```
/// use prime_server::Tenant;
///
/// assert_eq!(Tenant::of(Some("a key")), Tenant::of(Some("a key")));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tenant(u64);

impl Tenant {
    /// The tenant that this names: a key, an address, `None` for all that have none. Two may be taken for one, by a chance of one to 2^63; which do
    /// is another in each process, so that nobody can choose a name to be taken for another. With several front ends a name is thereby a tenant for
    /// each.
    ///
    /// Name only what was checked: whoever may make up names has as many shares.
    #[must_use]
    pub fn of(name: impl Hash) -> Self {
        static STATE: OnceLock<RandomState> = OnceLock::new();
        Self(STATE.get_or_init(RandomState::new).hash_one(name) | 1)
    }

    /// 0 where nothing says it.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// All that is said of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) priority: Priority,
    pub(crate) kind: Kind,
    pub(crate) tenant: Tenant,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_said_is_known_to_within_a_step(micros in 1_u64..4_000_000_000) {
            let said = Kind::taking(Duration::from_micros(micros)).said().unwrap().as_secs_f64() * 1e6;
            let factor = said / micros as f64;
            prop_assert!((0.83..=1.2).contains(&factor), "{said} for {micros}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_the_first_or_last_step() {
        assert_eq!(Kind::taking(Duration::ZERO), Kind::taking(Duration::from_micros(1)));
        assert_eq!(Kind::taking(Duration::MAX).index(), Kind::ALL - 1);
        assert_eq!(Kind::taking(Duration::from_secs(3 * 3600)).index(), Kind::ALL - 1);
        assert_eq!(Kind::number(3).said(), None);
    }

    #[test]
    fn nobody_is_taken_for_no_tenant() {
        assert!((0..64).all(|name| Tenant::of(name).number() & 1 == 1) && Tenant::default().number() == 0);
    }
}
