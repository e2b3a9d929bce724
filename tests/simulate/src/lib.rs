//! Simulation of what waits before a pool: the library's own balancer, driven event by event by seeded workloads.
//!
//! [`workload`] makes jobs, [`engine`] gives them to a [`policy`], and [`summary`] counts what became of them. Most policies are the
//! library's `Balancer` with other rules (`pool/`), on simulated processors (`processors.rs`); the limit is one
//! that knows everything (`policy/srpt.rs`). `docs/simulation.md` says what is simulated and what is not.

// The files that are the library's have their unit tests there.
#![cfg(not(test))]

pub mod check;
pub mod cli;
pub mod curves;
pub mod engine;
pub mod job;
pub mod plot;
pub mod policy;
mod pool;
pub mod processors;
pub mod progress;
pub mod report;
pub mod summary;
pub mod theory;
pub mod workload;

/// The files of the library that are simulated. They name each other from the crate's root.
#[path = "../../../prime_server/src"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "a simulation needs less of it than the library, whose public face it is not"
)]
mod library {
    pub(crate) mod affinity;
    pub(crate) mod balancer;
    pub(crate) mod deadlines;
    pub(crate) mod ids;
    pub(crate) mod labels;
    pub(crate) mod priority;
}

use library::labels::{Kind, Tenant};
use library::priority::Priority;
use library::{affinity, balancer, deadlines, ids, labels};
