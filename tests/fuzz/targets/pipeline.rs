//! A pipeline's object, from a file and from the API server, down to children and status.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plaudit_fuzz::pipeline::object(input));
