//! Kafka: the consumer group with its poll thread, the partitions it assigns, and the dead-letter topic.

mod config;
mod group;
mod letters;
mod native;
mod partition;
mod poll;

pub use config::{consumer_config, producer_config, reader_config};
pub use group::{Consumer, GroupContext, LaneHandle, SpawnLane};
pub use letters::DeadLetterTopic;
pub use partition::Partition;
pub use poll::{PollSettings, PollThread};
