//! The library's default.

use super::Entry;
use crate::pool::{Pool, Rules};

pub(super) const DEMOTION: Entry = Entry {
    name: "demotion",
    about: "jobs that outrun their quantum make room: the default",
    build: |machine| Box::new(Pool::new(machine, Rules { demotes: true, ..Rules::default() })),
};
