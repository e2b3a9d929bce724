//! Where the log of a program goes that has said nothing of it.

use std::io::{IsTerminal, stderr};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines that wait to be written. Of more the newest are lost.
const LINES: usize = 8192;

/// To standard error, from `info` up or as `RUST_LOG` says, unless the program has a subscriber already. By a thread of its own: whoever
/// reads it slowly, or not at all, must not hold up links that have to beat. What is left is written when the guard is dropped, for a
/// second at most.
pub(super) fn to_standard_error() -> WorkerGuard {
    let said = std::env::var("RUST_LOG").ok().and_then(|said| said.parse::<Targets>().ok());
    let filter = said.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES).finish(stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(stderr().is_terminal())
        .log_internal_errors(false);
    // It is no error that there is one.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    guard
}
