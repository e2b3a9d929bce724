//! Graphs: what `build` refuses, and where routes lead.

use prime_server::prelude::*;
use prime_server::{RouteTo, Step};
use serde::{Deserialize, Serialize};
use support::{get, start};

#[derive(Message, Serialize, Deserialize)]
struct Number(u64);

#[derive(Message, Serialize, Deserialize)]
struct Word(String);

/// What a refused pipeline is answered.
fn refusal(built: Result<prime_server::Built, StartError>) -> String {
    built.map(|built| built.describe()).expect_err("it is refused").to_string()
}

#[derive(Routes)]
enum ToDouble {
    #[to(double)]
    Number(Number),
    Word(String),
}

#[stage(workers = 1)]
fn parse(request: Request) -> ToDouble {
    match request.head().path().trim_start_matches('/').parse() {
        Ok(number) => ToDouble::Number(Number(number)),
        Err(_) => ToDouble::Word("no number".to_owned()),
    }
}

#[stage(workers = 1)]
fn double(Number(n): Number) -> Result<Json<u64>, StatusCode> {
    n.checked_mul(2).map(Json).ok_or(StatusCode::UNPROCESSABLE_ENTITY)
}

#[test]
fn routes_lead_to_the_stages_that_they_name_or_answer() {
    let pipeline = Pipeline::new("p").stage::<parse>().node::<double>().build().unwrap();
    assert_eq!(pipeline.test(Request::get("/21")).unwrap().body().as_bytes(), b"42");
    let (running, address) = start(&pipeline);
    assert_eq!(get(address, "/21").text(), "42");
    assert_eq!(get(address, "/x").text(), "no number");
    assert_eq!(get(address, "/18446744073709551615").status, 422);
    assert_eq!(running.stages()[1].jobs, 2);
}

#[stage(workers = 1)]
fn checked(request: Request) -> Result<ToDouble, (StatusCode, &'static str)> {
    if request.head().path() == "/" { Err((StatusCode::BAD_REQUEST, "say a number")) } else { Ok(parse(request)) }
}

#[stage(workers = 1)]
fn early(request: Request) -> Flow<ToDouble> {
    if request.head().path() == "/" { Flow::answer("early") } else { Flow::Forward(parse(request)) }
}

#[stage(workers = 1)]
fn checked_early(request: Request) -> Result<Flow<Number>, (StatusCode, &'static str)> {
    match request.head().path() {
        "/" => Ok(Flow::answer("early")),
        path => path[1..].parse().map(|n| Flow::Forward(Number(n))).map_err(|_| (StatusCode::BAD_REQUEST, "a number")),
    }
}

#[stage(workers = 1)]
fn split_early(request: Request) -> Result<Flow<Split<Number>>, prime_server::ErrorResponse> {
    match request.head().path() {
        "/" => Ok(Flow::answer("early")),
        path => {
            let parts: u64 = path[1..].parse().map_err(|_| (StatusCode::BAD_REQUEST, "a number"))?;
            Ok(Flow::Forward((0..parts).map(Number).collect()))
        }
    }
}

#[stage(workers = 1)]
fn same(number: Number) -> Number {
    number
}

#[stage(workers = 1)]
fn sum(parts: Join<Number>) -> String {
    parts.iter().map(|Number(n)| n).sum::<u64>().to_string()
}

#[test]
fn a_result_may_hold_a_flow() {
    let pipeline = Pipeline::new("p").stage::<checked_early>().stage::<double>().build().unwrap();
    let split = Pipeline::new("p").stage::<split_early>().split::<same>().join::<sum>().build().unwrap();
    for (pipeline, whole) in [(pipeline, "8"), (split, "6")] {
        let ask = |path: &str| pipeline.test(Request::get(path)).unwrap();
        assert_eq!((ask("/").status(), ask("/").body().as_bytes()), (StatusCode::OK, b"early".as_slice()));
        assert_eq!(ask("/x").status(), StatusCode::BAD_REQUEST);
        assert_eq!(ask("/4").body().as_bytes(), whole.as_bytes());
    }
}

