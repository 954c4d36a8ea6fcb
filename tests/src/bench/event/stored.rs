//! When reports were stored, as the fences in the store tell: each is written together with the players.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use plaudit_worker::proto;
use prost::Message as _;

/// How often fences are read: the greatest error of a time, always to Plaudit's disadvantage.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A thread that watches the fences of all partitions.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
    thread: JoinHandle<Result<Positions>>,
}

#[derive(Debug, Default)]
struct Seen {
    fences: AtomicUsize,
    stored: AtomicU64,
}

/// How far each partition was when: ascending pairs of a position and the time when it was first seen.
#[derive(Debug, Default)]
pub struct Positions(Vec<Vec<(i64, Instant)>>);

impl Watch {
    /// `address`: the store's own, past any proxy.
    pub fn start(address: &str, key_prefix: &str, partitions: i32) -> Result<Self> {
        let mut connection = redis::Client::open(format!("redis://{address}/"))?.get_connection()?;
        let mut read = redis::cmd("MGET");
        for partition in 0..partitions {
            read.arg(format!("{key_prefix}{{{partition}}}fence:{partition}"));
        }
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::<Seen>::default());
        let thread = std::thread::spawn({
            let (stop, seen) = (stop.clone(), seen.clone());
            move || {
                let mut positions = Positions((0..partitions).map(|_| Vec::new()).collect());
                while !stop.load(Ordering::Relaxed) {
                    let fences: Vec<Option<Vec<u8>>> =
                        read.query(&mut connection).context("cannot read fences")?;
                    positions.add(&fences, Instant::now());
                    seen.fences.store(fences.iter().flatten().count(), Ordering::Relaxed);
                    seen.stored.store(positions.sum(), Ordering::Relaxed);
                    std::thread::sleep(LOOK_EVERY);
                }
                Ok(positions)
            }
        });
        Ok(Self { stop, seen, thread })
    }

    /// Partitions with a fence: a worker has taken them.
    pub fn known(&self) -> usize {
        self.seen.fences.load(Ordering::Relaxed)
    }

    /// Reports stored so far.
    pub fn stored(&self) -> u64 {
        self.seen.stored.load(Ordering::Relaxed)
    }

    pub fn end(self) -> Result<Positions> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("watching the fences panicked"))?
    }
}

impl Positions {
    /// When the record at this place was stored.
    pub fn stored_at(&self, partition: usize, offset: i64) -> Option<Instant> {
        let known = self.0.get(partition)?;
        known.get(known.partition_point(|(position, _)| *position <= offset)).map(|(_, seen)| *seen)
    }

    fn add(&mut self, fences: &[Option<Vec<u8>>], now: Instant) {
        for (known, fence) in self.0.iter_mut().zip(fences) {
            let fence = fence.as_deref().and_then(|fence| proto::Fence::decode(fence).ok());
            let position = fence.map_or(0, |fence| fence.position);
            if known.last().is_none_or(|(last, _)| *last < position) {
                known.push((position, now));
            }
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().filter_map(|known| known.last()).map(|(position, _)| position.unsigned_abs()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_stored_once_a_fence_has_passed_it() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let positions = Positions(vec![vec![(0, at(0))], vec![(0, at(0)), (3, at(5)), (7, at(10))]]);
        let seen = [(0, 0), (1, 0), (1, 2), (1, 3), (1, 7), (2, 0)]
            .map(|(partition, offset)| positions.stored_at(partition, offset));
        assert_eq!(seen, [None, Some(at(5)), Some(at(5)), Some(at(10)), None, None]);
        assert_eq!(positions.sum(), 7);
    }
}
