//! Compression of answers, on the worker's thread: gzip, for clients that accept it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};

use crate::Response;
use crate::head::Head;

/// Compresses an answer of at least that many bytes, if it is of a kind that becomes smaller and the client accepts it.
pub(crate) fn compress(head: &Head, response: &mut Response, least: usize) {
    if response.body().len() < least || !has_content(response) || !is_compressible(response.headers()) {
        return;
    }
    // Caches must know that another client may get another answer, whatever this one gets (RFC 9110, 12.5.5).
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !accepts_gzip(head.headers()) {
        return;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(response.body().len() / 4), Compression::fast());
    let Ok(compressed) = encoder.write_all(response.body().as_bytes()).and_then(|()| encoder.finish()) else { return };
    if compressed.len() >= response.body().len() {
        return;
    }
    *response.body_mut() = compressed.into();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // The same content, but not byte for byte any more (RFC 9110, 8.8.1).
    if let Some(etag) = headers.get(header::ETAG).filter(|etag| etag.as_bytes().starts_with(b"\""))
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}

/// Not a status whose body is not sent; and a part of a content is a part of it as it is (RFC 9110, 14.4).
fn has_content(response: &Response) -> bool {
    use http::StatusCode as Status;
    let without = [Status::NO_CONTENT, Status::RESET_CONTENT, Status::PARTIAL_CONTENT, Status::NOT_MODIFIED];
    !without.contains(&response.status()) && !response.headers().contains_key(header::CONTENT_RANGE)
}

/// Text and what is written as text. An answer that is encoded already, or that must not be transformed, is left alone.
fn is_compressible(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || ["+json", "+xml"].iter().any(|suffix| kind.ends_with(suffix))
        || ["application/json", "application/javascript", "application/xml", "application/wasm"].contains(&&*kind);
    let no_transform = text(header::CACHE_CONTROL).to_ascii_lowercase().contains("no-transform");
    is_text && !no_transform && !headers.contains_key(header::CONTENT_ENCODING)
}

/// RFC 9110, 12.5.3: gzip by name, or by `*`, and not less than the content as it is.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for item in values.flat_map(|value| value.split(',')) {
        let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight(parameters);
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "identity" => identity = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// A `q` parameter in thousandths (RFC 9110, 12.4.2). One that is malformed means that the coding is not wanted.
fn weight(parameters: &str) -> u32 {
    let mut q = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let Some((_, q)) = q.find(|(name, _)| name.trim().eq_ignore_ascii_case("q")) else { return 1000 };
    match q.trim().parse::<f32>() {
        Ok(q) if (0.0..=1.0).contains(&q) => (q * 1000.0) as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http::Method;

    use super::*;
    use crate::{IntoResponse, Json, Request};

    fn asked(accept: &str) -> Request {
        http::Request::builder().method(Method::GET).uri("/").header("accept-encoding", accept).body("").unwrap().into()
    }

    fn compressed(accept: &str, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        compress(asked(accept).head(), &mut response, 100);
        response
    }

    fn encoding(response: &Response) -> Option<&[u8]> {
        response.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes)
    }

    #[test]
    fn a_part_of_a_content_and_what_has_none_is_left_as_it_is() {
        let text = || "to be or not to be ".repeat(50);
        for status in [204, 205, 206, 304] {
            let status = http::StatusCode::from_u16(status).unwrap();
            let response = compressed("gzip", (status, text()));
            assert_eq!((encoding(&response), response.body().len()), (None, text().len()), "{status}");
        }
        let ranged = compressed("gzip", ([("content-range", "bytes 0-949/2000")], text()));
        assert_eq!(encoding(&ranged), None);
    }

    #[test]
    fn what_is_compressed_is_the_same_once_unpacked() {
        let text = "to be or not to be ".repeat(50);
        let response = compressed("gzip", text.clone());
        assert_eq!(encoding(&response), Some(&b"gzip"[..]));
        assert!(response.body().len() < text.len() / 4);
        let mut unpacked = String::new();
        GzDecoder::new(response.body().as_bytes()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
    }

    #[test]
    fn only_what_gains_by_it_is_compressed() {
        let long = || "x".repeat(1000);
        let is_compressed = |response: Response| encoding(&response).is_some();
        assert!(is_compressed(compressed("gzip", long())));
        assert!(is_compressed(compressed("gzip", Json(long()))));
        assert!(is_compressed(compressed("gzip", ([("content-type", "image/svg+xml; charset=utf-8")], long()))));
        assert!(!is_compressed(compressed("gzip", "x".repeat(99))));
        assert!(!is_compressed(compressed("gzip", long().into_bytes())), "application/octet-stream may be anything");
        assert!(!is_compressed(compressed("gzip", ([("content-type", "image/png")], long()))));
        assert!(!is_compressed(compressed("gzip", ([("cache-control", "public, no-transform")], long()))));
        let twice = compressed("gzip", ([("content-encoding", "br")], long()));
        assert_eq!(encoding(&twice), Some(&b"br"[..]));
        // Each character once: nothing repeats, so that gzip's own header and trailer make it longer.
        let once: String = (33..127).chain(192..206).filter_map(char::from_u32).collect();
        assert!(once.len() >= 100 && !is_compressed(compressed("gzip", once)), "what would become larger is left");
    }

    #[test]
    fn it_is_the_client_who_says_what_it_accepts() {
        let gzip = |accept: &str| encoding(&compressed(accept, "x".repeat(1000))).is_some();
        for yes in
            ["gzip", "GZIP", "x-gzip", "br, gzip", "*", "gzip;q=0.5", "deflate, *;q=0.1", "gzip; Q=1, identity;q=0.5"]
        {
            assert!(gzip(yes), "{yes}");
        }
        for no in [
            "",
            "br",
            "gzip;q=0",
            "gzip;q=0.000",
            "*;q=0",
            "gzip;q=0, *",
            "gzip;q=x",
            "gzip;q=2",
            "identity, gzip;q=0.5",
        ] {
            assert!(!gzip(no), "{no}");
        }
    }

    #[test]
    fn caches_are_told() {
        for accept in ["gzip", "br"] {
            assert_eq!(compressed(accept, "x".repeat(1000)).headers()["vary"], "accept-encoding");
        }
        assert!(!compressed("gzip", "short").headers().contains_key("vary"));
        let etag =
            |etag: &'static str| compressed("gzip", ([("etag", etag)], "x".repeat(1000))).headers()["etag"].clone();
        assert_eq!((etag("\"a\""), etag("W/\"a\"")), ("W/\"a\"".parse().unwrap(), "W/\"a\"".parse().unwrap()));
    }
}
