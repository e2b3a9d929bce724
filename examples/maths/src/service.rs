//! The pipeline: the URL chooses the stage that reads the request, and that stage's pool does the rest.

use prime_server::Built;
use prime_server::prelude::*;

use crate::derivatives::{self, derivative, differentiate};
use crate::integrals::{integral, refine};
use crate::summations::{self, sum, summation, total};

/// The service, with that many workers at each stage that computes.
pub(crate) fn maths(workers: Option<u16>) -> Result<Built, StartError> {
    let workers = workers.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    Pipeline::new("maths")
        .route_to::<derivative>(Method::GET, "/derivative")
        .route_to::<summation>(Method::GET, "/summation")
        .route_to::<integral>(Method::GET, "/integral")
        .health("/healthz")
        .metrics("/metrics")
        // One to the first order, and one from each order to the next: the longest way through the graph.
        .max_hops(derivatives::MAX_ORDER)
        .max_parts(summations::MAX_PARTS)
        .node::<derivative>()
        .stage::<differentiate>()
        .workers(workers)
        .node::<summation>()
        .split::<sum>()
        .workers(workers)
        .join::<total>()
        .node::<integral>()
        .stage::<refine>()
        .workers(workers)
        .build()
}
