//! A scene is one pipeline on real servers: its topics, its keys, the workers a test starts and ends, and the verdict.

mod log;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use plaudit::load::{self, Load, Mix, Pace, Reports, Summary};
use plaudit_crds::security::{SourceSecurity, StoreSecurity};
use plaudit_crds::worker::{Http, WorkerConfig, WorkerDeadLetters, WorkerSource, WorkerStore};
use plaudit_crds::{
    AchievementType, Achievements, Batch, Format, GroupProtocol, InitialOffset, OnError, OnRetentionLoss,
    OnStoreLoss, OnTopicRecreated, Policy, Properties, Unlisted, Unlocks,
};
use plaudit_worker::kafka::Access;

pub use self::log::{Log, Outgoing};
pub use self::worker::Worker;
use crate::checker::{self, Layout, Rules, Settings, Store, Verdict};
use crate::stack::{Kafka, Valkey, scratch, unique_name, until};

/// Types of the generator, by turns: levels, counters, deltas.
pub const TYPES: u32 = 6;

/// One pipeline on a Kafka and a Valkey.
#[derive(Debug)]
pub struct Scene<'a> {
    pub kafka: &'a Kafka,
    pub valkey: &'a Valkey,
    pub config: WorkerConfig,
    pub partitions: i32,
    directory: PathBuf,
}

impl<'a> Scene<'a> {
    /// Creates the topics and picks a key prefix and a group of its own; `tweak` changes the configuration.
    pub fn new(
        (kafka, valkey): (&'a Kafka, &'a Valkey),
        name: &str,
        partitions: i32,
        tweak: impl FnOnce(&mut WorkerConfig),
    ) -> Result<Self> {
        let name = unique_name(name);
        let mut config = config(kafka, valkey, &name);
        tweak(&mut config);
        Self::of((kafka, valkey), config, partitions)
    }

    /// The scene of workers with this configuration; creates the topics.
    pub fn of(
        (kafka, valkey): (&'a Kafka, &'a Valkey),
        config: WorkerConfig,
        partitions: i32,
    ) -> Result<Self> {
        kafka.create_topic(&config.source.topic, partitions, &[])?;
        kafka.create_topic(&config.dead_letters.topic, 1, &[])?;
        if let Some(topic) = &config.unlocks.topic {
            kafka.create_topic(topic, 2, &[])?;
        }
        let directory = scratch::directory("scene")?;
        Ok(Self { kafka, valkey, config, partitions, directory })
    }

    /// Starts a worker and returns when its endpoints answer.
    pub fn start_worker(&self) -> Result<Worker> {
        self.start_mutant("none")
    }

    /// Starts a worker that leaves out a part of the protocol.
    pub fn start_mutant(&self, mutation: &str) -> Result<Worker> {
        Worker::start(&self.directory, &self.config, mutation)
    }

    /// Starts a worker with a configuration of its own, and does not wait for it.
    pub fn spawn_worker(&self, config: &WorkerConfig, mutation: &str) -> Result<Worker> {
        Worker::spawn(&self.directory, config, mutation)
    }

    /// Starts this program as a worker, without the tests' logs.
    pub fn start_program(&self, program: &Path) -> Result<Worker> {
        Worker::run(Command::new(program), &self.directory, &self.config)?.listening()
    }

    /// Produces made-up reports and waits until all are acknowledged.
    pub fn load(&self, mix: Mix, count: u64, rate: f64) -> Result<Summary> {
        self.load_until(mix, count, rate, &AtomicBool::new(false))
    }

    /// The same, with fewer reports when `stop` is set meanwhile.
    pub fn load_until(&self, mix: Mix, most: u64, rate: f64, stop: &AtomicBool) -> Result<Summary> {
        let load = Load {
            access: Access::plain(&self.kafka.bootstrap()),
            topic: self.config.source.topic.clone(),
            compression: "lz4".to_owned(),
            reports: Reports::Generated(Box::new(mix)),
            pace: Pace { rate, burst: None },
            count: Some(most),
            duration: None,
        };
        let summary = load::produce(&load, stop, &mut |_| ())?;
        ensure!(summary.complete(), "the load is incomplete: {summary}");
        Ok(summary)
    }

    /// The topics of the scene, for a few records of one's own.
    pub fn log(&self) -> Result<Log> {
        Log::new(&self.kafka.bootstrap(), &self.config.source.topic, &self.config.dead_letters.topic)
    }

    /// Waits until the group has committed the whole topic.
    pub fn wait_until_committed(&self, limit: Duration) -> Result<()> {
        let log = self.log()?;
        let group = &self.config.source.consumer_group;
        until("everything to be committed", limit, || {
            // A broker that has just come back may not answer for every partition yet.
            let (Ok(ends), Ok(committed)) = (log.ends(), log.committed(group)) else { return Ok(None) };
            Ok((ends == committed).then_some(()))
        })
        .with_context(|| format!("ends {:?}, committed {:?}", log.ends(), log.committed(group)))
    }

    /// Waits until the group has committed the whole topic and the fences in the store say that it is stored. After the store
    /// lost writes the second takes longer.
    pub fn wait_until_stored(&self, limit: Duration) -> Result<()> {
        let log = self.log()?;
        let group = &self.config.source.consumer_group;
        until("everything to be committed and stored", limit, || {
            // servers that have just started may not answer everything yet
            let Ok(ends) = log.ends() else { return Ok(None) };
            let Ok(committed) = log.committed(group) else { return Ok(None) };
            let Ok(stored) = self.stored() else { return Ok(None) };
            Ok((ends == committed && ends == stored).then_some(()))
        })
        .with_context(|| {
            format!("ends {:?}, committed {:?}, stored {:?}", log.ends(), log.committed(group), self.stored())
        })
    }

