//! The worker's metrics, named as OpenMetrics wants them. docs/metrics.md lists them; a test holds the two together.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::exposition::{self, Builder};
use crate::lane::{LaneState, StopReason};
use crate::report::Reason;

/// Why a compare-and-set refused a player write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// An earlier owner of the partition wrote it.
    Predecessor,
    /// The owner of another partition wrote it.
    Partition,
    /// Somebody else wrote it.
    Other,
    /// Chunks of the player were missing.
    ChunksMissing,
}

impl ConflictKind {
    pub const ALL: [Self; 4] = [Self::Predecessor, Self::Partition, Self::Other, Self::ChunksMissing];

    /// The value of the label `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Predecessor => "predecessor",
            Self::Partition => "partition",
            Self::Other => "other",
            Self::ChunksMissing => "chunks_missing",
        }
    }
}

/// Every metric of a worker, in its own registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub registry: Registry,
    pub records: IntCounter,
    pub reports: IntCounter,
    pub items: IntCounter,
    pub batches: IntCounter,
    pub batch_records: Histogram,
    pub stage: HistogramVec,
    pub players_written: IntCounter,
    pub players_unchanged: IntCounter,
    pub conflicts: IntCounterVec,
    pub fence_mismatches: IntCounter,
    pub cache_hits: IntCounter,
    pub cache_misses: IntCounter,
    pub presumed_new: IntCounter,
    pub presumed_new_refused: IntCounter,
    pub cache_bytes: IntGauge,
    pub store_errors: IntCounterVec,
    pub dead_letters: IntCounterVec,
    pub unlocks: IntCounter,
    pub lost_records: IntCounter,
    pub misrouted: IntCounter,
    pub lag: IntGaugeVec,
    pub lanes: IntGaugeVec,
    pub blocked: IntGaugeVec,
    pub commits: IntCounterVec,
    pub rebalances: IntCounterVec,
    pub rebalance_pause: Histogram,
    pub tasks: IntGauge,
    pub resident: IntGauge,
    pub allocated: IntGauge,
}

/// Upper bounds in seconds, from a cached batch of one to a store that hangs.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
const RECORDS: [f64; 8] = [1.0, 5.0, 20.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0];

