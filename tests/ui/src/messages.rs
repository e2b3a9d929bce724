//! Messages.

use std::collections::HashMap;

use prime_server::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A tuple struct.
#[derive(Message, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate(pub u64);

/// No fields.
#[derive(Message, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nothing;

/// Only inside messages.
#[derive(Schema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Corner(pub f64, pub f64);

/// Nested types, a keyword for a name, attributes.
#[derive(Message, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// From and to.
    pub corners: Vec<Corner>,
    /// A raw identifier.
    #[serde(default)]
    pub r#type: Option<Kind>,
    /// All that std has.
    pub names: HashMap<String, (u8, [Nothing; 2])>,
}

/// An enum of every kind of variant.
#[derive(Message, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Alone.
    Land,
    /// With a type.
    Sea(u32),
    /// With fields.
    Island {
        /// Once a day.
        tides: Vec<Candidate>,
    },
}

/// Written as JSON.
#[derive(Message, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[message(json)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub at: Corner,
}

/// A type that contains itself.
#[derive(Message, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[message(schema = 7)]
pub struct Tree {
    /// Its branches.
    pub branches: Vec<Tree>,
}

/// A type parameter, and a constant one.
#[derive(Message, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Batch<T, const N: usize = 4>
where
    T: Clone,
{
    /// The jobs.
    pub jobs: Vec<T>,
}

/// A bound of the user's own beside those of the derive.
#[derive(Message, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(bound = "T: Serialize + DeserializeOwned")]
pub struct Wrapped<T: Clone>(pub T);
