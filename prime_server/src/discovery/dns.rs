//! `dns:`: the proxies are at the addresses of a name, as behind a headless service of Kubernetes.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, at, bounded, never, select, unbounded};

use super::entry::Entry;
use super::place::Place;
use super::watch::{Report, Thread, Watch, unstarted};
use crate::StartError;
use crate::panics::log;

/// From the end of one look-up to the next.
const EVERY: Duration = Duration::from_secs(2);

/// How long addresses hold of which no look-up says anything any more.
const KEPT: Duration = Duration::from_secs(30);

/// The entries, if each has a name to look up.
pub(super) fn checked(entries: Vec<Entry>) -> Result<Vec<Entry>, String> {
    match entries.iter().find(|entry| entry.tcp.is_none()) {
        Some(entry) => Err(format!("endpoint `{}` has no name to look up: `tcp://NAME:PORT` does", entry.endpoint)),
        None => Ok(entries),
    }
}

type Answer = Result<BTreeSet<SocketAddr>, String>;

/// What is known of all names.
#[derive(Debug)]
struct Names(Vec<Name>);

#[derive(Debug)]
struct Name {
    entry: Entry,
    addresses: BTreeSet<SocketAddr>,
    /// The last look-up that found some.
    found: Option<Instant>,
    failing: bool,
}

/// What there is to log of a name.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Failing(String),
    Recovered,
    Gone,
}

impl Names {
    fn new(entries: &[Entry]) -> Self {
        let name =
            |entry: &Entry| Name { entry: entry.clone(), addresses: BTreeSet::new(), found: None, failing: false };
        Self(entries.iter().map(name).collect())
    }

    /// A look-up of the name at `index` has ended.
    fn answered(&mut self, index: usize, answer: Answer, now: Instant) -> Option<Change> {
        let name = self.0.get_mut(index)?;
        let problem = match answer {
            Ok(addresses) if addresses.is_empty() => "it has no address".to_owned(),
            Err(problem) => problem,
            Ok(addresses) => {
                name.addresses = addresses;
                name.found = Some(now);
                return std::mem::take(&mut name.failing).then_some(Change::Recovered);
            }
        };
        (!std::mem::replace(&mut name.failing, true)).then_some(Change::Failing(problem))
    }

    /// When addresses fall due that no look-up confirms until then.
    fn next(&self) -> Option<Instant> {
        self.0.iter().filter_map(Name::due).min()
    }

    /// Forgets the addresses of one name that have fallen due, which is its index.
    fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let index = self.0.iter().position(|name| name.due().is_some_and(|due| due <= now))?;
        self.0[index].addresses.clear();
        Some(index)
    }

    fn places(&self) -> BTreeSet<Place> {
        self.0.iter().flat_map(Name::places).collect()
    }

    fn log(&self, index: usize, change: &Change) {
        let Entry { stage, endpoint, .. } = &self.0[index].entry;
        log(|| match change {
            Change::Failing(problem) => {
                tracing::warn!(
                    stage,
                    endpoint,
                    "cannot look up where its proxies are: {problem}; those known stay for 30 s"
                );
            }
            Change::Recovered => tracing::info!(stage, endpoint, "the look-up finds proxies again"),
            Change::Gone => tracing::warn!(stage, endpoint, "no look-up has found a proxy for 30 s: none is left"),
        });
    }
}

impl Name {
    fn due(&self) -> Option<Instant> {
        self.found.filter(|_| !self.addresses.is_empty()).map(|found| found + KEPT)
    }

    /// Where there are addresses of both families, the same proxies have both: each is to be connected to once.
    fn places(&self) -> impl Iterator<Item = Place> {
        let ipv4 = self.addresses.iter().any(SocketAddr::is_ipv4);
        let addresses = self.addresses.iter().filter(move |address| address.is_ipv4() == ipv4);
        addresses.map(|address| Place { stage: Some(self.entry.stage.clone()), endpoint: format!("tcp://{address}") })
    }
}

