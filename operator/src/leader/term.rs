//! The time in which this process leads, by its own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The time in which this process leads.
#[derive(Clone, Debug)]
pub struct Term {
    epoch: Instant,
    /// Milliseconds after `epoch`; moved by each renewal.
    ends: Arc<AtomicU64>,
    over: CancellationToken,
}

impl Term {
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, ends: Arc::default(), over: CancellationToken::new() }
    }

    /// A term without end, where there is no election.
    #[must_use]
    pub fn endless() -> Self {
        Self { ends: Arc::new(AtomicU64::new(u64::MAX)), ..Self::new(Instant::now()) }
    }

    /// Whether this process leads at this moment, by the clock: right even where a process that was stopped goes on before its
    /// elector does. To be asked before each write.
    #[must_use]
    pub fn holds(&self) -> bool {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        now < self.ends.load(Ordering::Acquire)
    }

    /// Cancelled when the term is lost or given up.
    #[must_use]
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Lasts until `ends` after the epoch.
    pub(super) fn renew(&self, ends: Duration) {
        // Rounded down: rather too early than too late.
        self.ends.store(u64::try_from(ends.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Ends it: nothing is written any more.
    pub fn give_up(&self) {
        self.ends.store(0, Ordering::Release);
        self.over.cancel();
    }
}
