//! From bytes to a request head, strictly: what two readers could take for different requests is refused.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{Method, StatusCode, Version};

use super::limits::Limits;
use super::syntax::is_token;
use super::{Reject, body::Framing};
use crate::head::{Head, MAX_HEADERS};

/// A whole head.
#[derive(Debug)]
pub(super) struct Parsed {
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
    past_blank: bool,
    scanned: usize,
}

impl HeadScan {
    /// Whether `input` begins with the empty line that is read over before a head (RFC 9112, 2.2): one, not more.
    pub(super) fn skips_blank(&mut self, input: &[u8]) -> bool {
        let skips = !self.past_blank && input.starts_with(b"\r\n");
        if skips {
            *self = Self { past_blank: true, scanned: 0 };
        }
        skips
    }

    /// The length of the head at the front of `input`, once all of it is there. `input` begins where it began last time.
    ///
    /// Bare LF and a second empty line are refused as soon as they are seen, since the parser below would read over them. (It
    /// does refuse bare CR.)
    pub(super) fn find_end(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Reject> {
        if input.first().is_some_and(|first| !is_token(*first) && !input.starts_with(b"\r")) {
            return Err(Reject::bad("this is no HTTP"));
        }
        // Looking no further than the limit makes the answer the same however the bytes are split.
        let seen = &input[..input.len().min(limits.head)];
        for newline in memchr::memchr_iter(b'\n', &seen[self.scanned..]).map(|at| self.scanned + at) {
            if !seen[..newline].ends_with(b"\r") {
                return Err(Reject::bad("a line ends without CR"));
            }
            if newline == 1 {
                return Err(Reject::bad("there is more than one empty line before the request line"));
            }
            if seen[..=newline].ends_with(b"\r\n\r\n") {
                return Ok(Some(newline + 1));
            }
        }
        if input.len() > limits.head {
            return Err(too_large(seen, limits));
        }
        self.scanned = seen.len();
        Ok(None)
    }
}

fn too_large(head: &[u8], limits: &Limits) -> Reject {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    if target.len() > limits.target { TARGET_TOO_LONG } else { HEAD_TOO_LARGE }
}

const TARGET_TOO_LONG: Reject = Reject::new(StatusCode::URI_TOO_LONG, "the request target is too long");
const HEAD_TOO_LARGE: Reject =
    Reject::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head is too large");

/// Parses a head that [`HeadScan`] found, its empty line included.
pub(super) fn parse(head: &[u8], limits: &Limits) -> Result<Parsed, Reject> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Reject::bad("the request's head is malformed")),
        Err(httparse::Error::Version) => return parse_other_version(head, limits),
        Err(error) => return Err(refuse(error)),
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
        framing: facts.framing()?,
        keep_alive: facts.keep_alive(),
        expects_continue: facts.expects_continue && version == Version::HTTP_11,
        head: Head::from_wire(method, target, version, lines),
    })
}

/// What to do with a head whose version is neither 1.0 nor 1.1. The parser has found the words before the version sound.
///
/// A later minor version of HTTP/1 is read as 1.1 (RFC 9110, 2.5); another major version is answered 505.
fn parse_other_version(head: &[u8], limits: &Limits) -> Result<Parsed, Reject> {
    let line_end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    let mut words = head[..line_end].split(|byte| *byte == b' ').skip(2);
    match (words.next().unwrap_or_default(), words.next()) {
        ([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'], None) => {
            let mut as_1_1 = head.to_vec();
            let minor = line_end - 1;
            as_1_1[minor] = b'1';
            parse(&as_1_1, limits)
        }
        ([b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', b'.', b'0'..=b'9'], None) => {
            Err(Reject::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1 is spoken here"))
        }
        _ => Err(refuse(httparse::Error::Version)),
    }
}

fn refuse(error: httparse::Error) -> Reject {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => HEAD_TOO_LARGE,
        Error::HeaderName => Reject::bad("a header's name is malformed"),
        Error::HeaderValue => Reject::bad("a header's value has a control character"),
        _ => Reject::bad("the request line is malformed"),
    }
}

/// Whether a request of that method ever gets as far as a route.
pub(crate) fn is_known(method: &Method) -> bool {
    known_method(method.as_str()).is_ok()
}

/// RFC 9110, 9.1: a method that is not recognised is answered 501. CONNECT and TRACE make no sense here.
fn known_method(method: &str) -> Result<Method, Reject> {
    Ok(match method {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        "OPTIONS" => Method::OPTIONS,
        "PATCH" => Method::PATCH,
        _ => return Err(Reject::new(StatusCode::NOT_IMPLEMENTED, "the method is not known here")),
    })
}

/// RFC 9112, 3.2: origin form, absolute form of the http schemes, or `*` for OPTIONS. A target has no fragment.
///
/// Visible ASCII that RFC 3986 has encoded but browsers do not encode (`|` in a query, say) is let through; what browsers do is
/// refused.
fn check_target(method: &Method, target: &str) -> Result<(), Reject> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>".contains(&byte);
    if !path.bytes().all(|byte| is_plain(byte) && byte != b'`') || !query.bytes().all(is_plain) {
        return Err(Reject::bad("the request target has a character that must be percent-encoded"));
    }
    match target {
        "*" if *method == Method::OPTIONS => Ok(()),
        _ if target.starts_with('/') || is_http_url(target) => Ok(()),
        _ => Err(Reject::bad("the request target is neither a path nor an http URL")),
    }
}

fn is_http_url(target: &str) -> bool {
    let Some((scheme, rest)) = target.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    ["http", "https"].iter().any(|http| scheme.eq_ignore_ascii_case(http)) && is_authority(authority)
}

/// `host [":" port]` (RFC 9110, 7.2): no user information (4.2.4), and a host that is not empty, as http asks for one (RFC 9112,
/// 3.3, would allow a default).
fn is_authority(text: &str) -> bool {
    let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let host_is_sound = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|byte| is_in_name(byte) || byte == b':'),
        None => !host.is_empty() && host.bytes().all(is_in_name),
    };
    host_is_sound && port.bytes().all(|byte| byte.is_ascii_digit())
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
        // RFC 9112, 3.2: a server must answer 400 to a 1.1 request without Host, and to any with two or a malformed one.
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
        if !std::str::from_utf8(value).is_ok_and(is_authority) {
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

    /// `chunked`, alone, once and under HTTP/1.1 (RFC 9112, 6.1). Other codings are allowed to be answered 501; what this server
    /// cannot decode it does not tell apart from what nobody can.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.version == Version::HTTP_10 || self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Reject::bad("the Transfer-Encoding is not chunked, alone and once, under HTTP/1.1"));
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

#[cfg(test)]
mod tests;
