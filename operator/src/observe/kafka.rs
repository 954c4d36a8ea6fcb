//! The lag monitor: one Kafka client and one thread for all pipelines of a cluster, and a handle for each pipeline.

mod cluster;
mod counts;
mod offsets;
mod thread;

use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plaudit_worker::kafka::Access;
use plaudit_worker::security::{KafkaCredentials, SecurityError};
use tokio::sync::watch;

use super::source::SourceState;
use crate::pipeline::Pipeline;
use cluster::{ReaderSpec, Rules};
use counts::Counter;
pub use counts::{Answered, Counts, Kind};
use thread::Order;

/// Time for the answer to one question: above it the answer is unknown.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How monitors work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Between two questions for the log ends.
    pub period: Duration,
    /// Between two questions for the partitions and IDs of topics that give no trouble.
    pub metadata_period: Duration,
    /// Commit first offsets for groups without members, and renew their offsets every day.
    pub keep_offsets: bool,
}

/// All monitors of a process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Monitors(Arc<Shared>);

/// One pipeline's place in the monitor of its cluster; the last one's end is the end of the cluster's client.
#[derive(Debug)]
pub struct Watch {
    monitors: Arc<Shared>,
    place: Place,
    access: Arc<Access>,
    topic: String,
    group: String,
    id: u64,
    answers: watch::Receiver<(SourceState, Instant)>,
}

/// A cluster, and the rights to ask it: pipelines that differ in either share no client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    /// As the pipelines have it: two spellings of one cluster are two clients.
    bootstrap_servers: String,
    credentials: KafkaCredentials,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    counter: Counter,
    clusters: Mutex<Clusters>,
}

#[derive(Debug, Default)]
struct Clusters {
    by_place: HashMap<Place, Handle>,
    next_id: u64,
}

#[derive(Debug)]
struct Handle {
    access: Arc<Access>,
    orders: Sender<Order>,
    watches: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // A lag that crosses the line is to be answered within three seconds.
            period: Duration::from_secs(2),
            // Added partitions have no workers to wait for: those that run take them.
            metadata_period: Duration::from_secs(60),
            keep_offsets: true,
        }
    }
}

impl Monitors {
    /// No client yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let (counter, clusters) = (Counter::default(), Mutex::default());
        Self(Arc::new(Shared { settings, counter, clusters }))
    }

    /// Begins to watch a pipeline's topic and group.
    #[must_use]
    pub fn watch(&self, pipeline: &Pipeline, credentials: KafkaCredentials) -> Watch {
        let source = &pipeline.source;
        let place = Place { bootstrap_servers: source.bootstrap_servers.clone(), credentials };
        let spec = ReaderSpec {
            topic: source.topic.clone(),
            group: source.consumer_group.clone(),
            initial: source.initial_offset,
        };
        let (answer, answers) = watch::channel((SourceState::NotAsked, Instant::now()));
        let mut clusters = self.0.clusters();
        let id = clusters.next_id;
        clusters.next_id += 1;
        let handle = clusters.by_place.entry(place.clone()).or_insert_with(|| self.0.start(&place));
        handle.watches += 1;
        handle.send(Order::Watch { id, spec, answer });
        let access = handle.access.clone();
        drop(clusters);
        let (topic, group) = (source.topic.clone(), source.consumer_group.clone());
        Watch { monitors: Arc::clone(&self.0), place, access, topic, group, id, answers }
    }

    /// What all monitors did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counter.counts()
    }

    /// Clusters that are watched now.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.0.clusters().by_place.len()
    }

    /// How they work.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.0.settings
    }
}

impl Watch {
    /// The last answer and its age. An answer that stays the same gets younger with each poll that confirms it. Where there is none
    /// because Kafka does not let us in, or denies us topic or group, it says so.
    #[must_use]
    pub fn last(&self) -> (SourceState, Duration) {
        let (state, asked) = self.answers.borrow().clone();
        let (reason, is_silent) = match &state {
            SourceState::NotAsked => (None, true),
            SourceState::Failed { reason, .. } => (Some(*reason), true),
            SourceState::Found(topic) => (topic.trouble().map(|(reason, _)| reason), topic.is_silent()),
        };
        let failed = |SecurityError { reason, message }| SourceState::Failed { reason, message };
        match (reason, self.access.trouble()) {
            (Some("TopicUnauthorized"), _) => {
                (failed(self.access.topic_denied(&self.topic)), asked.elapsed())
            }
            (Some("GroupUnauthorized"), _) => {
                (failed(self.access.group_denied(&self.group)), asked.elapsed())
            }
            (_, Some(trouble)) if is_silent => (failed(trouble), Duration::ZERO),
            _ => (state, asked.elapsed()),
        }
    }

    /// True if it asks with these credentials.
    #[must_use]
    pub fn is_with(&self, credentials: &KafkaCredentials) -> bool {
        self.place.credentials == *credentials
    }

    /// The credentials that it asks with.
    #[must_use]
    pub fn credentials(&self) -> &KafkaCredentials {
        &self.place.credentials
    }

    /// The answers as they come, each told when it differs from the one before; they end with this watch.
    #[must_use]
    pub fn answers(&self) -> watch::Receiver<(SourceState, Instant)> {
        self.answers.clone()
    }

    /// The group's workers were changed: its members are looked at for a while, whatever its lag.
    pub fn look_closer(&self) {
        if let Some(handle) = self.monitors.clusters().by_place.get(&self.place) {
            handle.send(Order::LookCloser { id: self.id });
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut clusters = self.monitors.clusters();
        let Some(handle) = clusters.by_place.get_mut(&self.place) else { return };
        handle.watches -= 1;
        handle.send(Order::Forget { id: self.id });
        if handle.watches == 0 {
            // The thread ends when nobody can give it orders any more.
            clusters.by_place.remove(&self.place);
        }
    }
}

impl Shared {
    fn clusters(&self) -> MutexGuard<'_, Clusters> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, place: &Place) -> Handle {
        let (orders, inbox) = channel();
        let Settings { period, metadata_period, keep_offsets } = self.settings;
        let rules = Rules { period, metadata_period, keep_offsets };
        let access = Access::new(&place.bootstrap_servers, place.credentials.clone());
        let (shared, counter) = (access.clone(), self.counter.clone());
        std::thread::Builder::new()
            .name("lag-monitor".to_owned())
            .spawn(move || thread::run(&shared, rules, &counter, &inbox))
            .expect("a thread can be started");
        Handle { access, orders, watches: 0 }
    }
}

impl Handle {
    fn send(&self, order: Order) {
        // Without its thread a cluster's answers grow old, which is shown.
        drop(self.orders.send(order));
    }
}
