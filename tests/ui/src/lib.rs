//! A user's crate: every form in which a stage or a message may be written, under the lints of a strict user.
//!
//! It compiles without a warning, which is its test; the tests beside it run what is declared here.

#![deny(
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    non_ascii_idents,
    rust_2018_idioms,
    single_use_lifetimes,
    trivial_casts,
    unreachable_pub,
    unsafe_code,
    unused_lifetimes,
    unused_qualifications,
    unused_results
)]
#![warn(clippy::pedantic)]
#![allow(
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::needless_pass_by_value,
    clippy::trivially_copy_pass_by_ref,
    clippy::unused_self,
    reason = "they are about functions that others call, and stages are called by workers"
)]

pub mod batches;
pub mod blocks;
pub mod derived;
pub mod functions;
pub mod messages;
pub mod shadowed;
