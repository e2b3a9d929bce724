//! The request as the first stage sees it, and the extractors that turn it into the user's types.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{FormError, JsonError, PathError, QueryError, TextError};
use crate::head::Head;
use crate::schema::{Schema, Shape};
use crate::{CodecError, Message, codec};

/// A request: what the first stage of a pipeline takes.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Query { n: u64 }
///
/// let request = Request::get("/is_prime?n=7");
/// assert_eq!(request.query::<Query>()?.n, 7);
/// # Ok::<(), prime_server::QueryError>(())
/// ```
#[derive(Debug)]
pub struct Request {
    head: Arc<Head>,
    body: Bytes,
    params: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn new(head: Arc<Head>, body: Bytes, params: Vec<(String, String)>) -> Self {
        Self { head, body, params }
    }

    /// A `GET` with no headers and no body, for tests and in-process clients.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::with_method(Method::GET, target, Bytes::new())
    }

    /// A `POST` with no headers, for tests and in-process clients. For more, convert an [`http::Request`].
    #[must_use]
    pub fn post(target: &str, body: impl Into<Bytes>) -> Self {
        Self::with_method(Method::POST, target, body.into())
    }

    fn with_method(method: Method, target: &str, body: Bytes) -> Self {
        let head = Head::new(method, target, Version::HTTP_11, HeaderMap::new());
        Self::new(Arc::new(head), body, Vec::new())
    }

    /// The head, shared with every later stage's [`Context::head`](crate::Context::head).
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn shared_head(&self) -> Arc<Head> {
        Arc::clone(&self.head)
    }

    /// How many bytes it keeps of what a client sent.
    pub(crate) fn held(&self) -> usize {
        self.head.held() + self.body.len()
    }

    pub(crate) fn params(&self) -> &[(String, String)] {
        &self.params
    }

    pub(crate) fn set_params(&mut self, params: Vec<(String, String)>) {
        self.params = params;
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// The body as it came, transfer coding removed.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body, without copying it.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// The parameters of the route's path (`/tile/{z}/{x}/{y}`), each percent-decoded, into a struct with a field of each
    /// parameter's name.
    ///
    /// # Errors
    /// [`PathError`], which answers 400: a parameter is missing, or not of its field's type.
    pub fn path<T: DeserializeOwned>(&self) -> Result<T, PathError> {
        // Encoded as a form once more, since that deserializer is the one that turns text into numbers.
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish();
        let deserializer = serde_html_form::Deserializer::new(form_urlencoded::parse(form.as_bytes()));
        serde_path_to_error::deserialize(deserializer).map_err(PathError::from_path)
    }

    /// The query string as a struct, one field for each key. A key that is there several times fills a `Vec`; one without a
    /// value leaves an `Option` `None`.
    ///
    /// # Errors
    /// [`QueryError`], which answers 400: a key is missing, or its value not of the field's type.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, QueryError> {
        let query = self.head.query_string().unwrap_or_default();
        let deserializer = serde_html_form::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(deserializer).map_err(QueryError::from_path)
    }

    /// The body of an HTML form (`application/x-www-form-urlencoded`) as a struct; keys as in [`query`](Self::query).
    ///
    /// # Errors
    /// [`FormError`]: 415 for another content type, 422 where a field is missing or not of its type.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, FormError> {
        if !self.content_is(|kind| kind == "application/x-www-form-urlencoded") {
            return Err(FormError::ContentType);
        }
        let deserializer = serde_html_form::Deserializer::new(form_urlencoded::parse(&self.body));
        serde_path_to_error::deserialize(deserializer).map_err(FormError::from_path)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`JsonError`]: 415 for another content type, 400 where it is no JSON, 422 where it is not the JSON that `T` asks for.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        let json =
            |kind: &str| kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json");
        if !self.content_is(json) {
            return Err(JsonError::ContentType);
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&self.body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(JsonError::from_path)?;
        deserializer.end().map_err(|e| JsonError::Syntax(e.to_string()))?;
        Ok(value)
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`TextError`]: 415 where the content type names another charset than UTF-8, 400 where it is not UTF-8.
    pub fn text(&self) -> Result<&str, TextError> {
        if let Some(kind) = self.head.header(header::CONTENT_TYPE)
            && let Some(charset) = charset(kind)
            && !["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
        {
            return Err(TextError::Charset(charset.to_owned()));
        }
        std::str::from_utf8(&self.body).map_err(|e| TextError::NotUtf8(e.valid_up_to()))
    }

    fn content_is(&self, accepted: impl Fn(&str) -> bool) -> bool {
        let kind = self.head.header(header::CONTENT_TYPE).unwrap_or_default();
        accepted(&kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }
}

fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })
}

