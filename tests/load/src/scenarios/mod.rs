//! The scenarios: who is driven how, and what figure is required.

mod ahead;
mod cycle;
pub(crate) mod deadline;
mod fixed;
mod heavies;
mod hello;
mod hops;
pub(crate) mod hostile;
mod idle;
pub(crate) mod inversion;
mod kinds;
mod lone;
mod memory;
mod mix;
mod open;
pub(crate) mod overload;
mod pipeline;
mod prime;
mod processes;
mod python;
mod shift;
mod split;
mod stages;
mod steady;
pub(crate) mod tenants;
mod uniform;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::contest::{Contest, Contestant, Drive};
use crate::ours;
use crate::peers::Peer;
use crate::server::Server;

/// What the command line decides for every scenario.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long a measured window is.
    pub(crate) window: Duration,
    /// Where random numbers begin.
    pub(crate) seed: u64,
    /// The open loop's rate as a share of capacity.
    pub(crate) load: f64,
    /// The project's root directory.
    pub(crate) root: PathBuf,
    /// The Python baseline's script.
    pub(crate) python_baseline: PathBuf,
}

/// A scenario as `load list` shows it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Rounds unless the command line says otherwise: one where the figure is a count that noise
    /// hardly moves.
    pub(crate) rounds: u32,
    pub(crate) contest: fn(&Settings) -> Result<Contest>,
}

/// All of them, in the order in which they run.
pub(crate) const ALL: [Scenario; 34] = [
    Scenario {
        name: "fixed",
        about: "a fixed answer from one stage of two workers, 64 connections",
        rounds: 5,
        contest: fixed::contest,
    },
    Scenario {
        name: "pipeline",
        about: "a fixed answer, 64 connections, 16 requests pipelined on each",
        rounds: 5,
        contest: pipeline::contest,
    },
    Scenario {
        name: "lone",
        about: "a fixed answer, one connection, one request at a time",
        rounds: 5,
        contest: lone::contest,
    },
    Scenario {
        name: "stages",
        about: "a fixed answer over two stages against one, 64 connections",
        rounds: 5,
        contest: stages::contest,
    },
    Scenario {
        name: "prime",
        about: "is 32416190071 prime, over two stages of two workers, 64 connections",
        rounds: 5,
        contest: prime::contest,
    },
    Scenario {
        name: "python",
        about: "is 7 prime, against a threaded Python server, 64 connections, kept alive and not",
        rounds: 5,
        contest: python::contest,
    },
    Scenario {
        name: "memory",
        about: "growth of resident memory over a million requests on 8 connections",
        rounds: 1,
        contest: memory::contest,
    },
    Scenario {
        name: "idle",
        about: "processor time over 20 idle seconds, 64 connections open",
        rounds: 1,
        contest: idle::contest,
    },
    Scenario {
        name: "deadline",
        about: "how late a 504 is after 200 ms, 8 clients asking for jobs of 2 s, workers busy",
        rounds: 3,
        contest: deadline::contest,
    },
    Scenario {
        name: "hello",
        about: "`fixed` with examples/hello, copied out of the project and built as by a user",
        rounds: 5,
        contest: hello::contest,
    },
    Scenario {
        name: "mix",
        about: "closed loop, 64 clients, 94 % of requests of 8 µs and 6 % of 8 ms on one path",
        rounds: 5,
        contest: mix::contest,
    },
    Scenario {
        name: "open",
        about: "open loop, the same mix as Poisson arrivals, latency from the due time",
        rounds: 5,
        contest: open::contest,
    },
    Scenario {
        name: "heavies",
        about: "8 clients that ask for 8 ms and nothing else, beside 64 that ask for 8 µs, closed loop",
        rounds: 5,
        contest: heavies::contest,
    },
    Scenario {
        name: "kinds",
        about: "the mix, closed loop, with what each request costs said rightly, wrongly and not at all",
        rounds: 5,
        contest: kinds::contest,
    },
    Scenario {
        name: "tenants",
        about: "10 tenants, open loop at half of what two processors can do, and one of them with 100 times its share",
        rounds: 5,
        contest: tenants::contest,
    },
    Scenario {
        name: "overload",
        about: "open loop at 3 times capacity, then at half of it",
        rounds: 3,
        contest: overload::contest,
    },
    Scenario {
        name: "shift",
        about: "two stages that share 8 workers, and 64 clients nine tenths of whom go from one to the other",
        rounds: 3,
        contest: shift::contest,
    },
    Scenario {
        name: "inversion",
        about: "2 clients that ask the front end for its health, alone and beside 16 that ask for 8 ms, every processor filled",
        rounds: 5,
        contest: inversion::contest,
    },
    Scenario {
        name: "uniform-short",
        about: "work of 100 µs alone, 64 connections, against a first-in-first-out queue",
        rounds: 5,
        contest: uniform::short,
    },
    Scenario {
        name: "uniform-long",
        about: "work of 10 ms alone, 64 connections, against a first-in-first-out queue",
        rounds: 5,
        contest: uniform::long,
    },
    Scenario {
        name: "scheduler",
        about: "a fixed answer, 64 connections, against a first-in-first-out queue",
        rounds: 5,
        contest: uniform::nothing,
    },
    Scenario {
        name: "processes",
        about: "a fixed answer from a front end, a proxy and two workers as processes, over ipc and tcp, 64 connections",
        rounds: 5,
        contest: processes::contest,
    },
    Scenario {
        name: "distance",
        about: "jobs of 200 µs by two workers that are 1 ms away from their proxy, by how much work they take ahead",
        rounds: 3,
        contest: ahead::distance,
    },
    Scenario {
        name: "ahead",
        about: "the mix of 8 µs and 8 ms by two workers near by, by how much work they take ahead",
        rounds: 3,
        contest: ahead::price,
    },
    Scenario {
        name: "hops",
        about: "a fixed answer over chains of 1, 2, 4 and 8 stages, 64 connections",
        rounds: 5,
        contest: hops::contest,
    },
    Scenario {
        name: "cycle",
        about: "two clients of 1,000 rounds of 1 ms beside many of one round, as a cycle and in one call",
        rounds: 3,
        contest: cycle::contest,
    },
    Scenario {
        name: "split",
        about: "a sum of 10^8 terms in 64 parts and in one, one client",
        rounds: 5,
        contest: split::contest,
    },
    Scenario {
        name: "slow-heads",
        about: "500 connections whose heads come a byte a second and never end, for 30 s",
        rounds: 3,
        contest: hostile::slow_heads::contest,
    },
    Scenario {
        name: "unread",
        about: "2,000 requests pipelined for answers of 64 KiB, none of which is read",
        rounds: 1,
        contest: hostile::unread::large,
    },
    Scenario {
        name: "unread-small",
        about: "a million small requests pipelined, no answer to which is read",
        rounds: 1,
        contest: hostile::unread::small,
    },
    Scenario {
        name: "slow-readers",
        about: "100 readers of an endless streamed answer that take a byte a second",
        rounds: 3,
        contest: hostile::slow_readers::contest,
    },
    Scenario {
        name: "crowd",
        about: "what each of 3,000 idle connections takes",
        rounds: 1,
        contest: hostile::crowd::contest,
    },
    Scenario {
        name: "noise",
        about: "60,000 connections with random, mutated or missing bytes, reset or left half-way",
        rounds: 1,
        contest: hostile::noise::contest,
    },
    Scenario {
        name: "few-files",
        about: "512 connections to a server that may open 256 files",
        rounds: 1,
        contest: hostile::few_files::contest,
    },
];

