//! A trace of `plaudit simulate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plaudit_fuzz::trace::csv(input));
