//! A decision in one sentence, for people.

use plaudit_crds::Paused;

use super::seen::Seen;
use super::steps::{Reason, Steps};
use crate::pipeline::ScalingRules;

/// What was seen, what it asks for, and what was done instead.
pub(super) fn sentence(
    rules: &ScalingRules,
    seen: Option<&Seen>,
    current: Option<u32>,
    steps: &Steps,
) -> String {
    let result = workers(steps.result);
    let stay = format!("{result} {}", if steps.result == 1 { "stays" } else { "stay" });
    let asked = asked(rules, seen, steps.formula);
    let partition = |index: Option<usize>| {
        index.map_or_else(|| "a".to_owned(), |index| format!("the topic's partition {index}"))
    };
    let of = |pick: fn(&Seen) -> Option<usize>| partition(seen.and_then(pick));
    match steps.reason {
        Reason::Suspended => "the pipeline is suspended, so no worker runs".to_owned(),
        Reason::Fixed => format!("spec.scaling.replicas asks for {result}"),
        Reason::UnknownLag if current.is_none() => format!("{asked}, so the pipeline starts with {result}"),
        Reason::UnknownLag if current.is_some_and(|current| current < steps.result) => {
            format!("{asked}; behavior.onUnknownLag asks for {result}")
        }
        Reason::UnknownLag => format!("{asked}, so {stay} as before"),
        // The fullest worker decides, which need not have its fair share.
        Reason::FollowsLoad | Reason::FollowsLag if steps.formula != Some(steps.result) => {
            format!("{asked}; partitions are not divisible, so it takes {result}")
        }
        Reason::FollowsLoad | Reason::FollowsLag => asked,
        Reason::Skewed => format!(
            "{asked}; more records arrive in {} than one worker takes, and more workers cannot help there",
            of(|seen| seen.skewed)
        ),
        Reason::Stuck => format!(
            "{asked}; nothing of {} was committed for a minute, and more workers cannot help there",
            of(|seen| seen.stuck)
        ),
        Reason::StoreBound => format!(
            "{asked}; the last workers that were added took no more records, so the store or what else they share is the limit, and {stay} for now"
        ),
        Reason::AtMinimum => format!("{asked}; minReplicas keeps {result}"),
        Reason::WaitsForIdle => {
            format!("{asked}; {stay} until nothing has come for {} s", rules.idle.as_secs())
        }
        Reason::Idle => format!(
            "nothing has come for {} s and nothing waits, so minReplicas counts",
            rules.idle.as_secs()
        ),
        Reason::WithinBand => format!("{asked}; {stay} as long as they keep up"),
        Reason::Starting => format!("{asked}; {stay} until those that start are ready"),
        Reason::Moving => format!("{asked}; {stay} while partitions move between workers"),
        Reason::CatchingUp => format!("{asked}; {stay} until the lag is worked off"),
        Reason::UnknownRate => format!("{asked}; {stay} until it is known how much arrives"),
        Reason::ScaleInWindow => {
            format!("{asked}; the last {} s asked for more, so {stay}", rules.scale_in_window.as_secs())
        }
        Reason::Unproven => {
            format!("{asked}; it is not known yet what a worker takes, so only half of them go at once")
        }
        Reason::Settling => format!("{asked}; {stay} until it is clear how few are needed"),
        Reason::AtMaximum => format!("{asked}; maxReplicas allows {result}"),
        Reason::AtPartitions => format!("{asked}; the topic's partitions keep no more than {result} busy"),
        Reason::Paused => format!("{asked}; scaling is paused ({}), so {stay}", paused_name(rules.paused)),
    }
}

fn asked(rules: &ScalingRules, seen: Option<&Seen>, formula: Option<u32>) -> String {
    let (Some(seen), Some(formula)) = (seen, formula) else { return "the lag is unknown".to_owned() };
    let (lag, asked) = (seen.lag, workers(formula));
    match (seen.capacity, seen.arrivals) {
        (Some(capacity), Some(arrivals)) => {
            let load = format!("{arrivals:.0} records/s and a lag of {lag}");
            format!("{load} at {capacity:.0} records/s a worker ask for {asked}")
        }
        (Some(capacity), None) => {
            format!("a lag of {lag} at {capacity:.0} records/s a worker asks for {asked}")
        }
        (None, _) => format!("a lag of {lag} at {} a worker asks for {asked}", rules.lag_threshold),
    }
}

fn paused_name(paused: Paused) -> &'static str {
    match paused {
        Paused::None => "none",
        Paused::In => "in",
        Paused::Out => "out",
        Paused::Both => "both",
    }
}

fn workers(count: u32) -> String {
    match count {
        0 => "no worker".to_owned(),
        1 => "1 worker".to_owned(),
        _ => format!("{count} workers"),
    }
}
