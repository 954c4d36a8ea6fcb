//! One run of one process over a backlog, from its first stored record to its last.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plaudit_crds::Policy;
use plaudit_crds::worker::WorkerConfig;
use redis::Connection;

use super::baseline::counter_key;
use super::machine::{self, Processors};
use crate::checker::{self, Layout, Rules};
use crate::stack::process::{Lifetime, Process};
use crate::stack::{scratch, unique_name};

/// How often progress is looked at: the greatest error of a time.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A process that stores nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Baseline,
    Worker,
    /// Another build of it.
    Beside,
    /// The same pipeline in Go, with encoding/json and Go's defaults.
    Peer,
    /// With a JSON decoder that is faster and less strict, and a garbage collector that runs less often.
    PeerTuned,
}

/// Allocation relative to live memory between two garbage collections, in percent; Go's default is 100.
const TUNED_GOGC: &str = "400";
/// The worker's own.
const BATCH_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../worker/src/store/batch.lua");

/// The surroundings of a run.
#[derive(Clone, Debug)]
pub struct Bench {
    pub bootstrap_servers: String,
    pub store_address: String,
    pub store_pid: u32,
    pub broker_pid: u32,
    pub topic: String,
    pub partitions: i32,
    pub records: u64,
    pub worker: PathBuf,
    /// Another build of it to compare with.
    pub beside: Option<PathBuf>,
    /// None: it could not be built.
    pub peer: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// From the last look that found nothing stored to the first that found everything.
    pub reports_per_second: f64,
    /// User and system time of the process, its start included.
    pub cpu_seconds_per_million: f64,
    /// The store's in the same time.
    pub store_seconds_per_million: f64,
    /// The broker's: it is busiest with small fetches.
    pub broker_seconds_per_million: f64,
    /// Of all processors' time from the first report to the last.
    pub idle_share: f64,
    pub peak_mebibytes: f64,
}

/// A finished run; the store still holds what it wrote.
#[derive(Debug)]
pub struct Run {
    pub measure: Measure,
    pub settings: checker::Settings,
}

impl Measure {
    /// CPU-seconds of client and store for a million reports.
    pub fn client_and_store(&self) -> f64 {
        self.cpu_seconds_per_million + self.store_seconds_per_million
    }
}

impl Subject {
    pub const ALL: [Self; 5] = [Self::Baseline, Self::Worker, Self::Beside, Self::Peer, Self::PeerTuned];
}

impl Bench {
    /// Empties the store and lets the subject copy the whole backlog into it.
    pub fn measure(&self, subject: Subject, round: u32) -> Result<Run> {
        let directory = scratch::directory("bench")?;
        let run = self.measure_in(subject, round, &directory);
        scratch::remove(&directory);
        run
    }

    fn measure_in(&self, subject: Subject, round: u32, directory: &Path) -> Result<Run> {
        let client = redis::Client::open(format!("redis://{}/", self.store_address))?;
        let mut store = client.get_connection()?;
        redis::cmd("FLUSHALL").arg("SYNC").exec(&mut store)?;
        let name = unique_name(&format!("bench-{round}"));
        let key_prefix = format!("{name}:");
        let config = self.worker_config(&name, &key_prefix)?;
        let command = match subject {
            Subject::Worker => worker(&self.worker, &config, directory)?,
            Subject::Beside => {
                worker(self.beside.as_ref().context("no other worker is given")?, &config, directory)?
            }
            Subject::Baseline => self.baseline(&key_prefix)?,
            Subject::Peer => self.peer(&config)?,
            Subject::PeerTuned => {
                let mut command = self.peer(&config)?;
                command.env("GOGC", TUNED_GOGC).arg("-fast-json");
                command
            }
        };
        let servers =
            || anyhow::Ok((machine::cpu_seconds(self.store_pid)?, machine::cpu_seconds(self.broker_pid)?));
        let (store_before, broker_before) = servers()?;
        let mut process = Process::spawn("bench", command, &directory.join("log"), Lifetime::Tied)?;
        let pid = process.pid();
        let (elapsed, idle_share) = self.watch(subject, &key_prefix, &mut store, &mut process)?;
        let millions = self.records as f64 / 1e6;
        let (store_after, broker_after) = servers()?;
        let measure = Measure {
            reports_per_second: self.records as f64 / elapsed.as_secs_f64(),
            cpu_seconds_per_million: machine::cpu_seconds(pid)? / millions,
            store_seconds_per_million: (store_after - store_before) / millions,
            broker_seconds_per_million: (broker_after - broker_before) / millions,
            idle_share,
            peak_mebibytes: machine::peak_mebibytes(pid)?,
        };
        match subject {
            Subject::Worker | Subject::Beside | Subject::Peer | Subject::PeerTuned => {
                process.stop(STOP_LIMIT)?;
            }
            Subject::Baseline => process.kill()?,
        }
        Ok(Run { measure, settings: settings(&config) })
    }

