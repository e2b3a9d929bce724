//! Stages whose `Run` is written by hand.

use std::marker::PhantomData;

use prime_server::prelude::*;

/// Derived with options.
#[derive(Clone, Copy, Debug, Default, Stage)]
#[stage(workers = 3)]
#[stage(name = "echo", idempotent)]
pub struct Echo;

impl Run for Echo {
    type In = Request;
    type Out = String;

    fn run(&mut self, request: Request, _: &Context) -> String {
        request.head().path().to_owned()
    }
}

/// Generic, and only a stage where its parameter answers.
#[derive(Clone, Debug, Stage)]
pub struct Fixed<T>(pub T);

impl<T: IntoResponse + Clone + 'static> Run for Fixed<T> {
    type In = Request;
    type Out = T;

    fn run(&mut self, _: Request, _: &Context) -> T {
        self.0.clone()
    }
}

/// A stage that calls a closure, with bounds on the type already.
#[derive(Clone, Debug, Stage)]
pub struct Map<In, F>
where
    F: Clone,
{
    closure: F,
    takes: PhantomData<fn(In)>,
}

impl<In, F: Clone> Map<In, F> {
    /// Calls this closure.
    pub const fn new(closure: F) -> Self {
        Self { closure, takes: PhantomData }
    }
}

impl<In, Out, F> Run for Map<In, F>
where
    In: Message,
    F: FnMut(In) -> Out + Clone + 'static,
{
    type In = In;
    type Out = Out;

    fn run(&mut self, input: In, _: &Context) -> Out {
        (self.closure)(input)
    }
}

/// An enum.
#[derive(Clone, Copy, Debug, Stage)]
pub enum Answer {
    /// 204.
    No,
    /// 200.
    Yes,
}

impl Run for Answer {
    type In = Request;
    type Out = StatusCode;

    fn run(&mut self, _: Request, _: &Context) -> StatusCode {
        match self {
            Answer::No => StatusCode::NO_CONTENT,
            Answer::Yes => StatusCode::OK,
        }
    }
}
