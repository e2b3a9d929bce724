use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::transport::zmq::stand_in::{LIVENESS, StandIn, until, welcome};
use crate::transport::zmq::wire::{Status, decode, encode};

struct Scene {
    proxy: StandIn,
    links: Links,
    events: Events,
    now: Instant,
}

const STATUS: Command<'static> = Command::Status(Status { slots: 3, idempotent: false });

impl Scene {
    /// Of a proxy whose stage is said to be that, and a worker of `a`.
    fn new(stage: Option<&str>) -> Self {
        let options = Options { liveness: LIVENESS, wait: Duration::ZERO, secured: Secured::Open { insecure: false } };
        let identity = Identity {
            peer: [1; 16],
            name: "me".to_owned(),
            role: Role::Worker,
            only: Some("a".to_owned()),
            messages: vec![("a".to_owned(), "Message".to_owned(), 5)],
            worker: Some(StageTerms {
                slots: 1,
                queue: 2,
                timeout: None,
                idempotent: false,
                strict_priority: false,
                max_delay: None,
                refuse_hopeless: false,
            }),
        };
        let links = Links::new(zmq::Context::new(), options, identity);
        let mut scene = Self { proxy: StandIn::new(), links, events: Vec::new(), now: Instant::now() };
        scene.find(&[(stage, scene.proxy.endpoint().to_owned())]);
        scene
    }

    fn linked() -> Self {
        let mut scene = Self::new(Some("a"));
        scene.hello();
        scene.proxy.say(&[welcome("a")]);
        scene.must_be_linked("a");
        scene
    }

    fn find(&mut self, places: &[(Option<&str>, String)]) {
        let place = |(stage, endpoint): &(Option<&str>, String)| Place {
            stage: stage.map(str::to_owned),
            endpoint: endpoint.clone(),
        };
        self.links.set(&places.iter().map(place).collect(), self.now);
    }

    fn turn(&mut self) {
        self.links.receive(self.now, &mut self.events);
        self.links.keep_time(self.now, &mut self.events);
        self.links.flush(self.now, &mut self.events);
    }

    /// The next event.
    fn event(&mut self) -> (LinkId, Event) {
        until("an event", || {
            self.turn();
            (!self.events.is_empty()).then(|| self.events.remove(0))
        })
    }

    fn must_be_linked(&mut self, to: &str) -> LinkId {
        let (link, event) = self.event();
        assert!(matches!(&event, Event::Linked { stage } if stage == to), "{event:?}");
        link
    }

    fn must_be_lost(&mut self) {
        let (_, event) = self.event();
        assert!(matches!(event, Event::Lost), "{event:?}");
    }

    /// The next frame that the proxy hears.
    fn heard(&mut self) -> Vec<u8> {
        until("a frame", || {
            self.turn();
            self.proxy.hear()
        })
    }

    /// The role and the stage of the HELLO that the proxy hears next.
    fn hello(&mut self) -> (Role, String, bool) {
        let frame = self.heard();
        match decode(&frame) {
            Some(Command::Hello(hello)) => {
                assert_eq!(hello.message.is_some(), hello.role == Role::Worker);
                (hello.role, hello.stage.to_owned(), hello.worker.is_some())
            }
            other => panic!("{other:?} is no HELLO"),
        }
    }

    /// Until the proxy's word has come, which makes no event.
    fn refused(&mut self, word: &Command<'_>) -> Duration {
        let before = self.links.next;
        self.proxy.say(std::slice::from_ref(word));
        until("the connection is closed", || {
            self.turn();
            let paused = matches!(self.links.targets[0].state, State::Pausing { .. });
            (paused || self.links.next > before).then_some(())
        });
        assert!(self.events.is_empty(), "{:?}", self.events);
        self.links.next_due().unwrap().saturating_duration_since(self.now)
    }
}

#[test]
fn a_proxy_of_which_only_the_address_is_known_is_asked_what_it_serves() {
    let mut scene = Scene::new(None);
    assert_eq!(scene.hello(), (Role::Inquirer, String::new(), false));
    scene.proxy.say(&[welcome("a")]);
    assert_eq!(scene.hello(), (Role::Worker, "a".to_owned(), true));
    scene.proxy.say(&[welcome("a")]);
    scene.must_be_linked("a");
    // Another may be there by then.
    scene.now += LIVENESS;
    scene.must_be_lost();
    assert_eq!(scene.hello().0, Role::Inquirer);
}