#[test]
fn routes_may_be_in_a_result_or_a_flow() {
    let pipeline = Pipeline::new("p").stage::<checked>().node::<double>().build().unwrap();
    let ask = |path: &str| pipeline.test(Request::get(path)).unwrap();
    assert_eq!((ask("/").status(), ask("/4").body().as_bytes()), (StatusCode::BAD_REQUEST, b"8".as_slice()));
    let pipeline = Pipeline::new("p").stage::<early>().node::<double>().build().unwrap();
    let ask = |path: &str| pipeline.test(Request::get(path)).unwrap();
    assert_eq!((ask("/").body().as_bytes(), ask("/4").body().as_bytes()), (b"early".as_slice(), b"8".as_slice()));
}

#[test]
fn a_route_to_a_stage_that_is_not_there_is_refused() {
    let refused = refusal(Pipeline::new("p").stage::<parse>().build());
    assert_eq!(
        refused,
        "stage `parse` of pipeline `p` leads to stage `double`, which is not there: add it with `.node::<S>()`, or correct the \
         name"
    );
    let refused = refusal(Pipeline::new("p").route_to::<parse>(Method::GET, "/").node::<plain>().build());
    assert!(
        refused.starts_with("route `GET /` of pipeline `p` leads to stage `parse`, which is not there"),
        "{refused}"
    );
}

#[stage(workers = 1)]
fn plain(_: Request) -> &'static str {
    "plain"
}

#[stage(workers = 1)]
fn shout(Word(word): Word) -> String {
    word.to_uppercase()
}

#[test]
fn a_stage_that_nothing_reaches_is_refused() {
    let refused = refusal(Pipeline::new("p").stage::<plain>().node::<shout>().build());
    assert!(refused.starts_with("nothing leads to stage `shout` of pipeline `p`"), "{refused}");
    let refused = refusal(
        Pipeline::new("p")
            .route_to::<plain>(Method::GET, "/")
            .stage::<parse>()
            .node::<double>()
            .node::<plain>()
            .build(),
    );
    assert!(refused.starts_with("nothing leads to stage `parse`"), "{refused}");
}

mod other {
    use super::{Word, stage};

    #[stage(workers = 1)]
    pub(super) fn double(Word(word): Word) -> String {
        word.repeat(2)
    }
}

#[test]
fn a_message_that_the_stage_of_that_name_does_not_take_is_refused() {
    let refused = refusal(Pipeline::new("p").stage::<parse>().node::<other::double>().build());
    let [sends, takes] = ["sends `graph::Number` to stage `double`", "takes `graph::Word`"];
    assert!(refused.starts_with("stage `parse` of pipeline `p`") && refused.contains(sends) && refused.contains(takes));
    let refused = refusal(Pipeline::new("p").stage::<parse>().node::<double>().node::<other::double>().build());
    assert!(refused.contains("two stages named `double`"), "{refused}");
}

/// As a stage of another crate may do it, whose target is known by name only.
struct ByHand(Word);

impl Outcome for ByHand {
    const ROUTES: &'static [RouteTo] = &[RouteTo::named::<Word>("shout")];

    fn resolve(self) -> Step {
        Step::to::<shout>(0, self.0)
    }
}

#[stage(workers = 1)]
fn greet(_: Request) -> ByHand {
    ByHand(Word("hello".to_owned()))
}

#[test]
fn routes_may_be_written_by_hand() {
    let pipeline = Pipeline::new("p").stage::<greet>().node::<shout>().build().unwrap();
    assert_eq!(pipeline.test(Request::get("/")).unwrap().body().as_bytes(), b"HELLO");
}

#[derive(Routes)]
enum Part {
    #[to(total)]
    Done(Number),
}

#[derive(Routes)]
enum Parts {
    #[to(part)]
    Split(Split<Number>),
    #[to(part)]
    Whole(Number),
    Answer(String),
}

#[stage(workers = 1)]
fn part(Number(n): Number) -> Part {
    Part::Done(Number(n * n))
}

#[stage(workers = 1)]
fn total(squares: Join<Number>) -> Json<u64> {
    Json(squares.iter().map(|Number(n)| n).sum())
}

#[derive(Routes)]
enum OnlySplit {
    #[to(part)]
    Split(Split<Number>),
}

