//! A snapshot as text for people: a screen that is drawn again and again, or one line. Pure, and never wider than 100 columns.

use std::fmt::Write as _;

use crate::snapshot::{PartitionView, Snapshot};
use crate::table::{Align, columns, cut, wrapped};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

const WIDTH: usize = 100;
/// More partitions than this are shown side by side, without offsets.
const ROWS_IN_FULL: usize = 16;
const ROWS_SIDE_BY_SIDE: usize = 24;
const BLOCKS: usize = 3;

/// The whole screen: the pipeline as `kubectl get achp` would print it, the last decision, workers, partitions, and `extra_lines`.
#[must_use]
pub fn render(snapshot: &Snapshot, extra_lines: &[String]) -> String {
    let mut text = header(snapshot);
    text.push('\n');
    text.push_str(&facts(snapshot));
    text.push('\n');
    text.push_str(&workers(snapshot));
    if !snapshot.partitions.is_empty() {
        text.push('\n');
        text.push_str(&partitions(snapshot));
    }
    if !extra_lines.is_empty() {
        text.push('\n');
        for line in extra_lines {
            let _ = writeln!(text, "{}", cut(line, WIDTH));
        }
    }
    text
}

/// One line for logs and pipes.
#[must_use]
pub fn line(snapshot: &Snapshot) -> String {
    let ready = snapshot.workers.iter().filter(|worker| worker.ready).count();
    let text = format!(
        "{:>6}  workers {ready}/{}  lag {}  {}  conflicts {}  {}",
        duration(snapshot.age_seconds),
        snapshot.decision.result,
        lag(total_lag(snapshot)),
        rate(snapshot.rate),
        grouped(snapshot.conflicts),
        headline(snapshot),
    );
    cut(&text, WIDTH)
}

/// What matters most: the end, then what is wrong, then the last decision.
fn headline(snapshot: &Snapshot) -> String {
    let draining = snapshot.workers.iter().filter(|worker| worker.state == "draining").count();
    if draining > 0 && draining == snapshot.workers.len() {
        return "draining".to_owned();
    }
    let decision = &snapshot.decision;
    match condition(snapshot, "Ready").filter(|ready| ready.status != "True") {
        Some(ready) => format!("not ready: {}: {}", ready.reason, ready.message),
        None => match decision.formula.filter(|asked| *asked != decision.result) {
            Some(asked) => format!("ready  {}, {asked} asked for", decision.reason),
            None => format!("ready  {}", decision.reason),
        },
    }
}

