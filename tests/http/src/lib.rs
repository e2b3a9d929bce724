//! What a client sees. See `tests/`.
