//! Stages that take several jobs at a time.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stage::RunBatch;
use crate::{Context, Message, Run};

/// What a stage does with several jobs at once, where that takes less than one after the other: the inference of a model, a lookup in a
/// database. `#[stage(batch = 32)]` writes this for a function, or an `impl` block's `run`, that takes a [`Batch`].
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct City(String);
///
/// #[stage]
/// fn parse(request: Request) -> City {
///     City(request.head().path().trim_start_matches('/').to_owned())
/// }
///
/// /// One query for all that wait, whatever it asks.
/// fn query(cities: &[&str]) -> Vec<Option<u64>> {
///     cities.iter().map(|city| (*city == "Basel").then_some(177_827)).collect()
/// }
///
/// #[stage(workers = 2, batch = 32, batch_wait_us = 500)]
/// fn inhabitants(jobs: Batch<City, Result<Json<u64>, StatusCode>>) {
///     let cities: Vec<_> = jobs.iter().map(|job| job.input.0.as_str()).collect();
///     let found = query(&cities);
///     for (job, inhabitants) in jobs.into_iter().zip(found) {
///         job.reply.send(inhabitants.map(Json).ok_or(StatusCode::NOT_FOUND));
///     }
/// }
///
/// let pipeline = Pipeline::new("cities").stage::<parse>().stage::<inhabitants>().build()?;
/// assert_eq!(pipeline.test(Request::get("/Basel"))?.body().as_bytes(), b"177827");
/// assert_eq!(pipeline.test(Request::get("/Atlantis"))?.status(), 404);
/// # Ok::<(), StartError>(())
/// ```
///
/// To the rest of the pipeline it is a stage as any other, that takes an `In` and returns an `Out`: it is a [`Run`] too, whose
/// [`run`](Run::run) makes a batch of one. How many jobs a batch has is in `docs/batching.md`, with what is promised of it.
///
/// By hand, `impl BatchStage` stands where another stage has `impl Run`, and the options stand in the `#[stage(batch = 32)]` below
/// `#[derive(Stage)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stage",
    label = "nothing says what it does with a job",
    note = "put `#[stage]` on the function, or on the type's `impl` block and `fn run` into it; or write `impl Run for {Self}` and put `#[derive(Stage)]` on the type",
    note = "a stage that takes several jobs at once has `impl BatchStage` in the place of `impl Run`"
)]
pub trait BatchStage: Sized + 'static {
    /// What a job of the stage takes.
    type In: Message;
    /// What a job comes to: what a stage without batches returns.
    type Out;

    /// Does some jobs: one at least, and at most as many as the stage's `batch` says.
    ///
    /// What is sent as [`Reply`]s goes on when this returns. A job whose reply is dropped, or kept beyond that, is answered 500. After a
    /// panic those jobs are answered 500 that had no reply yet, and the worker makes itself a new stage.
    fn run_batch(&mut self, jobs: Batch<Self::In, Self::Out>);

    /// Called after each batch, once the outcomes are on their way.
    fn reset(&mut self) {}
}

/// A batch of one.
impl<S: BatchStage> Run for S {
    type In = <S as BatchStage>::In;
    type Out = <S as BatchStage>::Out;

    const RUN_BATCH: Option<RunBatch<Self>> = Some(S::run_batch);

    /// # Panics
    /// If the job's reply is dropped.
    fn run(&mut self, input: Self::In, cx: &Context) -> Self::Out {
        let (batch, mut replies) = Batch::test_with([(input, cx.clone())]);
        self.run_batch(batch);
        replies.take(0).expect("a stage replies to its jobs, and dropped this one")
    }

    fn reset(&mut self) {
        BatchStage::reset(self);
    }
}

/// Some jobs, in the order in which they were to be taken: the most urgent first, and those alike as they came. It is a slice of
/// [`BatchJob`]s, and iterates over them.
#[derive(Debug)]
pub struct Batch<In, Out>(Vec<BatchJob<In, Out>>);

