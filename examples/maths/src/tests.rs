//! The whole graph, asked on the spot: right answers, and every kind of wrong request.

use prime_server::prelude::*;
use serde_json::{Value, json};

use crate::derivatives::MAX_ORDER;
use crate::query::MAX_COEFFICIENTS;
use crate::service::maths;

/// The status, and the answer's text.
fn ask(target: &str) -> (u16, String) {
    let answer = maths(Some(1)).unwrap().test(Request::get(target)).unwrap();
    (answer.status().as_u16(), String::from_utf8(answer.body().as_bytes().to_vec()).unwrap())
}

fn result(target: &str) -> Value {
    let (status, text) = ask(target);
    assert_eq!(status, 200, "{target}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// A list of so many ones.
fn ones(length: usize) -> String {
    vec!["1"; length].join(",")
}

#[test]
fn the_answers_are_json() {
    assert_eq!(ask("/derivative?c=1,2,3&order=2"), (200, r#"{"derivative":[6.0]}"#.to_owned()));
    assert_eq!(ask("/summation?c=1,2&from=1&to=100"), (200, r#"{"summation":10200.0}"#.to_owned()));
    let integral = result("/integral?c=0,1&from=0&to=4");
    let fields: Vec<&String> = integral.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["converged", "error", "integral", "rounds"]);
    assert_eq!((&integral["integral"], &integral["converged"]), (&json!(8.0), &json!(true)));
}

#[test]
fn the_largest_of_everything_is_allowed() {
    assert_eq!(result(&format!("/derivative?c=1,2,3&order={MAX_ORDER}")), json!({ "derivative": [0.0] }));
    let coefficients = ones(MAX_COEFFICIENTS);
    let derivative = result(&format!("/derivative?c={coefficients}&order=1"));
    assert_eq!(derivative["derivative"].as_array().unwrap().len(), MAX_COEFFICIENTS - 1);
    assert_eq!(result(&format!("/summation?c={coefficients}&from=1&to=1")), json!({ "summation": 1000.0 }));
    let split = result("/summation?c=0,1&from=-1&to=1000000");
    assert_eq!(split, json!({ "summation": 500_000_499_999.0 }));
    let end = result("/summation?c=2&from=9223372036854775800&to=9223372036854775807");
    assert_eq!(end, json!({ "summation": 16.0 }));
    let integral = result(&format!("/integral?c={coefficients}&from=0&to=0.5"));
    assert!((integral["integral"].as_f64().unwrap() - 2_f64.ln()).abs() < 1e-10, "{integral}");
}

#[test]
fn numbers_may_be_encoded_and_in_any_order() {
    assert_eq!(result("/derivative?order=+1&c=1%2C%202%2C-3e0"), json!({ "derivative": [2.0, -6.0] }));
    assert_eq!(result("/summation?to=2&from=%2B1&c=.5"), json!({ "summation": 1.0 }));
    assert_eq!(result("/derivative?c=0,0&order=1"), json!({ "derivative": [0.0] }));
    assert_eq!(result("/derivative?c=1,2,0&order=0"), json!({ "derivative": [1.0, 2.0] }));
}

#[test]
fn what_does_not_converge_says_so_and_is_no_error() {
    let power = format!("{}1", "0,".repeat(MAX_COEFFICIENTS - 1));
    let integral = result(&format!("/integral?c={power}&from=0&to=2"));
    assert_eq!((&integral["converged"], &integral["rounds"]), (&json!(false), &json!(12)));
    assert!(integral["error"].as_f64().unwrap() > 1e200, "{integral}");
}

fn assert_refused(status: u16, targets: &[&str]) {
    for target in targets {
        let (answered, sentence) = ask(target);
        assert_eq!(answered, status, "{target}: {sentence}");
        let is_one = sentence.len() > 30 && sentence.ends_with('\n') && sentence.lines().count() == 1;
        let says_what = sentence.contains('`') || sentence.contains("largest double");
        assert!(is_one && says_what, "{target}: {sentence}");
    }
}

#[test]
fn what_is_malformed_is_answered_400() {
    for path in ["/derivative?order=1&", "/summation?from=1&to=2&", "/integral?from=1&to=2&"] {
        for c in
            ["", "c=", "c", "c=x", "c=1,,2", "c=1,", "c=NaN", "c=1,inf", "c=-infinity", "c=1e999", "c=1;2", "c=%00"]
        {
            assert_refused(400, &[&format!("{path}{c}")]);
        }
        assert_refused(400, &[&format!("{path}c=1&c=2"), &format!("{path}c=1&x=2"), &format!("{path}c=1&C=2")]);
    }
    assert_refused(400, &["/derivative", "/derivative?c=1", "/derivative?c=1&order=", "/derivative?c=1&order=two"]);
    assert_refused(400, &["/derivative?c=1&order=1.5", "/derivative?c=1&order=1e2", "/derivative?c=1&order=1&order=2"]);
    for path in ["/summation?c=1", "/integral?c=1"] {
        for range in ["", "&from=1", "&to=1", "&from=&to=1", "&from=1&to=", "&from=a&to=1", "&from=1&to=NaN"] {
            assert_refused(400, &[&format!("{path}{range}")]);
        }
    }
    assert_refused(400, &["/summation?c=1&from=0.5&to=1", "/summation?c=1&from=1&to=1e3"]);
    assert_refused(400, &["/integral?c=1&from=-inf&to=1", "/integral?c=1&from=0&to=1e400"]);
}

#[test]
fn what_is_well_formed_and_too_much_is_answered_422() {
    let many = ones(MAX_COEFFICIENTS + 1);
    for rest in ["derivative?order=1", "summation?from=1&to=2", "integral?from=1&to=2"] {
        assert_refused(422, &[&format!("/{rest}&c={many}")]);
    }
    assert_refused(422, &["/derivative?c=1&order=1000", "/derivative?c=1&order=-1"]);
    assert_refused(422, &["/derivative?c=1&order=99999999999999999999"]);
    assert_refused(422, &["/derivative?c=0,0,1e308&order=1"]);
    assert_refused(422, &["/summation?c=1&from=2&to=1", "/integral?c=1&from=2&to=1"]);
    assert_refused(422, &["/summation?c=1&from=1&to=1000000001"]);
    assert_refused(422, &["/summation?c=1&from=-9223372036854775808&to=9223372036854775807"]);
    assert_refused(422, &["/summation?c=1&from=0&to=9223372036854775808"]);
    assert_refused(422, &["/summation?c=1e308&from=1&to=2", "/summation?c=0,0,1e300&from=100000&to=100000"]);
    assert_refused(422, &["/integral?c=0,1&from=0&to=1e200", "/integral?c=1&from=-1e308&to=1e308"]);
}

#[test]
fn other_paths_and_methods_are_not_there() {
    assert_eq!(ask("/").0, 404);
    assert_eq!(ask("/derivatives?c=1&order=1").0, 404);
    let posted = maths(Some(1)).unwrap().test(Request::post("/derivative?c=1&order=1", "")).unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn the_graph_has_two_cycles_and_a_split() {
    assert_eq!(
        maths(Some(2)).unwrap().describe(),
        "pipeline `maths`: up to 4096 requests in flight, each answered within 30s, at most 999 hops, at most 64 parts\n\
         route GET /derivative -> derivative\n\
         route GET /summation -> summation\n\
         route GET /integral -> integral\n\
         stage `derivative`: 1 worker, queue of 4096\n    -> differentiate\n\
         stage `differentiate`: 2 workers, queue of 4096, idempotent\n    -> differentiate\n\
         stage `summation`: 1 worker, queue of 4096\n    -> sum, in parts\n\
         stage `sum`: 2 workers, queue of 4096, idempotent\n    -> total, where parts are joined\n\
         stage `total`: 1 worker, queue of 4096, idempotent\n\
         stage `integral`: 1 worker, queue of 4096\n    -> refine\n\
         stage `refine`: 2 workers, queue of 4096, idempotent\n    -> refine\n"
    );
}
