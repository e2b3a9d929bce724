//! A socket, and what the operating system says of its connections.

use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Monitored {
    socket: zmq::Socket,
    events: zmq::Socket,
}

/// Makes the monitors' names unique.
static MONITORS: AtomicU64 = AtomicU64::new(0);

impl Monitored {
    /// To be made before the socket is bound or connected, or what came about before is not told.
    pub(super) fn new(
        context: &zmq::Context,
        socket: zmq::Socket,
        kinds: impl IntoIterator<Item = zmq::SocketEvent>,
    ) -> zmq::Result<Self> {
        let events = context.socket(zmq::PAIR)?;
        events.set_linger(0)?;
        let name = format!("inproc://monitor-{}", MONITORS.fetch_add(1, Ordering::Relaxed));
        socket.monitor(&name, kinds.into_iter().map(|kind| i32::from(kind.to_raw())).sum())?;
        let monitored = Self { socket, events };
        monitored.events.connect(&name)?;
        Ok(monitored)
    }

    /// What has happened next: of which kind, and of which descriptor.
    pub(super) fn event(&self) -> Option<(u16, i32)> {
        let mut frame = zmq::Message::new();
        self.events.recv(&mut frame, zmq::DONTWAIT).ok()?;
        let kind = frame.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
        let value = frame.get(2..6).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        // The endpoint.
        let _ = self.events.recv(&mut frame, zmq::DONTWAIT);
        kind.zip(value)
    }

    pub(super) fn poll_items(&self) -> [zmq::PollItem<'_>; 2] {
        [self.socket.as_poll_item(zmq::POLLIN), self.events.as_poll_item(zmq::POLLIN)]
    }
}

impl Deref for Monitored {
    type Target = zmq::Socket;

    fn deref(&self) -> &zmq::Socket {
        &self.socket
    }
}

impl DerefMut for Monitored {
    fn deref_mut(&mut self) -> &mut zmq::Socket {
        &mut self.socket
    }
}

/// libzmq's thread waits until somebody takes an event, for ever if nobody does any more, and all other sockets with it. So there are to be
/// no more events before their taker goes.
impl Drop for Monitored {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the socket is open, and no address is how the call is told to end the monitor.
        unsafe { zmq_sys::zmq_socket_monitor(self.socket.as_mut_ptr(), ptr::null(), 0) };
    }
}
