//! Every rule of the decision, each on a topic that is only counted with.

mod keda_cases;
mod limits;
mod load;
mod mistakes;
mod properties;

use std::time::Duration;

use super::*;

const RULES: ScalingRules = ScalingRules {
    replicas: None,
    min_replicas: 1,
    max_replicas: None,
    lag_threshold: 1000,
    max_lag: Duration::from_secs(10),
    catch_up: Duration::from_secs(60),
    target_utilization: 0.8,
    paused: plaudit_crds::Paused::None,
    scale_in_window: Duration::from_secs(60),
    idle: Duration::from_secs(300),
    unknown_lag_replicas: None,
    suspend: false,
};

fn rules(change: impl FnOnce(&mut ScalingRules)) -> ScalingRules {
    let mut rules = RULES;
    change(&mut rules);
    rules
}

/// A topic and its workers, second by second, with a scaler that looks every two seconds. What it decides is taken at once.
struct World {
    rules: ScalingRules,
    scaler: Scaler,
    now: u64,
    log_ends: Vec<i64>,
    committed: Vec<i64>,
    replicas: Option<u32>,
    /// Workers that are ready; `None`: all that are wanted.
    ready: Option<u32>,
    moving: bool,
    store_waiting: bool,
    last: Option<Decision>,
}

impl World {
    fn new(rules: ScalingRules, partitions: usize, replicas: impl Into<Option<u32>>) -> Self {
        Self {
            rules,
            scaler: Scaler::new(None),
            now: 0,
            log_ends: vec![1_000_000; partitions],
            committed: vec![1_000_000; partitions],
            replicas: replicas.into(),
            ready: None,
            moving: false,
            store_waiting: false,
            last: None,
        }
    }

    fn learnt(mut self, worker_capacity: u64) -> Self {
        self.scaler = Scaler::new(Some(Learnt { worker_capacity }));
        self
    }

    fn lag(mut self, lags: &[i64]) -> Self {
        for (committed, (log_end, lag)) in self.committed.iter_mut().zip(self.log_ends.iter().zip(lags)) {
            *committed = log_end - lag;
        }
        self
    }

    fn sample(&self) -> Sample {
        let ready = self.ready.or(self.replicas).unwrap_or(0);
        let offsets = self.log_ends.iter().zip(&self.committed).zip(0_u64..);
        let partition = |((log_end, committed), index): ((&i64, &i64), u64)| PartitionSample {
            partition: i32::try_from(index).expect("a few"),
            lag: Some((log_end - committed).max(0).unsigned_abs()),
            log_end: Some(*log_end),
            committed: Some(*committed),
            owner: (ready > 0).then(|| index % u64::from(ready)),
        };
        Sample {
            partitions: Some(offsets.map(partition).collect()),
            replicas: self.replicas,
            ready: Some(ready),
            moving: self.moving,
            store_waiting: self.store_waiting,
        }
    }

    fn look(&mut self) -> Decision {
        let sample = self.sample();
        self.look_at(&sample)
    }

    fn look_at(&mut self, sample: &Sample) -> Decision {
        let decision = self.scaler.decide(&self.rules, sample, Duration::from_secs(self.now));
        self.replicas = Some(decision.replicas);
        self.last = Some(decision.clone());
        decision
    }

    /// Lets time pass: `arrive` records a second for each partition, of which `take` are taken where there are so many.
    fn run(&mut self, seconds: u64, arrive: &[i64], take: &[i64]) -> Vec<(u64, u32, String)> {
        let mut decisions: Vec<(u64, u32, String)> = Vec::new();
        for _ in 0..seconds / 2 {
            self.now += 2;
            for index in 0..self.log_ends.len() {
                self.log_ends[index] += 2 * arrive[index];
                self.committed[index] = (self.committed[index] + 2 * take[index]).min(self.log_ends[index]);
            }
            let decision = self.look();
            let news = (decision.replicas, decision.record.reason.clone());
            if decisions.last().is_none_or(|(_, replicas, reason)| (*replicas, reason.clone()) != news) {
                decisions.push((self.now, news.0, news.1));
            }
        }
        decisions
    }

    fn reason(&self) -> &str {
        self.last.as_ref().map_or("", |decision| &decision.record.reason)
    }
}

/// Result, reason and clamps.
fn short(decision: &Decision) -> (u32, &str, Vec<(&str, i32)>) {
    let clamps = decision.record.clamps.iter().map(|clamp| (clamp.name.as_str(), clamp.value)).collect();
    (decision.replicas, &decision.record.reason, clamps)
}
