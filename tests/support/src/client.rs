//! An HTTP client that reads exactly one answer at a time and sends whatever bytes it is given.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// One answer, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines: names in lower case, values as they came.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The value of a metric on this page: that of the first line of this name with these labels, whatever their order.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let mut lines =
            self.text().lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
        let (_, value) =
            lines.find(|(all, _)| labels.iter().all(|label| all.split(',').any(|there| there == *label)))?;
        value.parse().ok()
    }

    /// Whether the connection ends after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket has TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the connection is closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the connection is open");
    }

    /// Sends bytes, or finds that the server has closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a GET without further headers.
    pub fn send_get(&mut self, target: &str) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Sends a GET and reads its answer.
    pub fn get(&mut self, target: &str) -> Answer {
        self.send_get(target);
        self.read()
    }

    /// Sends a POST with this body and reads its answer.
    pub fn post(&mut self, target: &str, headers: &str, body: &str) -> Answer {
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.read()
    }

    /// Reads one answer.
    ///
    /// # Panics
    /// If none comes, or what comes is none.
    pub fn read(&mut self) -> Answer {
        self.read_one(true).expect("an answer, not the end of the connection")
    }

    /// Reads one answer to a HEAD request.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn read_head(&mut self) -> Answer {
        self.read_one(false).expect("an answer, not the end of the connection")
    }

    /// Reads one answer; `None` where the connection has ended instead.
    pub fn try_read(&mut self) -> Option<Answer> {
        self.read_one(true)
    }

    /// Waits for the end of the connection, and gives whether nothing came before it.
    ///
    /// # Panics
    /// If it does not end.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => rest.is_empty(),
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }

    /// Reads what comes up to the end of the connection.
    ///
    /// # Panics
    /// If it does not end.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("no end came: {error}"),
            _ => String::from_utf8_lossy(&rest).into_owned(),
        }
    }

    /// Reads what there is, and waits for it where there is nothing yet.
    ///
    /// # Panics
    /// If nothing comes.
    pub fn read_some(&mut self) {
        let some = self.stream.fill_buf().expect("something comes").len();
        self.stream.consume(some);
    }

    /// The socket, for what else a client can do to it.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.strip_suffix("\r\n").expect("lines end with CRLF").to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer came: {error}"),
        }
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("as many bytes as were announced");
        bytes
    }

    fn read_one(&mut self, with_body: bool) -> Option<Answer> {
        let status_line = self.line()?;
        let status =
            status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line().expect("a head ends with an empty line");
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("not a header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if !with_body || matches!(status, 100..200 | 204 | 304) {
            return Some(answer);
        }
        if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().expect("a length is a number"));
        } else if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line().expect("a chunk has a size");
                let size = usize::from_str_radix(&size, 16).expect("in hexadecimal");
                let chunk = self.exactly(size);
                assert_eq!(self.exactly(2), b"\r\n");
                if size == 0 {
                    break;
                }
                answer.body.extend(chunk);
            }
        } else {
            self.stream.read_to_end(&mut answer.body).expect("the body ends with the connection");
        }
        Some(answer)
    }
}

/// Asks once, on a connection of its own.
#[must_use]
pub fn get(address: SocketAddr, target: &str) -> Answer {
    Client::connect(address).get(target)
}
