//! The memory budget: bytes decoded and in flight over all lanes of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

/// Bytes that lanes may hold together.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    free: AtomicI64,
    freed: Notify,
}

/// Bytes held by one batch; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    shared: Arc<Shared>,
    bytes: i64,
}

impl MemoryBudget {
    pub fn new(bytes: u64) -> Self {
        let free = AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        Self { shared: Arc::new(Shared { free, freed: Notify::new() }) }
    }

    /// Waits until something is free. Several lanes may then go over by one record each: a bound of
    /// lanes × the longest report, in exchange for never blocking in the middle of a batch.
    pub async fn available(&self) {
        loop {
            let freed = self.shared.freed.notified();
            if self.is_available() {
                return;
            }
            freed.await;
        }
    }

    pub fn is_available(&self) -> bool {
        self.shared.free.load(Ordering::Relaxed) > 0
    }

    pub fn charge(&self) -> Charge {
        Charge { shared: self.shared.clone(), bytes: 0 }
    }
}

impl Charge {
    pub fn add(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes += bytes;
        self.shared.free.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(0)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.free.fetch_add(self.bytes, Ordering::Relaxed);
        self.shared.freed.notify_waiters();
    }
}

/// Shares of a lane are cut for at least so many: more partitions may be added while a worker runs.
const MIN_LANES: usize = 12;

/// What lanes get of the memory budget. Half of it is the client's, and an eighth is for what lanes are writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Bytes of all batches: a quarter.
    pub batches: u64,
    /// Of one batch, when all partitions come to this worker: each lane has one that is stored and one that grows.
    pub batch: usize,
    /// Of one lane's cache: an eighth for all.
    pub cache: usize,
}

impl Shares {
    /// Of this budget, for a worker that may come to own so many partitions.
    pub fn new(budget_bytes: u64, partitions: usize) -> Self {
        let lanes = partitions.max(MIN_LANES);
        let of_a_lane = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX) / lanes;
        let batches = budget_bytes / 4;
        Self { batches, batch: of_a_lane(batches / 2), cache: of_a_lane(budget_bytes / 8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lane_waits_until_another_gives_back() {
        let budget = MemoryBudget::new(100);
        let mut charge = budget.charge();
        charge.add(150);
        assert!(!budget.is_available());
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.available().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(charge);
        waiting.await.unwrap();
    }

    #[test]
    fn batches_and_caches_of_all_partitions_stay_inside_their_parts_of_the_budget() {
        let few = Shares { batches: 24 << 20, batch: 1 << 20, cache: 1 << 20 };
        assert_eq!((Shares::new(96 << 20, 1), Shares::new(96 << 20, 12)), (few, few));
        let many = Shares { batches: 24 << 20, batch: (12 << 20) / 120, cache: (12 << 20) / 120 };
        assert_eq!(Shares::new(96 << 20, 120), many);
    }
}