/// Makes a request of any `http::Request` whose body is bytes.
impl<B: Into<Bytes>> From<http::Request<B>> for Request {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let head = Head::new(parts.method, &parts.uri.to_string(), parts.version, parts.headers);
        Self::new(Arc::new(head), body.into(), Vec::new())
    }
}

impl Schema for Request {
    const NAME: &'static str = "Request";
    const SCHEMA: u64 = Shape::new("Request").number(1).finish();
}

/// A request between processes.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    method: &'a str,
    target: &'a str,
    http_10: bool,
    headers: Vec<(&'a str, &'a [u8])>,
    params: Vec<(String, String)>,
    body: &'a [u8],
}

impl Schema for Wire<'_> {
    const NAME: &'static str = Request::NAME;
    const SCHEMA: u64 = Request::SCHEMA;
}

impl Message for Request {
    fn encode(&self) -> Result<Bytes, CodecError> {
        codec::to_postcard(&Wire {
            method: self.head.method().as_str(),
            target: self.head.target(),
            http_10: self.head.version() == Version::HTTP_10,
            headers: self.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
            params: self.params.clone(),
            body: &self.body,
        })
    }

    fn decode(frame: Bytes) -> Result<Self, CodecError> {
        let wire: Wire<'_> = match postcard::take_from_bytes(&frame) {
            Ok((wire, [])) => wire,
            Ok(_) => return Err(CodecError::decode::<Self>("bytes left over")),
            Err(error) => return Err(CodecError::decode::<Self>(error)),
        };
        let method = wire.method.parse().map_err(CodecError::decode::<Self>)?;
        let mut headers = HeaderMap::new();
        for (name, value) in wire.headers {
            let name = header::HeaderName::try_from(name).map_err(CodecError::decode::<Self>)?;
            let value = header::HeaderValue::from_bytes(value).map_err(CodecError::decode::<Self>)?;
            headers.try_append(name, value).map_err(CodecError::decode::<Self>)?;
        }
        let version = if wire.http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
        let head = Head::new(method, wire.target, version, headers);
        Ok(Self::new(Arc::new(head), Bytes::copy_from_slice(wire.body), wire.params))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_headers_than_a_map_can_hold_are_refused() {
        let names: Vec<String> = (0..40_000).map(|n| format!("n{n}")).collect();
        let headers = names.iter().map(|name| (name.as_str(), &b"b"[..])).collect();
        let wire = Wire { method: "GET", target: "/", http_10: false, headers, params: Vec::new(), body: b"" };
        assert!(Request::decode(codec::to_postcard(&wire).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn a_request_is_the_same_at_the_other_end_of_a_wire(
            path in "[!-~]{0,20}",
            body in proptest::collection::vec(any::<u8>(), 0..100),
            value in "[ -~]{0,20}",
        ) {
            let mut headers = HeaderMap::new();
            headers.append("x-test", value.parse().unwrap());
            headers.append("x-test", "again".parse().unwrap());
            let head = Head::new(Method::PATCH, &format!("/{path}"), Version::HTTP_10, headers);
            let params = vec![("name".to_owned(), path)];
            let sent = Request::new(Arc::new(head), body.into(), params);
            let got = Request::decode(sent.encode().unwrap()).unwrap();
            prop_assert_eq!(got.method(), sent.method());
            prop_assert_eq!(got.head().target(), sent.head().target());
            prop_assert_eq!(got.head().version(), sent.head().version());
            prop_assert_eq!(got.headers(), sent.headers());
            prop_assert_eq!(got.body(), sent.body());
            prop_assert_eq!(got.params, sent.params);
        }

        #[test]
        fn bytes_that_are_no_request_are_refused_and_not_worse(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Request::decode(bytes.into());
        }
    }
}
