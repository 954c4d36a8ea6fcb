//! Each part of the protocol left out, and the shortest way to what then goes wrong.
//!
//! `plaudit-tests model --only NAME` prints the steps again after a change of the model.

mod chunks;
mod fences;
mod merging;
mod owed;
mod writes;