/// A job of a [`Batch`].
#[derive(Debug)]
pub struct BatchJob<In, Out> {
    /// What it takes.
    pub input: In,
    /// Its own deadline, whether somebody still waits for it, and the rest. It can [stream](Context::stream) its answer.
    pub cx: Context,
    /// Where to send what it comes to.
    pub reply: Reply<Out>,
}

/// Where to send what a job comes to. Dropped, the job is answered 500.
#[must_use = "a job whose reply is dropped is answered 500"]
pub struct Reply<Out> {
    replies: Replies<Out>,
    at: usize,
}

/// What the jobs of a batch have come to, in a unit test: see [`Batch::test`].
pub struct Replies<Out>(Arc<[Mutex<Option<Out>>]>);

impl<In, Out> Batch<In, Out> {
    /// Jobs for unit tests that call a stage as a function, each with the context of [`Context::test`], and what comes of them.
    ///
    /// ```
    /// use prime_server::prelude::*;
    ///
    /// #[stage(batch = 8)]
    /// fn paths(jobs: Batch<Request, String>) {
    ///     for job in jobs {
    ///         job.reply.send(job.input.head().path().to_owned());
    ///     }
    /// }
    ///
    /// let (jobs, replies) = Batch::test([Request::get("/a"), Request::get("/b")]);
    /// paths(jobs);
    /// assert_eq!(replies.into_vec(), [Some("/a".to_owned()), Some("/b".to_owned())]);
    /// ```
    pub fn test(inputs: impl IntoIterator<Item = In>) -> (Self, Replies<Out>) {
        Self::test_with(inputs.into_iter().map(|input| (input, Context::test())))
    }

    /// As [`test`](Self::test), each job with a context of your choice.
    pub fn test_with(jobs: impl IntoIterator<Item = (In, Context)>) -> (Self, Replies<Out>) {
        let jobs: Vec<_> = jobs.into_iter().collect();
        let replies = Replies::new(jobs.len());
        let numbered = jobs.into_iter().enumerate();
        let batch = numbered.map(|(at, (input, cx))| BatchJob { input, cx, reply: replies.reply(at) }).collect();
        (Self(batch), replies)
    }

    pub(crate) fn new(jobs: Vec<BatchJob<In, Out>>) -> Self {
        Self(jobs)
    }
}

impl<In, Out> Deref for Batch<In, Out> {
    type Target = [BatchJob<In, Out>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<In, Out> DerefMut for Batch<In, Out> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<In, Out> IntoIterator for Batch<In, Out> {
    type Item = BatchJob<In, Out>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, In, Out> IntoIterator for &'a Batch<In, Out> {
    type Item = &'a BatchJob<In, Out>;
    type IntoIter = std::slice::Iter<'a, BatchJob<In, Out>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<Out> Reply<Out> {
    /// This is what the job has come to.
    pub fn send(self, out: Out) {
        self.replies.put(self.at, out);
    }
}

impl<Out> Replies<Out> {
    pub(crate) fn new(jobs: usize) -> Self {
        Self((0..jobs).map(|_| Mutex::new(None)).collect())
    }

    pub(crate) fn reply(&self, at: usize) -> Reply<Out> {
        Reply { replies: Self(Arc::clone(&self.0)), at }
    }

    fn put(&self, at: usize, out: Out) {
        *self.0[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(out);
    }

    /// What that job has come to.
    pub(crate) fn take(&mut self, at: usize) -> Option<Out> {
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What each job has come to, in the order of the batch; `None` of one whose reply was dropped, or is kept.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<Option<Out>> {
        (0..self.0.len()).map(|at| self.take(at)).collect()
    }
}

impl<Out> fmt::Debug for Reply<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<Out> fmt::Debug for Replies<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("jobs", &self.0.len()).finish_non_exhaustive()
    }
}
