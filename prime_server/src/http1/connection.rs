//! One client's connection: bytes in, requests out; answers in, in any order, bytes out in the order of the requests.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{Method, Version};

use super::Reject;
use super::body::BodyReader;
use super::encode::{self, Asked};
use super::limits::Limits;
use super::output::{Output, Piece};
use super::parse::{self, HeadScan};
use crate::head::Head;
use crate::response::Reply;

/// A whole request.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Its place among the connection's requests; the answer names it.
    pub(crate) seq: u64,
    pub(crate) head: Head,
    pub(crate) body: Bytes,
}

/// See the [module's docs](self).
#[derive(Debug)]
pub(crate) struct Connection {
    input: Input,
    /// What came and could not be parsed yet: a part of a head, or requests above the pipelining limit.
    unparsed: Vec<u8>,
    /// The requests that are not answered to the end, first come first.
    slots: VecDeque<Slot>,
    /// The place of the first slot.
    first: u64,
    out: Output,
    /// The bytes of the largest answer that may be part of `out` or held back.
    largest: usize,
    /// Nothing follows what is in `out`.
    ended: bool,
    /// The client was still sending when its input was ended.
    cut_off: bool,
}

#[derive(Debug)]
enum Input {
    Head(HeadScan),
    /// The body of the last slot's request.
    Body(Box<Incoming>),
    /// Whatever still comes is not for us.
    Ended,
}

/// A request whose body is not all there yet.
#[derive(Debug)]
struct Incoming {
    head: Head,
    reader: BodyReader,
}

/// A request's place in the order of answers.
#[derive(Debug)]
struct Slot {
    asked: Asked,
    answer: Answer,
    /// What this slot has to say, while another is before it.
    held_back: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited {
        /// The client waits for a 100 before it sends the body, of which nothing has come yet.
        wants_continue: bool,
    },
    /// The head is written, the body follows piece by piece.
    Streaming,
    Complete,
}

/// What of a request a connection is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    Nothing,
    Head,
    Body {
        /// How many of its bytes have come.
        bytes: usize,
    },
}

/// Over this many times the limit of unsent bytes a client that takes none is soon let go. Below, it is only not read from.
const UNSENT_FACTOR: usize = 4;

impl Connection {
    pub(crate) fn new() -> Self {
        Self {
            input: Input::Head(HeadScan::default()),
            unparsed: Vec::new(),
            slots: VecDeque::new(),
            first: 0,
            out: Output::default(),
            largest: 0,
            ended: false,
            cut_off: false,
        }
    }

    /// Takes bytes of the client; the requests that they complete go to `arrivals`.
    pub(crate) fn receive(&mut self, bytes: &[u8], limits: &Limits, date: &[u8], arrivals: &mut Vec<Arrival>) {
        if self.unparsed.is_empty() {
            let consumed = self.parse(bytes, limits, date, arrivals);
            self.unparsed.extend_from_slice(&bytes[consumed..]);
        } else {
            self.unparsed.extend_from_slice(bytes);
            self.parse_unparsed(limits, date, arrivals);
        }
        if self.is_gated(limits) && self.unparsed.len() > limits.unparsed {
            self.end_after_last();
        }
    }

    /// Goes on with what [`receive`](Self::receive) left unparsed; to be called after answers were sent.
    pub(crate) fn resume(&mut self, limits: &Limits, date: &[u8], arrivals: &mut Vec<Arrival>) {
        if !self.unparsed.is_empty() {
            self.parse_unparsed(limits, date, arrivals);
        }
    }

    /// Takes (a piece of) the answer to the request of that place.
    pub(crate) fn reply(&mut self, seq: u64, reply: Reply, date: &[u8]) {
        let Some(at) = seq.checked_sub(self.first).map(|at| at as usize).filter(|at| *at < self.slots.len()) else {
            return;
        };
        let slot = &mut self.slots[at];
        let out = if at == 0 { &mut self.out } else { &mut slot.held_back };
        let before = out.len();
        match (reply, slot.answer) {
            (Reply::Whole(response), Answer::Awaited { .. }) => {
                encode::whole(out, &response, &mut slot.asked, date);
                slot.answer = Answer::Complete;
            }
            (Reply::Head(response), Answer::Awaited { .. }) => {
                encode::stream_head(out, &response, &mut slot.asked, date);
                slot.answer = Answer::Streaming;
            }
            (Reply::Chunk(chunk), Answer::Streaming) => encode::chunk(out, &chunk, slot.asked),
            (Reply::End, Answer::Streaming) => {
                encode::last_chunk(out, slot.asked);
                slot.answer = Answer::Complete;
            }
            // Cut short, so that the client sees that something is missing: a chunked body has no last chunk then. So it is
            // where the deadline's answer comes too late to be written, or an end comes without a beginning.
            (Reply::Abort, Answer::Awaited { .. } | Answer::Streaming)
            | (Reply::End, Answer::Awaited { .. })
            | (Reply::Whole(_), Answer::Streaming) => {
                slot.asked.keep_alive = false;
                slot.answer = Answer::Complete;
            }
            _ => {}
        }
        self.largest = self.largest.max(out.len() - before);
        self.advance();
    }

