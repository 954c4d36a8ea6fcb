//! What a worker answers to the operator.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plaudit_fuzz::answer::lanes(input));
