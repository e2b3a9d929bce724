//! What the user's functions say of each request: its priority, its kind, its tenant.

use std::fmt;
use std::sync::Arc;

use crate::head::Head;
use crate::labels::Labels;
use crate::panics::{caught, log};
use crate::{Kind, Priority, Tenant};

/// The user's functions, where there are some.
#[derive(Clone, Default)]
pub(crate) struct Labelling {
    pub(crate) priority: Option<Arc<OfHead<Priority>>>,
    pub(crate) kind: Option<Arc<OfHead<Kind>>>,
    pub(crate) tenant: Option<Arc<OfHead<Tenant>>>,
}

/// A function of the user.
pub(crate) type OfHead<T> = dyn Fn(&Head) -> T + Send + Sync;

impl Labelling {
    /// What is said of a request that came in by the route of that number.
    pub(crate) fn of(&self, head: &Head, route: usize) -> Labels {
        let route = Kind::number(route as u64);
        Labels {
            priority: said(self.priority.as_deref(), head, "priority", Priority::DEFAULT),
            kind: said(self.kind.as_deref(), head, "kind", route),
            tenant: said(self.tenant.as_deref(), head, "tenant", Tenant::default()),
        }
    }
}

fn said<T>(of: Option<&OfHead<T>>, head: &Head, what: &str, otherwise: T) -> T {
    let Some(of) = of else { return otherwise };
    caught(|| of(head)).unwrap_or_else(|panic| {
        log(|| tracing::error!(panic, "the function panicked that says the {what} of a request"));
        otherwise
    })
}

impl fmt::Debug for Labelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelling").finish_non_exhaustive()
    }
}
