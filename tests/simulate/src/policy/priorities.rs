//! A job's kind says how urgent it is, on top of what is the default.

use super::Entry;
use crate::balancer::Order;
use crate::pool::{Pool, Rules};

pub(super) const WEIGHTED: Entry = Entry {
    name: "weighted",
    about: "and the kinds have priorities, each with four times the share of the next",
    build: |machine| {
        Box::new(Pool::new(machine, Rules { demotes: true, order: Some(Order::Weighted), ..Rules::default() }))
    },
};

pub(super) const STRICT: Entry = Entry {
    name: "strict",
    about: "and the kinds have priorities, strictly",
    build: |machine| {
        Box::new(Pool::new(machine, Rules { demotes: true, order: Some(Order::Strict), ..Rules::default() }))
    },
};
