//! What a client says before the body, as every stage sees it.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Version};
use memchr::memchr;
use once_cell::race::OnceBox;

/// The most header lines of one request.
pub(crate) const MAX_HEADERS: usize = 100;

/// What the client said before the body: method, target, version and headers.
///
/// ```
/// use prime_server::prelude::*;
///
/// let request = Request::from(http::Request::get("/a%2Fb?c=d&c=").header("x-key", "7").body("").unwrap());
/// let head = request.head();
/// assert_eq!((head.path(), head.query_string()), ("/a%2Fb", Some("c=d&c=")));
/// assert_eq!(head.header("x-key"), Some("7"));
/// ```
pub struct Head {
    method: Method,
    target: Box<str>,
    path_at: usize,
    /// Where the path ends: at the first `?`, or with the target.
    path_end: usize,
    version: Version,
    /// The header lines as they came, already checked; empty where `headers` was given.
    lines: Bytes,
    /// Read by whoever asks first. Who asks meanwhile reads them too, and does not wait: a part of the request that has been demoted
    /// while it reads may not go on for long.
    headers: OnceBox<HeaderMap>,
    client: Option<IpAddr>,
}

impl Head {
    /// A head whose header lines have been checked by the parser, and are read again only if somebody asks for them.
    pub(crate) fn from_wire(method: Method, target: &str, version: Version, lines: Bytes) -> Self {
        let (path_at, path_end) = path(target);
        Self { method, target: target.into(), path_at, path_end, version, lines, headers: OnceBox::new(), client: None }
    }

    pub(crate) fn new(method: Method, target: &str, version: Version, headers: HeaderMap) -> Self {
        let (path_at, path_end) = path(target);
        let lines = Bytes::new();
        Self {
            method,
            target: target.into(),
            path_at,
            path_end,
            version,
            lines,
            headers: OnceBox::with_value(Box::new(headers)),
            client: None,
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request target as it came: nothing decoded, nothing normalised.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The target's path, still percent-encoded, without scheme, authority and query. `*` for `OPTIONS *`.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = &self.target[self.path_at..self.path_end];
        if path.is_empty() { "/" } else { path }
    }

    /// What follows the first `?` of the target, still percent-encoded.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.target.get(self.path_end + 1..)
    }

    /// The address that the connection comes from: the client's, or that of a proxy in front. `None` where the request did not come over a
    /// connection: from a [`Client`](crate::Client) or in a test.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(crate) fn set_client(&mut self, client: Option<IpAddr>) {
        self.client = client;
    }

    /// The protocol version that the client spoke.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many bytes it keeps of what a client sent.
    pub(crate) fn held(&self) -> usize {
        self.target.len() + self.lines.len()
    }

    /// The headers. Parsed when first asked for, so a request that nobody asks costs nothing.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers.get_or_init(|| Box::new(header_map(&self.lines)))
    }

    /// The header lines for another process, as [`from_wire`](Self::from_wire) takes them.
    pub(crate) fn lines(&self) -> Bytes {
        let given = self.headers.get().filter(|headers| self.lines.is_empty() && !headers.is_empty());
        let Some(headers) = given else { return self.lines.clone() };
        let mut lines = Vec::new();
        for (name, value) in headers {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                lines.extend_from_slice(piece);
            }
        }
        lines.extend_from_slice(b"\r\n");
        lines.into()
    }

    /// One header's value as text; `None` where it is missing or not visible ASCII. Of several, the first.
    #[must_use]
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.target, self.version)
    }
}

/// Where a target's path begins and ends.
fn path(target: &str) -> (usize, usize) {
    let start = path_start(target);
    let end = memchr(b'?', &target.as_bytes()[start..]).map_or(target.len(), |at| start + at);
    (start, end)
}

/// Where the path begins: at 0, but after scheme and authority in the absolute form (RFC 9112, 3.2.2).
fn path_start(target: &str) -> usize {
    if target.starts_with('/') {
        return 0;
    }
    let Some(scheme_end) = target.find("://") else { return 0 };
    let authority = scheme_end + "://".len();
    target[authority..].find(['/', '?']).map_or(target.len(), |slash| authority + slash)
}

/// The headers of lines that the parser has let through.
fn header_map(lines: &Bytes) -> HeaderMap {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_that_were_not_checked_give_no_headers() {
        assert!(header_map(&Bytes::from_static(b"no colon\r\n\r\n")).is_empty());
    }

    #[test]
    fn headers_survive_as_lines() {
        let mut headers = HeaderMap::new();
        headers.append("x-test", "one".parse().unwrap());
        headers.append("x-test", "two, three".parse().unwrap());
        let head = Head::new(Method::GET, "/", Version::HTTP_11, headers.clone());
        let far = Head::from_wire(Method::GET, "/", Version::HTTP_11, head.lines());
        assert_eq!(*far.headers(), headers);
        assert_eq!(far.lines(), head.lines());
        assert!(Head::new(Method::GET, "/", Version::HTTP_11, HeaderMap::new()).lines().is_empty());
    }

    #[test]
    fn lines_go_on_as_they_came_whoever_has_read_them() {
        let lines = Bytes::from_static(b"X-Test:one\r\n\r\n");
        let head = Head::from_wire(Method::GET, "/", Version::HTTP_11, lines.clone());
        assert_eq!(head.header("x-test"), Some("one"));
        assert_eq!(head.lines(), lines);
    }

    fn parts(target: &str) -> (String, Option<String>) {
        let head = Head::new(Method::GET, target, Version::HTTP_11, HeaderMap::new());
        (head.path().to_owned(), head.query_string().map(str::to_owned))
    }

    #[test]
    fn path_and_query_of_every_form_of_target() {
        let both = |path: &str, query: &str| (path.to_owned(), Some(query.to_owned()));
        let path = |path: &str| (path.to_owned(), None);
        assert_eq!(parts("/"), path("/"));
        assert_eq!(parts("/a/b?c=d?e"), both("/a/b", "c=d?e"));
        assert_eq!(parts("/a?"), both("/a", ""));
        assert_eq!(parts("/a%2Fb?http://c/d"), both("/a%2Fb", "http://c/d"));
        assert_eq!(parts("/to/http://c/d"), path("/to/http://c/d"));
        assert_eq!(parts("http://host"), path("/"));
        assert_eq!(parts("http://host?x"), both("/", "x"));
        assert_eq!(parts("http://host:80/a?b"), both("/a", "b"));
        assert_eq!(parts("*"), path("*"));
    }
}
