//! Stages made of closures, so that a test can say in one line what its stage does. What waits behind a gate waits: nothing is demoted.

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

/// What travels from a [`First`] to a [`Second`].
#[derive(Message, Serialize, Deserialize, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// For `.stage_from(first(...))`: each worker calls a clone of the closure.
pub fn first<F: Clone>(closure: F) -> impl Fn() -> First<F> {
    move || First(closure.clone())
}

/// For `.stage_from(second(...))`.
pub fn second<F: Clone>(closure: F) -> impl Fn() -> Second<F> {
    move || Second(closure.clone())
}

/// An entry stage that calls a closure.
#[derive(Debug, Stage)]
#[stage(name = "first", demote = false)]
pub struct First<F>(pub F);

impl<F, Out> Run for First<F>
where
    F: FnMut(Request, &Context) -> Out + 'static,
{
    type In = Request;
    type Out = Out;

    fn run(&mut self, request: Request, cx: &Context) -> Out {
        (self.0)(request, cx)
    }
}

/// A second stage that calls a closure.
#[derive(Debug, Stage)]
#[stage(name = "second", demote = false)]
pub struct Second<F>(pub F);

impl<F, Out> Run for Second<F>
where
    F: FnMut(Text, &Context) -> Out + 'static,
{
    type In = Text;
    type Out = Out;

    fn run(&mut self, text: Text, cx: &Context) -> Out {
        (self.0)(text, cx)
    }
}
