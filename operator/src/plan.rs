//! The decision about the number of workers: a pure function of what was found, the rules and the time.
//!
//! Every step that changes the number is kept beside it, so that a decision explains itself.

use std::collections::VecDeque;
use std::time::Duration;

use plaudit_crds::{Clamp, DecisionInputs, LastDecision, Paused};

use crate::pipeline::ScalingRules;

/// What a decision is made from, beside the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs {
    /// Records not yet processed, over all partitions; `None` as soon as one partition's is unknown.
    pub lag: Option<u64>,
    /// Partitions of the topic; `None` while unknown.
    pub partitions: Option<u32>,
    /// Workers that should run so far; `None` before the first decision.
    pub replicas: Option<u32>,
}

/// The number of workers that should run, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Workers that should run.
    pub replicas: u32,
    /// The way to that number.
    pub decision: LastDecision,
}

/// What the lag asked for in the past, as long as it may keep a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScaleInWindow {
    asked: VecDeque<(Duration, u32)>,
}

/// Why the number is what it is: the step that had the last word.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reason {
    Suspended,
    UnknownLag,
    FollowsLag,
    ScaleInWindow,
    AtMinimum,
    AtMaximum,
    AtPartitions,
    Paused,
}

/// Decides how many workers should run. `now` is the time since any fixed point; it never goes back.
pub fn plan(rules: &ScalingRules, inputs: Inputs, window: &mut ScaleInWindow, now: Duration) -> Plan {
    if rules.suspend {
        let clamps = vec![clamp("suspend", 0)];
        return finish(
            rules,
            inputs,
            Steps { formula: formula(rules, inputs), clamps, result: 0, reason: Reason::Suspended },
        );
    }
    let mut steps = match formula(rules, inputs) {
        Some(asked) => {
            Steps { formula: Some(asked), clamps: Vec::new(), result: asked, reason: Reason::FollowsLag }
        }
        // Holding is the only answer that neither drops workers nor adds them by guess.
        None => {
            let held = inputs.replicas.unwrap_or(rules.min_replicas);
            let clamps = vec![clamp("unknownLag", held)];
            Steps { formula: None, clamps, result: held, reason: Reason::UnknownLag }
        }
    };
    if steps.result < rules.min_replicas {
        steps.change("minReplicas", rules.min_replicas, Reason::AtMinimum);
    }
    if let Some(asked) = steps.formula {
        let kept = window.kept(asked, rules, inputs, now);
        if kept > steps.result {
            steps.change("scaleInWindow", kept, Reason::ScaleInWindow);
        }
    }
    steps.limit(rules, inputs);
    finish(rules, inputs, steps)
}

/// No worker, for a reason that has nothing to do with lag.
pub fn none(rules: &ScalingRules, inputs: Inputs, reason: &str, message: &str) -> Plan {
    let steps = Steps { formula: None, clamps: Vec::new(), result: 0, reason: Reason::Suspended };
    let mut plan = finish(rules, inputs, steps);
    reason.clone_into(&mut plan.decision.reason);
    message.clone_into(&mut plan.decision.message);
    plan
}

/// ceil(lag / lagThreshold); `None` while the lag is unknown.
fn formula(rules: &ScalingRules, inputs: Inputs) -> Option<u32> {
    let asked = inputs.lag?.div_ceil(rules.lag_threshold.max(1));
    Some(u32::try_from(asked).unwrap_or(u32::MAX))
}

/// A decision on its way.
struct Steps {
    formula: Option<u32>,
    clamps: Vec<Clamp>,
    result: u32,
    reason: Reason,
}

impl ScaleInWindow {
    /// Remembers what the lag asks for, and gives the workers that something in the window asked for and that still run.
    fn kept(&mut self, asked: u32, rules: &ScalingRules, inputs: Inputs, now: Duration) -> u32 {
        if let (true, Some(replicas)) = (self.asked.is_empty(), inputs.replicas) {
            // The planner has just started: what runs was asked for by somebody who could see further back.
            self.asked.push_back((now, replicas));
        }
        self.asked.push_back((now, asked));
        while self.asked.front().is_some_and(|(time, _)| now.saturating_sub(*time) > rules.scale_in_window) {
            self.asked.pop_front();
        }
        let most = self.asked.iter().map(|(_, asked)| *asked).max().unwrap_or(asked);
        inputs.replicas.map_or(0, |replicas| most.min(replicas))
    }
}

