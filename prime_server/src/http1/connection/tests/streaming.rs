//! Answers that come piece by piece.

use super::*;

const PIECES: [&str; 2] = ["one", "0123456789abcdef"];
const CHUNKS: &str = "3\r\none\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

/// The head of a streamed 200, with that line at its end.
fn head(line: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ndate: {}\r\n{line}\r\n", std::str::from_utf8(DATE).unwrap())
}

fn chunked_head() -> String {
    head("transfer-encoding: chunked\r\n")
}

fn with_status(status: StatusCode) -> Response {
    let mut response = response("");
    *response.status_mut() = status;
    response
}

impl Driven {
    fn chunk(&mut self, seq: u64, bytes: &'static str) {
        self.reply(seq, Reply::Chunk(Bytes::from_static(bytes.as_bytes())));
    }

    fn stream(&mut self, seq: u64, response: Response) {
        self.reply(seq, Reply::head(response));
        for piece in PIECES {
            self.chunk(seq, piece);
        }
        self.reply(seq, Reply::End);
    }
}

#[test]
fn pieces_are_sent_as_they_come() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/1")].concat());
    driven.reply(0, Reply::head(response("")));
    assert_eq!(driven.sent(), chunked_head());
    driven.chunk(0, "one");
    assert_eq!(driven.sent(), "3\r\none\r\n");
    driven.chunk(0, "");
    assert_eq!(driven.sent(), "", "an empty chunk would be the end");
    driven.reply(0, Reply::End);
    assert_eq!(driven.sent(), "0\r\n\r\n");
    driven.answer(1, "1");
    assert_eq!(driven.sent(), ok("1"), "the connection goes on");
}

#[test]
fn http_1_0_gets_the_body_up_to_the_connections_end() {
    for lines in ["", "Connection: keep-alive\r\n"] {
        let mut driven = Driven::new();
        driven.receive(format!("GET / HTTP/1.0\r\n{lines}\r\n"));
        driven.stream(0, response(""));
        assert_eq!(driven.sent(), head("connection: close\r\n") + &PIECES.concat());
        assert!(driven.is_over());
    }
}

#[test]
fn a_streamed_answer_waits_for_its_turn_then_goes_on_as_it_comes() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/1"), get("/2")].concat());
    driven.stream(2, response(""));
    driven.reply(1, Reply::head(response("")));
    driven.chunk(1, "one");
    assert_eq!(driven.sent(), "");
    driven.answer(0, "0");
    assert_eq!(driven.sent(), [ok("0"), chunked_head(), "3\r\none\r\n".to_owned()].concat());
    driven.chunk(1, PIECES[1]);
    driven.reply(1, Reply::End);
    let rest = ["10\r\n0123456789abcdef\r\n0\r\n\r\n", &chunked_head(), CHUNKS].concat();
    assert_eq!(driven.sent(), rest);
    assert_eq!(driven.connection.held(), 0);
}

#[test]
fn head_gets_the_head_of_a_streamed_answer() {
    let mut driven = Driven::new();
    driven.receive([get("/0").replace("GET", "HEAD"), get("/1")].concat());
    driven.stream(0, response(""));
    driven.answer(1, "1");
    assert_eq!(driven.sent(), chunked_head() + &ok("1"));
}

#[test]
fn a_streamed_answer_whose_status_allows_no_body_has_none() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED, StatusCode::RESET_CONTENT] {
        let mut driven = Driven::new();
        driven.receive([get("/0"), get("/1")].concat());
        driven.stream(0, with_status(status));
        driven.answer(1, "1");
        let sent = driven.sent();
        let sent = sent.strip_suffix(&ok("1")).expect("the next answer follows");
        assert!(sent.starts_with(&format!("HTTP/1.1 {status}\r\n")) && sent.ends_with("\r\n\r\n"), "{sent}");
        assert!(!sent.contains("chunked") && !sent.contains("one"), "{sent}");
    }
}

#[test]
fn a_stage_may_close_after_a_streamed_answer() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/1")].concat());
    driven.stream(0, with_connection(&["close"]));
    assert_eq!(driven.sent(), head("transfer-encoding: chunked\r\nconnection: close\r\n") + CHUNKS);
    assert!(driven.is_over());
}

#[test]
fn an_aborted_answer_has_no_last_chunk_and_ends_the_connection() {
    for cut in [Reply::Abort, Reply::whole(response("the deadline has passed"))] {
        let mut driven = Driven::new();
        driven.receive([get("/0"), get("/1"), get("/2")].concat());
        driven.answer(2, "never sent");
        driven.reply(1, Reply::head(response("")));
        driven.chunk(1, "one");
        driven.reply(1, cut);
        assert!(!driven.connection.is_ended());
        driven.answer(0, "0");
        assert_eq!(driven.sent(), [ok("0"), chunked_head(), "3\r\none\r\n".to_owned()].concat());
        assert!(driven.is_over());
    }
}

#[test]
fn an_answer_that_ends_before_it_began_ends_the_connection() {
    for end in [Reply::Abort, Reply::End] {
        let mut driven = Driven::new();
        driven.receive([get("/0"), get("/1")].concat());
        driven.answer(1, "never sent");
        driven.reply(0, end);
        assert_eq!(driven.sent(), "");
        assert!(driven.is_over());
    }
}

#[test]
fn pieces_out_of_place_are_dropped() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/1")].concat());
    driven.chunk(0, "before the head");
    driven.reply(0, Reply::head(response("")));
    driven.reply(0, Reply::head(with_status(StatusCode::NOT_FOUND)));
    driven.reply(0, Reply::End);
    driven.chunk(0, "after the end");
    driven.reply(0, Reply::End);
    driven.reply(0, Reply::Abort);
    driven.stream(1, response(""));
    assert_eq!(driven.sent(), [&chunked_head(), "0\r\n\r\n", &chunked_head(), CHUNKS].concat());
    assert!(!driven.connection.is_ended());
}

#[test]
fn pieces_after_the_end_of_an_answer_that_waits_are_dropped() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/1")].concat());
    driven.stream(1, response(""));
    driven.chunk(1, "after the end");
    driven.reply(1, Reply::Abort);
    driven.answer(1, "after the end");
    driven.answer(0, "0");
    assert_eq!(driven.sent(), [&ok("0"), &*chunked_head(), CHUNKS].concat());
    assert!(!driven.connection.is_ended());
}
