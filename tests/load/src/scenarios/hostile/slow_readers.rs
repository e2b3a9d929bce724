//! Readers of an endless answer that take a byte a second.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::{Found, UNHARMED, attacker, contest_of, look};
use crate::contest::Contest;
use crate::ours::Kind;
use crate::response;
use crate::sample::Sample;
use crate::scenarios::Settings;
use crate::server::Running;

const READERS: usize = 100;
const ATTACK: Duration = Duration::from_secs(30);
const EACH: Duration = Duration::from_secs(1);

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    let note = "for 30 s; a reader that is cut off asks again";
    Ok(contest_of(Kind::Attacked, attack, vec![UNHARMED], note))
}

fn attack(server: &Running) -> Result<Sample> {
    let mut readers = (0..READERS).map(|_| ask(server)).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    while start.elapsed() < ATTACK {
        let end = Instant::now() + EACH;
        for reader in &mut readers {
            if look(reader, 1)? == Found::End {
                *reader = ask(server)?;
            }
        }
        thread::sleep(end.saturating_duration_since(Instant::now()));
    }
    Ok(Sample::default())
}

/// Asks with room for as little as the kernel lets a client have.
fn ask(server: &Running) -> Result<TcpStream> {
    let stream = attacker(server.address)?;
    set_socket_recv_buffer_size(&stream, 1)?;
    (&stream).write_all(&response::get("/endless"))?;
    Ok(stream)
}
