//! See `tests/`: each file of the library that has a protocol of its own atomics, with those of loom in place of the standard
//! library's.
