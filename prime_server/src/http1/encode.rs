//! From an answer to bytes.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version, header};

use super::Reject;
use super::output::Output;
use crate::{IntoResponse, Response};

/// What of the request decides how its answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    /// A HEAD request: its answer has the headers of a GET's, and no body (RFC 9110, 9.3.2).
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
}

/// Writes an answer whose body is whole.
pub(super) fn whole(out: &mut Output, response: &Response, asked: &mut Asked, date: &[u8]) {
    let body = if is_bodiless(response.status()) { &Bytes::new() } else { response.body().bytes() };
    let lines = out.buffer();
    lines.reserve(HEAD_ESTIMATE);
    head(lines, response, asked, date);
    if has_length(response.status()) {
        line(lines, b"content-length", itoa::Buffer::new().format(body.len()).as_bytes());
    }
    end_head(lines, *asked);
    if !asked.head_only {
        out.push(body);
    }
}

/// Writes the head of an answer whose body follows piece by piece: in chunks, or up to the connection's end where the client
/// is too old for chunks.
pub(super) fn stream_head(out: &mut Output, response: &Response, asked: &mut Asked, date: &[u8]) {
    asked.head_only |= is_bodiless(response.status());
    let out = out.buffer();
    head(out, response, asked, date);
    if !is_bodiless(response.status()) {
        if asked.version == Version::HTTP_11 {
            line(out, b"transfer-encoding", b"chunked");
        } else {
            // Without chunks the end of the body is the end of the connection (RFC 9112, 6.3).
            asked.keep_alive = false;
        }
    } else if has_length(response.status()) {
        line(out, b"content-length", b"0");
    }
    end_head(out, *asked);
}

/// Writes a piece of the body. An empty one is left out, since an empty chunk means the end.
pub(super) fn chunk(out: &mut Output, bytes: &Bytes, asked: Asked) {
    if asked.head_only || bytes.is_empty() {
        return;
    }
    if asked.version == Version::HTTP_11 {
        out.buffer().extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        out.push(bytes);
        out.buffer().extend_from_slice(b"\r\n");
    } else {
        out.push(bytes);
    }
}

/// Writes the end of a body that came piece by piece.
pub(super) fn last_chunk(out: &mut Output, asked: Asked) {
    if asked.version == Version::HTTP_11 && !asked.head_only {
        out.buffer().extend_from_slice(b"0\r\n\r\n");
    }
}

/// Writes the answer to bytes that are no request.
pub(super) fn reject(out: &mut Output, reject: Reject, asked: &mut Asked, date: &[u8]) {
    whole(out, &(reject.status, format!("{}\n", reject.sentence)).into_response(), asked, date);
}

/// Room for the lines of a small answer's head.
const HEAD_ESTIMATE: usize = 192;

/// The status line and the headers, the stage's own but for those that say where the message ends. A value cannot hold a line
/// break: `HeaderValue` refuses it.
fn head(out: &mut Vec<u8>, response: &Response, asked: &mut Asked, date: &[u8]) {
    status_line(out, response.status());
    let mut is_dated = false;
    for (name, value) in response.headers() {
        match *name {
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING => {}
            header::CONNECTION => asked.keep_alive &= !asks_to_close(value),
            _ => {
                is_dated |= *name == header::DATE;
                line(out, name.as_str().as_bytes(), value.as_bytes());
            }
        }
    }
    if !is_dated {
        line(out, b"date", date);
    }
}

fn asks_to_close(connection: &HeaderValue) -> bool {
    let mut tokens = connection.as_bytes().split(|byte| *byte == b',');
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn end_head(out: &mut Vec<u8>, asked: Asked) {
    connection(out, asked);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110, 15.2: a client that waits for this may now send the body.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// RFC 9110, 15.3.5, 15.3.6 and 15.4.5.
pub(super) fn is_bodiless(status: StatusCode) -> bool {
    status == StatusCode::RESET_CONTENT || !has_length(status)
}

/// RFC 9110, 8.6: 204 has no Content-Length; for 304 it would be that of another answer. 205 needs one, to show that it is empty.
fn has_length(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// RFC 9110, 15.2: 1xx is no final answer, and the client would go on waiting for one, so a stage that answers so has failed.
fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    let status = if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// HTTP/1.1 goes on unless told otherwise, HTTP/1.0 the other way round.
fn connection(out: &mut Vec<u8>, asked: Asked) {
    match (asked.keep_alive, asked.version) {
        (false, _) => line(out, b"connection", b"close"),
        (true, Version::HTTP_10) => line(out, b"connection", b"keep-alive"),
        (true, _) => {}
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
