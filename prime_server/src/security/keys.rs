//! Files with CURVE keys, in the format of czmq's certificates (ZPL, ZeroMQ RFC 4): `public-key = "..."`, `secret-key = "..."`, each
//! in Z85 (ZeroMQ RFC 32).

use std::fmt;
use std::fs;
use std::path::Path;

use super::{in_file, refuse};
use crate::StartError;

/// One half of a pair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u8; 32]);

/// Both halves. The secret one is not shown.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) public: Key,
    pub(crate) secret: Key,
}

/// The characters of Z85.
const ALPHABET: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

impl Key {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn of_z85(text: &str) -> Option<Self> {
        // The crate's decoder takes what is not of the alphabet for something else.
        let legal = text.len() == 40 && text.bytes().all(|byte| ALPHABET.contains(&byte));
        let decoded = legal.then(|| zmq::z85_decode(text).ok())??;
        Self::of_bytes(&decoded)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&zmq::z85_encode(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The public key of a file.
pub(super) fn public_key(file: &Path) -> Result<Key, StartError> {
    let text = read(file)?;
    value(&text, "public-key").ok_or_else(|| refuse(in_file(file, "it has no `public-key = \"...\"` of 40 characters")))
}

/// The pair of a file.
pub(super) fn whole_pair(file: &Path) -> Result<Pair, StartError> {
    let text = read(file)?;
    let find = |name: &str| {
        let missing = || {
            in_file(
                file,
                format!("it has no `{name} = \"...\"` of 40 characters: name the file that ends with `_secret`"),
            )
        };
        value(&text, name).ok_or_else(|| refuse(missing()))
    };
    Ok(Pair { public: find("public-key")?, secret: find("secret-key")? })
}

fn read(file: &Path) -> Result<String, StartError> {
    fs::read_to_string(file).map_err(|error| refuse(in_file(file, error)))
}

fn value(text: &str, name: &str) -> Option<Key> {
    let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))?;
    Key::of_z85(line.trim().trim_matches('"'))
}

/// A new pair's two files: the public half, and both.
pub(crate) fn generated() -> Result<(String, String), StartError> {
    super::has_curve()?;
    let pair = zmq::CurveKeyPair::new().map_err(|error| refuse(format!("a key pair cannot be made: {error}")))?;
    let z85 = |key: &[u8]| zmq::z85_encode(key).expect("a key has a multiple of four bytes");
    let public = format!("metadata\ncurve\n    public-key = \"{}\"\n", z85(&pair.public_key));
    let both = format!("{public}    secret-key = \"{}\"\n", z85(&pair.secret_key));
    let heading = |what: &str| format!("#   {what}\n");
    Ok((
        heading("ZeroMQ CURVE public key: may be given to others") + &public,
        heading("ZeroMQ CURVE key pair: the secret key stays with its owner") + &both,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

    #[test]
    fn a_key_is_found_in_a_certificate_of_czmq() {
        let text = format!(
            "#  comment\nmetadata\n    name = \"x\"\ncurve\n    public-key = \"{KEY}\"\n    secret-key=\"{KEY}\"\n"
        );
        assert_eq!(format!("{:?}", value(&text, "public-key").unwrap()), KEY);
        assert_eq!(value(&text, "secret-key"), value(&text, "public-key"));
    }

    #[test]
    fn what_is_no_key_is_none() {
        for wrong in [
            "",
            "public-key",
            "public-key = \"short\"",
            "public-key = \"€€€€€€€€€€€€€€\"",
            "public-key = \"\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\"",
        ] {
            assert_eq!(value(wrong, "public-key"), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key = Key::of_z85(KEY).unwrap();
        let shown = format!("{:?}", Pair { public: Key([0; 32]), secret: key });
        assert!(!shown.contains(KEY), "{shown}");
    }
}
