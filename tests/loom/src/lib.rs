//! The wake-up protocol of `prime_server`, with loom's atomics in place of the standard library's. See `tests/wake.rs`.
