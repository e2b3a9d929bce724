//! Just enough of HTTP/1.1 to know where an answer ends.

use anyhow::{Context, Result, bail, ensure};

/// An answer whose head has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// It says when to try again.
    pub(crate) retry_after: bool,
    /// Bytes before the body.
    pub(crate) head: usize,
    /// Bytes of head and body.
    pub(crate) whole: usize,
}

/// Reads the head at the start of `bytes`; nothing if it is not all there yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).context("this is not an HTTP/1.x answer")? else {
        return Ok(None);
    };
    let header = |name: &str| {
        response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    ensure!(header("transfer-encoding").is_none(), "the load client reads answers with a Content-Length only");
    let Some(length) = header("content-length") else {
        bail!("an answer without Content-Length: the load client cannot tell where it ends");
    };
    let body: usize = std::str::from_utf8(length)?.parse().context("Content-Length is no number")?;
    let status = response.code.context("an answer without a status")?;
    let retry_after = header("retry-after").is_some();
    Ok(Some(Answer { status, retry_after, head, whole: head + body }))
}

/// A `GET` for `path` that keeps the connection open.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() -> Result<()> {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-length: 4\r\n\r\ntrueHTTP/1.1";
        assert_eq!(parse(bytes)?, Some(Answer { status: 200, retry_after: false, head: 38, whole: 42 }));
        assert_eq!(parse(&bytes[..37])?, None);
        Ok(())
    }

    #[test]
    fn what_has_no_known_end_is_refused() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