#[stage(workers = 1)]
fn split(request: Request) -> OnlySplit {
    let most = request.head().path().trim_start_matches('/').parse().unwrap_or(3);
    OnlySplit::Split((1..=most).map(Number).collect())
}

#[stage(workers = 1)]
fn split_or_not(request: Request) -> Parts {
    match request.head().path() {
        "/split" => Parts::Split(Split::new([Number(1)])),
        "/whole" => Parts::Whole(Number(1)),
        path => Parts::Answer(path.to_owned()),
    }
}

#[test]
fn routes_may_split_and_join() {
    let pipeline = Pipeline::new("p").stage::<split>().node::<part>().node::<total>().build().unwrap();
    assert_eq!(pipeline.test(Request::get("/3")).unwrap().body().as_bytes(), b"14");
    let (_running, address) = start(&pipeline);
    assert_eq!(get(address, "/100").text(), "338350");
}

#[derive(Routes)]
enum ToTotal {
    #[to(total)]
    Number(Number),
}

#[stage(workers = 1)]
fn joins_itself(_: Request) -> ToTotal {
    ToTotal::Number(Number(1))
}

#[test]
fn what_is_no_part_cannot_be_joined() {
    let refused = refusal(Pipeline::new("p").stage::<joins_itself>().node::<total>().build());
    assert!(
        refused.starts_with("stage `joins_itself` of pipeline `p`: it leads to a stage that joins parts"),
        "{refused}"
    );
}

#[test]
fn a_stage_works_on_parts_or_on_whole_requests() {
    let refused = refusal(Pipeline::new("p").stage::<split_or_not>().node::<part>().node::<total>().build());
    assert!(
        refused.starts_with("stage `part` of pipeline `p`: it is reached by whole requests and by parts"),
        "{refused}"
    );
}

#[stage(workers = 1, name = "part")]
fn unjoined(Number(n): Number) -> Json<u64> {
    Json(n)
}

#[stage(workers = 1, name = "total")]
fn other_total(squares: Join<Number>) -> Json<usize> {
    Json(squares.len())
}

#[derive(Routes)]
enum TwoWays {
    #[to(total)]
    One(Number),
    #[to(count)]
    Other(Number),
}

#[stage(workers = 1, name = "part")]
fn torn(Number(n): Number) -> TwoWays {
    if n.is_multiple_of(2) { TwoWays::One(Number(n)) } else { TwoWays::Other(Number(n)) }
}

#[stage(workers = 1)]
fn count(squares: Join<Number>) -> Json<usize> {
    Json(squares.len())
}

#[test]
fn parts_are_joined_in_one_place() {
    let refused = refusal(Pipeline::new("p").stage::<split>().node::<unjoined>().build());
    assert!(refused.contains("stage `split`") && refused.contains("never joined"), "{refused}");
    let refused =
        refusal(Pipeline::new("p").stage::<split>().node::<torn>().node::<other_total>().node::<count>().build());
    assert!(refused.contains("joined by both `total` and `count`"), "{refused}");
}

#[stage(workers = 1)]
fn by_id(request: Request) -> String {
    format!("id {}", request.head().path())
}

#[test]
fn the_url_chooses_the_stage() {
    let pipeline = Pipeline::new("p")
        .route_to::<by_id>(Method::GET, "/things/{id}")
        .route_to::<plain>(Method::GET, "/things/new")
        .route_to::<plain>(Method::POST, "/things/{id}")
        .route(Method::GET, "/n/{n}")
        .stage::<parse>()
        .node::<double>()
        .node::<by_id>()
        .node::<plain>()
        .build()
        .unwrap();
    let (_running, address) = start(&pipeline);
    assert_eq!(get(address, "/things/7").text(), "id /things/7");
    assert_eq!(get(address, "/things/new").text(), "plain", "the more special one");
    assert_eq!(get(address, "/n/7").text(), "no number", "the first stage");
    assert_eq!(get(address, "/elsewhere").status, 404);
    assert_eq!(support::Client::connect(address).post("/things/7", "", "").text(), "plain");
}