/// The label of our own contestant where there is one only.
const OURS: &str = "ours";

const AXUM_INLINE: &str = "axum-inline";
const AXUM_SPAWN_BLOCKING: &str = "axum-spawn-blocking";
const AXUM_SPAWN_BLOCKING_DEFAULT: &str = "axum-spawn-blocking-default";
const AXUM_RAYON: &str = "axum-rayon";
const HYPER_INLINE: &str = "hyper-inline";

fn peer(peer: Peer, drive: impl Drive + 'static) -> Contestant {
    let label = match peer {
        Peer::AxumInline => AXUM_INLINE,
        Peer::AxumSpawnBlocking => AXUM_SPAWN_BLOCKING,
        Peer::AxumSpawnBlockingDefault => AXUM_SPAWN_BLOCKING_DEFAULT,
        Peer::AxumRayon => AXUM_RAYON,
        Peer::HyperInline => HYPER_INLINE,
    };
    Contestant { label, server: Server::Peer(peer), drive: Box::new(drive) }
}

fn ours(label: &'static str, kind: ours::Kind, drive: impl Drive + 'static) -> Contestant {
    Contestant { label, server: Server::Ours(kind), drive: Box::new(drive) }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn labels_are_the_peers_names() {
        struct Never;
        impl Drive for Never {
            fn drive(&self, _: &crate::server::Running, _: u32) -> Result<crate::sample::Sample> {
                unreachable!("only its label is looked at")
            }
        }
        for one in Peer::value_variants() {
            let name = one.to_possible_value().expect("no peer is skipped");
            assert_eq!(peer(*one, Never).label, name.get_name());
        }
    }
}
