//! Questions about many topics and groups at once, through librdkafka's admin calls: the operator's only `unsafe`.
//!
//! A question returns at once; its answer comes out of [`Admin::next`] under the token it was asked with. Facts about the library
//! (2.12.1) that shape this module and its callers:
//!
//! * It asks each broker once for all partitions that it leads, but compares every partition with every other one on the way, so that
//!   a call for 4,000 partitions takes 0.09 s of CPU: callers bound what they put into one.
//! * When a broker does not answer, its partitions come back as if they had been asked for nothing, without an error.
//! * A question about a group looks for its coordinator first, and the library remembers eleven of them.
//! * One whose time is over before its coordinator was found is freed, and used when the coordinator is found: the process aborts
//!   (`eonce->refcnt > 0`; librdkafka #4605, not mended). So the library never ends them itself ([`patience`]).

mod answer;
mod native;
mod patience;
mod read;

use std::ffi::{CString, c_char, c_void};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use plaudit_worker::kafka::Link;
use rdkafka::bindings as sys;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;

pub(super) use answer::{
    Answer, Code, DescribedGroup, DescribedTopic, Failure, FoundOffset, GroupOffset, Named,
};
use native::{Owned, c_string, partition_list};
use patience::{Asks, Patience};
use sys::rd_kafka_admin_op_t as op;

/// The group that the client is no member of: nothing is ever joined or committed under this name.
const GROUP: &str = "plaudit-monitor";

/// The longest that the library can wait for.
const NEVER: Duration = Duration::from_secs(3_600);

/// A connection to one cluster, and the answers that are on their way.
pub(super) struct Admin<C: ConsumerContext + 'static> {
    // Dropped before the client that it belongs to.
    queue: Owned<sys::rd_kafka_queue_t>,
    // Never subscribes. A consumer, because a client without a group of its own follows a null pointer when a coordinator answers
    // a question about offsets that it is no longer the group's coordinator.
    client: BaseConsumer<C>,
    timeout: Duration,
    patience: Patience,
}

/// Which end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The oldest offset.
    Start,
    /// The last stable offset: records of open transactions are not there yet.
    Last,
}

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewCommit {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) metadata: Vec<u8>,
}

