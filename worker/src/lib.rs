//! Plaudit's worker: consumes partitions serially, merges reports by player, and stores one record per player with
//! compare-and-set.

pub mod batch;
pub mod ids;
pub mod merge;
pub mod player;
pub mod proto;
