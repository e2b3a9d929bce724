//! Jobs as they travel: a request's ticket and message on one side, a task's bytes between.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Version;
use memchr::memmem;

use super::wire::{Carried, PeerId, Task, decode, encode};
use crate::context::Ticket;
use crate::head::Head;
use crate::ids::RequestId;
use crate::labels::Labels;
use crate::payload::Payload;
use crate::{Kind, Priority, Request, Tenant};

/// The bytes of a request's first task.
pub(super) fn of_request(origin: PeerId, ticket: &Ticket, request: &Request, schema: u64) -> Bytes {
    let params = request.params().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    of(origin, ticket, Place { hops: 0, part: false, schema }, Carried::Request { params, body: request.body() })
}

/// The bytes of a task whose message another stage has made.
pub(super) fn of_message(origin: PeerId, ticket: &Ticket, place: Place, message: &[u8]) -> Bytes {
    of(origin, ticket, place, Carried::Message(message))
}

/// The message of a stage that joins.
pub(super) fn gathered(parts: Vec<Payload>) -> Bytes {
    let mut message = Vec::new();
    for part in parts {
        let part = part.into_wire().expect("it came over a wire");
        message.extend_from_slice(&(part.len() as u32).to_le_bytes());
        message.extend_from_slice(&part);
    }
    message.into()
}

/// Where a task is in its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) hops: u32,
    pub(super) part: bool,
    pub(super) schema: u64,
}

fn of(origin: PeerId, ticket: &Ticket, place: Place, payload: Carried<'_>) -> Bytes {
    let head = &ticket.head;
    let Place { hops, part, schema } = place;
    encode(&Task {
        origin,
        request: (ticket.id.key, ticket.id.generation),
        trace: trace(origin, ticket),
        hops,
        class: ticket.labels.priority.number(),
        kind: ticket.labels.kind.to_byte(),
        tenant: ticket.labels.tenant.number(),
        schema,
        part,
        method: head.method().as_str(),
        target: head.target(),
        http_10: head.version() == Version::HTTP_10,
        client: octets(head.client(), &mut [0; 16]),
        lines: &head.lines(),
        payload,
    })
    .into()
}

