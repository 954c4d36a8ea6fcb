//! A probe is a player of the demo's own, whose reports are timed: from sending one to Kafka until anybody can read it in the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use plaudit::load::Histogram;
use plaudit::pipeline::Pipeline;
use plaudit_worker::player::{Layout, PlayerId};
use plaudit_worker::reader::PlayerReader;
use plaudit_worker::store::Connector;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::stack::Stack;

/// Enough to touch nearly every one of 12 partitions, few enough to be no load.
pub(super) const PROBES: u64 = 24;
/// Far above the UINs of made-up reports.
const FIRST_UIN: u64 = 9_000_000_001;
/// Kept with the newest item, so that the number of the last report can be read.
const TYPE: u32 = 1001;
const PAUSE: Duration = Duration::from_millis(500);
/// A killed worker's partitions wait for its session to end (10 s) and then for the backlog.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// What the probes found.
#[derive(Debug, Default)]
pub(super) struct Timings {
    pub(super) stored: Histogram,
    /// Reports not seen in the store within the limit.
    pub(super) unseen: u64,
}

/// Begins new reports until `over`, and waits for begun ones until `abandon`; blocks its thread.
pub(super) fn run(
    stack: &Stack,
    pipeline: &Pipeline,
    over: &Arc<AtomicBool>,
    abandon: &Arc<AtomicBool>,
) -> Result<Timings> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", stack.kafka.bootstrap())
        .set("linger.ms", "0")
        // as everywhere else: a player's reports in one partition
        .set("partitioner", "murmur2_random")
        .create()
        .context("could not create a producer")?;
    let connector = Connector::plain(&stack.valkey.address());
    let layout = Layout { key_prefix: pipeline.store.key_prefix.clone(), buckets: pipeline.store.buckets };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut probes = JoinSet::new();
        for uin in FIRST_UIN..FIRST_UIN + PROBES {
            let probe = Probe {
                id: PlayerId { uin, ..PlayerId::default() },
                topic: pipeline.source.topic.clone(),
                producer: producer.clone(),
                reader: PlayerReader::new(&connector, layout.clone()),
                abandon: abandon.clone(),
            };
            probes.spawn(probe.run(over.clone()));
        }
        let mut all = Timings::default();
        while let Some(probe) = probes.join_next().await {
            let (stored, unseen) = probe.context("a probe panicked")??;
            stored.into_iter().for_each(|duration| all.stored.add(duration));
            all.unseen += unseen;
        }
        Ok(all)
    })
}

struct Probe {
    id: PlayerId,
    topic: String,
    producer: FutureProducer,
    reader: PlayerReader,
    abandon: Arc<AtomicBool>,
}

impl Probe {
    async fn run(mut self, over: Arc<AtomicBool>) -> Result<(Vec<Duration>, u64)> {
        let (mut stored, mut unseen) = (Vec::new(), 0);
        for number in 1.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let begin = Instant::now();
            self.send(number).await?;
            match timeout(ANSWER_LIMIT, self.seen(number, begin)).await {
                Ok(seen) => {
                    seen?;
                    stored.push(begin.elapsed());
                }
                Err(_) => unseen += 1,
            }
            sleep(PAUSE).await;
        }
        Ok((stored, unseen))
    }

    async fn send(&self, number: i64) -> Result<()> {
        let uin = self.id.uin;
        let key = uin.to_string();
        let payload = format!(r#"{{"uin":{uin},"items":[{{"type":{TYPE},"value":{number}}}]}}"#);
        let record = FutureRecord::to(&self.topic).key(&key).payload(&payload);
        self.producer
            .send(record, ANSWER_LIMIT)
            .await
            .map_err(|(error, _)| error)
            .context("could not send a report")?;
        Ok(())
    }

    /// Asks often at first, then ever less often: a tenth of what has passed is exact enough, and a stall makes no load.
    async fn seen(&mut self, number: i64, begin: Instant) -> Result<()> {
        while !self.abandon.load(Ordering::Relaxed) {
            let player = self.reader.get(&self.id).await.context("could not read a player")?;
            let newest = player.and_then(|player| {
                player.achievements.iter().find(|stored| stored.r#type == TYPE).map(|stored| stored.value)
            });
            if newest == Some(number) {
                return Ok(());
            }
            sleep((begin.elapsed() / 10).max(Duration::from_millis(1))).await;
        }
        Ok(())
    }
}
