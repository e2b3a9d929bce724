//! The pipeline whose processes are killed: stages that take the time that they are told, and one that cannot be tried twice.

use std::time::{Duration, Instant};

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Number {
    n: u64,
}

#[derive(Deserialize)]
struct Asked {
    /// How long it takes.
    #[serde(default)]
    ms: u64,
    /// A file to be made when it is cancelled.
    cancelled: Option<String>,
    /// A file to be made when it begins.
    begun: Option<String>,
    /// It kills its worker.
    #[serde(default)]
    poison: bool,
}

fn work(request: &Request, cx: &Context) -> Result<u64, ErrorResponse> {
    let Number { n } = request.path()?;
    let Asked { ms, cancelled, begun, poison } = request.query()?;
    if poison {
        std::process::abort();
    }
    if let Some(path) = begun {
        let _ = std::fs::write(path, cx.attempt().to_string());
    }
    let until = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < until {
        if let Err(why) = cx.check() {
            if let Some(path) = cancelled {
                let _ = std::fs::write(path, why.reason.as_str());
            }
            return Err(why.into());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(n)
}

/// May be tried again.
#[stage]
fn steady(request: Request, cx: &Context) -> Result<String, ErrorResponse> {
    Ok(work(&request, cx)?.to_string())
}

/// May not.
#[stage]
fn once(request: Request, cx: &Context) -> Result<String, ErrorResponse> {
    Ok(work(&request, cx)?.to_string())
}

#[derive(Message, Serialize, Deserialize)]
struct Half {
    n: u64,
    ms: u64,
}

/// The first of two.
#[stage]
fn begin(request: Request, cx: &Context) -> Result<Half, ErrorResponse> {
    let n = work(&request, cx)?;
    let Asked { ms, .. } = request.query()?;
    Ok(Half { n, ms })
}

#[derive(Routes)]
enum Next {
    #[to(end)]
    End(Half),
}

/// Leads from the first to the second.
#[stage]
fn lead(request: Request, cx: &Context) -> Result<Next, ErrorResponse> {
    begin(request, cx).map(Next::End)
}

#[stage]
fn end(Half { n, ms }: Half) -> String {
    std::thread::sleep(Duration::from_millis(ms));
    n.to_string()
}

fn main() -> Result<(), StartError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    Pipeline::new("faulty")
        .route_to::<steady>(Method::GET, "/steady/{n}")
        .route_to::<once>(Method::GET, "/once/{n}")
        .route_to::<lead>(Method::GET, "/chain/{n}")
        .health("/healthz")
        .metrics("/metrics")
        .drain_limit(Duration::from_secs(10))
        .node::<steady>()
        .workers(1)
        .idempotent()
        .node::<once>()
        .workers(1)
        .node::<lead>()
        .workers(1)
        .idempotent()
        .node::<end>()
        .workers(1)
        .idempotent()
        .build()?
        .main("tcp://127.0.0.1:0")
}
