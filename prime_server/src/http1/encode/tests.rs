//! What an answer looks like to the client, by what it asked.

use http::HeaderValue;

use super::*;
use crate::Body;

const DATE: &[u8] = b"Thu, 01 Jan 1970 00:00:00 GMT";
const HTTP_11: Asked = Asked { version: Version::HTTP_11, head_only: false, keep_alive: true };
const HTTP_10: Asked = Asked { version: Version::HTTP_10, ..HTTP_11 };
const HEAD: Asked = Asked { head_only: true, ..HTTP_11 };

fn answer(status: u16, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Writes an answer, and gives it with `date: …` where the date is what it was told.
fn written(write: impl FnOnce(&mut Output)) -> String {
    let mut out = Output::default();
    write(&mut out);
    let date = format!("date: {}\r\n", std::str::from_utf8(DATE).unwrap());
    String::from_utf8(out.take()).unwrap().replace(&date, "date: …\r\n")
}

fn whole_as(asked: Asked, response: &Response) -> String {
    let mut asked = asked;
    written(|out| whole(out, response, &mut asked, DATE))
}

/// Writes an answer in two pieces with an empty one between.
fn streamed_as(asked: Asked, response: &Response) -> String {
    let mut asked = asked;
    written(|out| {
        stream_head(out, response, &mut asked, DATE);
        for piece in ["one", "", "0123456789abcdef"] {
            chunk(out, &Bytes::from(piece), asked);
        }
        last_chunk(out, asked);
    })
}

#[test]
fn an_answer_has_status_date_and_length() {
    assert_eq!(whole_as(HTTP_11, &answer(200, "body")), "HTTP/1.1 200 OK\r\ndate: …\r\ncontent-length: 4\r\n\r\nbody");
    assert_eq!(whole_as(HTTP_11, &answer(404, "")), "HTTP/1.1 404 Not Found\r\ndate: …\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn a_status_without_a_name_keeps_the_space_before_it() {
    assert!(whole_as(HTTP_11, &answer(299, "")).starts_with("HTTP/1.1 299 \r\n"));
}

#[test]
fn the_connection_header_says_what_the_version_does_not() {
    let last = |asked: Asked| Asked { keep_alive: false, ..asked };
    for (asked, line) in [
        (HTTP_11, ""),
        (HTTP_10, "connection: keep-alive\r\n"),
        (last(HTTP_11), "connection: close\r\n"),
        (last(HTTP_10), "connection: close\r\n"),
    ] {
        let expected = format!("HTTP/1.1 200 OK\r\ndate: …\r\ncontent-length: 4\r\n{line}\r\nbody");
        assert_eq!(whole_as(asked, &answer(200, "body")), expected);
    }
}

#[test]
fn head_has_the_length_of_the_body_that_it_does_not_have() {
    assert_eq!(whole_as(HEAD, &answer(200, "body")), "HTTP/1.1 200 OK\r\ndate: …\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(streamed_as(HEAD, &answer(200, "")), "HTTP/1.1 200 OK\r\ndate: …\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn statuses_without_a_body_have_neither_body_nor_length() {
    for (status, head) in [
        (204, "HTTP/1.1 204 No Content\r\ndate: …\r\n\r\n"),
        (304, "HTTP/1.1 304 Not Modified\r\ndate: …\r\n\r\n"),
        (205, "HTTP/1.1 205 Reset Content\r\ndate: …\r\ncontent-length: 0\r\n\r\n"),
    ] {
        assert_eq!(whole_as(HTTP_11, &answer(status, "body")), head);
        assert_eq!(whole_as(HEAD, &answer(status, "body")), head);
        assert_eq!(streamed_as(HTTP_11, &answer(status, "")), head);
    }
}

#[test]
fn an_interim_status_is_no_answer_so_it_becomes_500() {
    let expected = "HTTP/1.1 500 Internal Server Error\r\ndate: …\r\ncontent-length: 4\r\n\r\nbody";
    for status in [100, 101, 103, 199] {
        assert_eq!(whole_as(HTTP_11, &answer(status, "body")), expected);
        let streamed = streamed_as(HTTP_11, &answer(status, ""));
        assert!(streamed.starts_with("HTTP/1.1 500 Internal Server Error\r\n") && streamed.ends_with("\r\n0\r\n\r\n"));
    }
}

#[test]
fn headers_of_the_stage_are_sent_as_they_are() {
    let mut response = answer(200, "");
    for value in ["a", "b", ""] {
        response.headers_mut().append("x-many", HeaderValue::from_static(value));
    }
    response.headers_mut().append("x-bytes", HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap());
    assert_eq!(
        whole_as(HTTP_11, &response),
        "HTTP/1.1 200 OK\r\nx-many: a\r\nx-many: b\r\nx-many: \r\nx-bytes: café\r\ndate: …\r\ncontent-length: 0\r\n\r\n"
    );
}

#[test]
fn a_date_of_the_stage_stays_the_only_one() {
    let mut response = answer(200, "");
    response.headers_mut().insert(header::DATE, HeaderValue::from_static("Fri, 02 Jan 1970 00:00:00 GMT"));
    let expected = "HTTP/1.1 200 OK\r\ndate: Fri, 02 Jan 1970 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(whole_as(HTTP_11, &response), expected);
}

#[test]
fn what_a_stage_says_of_framing_is_left_out_and_a_close_is_heeded() {
    let mut response = answer(200, "body");
    for (name, value) in [
        ("content-length", "99"),
        ("transfer-encoding", "gzip, chunked"),
        ("connection", "upgrade"),
        ("connection", "close"),
    ] {
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    let closing = Asked { keep_alive: false, ..HTTP_11 };
    assert_eq!(whole_as(HTTP_11, &response), whole_as(closing, &answer(200, "body")));
    assert_eq!(streamed_as(HTTP_11, &response), streamed_as(closing, &answer(200, "")));
}

#[test]
fn a_streamed_body_goes_in_chunks_to_1_1_and_plain_to_1_0() {
    assert_eq!(
        streamed_as(HTTP_11, &answer(200, "")),
        "HTTP/1.1 200 OK\r\ndate: …\r\ntransfer-encoding: chunked\r\n\r\n\
         3\r\none\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
    );
    assert_eq!(
        streamed_as(Asked { keep_alive: false, ..HTTP_10 }, &answer(200, "")),
        "HTTP/1.1 200 OK\r\ndate: …\r\nconnection: close\r\n\r\none0123456789abcdef"
    );
}

#[test]
fn a_refusal_says_why() {
    let refusal = Reject::bad("a line ends without CR");
    assert_eq!(
        written(|out| reject(out, refusal, &mut Asked { keep_alive: false, ..HTTP_11 }, DATE)),
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ndate: …\r\ncontent-length: 23\r\n\
         connection: close\r\n\r\na line ends without CR\n"
    );
}
