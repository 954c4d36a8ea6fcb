//! A lane: the serial consumer of one partition inside a worker.
//!
//! It starts by taking the fence of its partition, then reads and writes in turn: while a batch is being stored, the
//! next one is decoded. Whatever goes wrong ends in one of four ways ([`Halt`]): it stops, it starts again, it parks
//! until a person acts, or it takes the fence anew once its assignment is confirmed.

pub mod ports;
mod reader;
mod shared;
mod start;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plaudit_crds::{Format, InitialOffset, OnError, Unlisted};
use prost::Message;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::budget::MemoryBudget;
use crate::ids::WriteIds;
use crate::merge::Policies;
use crate::metrics::Metrics;
use crate::mutation::Mutation;
use crate::player::{FORMAT, Layout};
use crate::proto::Fence;
use crate::store::{FenceState, Store};
use ports::{Letters, Source};
use reader::{Drained, Reader};
pub use shared::{LaneShared, LaneState, StopReason, UNKNOWN, lock};
pub use start::{CommitMetadata, Known, Start, decide};
use writer::{Halt, Writer};

/// A parked lane looks again this often: what a person mended needs no restart.
const PARKED: Duration = Duration::from_secs(30);
/// The fence of an idle lane, or one left behind by batches without a change, moves at the latest after this.
const FLUSH: Duration = Duration::from_secs(1);
/// More takes of a fence than this within [`CONTENTION`] are a fight for it.
const TAKES: usize = 2;
const CONTENTION: Duration = Duration::from_secs(60);

/// What a lane is given: settings of the pipeline and the parts of the worker that lanes share.
#[derive(Debug)]
pub struct LaneContext {
    pub shared: Arc<LaneShared>,
    pub metrics: Arc<Metrics>,
    pub budget: MemoryBudget,
    pub stop: CancellationToken,
    pub layout: Layout,
    pub policies: Policies,
    pub group: String,
    pub initial: InitialOffset,
    pub format: Format,
    pub unlisted: Unlisted,
    pub on_error: OnError,
    pub max_clock_skew_ms: i64,
    pub max_records: usize,
    pub max_bytes: usize,
    pub max_delay: Duration,
    pub max_value_bytes: usize,
    pub cache_bytes: usize,
    /// Milliseconds since 1970.
    pub now_ms: fn() -> i64,
    /// When the worker started: the clock of [`LaneShared::last_step`].
    pub epoch: Instant,
    pub mutation: Mutation,
}

impl LaneContext {
    /// Tells the watchdog that the lane is alive.
    pub fn step(&self) {
        let millis = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.last_step.store(millis, Ordering::Relaxed);
    }

    fn running(&self) {
        if self.shared.state() == LaneState::Waiting {
            tracing::info!(partition = self.shared.partition, "lane goes on");
            self.shared.set_state(LaneState::Running);
        }
    }

    fn waiting(&self, reason: StopReason, message: String) {
        if self.shared.state() != LaneState::Waiting {
            tracing::warn!(
                partition = self.shared.partition,
                reason = reason.as_str(),
                message,
                "lane waits"
            );
        }
        self.shared.set_state_because(LaneState::Waiting, reason, message);
    }

    /// Sleeps, unless the lane is told to stop.
    async fn pause(&self, delay: Duration) -> Result<(), Halt> {
        self.step();
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.stop.cancelled() => Err(Halt::Stopped),
        }
    }
}

/// One lane with its half that reads and its half that writes.
#[derive(Debug)]
pub struct Lane<S, Q, D> {
    context: Arc<LaneContext>,
    reader: Reader<Q>,
    writer: Writer<S, D>,
    takes: Vec<Instant>,
    backoff: Backoff,
}

impl<S: Store, Q: Source, D: Letters> Lane<S, Q, D> {
    pub fn new(context: Arc<LaneContext>, store: S, source: Q, letters: D) -> Self {
        let nonce = context.shared.nonce;
        let fence = FenceState::new(Fence::default());
        let writer = Writer::new(store, letters, fence, WriteIds::new(nonce), &context);
        Self { reader: Reader::new(source), writer, takes: Vec::new(), backoff: Backoff::new(nonce), context }
    }

    /// Runs until the lane is told to stop.
    pub async fn run(mut self) {
        let mut own = None;
        loop {
            let halt = match self.start(own).await {
                Ok(()) => match self.consume().await {
                    Ok(()) => Halt::Stopped,
                    Err(halt) => {
                        own = Some(self.writer.committable());
                        halt
                    }
                },
                Err(halt) => halt,
            };
            if self.recover(halt, own).await.is_err() {
                break;
            }
        }
        self.context.shared.set_state(LaneState::Draining);
    }

