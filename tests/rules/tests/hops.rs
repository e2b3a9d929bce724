//! Rule 5: hops are limited, and the answer past the limit is 508.

use prime_server::prelude::*;
use support::{Text, first, get, second, start};

#[test]
fn a_request_past_the_hop_limit_is_answered_508() {
    let pipeline = |hops| {
        let forward = |request: Request, _: &Context| Text(request.head().path().to_owned());
        let last = |text: Text, _: &Context| text.0;
        Pipeline::new("hops").max_hops(hops).stage_from(first(forward)).stage_from(second(last)).build().unwrap()
    };
    let (_running, address) = start(&pipeline(0));
    assert_eq!(get(address, "/").status, 508);
    assert_eq!(pipeline(0).test(Request::get("/")).unwrap().status(), 508);
    let (_running, address) = start(&pipeline(1));
    assert_eq!(get(address, "/").status, 200);
}
