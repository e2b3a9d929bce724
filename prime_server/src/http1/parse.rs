//! From bytes to a request head, strictly: what two readers could take for different requests is refused.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::limits::{Limits, MAX_HEADERS};
use super::{Reject, body::Framing};
use crate::request::Head;

/// A whole head.
#[derive(Debug)]
pub(super) struct Parsed {
    /// Bytes that it took.
    pub(super) consumed: usize,
    pub(super) head: Head,
    pub(super) framing: Framing,
    /// The client lets the connection go on after the answer (RFC 9112, 9.3).
    pub(super) keep_alive: bool,
    /// The client waits for a 100 before it sends the body (RFC 9110, 10.1.1).
    pub(super) expects_continue: bool,
}

/// Looks for the end of a head in bytes that come piece by piece.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    scanned: usize,
}

impl HeadScan {
    /// The length of the head at the front of `input`, once all of it is there. `input` begins where it began last time.
    ///
    /// Bare LF is refused as soon as it is seen, since the parser below would take it for a line's end.
    pub(super) fn find_end(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Reject> {
        for newline in memchr::memchr_iter(b'\n', &input[self.scanned..]).map(|at| self.scanned + at) {
            if newline == 0 || input[newline - 1] != b'\r' {
                return Err(Reject::bad("a line ends without CR"));
            }
            if input[..=newline].ends_with(b"\r\n\r\n") {
                let end = newline + 1;
                return if end > limits.head { Err(too_large(input, limits)) } else { Ok(Some(end)) };
            }
        }
        if input.len() > limits.head {
            return Err(too_large(input, limits));
        }
        self.scanned = input.len();
        Ok(None)
    }
}

fn too_large(input: &[u8], limits: &Limits) -> Reject {
    let line = memchr::memchr(b'\n', input).unwrap_or(input.len());
    if line > limits.target + "OPTIONS  HTTP/1.1\r".len() { TARGET_TOO_LONG } else { HEAD_TOO_LARGE }
}

const TARGET_TOO_LONG: Reject = Reject::new(StatusCode::URI_TOO_LONG, "the request target is too long");
const HEAD_TOO_LARGE: Reject =
    Reject::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head is too large");

/// Parses a head that [`HeadScan`] found, its empty line included.
pub(super) fn parse(head: &[u8], limits: &Limits) -> Result<Parsed, Reject> {
    // Each LF follows a CR, so equal counts mean that each CR precedes an LF.
    if memchr::memchr_iter(b'\r', head).count() != memchr::memchr_iter(b'\n', head).count() {
        return Err(Reject::bad("a CR stands alone"));
    }
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Reject::bad("the request's head is malformed")),
        Err(error) => return Err(refuse(error, head)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Reject::bad("the request line is incomplete"));
    };
    if target.len() > limits.target {
        return Err(TARGET_TOO_LONG);
    }
    let method = known_method(method)?;
    check_target(&method, target)?;
    let version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let facts = Facts::of(request.headers, version)?;
    let first_header = memchr::memchr(b'\n', head).map_or(0, |newline| newline + 1);
    let lines = Bytes::copy_from_slice(&head[first_header..]);
    Ok(Parsed {
        consumed: head.len(),
        framing: facts.framing()?,
        keep_alive: facts.keep_alive(),
        expects_continue: facts.expects_continue && version == Version::HTTP_11,
        head: Head::from_wire(method, target, version, lines),
    })
}

fn refuse(error: httparse::Error, head: &[u8]) -> Reject {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => HEAD_TOO_LARGE,
        Error::Version if names_a_version(head) => {
            Reject::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 and HTTP/1.1 are spoken here")
        }
        Error::HeaderName => Reject::bad("a header's name is malformed"),
        Error::HeaderValue => Reject::bad("a header's value has a control character"),
        _ => Reject::bad("the request line is malformed"),
    }
}

