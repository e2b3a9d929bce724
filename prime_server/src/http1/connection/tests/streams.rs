//! Streams of requests, sound and damaged, as clients might send them.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A request of a client that keeps to the rules, and goes on after it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) version: &'static str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    blank_before: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    None,
    Length(Vec<u8>),
    Chunked { chunks: Vec<(Vec<u8>, &'static str)>, trailers: &'static str },
}

impl Request {
    pub(super) fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.blank_before {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("{} {} {}\r\n", self.method, self.target, self.version).as_bytes());
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match &self.body {
            Body::None => out.extend_from_slice(b"\r\n"),
            Body::Length(body) => {
                out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                out.extend_from_slice(body);
            }
            Body::Chunked { chunks, trailers } => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for (data, extension) in chunks {
                    out.extend_from_slice(format!("{:X}{extension}\r\n", data.len()).as_bytes());
                    out.extend_from_slice(data);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
            }
        }
        out
    }

    pub(super) fn body(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Length(body) => body.clone(),
            Body::Chunked { chunks, .. } => chunks.iter().flat_map(|(data, _)| data.clone()).collect(),
        }
    }
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let method = select(vec!["GET", "GET", "POST", "PUT", "HEAD", "DELETE"]);
    let version = prop_oneof![8 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/1.7")];
    let header = ("[A-Za-z]{1,3}-[a-z]{1,3}", "[!-~]{1,4}( [!-~]{1,4})?|");
    let data = || prop_oneof![proptest::collection::vec(any::<u8>(), 1..30), "(\r\n|0|\r|\n){1,8}".prop_map(Vec::from)];
    let chunk = (data(), select(vec!["", "", ";a", " ; b = c"]));
    let chunked = (proptest::collection::vec(chunk, 0..4), select(vec!["", "", "Trailer: a\r\n", "A: b\r\nC: d\r\n"]));
    let body = prop_oneof![
        3 => Just(Body::None),
        2 => data().prop_map(Body::Length),
        2 => chunked.prop_map(|(chunks, trailers)| Body::Chunked { chunks, trailers }),
    ];
    let headers = proptest::collection::vec(header, 0..3);
    let parts = (method, "/[a-z?%]{0,8}", version, headers, body, any::<bool>(), proptest::bool::weighted(0.2));
    parts.prop_map(|(method, target, version, mut headers, mut body, expects, blank_before)| {
        headers.push(("Host".into(), "h".into()));
        if version == "HTTP/1.0" {
            headers.push(("Connection".into(), "keep-alive".into()));
            if let Body::Chunked { .. } = body {
                body = Body::None;
            }
        }
        if expects {
            headers.push(("Expect".into(), "100-continue".into()));
        }
        Request { method, target, version, headers, body, blank_before }
    })
}

/// Bytes that begin as requests do; in half of the cases something in them is not as it should be.
pub(super) fn stream() -> impl Strategy<Value = Vec<u8>> {
    let sound = || proptest::collection::vec(request(), 1..8);
    let written = |requests: Vec<Request>| requests.iter().flat_map(Request::written).collect::<Vec<u8>>();
    let damaged = (sound(), proptest::collection::vec(damage(), 1..3)).prop_map(move |(requests, damages)| {
        let mut bytes = written(requests);
        for (at, damage) in damages {
            let at = at.index(bytes.len() + 1);
            match damage {
                Damage::Remove(count) => _ = bytes.drain(at..bytes.len().min(at + count)),
                Damage::Insert(piece) => _ = bytes.splice(at..at, piece),
                Damage::Replace(byte) => bytes.iter_mut().skip(at).take(1).for_each(|there| *there = byte),
            }
        }
        bytes
    });
    prop_oneof![sound().prop_map(written), damaged]
}

#[derive(Clone, Debug)]
enum Damage {
    Remove(usize),
    Insert(Vec<u8>),
    Replace(u8),
}

fn damage() -> impl Strategy<Value = (Index, Damage)> {
    let pieces: Vec<&[u8]> =
        vec![b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b":", b"\r\nConnection: close", b"\r\nContent-Length: 3"];
    let piece = prop_oneof![
        3 => select(pieces).prop_map(<[u8]>::to_vec),
        // Over one limit or another.
        1 => (any::<u8>(), 1..400_usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    let damage = prop_oneof![
        (1..20_usize).prop_map(Damage::Remove),
        piece.prop_map(Damage::Insert),
        any::<u8>().prop_map(Damage::Replace),
    ];
    (any::<Index>(), damage)
}

/// Cuts bytes into pieces at those places.
pub(super) fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

pub(super) fn places() -> impl Strategy<Value = Vec<Index>> {
    proptest::collection::vec(any::<Index>(), 0..8)
}
