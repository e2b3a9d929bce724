//! A module without the prelude, in which the names that the macros might lean on mean other things.

use serde::{Deserialize, Serialize};

/// Not std's.
pub type Result<T> = std::result::Result<T, prime_server::QueryError>;

/// Not std's.
pub type Option = u8;

/// Not core's.
pub mod core {}

/// Not the crate's.
#[derive(Clone, Copy, Debug)]
pub struct Context;

#[expect(dead_code, non_snake_case, reason = "only to be in the way")]
fn Ok() {}

#[expect(dead_code, reason = "only to be in the way")]
trait Send {}

/// A message all the same.
#[derive(prime_server::Message, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Shadow<Self_> {
    /// One of them.
    pub option: Option,
    /// And a parameter.
    pub value: Self_,
}

/// A stage all the same.
#[prime_server::stage]
pub fn shadow(request: prime_server::Request) -> Result<Shadow<u16>> {
    request.query()
}

/// A stage with state all the same.
#[derive(Clone, Copy, Debug)]
pub struct Count(u64);

#[prime_server::stage]
impl Count {
    fn new() -> Self {
        Self(0)
    }

    fn run(&mut self, shadow: Shadow<u16>, _: &prime_server::Context) -> String {
        self.0 += u64::from(shadow.value);
        self.0.to_string()
    }
}
