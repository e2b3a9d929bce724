//! Pipelines: declared by the builder, checked when built, then running.

pub mod builder;
mod built;
mod client;
mod describe;
mod graph;
mod options;
mod running;
mod testing;

pub use builder::Pipeline;
pub use built::Built;
pub use client::{Client, ClientError, Pending};
pub use running::{Running, StageStats};
