//! How urgent a request is.

/// How urgent a request is, said by [`Pipeline::priority`](crate::Pipeline::priority): one of eight levels, of which 0 is the most urgent.
///
/// ```
/// use prime_server::Priority;
///
/// assert!(Priority::INTERACTIVE < Priority::DEFAULT && Priority::DEFAULT < Priority::BATCH);
/// assert!(Priority::level(1) < Priority::INTERACTIVE);
/// assert_eq!(Priority::level(200), Priority::level(7), "there are eight");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// Somebody waits for it: level 2.
    pub const INTERACTIVE: Self = Self(2);
    /// Level 4.
    pub const DEFAULT: Self = Self(4);
    /// It may take as long as it takes: level 6.
    pub const BATCH: Self = Self(6);

    pub(crate) const LEVELS: usize = 8;

    /// One of your own, from 0, the most urgent, to 7. What is above is 7.
    #[must_use]
    pub const fn level(level: u8) -> Self {
        Self(if level < Self::LEVELS as u8 { level } else { Self::LEVELS as u8 - 1 })
    }

    /// The level, as other processes are told.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}
