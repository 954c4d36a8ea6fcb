//! What a simulation cost: decisions, pod-hours, lag in seconds.

use plaudit_crds::LastDecision;
use serde::Serialize;

use super::fleet::Fleet;
use super::policy::Choice;

/// Everything a run was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Every decision, in order.
    pub decisions: Vec<Change>,
    pods: Vec<u32>,
    lag_seconds: Vec<f64>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Since the beginning.
    pub second: u64,
    /// Workers before; `None` at the beginning.
    pub from: Option<u32>,
    /// Workers after.
    pub to: u32,
    /// The whole decision, where it is Plaudit's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<LastDecision>,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Length of the trace.
    pub seconds: u64,
    /// Changes of the number of workers; the first number is none.
    pub scale_events: u32,
    /// Workers times hours, those that start included.
    pub pod_hours: f64,
    /// Workers on average.
    pub mean_pods: f64,
    /// Workers at most.
    pub most_pods: u32,
    /// Age of the oldest record that waits, at the end of each second.
    pub lag_seconds: LagSeconds,
}

/// Quantiles of an age in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LagSeconds {
    /// Half of the time it is at most this.
    pub p50: f64,
    /// 95 % of the time.
    pub p95: f64,
    /// 99 % of the time.
    pub p99: f64,
    /// Always.
    pub max: f64,
}

impl Outcome {
    pub(super) fn second(&mut self, fleet: &Fleet) {
        self.pods.push(fleet.replicas());
        self.lag_seconds.push(fleet.lag_seconds());
    }

    pub(super) fn choice(&mut self, second: u64, from: Option<u32>, choice: &Choice) {
        let Choice { replicas, record } = choice.clone();
        self.decisions.push(Change { second, from, to: replicas, decision: record });
    }

    /// The decisions that say something new: another number, or another reason.
    pub fn news(&self) -> impl Iterator<Item = &Change> {
        let reason = |change: &Change| change.decision.as_ref().map(|decision| decision.reason.clone());
        let before = std::iter::once(None).chain(self.decisions.iter().map(Some));
        self.decisions.iter().zip(before).filter_map(move |(change, before)| {
            let same =
                before.is_some_and(|before| before.to == change.to && reason(before) == reason(change));
            (!same).then_some(change)
        })
    }

    /// The changes of the number, without the first.
    pub fn scale_events(&self) -> impl Iterator<Item = &Change> {
        self.decisions.iter().filter(|change| change.from.is_some_and(|from| from != change.to))
    }

    /// Age of the oldest record that waits at the end of each second.
    #[must_use]
    pub fn lag_seconds(&self) -> &[f64] {
        &self.lag_seconds
    }

    /// Workers in each second.
    #[must_use]
    pub fn pods(&self) -> &[u32] {
        &self.pods
    }

    /// The figures.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds of at most a week")]
    pub fn summary(&self) -> Summary {
        let mut lags = self.lag_seconds.clone();
        lags.sort_by(f64::total_cmp);
        let pod_seconds = self.pods.iter().map(|pods| f64::from(*pods)).sum::<f64>();
        Summary {
            seconds: self.pods.len() as u64,
            scale_events: u32::try_from(self.scale_events().count()).unwrap_or(u32::MAX),
            pod_hours: pod_seconds / 3600.0,
            mean_pods: pod_seconds / (self.pods.len().max(1) as f64),
            most_pods: self.pods.iter().copied().max().unwrap_or(0),
            lag_seconds: LagSeconds {
                p50: quantile(&lags, 50),
                p95: quantile(&lags, 95),
                p99: quantile(&lags, 99),
                max: quantile(&lags, 100),
            },
        }
    }
}

/// The least value that so many percent of them do not exceed.
fn quantile(ascending: &[f64], percent: usize) -> f64 {
    let rank = (ascending.len() * percent).div_ceil(100);
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}
