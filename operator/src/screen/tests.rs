//! What people see, in whole screens.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::observe::{Committed, Lane, LanesReport, Observed, PartitionOffsets, SourceState, WorkerState};
use crate::pipeline::{parse, tests::object};
use crate::scaling::{Sample, Scaler};
use crate::snapshot::{WorkerView, partitions};

/// `count` partitions with a lag of 3000 each, owned by two workers, one of which drains.
fn snapshot(count: i32, spec: &str) -> Snapshot {
    let mut object = object(spec);
    let pipeline = parse(&object).expect("a pipeline");
    let offsets = (0..count).map(|partition| PartitionOffsets {
        partition,
        committed: Committed::Offset(1_234_567),
        log_start: Some(0),
        log_end: Some(1_237_567),
        ..PartitionOffsets::default()
    });
    let worker = |parity: i32| WorkerState {
        ready: parity == 0,
        trouble: None,
        report: Some(LanesReport {
            lanes: (0..count)
                .filter(|partition| partition % 2 == parity)
                .map(|partition| Lane { partition, state: "running".to_owned(), ..Lane::default() })
                .collect(),
            ..LanesReport::default()
        }),
    };
    let observed = Observed {
        source: SourceState::Found(offsets.collect::<Vec<_>>().into()),
        workers: [("w-0".to_owned(), worker(0)), ("w-1".to_owned(), worker(1))].into(),
        ..Observed::default()
    };
    let sample = Sample { ready: None, ..Sample::of(&observed, true, Some(1)) };
    let plan = Scaler::new(None).decide(&pipeline.scaling, &sample, Duration::ZERO);
    object.status = Some(crate::status::status(&pipeline, &observed, &plan, None, Timestamp::UNIX_EPOCH));
    let view = |name: &str, pid, restarts, state: &str| WorkerView {
        name: name.to_owned(),
        pid: Some(pid),
        ready: state == "running",
        restarts,
        address: None,
        state: state.to_owned(),
    };
    Snapshot {
        pipeline: object,
        decision: plan.record,
        age_seconds: 125,
        workers: vec![view("w-0", 4711, 1, "running"), view("w-1", 4712, 0, "draining")],
        partitions: partitions(&observed, true),
        rate: Some(52_310.4),
        conflicts: 0,
        cpu_seconds: 12.34,
        resident_bytes: 38 << 20,
        peak_resident_bytes: (41 << 20) - 5,
    }
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn a_screen_shows_status_decision_workers_and_partitions() {
    let text = render(&snapshot(4, ""), &["Loading: 10 s left".to_owned()]);

    assert_eq!(
        text,
        "\
NAME   READY   REASON      TOPIC     PARTITIONS   DESIRED   WORKERS   LAG     AGE
p      True    Available   reports   4            2         1         12000   2m5s

Status    Available: reports are read, merged and stored
Decision  2 workers, FollowsLag: a lag of 12000 at 10000 a worker asks for 2 workers
Now       52,310 reports/s   lag 12,000   conflicts 0   CPU 12.3 s   memory 38 MiB (peak 41 MiB)

WORKER   STATE      PID    RESTARTS   PARTITIONS
w-0      running    4711   1          0 2
w-1      draining   4712   0          1 3

PARTITION   OWNER   STATE       LAG   COMMITTED     LOG END
        0   w-0     running   3,000   1,234,567   1,237,567
        1   w-1     running   3,000   1,234,567   1,237,567
        2   w-0     running   3,000   1,234,567   1,237,567
        3   w-1     running   3,000   1,234,567   1,237,567

Loading: 10 s left
"
    );
}

#[test]
fn a_line_says_the_same_in_short() {
    let good = snapshot(4, "");
    let mut capped = snapshot(4, "  scaling: {maxReplicas: 1}");
    capped.workers.clear();
    let suspended = snapshot(4, "  suspend: true");
    let mut draining = snapshot(4, "");
    draining.workers.remove(0);

    let lines = [&good, &capped, &suspended, &draining].map(line);

    assert_eq!(
        lines,
        [
            "  2m5s  workers 1/2  lag 12,000  52,310 reports/s  conflicts 0  ready  FollowsLag",
            "  2m5s  workers 0/1  lag 12,000  52,310 reports/s  conflicts 0  ready  AtMaximum, 2 asked for",
            "  2m5s  workers 1/0  lag 12,000  52,310 reports/s  conflicts 0  not ready: Suspended: the pipeline …",
            "  2m5s  workers 0/2  lag 12,000  52,310 reports/s  conflicts 0  draining",
        ]
    );
}

#[test]
fn what_is_unknown_is_called_so() {
    let mut snapshot = snapshot(2, "");
    snapshot.rate = None;
    snapshot.partitions[1] =
        PartitionView { partition: 1, owner: None, state: None, lag: None, committed: None, log_end: None };

    let text = render(&snapshot, &[]);

    let unknown: Vec<&str> = text.lines().filter(|line| line.contains("unknown")).collect();
    assert_eq!(
        unknown,
        [
            "Now       rate unknown   lag unknown   conflicts 0   CPU 12.3 s   memory 38 MiB (peak 41 MiB)",
            "        1   -       -         unknown           -           -",
        ]
    );
}

#[test]
fn nothing_is_wider_than_a_hundred_columns() {
    let mut long = snapshot(500, "  scaling: {minReplicas: 1000, maxReplicas: 10000, paused: both}");
    long.pipeline.metadata.name = Some("n".repeat(120));
    long.pipeline.spec.source.topic = "t".repeat(200);
    long.decision.message = "word ".repeat(60) + &"x".repeat(300);
    let texts = [render(&long, &["y".repeat(300)]), line(&long), render(&snapshot(17, ""), &[])];

    let widths = texts.each_ref().map(|text| widest(text));

    assert!(widths.iter().all(|width| *width <= 100), "{widths:?}\n{}", texts[0]);
}

#[test]
fn many_partitions_stand_side_by_side_and_the_laziest_are_left_out() {
    let mut many = snapshot(100, "");
    many.partitions[99].lag = Some(9_999_999);
    many.partitions[98].lag = None;

    let text = render(&many, &[]);

    let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("PARTITION")).collect();
    assert_eq!(
        (table.len(), table[0], table[24].trim_end(), table[25]),
        (
            26,
            "PARTITION  OWNER    LAG         PARTITION  OWNER    LAG         PARTITION  OWNER        LAG",
            "       23  w-1    3,000                47  w-1    3,000                99  w-1    9,999,999",
            "… and 28 more with less lag"
        )
    );
}

#[test]
fn ages_are_written_as_kubectl_does() {
    let ages = [0, 119, 120, 125, 599, 600, 3600, 3660, 28_800, 90_000].map(duration);

    assert_eq!(ages, ["0s", "119s", "2m", "2m5s", "9m59s", "10m", "1h", "1h1m", "8h", "1d"]);
}

#[test]
fn thousands_are_grouped() {
    assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}
