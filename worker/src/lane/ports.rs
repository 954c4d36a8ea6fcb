//! What a lane needs of the world besides the store: its partition and the topics it sends to.
//!
//! Traits, so that the real lane code also runs against a simulated group.

use std::future::Future;
use std::ops::ControlFlow;

pub use super::letter::{DeadLetter, OwnHeaders, Part};
use crate::player::PlayerId;
use crate::report::Reason;

/// A record as it lies in the client's queue.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    pub offset: i64,
    /// Milliseconds since 1970; `None` when the record carries none.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Copied when asked for: only dead letters need them.
    pub headers: &'a dyn Fn() -> OwnHeaders,
}

impl std::fmt::Debug for RecordView<'_> {
    /// Never shows key or value: they are the players'.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordView")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

/// The group's committed offset of the lane's partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    /// Raw metadata, as whoever committed wrote it.
    pub metadata: Vec<u8>,
}

/// What a lane has to know of its topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Another one each time the topic is created; empty where the broker does not tell.
    pub id: Vec<u8>,
    pub partitions: u32,
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum SourceError {
    #[error("kafka: {0}")]
    Kafka(String),
    /// The lane's assignment ended while it asked.
    #[error("the partition is no longer assigned")]
    Unassigned,
}

/// One assigned partition.
pub trait Source: Send {
    /// Hands over what is ready, without waiting, until `take` breaks.
    ///
    /// # Errors
    /// [`SourceError`] when the partition cannot be read on from where it is: the lane starts again.
    fn drain(
        &mut self,
        take: &mut (dyn FnMut(RecordView<'_>) -> ControlFlow<()> + Send),
    ) -> Result<(), SourceError>;

    /// Resolves when something may be ready. May resolve too early, and does so at least once a second.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// The offset after the last record or control record handed over; `None` before the first.
    fn position(&self) -> Option<i64>;

    fn committed(&mut self) -> impl Future<Output = Result<Option<Committed>, SourceError>> + Send;

    /// First offset in the log, and the offset after the last.
    fn log_bounds(&mut self) -> impl Future<Output = Result<(i64, i64), SourceError>> + Send;

    /// The topic as it is now.
    fn topic(&mut self) -> impl Future<Output = Result<TopicFacts, SourceError>> + Send;

    /// Delivers records from `offset` on, and none from before.
    fn start_at(&mut self, offset: i64) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Confirms the assignment: the group accepts a commit of this offset from this member.
    fn confirm(
        &mut self,
        offset: i64,
        metadata: &str,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// A record of the source topic that was refused after its payload was let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub offset: i64,
    pub reason: Reason,
    pub detail: String,
}

/// A reached tier, on its way to the topic of unlocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlock {
    pub player: PlayerId,
    /// Of the topic in which the report that reached it lies.
    pub incarnation: u32,
    pub kind: u32,
    pub tier: i64,
    /// The stored value that reached it, and its timestamp in milliseconds since 1970.
    pub value: i64,
    pub timestamp: i64,
}

/// What a lane sends to Kafka: dead letters and unlocks.
pub trait Outbox: Send {
    /// Sends letters, all at once, and waits until each is acknowledged.
    ///
    /// # Errors
    /// With the number of letters, counted from the first, that are acknowledged all the same.
    fn send(
        &mut self,
        letters: &[DeadLetter],
    ) -> impl Future<Output = Result<(), (usize, SourceError)>> + Send;

    /// Announces unlocks, all at once, and waits until each is acknowledged.
    ///
    /// # Errors
    /// With the number of unlocks, counted from the first, that are acknowledged all the same.
    fn announce(
        &mut self,
        unlocks: &[Unlock],
    ) -> impl Future<Output = Result<(), (usize, SourceError)>> + Send;

    /// Reads records of the source topic again, ascending by offset: from the first on as many as may be held, one at least. One
    /// that the log no longer has becomes a letter without a value.
    fn fetch(
        &mut self,
        partition: i32,
        refused: &[Refused],
    ) -> impl Future<Output = Result<Vec<DeadLetter>, SourceError>> + Send;
}
