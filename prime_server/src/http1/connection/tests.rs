//! What a connection makes of bytes, and of answers.

mod bounds;
mod differential;
mod properties;
mod streaming;
mod streams;

use http::{HeaderValue, StatusCode};

use super::*;
use crate::{Body, Response};

const DATE: &[u8] = b"Thu, 01 Jan 1970 00:00:00 GMT";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A connection, driven as the front end does it.
struct Driven {
    connection: Connection,
    limits: Limits,
}

impl Driven {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self { connection: Connection::new(), limits }
    }

    /// Takes bytes, and gives the requests that they completed.
    fn arrivals(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        self.connection.receive(bytes.as_ref(), &self.limits, DATE, &mut arrivals);
        arrivals
    }

    /// Takes bytes, and gives the targets of the requests that they completed.
    fn receive(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        targets(&self.arrivals(bytes))
    }

    /// Goes on after answers, and gives the targets of the requests that were let through.
    fn resume(&mut self) -> Vec<String> {
        let mut arrivals = Vec::new();
        self.connection.resume(&self.limits, DATE, &mut arrivals);
        targets(&arrivals)
    }

    fn reply(&mut self, seq: u64, reply: Reply) {
        self.connection.reply(seq, reply, DATE);
    }

    fn answer(&mut self, seq: u64, body: &'static str) {
        self.reply(seq, Reply::whole(response(body)));
    }

    /// Sends what there is to send, and gives it.
    fn sent(&mut self) -> String {
        String::from_utf8(self.connection.take_out()).unwrap()
    }

    /// Whether the connection is to be closed when what was [`sent`](Self::sent) is on its way, and keeps nothing.
    fn is_over(&self) -> bool {
        self.connection.is_ended() && self.connection.held() == 0
    }
}

