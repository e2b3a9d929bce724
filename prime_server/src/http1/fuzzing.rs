//! What the targets in `fuzz/` run. `cargo test` runs their corpora through it.

use super::body::{BodyReader, Framing};
use super::limits::Limits;
use super::parse::{self, HeadScan};
use super::{Connection, Reject};
use crate::response::Reply;
use crate::{Body, Response};

const DATE: &[u8] = b"Thu, 01 Jan 1970 00:00:00 GMT";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn limits() -> Limits {
    Limits { target: 200, head: 1000, body: 1000, pipelined: 4, unsent: 2000, ..Limits::default() }
}

/// A head: found at the same place however it comes, and parsed without a panic to what its lines say.
pub fn head(bytes: &[u8]) {
    let limits = limits();
    let whole = HeadScan::default().find_end(bytes, &limits);
    let mut scan = HeadScan::default();
    let mut found = Ok(None);
    for end in 1..=bytes.len() {
        found = scan.find_end(&bytes[..end], &limits);
        if !matches!(found, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole.map_err(|reject| reject.status), found.map_err(|reject: Reject| reject.status));
    if let Ok(Some(length)) = whole
        && let Ok(parsed) = parse::parse(&bytes[..length], &limits)
    {
        assert!(parsed.head.target().bytes().all(|byte| byte.is_ascii_graphic()));
        let lines = bytes[..length].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(parsed.head.headers().len(), lines - 2, "all lines but the first and the empty one");
    }
}

/// A chunked body: the same however it comes, and never more than its limit.
pub fn chunked(bytes: &[u8]) {
    let limits = limits();
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| -> (usize, Result<Option<Vec<u8>>, u16>) {
        let mut reader = BodyReader::new(Framing::Chunked, &limits).expect("chunks have no length to refuse");
        let mut consumed = 0;
        for piece in pieces {
            match reader.read(piece, &limits) {
                Ok(taken) => consumed += taken,
                Err(reject) => return (0, Err(reject.status.as_u16())),
            }
            assert!(reader.held() <= limits.body + limits.head.max(super::limits::MAX_CHUNK_LINE));
            if reader.is_done() {
                return (consumed, Ok(Some(reader.finish().to_vec())));
            }
        }
        (consumed, Ok(None))
    };
    assert_eq!(read(&mut std::iter::once(bytes)), read(&mut bytes.chunks(1)));
}

/// A whole connection: the same requests and answers however the bytes come, and in whatever order the answers are ready. The
/// first eight bytes say how.
pub fn connection(bytes: &[u8]) {
    let Some((seed, stream)) = bytes.split_first_chunk::<8>() else { return };
    let seed = u64::from_le_bytes(*seed) | 1;
    let whole = drive(&mut std::iter::once(stream), seed);
    let mut random = Random(seed);
    let mut rest = stream;
    let mut pieces = std::iter::from_fn(|| {
        let (piece, after) = rest.split_at_checked(1 + random.below(40)).unwrap_or((rest, &[]));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(whole, drive(&mut pieces, seed.rotate_left(32) | 1));
}

/// Takes the pieces, answering in random order whenever requests are waiting, and returns the requests and what was sent.
fn drive(pieces: &mut dyn Iterator<Item = &[u8]>, seed: u64) -> (Vec<String>, String, bool) {
    let limits = limits();
    let (mut connection, mut random) = (Connection::new(), Random(seed));
    let (mut requests, mut sent) = (Vec::new(), String::new());
    let mut waiting = Vec::new();
    let mut arrivals = Vec::new();
    loop {
        let piece = pieces.next();
        if let Some(piece) = piece {
            connection.receive(piece, &limits, DATE, &mut arrivals);
        }
        loop {
            for arrival in arrivals.drain(..) {
                requests.push(format!("{:?} {:?} {:?}", arrival.head, arrival.head.headers(), arrival.body));
                waiting.push(arrival.seq);
            }
            if waiting.is_empty() {
                break;
            }
            let seq = waiting.swap_remove(random.below(waiting.len()));
            let response = Response::new(Body::from(format!("answer {seq}")));
            connection.reply(seq, Reply::whole(response), DATE);
            sent += &String::from_utf8_lossy(&connection.take_out());
            connection.resume(&limits, DATE, &mut arrivals);
        }
        sent += &String::from_utf8_lossy(&connection.take_out());
        if piece.is_none() {
            // Whether there is need for a 100 depends on when the body comes.
            return (requests, sent.replace(CONTINUE, ""), connection.is_ended());
        }
    }
}

/// xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpora_find_nothing() {
        let corpora = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        for (name, target) in [("head", head as fn(&[u8])), ("chunked", chunked), ("connection", connection)] {
            let mut files = 0;
            for file in std::fs::read_dir(corpora.join(name)).unwrap() {
                target(&std::fs::read(file.unwrap().path()).unwrap());
                files += 1;
            }
            assert!(files > 5, "{name} has a corpus");
        }
    }
}
