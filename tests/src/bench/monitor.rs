//! What the lag monitor costs for many idle pipelines on one broker, and how soon it sees that one of them moves.
#![expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use plaudit::observe::{Counts, Monitors, Settings, SourceState, Watch};
use plaudit::pipeline::{self, Pipeline};
use plaudit_crds::AchievementPipeline;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::machine;
use crate::stack::{Kafka, KafkaOptions, unique_name, until};

/// A first look at thousands of groups takes some seconds each thousand.
const FIRST_LOOK_LIMIT: Duration = Duration::from_secs(300);
/// So many topics are created by one request.
const TOPICS_AT_ONCE: usize = 250;

/// Measure requests, CPU and memory of the lag monitor with idle pipelines, each with a topic and a group of its own.
#[derive(Clone, Debug, clap::Args)]
pub struct MonitorArgs {
    #[arg(long, default_value_t = 1_000)]
    pub pipelines: usize,
    /// Of each topic.
    #[arg(long, default_value_t = 4)]
    pub partitions: i32,
    /// How long idle pipelines are watched.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Topics that get a record afterwards, one after the other.
    #[arg(long, default_value_t = 30)]
    pub moves: usize,
}

impl MonitorArgs {
    /// Measures and prints.
    pub fn run(&self) -> Result<()> {
        let kafka = Kafka::start(KafkaOptions { heap_megabytes: 1_536, ..KafkaOptions::default() })?;
        let topics: Vec<String> = (0..self.pipelines).map(|_| unique_name("watched")).collect();
        for some in topics.chunks(TOPICS_AT_ONCE) {
            kafka.create_topics(some, self.partitions)?;
        }
        let pipelines = topics.iter().map(|topic| idle_pipeline(&kafka.bootstrap(), topic));
        let pipelines: Vec<Pipeline> = pipelines.collect::<Result<_>>()?;
        let memory = resident_kibibytes()?;

        let (begin, cpu) = (Instant::now(), machine::cpu_seconds(std::process::id())?);
        let monitors = Monitors::new(Settings::default());
        let mut watches: Vec<Watch> = pipelines.iter().map(|pipeline| monitors.watch(pipeline)).collect();
        for watch in &watches {
            until("a first lag", FIRST_LOOK_LIMIT, || Ok((lag(watch) == Some(0)).then_some(())))
                .with_context(|| format!("{:?}", watch.last()))?;
        }
        println!(
            "first look    {:.1} s, {:.2} CPU-seconds",
            begin.elapsed().as_secs_f64(),
            machine::cpu_seconds(std::process::id())? - cpu
        );
        // Statistics come every fifth poll.
        std::thread::sleep(Settings::default().period * 6);

        let (before, cpu) = (monitors.counts(), machine::cpu_seconds(std::process::id())?);
        std::thread::sleep(Duration::from_secs(self.seconds));
        let (after, used) = (monitors.counts(), machine::cpu_seconds(std::process::id())? - cpu);
        #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
        let (seconds, requests) =
            (self.seconds as f64, (after.requests_total() - before.requests_total()) as f64);
        println!(
            "idle          {:.4} cores, {:.1} requests a minute",
            used / seconds,
            requests / seconds * 60.0
        );
        println!("              {}", difference(&before, &after));
        let more = resident_kibibytes()?.saturating_sub(memory);
        #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
        let each = more as f64 / self.pipelines as f64;
        println!("memory        {more} KiB more than before, {each:.1} KiB a pipeline");
        self.moves(&pipelines, &mut watches)
    }

    fn moves(&self, pipelines: &[Pipeline], watches: &mut [Watch]) -> Result<()> {
        let servers = &pipelines.first().context("no pipelines")?.source.bootstrap_servers;
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create()?;
        let mut took = Vec::new();
        let step = (pipelines.len() / self.moves.max(1)).max(1);
        for (pipeline, watch) in pipelines.iter().zip(watches).step_by(step) {
            // Not in step with the polls.
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..2_000)));
            let record = BaseRecord::<(), str>::to(&pipeline.source.topic).partition(0).payload("x");
            producer.send(record).map_err(|(error, _)| error)?;
            producer.flush(FIRST_LOOK_LIMIT)?;
            let begin = Instant::now();
            until("the lag", FIRST_LOOK_LIMIT, || Ok((lag(watch) == Some(1)).then_some(())))?;
            took.push(begin.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        let (median, most) = (took.get(took.len() / 2), took.last());
        println!(
            "a record seen {:.2} s at p50, {:.2} s at most, after it was acknowledged",
            median.context("no moves")?,
            most.context("no moves")?
        );
        Ok(())
    }
}

fn idle_pipeline(bootstrap_servers: &str, topic: &str) -> Result<Pipeline> {
    let text = format!(
        "
apiVersion: plaudit.dev/v1alpha1
kind: AchievementPipeline
metadata: {{name: {topic}, namespace: bench}}
spec:
  source: {{bootstrapServers: '{bootstrap_servers}', topic: {topic}}}
  store: {{addresses: ['127.0.0.1:1']}}
"
    );
    Ok(pipeline::parse(&AchievementPipeline::from_yaml(&text)?)?)
}

/// The whole lag, where it is known and the group has offsets.
fn lag(watch: &Watch) -> Option<u64> {
    match watch.last().0 {
        SourceState::Found(topic) => topic
            .partitions
            .iter()
            .map(|one| one.committed.offset().and_then(|_| one.lag(true, None)))
            .try_fold(0, |sum, lag| Some(sum + lag?)),
        SourceState::NotAsked | SourceState::Failed { .. } => None,
    }
}

fn difference(before: &Counts, after: &Counts) -> String {
    let more = after.requests.iter().filter_map(|(name, count)| {
        let more = count - before.requests.get(name).unwrap_or(&0);
        (more > 0).then(|| format!("{name} {more}"))
    });
    more.collect::<Vec<_>>().join(", ")
}

fn resident_kibibytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
