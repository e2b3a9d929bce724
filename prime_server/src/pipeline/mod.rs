//! Pipelines: declared by the builder, checked when built, then running.

pub mod builder;
mod built;
mod client;
mod describe;
mod graph;
mod options;
mod roles;
mod running;
mod testing;
mod workers;

pub use builder::Pipeline;
pub use built::Built;
pub use client::{Client, ClientError, Pending};
pub(crate) use options::MAX_HOPS;
pub use roles::{FrontEndRole, Links, Process, ProxyRole, Role, WorkerRole};
pub(crate) use roles::{Own, Parts, run_process, start_front_end, start_proxy};
pub use running::{Running, StageStats};
