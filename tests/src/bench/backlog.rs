//! The backlogs: topics full of reports of 200 bytes before anybody reads.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use plaudit::load::{self, Load, Mix, Pace, PlayerOrder, Reports};

use crate::stack::{Kafka, unique_name};

/// So often each player comes back in a backlog, as players do.
const RETURNS: u64 = 10;
const REPORT_BYTES: usize = 200;

#[derive(Clone, Copy, Debug)]
pub enum Scenario {
    /// No two reports of a batch can be merged.
    OnceABatch,
    /// Three reports of a player follow each other.
    ThreeReports,
}

impl Scenario {
    pub const ALL: [Self; 2] = [Self::OnceABatch, Self::ThreeReports];

    pub fn name(self) -> &'static str {
        match self {
            Self::OnceABatch => "every player once a batch",
            Self::ThreeReports => "three reports a player",
        }
    }

    fn reports_each(self) -> u64 {
        match self {
            Self::OnceABatch => 1,
            Self::ThreeReports => 3,
        }
    }
}

/// Creates a topic with `records` reports; returns its name.
pub fn create(kafka: &Kafka, scenario: Scenario, records: u64, partitions: i32) -> Result<String> {
    let topic = unique_name("bench");
    kafka.create_topic(&topic, partitions, &[])?;
    kafka.create_topic(&format!("{topic}.dead-letters"), 1, &[])?;
    let reports_each = scenario.reports_each();
    let mix = Mix {
        players: (records / reports_each / RETURNS).max(1),
        order: PlayerOrder::InTurn { reports_each },
        report_bytes: Some(REPORT_BYTES),
        data_share: 0.0,
        ..Mix::default()
    };
    let load = Load {
        bootstrap_servers: kafka.bootstrap(),
        topic: topic.clone(),
        compression: "lz4".to_owned(),
        reports: Reports::Generated(Box::new(mix)),
        pace: Pace::default(),
        count: Some(records),
        duration: None,
    };
    let summary = load::produce(&load, &AtomicBool::new(false), &mut |_| {})?;
    ensure!(summary.complete(), "the backlog is not complete: {summary}");
    eprintln!("{}: {summary}", scenario.name());
    Ok(topic)
}
