//! Processes of a pipeline that are killed, stopped and cut off while clients ask: what the tests and the report share.

#![allow(missing_docs, reason = "read with the tests")]

mod deployment;
mod load;
pub mod scenarios;

pub use deployment::{Deployment, Hosts, PATIENCE, Wire, until};
pub use load::{Came, DEADLINE, Load, Report};
