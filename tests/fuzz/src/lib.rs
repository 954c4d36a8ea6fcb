//! What holds for every input that somebody else writes: each function takes bytes, and panics where a promise is broken.
//!
//! `targets` feeds them from libFuzzer; `tests/corpus.rs` of plaudit-tests feeds them what was kept, on every run of the tests.

pub mod answer;
pub mod config;
pub mod memory;
pub mod parts;
pub mod pipeline;
pub mod player;
pub mod report;
pub mod start;
pub mod trace;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
