//! The attribute and derives of prime_server, which re-exports them; nothing here is used by itself.
//!
//! Each parses one item, checks it, and emits impls that could have been written by hand. Where something is wrong the
//! item and its impls are emitted all the same, as far as they can be, so that one mistake gives one message.

mod errors;
mod message;
mod options;
mod routes;
mod schema;
mod stage;
mod types;

use proc_macro::TokenStream;
use quote::quote;
use syn::parse::Parse;

use crate::errors::Errors;

/// Makes a stage of a function, or of a type by its `impl` block.
///
/// # On a function
/// The function takes the stage's input, a message, and if it asks for it the job's `&Context`; it returns what the
/// next stage takes, or an answer, or a `Result` or `Flow` of one. It stays as it is, for unit tests to call. Beside
/// it appears a type of the same name and visibility, which is the stage:
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Candidate(u64);
///
/// #[stage]
/// fn parse(request: Request) -> Result<Candidate, (StatusCode, &'static str)> {
///     let number = request.text().ok().and_then(|text| text.parse().ok());
///     number.map(Candidate).ok_or((StatusCode::BAD_REQUEST, "a number, please\n"))
/// }
///
/// #[stage(workers = 4, timeout_ms = 2000)]
/// fn is_prime(Candidate(n): Candidate, cx: &Context) -> Result<Json<bool>, prime_server::Cancelled> {
///     for divisor in 2..=n.isqrt() {
///         cx.check()?;
///         if n.is_multiple_of(divisor) {
///             return Ok(Json(false));
///         }
///     }
///     Ok(Json(n > 1))
/// }
///
/// assert!(is_prime(Candidate(7), &Context::test())?.0);
///
/// let primes = Pipeline::new("primes").stage::<parse>().stage::<is_prime>().build()?;
/// assert_eq!(primes.test(Request::post("/", "7"))?.body().as_bytes(), b"true");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # On an `impl` block
/// For a stage that keeps something between jobs. Each worker has a value of its own, which never leaves the worker's
/// thread.
///
/// * `fn run(&mut self, input, cx: &Context) -> Out` does one job; `cx` may be left out.
/// * `fn new() -> Self`, or `-> Result<Self, E>`, makes the value, once for each worker and again after a panic. A
///   type that is `Default` needs none, and must have none. A `new` that takes arguments is not called: such a stage
///   is added with `.stage_from(move || Sieve::new(limit))`.
/// * `fn reset(&mut self)`, if there is one, is called after each job.
/// * `fn affinity(&self) -> String`, or of another type that an `Affinity` is made of, if there is one, says what the worker is good at,
///   for `Pipeline::choose`. A stage with `batch` has none.
///
/// ```
/// use prime_server::prelude::*;
///
/// struct Sieve {
///     composite: Vec<bool>,
/// }
///
/// #[stage(workers = 2)]
/// impl Sieve {
///     fn new() -> Self {
///         Self { composite: Vec::with_capacity(1000) }
///     }
///
///     fn run(&mut self, _: Request) -> Json<usize> {
///         self.composite.resize(1000, false);
///         let mut primes = 0;
///         for n in 2..1000 {
///             if !self.composite[n] {
///                 primes += 1;
///                 (n * n..1000).step_by(n).for_each(|multiple| self.composite[multiple] = true);
///             }
///         }
///         Json(primes)
///     }
///
///     fn reset(&mut self) {
///         self.composite.clear();
///     }
/// }
///
/// let sieve = Pipeline::new("sieve").stage::<Sieve>().build()?;
/// assert_eq!(sieve.test(Request::get("/"))?.body().as_bytes(), b"168");
/// # Ok::<(), StartError>(())
/// ```
///
/// # Several jobs at a time
/// With `batch = 32` the function, or `run`, takes a `Batch<In, Out>` and returns nothing: `In` and `Out` are what another stage takes and
/// returns, and each job of the batch has a reply to which its `Out` is sent. See `BatchStage`.
///
/// # Options
/// | option | meaning | default |
/// |---|---|---|
/// | `workers = 4`, `workers = 2..=16` | how many workers (threads) the stage has; of a range, as many as it needs | one for each core |
/// | `queue = 100` | the most jobs that may wait for a worker; one more is answered 503 | the pipeline's `max_in_flight` |
/// | `timeout_ms = 2000` | the longest that a job may wait and run here, in milliseconds; then it is answered 504 | what is left of the request's deadline |
/// | `demote = false` | a job that runs for long keeps its worker, also while shorter ones wait | it makes room, on Linux |
/// | `max_instances = 64` | the most instances of the stage, those of demoted jobs among them | `max_in_flight`, or twice the workers for a stage with a state |
/// | `strict_priority` | no job is taken while a more urgent one waits | each priority has twice the share of the next |
/// | `max_delay_ms = 50` | how long a job may wait while the stage is overloaded; then it is answered 503 | half of the deadline or the timeout |
/// | `refuse_hopeless = false` | a job is tried that takes longer than it has left | it is answered 504 at once |
/// | `batch = 32` | how many jobs a stage takes at a time whose function takes a `Batch<In, Out>` | it takes one |
/// | `batch_wait_us = 500` | how long a worker that has fewer jobs waits for more, in microseconds | it does not wait |
/// | `idempotent` | a job lost with its worker may be run again elsewhere | it is answered 502 |
/// | `name = "sieve"` | the stage's name in metrics, logs and routes | the name of the function or type |
///
/// The builder's `.workers(8)` and so on override them.
#[proc_macro_attribute]
pub fn stage(options: TokenStream, item: TokenStream) -> TokenStream {
    expand_with(item, |item, errors| stage::expand(options.into(), item, errors))
}

