//! The same bytes to hyper's server connection: what this one takes for a request, hyper takes for the same one. It may refuse
//! more, and never takes more.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::streams::stream;
use super::*;

type Seen = (String, String, Vec<u8>);

fn ours(bytes: &[u8]) -> Vec<Seen> {
    let mut driven = Driven::new();
    let mut arrivals = driven.arrivals(bytes);
    let mut seen = Vec::new();
    while !arrivals.is_empty() {
        for Arrival { seq, head, body } in std::mem::take(&mut arrivals) {
            seen.push((head.method().to_string(), head.target().to_owned(), body.to_vec()));
            driven.answer(seq, "");
        }
        driven.sent();
        let Driven { connection, limits } = &mut driven;
        connection.resume(limits, DATE, &mut arrivals);
    }
    seen
}

fn hyper_s(bytes: &[u8]) -> Vec<Seen> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let noted = Arc::clone(&noted);
        async move {
            let (head, body) = request.into_parts();
            // A body that breaks off belongs to no whole request.
            if let Ok(body) = body.collect().await {
                noted.lock().unwrap().push((head.method.to_string(), head.uri.to_string(), body.to_bytes().to_vec()));
            }
            Ok::<_, Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(server), service);
        let mut answers = Vec::new();
        // How the connection ends is not what is compared.
        let _ = tokio::join!(connection, client.read_to_end(&mut answers));
    });
    std::mem::take(&mut *seen.lock().unwrap())
}

/// This server reads later minor versions as 1.1, which hyper does not; that is meant.
fn as_1_1(mut bytes: Vec<u8>) -> Vec<u8> {
    for at in 0..bytes.len().saturating_sub(7) {
        if bytes[at..].starts_with(b"HTTP/1.") && matches!(bytes[at + 7], b'2'..=b'9') {
            bytes[at + 7] = b'1';
        }
    }
    bytes
}

#[test]
fn a_sound_stream_is_the_same_to_both() {
    let bytes = [get("/a?b"), post("/c", "Content-Length: 4", "body"), get("/d")].concat();
    assert_eq!(ours(bytes.as_bytes()), hyper_s(bytes.as_bytes()));
    assert_eq!(ours(bytes.as_bytes()).len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_taken_for_a_request_hyper_takes_for_the_same(bytes in stream()) {
        let bytes = as_1_1(bytes);
        let (ours, hyper_s) = (ours(&bytes), hyper_s(&bytes));
        prop_assert!(hyper_s.starts_with(&ours), "ours {ours:?}, hyper's {hyper_s:?}");
    }
}
