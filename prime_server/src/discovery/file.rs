//! `file:`: the proxies are in a text file, which is read anew when it changes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, bounded, never, select};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecursiveMode, Watcher};

use super::entry::{Entry, entry};
use super::place::Place;
use super::watch::{Report, Thread, Watch};
use crate::StartError;
use crate::panics::log;

/// A larger file is a mistake: it would have ten thousand proxies.
const BYTES: u64 = 1024 * 1024;

/// The path, if it can be one of a file.
pub(super) fn checked(path: &str) -> Result<String, String> {
    if path.contains('\0') {
        return Err("a path has no NUL character".to_owned());
    }
    if Path::new(path).file_name().is_none() {
        return Err(format!("`{path}` names no file"));
    }
    Ok(path.to_owned())
}

/// What the file says; an error is the problem in words, with its line.
fn parsed(text: &str) -> Result<BTreeSet<Place>, String> {
    let entries = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    entries
        .map(|(number, line)| {
            entry(line).map(|entry: Entry| entry.place()).map_err(|problem| format!("line {number}: {problem}"))
        })
        .collect()
}

/// The file, with what there was to say of it last.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    problem: Option<String>,
}

impl Watched {
    /// What the file says now, or `None` where that is not known, so that what was last known holds.
    fn read(&mut self) -> Option<BTreeSet<Place>> {
        let (places, problem) = match contents(&self.path) {
            Ok(text) => match parsed(&text) {
                Ok(places) => (Some(places), None),
                Err(problem) => (None, Some(format!("{problem}; what it said before holds until that is corrected"))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (Some(BTreeSet::new()), Some("it is not there: no proxies until it is made".to_owned()))
            }
            Err(error) => (None, Some(format!("{error}; what it said before holds until it can be read"))),
        };
        // A file that is saved can be read several times.
        if let Some(problem) = problem.as_ref().filter(|problem| self.problem.as_ref() != Some(problem)) {
            log(|| tracing::warn!(file = %self.path.display(), "the file of proxies: {problem}"));
        }
        self.problem = problem;
        places
    }
}

fn contents(path: &Path) -> io::Result<String> {
    // A pipe, or a device, could block whoever opens it, and have no end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    if File::open(path)?.take(BYTES + 1).read_to_string(&mut text)? as u64 > BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Whether the file may say something else after this.
fn matters(event: &Event, path: &Path) -> bool {
    let kind = match event.kind {
        // Our own reading opens the file: what is read for that would be read for ever.
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        // Its writer is not done, and closes it in the end.
        EventKind::Modify(ModifyKind::Data(_)) => false,
        _ => true,
    };
    let named = |name: Option<&OsStr>| event.paths.iter().any(|path| path.file_name() == name);
    // A link leads over others in its folder, as a ConfigMap's does over `..data`. An event without paths says that some were lost.
    kind && (event.paths.is_empty() || named(path.file_name()) || path.is_symlink())
}

pub(super) fn watch(
    path: &str,
    report: Report<impl Fn(BTreeSet<Place>) + Send + 'static>,
) -> Result<Watch, StartError> {
    let refused = |problem: String| StartError::Discovery { discover: format!("file:{path}"), problem };
    // A relative path means what it means now.
    let path = std::path::absolute(path).map_err(|error| refused(error.to_string()))?;
    let folder = path.parent().expect("a path with a file's name").to_owned();
    let (changed, changes) = bounded(1);
    let watched = path.clone();
    let poke = move |event: Result<Event, notify::Error>| {
        if event.map_or(true, |event| matters(&event, &watched)) {
            // One that is full will be looked at.
            let _ = changed.try_send(());
        }
    };
    let problem = |error: notify::Error| {
        refused(format!("cannot watch the folder `{}`, which must be there: {error}", folder.display()))
    };
    let mut watcher = notify::recommended_watcher(poke).map_err(problem)?;
    watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(problem)?;
    let (alive, stop) = bounded::<()>(0);
    let thread = Thread::start("discovery-file", alive, move || {
        let _watcher = watcher;
        run(Watched { path, problem: None }, report, changes, &stop);
    })?;
    Ok(Watch::thread(thread))
}

fn run(
    mut file: Watched,
    mut report: Report<impl Fn(BTreeSet<Place>)>,
    mut changes: Receiver<()>,
    stop: &Receiver<()>,
) {
    loop {
        if let Some(places) = file.read() {
            report.tell(places);
        }
        select! {
            recv(stop) -> _ => return,
            recv(changes) -> change => if change.is_err() {
                changes = never();
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// More than any machine needs.
    const LONG: Duration = Duration::from_secs(30);

    fn places(entries: &[(&str, &str)]) -> BTreeSet<Place> {
        let place = |&(stage, endpoint): &(&str, &str)| Place {
            stage: Some(str::to_owned(stage)),
            endpoint: str::to_owned(endpoint),
        };
        entries.iter().map(place).collect()
    }

    fn watched(path: &Path) -> (Watch, Receiver<BTreeSet<Place>>) {
        let (found, told) = crossbeam_channel::unbounded();
        let report = Report::new(move |places| found.send(places).unwrap());
        (watch(path.to_str().unwrap(), report).unwrap(), told)
    }

    /// Writes beside the file and renames, which no reader sees half of.
    fn put(path: &Path, text: &str) {
        let beside = path.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }

    #[test]
    fn lines_are_entries_comments_or_empty() {
        let text = "\n# proxies\r\nparse=tcp://h:1\r\n   \n  is_prime=ipc:///run/a,b #x  \nparse=tcp://h:1\n\t#\n";
        assert_eq!(parsed(text), Ok(places(&[("parse", "tcp://h:1"), ("is_prime", "ipc:///run/a,b #x")])));
        assert_eq!(parsed(""), Ok(BTreeSet::new()));
    }

    #[test]
    fn a_malformed_line_is_named() {
        let problem = parsed("# x\n\nparse=tcp://h:1\nparse=tcp://h\n").unwrap_err();
        assert!(problem.starts_with("line 4: endpoint `tcp://h` has no port"), "{problem}");
        assert!(parsed("parse=tcp://h:1 # x").is_err());
    }

    #[test]
    fn what_cannot_be_read_keeps_the_last_and_a_missing_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxies");
        let mut file = Watched { path: path.clone(), problem: None };
        let mut problem = |says: &str, known: Option<BTreeSet<Place>>| {
            assert_eq!(file.read(), known);
            let problem = file.problem.clone().unwrap_or_default();
            assert!(problem.contains(says), "{problem}");
            assert_eq!(problem.is_empty(), says.is_empty(), "{problem}");
        };
        problem("no proxies until it is made", Some(BTreeSet::new()));
        fs::write(&path, "a=tcp://h:1\nb\n").unwrap();
        problem("line 2: ", None);
        fs::write(&path, "a=tcp://h:1\n").unwrap();
        problem("", Some(places(&[("a", "tcp://h:1")])));
        fs::write(&path, b"a=tcp://h:1\n\xff").unwrap();
        problem("UTF-8", None);
        fs::write(&path, "#".repeat(BYTES as usize)).unwrap();
        problem("", Some(BTreeSet::new()));
        fs::write(&path, "#".repeat(BYTES as usize + 1)).unwrap();
        problem("larger than 1 MiB", None);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        problem("no regular file", None);
    }

    #[test]
    fn a_warning_names_file_and_line_and_comes_once() {
        #[derive(Clone, Default)]
        struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxies");
        tracing::subscriber::with_default(subscriber, || {
            let mut file = Watched { path: path.clone(), problem: None };
            for text in ["x\n", "x\n", "a=tcp://h:1\n", "x\n"] {
                fs::write(&path, text).unwrap();
                file.read();
            }
        });
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let warnings: Vec<_> = lines.lines().collect();
        assert_eq!(warnings.len(), 2, "{lines}");
        for says in ["WARN", "line 1: `x` is no `stage=endpoint`", &format!("file={}", path.display())] {
            assert!(warnings.iter().all(|line| line.contains(says)), "{lines}");
        }
    }

    #[test]
    fn a_file_that_is_made_renamed_over_written_and_removed_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxies");
        let (_watch, told) = watched(&path);
        put(&path, "a=tcp://h:1\n");
        assert_eq!(told.recv_timeout(LONG), Ok(places(&[("a", "tcp://h:1")])));
        put(&path, "a=tcp://h:2\n");
        assert_eq!(told.recv_timeout(LONG), Ok(places(&[("a", "tcp://h:2")])));
        // Without truncation, so that it is never seen empty.
        let mut open = fs::OpenOptions::new().append(true).open(&path).unwrap();
        io::Write::write_all(&mut open, b"b=tcp://h:3\n").unwrap();
        drop(open);
        assert_eq!(told.recv_timeout(LONG), Ok(places(&[("a", "tcp://h:2"), ("b", "tcp://h:3")])));
        put(&path, "malformed\n");
        put(&path, "a=tcp://h:4\n");
        assert_eq!(told.recv_timeout(LONG), Ok(places(&[("a", "tcp://h:4")])), "the malformed was no change");
        fs::remove_file(&path).unwrap();
        assert_eq!(told.recv_timeout(LONG), Ok(BTreeSet::new()));
    }

    #[test]
    fn the_swap_of_a_config_map_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxies");
        let version = |name: &str, text: &str| {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("proxies"), text).unwrap();
            symlink(name, folder.path().join("..data_tmp")).unwrap();
            fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        };
        version("..2026_1", "a=tcp://h:1\n");
        symlink("..data/proxies", &path).unwrap();
        let (_watch, told) = watched(&path);
        assert_eq!(told.recv_timeout(LONG), Ok(places(&[("a", "tcp://h:1")])));
        version("..2026_2", "a=tcp://h:2\n");
        assert_eq!(told.recv_timeout(LONG), Ok(places(&[("a", "tcp://h:2")])));
    }

    #[test]
    fn what_does_not_change_the_file_is_not_looked_at() {
        let path = Path::new("/nowhere/proxies");
        let event = |kind, name: &str| matters(&Event::new(kind).add_path(Path::new("/nowhere").join(name)), path);
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(event(closed, "proxies"));
        assert!(!event(closed, "other"));
        assert!(!event(EventKind::Access(AccessKind::Open(AccessMode::Any)), "proxies"));
        assert!(!event(EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any)), "proxies"));
        assert!(event(EventKind::Remove(notify::event::RemoveKind::File), "proxies"));
        assert!(matters(&Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan), path));
    }

    #[test]
    fn a_folder_that_is_not_there_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no").join("proxies");
        let error = watch(path.to_str().unwrap(), Report::new(|_| ())).unwrap_err().to_string();
        assert!(error.contains("cannot watch the folder") && error.contains("must be there"), "{error}");
    }

    #[test]
    fn a_dropped_guard_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxies");
        let (watch, told) = watched(&path);
        drop(watch);
        // The thread had the sender.
        assert!(told.recv().is_err());
    }

    proptest! {
        #[test]
        fn no_file_panics_and_entries_come_through(text in any::<String>(), ports in prop::collection::btree_set(1_u16.., 0..9)) {
            let _ = parsed(&text);
            let lines: String = ports.iter().map(|port| format!("a=tcp://h:{port}\n# \n")).collect();
            prop_assert_eq!(parsed(&lines).map(|places| places.len()), Ok(ports.len()));
        }
    }
}
