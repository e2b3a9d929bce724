//! HTTP/1.0 and 1.1 over a real socket, to a stage that tells what it got.

use prime_server::prelude::*;
use prime_server::{Running, Version};
use support::{Client, eventually, first, get, start};

/// Answers with the method, target, version and body that it got.
fn echo() -> (Running, std::net::SocketAddr) {
    let stage = |request: Request, _: &Context| {
        let head = request.head();
        let version = if head.version() == Version::HTTP_10 { "1.0" } else { "1.1" };
        let body = String::from_utf8_lossy(request.body());
        format!("{} {} {version} {body}", head.method(), head.target())
    };
    start(&Pipeline::new("echo").stage_from(first(stage)).workers(1).build().unwrap())
}

#[test]
fn a_connection_is_kept_and_each_answer_is_dated_and_measured() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    for _ in 0..3 {
        let answer = client.get("/a?b=%2F");
        assert_eq!((answer.status, answer.text()), (200, "GET /a?b=%2F 1.1 "));
        assert_eq!(answer.header("content-length"), Some("17"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{answer:?}");
        assert!(!answer.closes());
    }
}

#[test]
fn the_date_is_that_of_the_answer() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    let before = client.get("/");
    eventually("a second later", || client.get("/").header("date") != before.header("date"));
}

#[test]
fn connection_close_closes() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: foo, CLOSE\r\n\r\n");
    assert!(client.read().closes());
    assert!(client.is_closed());
}

#[test]
fn http_1_0_closes_unless_it_asks_not_to() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.read();
    assert_eq!((answer.text(), answer.header("connection")), ("GET / 1.0 ", Some("keep-alive")));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.read().closes());
    assert!(client.is_closed());
}

#[test]
fn bodies_come_by_length_and_in_chunks_in_any_pieces() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    assert_eq!(client.post("/", "", "by length").text(), "POST / 1.1 by length");
    let chunked = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;x=y\r\nin \r\n6\r\nchunks\r\n0\r\nTrailer: x\r\n\r\n";
    client.send(chunked);
    assert_eq!(client.read().text(), "POST / 1.1 in chunks");
    for byte in chunked.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.read().text(), "POST / 1.1 in chunks");
}

#[test]
fn a_large_body_arrives_whole_and_is_answered_whole() {
    let (_running, address) = echo();
    let body = "0123456789abcdef".repeat(100_000);
    let answer = Client::connect(address).post("/", "", &body);
    assert_eq!(answer.text().len(), "POST / 1.1 ".len() + body.len());
    assert!(answer.text().ends_with(&body));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    let requests: String = (0..200).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..200 {
        assert_eq!(client.read().text(), format!("GET /{n} 1.1 "));
    }
}

#[test]
fn head_has_the_length_and_no_body() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read_head().header("content-length"), Some("11"));
    assert_eq!(client.get("/").text(), "GET / 1.1 ");
}

#[test]
fn expect_100_continue_is_answered_before_the_body_is_sent() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.read().status, 100);
    client.send("body");
    assert_eq!(client.read().text(), "POST / 1.1 body");
}

#[test]
fn what_is_no_request_is_answered_400_and_closed_and_reaches_no_stage() {
    let (running, address) = echo();
    for bytes in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        let mut client = Client::connect(address);
        client.send(bytes);
        let answer = client.read();
        assert!(answer.status == 400 && answer.closes() && !answer.body.is_empty(), "{answer:?}");
        assert!(client.is_closed());
    }
    assert_eq!(running.stages()[0].jobs, 0);
}

#[test]
fn an_error_in_the_third_request_lets_the_first_two_be_answered() {
    let (_running, address) = echo();
    let mut client = Client::connect(address);
    client
        .send("GET /1 HTTP/1.1\r\nHost: t\r\n\r\nGET /2 HTTP/1.1\r\nHost: t\r\n\r\nGET /3 HTTP/9.9\r\nHost: t\r\n\r\n");
    assert_eq!(client.read().text(), "GET /1 1.1 ");
    assert_eq!(client.read().text(), "GET /2 1.1 ");
    assert_eq!(client.read().status, 505);
    assert!(client.is_closed());
}

#[test]
fn every_kind_of_answer_is_framed() {
    let stage = |request: Request, _: &Context| -> Response {
        match request.head().path() {
            "/json" => Json([1, 2, 3]).into_response(),
            "/status" => StatusCode::ACCEPTED.into_response(),
            "/nothing" => (StatusCode::NO_CONTENT, "not sent").into_response(),
            "/header" => ([("x-test", "yes")], vec![0_u8, 1]).into_response(),
            "/close" => ([("connection", "close")], "last").into_response(),
            "/lies" => ([("content-length", "99"), ("transfer-encoding", "chunked")], "four").into_response(),
            _ => (StatusCode::CREATED, [("location", "/x")], "made").into_response(),
        }
    };
    let (_running, address) = start(&Pipeline::new("kinds").stage_from(first(stage)).build().unwrap());
    let mut client = Client::connect(address);
    let json = client.get("/json");
    assert_eq!((json.text(), json.header("content-type")), ("[1,2,3]", Some("application/json")));
    let status = client.get("/status");
    assert_eq!((status.status, status.header("content-length")), (202, Some("0")));
    let nothing = client.get("/nothing");
    assert_eq!((nothing.status, nothing.header("content-length")), (204, None));
    let header = client.get("/header");
    assert_eq!((header.body.as_slice(), header.header("x-test")), ([0, 1].as_slice(), Some("yes")));
    let lies = client.get("/lies");
    assert_eq!(
        (lies.text(), lies.header("content-length"), lies.header("transfer-encoding")),
        ("four", Some("4"), None)
    );
    let made = client.get("/made");
    assert_eq!((made.status, made.header("location"), made.text()), (201, Some("/x"), "made"));
    assert!(client.get("/close").closes());
    assert!(client.is_closed());
    assert_eq!(get(address, "/json").status, 200);
}

#[test]
fn a_long_answer_is_compressed_for_who_accepts_it() {
    let stage = |_: Request, _: &Context| "to be or not to be ".repeat(100);
    let pipeline = Pipeline::new("compressed").compress(1024).stage_from(first(stage)).workers(1).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n");
    let answer = client.read();
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (Some("gzip"), Some("accept-encoding")));
    assert!(answer.body.len() < 200 && answer.body.starts_with(b"\x1f\x8b"));
    let plain = client.get("/");
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    assert_eq!(plain.body.len(), 1900);
    let request = http::Request::get("/").header("accept-encoding", "gzip").body("").unwrap();
    assert!(pipeline.test(request).unwrap().headers().contains_key("content-encoding"));
}
