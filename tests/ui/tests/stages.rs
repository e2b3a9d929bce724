//! The stages of `src/` run, and are called what they say, with the options that they say.

use prime_server::prelude::*;
use prime_server::{Construct, StageOptions};
use ui::batches::{FixedForAll, Names, squares};
use ui::blocks::{Broken, Chosen, Counter, Gather, Greeter, Parsed, Sieve};
use ui::derived::{Answer, Echo, Fixed, Map};
use ui::functions::{self, chosen, cx, echo, halve, is_prime, job, r#match, parse};
use ui::messages::{Batch, Candidate};
use ui::shadowed::{Count, shadow};

fn answer(pipeline: Result<prime_server::Built, StartError>, target: &str) -> (u16, String) {
    let response = pipeline.unwrap().test(Request::get(target)).unwrap();
    (response.status().as_u16(), String::from_utf8(response.body().as_bytes().to_vec()).unwrap())
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

#[test]
fn a_function_stays_callable() {
    let cx = Context::test();
    assert_eq!(parse(Request::get("/?n=7")).unwrap(), Candidate(7));
    assert!(is_prime(Candidate(7), &cx).unwrap().0);
    assert!(matches!(halve(Candidate(7), &cx), Flow::Forward(Candidate(3))));
    assert_eq!(r#match(Request::get("/")), "matched");
}

#[test]
fn functions_make_a_pipeline() {
    let pipeline = || {
        let pipeline = Pipeline::new("ui").stage::<parse>().stage::<halve>().workers(2).stage::<job>().stage::<cx>();
        pipeline.stage::<is_prime>().build()
    };
    assert_eq!(answer(pipeline(), "/?n=15"), ok("true"));
    assert_eq!(answer(pipeline(), "/?n=1"), (204, String::new()));
    assert_eq!(answer(pipeline(), "/?n=x").0, 400);
    assert_eq!(answer(functions::private(), "/"), ok("1"));
    assert_eq!(answer(Pipeline::new("ui").stage::<parse>().stage::<echo>().build(), "/?n=7"), ok("7"));
    assert_eq!(answer(Pipeline::new("ui").stage::<shadow>().stage::<Count>().build(), "/?option=1&value=8"), ok("8"));
}

#[test]
fn a_stage_may_stand_inside_a_function() {
    #[stage(name = "inside")]
    fn local(_: Request) -> &'static str {
        "local"
    }
    assert_eq!(local::NAME, "inside");
    assert_eq!(answer(Pipeline::new("ui").stage::<local>().build(), "/"), ok("local"));
}

#[test]
fn blocks_make_a_pipeline() {
    assert_eq!(answer(Pipeline::new("ui").stage::<Parsed>().stage::<Sieve>().build(), "/"), ok("true"));
    assert_eq!(answer(Pipeline::new("ui").stage::<Counter>().build(), "/"), ok("1"));
    assert_eq!(answer(Pipeline::new("ui").stage::<Chosen>().build(), "/"), ok("chosen"));
    assert_eq!(answer(Pipeline::new("ui").stage_from(|| Greeter::new("hi")).build(), "/you"), ok("hi /you"));
    let failing = || Err::<Greeter, _>(std::io::Error::other("no greeting"));
    let failed = Pipeline::new("ui").stage_from(failing).build().unwrap().test(Request::get("/"));
    assert_eq!(failed.unwrap_err().to_string(), "stage `Greeter` could not be constructed: no greeting");

    let count = Map::new(|Batch { jobs }: Batch<Candidate>| Json(jobs.len()));
    let pipeline = Pipeline::new("ui").stage::<parse>().stage::<Gather<Candidate, 4>>();
    assert_eq!(answer(pipeline.stage_from(move || count.clone()).build(), "/?n=7"), ok("1"));
}

#[test]
fn stages_that_take_several_jobs_make_a_pipeline_with_others() {
    let pipeline = || Pipeline::new("ui").stage::<parse>().stage::<squares>().stage::<Names>().build();
    assert_eq!(answer(pipeline(), "/?n=7"), ok("forty-nine"));
    assert_eq!(answer(pipeline(), "/?n=8"), ok("none"));
    assert_eq!(answer(pipeline(), &format!("/?n={}", u64::MAX)).0, 416);
    assert_eq!(answer(Pipeline::new("ui").stage_from(|| FixedForAll("hi")).build(), "/"), ok("hi"));
    assert_eq!(squares::DEFAULTS, StageOptions::new().batch(32).batch_wait_us(500));
    assert_eq!((Names::NAME, Names::DEFAULTS), ("Names", StageOptions::new().batch(8).workers(2)));
}

#[test]
fn several_jobs_are_handed_to_a_function_as_others_are() {
    let (jobs, replies) = prime_server::Batch::test([Candidate(3), Candidate(u64::MAX), Candidate(2)]);
    squares(jobs);
    let replies = replies.into_vec();
    assert_eq!(replies, [Some(Ok(Candidate(9))), Some(Err(StatusCode::RANGE_NOT_SATISFIABLE)), Some(Ok(Candidate(4)))]);

    let mut names = Names::create().unwrap();
    assert_eq!(Run::run(&mut names, Candidate(49), &Context::test()), "forty-nine");
    Run::reset(&mut names);
    assert_eq!(names.batches(), 1);
}

#[test]
fn new_may_fail() {
    assert!(Parsed::create().is_ok());
    let failed = Broken::create().unwrap_err();
    assert_eq!(failed.to_string(), "stage `Broken` could not be constructed: invalid digit found in string");
}

#[test]
fn reset_is_handed_on_where_there_is_one() {
    let mut sieve = Sieve::new();
    assert!(Run::run(&mut sieve, Candidate(7), &Context::test()).unwrap().0);
    assert!(!sieve.is_clear());
    Run::reset(&mut sieve);
    assert!(sieve.is_clear());

    let mut counter = Counter::default();
    for job in 1..3 {
        assert_eq!(Run::run(&mut counter, Request::get("/"), &Context::test()).0, job);
        Run::reset(&mut counter);
    }
}

#[test]
fn derived_stages_make_a_pipeline() {
    assert_eq!(answer(Pipeline::new("ui").stage::<Echo>().build(), "/hi"), ok("/hi"));
    assert_eq!(answer(Pipeline::new("ui").stage_from(|| Fixed("hi")).build(), "/"), ok("hi"));
    assert_eq!(answer(Pipeline::new("ui").stage_from(|| Answer::No).build(), "/").0, 204);
    assert_eq!(answer(Pipeline::new("ui").stage_from(|| Answer::Yes).build(), "/").0, 200);
}

#[test]
fn a_stage_is_called_as_its_item_unless_it_says_otherwise() {
    assert_eq!(parse::NAME, "parse");
    assert_eq!(is_prime::NAME, "trial division");
    assert_eq!(r#match::NAME, "match");
    assert_eq!(echo::NAME, "echo");
    assert_eq!(Sieve::NAME, "Sieve");
    assert_eq!(Parsed::NAME, "parsed");
    assert_eq!(<Gather<Candidate, 4>>::NAME, "gather");
    assert_eq!(Echo::NAME, "echo");
    assert_eq!(<Fixed<&str>>::NAME, "Fixed");
}

#[test]
fn options_are_the_defaults() {
    const ALL: StageOptions = StageOptions::new().workers(4).queue(100).timeout_ms(2000).idempotent(true);
    assert_eq!(parse::DEFAULTS, StageOptions::new());
    assert_eq!(is_prime::DEFAULTS, ALL);
    assert_eq!(halve::DEFAULTS, StageOptions::new().queue(0));
    assert_eq!(chosen::DEFAULTS, StageOptions::new().workers(2));
    assert_eq!(Sieve::DEFAULTS, StageOptions::new().workers(2));
    assert_eq!(Parsed::DEFAULTS, StageOptions::new());
    assert_eq!(Echo::DEFAULTS, StageOptions::new().workers(3).idempotent(true));
}