#[test]
fn a_proxy_of_another_stage_is_left_alone_for_a_while() {
    let mut scene = Scene::new(None);
    scene.hello();
    assert_eq!(scene.refused(&welcome("b")), REFUSED_PAUSE);
    scene.now += REFUSED_PAUSE;
    assert_eq!(scene.hello().0, Role::Inquirer);
}

#[test]
fn what_came_with_the_welcome_comes_after_it() {
    let mut scene = Scene::new(Some("a"));
    assert_eq!(scene.hello(), (Role::Worker, "a".to_owned(), true));
    scene.proxy.say(&[welcome("a"), STATUS, STATUS]);
    let link = scene.must_be_linked("a");
    for _ in 0..2 {
        let (of, event) = scene.event();
        assert!(of == link && matches!(&event, Event::Frame(frame) if decode(frame) == Some(STATUS)), "{event:?}");
    }
}

#[test]
fn a_link_beats_and_is_lost_once_the_proxy_is_silent() {
    let mut scene = Scene::linked();
    for _ in 0..8 {
        scene.now += LIVENESS / 4;
        assert_eq!(scene.heard(), [Command::BEAT]);
        scene.proxy.say(&[Command::Beat, STATUS]);
        assert!(matches!(scene.event().1, Event::Frame(_)), "it is alive");
    }
    scene.now += LIVENESS - Duration::from_millis(1);
    scene.turn();
    assert!(scene.events.is_empty());
    assert_eq!(scene.heard(), [Command::BEAT]);
    scene.now += Duration::from_millis(1);
    scene.must_be_lost();
    assert!(!scene.links.is_linked());
    assert_eq!(scene.hello().0, Role::Worker, "it is tried anew at once");
}

#[test]
fn a_command_in_fragments_is_heard_as_each_comes_and_taken_as_one() {
    let mut scene = Scene::linked();
    let whole = encode(&Command::Cancel { job: 1 << 40, reason: 2 });
    for (at, byte) in whole.iter().enumerate() {
        let heard = scene.links.open_mut().next().unwrap().1.heard();
        scene.now += LIVENESS - Duration::from_millis(1);
        scene.proxy.say(&[Command::Fragment { last: at + 1 == whole.len(), bytes: &[*byte] }]);
        until("it is heard", || {
            scene.links.receive(scene.now, &mut scene.events);
            (scene.links.open_mut().next().unwrap().1.heard() > heard).then_some(())
        });
        scene.turn();
    }
    let (_, event) = scene.event();
    assert!(matches!(&event, Event::Frame(frame) if frame[..] == whole[..]), "{event:?}");
}

#[test]
fn a_proxy_whose_connection_ends_is_lost_at_once() {
    let mut scene = Scene::linked();
    // Only closed, it would still be there for those that connect.
    scene.proxy.say(&[STATUS]);
    scene.proxy = StandIn::new();
    assert!(matches!(scene.event().1, Event::Frame(_)), "what it had said before is heard");
    scene.must_be_lost();
}

#[test]
fn a_proxy_that_does_not_know_this_process_is_told_anew() {
    let mut scene = Scene::linked();
    scene.proxy.say(&[Command::Who]);
    scene.must_be_lost();
    assert_eq!(scene.hello().0, Role::Worker);
}

