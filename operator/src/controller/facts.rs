//! What a new status says for the first time: the events of a pipeline, each once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plaudit_crds::AchievementPipelineStatus;

use crate::observe::SourceState;

/// One thing that happened, for `kubectl describe` and `kubectl events`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fact {
    /// Something a person should look at.
    pub warning: bool,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub note: String,
}

/// Reasons that pass by themselves, a moment after something was asked for.
const PASSING: [&str; 3] = ["Starting", "NotYetObserved", "NoWorker"];

/// What happened between two statuses. A status is kept in the cluster, so a restart repeats nothing.
#[must_use]
pub fn facts(before: Option<&AchievementPipelineStatus>, after: &AchievementPipelineStatus) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(scaled(before, after));
    facts.extend(grown(before, after));
    let changed = after.conditions.iter().filter(|now| {
        let was = before.and_then(|before| condition(before, &now.type_));
        was.is_none_or(|was| (&was.status, &was.reason) != (&now.status, &now.reason))
    });
    for now in changed {
        let was = before.and_then(|before| condition(before, &now.type_));
        // The end of what was not told is not told either.
        let ends = was.is_some_and(|was| follows(was, before));
        match (now.type_.as_str(), now.status.as_str()) {
            _ if follows(now, Some(after)) => {}
            ("Ready", "True") => {
                facts.push(Fact { warning: false, reason: "Ready".to_owned(), note: now.message.clone() });
            }
            ("ScalingActive", "True") if !ends && was.is_some_and(|was| was.status == "False") => {
                facts.push(Fact {
                    warning: false,
                    reason: "ScalingActive".to_owned(),
                    note: now.message.clone(),
                });
            }
            // Ready says the worst of the others; only what it does not say is a fact of its own.
            ("Ready" | "ScalingActive", "False") if !PASSING.contains(&now.reason.as_str()) => {
                let warning = !matches!(now.reason.as_str(), "Suspended" | "Paused" | "Fixed");
                // A change of the number tells its reason, too.
                let said =
                    facts.iter().any(|fact| fact.reason == now.reason || fact.note.ends_with(&now.message));
                if !said {
                    facts.push(Fact { warning, reason: now.reason.clone(), note: now.message.clone() });
                }
            }
            _ => {}
        }
    }
    facts
}

/// Partitions whose records retention deleted before the group had read them, since the look before.
#[must_use]
pub fn overtaken(before: &SourceState, after: &SourceState) -> Vec<Fact> {
    let (SourceState::Found(before), SourceState::Found(after)) = (before, after) else { return Vec::new() };
    let pairs = before.partitions.iter().zip(&after.partitions);
    let new = pairs.filter(|(before, _)| before.overtaken().is_none());
    new.filter_map(|(_, after)| {
        let (due, oldest) = after.overtaken()?;
        let partition = after.partition;
        Some(Fact {
            warning: true,
            reason: "RetentionOvertook".to_owned(),
            note: format!(
                "partition {partition}: offset {due} is due, and the oldest that still exists is {oldest}"
            ),
        })
    })
    .collect()
}

fn scaled(before: Option<&AchievementPipelineStatus>, after: &AchievementPipelineStatus) -> Option<Fact> {
    let to = after.replicas?;
    let from = before.and_then(|before| before.replicas).unwrap_or(0);
    let reason = match to.cmp(&from) {
        std::cmp::Ordering::Greater => "ScaledOut",
        std::cmp::Ordering::Less => "ScaledIn",
        std::cmp::Ordering::Equal => return None,
    };
    let because = after.last_decision.as_ref().map(|decision| format!(": {}", decision.message));
    let note = format!("workers {from} -> {to}{}", because.unwrap_or_default());
    Some(Fact { warning: false, reason: reason.to_owned(), note })
}

fn grown(before: Option<&AchievementPipelineStatus>, after: &AchievementPipelineStatus) -> Option<Fact> {
    let (from, to) = (before?.partitions?, after.partitions?);
    (from != to).then(|| Fact {
        warning: to < from,
        reason: "PartitionsChanged".to_owned(),
        note: format!("the topic had {from} partitions and has {to}"),
    })
}

