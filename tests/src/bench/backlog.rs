//! The backlogs: topics full of reports of 200 bytes before anybody reads.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use plaudit::load::{self, Load, Mix, Pace, PlayerOrder, Reports};
use plaudit_worker::kafka::Access;

use crate::stack::{Kafka, unique_name};

const REPORT_BYTES: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Nothing can be merged: every player comes once a batch, and once in all.
    PlayersOnce,
    /// Three reports of a player follow each other.
    ThreeReports,
    /// Nothing can be merged, and each player comes back after all others: records are read again, and grow. The
    /// yardstick only overwrites.
    PlayersReturn,
}

impl Scenario {
    pub const ALL: [Self; 3] = [Self::PlayersOnce, Self::ThreeReports, Self::PlayersReturn];

    pub fn name(self) -> &'static str {
        match self {
            Self::PlayersOnce => "every player once",
            Self::ThreeReports => "three reports a player",
            Self::PlayersReturn => "players who return, ten times each",
        }
    }

    /// Reports of a player in a row, and how often the player comes.
    fn shape(self) -> (u64, u64) {
        match self {
            Self::PlayersOnce => (1, 1),
            Self::ThreeReports => (3, 1),
            Self::PlayersReturn => (1, 10),
        }
    }
}

/// Creates a topic with `records` reports; returns its name.
pub fn create(kafka: &Kafka, scenario: Scenario, records: u64, partitions: i32) -> Result<String> {
    let topic = unique_name("bench");
    kafka.create_topic(&topic, partitions, &[])?;
    kafka.create_topic(&format!("{topic}.dead-letters"), 1, &[])?;
    let (reports_each, returns) = scenario.shape();
    let mix = Mix {
        players: records.div_ceil(reports_each * returns).max(1),
        order: PlayerOrder::InTurn { reports_each },
        report_bytes: Some(REPORT_BYTES),
        data_share: 0.0,
        ..Mix::default()
    };
    let load = Load {
        access: Access::plain(&kafka.bootstrap()),
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
