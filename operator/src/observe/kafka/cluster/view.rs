//! What a pipeline is told about its topic and group.

use super::super::super::source::{
    Committed, Group, PartitionOffsets, SourceState, Topic as TopicState, Unknown,
};
use super::{Cluster, Found, Reader, Topic, Wish};

impl Cluster {
    /// Readers whose state has changed, and is complete: what its change led to was answered too.
    pub(in super::super) fn news(&mut self) -> Vec<(u64, SourceState)> {
        let mut news = Vec::new();
        for (id, reader) in &mut self.readers {
            let Some(topic) = self.topics.get(&reader.topic) else { continue };
            if reader.changed && is_complete(reader, topic) {
                reader.changed = false;
                news.push((*id, state(reader, topic)));
            }
        }
        news
    }
}

fn is_complete(reader: &Reader, topic: &Topic) -> bool {
    match topic.found {
        Found::NotAsked => false,
        Found::No(..) => true,
        Found::Yes => {
            reader.committed == Wish::No
                && !topic.ends_wanted
                && !topic.starts_wanted
                && topic.starts_asked == 0
                && topic.partitions.iter().all(|one| one.end != Err(Unknown::NotAsked))
        }
    }
}

fn state(reader: &Reader, topic: &Topic) -> SourceState {
    let failed = |unknown: Unknown, detail: &str| SourceState::Failed {
        reason: reason(unknown),
        message: message(unknown, &topic.name, detail),
    };
    match &topic.found {
        Found::NotAsked => return SourceState::NotAsked,
        Found::No(unknown, detail) => return failed(*unknown, detail),
        Found::Yes => {}
    }
    if !topic.partitions.is_empty() && topic.partitions.iter().all(|one| one.end == Err(Unknown::NoAnswer)) {
        return failed(Unknown::NoAnswer, "no broker answered in time");
    }
    let offsets = topic.partitions.iter().zip(&reader.offsets).zip(0..);
    let offsets = offsets.map(|((one, offset), partition)| PartitionOffsets {
        partition,
        committed: offset.committed.unwrap_or(Committed::Unknown),
        log_start: one.start.ok(),
        log_end: one.end.ok(),
        unknown: one.end.err().or(one.start.err()).or(offset.committed.err()),
        beyond_end: offset.beyond_end,
    });
    SourceState::Found(TopicState {
        id: topic.id,
        partitions: offsets.collect(),
        group: Group { state: reader.state, members: reader.members.clone() },
        recreated: reader.recreated,
    })
}

fn reason(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::Missing => "TopicMissing",
        Unknown::NotAsked
        | Unknown::NoAnswer
        | Unknown::Absent
        | Unknown::NoLeader
        | Unknown::TopicUnauthorized
        | Unknown::GroupUnauthorized
        | Unknown::NoCoordinator
        | Unknown::Error(_) => unknown.reason(),
    }
}

fn message(unknown: Unknown, topic: &str, detail: &str) -> String {
    match unknown {
        Unknown::Missing => format!("topic {topic} does not exist; create it, or correct source.topic"),
        Unknown::TopicUnauthorized => {
            format!(
                "the operator may not describe topic {topic}; allow its Kafka user the operation Read on it"
            )
        }
        Unknown::NotAsked
        | Unknown::NoAnswer
        | Unknown::Absent
        | Unknown::NoLeader
        | Unknown::GroupUnauthorized
        | Unknown::NoCoordinator
        | Unknown::Error(_) => format!("could not read the partitions of topic {topic}: {detail}"),
    }
}
