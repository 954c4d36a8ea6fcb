//! The thread of one cluster: takes orders, asks what [`Cluster`] wants to know, and hands out what it says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use plaudit_worker::kafka::{Access, Link};
use rdkafka::config::ClientConfig;
use tokio::sync::watch;

use super::super::admin::{Admin, Answer, End};
use super::super::source::SourceState;
use super::DEADLINE;
use super::cluster::{Cluster, Question, ReaderSpec, Rules};
use super::counts::{Context, Counter};

/// A new pipeline waits no longer for its first question: the thread cannot wait for orders and answers at the same time.
const NAP: Duration = Duration::from_millis(100);
/// So long a group is described after its workers were changed: members come and go within a session.
const CLOSE_LOOK: Duration = Duration::from_secs(60);

/// What a broker may answer to one question.
const LARGEST_ANSWER_BYTES: usize = 16 << 20;

/// What the handles want.
pub(super) enum Order {
    Watch { id: u64, spec: ReaderSpec, answer: Answers },
    LookCloser { id: u64 },
    Forget { id: u64 },
}

type Answers = watch::Sender<(SourceState, Instant)>;

struct Monitor<'a> {
    start: Instant,
    cluster: Cluster,
    admin: Admin<Context>,
    link: Arc<Link>,
    counter: &'a Counter,
    readers: HashMap<u64, Answers>,
    /// Questions that are on their way, and since when.
    asked: HashMap<u64, (Question, Duration)>,
    next_token: u64,
}

/// Returns when there is nobody left to give orders.
pub(super) fn run(access: &Arc<Access>, rules: Rules, counter: &Counter, inbox: &Receiver<Order>) {
    let link = Arc::new(Link::new(access));
    let context = Context::new(counter.clone(), link.clone());
    let admin = match Admin::new(&config(access, rules), context, DEADLINE) {
        Ok(admin) => admin,
        Err(error) => {
            tracing::warn!(%error, "no Kafka client for the lag monitor");
            return refuse(&error.to_string(), inbox);
        }
    };
    let monitor = Monitor {
        start: Instant::now(),
        cluster: Cluster::new(rules),
        admin,
        link,
        counter,
        readers: HashMap::new(),
        asked: HashMap::new(),
        next_token: 0,
    };
    monitor.run(inbox);
}

fn config(access: &Access, rules: Rules) -> ClientConfig {
    let mut config = ClientConfig::new();
    access.configure(&mut config);
    config
        .set("client.id", "plaudit-monitor")
        // A client that forgot its broker while that was starting would look for it again after five minutes.
        .set("metadata.recovery.rebootstrap.trigger.ms", "10000")
        .set("allow.auto.create.topics", "false")
        // Whoever may write a pipeline may name a broker of their own. Partitions of ten thousand pipelines take a tenth; the client
        // wants room for a fetch, too, which is never made.
        .set("receive.message.max.bytes", LARGEST_ANSWER_BYTES.to_string())
        .set("fetch.max.bytes", "1000000")
        // They would be requests that nobody has asked for.
        .set("enable.metrics.push", "false")
        // Requests are counted by them.
        .set("statistics.interval.ms", (rules.period * 5).as_millis().to_string())
        .set("socket.timeout.ms", DEADLINE.as_millis().to_string());
    config
}

