//! A player's value and its chunks, as the store has them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plaudit_fuzz::player::record(input));