/// An unknown lag where the topic cannot be read, which has said so already, or was not asked yet.
fn follows(found: &Condition, status: Option<&AchievementPipelineStatus>) -> bool {
    let source = status.and_then(|status| condition(status, "SourceAvailable"));
    found.reason == "UnknownLag" && source.is_some_and(|source| source.status != "True")
}

fn condition<'a>(status: &'a AchievementPipelineStatus, name: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn status(replicas: i32, ready: (&str, &str), scaling: (&str, &str)) -> AchievementPipelineStatus {
        let condition = |name: &str, (status, reason): (&str, &str)| Condition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: format!("about {reason}"),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        AchievementPipelineStatus {
            replicas: Some(replicas),
            partitions: Some(12),
            conditions: vec![condition("Ready", ready), condition("ScalingActive", scaling)],
            ..AchievementPipelineStatus::default()
        }
    }

    #[test]
    fn each_fact_is_told_once_and_passing_ones_never() {
        let lag = ("True", "FollowsLag");
        let steps = [
            status(1, ("False", "Starting"), lag),
            status(1, ("True", "Available"), lag),
            status(1, ("True", "Available"), lag),
            status(6, ("True", "Available"), lag),
            status(6, ("False", "StoreUnavailable"), lag),
            status(6, ("False", "StoreUnavailable"), ("False", "UnknownLag")),
            status(2, ("True", "Available"), lag),
            AchievementPipelineStatus { partitions: Some(24), ..status(2, ("True", "Available"), lag) },
        ];

        let told: Vec<Vec<String>> = (0..steps.len())
            .map(|at| {
                let before = at.checked_sub(1).map(|before| &steps[before]);
                let told = facts(before, &steps[at]);
                told.into_iter()
                    .map(|fact| format!("{}{}", if fact.warning { "!" } else { "" }, fact.reason))
                    .collect()
            })
            .collect();

        assert_eq!(
            told,
            [
                vec!["ScaledOut"],
                vec!["Ready"],
                vec![],
                vec!["ScaledOut"],
                vec!["!StoreUnavailable"],
                vec!["!UnknownLag"],
                vec!["ScaledIn", "Ready", "ScalingActive"],
                vec!["PartitionsChanged"],
            ]
        );
    }

    #[test]
    fn a_lag_that_follows_from_its_topic_is_told_neither_when_it_becomes_unknown_nor_when_it_is_known_again()
    {
        let with_source = |source: &str, scaling: (&str, &str)| {
            let mut status = status(1, ("True", "Available"), scaling);
            let mut condition = status.conditions[0].clone();
            (condition.type_, condition.status) = ("SourceAvailable".to_owned(), source.to_owned());
            status.conditions.push(condition);
            status
        };
        let before = with_source("Unknown", ("False", "UnknownLag"));
        let after = with_source("True", ("True", "FollowsLag"));

        assert_eq!((facts(Some(&after), &before), facts(Some(&before), &after)), (vec![], vec![]));
    }

    #[test]
    fn a_fixed_number_is_told_with_the_change_that_it_makes_or_by_itself() {
        let with_message = |replicas, scaling| {
            let mut status = status(replicas, ("True", "Available"), scaling);
            let message = format!("about {}", scaling.1);
            status.last_decision = Some(decision(&message));
            status
        };
        let (free, same, other) = (
            with_message(2, ("True", "FollowsLag")),
            with_message(2, ("False", "Fixed")),
            with_message(3, ("False", "Fixed")),
        );

        let told = [same, other]
            .map(|after| facts(Some(&free), &after).into_iter().map(|fact| fact.reason).collect::<Vec<_>>());

        assert_eq!(told, [["Fixed"], ["ScaledOut"]]);
    }

    fn decision(message: &str) -> plaudit_crds::LastDecision {
        serde_json::from_value(serde_json::json!({
            "inputs": {"replicas": 1, "lagThreshold": 1, "minReplicas": 1, "paused": "none", "suspend": false},
            "result": 1, "reason": "r", "message": message,
        }))
        .expect("a decision")
    }
}
