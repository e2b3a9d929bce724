//! `fixed:`: the proxies are in the string.

use std::collections::BTreeSet;

use super::entry::Entry;
use super::place::Place;
use super::watch::{Report, Watch};

pub(super) fn watch(entries: &[Entry], mut report: Report<impl Fn(BTreeSet<Place>)>) -> Watch {
    report.tell(entries.iter().map(Entry::place).collect());
    Watch::nothing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::entry::list;

    #[test]
    fn all_are_told_at_once_and_equal_ones_once() {
        let (found, told) = crossbeam_channel::unbounded();
        let entries = list("b=tcp://h:2,a=tcp://h:1,b=tcp://h:2,b=ipc://@x").unwrap();
        let _watch = watch(&entries, Report::new(move |places| found.send(places).unwrap()));
        let place =
            |stage: &str, endpoint: &str| Place { stage: Some(stage.to_owned()), endpoint: endpoint.to_owned() };
        let expected = BTreeSet::from([place("a", "tcp://h:1"), place("b", "tcp://h:2"), place("b", "ipc://@x")]);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [expected]);
    }
}
