//! A fleet of workers that is only counted with: partitions evenly on the workers that are ready, a delay until a new one is, a pause for
//! everybody when partitions move, and a worker's capacity shared by its partitions.

use std::collections::VecDeque;

use crate::scaling::{PartitionSample, Sample};

/// What a fleet is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Records a second that one worker takes.
    pub worker_capacity: f64,
    /// Seconds until a new worker is ready.
    pub start_up_seconds: f64,
    /// Seconds in which nobody takes anything, whenever workers come or go.
    pub rebalance_pause_seconds: f64,
    /// Records a second that the store takes from all workers together; `None`: whatever comes.
    pub store_capacity: Option<f64>,
}

/// The fleet at the end of a second.
#[derive(Clone, Debug)]
pub struct Fleet {
    settings: Settings,
    now: f64,
    workers: Vec<Worker>,
    logs: Vec<Log>,
    /// Until when nobody takes anything.
    paused_until: f64,
    /// Factor on the capacity in the last second.
    factor: f64,
    next_id: u64,
}

#[derive(Clone, Copy, Debug)]
struct Worker {
    id: u64,
    ready_at: f64,
    /// It was in the group when partitions moved last.
    member: bool,
    /// Part of the last second in which it worked.
    busy: f64,
}

/// One partition.
#[derive(Clone, Debug, Default)]
struct Log {
    produced: f64,
    consumed: f64,
    reachable: bool,
    /// Seconds whose records are not all consumed.
    open: VecDeque<Open>,
}

/// A second whose records are not all consumed.
#[derive(Clone, Copy, Debug)]
struct Open {
    second: f64,
    records: f64,
    /// All records until its end.
    until: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            worker_capacity: 1000.0,
            start_up_seconds: 8.0,
            rebalance_pause_seconds: 1.0,
            store_capacity: None,
        }
    }
}

impl Fleet {
    /// A fleet without workers.
    #[must_use]
    pub fn new(partitions: usize, settings: Settings) -> Self {
        let log = Log { reachable: true, ..Log::default() };
        Self {
            settings,
            now: 0.0,
            workers: Vec::new(),
            logs: vec![log; partitions],
            paused_until: 0.0,
            factor: 1.0,
            next_id: 0,
        }
    }

    /// Starts or stops workers. `at_once`: new ones are ready, as those that have been running for a while.
    pub fn resize(&mut self, replicas: u32, at_once: bool) {
        let replicas = replicas as usize;
        while self.workers.len() > replicas {
            // Workers that only start go first: they own nothing.
            let starting = self.workers.iter().rposition(|worker| !worker.member);
            let gone = self.workers.remove(starting.unwrap_or(self.workers.len() - 1));
            if gone.member {
                self.pause(self.now);
            }
        }
        while self.workers.len() < replicas {
            let ready_at = if at_once { self.now } else { self.now + self.settings.start_up_seconds };
            self.workers.push(Worker { id: self.next_id, ready_at, member: at_once, busy: 0.0 });
            self.next_id += 1;
        }
    }

    /// One second: records are produced, and consumed as far as capacity goes.
    pub fn step(&mut self, produced: &[Option<f64>], factor: f64) {
        let (begin, end) = (self.now, self.now + 1.0);
        self.factor = factor;
        for (log, produced) in self.logs.iter_mut().zip(produced) {
            log.produce(begin, *produced);
        }
        let joined: Vec<f64> = self
            .workers
            .iter()
            .filter(|worker| !worker.member && worker.ready_at < end)
            .map(|worker| worker.ready_at)
            .collect();
        if let Some(last) = joined.into_iter().reduce(f64::max) {
            self.pause(last.max(begin));
            self.workers
                .iter_mut()
                .filter(|worker| worker.ready_at < end)
                .for_each(|worker| worker.member = true);
        }
        let active = 1.0 - (self.paused_until.clamp(begin, end) - begin);
        self.consume(active * factor);
        self.now = end;
    }

    fn pause(&mut self, from: f64) {
        self.paused_until = self.paused_until.max(from + self.settings.rebalance_pause_seconds);
    }

    /// `share`: the part of everybody's capacity that there is.
    fn consume(&mut self, share: f64) {
        let members = self.workers.iter().filter(|worker| worker.member).count();
        if members == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of workers")]
        let from_store = self.settings.store_capacity.map_or(f64::INFINITY, |store| store / members as f64);
        let capacity = self.settings.worker_capacity.min(from_store) * share;
        for (index, worker) in self.workers.iter_mut().filter(|worker| worker.member).enumerate() {
            let mut owned: Vec<&mut Log> = self.logs.iter_mut().skip(index).step_by(members).collect();
            let taken = take_fairly(&mut owned, capacity);
            worker.busy = if capacity > 0.0 { taken / capacity } else { 1.0 };
        }
    }

