//! A front end's links to the stages: it holds each job from the moment that it is sent until it has come to something, and sends what
//! it has come to on its way.
//!
//! One thread owns the links, beside the front end's own, which has the clients.

mod desk;
#[cfg(any(test, fuzzing))]
#[allow(unreachable_pub, reason = "public for the fuzz targets alone")]
pub(super) mod fuzzing;
#[cfg(any(test, fuzzing))]
pub(super) mod ledger;
#[cfg(any(test, fuzzing))]
pub(super) mod node;
mod remote;
mod stages;

use std::time::Instant;

pub(crate) use self::desk::{Desk, Terms};
pub(crate) use self::remote::{Order, Remote};
use super::links::{Event, Events, Links};
use super::wire::Command;
use crate::mailbox::Mailbox;

pub(crate) struct Front {
    links: Links,
    mailbox: Mailbox<Order>,
    desk: Desk,
    events: Events,
    closed: bool,
}

impl Front {
    pub(crate) fn new(links: Links, mailbox: Mailbox<Order>, desk: Desk) -> Self {
        Self { links, mailbox, desk, events: Events::new(), closed: false }
    }

    /// Runs until the front end has ended.
    pub(crate) fn run(mut self) {
        while !self.closed {
            let more = self.turn(Instant::now());
            if !more && !self.closed {
                self.sleep();
            }
        }
        self.links.send_to_all(&Command::Bye);
        self.links.flush(Instant::now(), &mut self.events);
        self.links.close();
    }

    /// Does what there is to do. Returns whether there may be more of it already.
    fn turn(&mut self, now: Instant) -> bool {
        let noted = self.read_orders(now);
        let heard = self.links.receive(now, &mut self.events);
        self.links.keep_time(now, &mut self.events);
        self.handle(now);
        self.desk.keep_time(now);
        self.send(now);
        // What could not be sent is to be sent elsewhere.
        self.handle(now);
        self.send(now);
        heard || noted
    }

    fn send(&mut self, now: Instant) {
        let links = &mut self.links;
        self.desk.outgoing(now, |link, command| links.send(link, command));
        self.links.flush(now, &mut self.events);
    }

    fn handle(&mut self, now: Instant) {
        for (link, event) in self.events.drain(..) {
            match event {
                Event::Linked { stage } => self.desk.linked(link, &stage, now),
                Event::Lost => self.desk.lost(link, now),
                Event::Frame(frame) => self.desk.receive(link, &frame, now),
            }
        }
    }

    /// Takes what the front end's thread wants. Returns whether there may be more.
    fn read_orders(&mut self, now: Instant) -> bool {
        for _ in 0..super::BATCH {
            let Ok(order) = self.mailbox.notes.try_recv() else { return false };
            match order {
                Order::Jobs(stage, jobs) => jobs.into_iter().for_each(|job| self.desk.job(stage, job, now)),
                Order::Cancel { id, place, why } => self.desk.cancel(id, place, why),
                Order::Window { id, place, received, kept } => self.desk.window(id, place, received, kept),
                Order::Found(places) => self.links.set(&places, now),
                Order::Close => self.closed = true,
            }
        }
        true
    }

    fn sleep(&mut self) {
        let due = self.links.next_due().into_iter().chain(self.desk.next_due()).min();
        self.mailbox.arm();
        let rung = self.mailbox.notes.is_empty() && self.links.wait(self.mailbox.event(), due);
        self.mailbox.disarm(rung);
    }
}
