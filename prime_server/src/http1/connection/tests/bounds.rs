//! What a client can make a connection hold, and how it ends.

use super::*;

const BUSY: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "there is no room");

impl Driven {
    fn refuse(&mut self) {
        self.connection.refuse(BUSY.0, BUSY.1, DATE);
    }
}

fn at_most(pipelined: usize, unparsed: usize, unsent: usize) -> Driven {
    Driven::with(Limits { pipelined, unparsed, unsent, ..Limits::default() })
}

#[test]
fn requests_over_the_pipelining_limit_wait_for_answers() {
    let mut driven = at_most(2, 1000, 1000);
    assert_eq!(driven.receive([get("/0"), get("/1"), get("/2")].concat()), ["/0", "/1"]);
    assert_eq!(driven.receive(get("/3")), [""; 0]);
    assert_eq!(driven.connection.held(), get("/2").len() + get("/3").len());
    assert!(driven.connection.is_receiving());
    assert_eq!(driven.resume(), [""; 0], "nothing was answered");
    driven.answer(1, "1");
    assert_eq!(driven.resume(), [""; 0], "request 0 still waits, and 1 behind it");
    driven.answer(0, "0");
    assert_eq!(driven.resume(), ["/2", "/3"]);
    driven.answer(2, "2");
    driven.answer(3, "3");
    assert_eq!(driven.sent(), [ok("0"), ok("1"), ok("2"), ok("3")].concat());
    assert_eq!(driven.connection.held(), 0);
}

#[test]
fn a_body_is_read_at_the_pipelining_limit() {
    let mut driven = at_most(1, 10, 1000);
    assert_eq!(driven.receive(post("/0", "Content-Length: 100", "")), [""; 0]);
    assert_eq!(driven.receive("b".repeat(99)), [""; 0]);
    assert_eq!(driven.receive("b"), ["/0"], "it is its own request's");
}

#[test]
fn what_waited_unparsed_may_be_a_part_of_a_request() {
    let second = post("/1", "Content-Length: 4", "body");
    for cut in 1..second.len() {
        let mut driven = at_most(1, 1000, 1000);
        assert_eq!(driven.receive([&get("/0"), &second[..cut]].concat()), ["/0"]);
        driven.answer(0, "0");
        assert_eq!(driven.resume(), [""; 0], "cut at {cut}");
        assert_eq!(driven.receive(&second[cut..]), ["/1"], "cut at {cut}");
        driven.answer(1, "1");
        assert_eq!(driven.sent(), [ok("0"), ok("1")].concat());
    }
}

#[test]
fn an_error_that_waited_unparsed_is_answered_in_its_turn() {
    let mut driven = at_most(1, 1000, 1000);
    assert_eq!(driven.receive([get("/0"), "nonsense\n".to_owned()].concat()), ["/0"]);
    driven.answer(0, "0");
    assert_eq!(driven.sent(), ok("0"));
    assert!(!driven.connection.is_ended());
    assert_eq!(driven.resume(), [""; 0]);
    assert_refused(&driven.sent(), 400);
    assert!(driven.is_over());
}

#[test]
fn a_client_that_waits_for_100_at_the_pipelining_limit_gets_it_when_it_is_read() {
    let mut driven = at_most(1, 1000, 1000);
    driven.receive([get("/0"), post("/1", "Expect: 100-continue\r\nContent-Length: 1", "")].concat());
    driven.answer(0, "0");
    assert_eq!(driven.sent(), ok("0"));
    driven.resume();
    assert_eq!(driven.sent(), CONTINUE);
}

#[test]
fn too_much_unparsed_ends_the_connection_after_what_was_accepted() {
    let overflow = get("/2").len() + 10;
    for pieces in [vec![overflow], vec![1; overflow]] {
        let mut driven = at_most(2, overflow - 1, 1000);
        assert_eq!(driven.receive([get("/0"), get("/1")].concat()), ["/0", "/1"]);
        let mut stream = &*get("/2").repeat(2);
        for piece in pieces {
            assert!(driven.connection.held() < overflow);
            assert_eq!(driven.receive(&stream[..piece]), [""; 0]);
            stream = &stream[piece..];
        }
        assert_eq!(driven.connection.held(), 0, "it is let go of at once");
        assert!(!driven.connection.is_ended());
        driven.answer(1, "1");
        driven.answer(0, "0");
        assert_eq!(driven.resume(), [""; 0]);
        assert_eq!(driven.sent(), [ok("0"), last_ok("1")].concat());
        assert!(driven.is_over());
    }
}

#[test]
fn unparsed_up_to_the_limit_is_kept() {
    let mut driven = at_most(1, get("/1").len(), 1000);
    assert_eq!(driven.receive([get("/0"), get("/1")].concat()), ["/0"]);
    driven.answer(0, "0");
    assert_eq!(driven.resume(), ["/1"]);
}

#[test]
fn a_part_of_a_head_is_bound_by_the_heads_limit_only() {
    let mut driven = at_most(1, 10, 1000);
    assert_eq!(driven.receive("GET / HTTP/1.1\r\n"), [""; 0]);
    assert_eq!(driven.receive("Host: h\r\n\r\n"), ["/"]);
}

