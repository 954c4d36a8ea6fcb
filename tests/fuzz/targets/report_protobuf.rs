//! A record's value as protobuf.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plaudit_fuzz::report::protobuf(input));