/// Whether the request line ends with `HTTP/` digit `.` digit.
fn names_a_version(head: &[u8]) -> bool {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// RFC 9110, 9.1: a method that is not recognised is answered 501. CONNECT and TRACE make no sense here.
fn known_method(method: &str) -> Result<Method, Reject> {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    match Method::from_bytes(method.as_bytes()) {
        Ok(parsed) if known.contains(&method) => Ok(parsed),
        Ok(_) => Err(Reject::new(StatusCode::NOT_IMPLEMENTED, "the method is not known here")),
        Err(_) => Err(Reject::bad("the method is malformed")),
    }
}

/// RFC 9112, 3.2: origin form, absolute form of the http schemes, or `*` for OPTIONS. A target has no fragment.
fn check_target(method: &Method, target: &str) -> Result<(), Reject> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Reject::bad("the request target has a character that must be percent-encoded"));
    }
    let absolute = || {
        let (scheme, rest) = target.split_once("://")?;
        let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        (http && !rest.is_empty() && !rest.starts_with(['/', '?'])).then_some(())
    };
    match target {
        "*" if *method == Method::OPTIONS => Ok(()),
        _ if target.starts_with('/') || absolute().is_some() => Ok(()),
        _ => Err(Reject::bad("the request target is neither a path nor an http URL")),
    }
}

/// What the headers say about the message itself.
#[derive(Debug)]
struct Facts {
    version: Version,
    content_length: Option<u64>,
    chunked: bool,
    hosts: usize,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Facts {
    fn of(headers: &[httparse::Header<'_>], version: Version) -> Result<Self, Reject> {
        let mut facts = Self {
            version,
            content_length: None,
            chunked: false,
            hosts: 0,
            close: false,
            keep_alive: false,
            expects_continue: false,
        };
        for header in headers {
            // The lengths alone rule out most names, so this costs a request with few of them nothing.
            match header.name.len() {
                4 if header.name.eq_ignore_ascii_case("host") => facts.host(header.value)?,
                6 if header.name.eq_ignore_ascii_case("expect") => facts.expect(header.value)?,
                10 if header.name.eq_ignore_ascii_case("connection") => facts.connection(header.value),
                14 if header.name.eq_ignore_ascii_case("content-length") => facts.length(header.value)?,
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => facts.transfer_encoding(header.value)?,
                _ => {}
            }
        }
        // RFC 9112, 3.2: a server must answer 400 to a 1.1 request without Host, and to any with two.
        if facts.hosts == 0 && version == Version::HTTP_11 {
            return Err(Reject::bad("the Host header is missing"));
        }
        Ok(facts)
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Reject> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(Reject::bad("there are two Host headers"));
        }
        if value.iter().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Reject::bad("the Host header is malformed"));
        }
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Reject> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Reject::new(StatusCode::EXPECTATION_FAILED, "only 100-continue can be expected"));
        }
        self.expects_continue = true;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Digits only, and once: a list of equal values is allowed to be refused (RFC 9112, 6.3), so it is.
    fn length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.content_length.is_some() {
            return Err(Reject::bad("there are two Content-Lengths"));
        }
        let digits = value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        self.content_length = Some(length.ok_or(Reject::bad("the Content-Length is malformed"))?);
        Ok(())
    }

    /// RFC 9112, 6.1: `chunked` must be the last coding; no other is implemented, so it must be the only one.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Reject::bad("a Transfer-Encoding other than chunked"));
        }
        if self.version == Version::HTTP_10 {
            return Err(Reject::bad("Transfer-Encoding under HTTP/1.0"));
        }
        self.chunked = true;
        Ok(())
    }

    fn framing(&self) -> Result<Framing, Reject> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(Reject::bad("Content-Length beside Transfer-Encoding")),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }

    fn keep_alive(&self) -> bool {
        !self.close && (self.version == Version::HTTP_11 || self.keep_alive)
    }
}

/// The headers of a head that [`parse`] has let through.
pub(crate) fn header_map(lines: &Bytes) -> HeaderMap {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut headers) else {
        return HeaderMap::new();
    };
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(lines.slice_ref(header.value))) {
            map.append(name, value);
        }
    }
    map
}
