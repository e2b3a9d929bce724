//! What holds for any bytes, in any pieces, and for answers in any order.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::streams::{self, cut, places, stream};
use super::*;

/// Limits that the streams reach now and then.
fn tight() -> Limits {
    Limits { target: 40, head: 200, body: 60, pipelined: 3, unparsed: 300, unsent: 1000, ..Limits::default() }
}

/// The most that a client can make a connection hold under those limits: what waits unparsed, or a head with its body and an
/// unfinished line of it.
fn most_held(limits: &Limits) -> usize {
    let line = limits.head.max(crate::http1::limits::MAX_CHUNK_LINE);
    limits.unparsed.max(limits.head + limits.body + line)
}

/// A whole refusal, and a 100 before it.
const MOST_OF_ITS_OWN: usize = 300;

/// All that a client sees of a connection. Without the 100s: whether there is need for one depends on when the body comes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    arrivals: Vec<String>,
    sent: String,
    ended: bool,
}

impl Seen {
    fn take(&mut self, driven: &mut Driven) {
        self.sent += &driven.sent().replace(CONTINUE, "");
        self.ended = driven.connection.is_ended();
    }
}

fn described(arrival: &Arrival) -> String {
    format!("{} {:?} {:?} {:?}", arrival.seq, arrival.head, arrival.head.headers(), arrival.body)
}

/// Gives the bytes piece by piece, then answers everything in order, and checks on the way how much is held.
fn receive_then_answer(pieces: &[&[u8]]) -> Seen {
    let mut driven = Driven::with(tight());
    let mut arrivals = Vec::new();
    for piece in pieces {
        arrivals.extend(driven.arrivals(piece));
        assert!(driven.connection.held() <= most_held(&driven.limits) + MOST_OF_ITS_OWN);
    }
    let mut seen = Seen::default();
    let mut answered = 0;
    while answered < arrivals.len() {
        driven.answer(answered as u64, "an answer");
        answered += 1;
        seen.take(&mut driven);
        let Driven { connection, limits } = &mut driven;
        connection.resume(limits, DATE, &mut arrivals);
    }
    seen.take(&mut driven);
    seen.arrivals = arrivals.iter().map(described).collect();
    driven.connection.end_after_last();
    assert!(driven.is_over(), "all is answered and sent, so nothing is held");
    seen
}

/// The pieces in which a request is answered.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Whole,
    Streamed,
    Aborted,
    Closing,
}

impl Manner {
    fn replies(self, seq: u64) -> VecDeque<Reply> {
        let whole = |response: Response| VecDeque::from([Reply::whole(response)]);
        let text = format!("answer {seq}");
        let mut pieces = VecDeque::from([Reply::head(response("")), Reply::Chunk(text.clone().into())]);
        match self {
            Self::Whole => return whole(Response::new(text.into())),
            Self::Closing => return whole(with_connection(&["close"])),
            Self::Streamed => pieces.extend([Reply::Chunk("more".into()), Reply::End]),
            Self::Aborted => pieces.push_back(Reply::Abort),
        }
        pieces
    }
}

fn manners() -> impl Strategy<Value = Vec<Manner>> {
    let manner = prop_oneof![
        8 => Just(Manner::Whole),
        4 => Just(Manner::Streamed),
        1 => Just(Manner::Aborted),
        1 => Just(Manner::Closing),
    ];
    proptest::collection::vec(manner, 1..10)
}

/// Gives the bytes piece by piece and the answers in their manners. `schedule` says, step by step, what comes next: a piece, or
/// the next part of one of the answers that are due; without it, all the pieces, then the answers in order.
fn interleave(pieces: &[&[u8]], manners: &[Manner], schedule: &[Option<Index>]) -> Seen {
    let mut driven = Driven::new();
    let mut seen = Seen::default();
    let mut pieces = pieces.iter();
    let mut due: Vec<(u64, VecDeque<Reply>)> = Vec::new();
    let mut schedule = schedule.iter();
    loop {
        let step = schedule.next().copied().flatten();
        match step {
            Some(which) if !due.is_empty() => {
                let at = which.index(due.len());
                let (seq, replies) = &mut due[at];
                driven.reply(*seq, replies.pop_front().unwrap());
                if replies.is_empty() {
                    due.remove(at);
                }
            }
            _ => match pieces.next() {
                Some(piece) => {
                    for arrival in driven.arrivals(piece) {
                        seen.arrivals.push(described(&arrival));
                        due.push((arrival.seq, manners[arrival.seq as usize % manners.len()].replies(arrival.seq)));
                    }
                }
                None if due.is_empty() => break,
                None => due.drain(..).for_each(|(seq, replies)| {
                    replies.into_iter().for_each(|reply| driven.reply(seq, reply));
                }),
            },
        }
        seen.take(&mut driven);
    }
    driven.connection.end_after_last();
    assert!(driven.is_over(), "all is answered and sent, so nothing is held");
    seen
}

/// Anything that the front end may do with a connection.
#[derive(Clone, Debug)]
enum Call {
    Receive(Vec<u8>),
    Reply(Index, u8),
    Sent,
    Resume,
    EndAfterLast,
    Refuse,
}