    /// Takes the fence and positions the reader.
    async fn start(&mut self, own: Option<i64>) -> Result<(), Halt> {
        let lane = self.context.clone();
        lane.shared.set_idle_fence(None);
        let (fence, from) = loop {
            match self.try_take(own).await? {
                Ok(taken) => break taken,
                Err((reason, message)) => {
                    lane.waiting(reason, message);
                    let delay = self.backoff.next_delay();
                    lane.pause(delay).await?;
                }
            }
        };
        *lock(&lane.shared.commit_metadata) = CommitMetadata::of(&fence).encode();
        tracing::debug!(partition = lane.shared.partition, from, position = fence.position, "fence taken");
        self.writer.hold(FenceState::new(fence), from);
        while let Err(error) = self.reader.start_at(from).await {
            if lane.shared.state() != LaneState::Starting {
                lane.waiting(StopReason::KafkaUnavailable, error.to_string());
            }
            let delay = self.backoff.next_delay();
            lane.pause(delay).await?;
        }
        self.backoff.reset();
        lane.shared.position.store(from, Ordering::Relaxed);
        lane.shared.set_state(LaneState::Running);
        Ok(())
    }

    /// One try to take or create the fence; the inner error is worth another try.
    async fn try_take(
        &mut self,
        own: Option<i64>,
    ) -> Result<Result<(Fence, i64), (StopReason, String)>, Halt> {
        let lane = self.context.clone();
        lane.step();
        let kafka = |error: ports::SourceError| (StopReason::KafkaUnavailable, error.to_string());
        let committed = match self.reader.source.committed().await {
            Ok(committed) => committed,
            Err(error) => return Ok(Err(kafka(error))),
        };
        let log = match self.reader.source.log_bounds().await {
            Ok(log) => log,
            Err(error) => return Ok(Err(kafka(error))),
        };
        let key = lane.layout.fence_key(lane.shared.partition);
        let unavailable = |error: crate::store::StoreError| (StopReason::StoreUnavailable, error.sentence());
        let value = match self.writer.store.fence(&key).await {
            Ok(value) => value,
            Err(error) => return Ok(Err(unavailable(error))),
        };
        let found = decode_fence(value.as_deref())?;
        let known = Known {
            fence: found.as_ref(),
            committed: committed.as_ref(),
            own,
            log,
            group: &lane.group,
            initial: lane.initial,
        };
        let (mut fence, from) = match decide(&known) {
            Start::Stop { reason, message } => return Err(Halt::Park { reason, message }),
            Start::Take { from } => (found.unwrap_or_default(), from),
            Start::Create { from } => (new_fence(&lane.group, from), from),
        };
        let id = self.writer.ids().attempt().ok;
        (fence.id_high, fence.id_low) = (id.high, id.low);
        match self.writer.store.replace_fence(&key, value.as_deref(), &fence.encode_to_vec()).await {
            Ok(true) => Ok(Ok((fence, from))),
            Ok(false) => {
                Ok(Err((StopReason::FenceContention, "the fence changed while it was taken".into())))
            }
            Err(error) => Ok(Err(unavailable(error))),
        }
    }

    /// Reads and stores until told to stop.
    async fn consume(&mut self) -> Result<(), Halt> {
        let lane = self.context.clone();
        let restart = |error: ports::SourceError| Halt::Restart { message: error.to_string() };
        let mut drained = self.reader.next(&lane).await.map_err(restart)?;
        let mut flushed = Instant::now();
        while !lane.stop.is_cancelled() {
            lane.step();
            let (stored, next) =
                tokio::join!(store(&mut self.writer, &lane, drained), self.reader.next(&lane));
            let idle = stored?;
            if flushed.elapsed() >= FLUSH || idle {
                self.writer.flush(&lane, idle).await?;
                flushed = Instant::now();
            }
            publish(&lane, &self.writer);
            if idle {
                self.look_at_fence(&lane).await?;
            } else {
                lane.shared.set_idle_fence(None);
            }
            drained = next.map_err(restart)?;
        }
        self.writer.flush(&lane, true).await?;
        publish(&lane, &self.writer);
        Ok(())
    }

    /// An idle lane leaves looking to the worker's fence watch, and looks itself when that saw something.
    async fn look_at_fence(&mut self, lane: &LaneContext) -> Result<(), Halt> {
        lane.shared.set_idle_fence(Some(self.writer.fence.id()));
        let notified = lane.shared.recheck.notified();
        if futures::FutureExt::now_or_never(notified).is_some() {
            lane.shared.set_idle_fence(None);
            self.writer.verify(lane, &mut self.backoff).await?;
        }
        Ok(())
    }

