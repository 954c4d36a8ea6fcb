//! Which worker goes first when there are to be fewer: the one whose end moves the least work.

use std::sync::Arc;

use super::workers::WorkerPod;
use crate::observe::Topic;

/// Kubernetes removes the pods with the lowest cost first, among those that are ready.
pub(super) const COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What a partition's move costs besides its lag, which is read again from where the last commit was.
const PARTITION: u64 = 1_000;

/// The pods whose cost is to be changed, with the new one: the records that wait in a worker's partitions, and something for each
/// partition. Pods that the group does not know yet own nothing and go first.
pub(super) fn costs(
    topic: &Topic,
    starts_at_log_start: bool,
    pods: &[Arc<WorkerPod>],
) -> Vec<(String, String)> {
    let owned = |pod: &str| {
        let partitions = topic.group.members.iter().filter(|member| member.client_id == pod);
        partitions.flat_map(|member| &member.partitions).fold(0_u64, |sum, partition| {
            let offsets = topic.partitions.iter().find(|offsets| offsets.partition == *partition);
            let lag = offsets.and_then(|offsets| offsets.lag(starts_at_log_start, None)).unwrap_or(0);
            sum.saturating_add(lag).saturating_add(PARTITION)
        })
    };
    pods.iter()
        .filter_map(|pod| {
            let cost = i32::try_from(owned(&pod.name)).unwrap_or(i32::MAX).to_string();
            (pod.cost.as_ref() != Some(&cost)).then(|| (pod.name.clone(), cost))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Committed, Group, Member, PartitionOffsets};

    #[test]
    fn whoever_has_least_to_hand_over_goes_first() {
        let partition = |partition, lag: i64| PartitionOffsets {
            partition,
            committed: Committed::Offset(10_000 - lag),
            log_start: Some(0),
            log_end: Some(10_000),
            ..PartitionOffsets::default()
        };
        let member = |name: &str, partitions: &[i32]| Member {
            client_id: name.to_owned(),
            partitions: partitions.to_vec(),
            ..Member::default()
        };
        let topic = Topic {
            partitions: vec![partition(0, 5_000), partition(1, 0), partition(2, 7)],
            group: Group { members: vec![member("a", &[0]), member("b", &[1, 2])], ..Group::default() },
            ..Topic::default()
        };
        let pod = |name: &str, cost: &str| {
            let (name, cost) = (name.to_owned(), Some(cost.to_owned()));
            Arc::new(WorkerPod { name, cost, ..WorkerPod::default() })
        };

        let found = costs(&topic, true, &[pod("a", ""), pod("b", "2007"), pod("new", "")]);

        let expected = [("a", "6000"), ("new", "0")];
        assert_eq!(found, expected.map(|(name, cost)| (name.to_owned(), cost.to_owned())));
    }
}
