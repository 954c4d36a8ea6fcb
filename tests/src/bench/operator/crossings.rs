//! Crossings: topics whose lag crosses the line, and how soon their Deployments have all workers that they need.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinSet;

use super::super::machine::Processors;
use super::bed::{Bed, LAG_THRESHOLD, PARTITIONS};

/// Ten times the target: what takes longer has been missed.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two crossings, at random: twice the mean. Not in step with the operator's polls, which come every two seconds.
const PAUSE: Duration = Duration::from_secs(2);
/// To each partition: no number of workers below the number of partitions keeps each worker's lag below the threshold.
const RECORDS: u32 = 2 * LAG_THRESHOLD;

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crossings {
    pub asked: usize,
    /// From before the records were sent until a watch showed as many replicas as partitions, in seconds, ascending.
    pub seconds: Vec<f64>,
    /// Of those, the ones that came by more than one write of the Deployment.
    pub by_steps: usize,
    /// The share of the time in which processors had nothing to do.
    pub idle_share: f64,
}

/// One Deployment's way.
struct Crossed {
    took: Duration,
    /// Numbers of replicas that were seen, each once, in order.
    seen: Vec<i32>,
}

pub async fn measure(bed: &Bed, moves: usize) -> Result<Crossings> {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", bed.kafka.bootstrap()).set("linger.ms", "0").create()?;
    let asked = moves.min(bed.names.len());
    let processors = Processors::read()?;
    let mut tasks = JoinSet::new();
    // Spread over all pipelines.
    for name in bed.names.iter().step_by(bed.names.len() / asked.max(1)).take(asked) {
        let api = Api::namespaced(bed.client.clone(), &bed.namespace);
        let cross = cross(api, producer.clone(), name.clone());
        tasks.spawn(async { tokio::time::timeout(LIMIT, cross).await.ok().transpose() });
        tokio::time::sleep(PAUSE.mul_f64(fastrand::f64())).await;
    }
    let found: Vec<Option<Crossed>> = tasks.join_all().await.into_iter().collect::<Result<_>>()?;
    let crossed: Vec<Crossed> = found.into_iter().flatten().collect();
    let mut seconds: Vec<f64> = crossed.iter().map(|one| one.took.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let by_steps = crossed.iter().filter(|one| one.seen.len() > 2).count();
    let idle_share = Processors::read()?.idle_share_since(&processors);
    Ok(Crossings { asked, seconds, by_steps, idle_share })
}

async fn cross(api: Api<Deployment>, producer: FutureProducer, topic: String) -> Result<Crossed> {
    let params = WatchParams::default().fields(&format!("metadata.name={topic}-worker"));
    let mut events = api.watch(&params, "0").await?.boxed();
    let (mut seen, mut begin) = (Vec::new(), None);
    while let Some(event) = events.try_next().await? {
        let (WatchEvent::Added(deployment) | WatchEvent::Modified(deployment)) = event else { continue };
        let replicas = deployment.spec.and_then(|spec| spec.replicas).context("no replicas")?;
        if seen.last() != Some(&replicas) {
            seen.push(replicas);
        }
        let begin = match begin {
            Some(begin) => begin,
            None => {
                let now = *begin.insert(Instant::now());
                send(&producer, &topic).await?;
                now
            }
        };
        if replicas >= PARTITIONS {
            return Ok(Crossed { took: begin.elapsed(), seen });
        }
    }
    anyhow::bail!("the watch of {topic} ended")
}

async fn send(producer: &FutureProducer, topic: &str) -> Result<()> {
    let records = (0..PARTITIONS).flat_map(|partition| (0..RECORDS).map(move |_| partition));
    let sent = records.map(|partition| {
        producer.send(FutureRecord::<(), str>::to(topic).partition(partition).payload("x"), LIMIT)
    });
    try_join_all(sent).await.map_err(|(error, _)| error).context("records were not sent")?;
    Ok(())
}
