//! HTTP requests of uneven cost, through typed stages, each a balanced pool of workers.

mod balancer;
mod context;
mod deadlines;
mod error;
mod frontend;
mod http1;
mod lifecycle;
mod loopback;
mod message;
mod metrics;
mod outcome;
mod pipeline;
mod request;
mod response;
mod runner;
mod schema;
mod stage;
mod transport;
mod wake;
mod worker;

/// The atomics that the wake-up protocol uses; its loom test puts loom's in their place.
mod sync {
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
}

pub use prime_server_macros::{Message, Schema, Stage, stage};

pub use context::{Cancelled, Context, Reason, RequestId};
pub use error::{BoxError, FormError, JsonError, PathError, QueryError, StartError, TextError};
pub use http1::Limits;
pub use message::{Codec, CodecError, Message, codec};
pub use outcome::{Feeds, Flow, Outcome, Step};
pub use pipeline::{Built, Client, ClientError, Constructed, Last, NoStage, Pending, Pipeline, Running, StageStats};
pub use request::{Head, Request};
pub use response::{Body, IntoResponse, Json, Response};
pub use schema::{Schema, Shape};
pub use stage::{Construct, Run, Stage, StageOptions};
pub use transport::Payload;

/// All that a file with stages needs: `use prime_server::prelude::*;`
pub mod prelude {
    pub use http::{Method, StatusCode};

    pub use crate::{
        Cancelled, Construct, Context, Feeds, Flow, IntoResponse, Json, Message, Outcome, Pipeline, Request, Response,
        Run, Schema, Stage, StartError, stage,
    };
}
