//! OPTIONS, and requests of pages of other origins.

use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, Cors};
use support::{Answer, Client, first, start};

fn routed(cors: Option<Cors>) -> Built {
    let pipeline = Pipeline::new("cors").route(Method::GET, "/a").route(Method::PUT, "/a").route(Method::DELETE, "/b");
    let pipeline = match cors {
        Some(cors) => pipeline.cors(cors),
        None => pipeline,
    };
    let stage = |request: Request, cx: &Context| -> Result<Streamed, StatusCode> {
        match request.headers().get("x-fail") {
            None => Ok(cx.stream("fine").finish()),
            Some(_) => Err(StatusCode::IM_A_TEAPOT),
        }
    };
    pipeline.stage_from(first(stage)).build().unwrap()
}

fn ask(built: &Built, method: &str, path: &str, headers: &str) -> Answer {
    let (_running, address) = start(built);
    let mut client = Client::connect(address);
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n"));
    client.read()
}

const PAGE: &str = "Origin: https://maps.example\r\n";
const ALLOWED: &str = "access-control-allow-origin";

#[test]
fn options_says_what_is_allowed() {
    let allowed = |path: &str| {
        let answer = ask(&routed(None), "OPTIONS", path, "");
        (answer.status, answer.header("allow").map(str::to_owned))
    };
    assert_eq!(allowed("/a"), (204, Some("GET, HEAD, OPTIONS, PUT".to_owned())));
    assert_eq!(allowed("/b"), (204, Some("DELETE, OPTIONS".to_owned())));
    assert_eq!(allowed("*"), (204, Some("DELETE, GET, HEAD, OPTIONS, PUT".to_owned())));
    assert_eq!(allowed("/c").0, 404);
}

#[test]
fn a_preflight_is_answered_at_the_door() {
    let asks = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type, x-key\r\n";
    let answer = ask(&routed(Some(Cors::any())), "OPTIONS", "/a", &format!("{PAGE}{asks}"));
    assert_eq!((answer.status, answer.header(ALLOWED)), (204, Some("*")));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS, PUT"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type, x-key"));
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    let more = "Access-Control-Request-Headers: x-other\r\n";
    let answer = ask(&routed(Some(Cors::any())), "OPTIONS", "/a", &format!("{PAGE}{asks}{more}"));
    let lines = answer.headers.iter().filter(|(name, _)| name == "access-control-allow-headers");
    assert_eq!(lines.map(|(_, names)| names.as_str()).collect::<Vec<_>>(), ["content-type, x-key", "x-other"]);

    let cors = Cors::origins(["https://maps.example"]).headers(["content-type"]).max_age(Duration::from_secs(5));
    let answer = ask(&routed(Some(cors.clone())), "OPTIONS", "/b", &format!("{PAGE}{asks}"));
    assert_eq!((answer.status, answer.header(ALLOWED)), (204, Some("https://maps.example")));
    assert_eq!(answer.header("access-control-allow-methods"), Some("DELETE, OPTIONS"), "so that a PUT is not");
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"));
    assert_eq!(answer.header("access-control-max-age"), Some("5"));
    let other = ask(&routed(Some(cors.clone())), "OPTIONS", "/b", &format!("Origin: https://other.example\r\n{asks}"));
    assert_eq!((other.status, other.header(ALLOWED)), (204, None));

    let everything =
        Pipeline::new("all").cors(cors).stage_from(first(|_: Request, _: &Context| "stage")).build().unwrap();
    let answer = ask(&everything, "OPTIONS", "/any", &format!("{PAGE}{asks}"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("PUT"), "without routes all is allowed");
    let no_preflights = [("OPTIONS", ""), ("OPTIONS", asks), ("POST", &*format!("{PAGE}{asks}"))];
    for (method, headers) in no_preflights {
        assert_eq!(ask(&everything, method, "/any", headers).text(), "stage", "{method} {headers}");
    }
}

#[test]
fn every_answer_says_whether_the_page_may_read_it() {
    let cors = || Cors::origins(["https://maps.example"]).credentials().expose(["x-kind", "etag"]);
    for (path, headers, status) in [("/a", "", 200), ("/a", "X-Fail: yes\r\n", 418), ("/c", "", 404)] {
        let answer = ask(&routed(Some(cors())), "GET", path, &format!("{PAGE}{headers}"));
        assert_eq!((answer.status, answer.header(ALLOWED)), (status, Some("https://maps.example")));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-expose-headers"), Some("x-kind, etag"));
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    let other = ask(&routed(Some(cors())), "GET", "/a", "Origin: https://other.example\r\n");
    assert_eq!((other.status, other.header(ALLOWED), other.header("vary")), (200, None, Some("origin")));
    let none = ask(&routed(Some(cors())), "GET", "/a", "");
    assert_eq!((none.header(ALLOWED), none.header("vary")), (None, Some("origin")));
    let any = ask(&routed(Some(Cors::any())), "GET", "/a", PAGE);
    assert_eq!((any.header(ALLOWED), any.header("vary")), (Some("*"), None));
    assert_eq!(ask(&routed(None), "GET", "/a", PAGE).header(ALLOWED), None);
}

#[test]
fn what_browsers_refuse_is_refused_when_built() {
    let error = |cors: Cors| {
        let built = Pipeline::new("p").cors(cors).stage_from(first(|_: Request, _: &Context| "x")).build();
        built.map(|_| ()).unwrap_err().to_string()
    };
    assert!(error(Cors::any().credentials()).contains("name the origins"));
    for origin in ["maps.example", "https://maps.example/", "https://", "*", "https://a@b", "https://a\nb"] {
        assert!(error(Cors::origins([origin])).contains("is no origin"), "{origin}");
    }
    assert!(error(Cors::any().headers(["no name"])).contains("`no name`"));
    assert!(error(Cors::any().expose(["no\nname"])).contains("no name of a header"));
}
