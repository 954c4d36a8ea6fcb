//! Kafka: the consumer group with its poll thread, the partitions it assigns, and the dead-letter topic.

mod access;
mod bootstrap;
mod committer;
mod complaint;
mod config;
mod ends;
mod fetched;
mod group;
mod handle;
mod letters;
mod link;
mod looks;
mod native;
mod outbox;
mod partition;
mod poll;
mod refetch;
#[cfg(test)]
mod tests;
mod topic;
mod topic_settings;
mod unlocks;

pub use access::Access;
pub use config::consumer_config;
pub use group::{Consumer, GroupContext, Requests, SpawnLane};
pub use handle::LaneHandle;
pub use link::{Link, LinkContext};
pub use outbox::KafkaOutbox;
pub use partition::Partition;
pub use poll::{PollSettings, PollThread};
pub use topic_settings::allows_unclean_election;
