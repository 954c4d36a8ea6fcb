//! The reading half of a lane: takes what is ready from the partition queue and decodes it into a batch.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use plaudit_crds::{OnError, Unlisted};
use tokio::time::Instant;

use super::LaneContext;
use super::ports::{DeadLetter, Part, RecordView, Source, SourceError};
use crate::batch::{Batch, PlayerRef};
use crate::budget::Charge;
use crate::player::is_key_of;
use crate::report::{self, Reason, Refusal, Report};

/// How long an idle lane waits before it says so.
const IDLE: Duration = Duration::from_secs(1);

/// What one drain of the queue yielded.
#[derive(Debug)]
pub struct Drained {
    pub batch: Batch,
    /// Refused records, in offset order: to be acknowledged before the batch is stored.
    pub letters: Vec<DeadLetter>,
    /// Records refused by the clock or the configuration; the batch holds them without items, because an earlier
    /// verdict may stand.
    pub judged: Vec<DeadLetter>,
    /// The offset after the last record or control record taken.
    pub upto: i64,
    /// Records taken, refused ones included.
    pub records: usize,
    /// With `onError: stop`: the record the lane must not pass.
    pub poison: Option<DeadLetter>,
    /// Held until the batch is done.
    pub charge: Charge,
}

/// Decodes records of one partition.
#[derive(Debug)]
pub struct Reader<Q> {
    pub source: Q,
    /// The next offset due; records below it are leftovers from before a seek.
    next: i64,
}

impl<Q: Source> Reader<Q> {
    pub fn new(source: Q) -> Self {
        Self { source, next: 0 }
    }

    /// Starts at an offset: from here on nothing below it is seen.
    pub async fn start_at(&mut self, offset: i64) -> Result<(), SourceError> {
        self.source.start_at(offset).await?;
        self.next = offset;
        Ok(())
    }

    /// Collects records until the batch before is stored, up to the limits of a batch. Then it waits for more only while they
    /// would not fill a script, there is memory, and the lane's delay is not over. Without any: an empty batch after a second.
    pub async fn next(
        &mut self,
        lane: &LaneContext,
        stored: impl Future<Output = ()>,
    ) -> Result<Drained, SourceError> {
        let mut drained = Drained {
            batch: Batch::default(),
            letters: Vec::new(),
            judged: Vec::new(),
            upto: self.next,
            records: 0,
            poison: None,
            charge: lane.budget.charge(),
        };
        let mut limits = Limits { bytes: 0, full: false };
        let mut stored = pin!(stored);
        let mut is_stored = false;
        let started = Instant::now();
        let mut first_taken = None;
        loop {
            if lane.budget.is_available() && !lane.stop.is_cancelled() {
                self.take_ready(lane, &mut drained, &mut limits)?;
            }
            if drained.records > 0 && first_taken.is_none() {
                first_taken = Some(Instant::now());
            }
            let deadline = first_taken.map_or(started + IDLE, |first| first + lane.max_delay);
            // Without memory there is nothing to wait for but other lanes, who may be waiting as well.
            let is_enough = drained.records >= lane.cuts.script_players
                || (drained.records > 0 && !lane.budget.is_available())
                || Instant::now() >= deadline;
            let has_time = first_taken.is_some() && !is_stored;
            if limits.full || lane.stop.is_cancelled() || (is_enough && !has_time) {
                break;
            }
            lane.step();
            tokio::select! {
                // In this order, so that a simulated run is a function of its seed.
                biased;
                () = self.source.ready(), if lane.budget.is_available() => {}
                () = lane.budget.available(), if !lane.budget.is_available() => {}
                () = &mut stored, if !is_stored => is_stored = true,
                () = tokio::time::sleep_until(deadline), if !has_time => {}
                () = lane.stop.cancelled() => {}
            }
        }
        if drained.records == 0 && drained.poison.is_none() {
            // Control records (transaction markers) move the position without ever being handed over.
            drained.upto = drained.upto.max(self.source.position().unwrap_or(drained.upto));
            self.next = drained.upto;
        }
        Ok(drained)
    }