pub(super) fn watch(
    entries: &[Entry],
    report: Report<impl Fn(BTreeSet<Place>) + Send + 'static>,
) -> Result<Watch, StartError> {
    watch_by(look_up, EVERY, entries, report)
}

fn look_up(host: &str, port: u16) -> io::Result<BTreeSet<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn watch_by(
    look_up: impl Fn(&str, u16) -> io::Result<BTreeSet<SocketAddr>> + Clone + Send + 'static,
    every: Duration,
    entries: &[Entry],
    report: Report<impl Fn(BTreeSet<Place>) + Send + 'static>,
) -> Result<Watch, StartError> {
    let (alive, stop) = bounded::<()>(0);
    let (answer, answers) = unbounded();
    for (index, entry) in entries.iter().enumerate() {
        let (host, port) = entry.tcp.clone().expect("an entry with a name");
        let (look_up, stop, answer) = (look_up.clone(), stop.clone(), answer.clone());
        let look_up = move || look_up(&host, port).map_err(|error| error.to_string());
        // Nobody waits for the end of this one: a look-up can take as long as it likes.
        let look_ups = move || look_ups(index, look_up, every, &answer, &stop);
        thread::Builder::new().name("discovery-name".to_owned()).spawn(look_ups).map_err(unstarted)?;
    }
    let names = Names::new(entries);
    Ok(Watch::thread(Thread::start("discovery-dns", alive, move || run(names, report, &answers, &stop))?))
}

