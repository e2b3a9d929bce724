//! Which heads are requests, what they say, and what the others are answered.

use super::*;

/// Scans and parses bytes that hold a whole head. Cut in two anywhere, they must come to the same.
fn read(head: impl AsRef<[u8]>, limits: &Limits) -> Result<Parsed, Reject> {
    let head = head.as_ref();
    let whole = HeadScan::default().find_end(head, limits);
    for cut in 0..head.len() {
        let mut scan = HeadScan::default();
        let first = scan.find_end(&head[..cut], limits);
        let end = if first == Ok(None) { scan.find_end(head, limits) } else { first };
        assert_eq!(end, whole, "cut at {cut}");
    }
    parse(&head[..whole?.expect("the head is whole")], limits)
}

fn parsed(head: impl AsRef<[u8]>) -> Parsed {
    read(head, &Limits::default()).expect("the head is a request's")
}

/// The status that a head is refused with; 200 if it is not.
fn status(head: impl AsRef<[u8]>) -> u16 {
    read(head, &Limits::default()).map_or_else(|reject| reject.status.as_u16(), |_| 200)
}

/// A request with that line among its headers.
fn with_header(line: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: h\r\n", line.as_ref(), b"\r\n\r\n"].concat()
}

fn with_target(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn with_host(line: &str) -> String {
    format!("GET / HTTP/1.1\r\n{line}\r\n")
}

#[test]
fn a_head_says_method_target_version_and_headers() {
    let head = parsed("PUT /a%20b?c=d HTTP/1.0\r\nX-One:  1\t \r\nX-Two: a\r\nx-two: \r\n\r\n").head;
    assert_eq!((head.method(), head.target(), head.version()), (&Method::PUT, "/a%20b?c=d", Version::HTTP_10));
    assert_eq!(head.header("x-one"), Some("1"), "the white space around a value is no part of it");
    assert_eq!(head.headers().get_all("X-TWO").iter().collect::<Vec<_>>(), ["a", ""]);
    assert_eq!(head.headers().len(), 3);
}

#[test]
fn a_header_value_may_hold_tabs_and_bytes_above_ascii() {
    let head = parsed(with_header(b"X: a\tb \xff\xe9")).head;
    assert_eq!(head.headers()["x"].as_bytes(), b"a\tb \xff\xe9");
}

#[test]
fn request_lines_and_their_status() {
    for (line, expected) in [
        ("GET / HTTP/1.1", 200),
        ("GET / HTTP/1.0", 200),
        ("PATCH / HTTP/1.1", 200),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET / b HTTP/1.1", 400),
        ("GET /", 400),
        ("GET / ", 400),
        ("GET", 400),
        ("GET /\0 HTTP/1.1", 400),
        // Methods: case counts, and what is no token is no method.
        ("get / HTTP/1.1", 501),
        ("BREW / HTTP/1.1", 501),
        ("GETS / HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 501),
        ("CONNECT host:443 HTTP/1.1", 501),
        ("G(T / HTTP/1.1", 400),
        ("G\u{e9}T / HTTP/1.1", 400),
        // Versions.
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET / HTTP/2", 400),
        ("GET / HTTP/1.", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/1.25", 400),
        ("GET / HTTP/11.1", 400),
        ("GET / HTTP/1,1", 400),
        ("GET / HTTP/1.x", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTPS/1.1", 400),
        ("GET / HTTP/1.2 x", 400),
        ("GET / HTTP/2.0 x", 400),
        ("GET / x HTTP/1.1", 400),
    ] {
        assert_eq!(status(format!("{line}\r\nHost: h\r\n\r\n")), expected, "{line:?}");
    }
}

#[test]
fn a_later_minor_version_is_read_as_1_1() {
    for minor in 2..=9 {
        let head =
            format!("GET /a HTTP/1.{minor}\r\nHost: h\r\nA: HTTP/1.{minor}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let Parsed { head, framing, keep_alive, .. } = parsed(head);
        assert_eq!((head.target(), head.version(), keep_alive), ("/a", Version::HTTP_11, true));
        assert_eq!((head.header("a").unwrap(), framing), (&*format!("HTTP/1.{minor}"), Framing::Chunked));
        assert_eq!(status(format!("GET / HTTP/1.{minor}\r\n\r\n")), 400, "as in 1.1, Host must be there");
    }
}

#[test]
fn request_targets_and_their_status() {
    for (target, expected) in [
        ("/", 200),
        ("//", 200),
        ("/a/../b;c=d|{}^\\?e=%zz&f=|{}^`\\", 200),
        ("http://h", 200),
        ("HTTPS://h:8443/a?b", 200),
        ("http://h:/a", 200),
        ("http://[::1]:80/", 200),
        ("http://h?a", 200),
        // No fragment, no bytes that a URL must encode.
        ("/a#b", 400),
        ("/a`b", 400),
        ("/a<b", 400),
        ("/a?b>c", 400),
        ("/a?b\"c", 400),
        ("#", 400),
        ("http://h/#b", 400),
        ("/\u{e9}", 400),
        ("/\x7f", 400),
        ("/\x01", 400),
        // Neither a path nor an http URL.
        ("a", 400),
        ("?a", 400),
        ("h:80", 400),
        ("*", 400),
        ("ftp://h/", 400),
        ("file:///a", 400),
        ("javascript:http://h/", 400),
        // An http URL has a host and no user (RFC 9110, 4.2.1 and 4.2.4).
        ("http:/a", 400),
        ("http://", 400),
        ("http:///a", 400),
        ("http://?a", 400),
        ("http://:80/", 400),
        ("http://h:80a/", 400),
        ("http://user@h/", 400),
        ("http://user:pass@h/", 400),
        ("http://[::1/", 400),
        ("http://[]/", 400),
        ("http://[::1]a/", 400),
        ("http://h\\/", 400),
    ] {
        assert_eq!(status(with_target("GET", target)), expected, "{target:?}");
    }
    assert_eq!(status(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"), 400, "not even UTF-8");
}

#[test]
fn the_asterisk_is_a_target_of_options_only() {
    let head = parsed(with_target("OPTIONS", "*")).head;
    assert_eq!((head.target(), head.path(), head.query_string()), ("*", "*", None));
    for (method, target) in [("GET", "*"), ("POST", "*"), ("OPTIONS", "**"), ("OPTIONS", "*?a")] {
        assert_eq!(status(with_target(method, target)), 400, "{method} {target}");
    }
}

#[test]
fn an_absolute_target_has_the_path_of_its_url() {
    for (target, path, query) in [
        ("http://h", "/", None),
        ("http://h/", "/", None),
        ("http://h:80/a/b?c=/d?", "/a/b", Some("c=/d?")),
        ("HTTP://h?c", "/", Some("c")),
        ("/a?http://h/b", "/a", Some("http://h/b")),
    ] {
        let head = parsed(with_target("GET", target)).head;
        assert_eq!((head.target(), head.path(), head.query_string()), (target, path, query));
    }
}

#[test]
fn host_is_there_once_and_names_a_host() {
    for (lines, expected) in [
        ("Host: h\r\n", 200),
        ("hOST:h:80\r\n", 200),
        ("Host: h:\r\n", 200),
        ("Host: [2001:db8::1]:80\r\n", 200),
        ("Host: a-b_c.~%41!$&'()*+,;=\r\n", 200),
        ("", 400),
        ("Host: h\r\nHost: h\r\n", 400),
        ("Host: h\r\nA: b\r\nhost: i\r\n", 400),
        ("Host:\r\n", 400),
        ("Host: \t \r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: a, b\r\n", 400),
        ("Host: :80\r\n", 400),
        ("Host: h:port\r\n", 400),
        ("Host: h:+80\r\n", 400),
        ("Host: user@h\r\n", 400),
        ("Host: h/path\r\n", 400),
        ("Host: http://h\r\n", 400),
        ("Host: ::1\r\n", 400),
        ("Host: [::1\r\n", 400),
        ("Host: [::1]]\r\n", 400),
        ("Host: \u{e9}\r\n", 400),
        ("Host: h\"\r\n", 400),
    ] {
        assert_eq!(status(with_host(lines)), expected, "{lines:?}");
    }
}

#[test]
fn http_1_0_may_leave_host_out_but_not_double_it() {
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(status("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\nHost:\r\n\r\n"), 400);
}

#[test]
fn header_lines_and_their_status() {
    for (line, expected) in [
        (&b"A:"[..], 200),
        (b"A:b:c", 200),
        (b"!#$%&'*+-.^_`|~09azAZ: every character of a token", 200),
        // Names.
        (b"A : b", 400),
        (b"A\t: b", 400),
        (b": b", 400),
        (b"A", 400),
        (b"A b: c", 400),
        (b"A(: b", 400),
        (b"A\0: b", 400),
        (b"\xc3\xa9: b", 400),
        // A folded line, also as the first (RFC 9112, 5.2), and white space before the first (2.2).
        (b"A: b\r\n c", 400),
        (b"A: b\r\n\tc", 400),
        (b"A: b\r\n \r\nC: d", 400),
        // Values.
        (b"A: b\0c", 400),
        (b"A: \x01", 400),
        (b"A: b\x0bc", 400),
        (b"A: b\x1b[0m", 400),
        (b"A: \x7f", 400),
        // Ends of lines.
        (b"A: b\nC: d", 400),
        (b"A: b\n", 400),
        (b"\nA: b", 400),
        (b"A: b\rc", 400),
        (b"A: b\r\r", 400),
        (b"A: b\rC: d", 400),
        (b"\rA: b", 400),
        (b"A\r: b", 400),
        (b"A:\r b", 400),
    ] {
        assert_eq!(status(with_header(line)), expected, "{:?}", line.escape_ascii().to_string());
    }
    assert_eq!(status("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400, "folded into the request line");
    assert_eq!(status("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\nHost: h\r\n\r\n"), 400);
    assert_eq!(status("\r\r\r\n\r\n"), 400);
}

#[test]
fn the_length_of_the_body_is_told_in_one_way_only() {
    use Framing::{Chunked, Length};
    for (lines, expected) in [
        ("A: b", Ok(Length(0))),
        ("Content-Length: 0", Ok(Length(0))),
        ("CONTENT-LENGTH:\t5 ", Ok(Length(5))),
        ("Content-Length: 007", Ok(Length(7))),
        ("Content-Length: 18446744073709551615", Ok(Length(u64::MAX))),
        ("Content-Length: 18446744073709551616", Err(400)),
        ("Content-Length: 99999999999999999999999999", Err(400)),
        ("Content-Length:", Err(400)),
        ("Content-Length: +5", Err(400)),
        ("Content-Length: -1", Err(400)),
        ("Content-Length:  5 x", Err(400)),
        ("Content-Length: 5 5", Err(400)),
        ("Content-Length: 5, 5", Err(400)),
        ("Content-Length: 5,", Err(400)),
        ("Content-Length: 0x5", Err(400)),
        ("Content-Length: 5.0", Err(400)),
        ("Content-Length: \u{665}", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 5", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 6", Err(400)),
        ("Content-Length: 0\r\nContent-Length: 0", Err(400)),
        ("Transfer-Encoding: chunked", Ok(Chunked)),
        ("transfer-encoding:\tChunKed ", Ok(Chunked)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", Err(400)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Err(400)),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", Err(400)),
        // RFC 9112, 6.3: without chunked at the end the length cannot be known.
        ("Transfer-Encoding:", Err(400)),
        ("Transfer-Encoding: gzip", Err(400)),
        ("Transfer-Encoding: identity", Err(400)),
        ("Transfer-Encoding: xchunked", Err(400)),
        ("Transfer-Encoding: chunkedx", Err(400)),
        ("Transfer-Encoding: \"chunked\"", Err(400)),
        ("Transfer-Encoding: chunked;q=1", Err(400)),
        ("Transfer-Encoding: chunked, gzip", Err(400)),
        ("Transfer-Encoding: chunked,", Err(400)),
        ("Transfer-Encoding: ,chunked", Err(400)),
        ("Transfer-Encoding: chunked, chunked", Err(400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", Err(400)),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", Err(400)),
        // RFC 9112, 6.1: a coding that is not known.
        ("Transfer-Encoding: gzip, chunked", Err(400)),
        ("Transfer-Encoding: identity,CHUNKED", Err(400)),
    ] {
        let read = read(with_header(lines), &Limits::default());
        assert_eq!(read.map(|it| it.framing).map_err(|it| it.status.as_u16()), expected, "{lines:?}");
    }
    let under_1_0 = |line: &str| status(format!("POST / HTTP/1.0\r\n{line}\r\n\r\n"));
    assert_eq!(under_1_0("Content-Length: 5"), 200);
    assert_eq!(under_1_0("Transfer-Encoding: chunked"), 400, "RFC 9112, 6.1: faulty under HTTP/1.0");
    assert_eq!(under_1_0("Transfer-Encoding: gzip, chunked"), 400);
}

#[test]
fn the_connection_goes_on_as_version_and_options_say() {
    for (version, lines, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection:CLOSE\r\n", false),
        ("1.1", "Connection: upgrade, Close\r\n", false),
        ("1.1", "Connection: a,\tclose\t,b\r\n", false),
        ("1.1", "Connection: a\r\nConnection: close\r\n", false),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.1", "Connection: closed, not-close, clos e\r\n", true),
        ("1.1", "X-Connection: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: a, KEEP-ALIVE ,b\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: close, keep-alive\r\n", false),
        ("1.0", "Connection: keep-alives\r\n", false),
        ("1.0", "Keep-Alive: timeout=5\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
        assert_eq!(parsed(head).keep_alive, expected, "{version} {lines:?}");
    }
}

#[test]
fn only_100_continue_can_be_expected_and_not_under_1_0() {
    assert!(parsed(with_header("Expect: 100-continue")).expects_continue);
    assert!(parsed(with_header("EXPECT: 100-Continue")).expects_continue);
    assert!(!parsed(with_header("A: 100-continue")).expects_continue);
    assert!(!parsed("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue);
    for value in ["", "200-ok", "100-continue, more", "100-continue;a=b"] {
        assert_eq!(status(with_header(format!("Expect: {value}"))), 417, "{value:?}");
    }
}

#[test]
fn a_target_over_the_limit_is_414() {
    let limits = Limits { target: 10, head: 200, ..Limits::default() };
    let status = |head: String| read(head, &limits).map_or_else(|it| it.status.as_u16(), |_| 200);
    assert_eq!(status(with_target("GET", "/23456789a")), 200);
    assert_eq!(status(with_target("GET", "/23456789ab")), 414);
    assert_eq!(status(with_target("GET", &"/".repeat(300))), 414, "also if the head is too large for it");
    assert_eq!(status(with_target("OPTIONS", "/23456789a").replace("Host", &"a".repeat(200))), 431);
    assert_eq!(status(with_target("GET", "/23456789ab").replace("Host", &"a".repeat(200))), 414);
}

#[test]
fn a_head_over_the_limit_is_431_before_its_end_is_there() {
    let head = with_target("GET", "/");
    let exactly = Limits { head: head.len(), ..Limits::default() };
    let short = Limits { head: head.len() - 1, ..Limits::default() };
    assert!(read(&head, &exactly).is_ok());
    assert_eq!(read(&head, &short).unwrap_err().status, 431);
    let beginning = &head.as_bytes()[..head.len() - 1];
    assert_eq!(HeadScan::default().find_end(beginning, &exactly).unwrap(), None);
    let tiny = Limits { head: head.len() - 2, ..Limits::default() };
    assert_eq!(HeadScan::default().find_end(beginning, &tiny).unwrap_err().status, 431);
}

#[test]
fn more_headers_than_the_limit_are_431() {
    let head = |others: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(others));
    assert_eq!(parsed(head(99)).head.headers().len(), 100);
    assert_eq!(status(head(100)), 431);
}

#[test]
fn the_end_of_a_head_is_found_in_whatever_pieces_it_comes() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let input = format!("{head}POST");
    let limits = Limits::default();
    for first in 0..head.len() {
        let mut scan = HeadScan::default();
        assert_eq!(scan.find_end(&input.as_bytes()[..first], &limits).unwrap(), None, "after {first}");
        assert_eq!(scan.find_end(input.as_bytes(), &limits).unwrap(), Some(head.len()), "after {first}");
    }
}

#[test]
fn what_was_scanned_is_not_scanned_again() {
    let mut scan = HeadScan::default();
    scan.find_end(b"GET / HTTP/1.1\r\n", &Limits::default()).unwrap();
    assert_eq!(scan.scanned, 16);
    // A line end that was not there the first time would be seen by a second look only.
    assert_eq!(scan.find_end(b"GET\n/ HTTP/1.1\r\nHost", &Limits::default()).unwrap(), None);
    assert_eq!(scan.scanned, 20);
}

#[test]
fn a_bare_line_feed_is_refused_before_the_head_is_whole() {
    for input in ["\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\n\n", "GET / HTTP/1.1\r\nHost: h\n"] {
        assert_eq!(HeadScan::default().find_end(input.as_bytes(), &Limits::default()).unwrap_err().status, 400);
    }
}

#[test]
fn one_empty_line_before_a_head_is_read_over() {
    let limits = Limits::default();
    let mut scan = HeadScan::default();
    assert!(!scan.skips_blank(b"\r"));
    assert_eq!(scan.find_end(b"\r", &limits).unwrap(), None);
    assert!(scan.skips_blank(b"\r\nG"));
    assert!(!scan.skips_blank(b"\r\nG"));
    assert_eq!(scan.find_end(b"\r\nG", &limits).unwrap_err().status, 400);
}

#[test]
fn a_head_after_an_empty_line_is_looked_at_from_its_first_byte_on() {
    let limits = Limits::default();
    let mut scan = HeadScan::default();
    assert_eq!(scan.find_end(b"\r", &limits).unwrap(), None);
    assert!(scan.skips_blank(b"\r\n\n"));
    assert_eq!(scan.find_end(b"\n", &limits).unwrap_err().status, 400);
}

#[test]
fn what_cannot_begin_a_request_is_refused_by_its_first_byte() {
    for byte in 0..=u8::MAX {
        let begins = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~\r".contains(&byte);
        assert_eq!(HeadScan::default().find_end(&[byte], &Limits::default()).is_ok(), begins, "{byte}");
    }
}
