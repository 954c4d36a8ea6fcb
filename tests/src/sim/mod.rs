//! Deterministic simulation: the worker's real lanes against a store, a group and topics that exist in memory.
//!
//! A schedule is a function of its seed: what the log holds, how long each command takes, which answers are lost, which
//! commands run after their sender gave up, when the store loses a suffix of its history, when partitions change hands
//! and for how long the old lane runs on. At the end faults stop, the lanes catch up, and the checker's own fold has
//! the last word; every accepted commit is held against the store at once.
//!
//! The scheduler is Tokio's own: one thread, paused time, every delay drawn from the seed. The lane code knows the world
//! through three traits only, none of which is a socket. turmoil simulates hosts and TCP, which would mean to write a
//! Kafka broker and a Valkey server first; madsim replaces Tokio and the clients by patched ones, so that what ran here
//! would not be what ships. Neither would add a schedule that delays at the traits cannot make.

mod args;
mod connection;
mod data;
mod fleet;
mod load;
mod outbox;
mod plan;
mod record;
mod run;
mod source;
mod verdict;
mod world;

pub use args::Args;
pub use plan::{Fault, Knobs, Plan};
pub use run::{Outcome, run, traced};
