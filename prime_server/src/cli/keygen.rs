//! `prime_keygen`: makes a pair of CURVE keys.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lexopt::{Arg, Parser, ValueExt};

use super::arguments::refuse;
use super::print;
use crate::StartError;
use crate::security::generated;

const HELP: &str = "\
Makes a pair of CURVE keys for the links between processes.

Usage: prime_keygen FILE

Writes FILE with the public key, for others, and FILE_secret with both, for its owner alone. Neither may be there already.
The proxies of a deployment share a pair; each front end and each worker has one of its own, and the proxies a file of these
public keys: cat worker.key front.key > allowed
";

/// The whole `main` of `prime_keygen`.
///
/// # Errors
/// [`StartError`]: a file cannot be written, libzmq has no CURVE, or the command line is not understood.
pub fn keygen() -> Result<(), StartError> {
    let Some(file) = parse(std::env::args_os().skip(1))? else { return print(HELP) };
    let (public, both) = generated()?;
    let secret = format!("{file}_secret");
    write(Path::new(&secret), &both, 0o600).map_err(|error| failed(&secret, error))?;
    write(Path::new(&file), &public, 0o644).map_err(|error| failed(&file, error))
}

/// Nothing where help is asked for.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<String>, StartError> {
    let mut parser = Parser::from_args(arguments);
    let mut file = None;
    while let Some(argument) = parser.next().map_err(|error| refuse(error.to_string()))? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Value(name) if file.is_none() => {
                file = Some(name.string().map_err(|error| refuse(error.to_string()))?);
            }
            other => return Err(refuse(other.unexpected().to_string())),
        }
    }
    file.map(Some).ok_or_else(|| refuse("a file is expected, for the keys"))
}

fn write(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    file.write_all(text.as_bytes())
}

fn failed(file: &str, error: io::Error) -> StartError {
    let problem = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            "it is there, and keys are not overwritten; take another name or move it away".to_owned()
        }
        _ => error.to_string(),
    };
    StartError::Security { problem: format!("{file} cannot be written: {problem}") }
}
