//! One of everything that the protocol can say, made of given pieces: for tests, and for what fuzzers begin with.

use super::*;

#[derive(Clone, Debug)]
pub(in crate::transport::zmq) struct Pieces {
    pub(in crate::transport::zmq) text: String,
    pub(in crate::transport::zmq) bytes: Vec<u8>,
    pub(in crate::transport::zmq) id: [u8; 16],
    pub(in crate::transport::zmq) byte: u8,
    pub(in crate::transport::zmq) number: u32,
    pub(in crate::transport::zmq) long: u64,
    pub(in crate::transport::zmq) yes: bool,
}

/// Pieces of which each is told from the others in hexadecimal digits.
pub(in crate::transport::zmq) fn pieces() -> Pieces {
    Pieces {
        text: "text".to_owned(),
        bytes: vec![0xb0, 0xb1],
        id: *b"sixteen.bytes...",
        byte: 0x0c,
        number: 300,
        long: 1 << 32 | 7,
        yes: true,
    }
}

/// In the order of their numbers; of those with options, one with and one without.
pub(in crate::transport::zmq) fn commands(pieces: &Pieces) -> Vec<Command<'_>> {
    let Pieces { text, bytes, id, byte, number, long, yes } = pieces;
    let (id, byte, number, long, yes) = (*id, *byte, *number, *long, *yes);
    let worker = StageTerms {
        slots: number,
        queue: long,
        timeout: Some(long),
        idempotent: yes,
        strict_priority: yes,
        max_delay: Some(long),
        refuse_hopeless: yes,
    };
    let hello = |role, message, worker| {
        let (name, stage) = (text, text);
        Command::Hello(Hello {
            magic: MAGIC,
            version: VERSION,
            liveness: long,
            peer: id,
            name,
            role,
            stage,
            message,
            worker,
        })
    };
    vec![
        hello(Role::FrontEnd, None, None),
        hello(Role::Worker, Some((text, long)), Some(worker)),
        hello(Role::Worker, None, Some(StageTerms { timeout: None, ..worker })),
        hello(Role::Inquirer, None, None),
        Command::Welcome(Welcome { version: byte, liveness: long, peer: id, name: text, stage: text }),
        Command::Refused { why: text },
        Command::Who,
        Command::Beat,
        Command::Bye,
        Command::Status(Status { slots: long, idempotent: yes }),
        Command::Announce { slots: number, ahead: number },
        Command::Job { job: long, left: long, attempt: number, always: yes, body: bytes },
        Command::Outcome { job: long, ran: long, had: long, ends: yes, body: bytes },
        Command::Return { job: long },
        Command::Retried { job: long, attempt: number },
        Command::Cancel { job: long, reason: byte },
        Command::Window { job: long, received: long, kept: long },
        Command::Fragment { last: yes, bytes },
        Command::Affinity { values: vec![bytes, &[]] },
    ]
}

#[cfg(test)]
pub(in crate::transport::zmq) fn tasks(pieces: &Pieces) -> Vec<Task<'_>> {
    let Pieces { text, bytes, id, byte, number, long, yes } = pieces;
    let task = |payload| Task {
        origin: *id,
        request: (*number, *number),
        trace: *id,
        hops: *number,
        class: *byte,
        kind: *byte,
        tenant: *long,
        schema: *long,
        part: *yes,
        method: text,
        target: text,
        http_10: *yes,
        client: bytes,
        lines: bytes,
        payload,
    };
    vec![task(Carried::Request { params: vec![(text, text)], body: bytes }), task(Carried::Message(bytes))]
}

/// In the order of their numbers.
pub(in crate::transport::zmq) fn outcomes(pieces: &Pieces) -> Vec<Outcome<'_>> {
    let Pieces { text, bytes, number, long, .. } = pieces;
    let (status, stage, schema) = (*number as u16, text, *long);
    let headers = || vec![(&text[..], &bytes[..]); 2];
    let mut outcomes = vec![
        Outcome::Answer { status, headers: headers(), body: bytes },
        Outcome::Forward { stage, schema, message: bytes },
        Outcome::Split { stage, schema, parts: vec![bytes, &[]] },
        Outcome::Join { stage, schema, message: bytes },
        Outcome::Head { status, headers: headers() },
        Outcome::Piece(bytes),
        Outcome::End,
        Outcome::Abort,
    ];
    outcomes.extend(FAILURES.map(Outcome::Failure));
    outcomes
}

pub(in crate::transport::zmq) const FAILURES: [Failure; 7] = [
    Failure::Lost,
    Failure::QueueFull,
    Failure::NoWorker,
    Failure::TimedOut,
    Failure::Gone,
    Failure::Schema,
    Failure::Overloaded,
];
