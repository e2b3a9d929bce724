//! Extractors: the user's types from a request, and a sentence where it is not what they ask for.

use prime_server::prelude::*;
use prime_server::{FormError, JsonError, QueryError, TextError};
use serde::Deserialize;
use support::{Answer, Client, first, start};

#[derive(Deserialize)]
struct Place {
    name: String,
    zoom: u8,
}

fn ask(
    stage: impl FnMut(Request, &Context) -> Response + Clone + Send + Sync + 'static,
    target: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let (_running, address) = start(&Pipeline::new("p").stage_from(first(stage)).workers(1).build().unwrap());
    Client::connect(address).post(target, headers, body)
}

fn refused(answer: &Answer, status: u16, names: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.text().contains(names) && answer.text().ends_with('\n'), "{:?}", answer.text());
}

#[test]
fn a_query() {
    let stage = |request: Request, _: &Context| {
        let place: Result<Place, QueryError> = request.query();
        place.map_or_else(IntoResponse::into_response, |p| format!("{} {}", p.name, p.zoom).into_response())
    };
    let query = |query: &str| ask(stage, &format!("/?{query}"), "", "");
    assert_eq!(query("name=a%26b+c&zoom=7").text(), "a&b c 7");
    assert_eq!(query("zoom=7&name=").text(), " 7");
    refused(&query("name=x"), 400, "zoom");
    refused(&query("name=x&zoom=300"), 400, "`zoom`");
    refused(&query(""), 400, "name");
}

#[test]
fn a_query_with_keys_that_repeat_or_have_no_value() {
    #[derive(Deserialize)]
    struct Filter {
        #[serde(default)]
        tag: Vec<String>,
        limit: Option<u32>,
    }
    let stage = |request: Request, _: &Context| -> Result<String, ErrorResponse> {
        let Filter { tag, limit } = request.query()?;
        Ok(format!("{tag:?} {limit:?}"))
    };
    let query = |query: &str| {
        let pipeline = Pipeline::new("p").stage_from(first(stage)).build().unwrap();
        let answer = pipeline.test(Request::get(&format!("/?{query}"))).unwrap();
        String::from_utf8(answer.body().as_bytes().to_vec()).unwrap()
    };
    assert_eq!(query("tag=a&limit=3&tag=b"), r#"["a", "b"] Some(3)"#);
    assert_eq!(query("limit="), "[] None");
    assert_eq!(query(""), "[] None");
    assert!(query("limit=1&limit=2").contains("limit"), "{}", query("limit=1&limit=2"));
}

#[test]
fn an_error_that_is_no_error_by_itself_is_answered_500() {
    let stage = |request: Request, _: &Context| match request.head().path() {
        "/text" => Err(ErrorResponse::from("boom\n")),
        "/teapot" => Err((StatusCode::IM_A_TEAPOT, "short\n").into()),
        _ => Ok("fine\n"),
    };
    let pipeline = Pipeline::new("p").stage_from(first(stage)).build().unwrap();
    let status = |path: &str| pipeline.test(Request::get(path)).unwrap().status().as_u16();
    assert_eq!((status("/"), status("/text"), status("/teapot")), (200, 500, 418));
    let forward = |request: Request, _: &Context| match request.head().path() {
        "/text" => Err("boom\n"),
        path => Ok(support::Text(path.to_owned())),
    };
    let last = support::second(|text: support::Text, _: &Context| text.0);
    let pipeline = Pipeline::new("p").stage_from(first(forward)).stage_from(last).build().unwrap();
    let status = |path: &str| pipeline.test(Request::get(path)).unwrap().status().as_u16();
    assert_eq!((status("/"), status("/text")), (200, 500));
}

#[test]
fn a_form() {
    let stage = |request: Request, _: &Context| {
        let place: Result<Place, FormError> = request.form();
        place.map_or_else(IntoResponse::into_response, |p| format!("{} {}", p.name, p.zoom).into_response())
    };
    let form = |kind: &str, body: &str| ask(stage, "/", &format!("Content-Type: {kind}\r\n"), body);
    assert_eq!(form("application/x-www-form-urlencoded", "name=x&zoom=7").text(), "x 7");
    assert_eq!(form("Application/X-WWW-Form-URLencoded; charset=utf-8", "name=x&zoom=7").text(), "x 7");
    refused(&form("text/plain", "name=x&zoom=7"), 415, "application/x-www-form-urlencoded");
    refused(&form("application/x-www-form-urlencoded", "name=x&zoom=z"), 422, "`zoom`");
}

#[test]
fn json() {
    let stage = |request: Request, _: &Context| {
        let place: Result<Place, JsonError> = request.json();
        place.map_or_else(IntoResponse::into_response, |p| format!("{} {}", p.name, p.zoom).into_response())
    };
    let json = |kind: &str, body: &str| ask(stage, "/", &format!("Content-Type: {kind}\r\n"), body);
    assert_eq!(json("application/json", r#"{"name":"x","zoom":7}"#).text(), "x 7");
    assert_eq!(json("application/problem+json; charset=utf-8", r#"{"name":"x","zoom":7}"#).text(), "x 7");
    refused(&json("text/json", "{}"), 415, "application/json");
    refused(&json("application/json", r#"{"name":"#), 400, "not JSON");
    refused(&json("application/json", r#"{"name":"x","zoom":7} more"#), 400, "not JSON");
    refused(&json("application/json", r#"{"name":"x","zoom":"7"}"#), 422, "`zoom`");
    refused(&json("application/json", r#"{"zoom":7}"#), 422, "name");
}

#[test]
fn text() {
    let stage = |request: Request, _: &Context| {
        let text: Result<&str, TextError> = request.text();
        text.map_or_else(IntoResponse::into_response, |text| text.to_owned().into_response())
    };
    let text = |kind: &str, body: &str| ask(stage, "/", &format!("Content-Type: text/plain{kind}\r\n"), body);
    assert_eq!(text("", "grüße").text(), "grüße");
    assert_eq!(text("; charset=\"UTF-8\"", "x").text(), "x");
    assert_eq!(text("; charset=utf8", "x").text(), "x");
    assert_eq!(text("; charset=us-ascii", "x").text(), "x");
    assert_eq!(text("; format=flowed", "x").text(), "x");
    refused(&text("; charset=latin1", "x"), 415, "latin1");
    let (_running, address) = start(&Pipeline::new("p").stage_from(first(stage)).workers(1).build().unwrap());
    let mut client = Client::connect(address);
    client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nab\xff\xfe");
    refused(&client.read(), 400, "first 2 bytes");
}

#[test]
fn a_body_over_the_limit_is_answered_413_with_a_sentence_before_any_stage() {
    let stage = |_: Request, _: &Context| "never".into_response();
    refused(&ask(stage, "/", "", &"x".repeat(3 << 20)), 413, "too large");
}
