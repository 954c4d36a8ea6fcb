//! The worker on real Kafka and Valkey: one test for each promise.

mod bad_records;
mod chaos;
mod exactness;
mod formats;
mod importing;
mod local;
mod protoc;
mod reading;
mod starts;
mod store_outage;
mod takeover;