    /// Seconds since the beginning.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.now
    }

    /// Workers that run or start.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        u32::try_from(self.workers.len()).unwrap_or(u32::MAX)
    }

    /// Workers that take part in the group.
    #[must_use]
    pub fn ready(&self) -> u32 {
        u32::try_from(self.workers.iter().filter(|worker| worker.member).count()).unwrap_or(u32::MAX)
    }

    /// Records of each partition that wait; `None`: it cannot be reached.
    #[must_use]
    pub fn lags(&self) -> Vec<Option<f64>> {
        self.logs.iter().map(|log| log.reachable.then(|| log.lag())).collect()
    }

    /// Records ever produced to each partition.
    #[must_use]
    pub fn produced(&self) -> Vec<f64> {
        self.logs.iter().map(|log| log.produced).collect()
    }

    /// Records ever consumed of each partition.
    #[must_use]
    pub fn consumed(&self) -> Vec<f64> {
        self.logs.iter().map(|log| log.consumed).collect()
    }

    /// The busiest worker's part of the last second in which it worked.
    #[must_use]
    pub fn busiest(&self) -> f64 {
        self.workers.iter().filter(|worker| worker.member).map(|worker| worker.busy).fold(0.0, f64::max)
    }

    /// Age of the oldest record that waits, in seconds.
    #[must_use]
    pub fn lag_seconds(&self) -> f64 {
        self.logs.iter().map(|log| log.lag_seconds(self.now)).fold(0.0, f64::max)
    }

    /// What a lag monitor and the workers would say. `replicas`: what was decided last.
    #[must_use]
    pub fn sample(&self, replicas: Option<u32>) -> Sample {
        let members: Vec<u64> =
            self.workers.iter().filter(|worker| worker.member).map(|worker| worker.id).collect();
        let partition = |(index, log): (usize, &Log)| {
            let (log_end, committed) = log.offsets();
            PartitionSample {
                partition: i32::try_from(index).unwrap_or(i32::MAX),
                lag: log.reachable.then_some((log_end - committed).unsigned_abs()),
                log_end: log.reachable.then_some(log_end),
                committed: log.reachable.then_some(committed),
                owner: (!members.is_empty()).then(|| members[index % members.len()]),
            }
        };
        Sample {
            partitions: Some(self.logs.iter().enumerate().map(partition).collect()),
            replicas,
            ready: Some(self.ready()),
            moving: self.paused_until > self.now,
            store_waiting: self.factor <= 0.0,
        }
    }
}

impl Log {
    fn produce(&mut self, second: f64, records: Option<f64>) {
        self.reachable = records.is_some();
        if let Some(records) = records.filter(|records| *records > 0.0) {
            self.produced += records;
            self.open.push_back(Open { second, records, until: self.produced });
        }
    }

    fn lag(&self) -> f64 {
        self.produced - self.consumed
    }

    fn take(&mut self, records: f64) {
        // Sums of fractions: what is almost nothing is nothing.
        const NOTHING: f64 = 1e-6;
        self.consumed += records;
        if self.lag() < NOTHING {
            self.consumed = self.produced;
        }
        while self.open.front().is_some_and(|open| open.until <= self.consumed) {
            self.open.pop_front();
        }
    }

    /// Records of a second are produced evenly in it.
    fn lag_seconds(&self, now: f64) -> f64 {
        let Some(open) = self.open.front() else { return 0.0 };
        let left = ((open.until - self.consumed) / open.records).clamp(0.0, 1.0);
        now - open.second - (1.0 - left)
    }

    #[expect(clippy::cast_possible_truncation, reason = "an offset")]
    fn offsets(&self) -> (i64, i64) {
        (self.produced.floor() as i64, self.consumed.floor() as i64)
    }
}

/// Equal shares for all; what one does not need goes to the others. Gives what was taken.
fn take_fairly(logs: &mut [&mut Log], capacity: f64) -> f64 {
    let mut order: Vec<usize> = (0..logs.len()).filter(|&index| logs[index].reachable).collect();
    order.sort_by(|&one, &other| logs[one].lag().total_cmp(&logs[other].lag()));
    let (mut left, mut taken) = (capacity, 0.0);
    for (done, &index) in order.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a number of partitions")]
        let share = left / (order.len() - done) as f64;
        let records = logs[index].lag().min(share);
        logs[index].take(records);
        left -= records;
        taken += records;
    }
    taken
}