impl Steps {
    /// The limits from above, the exact one last: a worker without a partition would only wait.
    fn limit(&mut self, rules: &ScalingRules, inputs: Inputs) {
        if let Some(most) = rules.max_replicas.filter(|most| self.result > *most) {
            self.change("maxReplicas", most, Reason::AtMaximum);
        }
        if let Some(partitions) = inputs.partitions.filter(|partitions| self.result > *partitions) {
            self.change("partitions", partitions, Reason::AtPartitions);
        }
        if let Some(replicas) =
            inputs.replicas.filter(|replicas| is_paused(rules.paused, *replicas, self.result))
        {
            self.change("paused", replicas, Reason::Paused);
        }
    }

    fn change(&mut self, name: &str, value: u32, reason: Reason) {
        self.clamps.push(clamp(name, value));
        self.result = value;
        self.reason = reason;
    }
}

fn is_paused(paused: Paused, from: u32, to: u32) -> bool {
    match paused {
        Paused::None => false,
        Paused::In => to < from,
        Paused::Out => to > from,
        Paused::Both => to != from,
    }
}

fn finish(rules: &ScalingRules, inputs: Inputs, steps: Steps) -> Plan {
    let message = sentence(rules, inputs, &steps);
    let decision = LastDecision {
        inputs: DecisionInputs {
            replicas: inputs.replicas.map_or(0, signed),
            lag: inputs.lag.map(|lag| i64::try_from(lag).unwrap_or(i64::MAX)),
            partitions: inputs.partitions.map(signed),
            lag_threshold: i64::try_from(rules.lag_threshold).unwrap_or(i64::MAX),
            min_replicas: signed(rules.min_replicas),
            max_replicas: rules.max_replicas.map(signed),
            paused: rules.paused,
            suspend: rules.suspend,
        },
        formula: steps.formula.map(signed),
        clamps: steps.clamps,
        result: signed(steps.result),
        reason: steps.reason.name().to_owned(),
        message,
    };
    Plan { replicas: steps.result, decision }
}

