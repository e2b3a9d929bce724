//! One blocking connection, for scenarios that look at single requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::response::{self, Answer};

const PATIENCE: Duration = Duration::from_secs(30);

/// A keep-alive connection with at most one request under way.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Client {
    /// Connects, with TCP_NODELAY.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: vec![0; 4096], filled: 0 })
    }

    /// Sends `request` and waits for the whole answer; gives its status and body.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.filled = 0;
        self.stream.write_all(request).context("cannot send")?;
        let answer = loop {
            if let Some(answer) = self.receive()? {
                break answer;
            }
        };
        Ok((answer.status, &self.buffer[answer.head..answer.whole]))
    }

    /// Reads once; gives the answer if it is whole now.
    fn receive(&mut self) -> Result<Option<Answer>> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]).context("no answer")? {
            0 => bail!("the server closed the connection before its answer was whole"),
            read => self.filled += read,
        }
        Ok(response::parse(&self.buffer[..self.filled])?.filter(|answer| answer.whole <= self.filled))
    }
}