/// Declares a type as a stage where you write `impl Run` for it yourself: a generic one, say.
///
/// `#[stage(...)]` below the derive takes the options of the attribute `stage`. For `.stage::<S>()` the type also has
/// to be `Default` or `Construct`; `.stage_from` takes a closure that makes it.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[derive(Stage)]
/// #[stage(workers = 2)]
/// struct Fixed<T>(T);
///
/// impl<T: IntoResponse + Clone + 'static> Run for Fixed<T> {
///     type In = Request;
///     type Out = T;
///     fn run(&mut self, _: Request, _: &Context) -> T {
///         self.0.clone()
///     }
/// }
///
/// let hello = Pipeline::new("hello").stage_from(|| Fixed("hello\n")).build()?;
/// assert_eq!(hello.test(Request::get("/"))?.body().as_bytes(), b"hello\n");
/// # Ok::<(), StartError>(())
/// ```
#[proc_macro_derive(Stage, attributes(stage))]
pub fn derive_stage(item: TokenStream) -> TokenStream {
    expand_with(item, |item, errors| stage::derive(&item, errors))
}

/// Says where each variant of an enum goes that a stage returns: `#[to(integral)]` sends what it holds to the stage `integral`; a
/// variant without is an answer.
///
/// Every variant holds one value. With `#[to(S)]` that is what the stage `S` takes, a `Split` of it, or where `S` takes `Join<R>`, an
/// `R`; without, anything that answers. The stages are added with `.node::<S>()`, except those that are there already.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Search { n: u64, below: u64 }
///
/// #[derive(Routes)]
/// enum Next {
///     /// Back to the end of its own queue, so that shorter jobs get their turn.
///     #[to(search)]
///     Again(Search),
///     #[to(describe)]
///     Found(Divisor),
///     None(StatusCode),
/// }
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Divisor(u64);
///
/// #[stage]
/// fn begin(_: Request) -> Search {
///     Search { n: 91, below: 2 }
/// }
///
/// #[stage]
/// fn search(Search { n, below }: Search) -> Next {
///     match (below..(below + 3).min(n)).find(|divisor| n % divisor == 0) {
///         Some(divisor) => Next::Found(Divisor(divisor)),
///         None if below + 3 >= n => Next::None(StatusCode::NOT_FOUND),
///         None => Next::Again(Search { n, below: below + 3 }),
///     }
/// }
///
/// #[stage(workers = 1)]
/// fn describe(Divisor(n): Divisor) -> String {
///     format!("divided by {n}\n")
/// }
///
/// let pipeline = Pipeline::new("divisors").stage::<begin>().stage::<search>().node::<describe>().build()?;
/// assert_eq!(pipeline.test(Request::get("/"))?.body().as_bytes(), b"divided by 7\n");
/// # Ok::<(), StartError>(())
/// ```
#[proc_macro_derive(Routes, attributes(to))]
pub fn derive_routes(item: TokenStream) -> TokenStream {
    expand_with(item, |item, errors| routes::derive(&item, errors))
}

/// Marks a type that travels between stages: derives `Message`, and `Schema` with it.
///
/// It stands beside serde's derives, and every field's type needs a `Schema` too. Two options:
///
/// * `#[message(json)]` writes the message as JSON, for workers in other languages, instead of postcard. The codec is
///   part of the schema.
/// * `#[message(schema = 7)]` sets the schema's number by hand, as a type that contains itself must, or one with a
///   field whose type has no schema. It is then all that is compared: give it another number with every change.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize, Debug, PartialEq)]
/// #[message(json)]
/// struct Area {
///     west: f64,
///     east: f64,
/// }
///
/// let frame = Area { west: 5.5, east: 15.0 }.encode()?;
/// assert_eq!(frame, r#"{"west":5.5,"east":15.0}"#);
/// # Ok::<(), prime_server::CodecError>(())
/// ```
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(item: TokenStream) -> TokenStream {
    expand_with(item, |item, errors| message::derive(&item, errors))
}

/// Derives `Schema` for a type that only occurs inside messages.
///
/// The number is made of the names and types of fields and variants, nested ones folded in; attributes, docs and
/// visibility do not count. `#[message(schema = 7)]` sets it by hand.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Schema, Serialize, Deserialize)]
/// struct Corner(f64, f64);
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Area {
///     corners: Vec<Corner>,
/// }
///
/// assert_ne!(Corner::SCHEMA, Area::SCHEMA);
/// ```
#[proc_macro_derive(Schema, attributes(message))]
pub fn derive_schema(item: TokenStream) -> TokenStream {
    expand_with(item, |item, errors| schema::derive(&item, errors))
}

/// Parses the item, expands it, and adds the mistakes that were found.
fn expand_with<Item: Parse>(
    item: TokenStream,
    expand: impl FnOnce(Item, &mut Errors) -> proc_macro2::TokenStream,
) -> TokenStream {
    let mut errors = Errors::default();
    let expanded = match syn::parse(item) {
        Ok(item) => expand(item, &mut errors),
        Err(error) => error.to_compile_error(),
    };
    quote!(#expanded #errors).into()
}
