//! Chaos: random faults at random moments of a load on the real pair, and then the checker's verdict.
//!
//! A schedule is a function of its seed, so that a failure can be looked for again: `make chaos SEED=…`.

mod args;
mod plan;
mod run;

pub use args::Args;
pub use plan::{Fault, Plan};
pub use run::{Outcome, Pair, run};
