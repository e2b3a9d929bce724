//! One queue, and nothing makes room.

use super::Entry;
use crate::pool::{Pool, Rules};

pub(super) const FIFO: Entry = Entry {
    name: "fifo",
    about: "first in, first out: `demote(false)`",
    build: |machine| Box::new(Pool::new(machine, Rules::default())),
};
