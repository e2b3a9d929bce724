//! `discovery discover FORM [UUID]` prints each set of proxies that it finds, one a line as `stage=endpoint ...`, with `-` for a
//! stage that is not known. `discovery announce UUID PORT [INTERFACE]` sends beacons. Either ends when standard input does.

use std::error::Error;
use std::io::{self, Write};

use prime_server::__private::{announce, discover};
use prime_server::Discover;

const USAGE: &str = "usage: discovery discover FORM [UUID], or discovery announce UUID PORT [INTERFACE]";

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["discover", form, ref own @ ..] => {
            let own = own.first().map_or(Ok([0; 16]), |own| uuid(own))?;
            let form: Discover = form.parse()?;
            let _watch = discover(&form, own, |places| {
                let places = places.into_iter();
                let places = places.map(|(stage, endpoint)| format!("{}={endpoint}", stage.as_deref().unwrap_or("-")));
                say(&places.collect::<Vec<_>>().join(" "));
            })?;
            wait()
        }
        ["announce", own, port, ref interface @ ..] => {
            let _announcement = announce(interface.first().copied(), uuid(own)?, port.parse()?)?;
            wait()
        }
        _ => Err(USAGE.into()),
    }
}

fn say(line: &str) {
    // Whoever does not read this has no need of it.
    let _ = writeln!(io::stdout(), "{line}");
}

fn wait() -> Result<(), Box<dyn Error>> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// 32 digits of base 16.
fn uuid(text: &str) -> Result<[u8; 16], Box<dyn Error>> {
    Ok(u128::from_str_radix(text, 16)?.to_be_bytes())
}
