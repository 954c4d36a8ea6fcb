//! Leader election on a Lease: of several operators at most one acts.
//!
//! [`machine`] decides and is pure; [`elector`] waits, reads and writes as told; [`lease`] is the API server's side. The promise: at
//! no moment do two electors believe that they lead, provided that their clocks run equally fast. It rests on three rules.
//!
//! * Every write names the version that it replaces, and is refused when another came first.
//! * A leader counts from *before* it sent its last write that it knows to be stored, and gives up after the renew deadline. Everybody
//!   else counts from *after* they saw that write, and waits for the whole lease, which is longer.
//! * Each counts on its own monotonic clock. The times in a Lease are for people: no two machines' clocks are compared.

mod elector;
mod identity;
mod lead;
mod lease;
mod machine;
mod record;
mod term;
mod times;

pub use elector::{Candidacy, Elector, Leadership};
pub use identity::identity;
pub use lead::lead;
pub use lease::{Changes, KubeLeases, LeaseError, Leases};
pub use machine::Loss;
pub use record::Record;
pub use term::Term;
pub use times::{BadTimes, Times};

#[cfg(test)]
mod simulation;
