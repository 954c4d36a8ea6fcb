//! The script of the demo: what happens when, decided from what is seen.

use std::time::Duration;

use plaudit::snapshot::{Snapshot, WorkerView};

/// In the middle of the burst, which begins at 8 s and lasts 10 s (see `load`).
const KILL_AT: Duration = Duration::from_secs(12);
/// The fleet may not have grown; the demo shows the killing nevertheless.
const KILL_ANYWAY_AT: Duration = Duration::from_secs(16);
/// For the fleet to shrink, after all is done: the scale-in window of the example and as much again.
const SHRINK_LIMIT: Duration = Duration::from_secs(30);
/// For the rest of the lag, after the load: with a backlog from a file this takes a while.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Script {
    killed: bool,
    sent_at: Option<Duration>,
    drained_at: Option<Duration>,
}

/// What to do now.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    Wait,
    /// This worker, without a word.
    Kill(WorkerView),
    End(Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything is stored, and the fleet is as small as it may be.
    Small,
    /// Everything is stored, and the fleet still larger than it need be.
    Large,
    /// Not everything was stored in time.
    Undrained,
}

impl Script {
    /// `time` since the load began; `sent`: all of it is.
    pub(super) fn next(&mut self, time: Duration, sent: bool, seen: &Snapshot) -> Act {
        if !self.killed
            && let Some(victim) =
                victim(seen, time >= KILL_ANYWAY_AT || sent).filter(|_| time >= KILL_AT || sent)
        {
            self.killed = true;
            return Act::Kill(victim.clone());
        }
        if !sent {
            return Act::Wait;
        }
        let sent_at = *self.sent_at.get_or_insert(time);
        if !self.killed || !drained(seen) {
            return if time >= sent_at + DRAIN_LIMIT { Act::End(Ending::Undrained) } else { Act::Wait };
        }
        let drained_at = *self.drained_at.get_or_insert(time);
        if small(seen) {
            Act::End(Ending::Small)
        } else if time >= drained_at + SHRINK_LIMIT {
            Act::End(Ending::Large)
        } else {
            Act::Wait
        }
    }
}

/// The worker with the most partitions: its death is felt most.
fn victim(seen: &Snapshot, alone: bool) -> Option<&WorkerView> {
    let ready = || seen.workers.iter().filter(|worker| worker.ready);
    let owned = |worker: &WorkerView| {
        seen.partitions.iter().filter(|partition| partition.owner.as_ref() == Some(&worker.name)).count()
    };
    if ready().count() < 2 && !alone {
        return None;
    }
    ready().max_by_key(|worker| owned(worker))
}

fn drained(seen: &Snapshot) -> bool {
    !seen.partitions.is_empty() && seen.partitions.iter().all(|partition| partition.lag == Some(0))
}

fn small(seen: &Snapshot) -> bool {
    i64::try_from(seen.workers.len()) == Ok(i64::from(seen.pipeline.spec.scaling.min_replicas))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Workers by name, owners by partition, and the lag of each partition.
    fn seen(ready: &[&str], owners: &[&str], lag: &Value) -> Snapshot {
        let worker = |name: &&str| json!({"name": name, "pid": 7, "ready": true, "restarts": 0, "address": null, "state": "running"});
        let partition = |(number, owner): (usize, &&str)| json!({"partition": number, "owner": owner, "state": "running", "lag": lag, "committed": 1, "logEnd": 1});
        let workers: Vec<Value> = ready.iter().map(worker).collect();
        let partitions: Vec<Value> = owners.iter().enumerate().map(partition).collect();
        serde_json::from_value(json!({
            "pipeline": {
                "apiVersion": "plaudit.dev/v1alpha1", "kind": "AchievementPipeline", "metadata": {"name": "p"},
                "spec": {"source": {"bootstrapServers": "k:1", "topic": "t"}, "store": {"addresses": ["s:1"]}},
            },
            "decision": {
                "inputs": {"replicas": 1, "lagThreshold": 1, "minReplicas": 1, "paused": "none", "suspend": false},
                "result": 1, "reason": "r", "message": "m",
            },
            "ageSeconds": 1, "workers": workers, "partitions": partitions,
            "rate": null, "conflicts": 0, "cpuSeconds": 0.0, "residentBytes": 0, "peakResidentBytes": 0,
        }))
        .expect("it is a snapshot")
    }

    fn killed() -> Script {
        Script { killed: true, ..Script::default() }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn kills_once_the_worker_with_most_partitions_in_the_middle_of_the_burst() {
        let (mut script, fleet) =
            (Script::default(), seen(&["w-0", "w-1"], &["w-0", "w-1", "w-1"], &json!(5)));

        let acts = [11, 12, 13].map(|second| script.next(at(second), false, &fleet));

        assert_eq!(acts, [Act::Wait, Act::Kill(fleet.workers[1].clone()), Act::Wait]);
    }

    #[test]
    fn kills_the_only_worker_only_when_no_second_one_came_or_all_is_sent() {
        let fleet = seen(&["w-0"], &["w-0"], &json!(5));
        let acts = [(12, false), (16, false), (1, true)]
            .map(|(second, sent)| Script::default().next(at(second), sent, &fleet));

        let kill = || Act::Kill(fleet.workers[0].clone());
        assert_eq!(acts, [Act::Wait, kill(), kill()]);
    }

    #[test]
    fn ends_when_all_is_sent_and_stored_and_the_fleet_is_small() {
        let mut script = killed();
        let (busy, large, small) = (json!(3), &["w-0", "w-1"][..], &["w-0"][..]);

        let acts = [
            script.next(at(20), false, &seen(small, &["w-0"], &json!(0))),
            script.next(at(28), true, &seen(small, &["w-0"], &busy)),
            script.next(at(29), true, &seen(large, &["w-0"], &json!(0))),
            script.next(at(30), true, &seen(small, &["w-0"], &json!(0))),
        ];

        assert_eq!(acts, [Act::Wait, Act::Wait, Act::Wait, Act::End(Ending::Small)]);
    }

    #[test]
    fn an_unknown_lag_is_not_taken_for_none() {
        assert_eq!(killed().next(at(28), true, &seen(&["w-0"], &["w-0"], &Value::Null)), Act::Wait);
    }

    #[test]
    fn waits_for_a_smaller_fleet_and_for_the_rest_of_the_lag_only_so_long() {
        let (mut large, mut behind) = (killed(), killed());
        let grown = seen(&["w-0", "w-1"], &["w-0"], &json!(0));
        let lagging = seen(&["w-0"], &["w-0"], &json!(9));

        let acts = [
            large.next(at(30), true, &grown),
            large.next(at(60), true, &grown),
            behind.next(at(30), true, &lagging),
            behind.next(at(630), true, &lagging),
        ];

        assert_eq!(acts, [Act::Wait, Act::End(Ending::Large), Act::Wait, Act::End(Ending::Undrained)]);
    }
}
