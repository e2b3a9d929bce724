//! Rule 5: hops are limited, and the answer past the limit is 508.

use prime_server::prelude::*;
use support::{Client, Text, first, get, second, start};

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

#[stage]
fn third(text: Text) -> String {
    text.0
}

#[test]
fn each_stage_is_one_hop_more() {
    let pipeline = |hops| {
        let forward = |request: Request, _: &Context| Text(request.head().path().to_owned());
        let again = |text: Text, _: &Context| text;
        let pipeline = Pipeline::new("hops").max_hops(hops).metrics("/metrics").stage_from(first(forward));
        pipeline.stage_from(second(again)).stage::<third>().build().unwrap()
    };
    let (_running, address) = start(&pipeline(1));
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 508);
    let counted = ["reason=\"hop_limit\"", "stage=\"second\""];
    assert_eq!(client.get("/metrics").metric("prime_stage_outcomes_total", &counted), Some(1.0));
    assert_eq!(pipeline(1).test(Request::get("/")).unwrap().status(), 508);
    let (_running, address) = start(&pipeline(2));
    assert_eq!(get(address, "/").status, 200);
}
