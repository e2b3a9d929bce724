//! Asking a running pipeline from within its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::Receiver;

use crate::answers::{BUSY, unavailable};
use crate::loopback::{Loopback, Note, Place};
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
    clients: Arc<Clients>,
}

/// What the clients of one pipeline share.
#[derive(Debug)]
pub(super) struct Clients {
    next_token: AtomicU64,
    /// How many requests may wait for the front end to look at them, and how many do.
    places: usize,
    taken: Arc<AtomicUsize>,
}

impl Clients {
    pub(super) fn new(max_in_flight: usize) -> Self {
        Self { next_token: AtomicU64::new(0), places: max_in_flight, taken: Arc::default() }
    }
}

/// The pipeline has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct ClientError(());

/// An answer to come. Dropped before that, the request is cancelled as if the client had disconnected.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn echo(request: Request) -> String { request.head().path().to_owned() }
///
/// let running = Pipeline::new("echo").stage::<echo>().build()?.start_in_process()?;
/// let client = running.client();
/// let pending: Vec<_> = ["/1", "/2"].into_iter().map(|path| client.send(Request::get(path))).collect::<Result<_, _>>()?;
/// for (pending, path) in pending.into_iter().zip(["/1", "/2"]) {
///     assert_eq!(pending.wait()?.body().as_bytes(), path.as_bytes());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a request whose answer is not awaited is cancelled"]
pub struct Pending {
    loopback: Loopback,
    token: u64,
    answer: Receiver<Response>,
    waiting: bool,
}

impl Client {
    pub(super) fn new(loopback: Loopback, clients: Arc<Clients>) -> Self {
        Self { loopback, clients }
    }

    /// Sends a request, without waiting. Over the pipeline's `max_in_flight` the answer is 503, as for anybody.
    ///
    /// # Errors
    /// [`ClientError`], if the pipeline has stopped.
    pub fn send(&self, request: impl Into<Request>) -> Result<Pending, ClientError> {
        let token = self.clients.next_token.fetch_add(1, Ordering::Relaxed);
        let (answer, waiting) = crossbeam_channel::bounded(1);
        let Some(place) = Place::take(&self.clients.taken, self.clients.places) else {
            let _ = answer.send(unavailable(BUSY));
            return Ok(Pending { loopback: self.loopback.clone(), token, answer: waiting, waiting: false });
        };
        let sent = self.loopback.send(Note::Submit { request: request.into(), token, answer, place });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mailbox;

    #[test]
    fn a_client_that_sends_faster_than_the_front_end_reads_is_answered_503() {
        let (loopback, inbox) = mailbox().unwrap();
        let client = Client::new(loopback, Arc::new(Clients::new(2)));
        let kept: Vec<_> = (0..2).map(|_| client.send(Request::get("/")).unwrap()).collect();
        assert_eq!(client.call(Request::get("/")).unwrap().status(), 503);
        assert_eq!(inbox.notes.len(), 2);
        drop(inbox.notes.recv());
        let third = client.send(Request::get("/")).unwrap();
        assert_eq!(inbox.notes.len(), 2);
        drop((kept, third));
    }
}