#[test]
fn attempts_are_further_apart_each_time_and_a_refusal_has_its_own_pause() {
    let mut scene = Scene::new(Some("a"));
    scene.hello();
    assert_eq!(scene.refused(&Command::Refused { why: "no" }), REFUSED_PAUSE);
    assert_eq!(scene.links.refusal().unwrap(), format!("refused by the proxy at {}: no", scene.proxy.endpoint()));
    scene.now += REFUSED_PAUSE;
    let mut pauses = Vec::new();
    for _ in 0..7 {
        scene.hello();
        let pause = scene.refused(&Command::Who);
        scene.now += pause;
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    // A link begins anew.
    scene.hello();
    scene.proxy.say(&[welcome("a")]);
    scene.must_be_linked("a");
    assert_eq!(scene.links.refusal(), None);
    scene.proxy.say(&[Command::Who]);
    scene.must_be_lost();
    scene.hello();
    assert_eq!(scene.refused(&Command::Who).as_millis(), 50);
}

#[test]
fn a_proxy_that_is_not_found_any_more_stays_as_long_as_it_is_linked() {
    let mut scene = Scene::linked();
    scene.find(&[]);
    scene.proxy.say(&[STATUS]);
    assert!(matches!(scene.event().1, Event::Frame(_)));
    scene.proxy.say(&[Command::Who]);
    scene.must_be_lost();
    scene.turn();
    assert_eq!(scene.links.next_due(), None, "it is forgotten");
    let endpoint = scene.proxy.endpoint().to_owned();
    scene.find(&[(Some("a"), endpoint.clone())]);
    scene.hello();
    scene.find(&[]);
    assert_eq!(scene.links.next_due(), None, "it was not linked");
    // Those of other stages are none of a worker's.
    scene.find(&[(Some("b"), endpoint)]);
    assert_eq!(scene.links.next_due(), None);
}

#[test]
fn what_is_elsewhere_is_not_connected_to_without_a_word() {
    let mut scene = Scene::linked();
    scene.find(&[(Some("a"), "tcp://192.0.2.1:7".to_owned())]);
    scene.proxy.say(&[Command::Who]);
    scene.must_be_lost();
    scene.turn();
    assert_eq!(scene.links.next_due(), Some(scene.now + UNWANTED_PAUSE));
    assert_eq!(scene.links.next, 1, "there was no other attempt");
}

/// A worker of `a` that has found one proxy, there.
fn found(endpoint: String) -> Scene {
    let mut scene = Scene::new(Some("a"));
    scene.find(&[(Some("a"), endpoint)]);
    assert_eq!(scene.links.targets.len(), 1, "the stand-in is forgotten");
    scene
}

#[test]
fn that_there_is_no_proxy_is_said_after_a_while_and_then_now_and_then() {
    let mut scene = found("ipc://@prime-nobody-has-this-name".to_owned());
    let State::Open { connection, .. } = &scene.links.targets[0].state else { panic!("it is tried") };
    assert_eq!(connection.trouble(), "nobody listens there");
    assert_eq!(scene.links.next_due(), Some(scene.now + PATIENCE));
    scene.now += PATIENCE;
    scene.turn();
    assert_eq!(scene.links.next_due(), Some(scene.now + LONG_PATIENCE));
}

#[test]
fn whoever_does_not_speak_the_language_is_told_from_a_proxy_that_says_nothing() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scene = found(format!("tcp://{}", other.local_addr().unwrap()));
    // ZMTP 3.0 with a mechanism that nobody has.
    let mut greeting = [0; 64];
    greeting[..12].copy_from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0]);
    greeting[12..16].copy_from_slice(b"NONE");
    std::thread::spawn(move || {
        let mut clients = Vec::new();
        for client in other.incoming().flatten() {
            let _ = (&client).write_all(&greeting);
            clients.push(client);
        }
    });
    // In real time, since it is ZeroMQ that finds out.
    let (start, began) = (scene.now, Instant::now());
    until("the handshake has failed", || {
        scene.now = start + began.elapsed();
        scene.turn();
        let target = &scene.links.targets[0];
        let State::Open { connection, .. } = &target.state else { return None };
        let troubles = [target.trouble, Some(connection.trouble())];
        troubles.iter().flatten().any(|trouble| trouble.contains("the handshake fails")).then_some(())
    });
}

#[test]
fn links_that_are_given_up_while_they_connect_hold_up_no_other() {
    let mut scene = Scene::new(Some("a"));
    let endpoint = scene.proxy.endpoint().to_owned();
    for _ in 0..300 {
        scene.find(&[]);
        scene.find(&[(Some("a"), endpoint.clone())]);
    }
    assert_eq!(scene.hello().0, Role::Worker);
}
