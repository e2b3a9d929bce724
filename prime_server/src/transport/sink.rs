//! Where the streamed answers of a stage go, and how long it waits for clients that are behind.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Outlet;
use super::places::{Places, Room};
use crate::context::{Reason, Sink, Ticket, weight};
use crate::response::Reply;
use crate::{Limits, Response};

/// The sink of one stage's workers.
#[derive(Debug)]
pub(crate) struct StreamSink {
    outlet: Arc<dyn Outlet>,
    /// How far a stage may be ahead of a client, in bytes, and how long it waits for one.
    buffer: usize,
    patience: Duration,
    places: Places,
}

impl StreamSink {
    pub(crate) fn new(outlet: Arc<dyn Outlet>, limits: &Limits, workers: usize) -> Self {
        let (buffer, patience) = (limits.stream_buffer, limits.take_answer);
        Self { outlet, buffer, patience, places: Places::new(workers) }
    }
}

impl Sink for StreamSink {
    fn begin(&self, ticket: &Ticket, head: Response) {
        self.outlet.reply(ticket.id, Reply::head(head));
    }

    fn send(&self, ticket: &Arc<Ticket>, piece: Bytes) -> Result<(), Reason> {
        let bytes = weight(&piece);
        if let Some(window) = ticket.window()
            && !window.try_reserve(bytes, self.buffer)
        {
            self.places.wait(ticket, Room { window, bytes, most: self.buffer, patience: self.patience })?;
        }
        self.outlet.reply(ticket.id, Reply::Chunk(piece));
        Ok(())
    }
}
