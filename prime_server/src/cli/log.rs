//! Where the log of a program goes that has said nothing of it.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// To standard error, from `info` up or as `RUST_LOG` says, unless the program has a subscriber already.
pub(super) fn to_standard_error() {
    let said = std::env::var("RUST_LOG").ok().and_then(|said| said.parse::<Targets>().ok());
    let filter = said.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .log_internal_errors(false);
    // It is no error that there is one.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}