    /// The time from the first record to the last, and the share of it in which processors were idle.
    fn watch(
        &self,
        subject: Subject,
        key_prefix: &str,
        store: &mut Connection,
        process: &mut Process,
    ) -> Result<(Duration, f64)> {
        let mut fences = checker::Store::connect(&self.store_address, key_prefix)?;
        let (mut begin, mut moved, mut last) = (Instant::now(), Instant::now(), 0);
        let mut before = Processors::read()?;
        loop {
            let stored = match subject {
                Subject::Baseline => counted(key_prefix, store)?,
                Subject::Worker | Subject::Beside | Subject::Peer | Subject::PeerTuned => {
                    self.passed(&mut fences)?
                }
            };
            let now = Instant::now();
            if stored == 0 {
                (begin, before) = (now, Processors::read()?);
            }
            if stored != last {
                (moved, last) = (now, stored);
            }
            if stored >= self.records {
                return Ok((now - begin, Processors::read()?.idle_share_since(&before)));
            }
            process.check()?;
            ensure!(moved.elapsed() < PATIENCE, "{subject} stopped at {stored} of {} records", self.records);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What the fences have passed; each is written together with the players.
    fn passed(&self, fences: &mut checker::Store) -> Result<u64> {
        let mut passed = 0;
        for partition in 0..self.partitions {
            passed += fences.fence(partition)?.map_or(0, |fence| fence.position.max(0).unsigned_abs());
        }
        Ok(passed)
    }

    fn baseline(&self, key_prefix: &str) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("bench-baseline")
            .args(["--bootstrap-servers", &self.bootstrap_servers])
            .args(["--topic", &self.topic])
            .args(["--store-address", &self.store_address])
            .args(["--key-prefix", key_prefix]);
        Ok(command)
    }

    fn peer(&self, config: &WorkerConfig) -> Result<Command> {
        let policies = config.achievements.types.iter();
        let policies = policies.map(|listed| format!("{}={}", listed.r#type, policy(listed.policy)));
        let mut command = Command::new(self.peer.as_ref().context("the Go peer is not built")?);
        command
            .env_remove("GOGC")
            .args(["-bootstrap-servers", &config.source.bootstrap_servers])
            .args(["-topic", &config.source.topic, "-group", &config.source.consumer_group])
            .args(["-store-address", &config.store.address, "-key-prefix", &config.store.key_prefix])
            .args(["-buckets", &config.store.buckets.to_string(), "-script", BATCH_SCRIPT])
            .args(["-max-records", &config.batch.max_records.to_string()])
            .args(["-policies", &policies.collect::<Vec<_>>().join(",")]);
        Ok(command)
    }

    /// Every default as a pipeline has it; each of the three policies has two of the six types of the backlog.
    fn worker_config(&self, group: &str, key_prefix: &str) -> Result<WorkerConfig> {
        let Self { bootstrap_servers, store_address, topic, .. } = self;
        let policies = ["latest", "max", "sum"].into_iter().cycle();
        let types =
            (1_001..=1_006).zip(policies).map(|(id, policy)| format!("{{type: {id}, policy: {policy}}}"));
        let types = types.collect::<Vec<_>>().join(", ");
        let text = format!(
            "pipeline: bench/bench\n\
             source: {{bootstrapServers: \"{bootstrap_servers}\", topic: \"{topic}\", consumerGroup: \"{group}\"}}\n\
             store: {{address: \"{store_address}\", keyPrefix: \"{key_prefix}\"}}\n\
             achievements: {{types: [{types}]}}\n\
             deadLetters: {{topic: \"{topic}.dead-letters\"}}\n"
        );
        WorkerConfig::from_yaml(&text).context("the benchmark's own configuration is refused")
    }
}

fn worker(program: &Path, config: &WorkerConfig, directory: &Path) -> Result<Command> {
    let file = directory.join("worker.yaml");
    fs::write(&file, config.to_yaml())?;
    let mut command = Command::new(program);
    command.arg("--config").arg(file);
    Ok(command)
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Latest => "latest",
        Policy::Max => "max",
        Policy::Sum => "sum",
        Policy::First => "first",
        Policy::Min => "min",
        Policy::BitOr => "bitOr",
    }
}

/// What the yardstick counts itself.
fn counted(key_prefix: &str, store: &mut Connection) -> Result<u64> {
    let count: Option<u64> = redis::cmd("GET").arg(counter_key(key_prefix)).query(store)?;
    Ok(count.unwrap_or_default())
}

fn settings(config: &WorkerConfig) -> checker::Settings {
    let (source, store) = (&config.source, &config.store);
    checker::Settings {
        bootstrap_servers: source.bootstrap_servers.clone(),
        topic: source.topic.clone(),
        dead_letter_topic: config.dead_letters.topic.clone(),
        unlock_topic: None,
        store_address: store.address.clone(),
        layout: Layout {
            key_prefix: store.key_prefix.clone(),
            buckets: store.buckets,
            consumer_group: Some(source.consumer_group.clone()),
        },
        rules: Rules::new(source.format, source.max_clock_skew_seconds, &config.achievements),
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Baseline => "consume + SET",
            Self::Worker => "plaudit-worker",
            Self::Beside => "the other build",
            Self::Peer => "Go peer",
            Self::PeerTuned => "Go peer, tuned",
        })
    }
}