fn targets(arrivals: &[Arrival]) -> Vec<String> {
    arrivals.iter().map(|arrival| arrival.head.target().to_owned()).collect()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn get_with(target: &str, line: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n")
}

fn post(target: &str, lines: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n{body}")
}

/// What is kept of a head's bytes: not the method and the version, which are no longer text.
fn kept_of_post(head: &str) -> usize {
    head.len() - "POST  HTTP/1.1\r\n".len()
}

fn response(body: &'static str) -> Response {
    Response::new(Body::from(body))
}

fn with_connection(values: &[&'static str]) -> Response {
    let mut response = response("last");
    for value in values {
        response.headers_mut().append("connection", HeaderValue::from_static(value));
    }
    response
}

/// A 200 as it is sent, with that line at the end of its head.
fn ok_with(line: &str, body: &str) -> String {
    let date = std::str::from_utf8(DATE).unwrap();
    format!("HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {}\r\n{line}\r\n{body}", body.len())
}

fn ok(body: &str) -> String {
    ok_with("", body)
}

fn last_ok(body: &str) -> String {
    ok_with("connection: close\r\n", body)
}

/// Checks that it is one answer of that status, with a sentence as its body, after which the connection closes.
#[track_caller]
fn assert_refused(sent: &str, status: u16) {
    let (head, body) = sent.split_once("\r\n\r\n").expect("there should be an answer");
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert!(head.ends_with(&format!("\r\ncontent-length: {}\r\nconnection: close", body.len())), "{head}");
    assert!(body.len() > 1 && body.lines().count() == 1 && body.ends_with('\n'), "{body:?}");
}

#[test]
fn a_request_is_answered_and_the_connection_goes_on() {
    let mut driven = Driven::new();
    for seq in 0..3 {
        let arrivals = driven.arrivals(get("/a"));
        assert_eq!(arrivals.iter().map(|it| it.seq).collect::<Vec<_>>(), [seq]);
        assert_eq!((arrivals[0].head.method(), arrivals[0].body.len()), (&Method::GET, 0));
        assert_eq!(driven.sent(), "");
        driven.answer(seq, "a");
        assert_eq!(driven.sent(), ok("a"));
        assert!(!driven.connection.is_ended());
        assert_eq!(driven.connection.held(), 0);
    }
}

#[test]
fn http_1_0_closes_after_its_answer_unless_asked_not_to() {
    let mut driven = Driven::new();
    assert_eq!(driven.receive("GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), ["/1"]);
    driven.answer(0, "1");
    assert_eq!(driven.sent(), ok_with("connection: keep-alive\r\n", "1"));
    assert!(!driven.connection.is_ended());
    assert_eq!(driven.receive("GET /2 HTTP/1.0\r\n\r\n"), ["/2"]);
    driven.answer(1, "2");
    assert_eq!(driven.sent(), last_ok("2"));
    assert!(driven.is_over());
}

#[test]
fn answers_come_out_in_the_order_of_the_requests() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut driven = Driven::new();
        assert_eq!(driven.receive([get("/0"), get("/1"), get("/2")].concat()), ["/0", "/1", "/2"]);
        for seq in order {
            driven.answer(seq, ["0", "1", "2"][seq as usize]);
        }
        assert_eq!(driven.sent(), [ok("0"), ok("1"), ok("2")].concat(), "{order:?}");
        assert_eq!(driven.connection.held(), 0);
    }
}

#[test]
fn an_answer_is_sent_as_soon_as_those_before_it_are() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/1"), get("/2")].concat());
    driven.answer(1, "1");
    assert_eq!(driven.sent(), "");
    driven.answer(0, "0");
    assert_eq!(driven.sent(), [ok("0"), ok("1")].concat());
    driven.answer(2, "2");
    assert_eq!(driven.sent(), ok("2"));
}

#[test]
fn an_answer_that_nobody_waits_for_is_dropped() {
    let mut driven = Driven::new();
    driven.answer(0, "early");
    driven.receive([get("/0"), get("/1")].concat());
    driven.answer(1, "1");
    driven.answer(1, "again");
    driven.answer(2, "never asked");
    driven.answer(u64::MAX, "never asked");
    driven.answer(0, "0");
    driven.answer(0, "again");
    assert_eq!(driven.sent(), [ok("0"), ok("1")].concat());
}

#[test]
fn close_ends_the_connection_and_what_follows_it_is_ignored() {
    for line in ["Connection: close", "connection: foo,\tCLOSE"] {
        let mut driven = Driven::new();
        assert_eq!(driven.receive([get("/0"), get_with("/1", line), get("/2")].concat()), ["/0", "/1"]);
        assert_eq!(driven.receive(get("/3")), [""; 0]);
        assert_eq!(driven.receive("\n nonsense"), [""; 0]);
        assert_eq!(driven.connection.held(), 0);
        driven.answer(1, "1");
        assert!(!driven.connection.is_ended());
        driven.answer(0, "0");
        assert_eq!(driven.sent(), [ok("0"), last_ok("1")].concat());
        assert!(driven.is_over());
    }
}

#[test]
fn a_stage_may_close_the_connection() {
    for values in [&["close"][..], &["Close"], &["foo, close"], &["foo", "CLOSE ,bar"]] {
        let mut driven = Driven::new();
        driven.receive([get("/0"), get("/1"), get("/2")].concat());
        driven.receive("GET /amid a head");
        driven.answer(2, "never sent");
        driven.answer(0, "0");
        driven.reply(1, Reply::whole(with_connection(values)));
        assert_eq!(driven.sent(), [ok("0"), last_ok("last")].concat(), "{values:?}");
        assert!(driven.is_over());
        assert_eq!(driven.receive(get("/3")), [""; 0]);
        driven.answer(2, "late");
        assert_eq!(driven.sent(), "");
    }
}

#[test]
fn other_connection_options_of_a_stage_close_nothing() {
    let mut driven = Driven::new();
    driven.receive(get("/"));
    driven.reply(0, Reply::whole(with_connection(&["upgrade, closed", "keep-alive"])));
    assert_eq!(driven.sent(), ok("last"));
    assert!(!driven.connection.is_ended());
}

#[test]
fn head_is_answered_without_the_body_and_the_connection_goes_on() {
    let mut driven = Driven::new();
    driven.receive([get("/0").replace("GET", "HEAD"), get("/1")].concat());
    driven.answer(0, "unseen");
    driven.answer(1, "1");
    assert_eq!(driven.sent(), [ok("unseen").trim_end_matches("unseen"), &ok("1")].concat());
}

#[test]
fn bodies_arrive_whole_and_the_next_request_begins_after_them() {
    let mut driven = Driven::new();
    let stream = [
        post("/0", "Content-Length: 4", "body"),
        post("/1", "Content-Length: 0", ""),
        post("/2", "Transfer-Encoding: chunked", "2;a=b\r\nbo\r\n2\r\ndy\r\n0\r\nTrailer: x\r\n\r\n"),
        post("/3", "Transfer-Encoding: chunked", "0\r\n\r\n"),
        get_with("/4", "Content-Length: 2") + "ok",
        get("/5"),
    ]
    .concat();
    let arrivals = driven.arrivals(stream);
    assert_eq!(targets(&arrivals), ["/0", "/1", "/2", "/3", "/4", "/5"]);
    assert_eq!(
        arrivals.iter().map(|it| &it.body[..]).collect::<Vec<_>>(),
        [&b"body"[..], b"", b"body", b"", b"ok", b""]
    );
    assert!(arrivals[2].head.headers().get("trailer").is_none(), "trailers are no headers");
}

#[test]
fn a_body_may_come_in_pieces() {
    let mut driven = Driven::new();
    let request = post("/", "Content-Length: 4", "");
    assert_eq!(driven.receive(&request), [""; 0]);
    assert!(driven.connection.is_receiving());
    let head = kept_of_post(&request);
    assert_eq!(driven.connection.held(), head);
    assert_eq!(driven.receive("bod"), [""; 0]);
    assert_eq!(driven.connection.held(), head + 3);
    assert_eq!(driven.arrivals("y")[0].body, "body");
    assert!(!driven.connection.is_receiving());
    assert_eq!(driven.connection.held(), 0);
}

#[test]
fn a_head_may_come_in_pieces() {
    let mut driven = Driven::new();
    for byte in get("/").as_bytes().split_last().unwrap().1 {
        assert_eq!(driven.receive([*byte]), [""; 0]);
        assert!(driven.connection.is_receiving());
    }
    assert_eq!(driven.connection.held(), get("/").len() - 1);
    assert_eq!(driven.receive("\n"), ["/"]);
    assert!(!driven.connection.is_receiving());
}

#[test]
fn one_empty_line_before_a_request_is_read_over_and_no_second() {
    for pieces in [&["\r\n"][..], &["\r", "\n"]] {
        let mut driven = Driven::new();
        for seq in 0..2 {
            for piece in pieces {
                assert_eq!(driven.receive(piece), [""; 0]);
            }
            assert!(!driven.connection.is_receiving(), "no request has begun with it");
            assert_eq!(driven.receive(get("/")), ["/"]);
            driven.answer(seq, "a");
            assert_eq!(driven.sent(), ok("a"));
        }
        driven.receive("\r\n");
        for piece in pieces {
            driven.receive(piece);
        }
        assert_refused(&driven.sent(), 400);
        assert!(driven.is_over());
    }
    for stream in ["\r\n\r\n", "\r\n\r\r\n", "\n", "\r\n\n", "\r\r\n\r\n"] {
        let mut driven = Driven::new();
        assert_eq!(driven.receive([stream, &get("/")].concat()), [""; 0], "{stream:?}");
        assert_refused(&driven.sent(), 400);
    }
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_ends() {
    for (stream, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (get("/").replace("1.1", "3.0"), 505),
        (get("/").replace("GET", "BREW"), 501),
        (get_with("/", "Expect: miracles"), 417),
        (get(&"/".repeat(8200)), 414),
        (get_with("/", &"A: b\r\n".repeat(100)), 431),
        (get_with("/", &"a".repeat(33 << 10)), 431),
        (post("/", "Content-Length: 2097153", ""), 413),
        (post("/", "Transfer-Encoding: chunked", "200001\r\n"), 413),
        (post("/", "Transfer-Encoding: chunked", "nonsense\r\n"), 400),
        (post("/", "Transfer-Encoding: chunked", &format!("0\r\n{}", "a".repeat(33 << 10))), 431),
    ] {
        let mut driven = Driven::new();
        assert_eq!(driven.receive(stream + &get("/next")), [""; 0]);
        assert_refused(&driven.sent(), status);
        assert!(driven.is_over());
        assert_eq!(driven.receive(get("/")), [""; 0]);
        assert_eq!(driven.sent(), "");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let mut driven = Driven::with(Limits { body: 4, ..Limits::default() });
    driven.receive(post("/", "Content-Length: 5\r\nExpect: 100-continue", ""));
    assert_refused(&driven.sent(), 413);
}

#[test]
fn what_is_before_an_error_is_answered_first() {
    for (third, status) in [
        (get("/ /"), 400),
        (post("/", "Transfer-Encoding: chunked", "nonsense\r\n"), 400),
        (post("/", "Content-Length: 9999999", ""), 413),
    ] {
        for order in [[0, 1], [1, 0]] {
            let mut driven = Driven::new();
            assert_eq!(driven.receive([get("/0"), get("/1"), third.clone(), get("/3")].concat()), ["/0", "/1"]);
            assert_eq!(driven.sent(), "");
            for seq in order {
                driven.answer(seq, ["0", "1"][seq as usize]);
            }
            let sent = driven.sent();
            let refusal = sent.strip_prefix(&[ok("0"), ok("1")].concat()).expect("both are answered first");
            assert_refused(refusal, status);
            assert!(driven.is_over());
        }
    }
}

#[test]
fn an_error_in_a_body_is_answered_after_what_came_before_the_request() {
    let mut driven = Driven::new();
    assert_eq!(driven.receive([get("/0"), post("/1", "Transfer-Encoding: chunked", "1\r\n")].concat()), ["/0"]);
    assert_eq!(driven.receive("ab"), [""; 0]);
    assert_eq!(driven.sent(), "");
    driven.answer(0, "0");
    let sent = driven.sent();
    assert_refused(sent.strip_prefix(&ok("0")).unwrap(), 400);
    assert!(driven.is_over());
}

#[test]
fn a_head_request_is_refused_without_a_body() {
    let chunked = post("/", "Transfer-Encoding: chunked", "nonsense\r\n");
    for request in [get("/ /"), get_with("/", "Host: h"), get_with("/", "Content-Length: 9999999"), chunked] {
        let mut driven = Driven::new();
        driven.receive(request.replace("GET", "HEAD").replace("POST", "HEAD"));
        let sent = driven.sent();
        assert!(sent.starts_with("HTTP/1.1 4") && sent.ends_with("connection: close\r\n\r\n"), "{sent}");
        assert!(driven.is_over());
    }
}

#[test]
fn a_client_that_waits_for_100_gets_it_before_the_answer() {
    for framing in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
        let mut driven = Driven::new();
        assert_eq!(driven.receive(post("/", &format!("Expect: 100-continue\r\n{framing}"), "")), [""; 0]);
        assert_eq!(driven.sent(), CONTINUE);
        let body = if framing.contains("chunked") { "4\r\nbody\r\n0\r\n\r\n" } else { "body" };
        assert_eq!(driven.receive(body), ["/"]);
        driven.answer(0, "done");
        assert_eq!(driven.sent(), ok("done"), "and gets it once");
    }
}

#[test]
fn the_100_waits_for_the_answers_before_it() {
    let mut driven = Driven::new();
    let expecting = post("/2", "Expect: 100-continue\r\nContent-Length: 4", "");
    assert_eq!(driven.receive([get("/0"), get("/1"), expecting].concat()), ["/0", "/1"]);
    driven.answer(1, "1");
    assert_eq!(driven.sent(), "");
    driven.answer(0, "0");
    assert_eq!(driven.sent(), [ok("0"), ok("1"), CONTINUE.to_owned()].concat());
    assert_eq!(driven.receive("body"), ["/2"]);
    driven.answer(2, "2");
    assert_eq!(driven.sent(), ok("2"));
}

#[test]
fn no_100_is_sent_once_the_body_has_begun_to_come() {
    let expecting = post("/1", "Expect: 100-continue\r\nContent-Length: 4", "");
    // With the head.
    for body in ["body", "b"] {
        let mut driven = Driven::new();
        driven.receive([&expecting, body].concat());
        assert_eq!(driven.sent(), "");
    }
    // While another answer was awaited.
    for body in ["body", "b"] {
        let mut driven = Driven::new();
        driven.receive([get("/0"), expecting.clone()].concat());
        driven.receive(body);
        driven.answer(0, "0");
        assert_eq!(driven.sent(), ok("0"));
    }
}

#[test]
fn no_100_is_sent_where_no_body_comes_or_http_1_0_is_spoken() {
    let mut driven = Driven::new();
    assert_eq!(driven.receive(get_with("/", "Expect: 100-continue")), ["/"]);
    assert_eq!(driven.receive(post("/", "Content-Length: 0\r\nExpect: 100-continue", "")), ["/"]);
    let http_1_0 = "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(driven.receive(http_1_0), [""; 0]);
    driven.answer(0, "0");
    driven.answer(1, "1");
    assert_eq!(driven.sent(), [ok("0"), ok("1")].concat());
    assert_eq!(driven.receive("b"), ["/"]);
}

#[test]
fn an_error_in_a_body_that_was_asked_for_follows_the_100() {
    let mut driven = Driven::new();
    driven.receive(post("/", "Expect: 100-continue\r\nTransfer-Encoding: chunked", ""));
    driven.receive("nonsense\r\n");
    let sent = driven.sent();
    assert_refused(sent.strip_prefix(CONTINUE).unwrap(), 400);
}

#[test]
fn statuses_and_dates_are_those_of_the_answer() {
    let mut driven = Driven::new();
    driven.receive(get("/"));
    let mut response = response("ignored");
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert("date", HeaderValue::from_static("Fri, 02 Jan 1970 00:00:00 GMT"));
    driven.reply(0, Reply::whole(response));
    assert_eq!(driven.sent(), "HTTP/1.1 204 No Content\r\ndate: Fri, 02 Jan 1970 00:00:00 GMT\r\n\r\n");
}
