//! Asking a running pipeline from within its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;

use crate::loopback::{Loopback, Note};
use crate::{Request, Response};

/// Sends requests to a pipeline of this process, without a socket; made by [`Running::client`](super::Running::client).
///
/// They pass the same door, admission, deadline and stages as those of the network.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str { "hello\n" }
///
/// let running = Pipeline::new("hello").stage::<hello>().build()?.start_in_process()?;
/// let answer = running.client().call(Request::get("/"))?;
/// assert_eq!(answer.body().as_bytes(), b"hello\n");
/// running.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    loopback: Loopback,
    tokens: Arc<AtomicU64>,
}

/// The pipeline has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct ClientError(());

/// An answer to come. Dropped before that, the request is cancelled as if the client had disconnected.
#[derive(Debug)]
#[must_use = "a request whose answer is not awaited is cancelled"]
pub struct Pending {
    loopback: Loopback,
    token: u64,
    answer: Receiver<Response>,
    waiting: bool,
}

impl Client {
    pub(super) fn new(loopback: Loopback, tokens: Arc<AtomicU64>) -> Self {
        Self { loopback, tokens }
    }

    /// Sends a request, without waiting. Over the pipeline's `max_in_flight` the answer is 503, as for anybody.
    ///
    /// # Errors
    /// [`ClientError`], if the pipeline has stopped.
    pub fn send(&self, request: impl Into<Request>) -> Result<Pending, ClientError> {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        let (answer, waiting) = crossbeam_channel::bounded(1);
        let sent = self.loopback.send(Note::Submit { request: request.into(), token, answer });
        let pending = Pending { loopback: self.loopback.clone(), token, answer: waiting, waiting: sent };
        if sent { Ok(pending) } else { Err(ClientError(())) }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`ClientError`], if the pipeline has stopped.
    pub fn call(&self, request: impl Into<Request>) -> Result<Response, ClientError> {
        self.send(request)?.wait()
    }
}

impl Pending {
    /// Waits for the answer. It comes at the deadline at the latest.
    ///
    /// # Errors
    /// [`ClientError`], if the pipeline stops before.
    pub fn wait(mut self) -> Result<Response, ClientError> {
        let answer = self.answer.recv();
        self.waiting = false;
        answer.map_err(|_| ClientError(()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.waiting {
            self.loopback.send(Note::Abandon { token: self.token });
        }
    }
}