    /// What follows a halt; an error ends the lane.
    async fn recover(&mut self, halt: Halt, own: Option<i64>) -> Result<(), Halt> {
        let lane = self.context.clone();
        let partition = lane.shared.partition;
        lane.shared.set_idle_fence(None);
        match halt {
            Halt::Stopped => return Err(Halt::Stopped),
            Halt::Restart { message } => {
                tracing::warn!(partition, message, "lane starts again");
                let delay = self.backoff.next_delay();
                lane.pause(delay).await?;
            }
            Halt::Park { reason, message } => {
                tracing::error!(
                    partition,
                    reason = reason.as_str(),
                    message,
                    "lane stopped; it needs attention"
                );
                lane.shared.set_state_because(LaneState::Stopped, reason, message);
                let until = Instant::now() + PARKED;
                while Instant::now() < until {
                    lane.pause(FLUSH).await?;
                }
            }
            Halt::FenceLost => {
                lane.metrics.fence_mismatches.inc();
                tracing::warn!(partition, "another worker took the lane's fence, or the store lost writes");
                self.calm_down().await?;
                self.confirm(own).await?;
            }
        }
        Ok(())
    }

    /// A third take within a minute waits: an owner and a zombie must not take the fence from each other for ever.
    async fn calm_down(&mut self) -> Result<(), Halt> {
        let now = Instant::now();
        self.takes.retain(|take| now.duration_since(*take) < CONTENTION);
        self.takes.push(now);
        if self.takes.len() > TAKES {
            let message = format!("taken {} times within a minute", self.takes.len());
            self.context.waiting(StopReason::FenceContention, message);
            let jitter = fastrand::Rng::with_seed(self.context.shared.nonce ^ self.takes.len() as u64).f64();
            self.context.pause(Duration::from_secs(1).mul_f64(1.0 + 4.0 * jitter)).await?;
        }
        Ok(())
    }

    /// Waits until the group accepts a commit from this worker: only the partition's owner starts again.
    async fn confirm(&mut self, own: Option<i64>) -> Result<(), Halt> {
        let lane = self.context.clone();
        let Some(offset) = own else { return Ok(()) };
        let metadata = lane.shared.commit_metadata();
        while let Err(error) = self.reader.source.confirm(offset, &metadata).await {
            lane.waiting(StopReason::KafkaUnavailable, format!("the assignment is not confirmed: {error}"));
            let delay = self.backoff.next_delay();
            lane.pause(delay).await?;
        }
        Ok(())
    }
}

/// Stores what was drained; true if there was nothing.
async fn store<S: Store, D: Letters>(
    writer: &mut Writer<S, D>,
    lane: &LaneContext,
    drained: Drained,
) -> Result<bool, Halt> {
    let Drained { batch, letters, upto, records, poison, charge } = drained;
    if lane.mutation == Mutation::CommitBeforeWrite {
        writer.claim(lane, upto).await?;
        publish(lane, writer);
    }
    writer.send_letters(lane, &letters).await?;
    writer.store_batch(lane, &batch, upto).await?;
    drop(charge);
    if records > 0 {
        lane.metrics.batches.inc();
        lane.metrics.batch_records.observe(records as f64);
        lane.shared.records.fetch_add(records as u64, Ordering::Relaxed);
    }
    if let Some(letter) = poison {
        writer.flush(lane, true).await?;
        publish(lane, writer);
        return Err(Halt::Park {
            reason: StopReason::BadRecord,
            message: format!(
                "the record at offset {} is refused ({}: {}) and deadLetters.onError is stop",
                letter.offset,
                letter.reason.as_str(),
                letter.detail
            ),
        });
    }
    Ok(records == 0)
}

fn publish<S: Store, D: Letters>(lane: &LaneContext, writer: &Writer<S, D>) {
    let committable = writer.committable();
    lane.shared.committable.store(committable, Ordering::Relaxed);
    lane.shared.position.store(committable, Ordering::Relaxed);
    lane.shared.cache_bytes.store(writer.cache_bytes(), Ordering::Relaxed);
}

fn decode_fence(value: Option<&[u8]>) -> Result<Option<Fence>, Halt> {
    let Some(value) = value else { return Ok(None) };
    let park = |reason, message: &str| Halt::Park { reason, message: message.to_owned() };
    let fence = Fence::decode(value)
        .map_err(|_| park(StopReason::DamagedRecord, "the fence of the partition does not decode"))?;
    match fence.format {
        FORMAT => Ok(Some(fence)),
        0 => Err(park(StopReason::DamagedRecord, "the fence of the partition has no format")),
        _ => Err(park(StopReason::NewerFormat, "the fence of the partition was written by a newer version")),
    }
}

fn new_fence(group: &str, from: i64) -> Fence {
    Fence {
        format: FORMAT,
        position: from,
        settled: from,
        owner: group.to_owned(),
        first: from,
        ..Fence::default()
    }
}
