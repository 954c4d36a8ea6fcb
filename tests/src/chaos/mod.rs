//! Chaos: random faults at random moments of a load on real servers, and then the checker's verdict.
//!
//! A schedule is a function of its seed, so that a failure can be looked for again: `make chaos SEED=…`.

mod args;
mod draw;
mod ending;
mod fault;
mod fleet;
mod load;
mod plan;
mod play;
mod run;
mod store;

pub use args::Args;
pub use fault::{Disturbance, Fault, Kind, Link, Variant, Way};
pub use plan::{Plan, Planned};
pub use run::{Outcome, run, start_kafka};
pub use store::{Store, start_valkey};