#[test]
fn nothing_is_parsed_while_too_much_is_unsent() {
    let mut driven = at_most(10, 1000, 100);
    driven.receive(get("/0"));
    driven.answer(0, "more than the limit with its head, but what is there is there");
    assert_eq!(driven.receive(get("/1")), [""; 0]);
    assert_eq!(driven.resume(), [""; 0]);
    driven.sent();
    assert_eq!(driven.resume(), ["/1"]);
}

#[test]
fn answers_that_wait_for_their_turn_are_unsent_too() {
    let mut driven = at_most(10, 1000, 100);
    driven.receive([get("/0"), get("/1")].concat());
    driven.answer(1, "more than the limit with its head, but what is there is there");
    let held = driven.connection.held();
    assert!(held > 100, "{held} bytes are held for the client");
    assert_eq!(driven.receive(get("/2")), [""; 0]);
    driven.answer(0, "0");
    driven.sent();
    assert_eq!(driven.resume(), ["/2"]);
}

#[test]
fn too_much_unparsed_while_too_much_is_unsent_ends_the_connection_after_it() {
    let mut driven = at_most(10, 30, 100);
    driven.receive(get("/0"));
    driven.answer(0, "more than the limit with its head, but what is there is there");
    assert!(!driven.connection.is_ended());
    driven.receive(get("/1").repeat(2));
    assert!(driven.connection.is_ended());
    assert!(driven.sent().starts_with("HTTP/1.1 200 "));
    assert!(driven.is_over());
}

#[test]
fn what_is_held_is_counted_from_both_sides() {
    let mut driven = at_most(2, 1000, 10_000);
    let held = |driven: &Driven| driven.connection.held();
    assert_eq!(held(&driven), 0);
    driven.receive("GET /");
    assert_eq!(held(&driven), 5);
    driven.receive(&get("/")[5..]);
    assert_eq!(held(&driven), 0, "the request is with whoever took it");
    let chunked = post("/", "Transfer-Encoding: chunked", "");
    driven.receive([&chunked, "4\r\nbo"].concat());
    let head = kept_of_post(&chunked);
    assert_eq!(held(&driven), head + 2);
    driven.receive("dy\r\n0\r\nTrailer: un");
    assert_eq!(held(&driven), head + 4 + "Trailer: un".len());
    driven.receive("known\r\n\r\n");
    assert_eq!(held(&driven), 0);
    driven.answer(1, "1");
    assert_eq!(held(&driven), ok("1").len());
    driven.receive(get("/2"));
    assert_eq!(held(&driven), ok("1").len() + get("/2").len());
    driven.answer(0, "0");
    assert_eq!(held(&driven), ok("0").len() + ok("1").len() + get("/2").len());
    driven.sent();
    assert_eq!(held(&driven), get("/2").len());
    driven.resume();
    assert_eq!(held(&driven), 0);
}

#[test]
fn ending_an_idle_connection_ends_it_at_once() {
    let mut driven = Driven::new();
    driven.receive(get("/0"));
    driven.answer(0, "0");
    driven.connection.end_after_last();
    assert!(driven.connection.is_ended());
    assert_eq!(driven.sent(), ok("0"), "what was to be sent is");
    assert_eq!(driven.receive(get("/1")), [""; 0]);
    assert!(driven.is_over());
}

#[test]
fn ending_with_requests_in_flight_closes_after_the_last_answer() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/1")].concat());
    driven.connection.end_after_last();
    assert!(!driven.connection.is_ended());
    assert_eq!(driven.receive(get("/2")), [""; 0]);
    driven.answer(0, "0");
    driven.connection.end_after_last();
    driven.answer(1, "1");
    assert_eq!(driven.sent(), [ok("0"), last_ok("1")].concat());
    assert!(driven.is_over());
}

#[test]
fn ending_amid_a_head_forgets_it() {
    let mut driven = Driven::new();
    driven.receive([&get("/0"), "GET /1"].concat());
    driven.connection.end_after_last();
    driven.answer(0, "0");
    assert_eq!(driven.sent(), last_ok("0"));
    assert!(driven.is_over());
}

#[test]
fn ending_amid_a_body_forgets_its_request() {
    for earlier in [true, false] {
        let mut driven = Driven::new();
        if earlier {
            driven.receive(get("/0"));
        }
        driven.receive(post("/1", "Content-Length: 4", "bo"));
        driven.connection.end_after_last();
        assert_eq!(driven.connection.is_ended(), !earlier);
        assert_eq!(driven.receive("dy"), [""; 0]);
        driven.answer(0, "0");
        assert_eq!(driven.sent(), if earlier { last_ok("0") } else { String::new() });
        assert!(driven.is_over());
    }
}

