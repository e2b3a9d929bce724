//! Which of a ROUTER's peers have closed their connection, as the operating system knows at once when a process dies.
//!
//! The socket's monitor names descriptors, and messages tell which one they came by. A descriptor is another connection's as soon as it
//! is closed. So what the monitor has said is looked at before a HELLO is noted: libzmq's one I/O thread told of the old connection's end
//! before it took the new one.

use std::collections::HashMap;

use super::desk::Route;
use crate::transport::zmq::monitored::Monitored;

#[derive(Default)]
pub(super) struct Closings {
    routes: HashMap<i32, Route>,
    closed: Vec<Route>,
}

impl Closings {
    /// A peer says HELLO with this frame.
    pub(super) fn note(&mut self, socket: &Monitored, route: &[u8], frame: &mut zmq::Message) {
        self.read(socket);
        if let Some(descriptor) = frame.gets("__fd").and_then(|descriptor| descriptor.parse().ok()) {
            self.routes.insert(descriptor, route.into());
        }
    }

    /// Those that have closed since. What they sent before that can be received by now.
    pub(super) fn take(&mut self, socket: &Monitored) -> Vec<Route> {
        self.read(socket);
        std::mem::take(&mut self.closed)
    }

    /// They are to be taken again.
    pub(super) fn put_back(&mut self, closed: Vec<Route>) {
        self.closed.extend(closed);
    }

    fn read(&mut self, socket: &Monitored) {
        while let Some((_, descriptor)) = socket.event() {
            self.closed.extend(self.routes.remove(&descriptor));
        }
    }
}
