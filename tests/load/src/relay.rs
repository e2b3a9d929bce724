//! Distance on one machine: a relay that hands bytes on after a while, in both directions.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// An endpoint from which the one of `link`, over tcp, is a round trip of so long away. `link` itself where it is none.
pub(crate) fn at_distance(link: &str, distance: Duration) -> Result<String> {
    if distance.is_zero() {
        return Ok(link.to_owned());
    }
    let to = link.strip_prefix("tcp://").context("only what is reached over tcp can be far away")?.to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let endpoint = format!("tcp://{}", listener.local_addr()?);
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(&to) else { continue };
            for (from, into) in [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))] {
                if let (Ok(from), Ok(into)) = (from, into) {
                    hand_on(from, into, distance / 2);
                }
            }
        }
    });
    Ok(endpoint)
}

/// Hands bytes on, each after so long, until their source ends.
fn hand_on(mut from: TcpStream, mut into: TcpStream, after: Duration) {
    let _ = (from.set_nodelay(true), into.set_nodelay(true));
    let (read, write) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if read.send((Instant::now() + after, bytes[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in write {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if into.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = into.shutdown(Shutdown::Both);
    });
}
