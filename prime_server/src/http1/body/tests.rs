//! Where a body ends, what is in it, and which are none.

use super::*;

const LIMITS: fn() -> Limits = || Limits { body: 20, head: 40, ..Limits::default() };

/// Reads a body whole, then in two pieces cut at every place, then byte by byte: all must give the same. Gives the body and
/// what follows it, or the status that it is refused with.
fn read(framing: Framing, input: &[u8]) -> Result<(String, String), u16> {
    let whole = read_pieces(framing, &[input]);
    for cut in 0..=input.len() {
        assert_eq!(read_pieces(framing, &[&input[..cut], &input[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(read_pieces(framing, &input.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    whole
}

fn read_pieces(framing: Framing, pieces: &[&[u8]]) -> Result<(String, String), u16> {
    let limits = LIMITS();
    let mut reader = BodyReader::new(framing, &limits).map_err(|reject| reject.status.as_u16())?;
    let mut rest = Vec::new();
    for piece in pieces {
        let taken = reader.read(piece, &limits).map_err(|reject| reject.status.as_u16())?;
        assert!(reader.held() <= limits.body + limits.head.max(MAX_CHUNK_LINE));
        rest.extend_from_slice(&piece[taken..]);
    }
    assert!(reader.is_done(), "the body should have come to its end");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok((text(&reader.finish()), text(&rest)))
}

fn chunked(input: impl AsRef<[u8]>) -> Result<(String, String), u16> {
    read(Framing::Chunked, input.as_ref())
}

fn body(text: &str) -> Result<(String, String), u16> {
    Ok((text.to_owned(), String::new()))
}

#[test]
fn a_body_of_a_given_length_ends_there() {
    assert_eq!(read(Framing::Length(4), b"bodyGET"), Ok(("body".to_owned(), "GET".to_owned())));
    assert_eq!(read(Framing::Length(1), b"\n"), body("\n"));
}

#[test]
fn a_body_of_length_0_is_there_at_once() {
    let reader = BodyReader::new(Framing::Length(0), &LIMITS()).unwrap();
    assert!(reader.is_done());
    assert_eq!(reader.finish(), Bytes::new());
}

#[test]
fn a_length_over_the_limit_is_413_before_any_of_it_is_read() {
    assert!(BodyReader::new(Framing::Length(20), &LIMITS()).is_ok());
    for length in [21, u64::from(u32::MAX) + 21, u64::MAX] {
        assert_eq!(BodyReader::new(Framing::Length(length), &LIMITS()).unwrap_err().status, 413);
    }
}

#[test]
fn chunks_make_a_body() {
    assert_eq!(chunked("0\r\n\r\n"), body(""));
    assert_eq!(chunked("4\r\nbody\r\n0\r\n\r\nGET"), Ok(("body".to_owned(), "GET".to_owned())));
    assert_eq!(chunked("1\r\na\r\n1\r\nb\r\nA\r\n0123456789\r\n0\r\n\r\n"), body("ab0123456789"));
    assert_eq!(chunked("2\r\n\r\n\r\n0\r\n\r\n"), body("\r\n"), "data may look like an end");
}

#[test]
fn chunk_sizes_are_hexadecimal_in_either_case() {
    assert_eq!(chunked("a\r\n0123456789\r\n0\r\n\r\n"), body("0123456789"));
    assert_eq!(chunked("B\r\n0123456789a\r\n00\r\n\r\n"), body("0123456789a"));
}

#[test]
fn chunk_sizes_may_have_leading_zeros_up_to_16_digits() {
    assert_eq!(chunked("0000000000000001\r\na\r\n0000000000000000\r\n\r\n"), body("a"));
    assert_eq!(chunked("00000000000000001\r\na\r\n0\r\n\r\n"), Err(400));
}

#[test]
fn malformed_chunk_sizes_are_refused() {
    for line in [
        "",
        " ",
        ";",
        ";a=b",
        "g",
        "x1",
        "0x1",
        "+1",
        "-1",
        "1 ",
        "1\t",
        " 1",
        "1 1",
        "1x;a",
        "1 x;a",
        "1,",
        "1;\0",
        "1;a\x7f",
        "1\x0b;a",
        "1;a\rb",
        "1\r",
        "\r1",
        "fffffffffffffffff",
        "10000000000000000",
    ] {
        assert_eq!(chunked(format!("{line}\r\na\r\n0\r\n\r\n")), Err(400), "{line:?}");
    }
    assert_eq!(chunked(b"1\xe9\r\na\r\n0\r\n\r\n"), Err(400));
    for no_digits in ["", ";", ";a", " ;a"] {
        assert_eq!(chunked(format!("{no_digits}\r\n\r\n")), Err(400), "{no_digits:?} is not 0");
    }
}

#[test]
fn a_bare_line_feed_ends_no_line() {
    for input in ["1\na\r\n0\r\n\r\n", "\n", "1\r\na\n0\r\n\r\n", "0\n\r\n", "0\r\n\n", "0\r\nA: b\n\r\n"] {
        assert_eq!(chunked(input), Err(400), "{input:?}");
    }
}

#[test]
fn chunk_extensions_are_read_over() {
    assert_eq!(chunked("1;a\r\nx\r\n0;b=c;d=\"e f\"\r\n\r\n"), body("x"));
    assert_eq!(chunked("1 \t; a = b\r\nx\r\n0\t;a\r\n\r\n"), body("x"), "white space may come before them");
    for extensions in [";a;b", " ; a ; b = c ;d", ";a=\"\"", ";a=\";b=\";c", ";a=\"\\\"\\\\\"", ";a=\"\t\u{e9}\""] {
        assert_eq!(chunked(format!("1{extensions}\r\nx\r\n0\r\n\r\n")), body("x"), "{extensions:?}");
    }
    for malformed in [
        ";",
        ";a;",
        ";;a",
        ";=a",
        ";a=",
        ";a=;b",
        ";a =",
        ";a b",
        ";a ",
        ";a=\"",
        ";a=\"\\\"",
        ";a=\"b\"c",
        ";a=\"\x7f\"",
        ";a=\"\\\0\"",
    ] {
        assert_eq!(chunked(format!("1{malformed}\r\nx\r\n0\r\n\r\n")), Err(400), "{malformed:?}");
    }
}

#[test]
fn a_chunk_size_line_over_the_limit_is_refused_before_its_end() {
    let line = |length: usize| format!("1;{}\r\n", "a".repeat(length - 4));
    assert_eq!(chunked(format!("{}x\r\n0\r\n\r\n", line(MAX_CHUNK_LINE))), body("x"));
    assert_eq!(chunked(format!("{}x\r\n0\r\n\r\n", line(MAX_CHUNK_LINE + 1))), Err(400));
    assert_eq!(chunked("0".repeat(MAX_CHUNK_LINE + 1)), Err(400));
}

#[test]
fn a_chunk_ends_where_its_size_says() {
    for input in
        ["1\r\nab\r\n0\r\n\r\n", "3\r\nab\r\n0\r\n\r\n", "2\r\nab0\r\n\r\n", "1\r\na\rb", "1\r\na\r\r\n", "1\r\na\n"]
    {
        assert_eq!(chunked(input), Err(400), "{input:?}");
    }
}

#[test]
fn chunks_over_the_limit_are_413_by_their_size() {
    assert_eq!(chunked("14\r\n0123456789abcdefghij\r\n0\r\n\r\n"), body("0123456789abcdefghij"));
    for input in ["15\r\n", "1\r\na\r\n14\r\n", "ffffffffffffffff\r\n", "14\r\n0123456789abcdefghij\r\n1\r\n"] {
        assert_eq!(chunked(input), Err(413), "{input:?}");
    }
}

#[test]
fn trailers_are_read_over() {
    assert_eq!(chunked("1\r\na\r\n0\r\nA: b\r\nC:\t\u{e9}\r\n\r\n"), body("a"));
    assert_eq!(chunked("0\r\nContent-Length: 9\r\n\r\nGET"), Ok((String::new(), "GET".to_owned())));
}

#[test]
fn malformed_trailers_are_refused() {
    for line in [
        "A",
        ":",
        ": b",
        "A : b",
        "A b: c",
        " A: b",
        "A: b\r\n c",
        "A: \0",
        "A: \x7f",
        "A: b\rc",
        "\rA: b",
        "\u{e9}: b",
    ] {
        assert_eq!(chunked(format!("0\r\n{line}\r\n\r\n")), Err(400), "{line:?}");
    }
}

#[test]
fn trailers_over_the_limit_of_a_head_are_431() {
    let trailers =
        |length: usize| format!("0\r\nA: {}\r\nC: d\r\n\r\n", "b".repeat(length - "A: \r\nC: d\r\n\r\n".len()));
    assert_eq!(chunked(trailers(40)), body(""), "the empty line counts");
    assert_eq!(chunked(trailers(41)), Err(431));
    assert_eq!(chunked(format!("0\r\n{}", "a".repeat(41))), Err(431), "before the line's end is there");
}

#[test]
fn what_is_held_is_the_data_and_the_unfinished_line() {
    let limits = LIMITS();
    let mut reader = BodyReader::new(Framing::Chunked, &limits).unwrap();
    for (input, held) in
        [("4;abc", 5), ("\r\n", 0), ("bo", 2), ("dy\r\n", 4), ("0\r\n", 4), ("A: b", 8), ("\r\n\r\n", 4)]
    {
        assert_eq!(reader.read(input.as_bytes(), &limits).unwrap(), input.len());
        assert_eq!(reader.held(), held, "after {input:?}");
    }
}

#[test]
fn a_body_takes_up_little_more_than_has_come_of_it() {
    let mut reader = BodyReader::new(Framing::Length(1 << 20), &Limits::default()).unwrap();
    for came in (0..1 << 20).step_by(1000) {
        let capacity = reader.collected.capacity();
        assert!(capacity <= came + came / 4 + LEAST_ROOM, "{capacity} for {came}");
        reader.read(&[b'x'; 1000][..1000.min((1 << 20) - came)], &Limits::default()).unwrap();
    }
    assert!(reader.is_done());
    assert_eq!(reader.collected.capacity(), 1 << 20);
}
