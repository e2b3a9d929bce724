//! Schemas: a number that two processes compare before they exchange messages of a type.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The shape of a message, as a name and a number made of its field names and types, nested ones folded in.
///
/// Attributes, docs and visibility do not count; a change in a nested type does. Two processes whose numbers differ refuse
/// to work together instead of misreading each other. `#[derive(Message)]` writes it; `#[derive(Schema)]` is for types
/// that only occur inside messages. `#[message(schema = 7)]` sets the number by hand, as a type that contains itself must.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Schema, Serialize, Deserialize)]
/// struct Point { x: f64, y: f64 }
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Leg { from: Point, to: Point }
///
/// assert_eq!(Leg::NAME, "Leg");
/// assert_ne!(Leg::SCHEMA, Point::SCHEMA);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no schema",
    label = "unknown shape",
    note = "put `#[derive(Schema)]` on `{Self}` (or `#[derive(Message)]`, if it travels by itself); for a type of another crate, wrap it in one of yours and set `#[message(schema = 1)]` on that"
)]
pub trait Schema {
    /// The type's name, for people.
    const NAME: &'static str;
    /// The type's shape, for comparison.
    const SCHEMA: u64;
}

/// Makes a schema number, at compile time: FNV-1a over names and nested numbers. For a [`Schema`] written by hand:
///
/// ```
/// use prime_server::{Schema, Shape};
///
/// struct Point { x: f64, y: f64 }
///
/// impl Schema for Point {
///     const NAME: &'static str = "Point";
///     const SCHEMA: u64 = Shape::new(Self::NAME).name("x").of::<f64>().name("y").of::<f64>().finish();
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shape(u64);

impl Shape {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    /// Begins with the type's name.
    #[must_use]
    pub const fn new(name: &str) -> Self {
        Self(Self::OFFSET).name(name)
    }

    /// Adds the name of a field or variant.
    #[must_use]
    pub const fn name(self, name: &str) -> Self {
        // 0xff occurs in no UTF-8 text, so "ab" + "c" and "a" + "bc" differ.
        self.bytes(name.as_bytes()).bytes(&[0xff])
    }

    /// Adds a number, such as an array's length.
    #[must_use]
    pub const fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Adds the shape of a field's type.
    #[must_use]
    pub const fn of<T: Schema + ?Sized>(self) -> Self {
        self.number(T::SCHEMA)
    }

    const fn bytes(self, bytes: &[u8]) -> Self {
        let mut hash = self.0;
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(Self::PRIME);
            at += 1;
        }
        Self(hash)
    }

    /// The number.
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

macro_rules! leaf {
    ($($type:ty),* $(,)?) => {$(
        impl Schema for $type {
            const NAME: &'static str = stringify!($type);
            const SCHEMA: u64 = Shape::new(Self::NAME).finish();
        }
    )*};
}

macro_rules! container {
    ($($name:literal: $type:ident<$($param:ident),+ $(; $rest:ident)?>),* $(,)?) => {$(
        impl<$($param: Schema,)+ $($rest)?> Schema for $type<$($param,)+ $($rest)?> {
            const NAME: &'static str = $name;
            const SCHEMA: u64 = Shape::new($name)$(.of::<$param>())+.finish();
        }
    )*};
}

macro_rules! tuple {
    ($(($($param:ident),+)),* $(,)?) => {$(
        impl<$($param: Schema),+> Schema for ($($param,)+) {
            const NAME: &'static str = "tuple";
            const SCHEMA: u64 = Shape::new("tuple")$(.of::<$param>())+.finish();
        }
    )*};
}

/// A type that is on the wire what another is, so that one may replace the other.
macro_rules! same {
    ($([$($generics:tt)*] $type:ty => $as:ty),* $(,)?) => {$(
        impl<$($generics)*> Schema for $type {
            const NAME: &'static str = <$as>::NAME;
            const SCHEMA: u64 = <$as>::SCHEMA;
        }
    )*};
}

leaf!(bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, (), str, Duration);
leaf!(IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SystemTime);
container!(
    "option": Option<T>,
    "result": Result<T, E>,
    "sequence": Vec<T>,
    "sequence": VecDeque<T>,
    "set": BTreeSet<T>,
    "set": HashSet<T; S>,
    "map": BTreeMap<K, V>,
    "map": HashMap<K, V; S>,
);
tuple!(
    (A),
    (A, B),
    (A, B, C),
    (A, B, C, D),
    (A, B, C, D, E),
    (A, B, C, D, E, F),
    (A, B, C, D, E, F, G),
    (A, B, C, D, E, F, G, H),
);
same!(
    [] String => str,
    [T: Schema + ?Sized] Box<T> => T,
    [T: Schema + ?Sized] Arc<T> => T,
    [T: Schema + ToOwned + ?Sized] Cow<'_, T> => T,
);

impl<T: Schema, const N: usize> Schema for [T; N] {
    const NAME: &'static str = "array";
    const SCHEMA: u64 = Shape::new("array").of::<T>().number(N as u64).finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shapes_have_equal_numbers() {
        assert_eq!(String::SCHEMA, <Box<str>>::SCHEMA);
        assert_eq!(<Vec<u8>>::SCHEMA, <VecDeque<Box<u8>>>::SCHEMA);
    }

    #[test]
    fn different_shapes_have_different_numbers() {
        let numbers = [
            u8::SCHEMA,
            u16::SCHEMA,
            <Option<u8>>::SCHEMA,
            <Vec<u8>>::SCHEMA,
            <Vec<Vec<u8>>>::SCHEMA,
            <(u8, u16)>::SCHEMA,
            <(u16, u8)>::SCHEMA,
            <[u8; 2]>::SCHEMA,
            <[u8; 3]>::SCHEMA,
            <HashMap<u8, u16>>::SCHEMA,
        ];
        for (at, number) in numbers.iter().enumerate() {
            assert!(!numbers[..at].contains(number), "number {at} is taken");
        }
    }

    #[test]
    fn names_do_not_run_together() {
        assert_ne!(Shape::new("ab").name("c").finish(), Shape::new("a").name("bc").finish());
    }
}
