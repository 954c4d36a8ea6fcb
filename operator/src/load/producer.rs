//! A load from its first record to the last acknowledgement, at the pace asked for.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plaudit_crds::Format;
use plaudit_worker::kafka::Access;
use plaudit_worker::security::SecurityError;
use rdkafka::error::KafkaError;

use super::generator::{Generator, Mix, Record, Tally};
use super::latency::Histogram;
use super::ndjson::Lines;
use super::pace::Pace;
use super::players::Players;
use super::sender::Sender;

/// Acknowledgements are collected after so many records, or whenever there is nothing to send.
const COLLECT_EVERY: u64 = 256;

/// What to send where, and how fast.
#[derive(Clone, Debug)]
pub struct Load {
    pub access: Arc<Access>,
    pub topic: String,
    /// none, gzip, snappy, lz4 or zstd.
    pub compression: String,
    pub reports: Reports,
    pub pace: Pace,
    /// Ends after so many records; none: no limit.
    pub count: Option<u64>,
    /// Ends after so long; none: no limit.
    pub duration: Option<Duration>,
}

/// Where reports come from.
#[derive(Clone, Debug)]
pub enum Reports {
    Generated(Box<Mix>),
    /// NDJSON, from beginning to end.
    File(PathBuf),
    /// JSON lines with timestamps of their own, sent in this format.
    Players(PathBuf, Format),
}

/// How a load stands, once a second.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub elapsed: Duration,
    pub sent: u64,
    pub acknowledged: u64,
    pub failed: u64,
    /// Records handed to the producer in the last second, per second.
    pub rate: f64,
}

/// What became of a load.
#[derive(Clone, Debug)]
pub struct Summary {
    pub sent: u64,
    pub acknowledged: u64,
    pub failed: u64,
    /// Why the first of those that failed did.
    pub first_failure: Option<String>,
    pub elapsed: Duration,
    /// From handing a record to the producer to its acknowledgement by all replicas.
    pub latency: Histogram,
    pub tally: Tally,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the reports in {path}")]
    Reports { path: PathBuf, source: io::Error },
    #[error("cannot set up a producer for {bootstrap_servers}")]
    Producer { bootstrap_servers: String, source: Box<KafkaError> },
    #[error("cannot reach topic {topic} at {bootstrap_servers}; check --bootstrap-servers")]
    Topic { bootstrap_servers: String, topic: String, source: Box<KafkaError> },
    #[error("cannot reach topic {topic} at {bootstrap_servers}")]
    Security { bootstrap_servers: String, topic: String, source: SecurityError },
    #[error("topic {topic} does not exist at {bootstrap_servers}: create it first")]
    NoTopic { bootstrap_servers: String, topic: String },
}

/// Sends a load; returns when all of it is acknowledged or given up, or soon after `stop` is set.
///
/// Blocks its thread. `progress` is called about once a second.
pub fn produce(
    load: &Load,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary, LoadError> {
    let mut source = Source::open(&load.reports)?;
    let sender = Sender::connect(load)?;
    let mut report = Reporter { last: Instant::now(), last_sent: 0, progress };
    let mut sent = 0;
    loop {
        let elapsed = sender.start.elapsed();
        let over = load.duration.is_some_and(|duration| elapsed >= duration)
            || load.count.is_some_and(|count| sent >= count)
            || stop.load(Ordering::Relaxed);
        if over {
            break;
        }
        report.tick(&sender, sent);
        let due = load.pace.due(elapsed).unwrap_or(sent + COLLECT_EVERY);
        let until = load.count.map_or(due, |count| due.min(count)).min(sent + COLLECT_EVERY);
        if until <= sent {
            sender.collect(Duration::from_millis(1));
            continue;
        }
        let before = sent;
        while sent < until
            && let Some(record) = source.next(now_ms())?
        {
            sender.send(&record);
            sent += 1;
        }
        sender.collect(Duration::ZERO);
        if sent == before {
            break;
        }
    }
    // Ends: a record is given up after the client's message.timeout.ms.
    while sender.in_flight() {
        sender.collect(Duration::from_millis(50));
        report.tick(&sender, sent);
    }
    Ok(summary(&sender, sent, source.tally()))
}

fn summary(sender: &Sender, sent: u64, tally: Tally) -> Summary {
    let outcome = std::mem::take(&mut *sender.outcome());
    Summary {
        sent,
        acknowledged: outcome.acknowledged,
        failed: outcome.failed,
        first_failure: outcome.first_failure,
        elapsed: sender.start.elapsed(),
        latency: outcome.latency,
        tally,
    }
}

struct Reporter<'a> {
    last: Instant,
    last_sent: u64,
    progress: &'a mut dyn FnMut(&Progress),
}

impl Reporter<'_> {
    fn tick(&mut self, sender: &Sender, sent: u64) {
        let since = self.last.elapsed();
        if since < Duration::from_secs(1) {
            return;
        }
        let outcome = sender.outcome();
        let (acknowledged, failed) = (outcome.acknowledged, outcome.failed);
        drop(outcome);
        let rate = (sent - self.last_sent) as f64 / since.as_secs_f64();
        (self.progress)(&Progress { elapsed: sender.start.elapsed(), sent, acknowledged, failed, rate });
        (self.last, self.last_sent) = (Instant::now(), sent);
    }
}

enum Source {
    Generator(Box<Generator>),
    Lines(PathBuf, Lines<io::BufReader<std::fs::File>>),
    Players(PathBuf, Players),
}

impl Source {
    fn open(reports: &Reports) -> Result<Self, LoadError> {
        let unreadable = |path: &PathBuf, source| LoadError::Reports { path: path.clone(), source };
        match reports {
            Reports::Generated(mix) => Ok(Self::Generator(Box::new(Generator::new((**mix).clone())))),
            Reports::File(path) => Lines::open(path)
                .map(|lines| Self::Lines(path.clone(), lines))
                .map_err(|source| unreadable(path, source)),
            Reports::Players(path, format) => Players::open(path, *format)
                .map(|players| Self::Players(path.clone(), players))
                .map_err(|source| unreadable(path, source)),
        }
    }

    fn next(&mut self, now_ms: i64) -> Result<Option<Record>, LoadError> {
        match self {
            Self::Generator(generator) => Ok(Some(generator.next(now_ms))),
            Self::Lines(path, lines) => {
                lines.next(now_ms).map_err(|source| LoadError::Reports { path: path.clone(), source })
            }
            Self::Players(path, players) => {
                let unreadable = |source| LoadError::Reports { path: path.clone(), source };
                let line = players.read().map_err(unreadable)?.transpose();
                line.map_err(|refused| unreadable(io::Error::other(refused)))
            }
        }
    }

    fn tally(&self) -> Tally {
        match self {
            Self::Generator(generator) => generator.tally().clone(),
            Self::Lines(..) | Self::Players(..) => Tally::default(),
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl fmt::Display for Progress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { elapsed, sent, acknowledged, failed, rate } = self;
        let seconds = elapsed.as_secs();
        write!(
            out,
            "{seconds:>4} s  {sent:>10} sent  {acknowledged:>10} acknowledged  {failed} failed  {rate:>9.0}/s"
        )
    }
}
