//! What the tests share: real Kafka and Valkey ([`stack`]), and what is measured and shown with them.

pub mod bench;
pub mod canary;
pub mod chaos;
pub mod chart;
pub mod checker;
pub mod cluster;
pub mod demo;
pub mod direct;
pub mod example;
pub mod fleet;
pub mod model;
pub mod played;
pub mod programs;
pub mod rivals;
pub mod scene;
pub mod secured;
pub mod sim;
pub mod stack;
