//! Pipelines: declared by the builder, checked when built, then running.

mod builder;
mod built;
mod client;
mod running;

pub use builder::{Constructed, Last, NoStage, Pipeline};
pub use built::Built;
pub use client::{Client, ClientError, Pending};
pub use running::{Running, StageStats};
