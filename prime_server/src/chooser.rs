//! The user's own choice among idle workers, by what they are good at.

use std::fmt;
use std::sync::Arc;

use crate::panics::{caught, log};
use crate::{Affinity, Head};

/// A user's function that chooses among idle workers.
#[derive(Clone)]
pub(crate) struct Chooser(Arc<Choose>);

type Choose = dyn Fn(&Head, &[Affinity]) -> Option<usize> + Send + Sync;

impl Chooser {
    pub(crate) fn new(choose: impl Fn(&Head, &[Affinity]) -> Option<usize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(choose))
    }

    /// Which of these is to have the job of such a request. `None` where that is all the same, or the function is wrong.
    pub(crate) fn choose(&self, head: &Head, idle: &[Affinity]) -> Option<usize> {
        let chosen = caught(|| (self.0)(head, idle)).unwrap_or_else(|panic| {
            log(|| tracing::error!(panic, "the function panicked that chooses a worker"));
            None
        });
        chosen.filter(|at| *at < idle.len())
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    #[test]
    fn a_choice_that_is_none_of_the_idle_workers_or_a_panic_is_no_choice() {
        let choose = |head: &Head, idle: &[Affinity]| match head.path() {
            "/panic" => panic!("which one?"),
            "/nonsense" => Some(idle.len()),
            path => idle.iter().position(|worker| worker == path.trim_start_matches('/')),
        };
        let (chooser, idle) = (Chooser::new(choose), ["a", "b"].map(Affinity::from));
        let chosen = |path: &str| chooser.choose(Request::get(path).head(), &idle);
        assert_eq!(["/b", "/c", "/panic", "/nonsense"].map(chosen), [Some(1), None, None, None]);
    }
}
