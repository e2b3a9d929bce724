//! Request bodies: of a given length, or in chunks.

use bytes::Bytes;
use http::StatusCode;

use super::Reject;
use super::limits::{Limits, MAX_CHUNK_LINE};
use super::syntax::{after_blank, after_quoted, after_token, is_control};

/// How the end of a body is told (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// That many bytes.
    Length(u64),
    /// Chunks, until one of size 0 and the trailers.
    Chunked,
}

/// Collects a body from bytes that come piece by piece.
#[derive(Debug)]
pub(super) struct BodyReader {
    collected: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Length {
        left: usize,
    },
    /// In a chunk's size line.
    Size {
        line: Vec<u8>,
    },
    Data {
        left: usize,
    },
    /// Before the CRLF that ends a chunk's data; `cr` once half of it is there.
    DataEnd {
        cr: bool,
    },
    /// In the trailer section, `line` being its last line so far.
    Trailers {
        line: Vec<u8>,
        total: usize,
    },
    Done,
}

const CHUNK_LINE_TOO_LONG: Reject = Reject::bad("a chunk's size line is too long");
const TRAILERS_TOO_LARGE: Reject =
    Reject::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's trailers are too large");
const TOO_LARGE: Reject = Reject::new(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large");

impl BodyReader {
    /// Refuses by length what is too large, before any of it is read.
    pub(super) fn new(framing: Framing, limits: &Limits) -> Result<Self, Reject> {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => match usize::try_from(length) {
                Ok(left) if left <= limits.body => State::Length { left },
                _ => return Err(TOO_LARGE),
            },
            Framing::Chunked => State::Size { line: Vec::new() },
        };
        Ok(Self { collected: Vec::new(), state })
    }

    /// Takes what belongs to the body off the front of `input`, and says how much that was.
    pub(super) fn read(&mut self, input: &[u8], limits: &Limits) -> Result<usize, Reject> {
        let mut rest = input;
        while !rest.is_empty() && !self.is_done() {
            rest = self.step(rest, limits)?;
        }
        Ok(input.len() - rest.len())
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let line = match &self.state {
            State::Size { line } | State::Trailers { line, .. } => line.len(),
            State::Length { .. } | State::Data { .. } | State::DataEnd { .. } | State::Done => 0,
        };
        self.collected.len() + line
    }

    pub(super) fn finish(self) -> Bytes {
        self.collected.into()
    }

    fn step<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<&'a [u8], Reject> {
        match &mut self.state {
            State::Done => Ok(input),
            State::Length { left } => {
                let (taken, rest) = input.split_at(input.len().min(*left));
                append(&mut self.collected, taken, *left);
                *left -= taken.len();
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok(rest)
            }
            State::Size { line } => {
                let (complete, rest) = take_line(line, input, MAX_CHUNK_LINE, CHUNK_LINE_TOO_LONG)?;
                if complete {
                    let size = chunk_size(line)?;
                    if size > limits.body - self.collected.len() {
                        return Err(TOO_LARGE);
                    }
                    self.state = match size {
                        0 => State::Trailers { line: Vec::new(), total: 0 },
                        left => State::Data { left },
                    };
                }
                Ok(rest)
            }
            State::Data { left } => {
                let (taken, rest) = input.split_at(input.len().min(*left));
                append(&mut self.collected, taken, *left);
                *left -= taken.len();
                if *left == 0 {
                    self.state = State::DataEnd { cr: false };
                }
                Ok(rest)
            }
            State::DataEnd { cr } => match (*cr, input[0]) {
                (false, b'\r') => {
                    *cr = true;
                    Ok(&input[1..])
                }
                (true, b'\n') => {
                    self.state = State::Size { line: Vec::new() };
                    Ok(&input[1..])
                }
                _ => Err(Reject::bad("a chunk is longer than its size")),
            },
            State::Trailers { line, total } => {
                let (complete, rest) = take_line(line, input, limits.head - *total, TRAILERS_TOO_LARGE)?;
                if complete {
                    *total += line.len() + 2;
                    if line.is_empty() {
                        self.state = State::Done;
                    } else {
                        check_trailer(line)?;
                        line.clear();
                    }
                }
                Ok(rest)
            }
        }
    }
}

/// Room for the least that a body grows by.
const LEAST_ROOM: usize = 4 << 10;

/// Appends the first of `left` bytes that are to come. The body grows by a quarter, not twofold as vectors do, and to no more than
/// it will be, so that what it takes up is close to what [`BodyReader::held`] counts.
fn append(body: &mut Vec<u8>, bytes: &[u8], left: usize) {
    if body.capacity() - body.len() < bytes.len() {
        let room = (body.len() / 4).max(LEAST_ROOM).min(left);
        body.reserve_exact(room.max(bytes.len()));
    }
    body.extend_from_slice(bytes);
}

/// Moves bytes up to a CRLF into `line`, which ends up without it. Returns whether the line is complete, and the rest.
fn take_line<'a>(
    line: &mut Vec<u8>,
    input: &'a [u8],
    most: usize,
    too_long: Reject,
) -> Result<(bool, &'a [u8]), Reject> {
    let newline = memchr::memchr(b'\n', input);
    let (taken, rest) = newline.map_or((input, &input[input.len()..]), |at| input.split_at(at + 1));
    if line.len() + taken.len() > most {
        return Err(too_long);
    }
    line.extend_from_slice(taken);
    if newline.is_none() {
        return Ok((false, rest));
    }
    if !line.ends_with(b"\r\n") {
        return Err(Reject::bad("a line ends without CR"));
    }
    line.truncate(line.len() - 2);
    Ok((true, rest))
}

/// RFC 9112, 7.1: `1*HEXDIG [chunk-ext]`. Extensions mean nothing here, but must be free of control characters. More digits than
/// any size needs are refused, be they leading zeros.
fn chunk_size(line: &[u8]) -> Result<usize, Reject> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    std::str::from_utf8(size)
        .ok()
        .filter(|size| size.len() <= 16 && are_extensions(extensions))
        .and_then(|size| usize::from_str_radix(size, 16).ok())
        .ok_or(Reject::bad("a chunk's size is malformed"))
}

/// RFC 9112, 7.1.1: names, each after a semicolon, some with a value, and white space about the signs.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let name = after_blank(rest).strip_prefix(b";").map(after_blank);
        let Some(after_name) = name.and_then(after_token) else { return false };
        let value = after_blank(after_name).strip_prefix(b"=").map(after_blank);
        let after = value.map_or(Some(after_name), |value| match value.strip_prefix(b"\"") {
            Some(quoted) => after_quoted(quoted),
            None => after_token(value),
        });
        let Some(after) = after else { return false };
        rest = after;
    }
    true
}

/// Trailers are read over, but only well-formed ones.
fn check_trailer(line: &[u8]) -> Result<(), Reject> {
    let colon = memchr::memchr(b':', line).unwrap_or(0);
    let name = http::HeaderName::from_bytes(&line[..colon]);
    if name.is_err() || line[colon + 1..].iter().any(|b| is_control(*b)) {
        return Err(Reject::bad("a trailer is malformed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
