//! The file with the public keys that a proxy lets in.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::in_file;
use super::keys::Key;

/// The keys, as the file was when it was last looked at.
#[derive(Debug)]
pub(crate) struct Allowed {
    file: PathBuf,
    read: Option<SystemTime>,
    keys: Vec<Key>,
}

impl Allowed {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let mut allowed = Self { file: file.to_owned(), read: None, keys: Vec::new() };
        allowed.refresh()?;
        Ok(allowed)
    }

    /// Whether a client with this key may connect. A file that cannot be read any more lets in whom it let in before.
    pub(crate) fn contains(&mut self, key: &[u8]) -> bool {
        if let Err(problem) = self.refresh() {
            tracing::error!(problem, "the keys that are let in cannot be read anew");
        }
        Key::of_bytes(key).is_some_and(|key| self.keys.contains(&key))
    }

    fn refresh(&mut self) -> Result<(), String> {
        let of_file = |error: std::io::Error| in_file(&self.file, error);
        let changed = fs::metadata(&self.file).and_then(|data| data.modified()).map_err(of_file)?;
        if self.read == Some(changed) {
            return Ok(());
        }
        let text = fs::read_to_string(&self.file).map_err(of_file)?;
        self.keys = keys(&text).map_err(|problem| in_file(&self.file, problem))?;
        self.read = Some(changed);
        Ok(())
    }
}

/// One key on a line, as such or as `public-key = "..."`, so that certificates can be put together.
fn keys(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with("# ") || line == "#" || ["metadata", "curve"].contains(&line) {
            continue;
        }
        let key = line.strip_prefix("public-key").map_or(line, |rest| rest.trim_start_matches([' ', '=']));
        let key = Key::of_z85(key.trim_matches('"'));
        keys.push(key.ok_or_else(|| format!("line {} is no public key, which has 40 characters", number + 1))?);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

    #[test]
    fn keys_stand_on_lines_of_their_own_or_as_certificates() {
        let text = format!("# the front end\n{KEY}\n\n#\nmetadata\ncurve\n    public-key = \"{KEY}\"\n");
        assert_eq!(keys(&text).unwrap().len(), 2);
        assert_eq!(keys("").unwrap().len(), 0);
        assert!(keys("x\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn a_key_that_is_taken_out_is_let_in_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("allowed");
        fs::write(&file, KEY).unwrap();
        let mut allowed = Allowed::read(&file).unwrap();
        let key = Key::of_z85(KEY).unwrap();
        assert!(allowed.contains(key.bytes()) && !allowed.contains(&[0; 32]) && !allowed.contains(b"short"));
        fs::write(&file, "# nobody\n").unwrap();
        // As if some time had passed between.
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::options().append(true).open(&file).unwrap().set_modified(later).unwrap();
        assert!(!allowed.contains(key.bytes()));
        fs::remove_file(&file).unwrap();
        assert!(!allowed.contains(key.bytes()));
        assert!(Allowed::read(&file).is_err());
    }
}
