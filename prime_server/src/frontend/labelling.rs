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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Version};

    use super::*;

    fn head(path: &str) -> Head {
        Head::new(Method::GET, path, Version::HTTP_11, HeaderMap::new())
    }

    const OF_ROUTE_7: Labels =
        Labels { priority: Priority::DEFAULT, kind: Kind::number(7), tenant: Tenant::from_number(0) };

    #[test]
    fn where_nothing_is_said_a_request_is_of_its_routes_kind_and_of_no_tenant() {
        assert_eq!(Labelling::default().of(&head("/"), 7), OF_ROUTE_7);
    }

    #[test]
    fn what_the_functions_say_counts_and_one_that_panics_has_said_nothing() {
        let labelling = Labelling {
            priority: Some(Arc::new(|head| if head.path() == "/a" { Priority::BATCH } else { panic!("no priority") })),
            kind: Some(Arc::new(|head| if head.path() == "/a" { Kind::number(2) } else { panic!("no kind") })),
            tenant: Some(Arc::new(|head| if head.path() == "/a" { Tenant::of("a") } else { panic!("no tenant") })),
        };
        let said = Labels { priority: Priority::BATCH, kind: Kind::number(2), tenant: Tenant::of("a") };
        assert_eq!(labelling.of(&head("/a"), 7), said);
        assert_eq!(labelling.of(&head("/b"), 7), OF_ROUTE_7);
    }
}
