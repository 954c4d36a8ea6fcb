//! Plaudit's worker: consumes partitions serially, merges reports by player, and stores one record per player with
//! compare-and-set.

pub mod backoff;
pub mod batch;
pub mod budget;
pub mod cache;
pub mod cli;
pub mod exposition;
mod fields;
pub mod http;
pub mod ids;
pub mod kafka;
pub mod lane;
pub mod merge;
pub mod metrics;
pub mod mutation;
pub mod player;
pub mod process;
pub mod proto;
pub mod reader;
pub mod report;
mod rotation;
pub mod security;
pub mod server;
pub mod source_warning;
pub mod store;
pub mod worker;
