//! The worker on real Kafka and Valkey: one test for each promise.

mod bad_records;
mod chaos;
mod direct;
mod exactness;
mod formats;
mod growth;
mod hostile;
mod importing;
mod languages;
mod local;
mod monitor;
mod network;
mod overload;
mod protoc;
mod reading;
mod secure;
mod simulate;
mod starts;
mod store_loss;
mod store_outage;
mod takeover;
mod warnings;
