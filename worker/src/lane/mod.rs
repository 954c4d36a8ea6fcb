//! A lane: the serial consumer of one partition inside a worker.
//!
//! It starts by taking the fence of its partition, then reads and writes in turn: while a batch is being stored, the
//! next one is decoded. Whatever goes wrong ends in one of four ways ([`Halt`]): it stops, it starts again, it parks
//! until a person acts, or it takes the fence anew once its assignment is confirmed.

mod context;
mod halt;
pub mod letter;
pub mod placement;
pub mod ports;
mod reader;
mod recover;
mod shared;
mod start;
mod take;
mod writer;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::ids::WriteIds;
use crate::mutation::Mutation;
use crate::proto::Fence;
use crate::store::{FenceState, Store};
pub use context::{Cuts, LaneContext};
use halt::Halt;
use ports::{Outbox, Source, SourceError};
use reader::{Drained, Reader};
pub use shared::{LaneShared, LaneState, StopReason, UNKNOWN, lock};
pub use start::{CommitMetadata, Decision, Known, Start, StartRules, decide};
use writer::Writer;

/// A parked lane looks again this often: what a person mended needs no restart.
pub const PARKED: Duration = Duration::from_secs(30);
/// A fence left behind by batches without a change moves at the latest after this.
const FLUSH: Duration = Duration::from_secs(1);

/// One lane with its half that reads and its half that writes.
#[derive(Debug)]
pub struct Lane<S, Q, O> {
    context: Arc<LaneContext>,
    reader: Reader<Q>,
    writer: Writer<S, O>,
    /// When the fence was lost, lately.
    takes: Vec<Instant>,
    backoff: Backoff,
}

impl<S: Store, Q: Source, O: Outbox> Lane<S, Q, O> {
    pub fn new(context: Arc<LaneContext>, store: S, source: Q, outbox: O) -> Self {
        let nonce = context.shared.nonce;
        let fence = FenceState::new(Fence::default());
        let writer = Writer::new(store, outbox, fence, WriteIds::new(nonce), &context);
        Self { reader: Reader::new(source), writer, takes: Vec::new(), backoff: Backoff::new(nonce), context }
    }

    /// Runs until the lane is told to stop.
    pub async fn run(mut self) {
        let lane = self.context.clone();
        let mut own = None;
        loop {
            // Requests to the poll thread are dropped when the lane is told to stop: that thread then waits for us. A
            // take that nobody saw answered loses to the next owner's.
            let started = tokio::select! {
                biased;
                () = lane.stop.cancelled() => break,
                started = self.start(own) => started,
            };
            let halt = match started {
                Ok(()) => {
                    let consumed = self.consume().await;
                    own = Some(self.writer.committable());
                    consumed.err().unwrap_or(Halt::Stopped)
                }
                Err(halt) => halt,
            };
            let recovered = tokio::select! {
                biased;
                () = lane.stop.cancelled() => break,
                recovered = self.recover(halt, own) => recovered,
            };
            if recovered.is_err() {
                break;
            }
        }
        lane.shared.set_state(LaneState::Draining);
    }

    /// Reads and stores until told to stop.
    async fn consume(&mut self) -> Result<(), Halt> {
        let lane = self.context.clone();
        let restart = |error: SourceError| Halt::Restart { message: error.to_string() };
        let mut drained = self.reader.next(&lane, ready(())).await.map_err(restart)?;
        let mut flushed = Instant::now();
        while !lane.stop.is_cancelled() {
            lane.step();
            let (done, stored) = oneshot::channel::<()>();
            let storing = async {
                let _done = done;
                store(&mut self.writer, &lane, drained).await
            };
            // The channel only closes.
            let reading = self.reader.next(&lane, stored.map(drop));
            let (stored, next) = tokio::join!(storing, reading);
            let idle = stored?;
            if idle || flushed.elapsed() >= FLUSH {
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
        if lane.shared.recheck.notified().now_or_never().is_some() {
            lane.shared.set_idle_fence(None);
            self.writer.verify(lane).await?;
        }
        Ok(())
    }
}

/// Stores what was drained; true if there was nothing.
async fn store<S: Store, O: Outbox>(
    writer: &mut Writer<S, O>,
    lane: &LaneContext,
    drained: Drained,
) -> Result<bool, Halt> {
    let Drained { batch, letters, judged, upto, records, poison, charge } = drained;
    if lane.mutation == Mutation::CommitBeforeWrite {
        writer.claim(lane, upto).await?;
        publish(lane, writer);
    }
    writer.send_letters(lane, &letters).await?;
    writer.store_batch(lane, &batch, judged, upto).await?;
    drop(charge);
    if records > 0 {
        lane.metrics.batches.inc();
        lane.metrics.batch_records.observe(records as f64);
        lane.shared.records.fetch_add(records as u64, Ordering::Relaxed);
    }
    let Some(letter) = poison else { return Ok(records == 0) };
    writer.flush(lane, true).await?;
    publish(lane, writer);
    Err(Halt::Park {
        reason: StopReason::BadRecord,
        message: format!(
            "the record at offset {} is refused ({}: {}) and deadLetters.onError is stop",
            letter.offset,
            letter.reason.as_str(),
            letter.detail
        ),
    })
}

fn publish<S: Store, O: Outbox>(lane: &LaneContext, writer: &Writer<S, O>) {
    let committable = writer.committable();
    lane.shared.committable.store(committable, Ordering::Relaxed);
    lane.shared.position.store(committable, Ordering::Relaxed);
    lane.shared.cache_bytes.store(writer.cache_bytes(), Ordering::Relaxed);
}
