//! What a connection makes of bytes.
