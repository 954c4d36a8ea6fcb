//! What the monitors cost: questions and requests, counted since the program began.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plaudit_worker::kafka::Link;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use serde::Deserialize;

/// What was asked and answered, over all clusters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests that left for a broker, by Kafka's name of the request: everything that the clients send, also of their own accord.
    /// They come from the clients' statistics, which are taken every fifth poll.
    pub requests: BTreeMap<String, u64>,
    /// Questions that were answered, by kind.
    pub questions: BTreeMap<Kind, Answered>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// IDs and partitions of topics.
    Topics,
    /// Log ends.
    LogEnds,
    /// Log starts.
    LogStarts,
    /// Committed offsets of a group.
    Committed,
    /// State and members of groups.
    Groups,
    /// A commit for a group without members.
    Commit,
}

/// The answers to one kind of question.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Answered {
    /// How many there were.
    pub answers: u64,
    /// How many of them were errors as a whole; errors of single partitions are not counted.
    pub errors: u64,
    /// How long all of them took together.
    pub took: Duration,
}

impl Counts {
    /// All requests together.
    #[must_use]
    pub fn requests_total(&self) -> u64 {
        self.requests.values().sum()
    }
}

impl Kind {
    /// For labels of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::LogEnds => "log_ends",
            Self::LogStarts => "log_starts",
            Self::Committed => "committed",
            Self::Groups => "groups",
            Self::Commit => "commit",
        }
    }
}

/// Counts that all clusters share.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter(Arc<Mutex<Counts>>);

impl Counter {
    pub(super) fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn answered(&self, kind: Kind, failed: bool, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = counts.questions.entry(kind).or_default();
        answered.answers += 1;
        answered.errors += u64::from(failed);
        answered.took += took;
    }

    fn requested(&self, request: &str, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry(request.to_owned()).or_default() += count;
    }
}

/// What one client tells of its own accord: logs for tracing instead of standard error, and statistics for the counts.
#[derive(Debug)]
pub(super) struct Context {
    counter: Counter,
    link: Arc<Link>,
    /// What the last statistics said, by broker and request.
    before: Mutex<HashMap<(String, String), u64>>,
}

/// The part of the client's statistics that is looked at.
#[derive(Deserialize)]
struct Statistics {
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    /// Requests since the client met the broker, by name.
    #[serde(default)]
    req: HashMap<String, u64>,
}

impl Context {
    pub(super) fn new(counter: Counter, link: Arc<Link>) -> Self {
        Self { counter, link, before: Mutex::default() }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "Kafka client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
        self.link.note(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.token()
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else {
            tracing::debug!("statistics of the Kafka client not understood");
            return;
        };
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        for (broker, Broker { req }) in statistics.brokers {
            for (request, count) in req.into_iter().filter(|(_, count)| *count > 0) {
                let last = before.entry((broker.clone(), request.clone())).or_default();
                self.counter.requested(&request, count.saturating_sub(*last));
                *last = count;
            }
        }
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use plaudit_worker::kafka::Access;

    use super::*;

    #[test]
    fn requests_are_counted_once_each_however_often_statistics_repeat_them() {
        let counter = Counter::default();
        let link = Arc::new(Link::new(&Access::plain("")));
        let context = Context::new(counter.clone(), link.clone());
        let other = Context::new(counter.clone(), link);

        context
            .stats_raw(br#"{"brokers":{"a":{"req":{"Metadata":2,"Fetch":0}},"b":{"req":{"Metadata":1}}}}"#);
        context.stats_raw(br#"{"brokers":{"a":{"req":{"Metadata":2,"ListOffsets":3}},"c":{}}}"#);
        other.stats_raw(br#"{"brokers":{"a":{"req":{"Metadata":1}}}}"#);
        other.stats_raw(b"not JSON");

        let expected = [("ListOffsets".to_owned(), 3), ("Metadata".to_owned(), 4)];
        assert_eq!(counter.counts(), Counts { requests: expected.into(), ..Counts::default() });
    }
}