/// The columns that `kubectl get achp` has, in the order of the CRD.
fn header(snapshot: &Snapshot) -> String {
    let pipeline = &snapshot.pipeline;
    let status = pipeline.status.clone().unwrap_or_default();
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let ready = condition(snapshot, "Ready").cloned();
    let mut rows = vec![
        ["NAME", "READY", "REASON", "TOPIC", "PARTITIONS", "DESIRED", "WORKERS", "LAG", "AGE"]
            .map(str::to_owned)
            .to_vec(),
        vec![
            pipeline.metadata.name.clone().unwrap_or_default(),
            ready.as_ref().map(|ready| ready.status.clone()).unwrap_or_default(),
            ready.map(|ready| ready.reason).unwrap_or_default(),
            pipeline.spec.source.topic.clone(),
            number(status.partitions.map(i64::from)),
            number(status.replicas.map(i64::from)),
            number(status.ready_replicas.map(i64::from)),
            number(status.lag),
            duration(snapshot.age_seconds),
        ],
    ];
    // kubectl separates by three spaces and knows no limit; here two must do before a name is cut.
    let width = |rows: &[Vec<String>], gap| {
        columns(rows, &[], gap).lines().map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let gap = if width(&rows, 3) <= WIDTH { 3 } else { 2 };
    for column in [3, 0] {
        let over = width(&rows, gap).saturating_sub(WIDTH);
        let length = rows[1][column].chars().count();
        if over > 0 {
            rows[1][column] = cut(&rows[1][column], length.saturating_sub(over).max(10));
        }
    }
    columns(&rows, &[], gap)
}

/// Its condition, the last decision, and what the workers do now.
#[must_use]
pub fn facts(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut fact = |name: &str, value: &str| text.push_str(&wrapped(&format!("{name:<10}"), value, WIDTH));
    if let Some(ready) = condition(snapshot, "Ready") {
        fact("Status", &format!("{}: {}", ready.reason, ready.message));
    }
    let decision = &snapshot.decision;
    let workers = if decision.result == 1 { "worker" } else { "workers" };
    fact("Decision", &format!("{} {workers}, {}: {}", decision.result, decision.reason, decision.message));
    fact(
        "Now",
        &format!(
            "{}   lag {}   conflicts {}   CPU {:.1} s   memory {} (peak {})",
            rate(snapshot.rate),
            lag(total_lag(snapshot)),
            grouped(snapshot.conflicts),
            snapshot.cpu_seconds,
            bytes(snapshot.resident_bytes),
            bytes(snapshot.peak_resident_bytes),
        ),
    );
    text
}

fn workers(snapshot: &Snapshot) -> String {
    let mut rows = vec![["WORKER", "STATE", "PID", "RESTARTS", "PARTITIONS"].map(str::to_owned).to_vec()];
    for worker in &snapshot.workers {
        let owned =
            snapshot.partitions.iter().filter(|partition| partition.owner.as_ref() == Some(&worker.name));
        let owned: Vec<String> = owned.map(|partition| partition.partition.to_string()).collect();
        rows.push(vec![
            worker.name.clone(),
            worker.state.clone(),
            worker.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            worker.restarts.to_string(),
            cut(&owned.join(" "), 50),
        ]);
    }
    columns(&rows, &[], 3)
}

fn partitions(snapshot: &Snapshot) -> String {
    if snapshot.partitions.len() <= ROWS_IN_FULL {
        return partitions_in_full(&snapshot.partitions);
    }
    let room = ROWS_SIDE_BY_SIDE * BLOCKS;
    let mut shown: Vec<&PartitionView> = snapshot.partitions.iter().collect();
    if shown.len() > room {
        // Those that need a look: unknown first, then the greatest lag.
        shown.sort_by_key(|partition| std::cmp::Reverse(partition.lag.unwrap_or(u64::MAX)));
        shown.truncate(room);
        shown.sort_by_key(|partition| partition.partition);
    }
    let height = shown.len().div_ceil(BLOCKS);
    let blocks: Vec<Vec<String>> = shown
        .chunks(height)
        .map(|block| {
            let mut rows = vec![["PARTITION", "OWNER", "LAG"].map(str::to_owned).to_vec()];
            rows.extend(block.iter().map(|partition| {
                vec![partition.partition.to_string(), owner(partition), lag(partition.lag)]
            }));
            columns(&rows, &[Align::Right, Align::Left, Align::Right], 2).lines().map(str::to_owned).collect()
        })
        .collect();
    let mut text = String::new();
    for row in 0..=height {
        let cells = blocks.iter().map(|block| format!("{:<32}", block.get(row).map_or("", String::as_str)));
        let _ = writeln!(text, "{}", cut(cells.collect::<String>().trim_end(), WIDTH));
    }
    let hidden = snapshot.partitions.len() - shown.len();
    if hidden > 0 {
        let _ = writeln!(text, "… and {hidden} more with less lag");
    }
    text
}

fn partitions_in_full(partitions: &[PartitionView]) -> String {
    let mut rows =
        vec![["PARTITION", "OWNER", "STATE", "LAG", "COMMITTED", "LOG END"].map(str::to_owned).to_vec()];
    let offset = |offset: Option<i64>| offset.map_or("-".to_owned(), |offset| grouped(offset.unsigned_abs()));
    rows.extend(partitions.iter().map(|partition| {
        vec![
            partition.partition.to_string(),
            owner(partition),
            partition.state.clone().unwrap_or_else(|| "-".to_owned()),
            lag(partition.lag),
            offset(partition.committed),
            offset(partition.log_end),
        ]
    }));
    let right = Align::Right;
    columns(&rows, &[right, Align::Left, Align::Left, right, right, right], 3)
}

fn owner(partition: &PartitionView) -> String {
    partition.owner.clone().unwrap_or_else(|| "-".to_owned())
}

fn condition<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Condition> {
    snapshot.pipeline.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == name)
}

fn total_lag(snapshot: &Snapshot) -> Option<u64> {
    if snapshot.partitions.is_empty() {
        return None;
    }
    snapshot.partitions.iter().try_fold(0_u64, |sum, partition| Some(sum.saturating_add(partition.lag?)))
}

fn lag(lag: Option<u64>) -> String {
    lag.map_or_else(|| "unknown".to_owned(), grouped)
}

fn rate(rate: Option<f64>) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive and shown without a fraction"
    )]
    let whole = |rate: f64| grouped(rate.round() as u64);
    rate.map_or_else(|| "rate unknown".to_owned(), |rate| format!("{} reports/s", whole(rate)))
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

/// As kubectl writes an age.
fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, 0..=1) => format!("{seconds}s"),
        (0, 0, minutes @ 2..=9) if !seconds.is_multiple_of(60) => format!("{minutes}m{}s", seconds % 60),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours @ 1..=7, minutes) if !minutes.is_multiple_of(60) => format!("{hours}h{}m", minutes % 60),
        (0, hours, _) => format!("{hours}h"),
        (days, _, _) => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests;
