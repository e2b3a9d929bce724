//! axum over any [`Pool`]: the routes and the listener that all axum peers share.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::serve::ListenerExt;
use serde::Deserialize;
use tokio::net::TcpListener;

use super::pools::Pool;
use crate::work::Job;

pub(crate) async fn serve<P: Pool>(listener: TcpListener, pool: P) -> Result<()> {
    let routes = Router::new()
        .route("/", get(fixed::<P>))
        .route("/is_prime", get(is_prime::<P>))
        .route("/spin", get(spin::<P>))
        .with_state(pool);
    let listener = listener.tap_io(|stream| {
        // Fails only where the client is gone already, which the connection itself will notice.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, routes).await?;
    Ok(())
}

#[derive(Deserialize)]
struct IsPrime {
    possible_prime: u64,
}

#[derive(Deserialize)]
struct Spin {
    us: u64,
}

async fn fixed<P: Pool>(State(pool): State<P>) -> &'static str {
    pool.run(Job::Fixed).await
}

async fn is_prime<P: Pool>(State(pool): State<P>, Query(ask): Query<IsPrime>) -> &'static str {
    pool.run(Job::IsPrime(ask.possible_prime)).await
}

async fn spin<P: Pool>(State(pool): State<P>, Query(ask): Query<Spin>) -> &'static str {
    pool.run(Job::Spin(Duration::from_micros(ask.us))).await
}
