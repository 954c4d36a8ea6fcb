//! A lane's partition in the simulated group.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use plaudit_worker::lane::ports::{Committed, OwnHeaders, RecordView, Source, SourceError, TopicFacts};
use tokio::sync::Mutex;
use tokio::time::{sleep, sleep_until};

use super::world::World;

/// A source says at least so often that something may be ready.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Partition {
    pub world: Arc<World>,
    pub lane: u32,
    pub partition: i32,
    /// The next offset; none before it is placed.
    pub next: Option<i64>,
    /// A worker commits one offset after the other.
    pub commits: Arc<Mutex<()>>,
}

impl Partition {
    async fn ask(&self, what: &str) -> Result<(), SourceError> {
        self.world.way(self.lane).await;
        self.world.way(self.lane).await;
        if self.world.fails() {
            return Err(SourceError::Kafka(format!("simulated: {what}")));
        }
        Ok(())
    }
}

impl Source for Partition {
    fn drain(
        &mut self,
        take: &mut (dyn FnMut(RecordView<'_>) -> ControlFlow<()> + Send),
    ) -> Result<(), SourceError> {
        let Some(first) = self.next else { return Ok(()) };
        let mut next = first;
        // A connection to a broker breaks less often than the rest: each costs the lane a start.
        if self.world.fails() && self.world.state().rng.u8(..8) == 0 {
            return Err(SourceError::Kafka("simulated: cannot read on".into()));
        }
        let fetched = self.world.state().rng.usize(1..30);
        let ready = self.world.arrived(self.partition).filter(|record| record.offset >= first);
        for record in ready.take(fetched) {
            next = record.offset + 1;
            let view = RecordView {
                offset: record.offset,
                timestamp: record.timestamp_ms,
                key: record.key.as_deref(),
                value: record.payload.as_deref(),
                headers: &OwnHeaders::default,
            };
            if !record.control && take(view).is_break() {
                break;
            }
        }
        self.next = Some(next);
        Ok(())
    }

    async fn ready(&mut self) {
        self.world.thaw(self.lane).await;
        sleep(Duration::from_millis(1)).await;
        let Some(next) = self.next else { return sleep(LOOK_ANYWAY).await };
        match self.world.log(self.partition).iter().find(|record| record.offset >= next) {
            Some(record) => {
                let arrives = self.world.began + Duration::from_millis(record.arrives_ms);
                let _ = tokio::time::timeout(LOOK_ANYWAY, sleep_until(arrives)).await;
            }
            None => sleep(LOOK_ANYWAY).await,
        }
        self.world.thaw(self.lane).await;
    }

    fn position(&self) -> Option<i64> {
        self.next
    }

    async fn committed(&mut self) -> Result<Option<Committed>, SourceError> {
        self.ask("committed").await?;
        Ok(self.world.state().partitions[self.partition as usize].committed.clone())
    }

    async fn log_bounds(&mut self) -> Result<(i64, i64), SourceError> {
        self.ask("log bounds").await?;
        Ok((0, self.world.arrived(self.partition).last().map_or(0, |record| record.offset + 1)))
    }

    async fn topic(&mut self) -> Result<TopicFacts, SourceError> {
        self.ask("topic").await?;
        Ok(TopicFacts { id: vec![7; 16], partitions: self.world.plan.partitions })
    }

    async fn start_at(&mut self, offset: i64) -> Result<(), SourceError> {
        self.ask("seek").await?;
        self.next = Some(offset);
        Ok(())
    }

    async fn confirm(&mut self, offset: i64, metadata: &str) -> Result<(), SourceError> {
        let commits = self.commits.clone();
        let _one_at_a_time = commits.lock().await;
        self.world.way(self.lane).await;
        let accepted = self.world.commit(self.lane, self.partition, offset, metadata);
        self.world.way(self.lane).await;
        if !accepted {
            return Err(SourceError::Unassigned);
        }
        if self.world.fails() {
            return Err(SourceError::Kafka("simulated: confirm".into()));
        }
        Ok(())
    }
}