/// Answers everybody that there is no client; pipelines say so until their settings change.
fn refuse(error: &str, inbox: &Receiver<Order>) {
    let mut readers = HashMap::new();
    let failed = || SourceState::Failed {
        reason: "InvalidClient",
        message: format!("could not set up a Kafka client: {error}"),
    };
    loop {
        match inbox.recv_timeout(DEADLINE) {
            Ok(Order::Watch { id, answer, .. }) => {
                answer.send_replace((failed(), Instant::now()));
                readers.insert(id, answer);
            }
            Ok(Order::Forget { id }) => drop(readers.remove(&id)),
            Ok(Order::LookCloser { .. }) => {}
            Err(RecvTimeoutError::Timeout) => readers.values().for_each(still_true),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn still_true(answers: &Answers) {
    answers.send_if_modified(|(_, asked)| {
        *asked = Instant::now();
        false
    });
}

impl Monitor<'_> {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut news = true;
        while let Some(orders) = self.take_orders(inbox) {
            if news || orders > 0 || self.now() >= self.cluster.next_tick() {
                for question in self.cluster.questions(self.now()) {
                    self.ask(question);
                }
                self.publish();
                self.admin.tend(&self.link);
            }
            let rest = self.cluster.next_tick().saturating_sub(self.now());
            let mut answer = self.admin.next(rest.min(NAP));
            news = answer.is_some();
            // All that is there: after each, the whole state would be looked through.
            while let Some((token, found)) = answer {
                self.take(token, found);
                answer = self.admin.next(Duration::ZERO);
            }
        }
    }

    /// How many there were; `None` when nobody is left who could give any.
    fn take_orders(&mut self, inbox: &Receiver<Order>) -> Option<usize> {
        for count in 0.. {
            match inbox.try_recv() {
                Ok(Order::Watch { id, spec, answer }) => {
                    self.cluster.add(id, &spec, self.now());
                    self.readers.insert(id, answer);
                }
                Ok(Order::LookCloser { id }) => {
                    let until = self.now() + CLOSE_LOOK;
                    self.cluster.look_closer(id, until);
                }
                Ok(Order::Forget { id }) => {
                    self.cluster.remove(id);
                    self.readers.remove(&id);
                }
                Err(TryRecvError::Empty) => return Some(count),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        None
    }

    fn ask(&mut self, question: Question) {
        let token = self.next_token;
        self.next_token += 1;
        let cluster = &self.cluster;
        let name = |key: u32| cluster.topic_name(key).unwrap_or_default();
        match &question {
            Question::Topics(keys) => self.admin.topics(token, keys.iter().map(|key| name(*key))),
            Question::Ends { partitions, .. } => {
                let partitions = partitions.iter().map(|(key, partition)| (name(*key), *partition));
                self.admin.offsets(token, End::Last, partitions);
            }
            Question::Starts { partitions } => {
                let partitions = partitions.iter().map(|(key, partition)| (name(*key), *partition));
                self.admin.offsets(token, End::Start, partitions);
            }
            Question::Committed(id) => {
                let (group, topic, count) = cluster.reader(*id).unwrap_or_default();
                self.admin.committed(token, group, topic, i32::try_from(count).unwrap_or(i32::MAX));
            }
            Question::Groups(ids) => {
                let mut groups: Vec<&str> =
                    ids.iter().filter_map(|id| Some(cluster.reader(*id)?.0)).collect();
                groups.sort_unstable();
                groups.dedup();
                self.admin.groups(token, groups.into_iter());
            }
            Question::Commit(id, commits) => {
                let (group, topic, _) = cluster.reader(*id).unwrap_or_default();
                self.admin.commit(token, group, topic, commits);
            }
        }
        self.asked.insert(token, (question, self.now()));
    }

    fn take(&mut self, token: u64, answer: Answer) {
        let Some((question, asked)) = self.asked.remove(&token) else { return };
        let now = self.now();
        let failure = answer.failure().map(|failure| failure.text.clone());
        if failure.is_none() {
            self.link.access().reached();
        }
        self.counter.answered(question.kind(), failure.is_some(), now.saturating_sub(asked));
        if let Some(error) = failure {
            tracing::debug!(kind = question.kind().name(), error, "Kafka did not answer a question");
        }
        if let Question::Commit(id, commits) = &question {
            self.log_commit(*id, commits.len(), answer.failure().is_none());
        }
        self.cluster.answer(question, answer, asked, now);
    }

    fn log_commit(&self, id: u64, partitions: usize, committed: bool) {
        let Some((group, topic, _)) = self.cluster.reader(id) else { return };
        if committed {
            tracing::info!(group, topic, partitions, "offsets committed for a group without members");
        } else {
            // Most likely it has members by now.
            tracing::debug!(group, topic, partitions, "offsets of a group not committed");
        }
    }

    fn publish(&mut self) {
        for (id, state) in self.cluster.news() {
            if let Some(answers) = self.readers.get(&id) {
                answers.send_if_modified(|(before, _)| {
                    let news = *before != state;
                    *before = state;
                    news
                });
            }
        }
        for (id, confirmed) in self.cluster.confirmed() {
            if let Some(answers) = self.readers.get(&id) {
                answers.send_if_modified(|(_, asked)| {
                    *asked = self.start + confirmed;
                    false
                });
            }
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    #[test]
    fn a_brokers_answer_is_bounded() {
        let access = Access::plain("k:9092");
        let rules = Rules {
            period: Duration::from_secs(2),
            metadata_period: Duration::from_secs(60),
            keep_offsets: false,
        };
        let config = config(&access, rules);

        // The client refuses a bound that contradicts its others.
        let client = config.create::<BaseConsumer>();

        assert_eq!((config.get("receive.message.max.bytes"), client.err()), (Some("16777216"), None));
    }
}