#[test]
fn patterns_of_which_neither_is_more_special_are_refused() {
    let pipeline = Pipeline::new("p").route_to::<by_id>(Method::GET, "/things/{id}");
    let refused =
        refusal(pipeline.route_to::<plain>(Method::GET, "/things/{name}").node::<by_id>().node::<plain>().build());
    assert_eq!(refused, "route `GET /things/{name}`: it overlaps `/things/{id}`");
}

#[test]
fn a_graph_describes_itself() {
    let pipeline = Pipeline::new("squares")
        .route_to::<split>(Method::GET, "/squares/{n}")
        .route_to::<plain>(Method::GET, "/")
        .stage::<split>()
        .queue(10)
        .node::<part>()
        .workers(2)
        .timeout(std::time::Duration::from_millis(1500))
        .node::<total>()
        .idempotent()
        .node::<plain>()
        .build()
        .unwrap();
    assert_eq!(
        pipeline.describe(),
        "pipeline `squares`: up to 4096 requests in flight, each answered within 30s, at most 64 hops, at most 4096 parts\n\
         route GET /squares/{n} -> split\n\
         route GET / -> plain\n\
         stage `split`: 1 worker, queue of 10\n    -> part, in parts\n\
         stage `part`: 2 workers, queue of 4096, timeout 1.5s\n    -> total, where parts are joined\n\
         stage `total`: 1 worker, queue of 4096, idempotent\n\
         stage `plain`: 1 worker, queue of 4096\n"
    );
    let dot = pipeline.to_dot();
    for line in [
        "digraph \"squares\" {",
        "  \"part\" [label=\"part\\n2 workers\\nqueue of 4096\\ntimeout 1.5s\"];",
        "  \"\" -> \"split\" [label=\"GET /squares/{n}\"];",
        "  \"split\" -> \"part\" [label=\"split\", style=bold, arrowhead=crow];",
        "  \"part\" -> \"total\" [label=\"join\", style=bold, arrowtail=crow, dir=both];",
        "}",
    ] {
        assert!(dot.lines().any(|there| there == line), "{line} in\n{dot}");
    }
}

/// What postcard writes does not say which of the two it is.
#[derive(Message, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u64),
    Word(String),
}

#[derive(Message, Serialize, Deserialize)]
struct Kept {
    number: u64,
    #[serde(skip)]
    skipped: u64,
}

#[stage(workers = 1)]
fn either(request: Request) -> Either {
    if request.head().path() == "/" { Either::Word(String::new()) } else { Either::Number(1) }
}

#[stage(workers = 1)]
fn which(either: Either) -> String {
    match either {
        Either::Number(number) => number.to_string(),
        Either::Word(word) => word,
    }
}

#[stage(workers = 1)]
fn keep(_: Request) -> Kept {
    Kept { number: 1, skipped: 2 }
}

#[stage(workers = 1)]
fn kept(Kept { number, skipped }: Kept) -> String {
    format!("{number} {skipped}")
}

#[stage(workers = 1)]
fn keep_parts(_: Request) -> Split<Kept> {
    (1..=2).map(|number| Kept { number, skipped: 2 }).collect()
}

#[stage(workers = 1)]
fn keep_part(mut kept: Kept) -> Kept {
    (kept.number, kept.skipped) = (kept.number + kept.skipped, 5);
    kept
}

#[stage(workers = 1)]
fn kept_parts(parts: Join<Kept>) -> String {
    parts.iter().map(|kept| format!("{} {}", kept.number, kept.skipped)).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_test_loses_of_a_message_what_processes_would() {
    let pipeline = Pipeline::new("p").stage::<either>().stage::<which>().build().unwrap();
    assert_eq!(pipeline.test(Request::get("/")).unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    let error = Either::decode(Either::Number(1).encode().unwrap()).err().unwrap().to_string();
    assert!(error.contains("`#[message(json)]`"), "{error}");
    let pipeline = Pipeline::new("p").stage::<keep>().stage::<kept>().build().unwrap();
    assert_eq!(pipeline.test(Request::get("/")).unwrap().body().as_bytes(), b"1 0");
    let pipeline = Pipeline::new("p").stage::<keep_parts>().split::<keep_part>().join::<kept_parts>().build().unwrap();
    assert_eq!(pipeline.test(Request::get("/")).unwrap().body().as_bytes(), b"1 0, 2 0");
}