    /// The offset below which a partition is stored and nothing is owed, by partition; those that nobody has begun are left out.
    pub fn stored(&self) -> Result<BTreeMap<i32, i64>> {
        self.stored_at(&self.store_address())
    }

    /// The same in the store at this address.
    pub fn stored_at(&self, address: &str) -> Result<BTreeMap<i32, i64>> {
        let mut store = Store::connect(address, &self.config.store.key_prefix)?;
        let mut stored = BTreeMap::new();
        for partition in self.log()?.ends()?.into_keys() {
            stored
                .extend(store.fence(partition)?.map(|fence| (partition, fence.settled.min(fence.position))));
        }
        Ok(stored)
    }

    /// Copies the workers' logs and configurations to a directory that stays.
    pub fn keep_logs(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            std::fs::copy(entry.path(), directory.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// What the checker says of topic, dead letters and store as they are now.
    pub fn check(&self) -> Result<Verdict> {
        let source = &self.config.source;
        Ok(checker::check(&Settings {
            bootstrap_servers: self.kafka.bootstrap(),
            topic: source.topic.clone(),
            dead_letter_topic: self.config.dead_letters.topic.clone(),
            unlock_topic: self.config.unlocks.topic.clone(),
            store_address: self.store_address(),
            layout: Layout {
                key_prefix: self.config.store.key_prefix.clone(),
                buckets: self.config.store.buckets,
                consumer_group: Some(source.consumer_group.clone()),
            },
            rules: Rules::new(source.format, source.max_clock_skew_seconds, &self.config.achievements),
        })?)
    }

    /// Where the store is read: the workers' address, or without TLS and as the harness's user.
    fn store_address(&self) -> String {
        if self.valkey.is_secured() { self.valkey.login() } else { self.config.store.address.clone() }
    }

    /// Fails with the differences unless everything reported is stored exactly once.
    pub fn assert_exact(&self) -> Result<Verdict> {
        let verdict = self.check()?;
        ensure!(verdict.passed() && verdict.not_stored_yet == 0, "{verdict}");
        Ok(verdict)
    }
}

/// A mix that exercises everything: sums with negative deltas, late and repeated reports, bad and misrouted records.
pub fn rough_mix(seed: u64, players: u64) -> Mix {
    Mix {
        negative_share: 0.2,
        late_share: 0.05,
        late_by: Duration::from_secs(60),
        duplicate_share: 0.02,
        delete_share: 0.002,
        bad_share: 0.005,
        bad_kinds: load::Bad::ALWAYS.to_vec(),
        ahead_by: Duration::from_secs(1_800),
        ..smooth_mix(seed, players)
    }
}

/// A mix without anything unusual.
pub fn smooth_mix(seed: u64, players: u64) -> Mix {
    Mix {
        seed,
        format: Format::Json,
        players,
        first_uin: 10_001,
        order: load::PlayerOrder::Zipf(1.0),
        spread: true,
        types: load::ItemType::assorted(TYPES),
        max_items: 3,
        data_share: 0.25,
        data_bytes: 24,
        report_bytes: None,
        negative_share: 0.0,
        late_share: 0.0,
        late_by: Duration::ZERO,
        duplicate_share: 0.0,
        misrouted_share: 0.0,
        delete_share: 0.0,
        bad_share: 0.0,
        bad_kinds: Vec::new(),
        ahead_by: Duration::ZERO,
    }
}

/// All policies by turns, sums where the generator makes deltas; some with tiers.
pub fn achievements() -> Achievements {
    let policies = [
        (Policy::Latest, vec![900]),
        (Policy::Max, vec![500, 5_000]),
        (Policy::Sum, vec![200, 1_000]),
        (Policy::First, vec![]),
        (Policy::Min, vec![100, 1]),
        (Policy::BitOr, vec![]),
    ];
    let listed = |(at, (policy, tiers))| AchievementType { r#type: at, policy, tiers };
    let types = (1_001..).zip(policies.into_iter().cycle()).take(TYPES as usize).map(listed).collect();
    Achievements { default_policy: Policy::Latest, unlisted: Unlisted::Accept, types }
}

fn config(kafka: &Kafka, valkey: &Valkey, name: &str) -> WorkerConfig {
    WorkerConfig {
        pipeline: format!("tests/{name}"),
        source: WorkerSource {
            bootstrap_servers: kafka.bootstrap(),
            topic: name.to_owned(),
            consumer_group: format!("tests.{name}"),
            initial_offset: InitialOffset::Earliest,
            format: Format::Json,
            group_protocol: GroupProtocol::Classic,
            on_topic_recreated: OnTopicRecreated::Stop,
            on_retention_loss: OnRetentionLoss::Stop,
            max_clock_skew_seconds: 300,
            security: SourceSecurity::default(),
            properties: Properties { session_timeout_ms: Some(6_000), ..Properties::default() },
        },
        store: WorkerStore {
            address: valkey.address(),
            key_prefix: format!("{name}:"),
            buckets: 240,
            max_value_bytes: 16_384,
            on_store_loss: OnStoreLoss::Stop,
            security: StoreSecurity::default(),
        },
        achievements: achievements(),
        unlocks: Unlocks { topic: Some(format!("{name}.unlocks")) },
        dead_letters: WorkerDeadLetters {
            topic: format!("{name}.dead-letters"),
            on_error: OnError::DeadLetter,
        },
        batch: Batch::default(),
        memory_budget_bytes: WorkerConfig::default_memory_budget_bytes(),
        secrets_directory: WorkerConfig::default_secrets_directory(),
        http: Http { address: "127.0.0.1:0".to_owned() },
        drain_deadline_seconds: 5,
    }
}
