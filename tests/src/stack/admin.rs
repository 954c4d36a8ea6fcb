//! What an administrator does to topics and groups, on purpose or by mistake.

use anyhow::{Context as _, Result, anyhow};
use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::{Offset, TopicPartitionList};

use super::kafka::{ANSWER_LIMIT, Kafka, START_LIMIT, create};
use super::until;

impl Kafka {
    /// Creates a topic and returns when all its partitions have a leader.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let admin = self.admin()?;
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        create(&admin, &topic, &AdminOptions::new().request_timeout(Some(START_LIMIT)))
            .with_context(|| format!("could not create the topic {name}"))?;
        self.wait_for_leaders(name, usize::try_from(partitions)?)
    }

    /// Returns when all partitions of a topic have a leader.
    pub(super) fn wait_for_leaders(&self, topic: &str, partitions: usize) -> Result<()> {
        let admin = self.admin()?;
        until(&format!("leaders of the topic {topic}"), START_LIMIT, || {
            let Ok(metadata) = admin.inner().fetch_metadata(Some(topic), ANSWER_LIMIT) else {
                return Ok(None);
            };
            let led = metadata
                .topics()
                .first()
                .map_or(0, |topic| topic.partitions().iter().filter(|p| p.leader() >= 0).count());
            Ok((led == partitions).then_some(()))
        })
    }

    /// Creates many topics at once; they need not have their leaders yet when it returns.
    pub fn create_topics(&self, names: &[String], partitions: i32) -> Result<()> {
        let topics: Vec<_> =
            names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1))).collect();
        one(futures::executor::block_on(self.admin()?.create_topics(&topics, &options()))?)
    }

    /// Adds partitions to a topic, so that it has `total`.
    pub fn add_partitions(&self, topic: &str, total: usize) -> Result<()> {
        let admin = self.admin()?;
        let more = [NewPartitions::new(topic, total)];
        one(futures::executor::block_on(admin.create_partitions(&more, &options()))?)?;
        self.wait_for_leaders(topic, total)
    }

    /// Deletes a topic and returns when it is gone.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let admin = self.admin()?;
        one(futures::executor::block_on(admin.delete_topics(&[topic], &options()))?)?;
        until(&format!("the end of topic {topic}"), START_LIMIT, || {
            let metadata = admin.inner().fetch_metadata(Some(topic), START_LIMIT)?;
            let gone = metadata.topics().iter().all(|found| found.partitions().is_empty());
            Ok(gone.then_some(()))
        })
    }

    /// Deletes a group that has no members, and all its offsets: what their expiry does too.
    pub fn delete_group(&self, group: &str) -> Result<()> {
        let admin = self.admin()?;
        until(&format!("group {group} to be deleted"), START_LIMIT, || {
            // A member that just left may still count for a moment.
            let deleted = futures::executor::block_on(admin.delete_groups(&[group], &options()))?;
            Ok(one(deleted).ok())
        })
    }

    /// Deletes all records of a partition below an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before))?;
        let deleted = futures::executor::block_on(self.admin()?.delete_records(&list, &options()))?;
        deleted.elements().iter().try_for_each(|entry| entry.error()).context("records were not deleted")
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(START_LIMIT)).operation_timeout(Some(START_LIMIT))
}

fn one<E: std::fmt::Debug>(results: Vec<Result<String, (String, E)>>) -> Result<()> {
    results.into_iter().try_for_each(|result| {
        result.map(|_| ()).map_err(|(name, code)| anyhow!("kafka refuses it for {name}: {code:?}"))
    })
}
