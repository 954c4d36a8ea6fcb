//! A fence and a commit's metadata, and where the lane starts.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plaudit_fuzz::start::lane(input));