#[test]
fn ending_amid_a_streamed_answer_lets_it_come_to_its_end() {
    let mut driven = Driven::new();
    driven.receive(get("/0"));
    driven.reply(0, Reply::head(response("")));
    driven.connection.end_after_last();
    assert!(!driven.connection.is_ended());
    driven.reply(0, Reply::End);
    assert!(driven.sent().ends_with("\r\n\r\n0\r\n\r\n"));
    assert!(driven.is_over());
}

#[test]
fn ending_twice_or_after_an_error_changes_nothing() {
    let mut driven = Driven::new();
    driven.receive([get("/0"), get("/ /")].concat());
    driven.connection.end_after_last();
    driven.connection.end_after_last();
    driven.answer(0, "0");
    let sent = driven.sent();
    assert_refused(sent.strip_prefix(&ok("0")).unwrap(), 400);
    driven.connection.end_after_last();
    assert!(driven.is_over());
}

#[test]
fn a_client_is_cut_off_if_it_may_still_be_sending() {
    fn ended(bytes: impl AsRef<[u8]>, end: impl FnOnce(&mut Driven)) -> bool {
        let mut driven = at_most(2, 30, 1000);
        driven.receive(bytes);
        end(&mut driven);
        driven.answer(0, "0");
        driven.answer(1, "1");
        assert!(driven.connection.is_ended());
        driven.connection.is_cut_off()
    }
    let end = |driven: &mut Driven| driven.connection.end_after_last();
    let close = |driven: &mut Driven| driven.reply(0, Reply::whole(with_connection(&["close"])));
    let nothing = |_: &mut Driven| {};
    let (amid_a_head, amid_a_body) =
        ([&get("/"), "GET /"].concat(), get("/") + &post("/", "Content-Length: 9", "body"));

    assert!(!ended("", end));
    assert!(!ended(get("/"), end));
    assert!(!ended(get("/"), close));
    assert!(!ended(get_with("/", "Connection: close"), nothing));
    for bytes in [amid_a_head, amid_a_body] {
        assert!(ended(&bytes, end));
        assert!(ended(&bytes, close));
        assert!(ended(&bytes, Driven::refuse));
    }
    assert!(ended("nonsense\n", nothing));
    assert!(ended("", Driven::refuse));
    assert!(ended(get("/").repeat(4), nothing), "it sent more than is kept");
}

#[test]
fn a_new_connection_can_be_refused() {
    let mut driven = Driven::new();
    driven.refuse();
    assert_refused(&driven.sent(), 503);
    assert!(driven.is_over());
    assert_eq!(driven.receive(get("/0")), [""; 0]);
}

#[test]
fn a_refusal_comes_after_the_answers_that_are_due_before() {
    let mut driven = Driven::new();
    driven.receive([&get("/0"), "GET /1"].concat());
    driven.refuse();
    assert_eq!(driven.sent(), "");
    driven.answer(0, "0");
    let sent = driven.sent();
    assert_refused(sent.strip_prefix(&ok("0")).unwrap(), 503);
    assert!(driven.is_over());
}

#[test]
fn a_refusal_amid_a_body_is_the_answer_to_its_request() {
    for earlier in [true, false] {
        let mut driven = Driven::new();
        if earlier {
            driven.receive(get("/0"));
        }
        driven.receive(post("/1", "Content-Length: 4", "bo"));
        driven.refuse();
        assert_eq!(driven.receive("dy"), [""; 0]);
        driven.answer(0, "0");
        let sent = driven.sent();
        assert_refused(sent.strip_prefix(&*if earlier { ok("0") } else { String::new() }).unwrap(), 503);
        assert!(driven.is_over());
    }
}

#[test]
fn head_is_refused_without_a_body() {
    for beginning in ["HEAD / HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"] {
        let mut driven = Driven::new();
        driven.receive(beginning);
        driven.refuse();
        let sent = driven.sent();
        assert!(sent.starts_with("HTTP/1.1 503 ") && sent.ends_with("\r\n\r\n"), "{sent}");
    }
}

#[test]
fn where_nothing_more_is_read_nothing_is_refused() {
    let mut driven = Driven::new();
    driven.receive(get_with("/0", "Connection: close"));
    for _ in 0..10 {
        driven.receive("more");
        driven.refuse();
        assert_eq!(driven.connection.held(), 0);
    }
    driven.answer(0, "0");
    assert_eq!(driven.sent(), last_ok("0"));

    let mut driven = Driven::new();
    driven.refuse();
    driven.refuse();
    assert_refused(&driven.sent(), 503);
    driven.refuse();
    assert_eq!(driven.sent(), "");
    assert!(driven.is_over());
}

#[test]
fn a_connection_ends_with_the_last_request_that_it_may_make() {
    let mut driven = Driven::new();
    driven.limits.requests = 2;
    assert_eq!(driven.receive([get("/0"), get("/1"), get("/2")].concat()), ["/0", "/1"]);
    driven.answer(0, "0");
    driven.answer(1, "1");
    assert_eq!(driven.sent(), [ok("0"), last_ok("1")].concat());
    assert!(driven.is_over());
    assert!(driven.connection.is_cut_off(), "the client has sent more, and is to read its answers nevertheless");
}
