//! The worker's configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plaudit_fuzz::config::worker(input));
