//! The servers that ours is compared with, each served by this same binary and so with the same
//! allocator.

mod axum_server;
mod hyper_inline;
mod pools;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::net::TcpListener;

/// A peer, named by its HTTP library and by where its handlers do their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// axum, the work done in the handler.
    AxumInline,
    /// axum, the work sent through `spawn_blocking` behind a semaphore of one permit a worker.
    AxumSpawnBlocking,
    /// axum, the work sent through `spawn_blocking` as it comes: up to 512 threads.
    AxumSpawnBlockingDefault,
    /// axum, the work sent to a rayon pool, the answer back through a oneshot channel.
    AxumRayon,
    /// hyper with pipelined answers coalesced, the work done in the handler.
    HyperInline,
}

/// Serves `peer` on `listen` until the process is ended; calls `announce` with the bound address
/// once it listens.
///
/// `workers` is the number of tokio threads and, where there is a pool, of its threads.
pub(crate) fn serve(peer: Peer, listen: SocketAddr, workers: usize, announce: impl FnOnce(SocketAddr)) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}; port 0 takes any free port"))?;
        announce(listener.local_addr()?);
        match peer {
            Peer::AxumInline => axum_server::serve(listener, pools::Inline).await,
            Peer::AxumSpawnBlocking => axum_server::serve(listener, pools::Blocking::limited(workers)).await,
            Peer::AxumSpawnBlockingDefault => axum_server::serve(listener, pools::Blocking::unlimited()).await,
            Peer::AxumRayon => axum_server::serve(listener, pools::Rayon::new(workers)?).await,
            Peer::HyperInline => hyper_inline::serve(listener).await,
        }
    })
}