impl Metrics {
    /// # Errors
    /// Only if two metrics had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let new = Builder::new("plaudit");
        let metrics = Self {
            records: new
                .counter("records_total", "Kafka records taken from the queue, bad ones included.")?,
            reports: new.counter("reports_total", "Reports decoded and accepted.")?,
            items: new.counter("items_total", "Items in accepted reports.")?,
            batches: new.counter("batches_total", "Batches stored.")?,
            batch_records: new.histogram("batch_records", "Records in a batch.", &RECORDS)?,
            stage: new.histograms(
                "batch_stage_seconds",
                "Duration of a batch by stage.",
                &["stage"],
                &SECONDS,
            )?,
            players_written: new.counter("players_written_total", "Player records written.")?,
            players_unchanged: new
                .counter("players_unchanged_total", "Player records that a batch left as they were.")?,
            conflicts: new.counters(
                "conflicts_total",
                "Player writes refused by compare-and-set, by kind.",
                &["kind"],
            )?,
            fence_mismatches: new
                .counter("fence_mismatches_total", "Fences found in other hands; the lane started again.")?,
            cache_hits: new.counter("cache_hits_total", "Player records found in a lane's cache.")?,
            cache_misses: new.counter("cache_misses_total", "Player records read from the store.")?,
            presumed_new: new.counter(
                "presumed_new_total",
                "Player records written without a read before, because players were new in a row.",
            )?,
            presumed_new_refused: new
                .counter("presumed_new_refused_total", "Of those, refused because there was a record.")?,
            cache_bytes: new.gauge("cache_bytes", "Bytes in the caches of all lanes, estimated.")?,
            store_errors: new.counters(
                "store_errors_total",
                "Store calls that failed, by kind.",
                &["kind"],
            )?,
            dead_letters: new.counters("dead_letters_total", "Dead letters sent, by reason.", &["reason"])?,
            unlocks: new.counter("unlocks_total", "Unlocks announced, repeated ones included.")?,
            lost_records: new.counter(
                "lost_records_total",
                "Records that were due and gone from the log when a lane started, and were skipped.",
            )?,
            misrouted: new
                .counter("misrouted_total", "Reports whose Kafka key is missing or not the UIN.")?,
            lag: new.gauges("lag_records", "Records behind the log end, by partition.", &["partition"])?,
            lanes: new.gauges("lanes", "Lanes of this worker, by state.", &["state"])?,
            blocked: new.gauges(
                "lane_blocked",
                "1 while a lane starts, waits or has stopped, by partition and reason; absent while it runs.",
                &["partition", "state", "reason"],
            )?,
            commits: new.counters("commits_total", "Offset commits, by result.", &["result"])?,
            rebalances: new.counters(
                "rebalances_total",
                "Partitions assigned, revoked and lost.",
                &["event"],
            )?,
            rebalance_pause: new.histogram(
                "rebalance_pause_seconds",
                "From assignment to reading, by partition.",
                &SECONDS,
            )?,
            tasks: new.gauge("tasks", "Tasks alive in the async runtime.")?,
            resident: new.gauge("resident_memory_bytes", "Resident memory of the process.")?,
            allocated: new.gauge("allocated_memory_bytes", "Bytes handed out by the allocator.")?,
            registry: new.registry,
        };
        metrics.create_known_labels();
        Ok(metrics)
    }

    /// The registry in the text format.
    pub fn text(&self) -> String {
        exposition::text(&self.registry)
    }

    /// Conflicts of every kind.
    pub fn conflicts_total(&self) -> u64 {
        ConflictKind::ALL.iter().map(|kind| self.conflicts.with_label_values(&[kind.as_str()]).get()).sum()
    }

    /// What lanes are doing: partition, state and, where there is one, the reason.
    pub fn lanes_are(&self, lanes: &[(i32, LaneState, Option<StopReason>)]) {
        for state in LaneState::ALL {
            let count = lanes.iter().filter(|(_, found, _)| *found == state).count();
            self.lanes.with_label_values(&[state.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        // What a lane was held up by is no series any more.
        self.blocked.reset();
        for (partition, state, reason) in lanes {
            if let LaneState::Starting | LaneState::Waiting | LaneState::Stopped = state {
                let reason = reason.map_or("", StopReason::as_str);
                self.blocked.with_label_values(&[&partition.to_string(), state.as_str(), reason]).set(1);
            }
        }
    }

    /// A counter that has not counted yet is 0, not absent: alerts on its rate see the first event.
    fn create_known_labels(&self) {
        for reason in Reason::ALL {
            self.dead_letters.with_label_values(&[reason.as_str()]);
        }
        for kind in ConflictKind::ALL {
            self.conflicts.with_label_values(&[kind.as_str()]);
        }
        for kind in ["connect", "timeout", "io", "command", "answer"] {
            self.store_errors.with_label_values(&[kind]);
        }
        for result in ["ok", "error"] {
            self.commits.with_label_values(&[result]);
        }
        for event in ["assign", "revoke", "lost"] {
            self.rebalances.with_label_values(&[event]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics_with_every_label() -> Metrics {
        let metrics = Metrics::new().unwrap();
        metrics.lag.with_label_values(&["0"]).set(1);
        metrics.stage.with_label_values(&["load"]).observe(0.1);
        metrics.lanes_are(&[(0, LaneState::Starting, None)]);
        metrics
    }

    /// UPDATE_GENERATED=1 (`make generate`) writes the file instead.
    #[test]
    fn the_documented_metrics_are_the_exported_ones() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let text = std::fs::read_to_string(path).unwrap();
        let table = exposition::table(&metrics_with_every_label().registry);
        let generated = exposition::with_table(&text, "## Worker", &table).unwrap();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, &generated).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), generated, "run `make generate`");
    }

    #[test]
    fn counters_end_in_total_and_every_metric_says_what_it_is() {
        assert_eq!(exposition::unconventional(&metrics_with_every_label().registry, "plaudit_"), None);
    }

    #[test]
    fn a_lane_that_is_held_up_is_seen_until_it_runs() {
        let metrics = Metrics::new().unwrap();
        let series = || {
            let text = metrics.text();
            let lines = text.lines().filter(|line| line.starts_with("plaudit_lane") && !line.ends_with(" 0"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        metrics.lanes_are(&[
            (0, LaneState::Running, None),
            (7, LaneState::Stopped, Some(StopReason::StoreLost)),
        ]);
        let held = series();
        metrics.lanes_are(&[(0, LaneState::Running, None), (7, LaneState::Running, None)]);

        let runs = series();

        let blocked = "plaudit_lane_blocked{partition=\"7\",reason=\"StoreLost\",state=\"stopped\"} 1";
        let lanes = |state: &str, count: u32| format!("plaudit_lanes{{state=\"{state}\"}} {count}");
        assert_eq!(held, [blocked.to_owned(), lanes("running", 1), lanes("stopped", 1)]);
        assert_eq!(runs, [lanes("running", 2)]);
    }
}
