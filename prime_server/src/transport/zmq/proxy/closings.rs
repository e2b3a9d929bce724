//! Which of a ROUTER's peers have closed their connection, as the operating system knows at once when a process dies.
//!
//! The socket's monitor names descriptors, and messages tell which one they came by. A descriptor is another connection's as soon as it
//! is closed. So what the monitor has said is looked at before a HELLO is noted: libzmq's one I/O thread told of the old connection's end
//! before it took the new one.

use std::collections::HashMap;

use super::desk::Route;

pub(super) struct Closings {
    monitor: zmq::Socket,
    routes: HashMap<i32, Route>,
    closed: Vec<Route>,
}

const MONITOR: &str = "inproc://monitor";

impl Closings {
    /// To be made before the socket is bound.
    pub(super) fn of(context: &zmq::Context, socket: &zmq::Socket) -> zmq::Result<Self> {
        socket.monitor(MONITOR, zmq::SocketEvent::DISCONNECTED.to_raw().into())?;
        let monitor = context.socket(zmq::PAIR)?;
        monitor.set_linger(0)?;
        monitor.connect(MONITOR)?;
        Ok(Self { monitor, routes: HashMap::new(), closed: Vec::new() })
    }

    /// A peer says HELLO with this frame.
    pub(super) fn note(&mut self, route: &[u8], frame: &mut zmq::Message) {
        self.read();
        if let Some(descriptor) = frame.gets("__fd").and_then(|descriptor| descriptor.parse().ok()) {
            self.routes.insert(descriptor, route.into());
        }
    }

    /// Those that have closed since. What they sent before that can be received by now.
    pub(super) fn take(&mut self) -> Vec<Route> {
        self.read();
        std::mem::take(&mut self.closed)
    }

    /// They are to be taken again.
    pub(super) fn put_back(&mut self, closed: Vec<Route>) {
        self.closed.extend(closed);
    }

    pub(super) fn poll_item(&self) -> zmq::PollItem<'_> {
        self.monitor.as_poll_item(zmq::POLLIN)
    }

    fn read(&mut self) {
        let mut event = zmq::Message::new();
        while self.monitor.recv(&mut event, zmq::DONTWAIT).is_ok() {
            // Two bytes of the event's kind, of which one is asked for, and four of its value.
            let descriptor = event.get(2..6).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
            self.closed.extend(descriptor.and_then(|descriptor| self.routes.remove(&descriptor)));
            // The endpoint.
            let _ = self.monitor.recv(&mut event, zmq::DONTWAIT);
        }
    }
}