    fn take_ready(
        &mut self,
        lane: &LaneContext,
        drained: &mut Drained,
        limits: &mut Limits,
    ) -> Result<(), SourceError> {
        let Self { source, next } = self;
        let now_ms = (lane.now_ms)();
        let mut tally = Tally::default();
        let mut charged = drained.batch.memory_bytes();
        let drain = source.drain(&mut |record| {
            if record.offset < *next {
                return ControlFlow::Continue(());
            }
            let bytes = record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
            tally.records += 1;
            if let Some(poison) = take(lane, &record, now_ms, drained, &mut tally) {
                drained.poison = Some(poison);
                limits.full = true;
                return ControlFlow::Break(());
            }
            *next = record.offset + 1;
            drained.upto = *next;
            drained.records += 1;
            let held = drained.batch.memory_bytes();
            drained.charge.add(held - charged);
            charged = held;
            limits.bytes += bytes;
            limits.full = drained.records >= lane.max_records
                || limits.bytes >= lane.max_bytes
                || (drained.records >= lane.cuts.script_players
                    && drained.charge.bytes() >= lane.share_bytes);
            if limits.full || !lane.budget.is_available() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        tally.count(lane);
        drain
    }
}

/// What a drain saw. Lanes share the counters, so each adds what it has once.
#[derive(Default)]
struct Tally {
    records: u64,
    reports: u64,
    items: u64,
    misrouted: u64,
}

impl Tally {
    fn count(&self, lane: &LaneContext) {
        lane.metrics.records.inc_by(self.records);
        lane.metrics.reports.inc_by(self.reports);
        lane.metrics.items.inc_by(self.items);
        lane.metrics.misrouted.inc_by(self.misrouted);
    }
}

struct Limits {
    bytes: usize,
    full: bool,
}

/// Decodes one record into the batch, or into a dead letter. Returns it instead if the lane must stop there.
fn take(
    lane: &LaneContext,
    record: &RecordView<'_>,
    now_ms: i64,
    drained: &mut Drained,
    tally: &mut Tally,
) -> Option<DeadLetter> {
    let refusal = match report::decode(record.value, lane.format) {
        Err(refusal) => refusal,
        Ok(report) => match judge(lane, record, now_ms, &report) {
            Ok(timestamp) => {
                tally.reports += 1;
                tally.items += report.items.len() as u64;
                if record.key.is_some_and(|key| is_key_of(key, report.uin)) {
                    lane.shared.placement.note(lane.shared.partition, record.offset, report.uin);
                } else {
                    tally.misrouted += 1;
                }
                if report.delete {
                    drained.batch.push_deletion(player_of(&report), record.offset, timestamp);
                } else {
                    let items = report.items.iter().map(|item| (item.kind, item.value, item.data.as_ref()));
                    drained.batch.push(player_of(&report), record.offset, timestamp, items);
                }
                return None;
            }
            Err(refusal)
                if lane.on_error == OnError::DeadLetter && by_clock_or_configuration(refusal.reason) =>
            {
                let timestamp = record.timestamp.unwrap_or_default();
                drained.batch.push(player_of(&report), record.offset, timestamp, std::iter::empty());
                let letter = dead_letter(lane, record, refusal, &mut drained.charge);
                drained.judged.push(letter);
                return None;
            }
            Err(refusal) => refusal,
        },
    };
    let letter = dead_letter(lane, record, refusal, &mut drained.charge);
    match lane.on_error {
        OnError::Stop => Some(letter),
        OnError::DeadLetter => {
            drained.letters.push(letter);
            None
        }
    }
}

/// Verdicts on a report that decodes; its timestamp if it stands.
fn judge(
    lane: &LaneContext,
    record: &RecordView<'_>,
    now_ms: i64,
    report: &Report<'_>,
) -> Result<i64, Refusal> {
    let Some(timestamp) = record.timestamp.filter(|timestamp| *timestamp >= 0) else {
        return Err(Refusal::new(Reason::NoTimestamp, "the record carries no timestamp"));
    };
    let ahead = timestamp - now_ms;
    if ahead > lane.max_clock_skew_ms {
        let detail = format!(
            "the timestamp lies {} s in the future, more than source.maxClockSkewSeconds ({})",
            ahead / 1_000,
            lane.max_clock_skew_ms / 1_000
        );
        return Err(Refusal::new(Reason::FutureTimestamp, detail));
    }
    if lane.unlisted == Unlisted::DeadLetter
        && let Some(item) = report.items.iter().find(|item| !lane.policies.lists(item.kind))
    {
        let detail = format!("type {} is not in achievements.types", item.kind);
        return Err(Refusal::new(Reason::UnlistedType, detail));
    }
    Ok(timestamp)
}

/// Verdicts that a later replay might not repeat: the first one stands for a player that exists.
fn by_clock_or_configuration(reason: Reason) -> bool {
    match reason {
        Reason::FutureTimestamp | Reason::UnlistedType => true,
        Reason::Empty
        | Reason::NotUtf8
        | Reason::Malformed
        | Reason::LimitExceeded
        | Reason::NoTimestamp
        | Reason::SumOverflow
        | Reason::PlayerFull => false,
    }
}

fn player_of<'a>(report: &'a Report<'_>) -> PlayerRef<'a> {
    PlayerRef {
        uin: report.uin,
        platform: report.platform,
        zone: report.zone,
        server: report.server,
        role: &report.role,
    }
}

fn dead_letter(
    lane: &LaneContext,
    record: &RecordView<'_>,
    refusal: Refusal,
    charge: &mut Charge,
) -> DeadLetter {
    let letter = DeadLetter {
        partition: lane.shared.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(Part::of_key),
        value: record.value.map(Part::of_value),
        headers: (record.headers)(),
        reason: refusal.reason,
        detail: refusal.detail,
    };
    charge.add(letter.bytes());
    letter
}