impl<C: ConsumerContext + 'static> Admin<C> {
    /// Sets up a client; it connects by itself. A question without an answer fails after `timeout`.
    pub(super) fn new(config: &ClientConfig, context: C, timeout: Duration) -> KafkaResult<Self> {
        let mut config = config.clone();
        config.set("group.id", GROUP).set("enable.auto.commit", "false");
        config.set_log_level(RDKafkaLogLevel::Warning);
        let client: BaseConsumer<C> = config.create_with_context(context)?;
        // SAFETY: the client is alive; the queue is destroyed before it (order of the fields).
        let queue = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        Ok(Self {
            queue: Owned(queue, sys::rd_kafka_queue_destroy),
            client,
            timeout,
            patience: Patience::new(timeout),
        })
    }

    /// Asks for ID and partitions of topics, each named once.
    pub(super) fn topics<'a>(&self, token: u64, topics: impl Iterator<Item = &'a str>) {
        let names: Vec<CString> = topics.map(c_string).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let options = self.options(op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, token, self.timeout);
        // SAFETY: the call copies the names; collection and options are ours and live until it has returned.
        unsafe {
            let topics = Owned(
                sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
                sys::rd_kafka_TopicCollection_destroy,
            );
            sys::rd_kafka_DescribeTopics(self.native(), topics.0, options.0, self.queue.0);
        }
    }

    /// Asks for one end of the logs of partitions, each named once. The answer has the same order.
    pub(super) fn offsets<'a>(
        &self,
        token: u64,
        end: End,
        partitions: impl ExactSizeIterator<Item = (&'a str, i32)>,
    ) {
        let spec = match end {
            End::Start => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
            End::Last => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
        };
        let list =
            partition_list(partitions.map(|(topic, partition)| (topic, partition, spec as i64, &[][..])));
        let options = self.options(op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, token, self.timeout);
        // SAFETY: the call copies the list; list and options are ours and live until it has returned. The isolation level is valid
        // for this operation, so that no error object comes back.
        unsafe {
            let level = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
            let error = sys::rd_kafka_AdminOptions_set_isolation_level(options.0, level);
            debug_assert!(error.is_null());
            sys::rd_kafka_ListOffsets(self.native(), list.0, options.0, self.queue.0);
        }
    }

    /// Asks a group's coordinator what it has committed for the first `partitions` of a topic.
    pub(super) fn committed(&mut self, token: u64, group: &str, topic: &str, partitions: i32) {
        if !self.patience.begin(token, Asks::Committed, Instant::now()) {
            return;
        }
        let list = partition_list((0..partitions).map(|partition| (topic, partition, 0, &[][..])));
        let group = c_string(group);
        let options = self.options(op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, token, NEVER);
        // SAFETY: the call copies group and list; all objects are ours and live until it has returned.
        unsafe {
            let question = Owned(
                sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list.0),
                sys::rd_kafka_ListConsumerGroupOffsets_destroy,
            );
            let mut questions = [question.0];
            sys::rd_kafka_ListConsumerGroupOffsets(
                self.native(),
                questions.as_mut_ptr(),
                questions.len(),
                options.0,
                self.queue.0,
            );
        }
    }

    /// Asks for state and members of groups, each named once.
    pub(super) fn groups<'a>(&mut self, token: u64, groups: impl Iterator<Item = &'a str>) {
        if !self.patience.begin(token, Asks::Groups, Instant::now()) {
            return;
        }
        let names: Vec<CString> = groups.map(c_string).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let options = self.options(op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, token, NEVER);
        // SAFETY: the call copies the names; the options are ours and live until it has returned.
        unsafe {
            sys::rd_kafka_DescribeConsumerGroups(
                self.native(),
                pointers.as_mut_ptr(),
                pointers.len(),
                options.0,
                self.queue.0,
            );
        }
    }

    /// Commits offsets for a group from outside. Kafka refuses that while the group has members.
    pub(super) fn commit(&mut self, token: u64, group: &str, topic: &str, offsets: &[NewCommit]) {
        if !self.patience.begin(token, Asks::Commit, Instant::now()) {
            return;
        }
        let list = partition_list(
            offsets.iter().map(|commit| (topic, commit.partition, commit.offset, &commit.metadata[..])),
        );
        let group = c_string(group);
        let options = self.options(op::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, token, NEVER);
        // SAFETY: the call copies group and list; all objects are ours and live until it has returned.
        unsafe {
            let question = Owned(
                sys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list.0),
                sys::rd_kafka_AlterConsumerGroupOffsets_destroy,
            );
            let mut questions = [question.0];
            sys::rd_kafka_AlterConsumerGroupOffsets(
                self.native(),
                questions.as_mut_ptr(),
                questions.len(),
                options.0,
                self.queue.0,
            );
        }
    }

    /// The next answer with its token; waits up to `wait`. Serves the client's logs and statistics too.
    pub(super) fn next(&mut self, wait: Duration) -> Option<(u64, Answer)> {
        let end = Instant::now() + wait;
        loop {
            let now = Instant::now();
            if let Some(failed) = self.patience.overdue(now) {
                return Some(failed);
            }
            let until = self.patience.until().map_or(end, |until| until.min(end));
            match self.poll(until.saturating_duration_since(now)) {
                Some((token, answer)) if self.patience.end(token) => return Some((token, answer)),
                None if Instant::now() >= end => return None,
                Some(_) | None => {}
            }
        }
    }

    /// Gives the client what it lacks.
    pub(super) fn tend(&self, link: &Link) {
        link.tend(self.client.client());
    }

    fn poll(&self, wait: Duration) -> Option<(u64, Answer)> {
        // Nothing is consumed: what comes are logs and statistics.
        let _ = self.client.poll(Duration::ZERO);
        let millis = i32::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event is ours, and what the answer needs of it is copied before it is destroyed.
        unsafe {
            let event = Owned(sys::rd_kafka_queue_poll(self.queue.0, millis), sys::rd_kafka_event_destroy);
            if event.0.is_null() {
                return None;
            }
            let token = sys::rd_kafka_event_opaque(event.0).addr() as u64;
            Some((token, read::event(event.0)?))
        }
    }

    fn options(&self, operation: op, token: u64, timeout: Duration) -> Owned<sys::rd_kafka_AdminOptions_t> {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a token counts questions; pointers have 64 bits"
        )]
        let opaque: *mut c_void = std::ptr::without_provenance_mut(token as usize);
        // SAFETY: the client is alive. The opaque pointer is only ever given back, never followed.
        unsafe {
            let options = Owned(
                sys::rd_kafka_AdminOptions_new(self.native(), operation),
                sys::rd_kafka_AdminOptions_destroy,
            );
            sys::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_opaque(options.0, opaque);
            options
        }
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.client.client().native_ptr()
    }
}

#[cfg(test)]
mod tests;
