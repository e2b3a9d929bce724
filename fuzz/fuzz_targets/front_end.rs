#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prime_server::fuzzing::front_end(bytes));