fn sentence(rules: &ScalingRules, inputs: Inputs, steps: &Steps) -> String {
    let result = workers(steps.result);
    let stay = format!("{result} {}", if steps.result == 1 { "stays" } else { "stay" });
    let asked = match (inputs.lag, steps.formula) {
        (Some(lag), Some(asked)) => {
            format!("a lag of {lag} at {} a worker asks for {}", rules.lag_threshold, workers(asked))
        }
        _ => "the lag is unknown".to_owned(),
    };
    match steps.reason {
        Reason::Suspended => "the pipeline is suspended, so no worker runs".to_owned(),
        Reason::UnknownLag if inputs.replicas.is_none() => {
            format!("{asked}, so the pipeline starts with {result}")
        }
        Reason::UnknownLag => format!("{asked}, so {stay} as before"),
        Reason::FollowsLag => asked,
        Reason::ScaleInWindow => {
            format!("{asked}; the last {} s asked for more, so {stay}", rules.scale_in_window.as_secs())
        }
        Reason::AtMinimum => format!("{asked}; minReplicas keeps {result}"),
        Reason::AtMaximum => format!("{asked}; maxReplicas allows {result}"),
        Reason::AtPartitions => format!("{asked}; the topic's partitions keep no more than {result} busy"),
        Reason::Paused => {
            format!("{asked}; scaling is paused ({}), so {stay}", paused_name(rules.paused))
        }
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

fn clamp(name: &str, value: u32) -> Clamp {
    Clamp { name: name.to_owned(), value: signed(value) }
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::UnknownLag => "UnknownLag",
            Self::FollowsLag => "FollowsLag",
            Self::ScaleInWindow => "ScaleInWindow",
            Self::AtMinimum => "AtMinimum",
            Self::AtMaximum => "AtMaximum",
            Self::AtPartitions => "AtPartitions",
            Self::Paused => "Paused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ScalingRules = ScalingRules {
        min_replicas: 1,
        max_replicas: None,
        lag_threshold: 1000,
        paused: Paused::None,
        scale_in_window: Duration::from_secs(60),
        suspend: false,
    };

    fn inputs(lag: impl Into<Option<u64>>, replicas: impl Into<Option<u32>>) -> Inputs {
        Inputs { lag: lag.into(), partitions: Some(12), replicas: replicas.into() }
    }

    /// Rules, inputs, and the result, reason and clamps they lead to.
    type Case = (ScalingRules, Inputs, u32, &'static str, Vec<(&'static str, i32)>);

    /// Result, reason and clamps of a decision without a past.
    fn first(rules: &ScalingRules, inputs: Inputs) -> (u32, String, Vec<(String, i32)>) {
        let mut window = ScaleInWindow::default();
        // A past that asked for one worker only, so that the window keeps nothing.
        window.asked.push_back((Duration::ZERO, 0));
        let plan = plan(rules, inputs, &mut window, Duration::from_secs(1));
        let clamps = plan.decision.clamps.iter().map(|clamp| (clamp.name.clone(), clamp.value)).collect();
        (plan.replicas, plan.decision.reason, clamps)
    }

    #[test]
    fn every_limit_has_its_name_and_value() {
        let rules = |change: fn(&mut ScalingRules)| {
            let mut rules = RULES;
            change(&mut rules);
            rules
        };
        let cases: Vec<Case> = vec![
            (RULES, inputs(0, 1), 1, "AtMinimum", vec![("minReplicas", 1)]),
            (RULES, inputs(1, 1), 1, "FollowsLag", vec![]),
            (RULES, inputs(1000, 1), 1, "FollowsLag", vec![]),
            (RULES, inputs(1001, 1), 2, "FollowsLag", vec![]),
            (RULES, inputs(12_000, 1), 12, "FollowsLag", vec![]),
            (RULES, inputs(12_001, 1), 12, "AtPartitions", vec![("partitions", 12)]),
            (RULES, inputs(u64::MAX, 1), 12, "AtPartitions", vec![("partitions", 12)]),
            (RULES, inputs(None, None), 1, "UnknownLag", vec![("unknownLag", 1)]),
            (RULES, inputs(None, 5), 5, "UnknownLag", vec![("unknownLag", 5)]),
            (rules(|r| r.min_replicas = 3), inputs(1, 1), 3, "AtMinimum", vec![("minReplicas", 3)]),
            (
                rules(|r| r.min_replicas = 20),
                inputs(1, 1),
                12,
                "AtPartitions",
                vec![("minReplicas", 20), ("partitions", 12)],
            ),
            (
                rules(|r| r.min_replicas = 3),
                inputs(None, 1),
                3,
                "AtMinimum",
                vec![("unknownLag", 1), ("minReplicas", 3)],
            ),
            (rules(|r| r.max_replicas = Some(4)), inputs(9000, 1), 4, "AtMaximum", vec![("maxReplicas", 4)]),
            (
                rules(|r| r.max_replicas = Some(4)),
                inputs(None, 9),
                4,
                "AtMaximum",
                vec![("unknownLag", 9), ("maxReplicas", 4)],
            ),
            (
                rules(|r| r.max_replicas = Some(40)),
                inputs(99_000, 1),
                12,
                "AtPartitions",
                vec![("maxReplicas", 40), ("partitions", 12)],
            ),
            (rules(|r| r.paused = Paused::In), inputs(1, 5), 5, "Paused", vec![("paused", 5)]),
            (rules(|r| r.paused = Paused::In), inputs(9000, 5), 9, "FollowsLag", vec![]),
            (rules(|r| r.paused = Paused::Out), inputs(9000, 5), 5, "Paused", vec![("paused", 5)]),
            (rules(|r| r.paused = Paused::Out), inputs(1, 5), 1, "FollowsLag", vec![]),
            (rules(|r| r.paused = Paused::Both), inputs(9000, 5), 5, "Paused", vec![("paused", 5)]),
            (rules(|r| r.paused = Paused::Both), inputs(9000, None), 9, "FollowsLag", vec![]),
            (rules(|r| r.suspend = true), inputs(9000, 5), 0, "Suspended", vec![("suspend", 0)]),
            (rules(|r| r.suspend = true), inputs(None, None), 0, "Suspended", vec![("suspend", 0)]),
        ];

        let answers: Vec<_> = cases.iter().map(|(rules, inputs, ..)| first(rules, *inputs)).collect();

        let expected: Vec<_> = cases
            .iter()
            .map(|(_, _, result, reason, clamps)| {
                let clamps = clamps.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
                (*result, (*reason).to_owned(), clamps)
            })
            .collect();
        assert_eq!(answers, expected);
    }

    #[test]
    fn an_unknown_number_of_partitions_limits_nothing() {
        let inputs = Inputs { lag: Some(50_000), partitions: None, replicas: Some(1) };

        assert_eq!(first(&RULES, inputs), (50, "FollowsLag".to_owned(), vec![]));
    }

    #[test]
    fn a_worker_goes_only_when_nothing_in_the_window_asked_for_it() {
        let mut window = ScaleInWindow::default();
        let mut replicas = None;
        let lags =
            [(0, 5000), (10, 9000), (20, 100), (69, 100), (70, 100), (71, 100), (131, 3000), (140, 100)];

        let counts: Vec<_> = lags
            .iter()
            .map(|(seconds, lag)| {
                let plan = plan(&RULES, inputs(*lag, replicas), &mut window, Duration::from_secs(*seconds));
                replicas = Some(plan.replicas);
                (*seconds, plan.replicas, plan.decision.reason)
            })
            .collect();

        let follows = "FollowsLag".to_owned();
        let held = "ScaleInWindow".to_owned();
        assert_eq!(
            counts,
            [
                (0, 5, follows.clone()),
                (10, 9, follows.clone()),
                (20, 9, held.clone()),
                (69, 9, held.clone()),
                (70, 9, held.clone()),
                (71, 1, follows.clone()),
                (131, 3, follows),
                (140, 3, held),
            ]
        );
    }

    #[test]
    fn an_unknown_lag_neither_adds_nor_removes_and_leaves_the_window_alone() {
        let mut window = ScaleInWindow::default();
        let _ = plan(&RULES, inputs(9000, 9), &mut window, Duration::ZERO);
        let before = window.clone();

        let held = plan(&RULES, inputs(None, 9), &mut window, Duration::from_secs(600));

        assert_eq!((held.replicas, window), (9, before));
    }

    #[test]
    fn a_planner_that_has_just_started_keeps_what_runs_for_a_window() {
        let mut window = ScaleInWindow::default();
        let at = |seconds| Duration::from_secs(seconds);

        let first = plan(&RULES, inputs(0, 7), &mut window, at(1000));
        let later = plan(&RULES, inputs(0, 7), &mut window, at(1061));

        assert_eq!((first.replicas, later.replicas), (7, 1));
    }

    #[test]
    fn a_lower_maximum_counts_at_once() {
        let mut window = ScaleInWindow::default();
        let _ = plan(&RULES, inputs(9000, 1), &mut window, Duration::ZERO);
        let rules = ScalingRules { max_replicas: Some(2), ..RULES };

        let plan = plan(&rules, inputs(9000, 9), &mut window, Duration::from_secs(1));

        assert_eq!((plan.replicas, plan.decision.reason.as_str()), (2, "AtMaximum"));
    }

    #[test]
    fn a_decision_explains_itself_in_one_sentence() {
        let cases = [
            (RULES, inputs(4500, 1), "a lag of 4500 at 1000 a worker asks for 5 workers"),
            (
                RULES,
                inputs(0, 1),
                "a lag of 0 at 1000 a worker asks for no worker; minReplicas keeps 1 worker",
            ),
            (
                RULES,
                inputs(50_000, 1),
                "a lag of 50000 at 1000 a worker asks for 50 workers; the topic's partitions keep no more than 12 workers busy",
            ),
            (RULES, inputs(None, 2), "the lag is unknown, so 2 workers stay as before"),
            (RULES, inputs(None, None), "the lag is unknown, so the pipeline starts with 1 worker"),
            (
                ScalingRules { paused: Paused::Out, ..RULES },
                inputs(4500, 2),
                "a lag of 4500 at 1000 a worker asks for 5 workers; scaling is paused (out), so 2 workers stay",
            ),
            (
                ScalingRules { suspend: true, ..RULES },
                inputs(4500, 2),
                "the pipeline is suspended, so no worker runs",
            ),
        ];

        let messages: Vec<_> = cases
            .iter()
            .map(|(rules, inputs, _)| {
                plan(rules, *inputs, &mut ScaleInWindow::default(), Duration::ZERO).decision.message
            })
            .collect();

        assert_eq!(messages, cases.map(|(_, _, message)| message));
    }
}
