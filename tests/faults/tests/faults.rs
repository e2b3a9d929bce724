//! What must hold whatever dies: outcomes only, as times are the report's (`cargo run --release -p faults`).

use std::path::Path;
use std::time::Duration;

use faults::{Came, Wire, scenarios};

const EXE: &str = env!("CARGO_BIN_EXE_faulty");
const LOST: Came = Came::Status(502);

fn exe() -> &'static Path {
    Path::new(EXE)
}

#[test]
fn an_idempotent_stage_answers_all_while_its_workers_are_killed() {
    scenarios::workers_killed(exe(), Wire::Ipc, "steady", 50).only(&[Came::Right]);
}

#[test]
fn another_stage_answers_502_for_what_a_killed_worker_had_and_nothing_else() {
    let report = scenarios::workers_killed(exe(), Wire::Tcp, "once", 50);
    report.only(&[Came::Right, LOST]);
    assert!(report.of(LOST) > 0, "no kill met a job: {:?}", report.counts);
}

#[test]
fn what_waits_is_answered_when_workers_come_back() {
    scenarios::all_workers_killed(exe(), Wire::Ipc, "steady", Duration::from_secs(1)).only(&[Came::Right]);
}

#[test]
fn an_idempotent_stage_answers_all_while_its_proxy_is_killed_and_comes_back() {
    scenarios::proxy_killed(exe(), Wire::Ipc, "steady", Duration::from_millis(500)).only(&[Came::Right]);
}

#[test]
fn another_stage_answers_502_for_what_a_killed_proxy_had() {
    let report = scenarios::proxy_killed(exe(), Wire::Tcp, "once", Duration::from_millis(500));
    report.only(&[Came::Right, LOST]);
    assert!(report.of(LOST) > 0, "the kill met no job: {:?}", report.counts);
}

#[test]
fn one_proxy_of_two_is_enough() {
    scenarios::one_of_two_proxies_killed(exe(), Wire::Tcp, "steady").only(&[Came::Right]);
}

#[test]
fn the_jobs_of_a_killed_front_end_are_cancelled_at_the_workers() {
    let _ = scenarios::front_end_killed(exe(), Wire::Ipc);
}

#[test]
fn an_idempotent_stage_answers_all_while_a_worker_stands_still() {
    scenarios::worker_stopped(exe(), Wire::Ipc, "steady", Duration::from_secs(5)).only(&[Came::Right]);
}

#[test]
fn another_stage_answers_502_for_what_a_worker_has_that_stands_still_and_drops_what_it_says_later() {
    let report = scenarios::worker_stopped(exe(), Wire::Tcp, "once", Duration::from_secs(5));
    report.only(&[Came::Right, LOST]);
    assert!(report.of(LOST) > 0, "the worker had no job: {:?}", report.counts);
}

#[test]
fn everything_is_restarted_and_nothing_is_lost() {
    scenarios::rolling_restart(exe(), Wire::Tcp, "once", 5).only(&[Came::Right]);
}

#[test]
fn a_stage_without_any_worker_is_answered_503() {
    scenarios::no_worker(exe(), Wire::Ipc).only(&[Came::Status(503)]);
}

#[test]
fn a_request_that_kills_its_workers_kills_no_more_than_three() {
    let (report, dead) = scenarios::poison(exe(), Wire::Ipc, 5);
    assert_eq!((report.of(LOST), dead), (1, 3), "{:?}", report.counts);
    report.only(&[Came::Right, LOST]);
}

#[test]
fn two_stages_survive_the_loss_of_any_part() {
    scenarios::chain(exe(), Wire::Tcp, 5).only(&[Came::Right]);
}

#[test]
fn no_request_is_unaccounted_for_whatever_dies() {
    let report = scenarios::random(exe(), Wire::Ipc, 1, Duration::from_secs(10), |_, _| ());
    report.only(&[Came::Right, LOST, Came::Status(503), Came::Closed, Came::Refused]);
}
