//! The bed of the operator's benchmark: a broker with topics, a cluster whose pods are played, and pipelines.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use plaudit_crds::AchievementPipeline;
use serde_json::json;

use super::process::Operator;
use super::requests::Requests;
use super::workers::Workers;
use crate::stack::kubernetes::kubelet::Kubelet;
use crate::stack::kubernetes::{Cluster, ClusterOptions};
use crate::stack::{Kafka, KafkaOptions};

/// Of each topic.
pub const PARTITIONS: i32 = 4;
/// Records one worker may lag; small, so that few records cross it.
pub const LAG_THRESHOLD: u32 = 100;
/// A broker of twelve thousand partitions needs some 800 MB.
const BROKER_MEGABYTES: u32 = 1_536;
/// So many topics are created by one request.
const TOPICS_AT_ONCE: usize = 250;
/// Pipelines created at one time.
const CREATED_AT_ONCE: usize = 16;
/// The operator looks at each pipeline once a minute: who has written nothing for longer has nothing to write. It looks at
/// groups for a minute after their workers were changed.
const QUIET_FOR: Duration = Duration::from_secs(75);
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const TELL_EVERY: Duration = Duration::from_secs(20);

/// Servers and pipelines. Dropping it ends the servers.
pub struct Bed {
    pub kafka: Kafka,
    pub cluster: Cluster,
    pub client: Client,
    pub namespace: String,
    /// Of pipelines, and of their topics.
    pub names: Vec<String>,
    /// The operator's program.
    pub program: PathBuf,
    _kubelet: Kubelet,
    _workers: Workers,
}

impl Bed {
    /// Servers and topics, without an operator and without pipelines.
    pub async fn start(pipelines: usize, program: PathBuf) -> Result<Self> {
        let kafka =
            Kafka::start(KafkaOptions { heap_megabytes: BROKER_MEGABYTES, ..KafkaOptions::default() })?;
        let names: Vec<String> = (0..pipelines).map(|at| format!("p{at:04}")).collect();
        for some in names.chunks(TOPICS_AT_ONCE) {
            kafka.create_topics(some, PARTITIONS)?;
        }
        let cluster = Cluster::start(ClusterOptions::default())?;
        let namespace = cluster.namespace("bench").await?;
        let workers = Workers::start(PARTITIONS).await?;
        let kubelet = Kubelet::start(cluster.config()?, Some(&namespace), workers.runtime())?;
        let client = cluster.client()?;
        Ok(Self { kafka, cluster, client, namespace, names, program, _kubelet: kubelet, _workers: workers })
    }

    pub async fn create_pipelines(&self) -> Result<()> {
        let api = self.pipelines();
        let create = async |name: &String| {
            let spec = json!({
                "source": {"bootstrapServers": self.kafka.bootstrap(), "topic": name},
                // Workers are played, and nobody asks the store.
                "store": {"addresses": ["127.0.0.1:1"], "keyPrefix": format!("{name}:")},
                "scaling": {"lagThreshold": LAG_THRESHOLD},
            });
            let pipeline = AchievementPipeline::new(name, serde_json::from_value(spec)?);
            api.create(&PostParams::default(), &pipeline).await?;
            anyhow::Ok(())
        };
        let created = futures::stream::iter(&self.names).map(create).buffer_unordered(CREATED_AT_ONCE);
        created.try_collect::<()>().await.context("could not create the pipelines")
    }

    /// Waits until each pipeline is ready with a known lag, and nobody writes any more; gives how long it took until the last write.
    pub async fn until_settled(&self, operator: &mut Operator, told: impl Fn(&str)) -> Result<Duration> {
        let begin = Instant::now();
        self.until_known(operator, &told).await?;
        let quiet_since = self.until_quiet(&told).await?;
        let not_ready = self.not_ready().await?;
        ensure!(not_ready == 0, "{not_ready} pipelines are not ready, and nothing changes any more");
        Ok(quiet_since.saturating_duration_since(begin))
    }

    /// Waits until the operator knows the lag and a ready worker of each pipeline.
    pub async fn until_known(&self, operator: &mut Operator, told: impl Fn(&str)) -> Result<()> {
        let (begin, mut last) = (Instant::now(), Instant::now());
        loop {
            operator.check()?;
            let known = operator.metrics().map_or(0, |metrics| {
                let (lags, ready) = (metrics.count("lag_records"), metrics.sum("workers_ready") as usize);
                lags.min(ready)
            });
            if known >= self.names.len() {
                return Ok(());
            }
            if last.elapsed() >= TELL_EVERY {
                told(&format!("{known} of {} pipelines are ready", self.names.len()));
                last = Instant::now();
            }
            let limit = self.limit();
            ensure!(begin.elapsed() < limit, "only {known} pipelines were ready after {limit:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until nobody has written anything for a while; gives the time of the last write.
    pub async fn until_quiet(&self, told: impl Fn(&str)) -> Result<Instant> {
        let (begin, mut told_at) = (Instant::now(), Instant::now());
        let (mut since, mut last) = (Instant::now(), self.written().await?);
        while since.elapsed() < QUIET_FOR {
            tokio::time::sleep(LOOK_AGAIN).await;
            let now = self.written().await?;
            if told_at.elapsed() >= TELL_EVERY {
                told(&format!("nothing written for {} s", since.elapsed().as_secs()));
                told_at = Instant::now();
            }
            let more = now.since(&last);
            if more.total() > 0 {
                ensure!(begin.elapsed() < self.limit(), "something is written again and again: {more}");
                (since, last) = (Instant::now(), now);
            }
        }
        Ok(since)
    }

    /// What the API server has written so far.
    pub async fn written(&self) -> Result<Requests> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Ok(Requests::of_server(&self.client.request_text(request).await?))
    }

    /// Pipelines that do not say that they are ready.
    pub async fn not_ready(&self) -> Result<usize> {
        let is_ready = |pipeline: &AchievementPipeline| {
            let conditions = pipeline.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let all = self.pipelines().list(&ListParams::default()).await?.items;
        Ok(self.names.len() - all.iter().filter(|pipeline| is_ready(pipeline)).count())
    }

    fn pipelines(&self) -> Api<AchievementPipeline> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Each pipeline costs some twenty-five writes, which two cores do in a quarter of a second at worst.
    fn limit(&self) -> Duration {
        Duration::from_secs(120) + Duration::from_millis(250) * u32::try_from(self.names.len()).unwrap_or(1)
    }
}
