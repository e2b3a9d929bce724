//! Which proxy a job is sent to.

use super::*;

/// So many jobs enter; how many of them go to each proxy.
fn shared<const N: usize>(scene: &mut Scene, jobs: usize, links: [LinkId; N]) -> [usize; N] {
    (0..jobs).for_each(|_| _ = scene.enter());
    links.map(|link| scene.sent(link).len())
}

#[test]
fn the_proxy_with_the_fewest_jobs_to_a_thread_gets_the_next() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 1, false);
    scene.link(Q, FIRST, 3, false);
    assert_eq!(shared(&mut scene, 8, [P, Q]), [2, 6]);
}

#[test]
fn what_has_ended_does_not_count() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 1, false);
    scene.link(Q, FIRST, 1, false);
    (0..4).for_each(|_| _ = scene.enter());
    for sent in scene.sent(P) {
        scene.answer(P, sent.job, b"");
    }
    scene.sent(Q);
    assert_eq!(shared(&mut scene, 2, [P, Q]), [2, 0]);
}

#[test]
fn a_proxy_without_workers_gets_jobs_only_where_the_others_have_none_either() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 0, false);
    scene.link(Q, FIRST, 1, false);
    assert_eq!(shared(&mut scene, 3, [P, Q]), [0, 3]);
    scene.say(Q, &Command::Status(Status { slots: 0, idempotent: false }));
    assert_eq!(shared(&mut scene, 5, [P, Q]), [4, 1], "by their jobs alone");
}

#[test]
fn a_proxy_that_leaves_gets_no_jobs() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 9, false);
    scene.link(Q, FIRST, 1, false);
    scene.leave(P);
    assert_eq!(shared(&mut scene, 3, [P, Q]), [0, 3]);
    scene.leave(Q);
    assert_eq!(shared(&mut scene, 1, [P, Q]), [0, 0], "they wait for another");
    scene.link(R, FIRST, 1, false);
    assert_eq!(scene.sent(R).len(), 1);
}

#[test]
fn stages_do_not_share_proxies() {
    let mut scene = Scene::new();
    scene.link(P, SECOND, 9, false);
    scene.link(Q, FIRST, 1, false);
    assert_eq!(shared(&mut scene, 2, [P, Q]), [0, 2]);
}

#[test]
fn no_number_of_threads_is_too_large_to_compare() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, u64::MAX, false);
    scene.link(Q, FIRST, u64::MAX / 2, false);
    assert_eq!(shared(&mut scene, 6, [P, Q]), [4, 2]);
}