    /// Reads nothing more; the last request that was accepted is answered with `connection: close`.
    pub(crate) fn end_after_last(&mut self) {
        self.cut_off |= self.is_receiving();
        if let Input::Body(_) = self.input {
            // Its request will not come to an end, so there is nothing to answer.
            self.slots.pop_back();
        }
        self.input = Input::Ended;
        self.unparsed = Vec::new();
        match self.slots.back_mut() {
            Some(slot) => slot.asked.keep_alive = false,
            None => self.ended = true,
        }
    }

    /// Answers, after the answers that are due before, that there is no room, and ends. Where nothing more is read anyway,
    /// there is nothing to refuse.
    pub(crate) fn refuse(&mut self, status: http::StatusCode, sentence: &'static str, date: &[u8]) {
        if !matches!(self.input, Input::Ended) {
            let unparsed = std::mem::take(&mut self.unparsed);
            self.reject(Reject { status, sentence }, &unparsed, date);
        }
    }

    /// The next bytes for the client, at most so many; an empty piece where there are none.
    pub(crate) fn out(&mut self, most: usize) -> Piece<'_> {
        self.out.front(most)
    }

    /// Whether there are bytes for the client.
    pub(crate) fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// That many bytes of the last [`out`](Self::out) are on their way.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.out.advance(bytes);
        if self.out.is_empty() {
            self.largest = 0;
        }
    }

    /// All that there is for the client.
    #[cfg(any(test, fuzzing))]
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        self.largest = 0;
        self.out.take()
    }

    /// Whether more is unsent than is kept for long for a client that takes nothing. It can come to that where answers are ready
    /// faster than the client reads. One answer does not count, however large, since a client must be able to get that.
    pub(crate) fn has_too_much(&self, limits: &Limits) -> bool {
        self.unsent() > limits.unsent.saturating_mul(UNSENT_FACTOR).saturating_add(self.largest)
    }

    /// Nothing follows what is in [`out`](Self::out): close once that is sent.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The client may not have noticed yet, and still be sending. RFC 9112, 9.6: to close at once would reset the connection,
    /// and the client could lose the last answer.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// A request has begun to arrive.
    pub(crate) fn is_receiving(&self) -> bool {
        matches!(self.input, Input::Body(_)) || !self.unparsed.is_empty()
    }

    /// What the client has begun and not ended. Nothing where it is us who do not go on.
    pub(crate) fn receiving(&self, limits: &Limits) -> Receiving {
        match &self.input {
            Input::Body(_) if self.withholds_continue() => Receiving::Nothing,
            Input::Body(incoming) => Receiving::Body { bytes: incoming.reader.held() },
            Input::Head(_) if !self.unparsed.is_empty() && !self.is_gated(limits) => Receiving::Head,
            Input::Head(_) | Input::Ended => Receiving::Nothing,
        }
    }

    /// The place of the request that comes next, or is coming.
    pub(crate) fn next_request(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Whether the client has all its answers, and may ask for more.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.out.is_empty() && !self.ended
    }

    /// How many bytes it holds of the client's and for the client.
    pub(crate) fn held(&self) -> usize {
        let request = match &self.input {
            Input::Body(incoming) => incoming.head.held() + incoming.reader.held(),
            Input::Head(_) | Input::Ended => 0,
        };
        self.unparsed.len() + request + self.unsent()
    }

    /// How many bytes of the answer to the request of that place it holds, and of those before it that leave first.
    pub(crate) fn unsent_of(&self, seq: u64) -> usize {
        match seq.checked_sub(self.first) {
            Some(0) => self.out.len(),
            Some(at) => self.slots.get(at as usize).map_or(0, |slot| slot.held_back.len()),
            None => 0,
        }
    }

    fn unsent(&self) -> usize {
        self.out.len() + self.slots.iter().map(|slot| slot.held_back.len()).sum::<usize>()
    }

    fn is_gated(&self, limits: &Limits) -> bool {
        let between_requests = matches!(self.input, Input::Head(_));
        between_requests && (self.slots.len() >= limits.pipelined || self.unsent() > limits.unsent)
    }

    fn parse_unparsed(&mut self, limits: &Limits, date: &[u8], arrivals: &mut Vec<Arrival>) {
        let mut unparsed = std::mem::take(&mut self.unparsed);
        let consumed = self.parse(&unparsed, limits, date, arrivals);
        if consumed < unparsed.len() {
            unparsed.drain(..consumed);
            self.unparsed = unparsed;
        }
    }

    /// Parses as far as it goes, and says how far that was.
    fn parse(&mut self, input: &[u8], limits: &Limits, date: &[u8], arrivals: &mut Vec<Arrival>) -> usize {
        let mut consumed = 0;
        while consumed < input.len() && !self.is_gated(limits) {
            match self.step(&input[consumed..], limits, arrivals) {
                Ok(0) => break,
                Ok(taken) => consumed += taken,
                Err(reject) => {
                    self.reject(reject, &input[consumed..], date);
                    return input.len();
                }
            }
            if matches!(self.input, Input::Ended) {
                self.cut_off |= consumed < input.len();
                return input.len();
            }
        }
        consumed
    }

    fn step(&mut self, input: &[u8], limits: &Limits, arrivals: &mut Vec<Arrival>) -> Result<usize, Reject> {
        match &mut self.input {
            Input::Ended => Ok(input.len()),
            Input::Body(incoming) => {
                if let Some(slot) = self.slots.back_mut() {
                    slot.answer = Answer::Awaited { wants_continue: false };
                }
                let taken = incoming.reader.read(input, limits)?;
                if incoming.reader.is_done()
                    && let Input::Body(incoming) = std::mem::replace(&mut self.input, Input::Ended)
                {
                    self.arrive(incoming.head, incoming.reader.finish(), arrivals);
                }
                Ok(taken)
            }
            Input::Head(scan) => {
                if scan.skips_blank(input) {
                    return Ok("\r\n".len());
                }
                let Some(head_len) = scan.find_end(input, limits)? else { return Ok(0) };
                let parsed = parse::parse(&input[..head_len], limits)?;
                let reader = BodyReader::new(parsed.framing, limits)?;
                let body_follows = !reader.is_done();
                let is_last = self.next_request() + 1 >= limits.requests;
                self.open_slot(&parsed, body_follows && head_len == input.len(), is_last);
                if body_follows {
                    self.input = Input::Body(Box::new(Incoming { head: parsed.head, reader }));
                } else {
                    self.arrive(parsed.head, Bytes::new(), arrivals);
                }
                Ok(head_len)
            }
        }
    }

    fn open_slot(&mut self, parsed: &parse::Parsed, body_is_to_come: bool, is_last: bool) {
        let asked = Asked {
            version: parsed.head.version(),
            head_only: *parsed.head.method() == Method::HEAD,
            keep_alive: parsed.keep_alive && !is_last,
        };
        let wants_continue = parsed.expects_continue && body_is_to_come;
        self.slots.push_back(Slot { asked, answer: Answer::Awaited { wants_continue }, held_back: Output::default() });
        self.write_continue();
    }

    /// The last slot's request is whole.
    fn arrive(&mut self, head: Head, body: Bytes, arrivals: &mut Vec<Arrival>) {
        let slot = self.slots.back().expect("a request has its slot from its head on");
        self.input = if slot.asked.keep_alive { Input::Head(HeadScan::default()) } else { Input::Ended };
        arrivals.push(Arrival { seq: self.first + self.slots.len() as u64 - 1, head, body });
    }

    /// `rest` begins where the refused head does, if it is a head that is refused.
    fn reject(&mut self, reject: Reject, rest: &[u8], date: &[u8]) {
        if !matches!(self.input, Input::Body(_)) {
            // RFC 9110, 9.3.2: no answer to HEAD has a body, whatever else is wrong with the request.
            let head_only = rest.starts_with(b"HEAD ");
            let asked = Asked { version: Version::HTTP_11, head_only, keep_alive: false };
            let answer = Answer::Awaited { wants_continue: false };
            self.slots.push_back(Slot { asked, answer, held_back: Output::default() });
        }
        self.input = Input::Ended;
        self.unparsed = Vec::new();
        self.cut_off = true;
        let is_first = self.slots.len() == 1;
        let slot = self.slots.back_mut().expect("one was pushed, or is the body's");
        slot.asked.keep_alive = false;
        slot.answer = Answer::Complete;
        encode::reject(if is_first { &mut self.out } else { &mut slot.held_back }, reject, &mut slot.asked, date);
        self.advance();
    }

    /// Lets the slots speak whose turn has come.
    fn advance(&mut self) {
        while let Some(Slot { answer: Answer::Complete, asked, .. }) = self.slots.front() {
            let keep_alive = asked.keep_alive;
            self.slots.pop_front();
            self.first += 1;
            if !keep_alive {
                self.cut_off |= self.is_receiving();
                self.slots.clear();
                self.input = Input::Ended;
                self.unparsed = Vec::new();
                self.ended = true;
                return;
            }
            if let Some(front) = self.slots.front_mut() {
                self.out.append(&mut front.held_back);
            }
            self.write_continue();
        }
    }

    /// Whether the client waits for a 100 that must wait for other answers.
    fn withholds_continue(&self) -> bool {
        let waits = matches!(self.slots.back(), Some(Slot { answer: Answer::Awaited { wants_continue: true }, .. }));
        waits && self.slots.len() > 1
    }

    /// RFC 9110, 10.1.1: the 100 is an answer too, so it waits until those before it are given.
    fn write_continue(&mut self) {
        if let Some(Slot { answer: Answer::Awaited { wants_continue: true }, .. }) = self.slots.front() {
            self.out.buffer().extend_from_slice(encode::CONTINUE);
        }
    }
}

#[cfg(test)]
mod tests;
