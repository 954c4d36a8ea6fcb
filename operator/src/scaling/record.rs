//! A decision as it is given out: the number, the way to it, and what to keep.

use std::time::Duration;

use plaudit_crds::{DecisionInputs, LastDecision};

use super::capacity::Learnt;
use super::sample::Sample;
use super::seen::Seen;
use super::sentence::sentence;
use super::steps::{Reason, Steps, signed};
use crate::pipeline::ScalingRules;

/// The number of workers that should run, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Workers that should run.
    pub replicas: u32,
    /// The way to that number.
    pub record: LastDecision,
    /// The partition that more workers cannot help, where that is the reason.
    pub partition: Option<usize>,
    /// What to keep in the status, for a scaler that begins anew. It moves rarely.
    pub learnt: Option<Learnt>,
    /// When at the latest the same inputs could lead to another decision.
    pub look_again: Duration,
}

pub(super) fn decision(
    rules: &ScalingRules,
    sample: &Sample,
    seen: Option<&Seen>,
    steps: &Steps,
    learnt: Option<Learnt>,
    look_again: Duration,
) -> Decision {
    let record = LastDecision {
        inputs: inputs(rules, sample, seen),
        formula: steps.formula.map(signed),
        clamps: steps.clamps.clone(),
        result: signed(steps.result),
        reason: steps.reason.name().to_owned(),
        message: sentence(rules, seen, sample.replicas, steps),
    };
    let partition = seen.and_then(|seen| match steps.reason {
        Reason::Skewed => seen.skewed,
        Reason::Stuck => seen.stuck,
        _ => None,
    });
    Decision { replicas: steps.result, record, partition, learnt, look_again }
}

/// No worker, for a reason that has nothing to do with load.
#[must_use]
pub fn no_worker(rules: &ScalingRules, sample: &Sample, reason: &str, message: &str) -> Decision {
    let record = LastDecision {
        inputs: inputs(rules, sample, None),
        formula: None,
        clamps: Vec::new(),
        result: 0,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    Decision { replicas: 0, record, partition: None, learnt: None, look_again: Duration::MAX }
}

fn inputs(rules: &ScalingRules, sample: &Sample, seen: Option<&Seen>) -> DecisionInputs {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let whole = |value: f64| value.round() as i64;
    let large = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let partitions = sample.partitions.as_ref().map(Vec::len);
    DecisionInputs {
        replicas: sample.replicas.map_or(0, signed),
        ready_replicas: sample.ready.map(signed),
        lag: seen.map(|seen| large(seen.lag)),
        lag_seconds: seen.map(|seen| whole(seen.lag_seconds)),
        arrivals_per_second: seen.and_then(|seen| seen.arrivals).map(whole),
        worker_capacity: seen.and_then(|seen| seen.capacity).map(whole),
        partitions: partitions.map(|count| i32::try_from(count).unwrap_or(i32::MAX)),
        lag_threshold: large(rules.lag_threshold),
        max_lag_seconds: i32::try_from(rules.max_lag.as_secs()).unwrap_or(i32::MAX),
        min_replicas: signed(rules.min_replicas),
        max_replicas: rules.max_replicas.map(signed),
        paused: rules.paused,
        suspend: rules.suspend,
    }
}

/// Whether a decision says something that the one before did not, for a status that must not change while a pipeline is steady.
///
/// With the same number of workers it makes no difference which of the everyday reasons speaks: noise makes them go to and fro. A limit
/// that was reached is said once.
#[must_use]
pub fn is_news(before: &LastDecision, after: &LastDecision) -> bool {
    let (said, says) = (headline(before), headline(after));
    let was_limit = matches!(said, "AtMaximum" | "AtPartitions");
    before.result != after.result || (said != says && !(was_limit && says == EVERYDAY))
}

const EVERYDAY: &str = "Everyday";

fn headline(record: &LastDecision) -> &str {
    match record.reason.as_str() {
        "FollowsLoad" | "FollowsLag" | "AtMinimum" | "WaitsForIdle" | "Idle" | "WithinBand" | "Starting"
        | "Moving" | "CatchingUp" | "UnknownRate" | "ScaleInWindow" | "Unproven" | "Settling" => EVERYDAY,
        reason => reason,
    }
}

#[cfg(test)]
mod tests {
    use plaudit_crds::Paused;

    use super::*;

    fn record(result: i32, reason: &str) -> LastDecision {
        let inputs = DecisionInputs {
            replicas: 1,
            ready_replicas: None,
            lag: None,
            lag_seconds: None,
            arrivals_per_second: None,
            worker_capacity: None,
            partitions: None,
            lag_threshold: 1,
            max_lag_seconds: 1,
            min_replicas: 1,
            max_replicas: None,
            paused: Paused::None,
            suspend: false,
        };
        let (clamps, message) = Default::default();
        LastDecision { inputs, formula: None, clamps, result, reason: reason.to_owned(), message }
    }

    #[test]
    fn everyday_reasons_are_no_news_and_a_limit_is_news_once() {
        let cases = [
            ((2, "FollowsLoad"), (2, "ScaleInWindow"), false),
            ((2, "FollowsLoad"), (3, "FollowsLoad"), true),
            ((2, "WithinBand"), (2, "AtMaximum"), true),
            ((2, "AtMaximum"), (2, "WithinBand"), false),
            ((2, "AtMaximum"), (2, "UnknownLag"), true),
            ((2, "UnknownLag"), (2, "FollowsLoad"), true),
            ((2, "Skewed"), (2, "Skewed"), false),
        ];

        let answers =
            cases.map(|(before, after, _)| is_news(&record(before.0, before.1), &record(after.0, after.1)));

        assert_eq!(answers, cases.map(|(.., news)| news));
    }
}