fn call() -> impl Strategy<Value = Call> {
    let tokens: Vec<&[u8]> = vec![
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b":",
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        b"HTTP/1.2",
        b"HTTP/1.2 HTTP/1.2",
        b"HTTP/2.0",
        b"POST / HTTP/1.1\r\nHost: h\r\n",
        b"Content-Length: 5\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"5\r\n",
        b"0\r\n",
        b"12345",
        b"ffffffffffffffff",
    ];
    let tokens = proptest::collection::vec(select(tokens), 1..8).prop_map(|tokens| tokens.concat());
    prop_oneof![
        4 => tokens.prop_map(Call::Receive),
        2 => stream().prop_map(Call::Receive),
        1 => proptest::collection::vec(any::<u8>(), 0..50).prop_map(Call::Receive),
        6 => (any::<Index>(), 0..5_u8).prop_map(|(which, what)| Call::Reply(which, what)),
        2 => Just(Call::Sent),
        2 => Just(Call::Resume),
        1 => prop_oneof![Just(Call::EndAfterLast), Just(Call::Refuse)],
    ]
}

proptest! {
    #[test]
    fn sound_requests_arrive_as_they_were_sent(
        requests in proptest::collection::vec(streams::request(), 1..8),
        places in places(),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(streams::Request::written).collect();
        let mut driven = Driven::new();
        let arrivals: Vec<Arrival> = cut(&bytes, &places).iter().flat_map(|piece| driven.arrivals(piece)).collect();
        prop_assert_eq!(arrivals.len(), requests.len());
        for (arrival, request) in arrivals.iter().zip(&requests) {
            let head = &arrival.head;
            prop_assert_eq!((head.method().as_str(), head.target()), (request.method, &*request.target));
            prop_assert_eq!(head.version() == Version::HTTP_10, request.version == "HTTP/1.0");
            prop_assert_eq!(&arrival.body[..], request.body());
            for (name, value) in &request.headers {
                prop_assert!(head.headers().get_all(name).iter().any(|it| it == value.as_bytes()), "{name}: {value}");
            }
        }
    }

    #[test]
    fn any_split_of_the_bytes_leads_to_the_same(bytes in stream(), places in places()) {
        let whole = receive_then_answer(&[&bytes]);
        prop_assert_eq!(&receive_then_answer(&bytes.chunks(1).collect::<Vec<_>>()), &whole);
        prop_assert_eq!(&receive_then_answer(&cut(&bytes, &places)), &whole);
    }

    #[test]
    fn any_cut_in_two_leads_to_the_same(requests in proptest::collection::vec(streams::request(), 1..3)) {
        let bytes: Vec<u8> = requests.iter().flat_map(streams::Request::written).collect();
        let whole = receive_then_answer(&[&bytes]);
        for place in 0..=bytes.len() {
            prop_assert_eq!(&receive_then_answer(&[&bytes[..place], &bytes[place..]]), &whole, "cut at {}", place);
        }
    }

    #[test]
    fn answers_in_any_order_and_at_any_time_give_the_same_bytes(
        bytes in stream(),
        places in places(),
        manners in manners(),
        schedule in proptest::collection::vec(any::<Option<Index>>(), 0..60),
    ) {
        let in_order = interleave(&[&bytes], &manners, &[]);
        let seen = interleave(&cut(&bytes, &places), &manners, &schedule);
        prop_assert_eq!(&seen.sent, &in_order.sent);
        prop_assert_eq!(seen.ended, in_order.ended);
        // Where an answer ends the connection, what comes later is not read.
        prop_assert!(in_order.arrivals.starts_with(&seen.arrivals));
    }

    #[test]
    fn no_sequence_of_calls_makes_it_panic_or_hold_too_much(calls in proptest::collection::vec(call(), 1..40)) {
        let mut driven = Driven::with(tight());
        let mut arrived = Vec::new();
        let mut answers = 0;
        for call in calls {
            match call {
                Call::Receive(bytes) => arrived.extend(driven.arrivals(bytes)),
                Call::Reply(which, what) if !arrived.is_empty() => {
                    answers += 1;
                    let reply = match what {
                        0 => Reply::whole(response("whole")),
                        1 => Reply::head(response("")),
                        2 => Reply::Chunk("chunk".into()),
                        3 => Reply::End,
                        _ => Reply::Abort,
                    };
                    driven.reply(which.get(&arrived).seq, reply);
                }
                Call::Sent => _ = driven.sent(),
                Call::Reply(..) | Call::Resume => {
                    let Driven { connection, limits } = &mut driven;
                    connection.resume(limits, DATE, &mut arrived);
                }
                Call::EndAfterLast => driven.connection.end_after_last(),
                Call::Refuse => driven.connection.refuse(StatusCode::SERVICE_UNAVAILABLE, "no room", DATE),
            }
            let most = most_held(&driven.limits) + MOST_OF_ITS_OWN + answers * ok("whole").len();
            prop_assert!(driven.connection.held() <= most);
            prop_assert!(!driven.connection.is_ended() || driven.connection.slots.is_empty());
        }
        driven.connection.end_after_last();
        for arrival in &arrived {
            driven.reply(arrival.seq, Reply::Abort);
        }
        driven.sent();
        prop_assert!(driven.is_over());
    }
}