fn octets(address: Option<IpAddr>, into: &mut [u8; 16]) -> &[u8] {
    match address {
        None => &[],
        Some(IpAddr::V4(address)) => {
            into[..4].copy_from_slice(&address.octets());
            &into[..4]
        }
        Some(IpAddr::V6(address)) => {
            *into = address.octets();
            into
        }
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// What the client's `traceparent` says (W3C Trace Context, 3.2.2.3), or an id that no other request has.
fn trace(origin: PeerId, ticket: &Ticket) -> [u8; 16] {
    // Most requests have none, and reading their headers would cost more than all else here.
    let said = memmem::find(&ticket.head.lines(), b"raceparent").and_then(|_| ticket.head.header("traceparent"));
    said.and_then(trace_id).unwrap_or_else(|| {
        let mut trace = origin;
        let id = u64::from(ticket.id.key) << 32 | u64::from(ticket.id.generation);
        for (byte, of_id) in trace.iter_mut().zip(id.to_le_bytes()) {
            *byte ^= of_id;
        }
        trace
    })
}

fn trace_id(traceparent: &str) -> Option<[u8; 16]> {
    let id = traceparent.split('-').nth(1).filter(|id| id.len() == 32 && id.is_ascii())?;
    let mut trace = [0; 16];
    for (byte, digits) in trace.iter_mut().zip(id.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (trace != [0; 16]).then_some(trace)
}

/// A task on the side of the worker.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The request's id where its client is.
    pub(super) name: RequestId,
    pub(super) hops: u32,
    pub(super) part: bool,
    pub(super) schema: u64,
    pub(super) labels: Labels,
    pub(super) head: Arc<Head>,
    pub(super) payload: Payload,
}

/// What is said of a task's request, read from its first bytes.
pub(super) fn labels(body: &[u8]) -> Labels {
    // Origin, request, trace and hops stand before it.
    let prefix = postcard::take_from_bytes::<(PeerId, (u32, u32), [u8; 16], u32, u8, u8, u64)>(body);
    prefix.map_or_else(|_| Labels::default(), |((.., class, kind, tenant), _)| labelled(class, kind, tenant))
}

fn labelled(class: u8, kind: u8, tenant: u64) -> Labels {
    Labels { priority: Priority::level(class), kind: Kind::from_byte(kind), tenant: Tenant::from_number(tenant) }
}

/// `None` where it is no task, or its head is none of a request.
pub(super) fn arrived(body: &[u8]) -> Option<Arrived> {
    let task: Task<'_> = decode(body)?;
    let head = Arc::new(head_of(&task)?);
    let payload = match task.payload {
        Carried::Request { params, body } => {
            let params = params.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Payload::new(Request::new(Arc::clone(&head), Bytes::copy_from_slice(body), params))
        }
        Carried::Message(message) => Payload::from_wire(Bytes::copy_from_slice(message)),
    };
    let name = RequestId { key: task.request.0, generation: task.request.1 };
    let labels = labelled(task.class, task.kind, task.tenant);
    Some(Arrived { name, hops: task.hops, part: task.part, schema: task.schema, labels, head, payload })
}

/// The head of a task's request. `None` where it is no task, or has none.
pub(super) fn head(body: &[u8]) -> Option<Head> {
    head_of(&decode(body)?)
}

fn head_of(task: &Task<'_>) -> Option<Head> {
    let method = task.method.parse().ok()?;
    let version = if task.http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut head = Head::from_wire(method, task.target, version, Bytes::copy_from_slice(task.lines));
    head.set_client(address(task.client));
    Some(head)
}

/// The moment that the time left ends.
pub(super) fn deadline(left: u64, now: Instant) -> Instant {
    now + Duration::from_micros(left).min(crate::context::FOREVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: PeerId = [7; 16];

    fn ticket(request: &Request) -> Arc<Ticket> {
        let id = RequestId { key: 3, generation: 4 };
        Ticket::new(id, request.shared_head(), Instant::now() + Duration::from_secs(1))
    }

    #[test]
    fn a_request_is_the_same_at_the_other_end() {
        let mut request: Request = http::Request::post("/a?b").header("x-key", "7").body("body").unwrap().into();
        request.set_params(vec![("name".into(), "value".into())]);
        let far = arrived(&of_request(ORIGIN, &ticket(&request), &request, 9)).unwrap();
        assert_eq!((far.name.to_string(), far.hops, far.part, far.schema), ("3-4".to_owned(), 0, false, 9));
        let got = far.payload.open::<Request>().unwrap();
        assert_eq!((got.head().target(), got.head().header("x-key")), ("/a?b", Some("7")));
        assert_eq!((got.text().unwrap(), got.params()), ("body", request.params()));
    }

    #[test]
    fn a_payload_of_the_wrong_kind_is_an_error_and_no_panic() {
        let request = Request::get("/");
        let place = Place { hops: 2, part: true, schema: 0 };
        let far = arrived(&of_message(ORIGIN, &ticket(&request), place, b"?")).unwrap();
        assert!(far.part && far.hops == 2);
        assert!(far.payload.open::<Request>().is_err());
    }

    #[test]
    fn the_trace_id_is_the_clients_or_one_of_our_own() {
        let ours = trace(ORIGIN, &ticket(&Request::get("/")));
        assert_ne!(ours, ORIGIN);
        let said = |value: &str| {
            let request: Request = http::Request::get("/").header("Traceparent", value).body("").unwrap().into();
            trace(ORIGIN, &ticket(&request))
        };
        let trace_id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(said(&format!("00-{trace_id}-b7ad6b7169203331-01"))[..2], [0x0a, 0xf7]);
        for wrong in ["00", "00-xyz-1", "00-00000000000000000000000000000000-1-1", "00-€€€€€€€€€€-1"]
        {
            assert_eq!(said(wrong), ours);
        }
    }
}
