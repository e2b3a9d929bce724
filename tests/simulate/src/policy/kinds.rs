//! What the balancer is told of a job, on top of what is the default.

use super::Entry;
use crate::pool::{Pool, Rules};

pub(super) const KINDS: Entry = Entry {
    name: "kinds",
    about: "and of each kind it is learned what it takes; what takes least goes first",
    build: |machine| Box::new(Pool::new(machine, Rules { demotes: true, learns: true, ..Rules::default() })),
};

pub(super) const TENANTS: Entry = Entry {
    name: "tenants",
    about: "and tenants have equal shares",
    build: |machine| Box::new(Pool::new(machine, Rules { demotes: true, shares: true, ..Rules::default() })),
};