fn look_ups(
    index: usize,
    look_up: impl Fn() -> Answer,
    every: Duration,
    answers: &Sender<(usize, Answer)>,
    stop: &Receiver<()>,
) {
    while answers.send((index, look_up())).is_ok() {
        if stop.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn run(
    mut names: Names,
    mut report: Report<impl Fn(BTreeSet<Place>)>,
    answers: &Receiver<(usize, Answer)>,
    stop: &Receiver<()>,
) {
    loop {
        let due = names.next().map_or_else(never, at);
        let (index, change) = select! {
            recv(stop) -> _ => return,
            recv(answers) -> answer => {
                // They end before the guard is dropped only if a look-up panics.
                let Ok((index, answer)) = answer else { return };
                (index, names.answered(index, answer, Instant::now()))
            }
            recv(due) -> _ => match names.pop_due(Instant::now()) {
                Some(index) => (index, Some(Change::Gone)),
                None => continue,
            },
        };
        if let Some(change) = change {
            names.log(index, &change);
        }
        report.tell(names.places());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::entry;

    /// More than any machine needs.
    const LONG: Duration = Duration::from_secs(30);

    fn entries(text: &str) -> Vec<Entry> {
        entry::list(text).and_then(checked).unwrap()
    }

    fn addresses(addresses: &[&str]) -> BTreeSet<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn endpoints(places: &BTreeSet<Place>) -> Vec<(&str, &str)> {
        places.iter().map(|place| (place.stage.as_deref().unwrap(), place.endpoint.as_str())).collect()
    }

    fn found(names: &mut Names, index: usize, found: &[&str], now: Instant) -> Option<Change> {
        names.answered(index, Ok(addresses(found)), now)
    }

    #[test]
    fn a_name_is_as_many_proxies_as_it_has_addresses() {
        let mut names = Names::new(&entries("a=tcp://h:1,b=tcp://i:2"));
        let now = Instant::now();
        found(&mut names, 0, &["10.0.0.2:1", "10.0.0.1:1"], now);
        found(&mut names, 1, &["[::1]:2"], now);
        let all = [("a", "tcp://10.0.0.1:1"), ("a", "tcp://10.0.0.2:1"), ("b", "tcp://[::1]:2")];
        assert_eq!(endpoints(&names.places()), all);
        found(&mut names, 0, &["10.0.0.2:1", "10.0.0.3:1"], now);
        let all = [("a", "tcp://10.0.0.2:1"), ("a", "tcp://10.0.0.3:1"), ("b", "tcp://[::1]:2")];
        assert_eq!(endpoints(&names.places()), all);
    }

    #[test]
    fn of_both_families_the_first_is_taken() {
        let mut names = Names::new(&entries("a=tcp://h:1"));
        found(&mut names, 0, &["10.0.0.1:1", "[fd00::1]:1"], Instant::now());
        assert_eq!(endpoints(&names.places()), [("a", "tcp://10.0.0.1:1")]);
    }

    #[test]
    fn what_no_look_up_confirms_is_kept_for_30_s_and_each_change_is_logged_once() {
        let mut names = Names::new(&entries("a=tcp://h:1,b=tcp://i:1"));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(names.next(), None);
        assert_eq!(found(&mut names, 0, &["10.0.0.1:1"], at(0)), None);
        assert_eq!(found(&mut names, 1, &["10.0.0.2:1"], at(1000)), None);
        assert_eq!(
            names.answered(0, Err("timed out".to_owned()), at(2000)),
            Some(Change::Failing("timed out".to_owned()))
        );
        assert_eq!(names.answered(0, Ok(BTreeSet::new()), at(4000)), None);
        assert_eq!(names.next(), Some(at(30_000)));
        assert_eq!(names.pop_due(at(29_999)), None);
        assert_eq!(names.places().len(), 2);
        assert_eq!(names.pop_due(at(30_000)), Some(0));
        assert_eq!(names.pop_due(at(30_000)), None);
        assert_eq!(endpoints(&names.places()), [("b", "tcp://10.0.0.2:1")]);
        assert_eq!(names.next(), Some(at(31_000)));
        assert_eq!(names.answered(0, Err("timed out".to_owned()), at(30_500)), None);
        assert_eq!(found(&mut names, 0, &["10.0.0.3:1"], at(40_000)), Some(Change::Recovered));
        assert_eq!(found(&mut names, 0, &["10.0.0.3:1"], at(42_000)), None);
        let nothing = Change::Failing("it has no address".to_owned());
        assert_eq!(names.answered(0, Ok(BTreeSet::new()), at(44_000)), Some(nothing));
    }

    #[test]
    fn names_are_looked_up_again_and_again_and_one_that_hangs_holds_up_neither_another_nor_the_end() {
        let (give, given) = unbounded::<io::Result<BTreeSet<SocketAddr>>>();
        let (let_go, hang) = bounded::<()>(0);
        let look_up = move |host: &str, _| match host {
            "hangs" => hang.recv().map(|()| BTreeSet::new()).map_err(io::Error::other),
            _ => given.recv().map_err(io::Error::other)?,
        };
        let (found, told) = unbounded();
        let report = Report::new(move |places| found.send(places).unwrap());
        let entries = entries("a=tcp://hangs:1,b=tcp://h:1");
        let watch = watch_by(look_up, Duration::ZERO, &entries, report).unwrap();
        for (address, endpoint) in [("10.0.0.1:1", "tcp://10.0.0.1:1"), ("10.0.0.2:1", "tcp://10.0.0.2:1")] {
            give.send(Err(io::Error::other("busy"))).unwrap();
            give.send(Ok(addresses(&[address]))).unwrap();
            assert_eq!(endpoints(&told.recv_timeout(LONG).unwrap()), [("b", endpoint)]);
        }
        drop(watch);
        assert!(told.try_recv().is_err());
        drop(let_go);
    }

    #[test]
    fn a_numeric_name_is_its_own_address() {
        let (found, told) = unbounded();
        let report = Report::new(move |places| found.send(places).unwrap());
        let _watch = watch(&entries("a=tcp://127.0.0.1:7001,a=tcp://[::1]:7001"), report).unwrap();
        let all = [("a", "tcp://127.0.0.1:7001"), ("a", "tcp://[::1]:7001")];
        // The two names are two look-ups.
        let last = (0..2).map_while(|_| told.recv_timeout(LONG).ok()).find(|places| places.len() == 2).unwrap();
        assert_eq!(endpoints(&last), all);
    }
}
