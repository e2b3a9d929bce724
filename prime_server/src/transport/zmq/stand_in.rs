//! A proxy for tests that says what a test says, over a real socket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{Command, VERSION, Welcome, millis};

pub(super) struct StandIn {
    socket: zmq::Socket,
    endpoint: String,
    /// Who spoke last.
    route: Vec<u8>,
    heard: VecDeque<Vec<u8>>,
}

pub(super) const LIVENESS: Duration = Duration::from_secs(1);

/// As of a proxy of that stage.
pub(super) fn welcome(stage: &str) -> Command<'_> {
    Command::Welcome(Welcome { version: VERSION, liveness: millis(LIVENESS), peer: [7; 16], name: "stand-in", stage })
}

/// What it returns at last.
pub(super) fn until<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(happened) = step() {
            return happened;
        }
        assert!(Instant::now() < limit, "never happened: {what}");
        thread::yield_now();
    }
}

impl StandIn {
    pub(super) fn new() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let endpoint = format!("ipc://@prime-stand-in-{}-{number}", std::process::id());
        let socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
        super::set_up(&socket, &endpoint).unwrap();
        socket.bind(&endpoint).unwrap();
        Self { socket, endpoint, route: Vec::new(), heard: VecDeque::new() }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The next frame that somebody has sent, if it is there yet.
    pub(super) fn hear(&mut self) -> Option<Vec<u8>> {
        if self.heard.is_empty()
            && let Ok(mut parts) = self.socket.recv_multipart(zmq::DONTWAIT)
        {
            self.route = parts.remove(0);
            self.heard.extend(parts);
        }
        self.heard.pop_front()
    }

    /// Sends to whoever spoke last.
    pub(super) fn say(&self, commands: &[Command<'_>]) {
        let frames = commands.iter().map(super::wire::encode);
        self.socket.send_multipart(std::iter::once(self.route.clone()).chain(frames), 0).unwrap();
    }

    /// Sends whatever bytes.
    pub(super) fn say_frame(&self, frame: &[u8]) {
        self.socket.send_multipart([&self.route[..], frame], 0).unwrap();
    }
}
