//! By which partitioner the records of a topic were placed, as far as a sample of them tells: two at once send one player's reports to
//! several workers.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::player::murmur2;

/// One record in so many is looked at: three hashes cost more than a record otherwise has to spare.
const EACH: i64 = 16;
/// What a lane remembers is halved after so many: what was true an hour ago must not speak for now.
const REMEMBERED: u32 = 4_096;
/// Of fewer samples nothing is said.
const ENOUGH: u32 = 256;
/// Partitioners explain a topic that put so many percent of the records where they lie. A few lie elsewhere because partitions were added,
/// or somebody sent them by hand.
const EXPLAINED_PERCENT: u32 = 98;

/// What a partitioner hashes a key to; the partition is the rest of it by their number.
type Hash = fn(&[u8]) -> u32;

/// The partitioners that clients use where nobody chose another one, by what they hash the key with.
const HASHES: [(&str, Hash); 3] = [
    // The Java client, and what follows it; librdkafka's murmur2_random.
    ("murmur2", |key| murmur2(key) & 0x7fff_ffff),
    // librdkafka's consistent_random.
    ("crc32", crc32),
    // Sarama, which takes the rest of a signed number, without its sign.
    ("fnv1a", |key| fnv1a(key).cast_signed().unsigned_abs()),
];

/// Counts of records by the set of partitioners that would have put them where they lie: bit `n` is `HASHES[n]`.
pub type Counts = [u32; 1 << HASHES.len()];

/// What one lane has seen.
#[derive(Debug, Default)]
pub struct Placement {
    /// Of the topic; 0 while unknown.
    partitions: AtomicU32,
    counts: [AtomicU32; 1 << HASHES.len()],
}

impl Placement {
    /// The topic has so many partitions.
    pub fn set_partitions(&self, partitions: u32) {
        self.partitions.store(partitions, Ordering::Relaxed);
    }

    /// A record at `offset` has the UIN as its key. To be called by the lane alone.
    pub(super) fn note(&self, partition: i32, offset: i64, uin: u64) {
        let partitions = self.partitions.load(Ordering::Relaxed);
        if offset % EACH != 0 || partitions < 2 {
            return;
        }
        let mut number = itoa::Buffer::new();
        let at = homes(number.format(uin).as_bytes(), partition, partitions);
        let count = self.counts[at].load(Ordering::Relaxed) + 1;
        self.counts[at].store(count, Ordering::Relaxed);
        if self.counts().iter().sum::<u32>() >= REMEMBERED {
            for count in &self.counts {
                count.store(count.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
    }

    /// What was seen lately.
    pub fn counts(&self) -> Counts {
        self.counts.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// Two partitioners that together explain where records lie, and neither alone.
pub fn mixed(counts: &Counts) -> Option<(&'static str, &'static str)> {
    let all: u32 = counts.iter().sum();
    // Of a mask of partitioners: the records that one of them would have put where they lie.
    let explains = |mask: usize| -> bool {
        let explained: u32 = (0..counts.len()).filter(|set| set & mask != 0).map(|set| counts[set]).sum();
        u64::from(explained) * 100 >= u64::from(all) * u64::from(EXPLAINED_PERCENT)
    };
    let alone = (0..HASHES.len()).any(|hash| explains(1 << hash));
    if all < ENOUGH || alone {
        return None;
    }
    let pairs = [(0, 1), (0, 2), (1, 2)];
    let pair = pairs.into_iter().find(|(one, other)| explains(1 << one | 1 << other));
    pair.map(|(one, other)| (HASHES[one].0, HASHES[other].0))
}

/// The set of partitioners that put this key into this partition.
fn homes(key: &[u8], partition: i32, partitions: u32) -> usize {
    let home = |hash: Hash| i64::from(hash(key) % partitions) == i64::from(partition);
    HASHES.iter().enumerate().map(|(bit, (_, hash))| usize::from(home(*hash)) << bit).sum()
}

/// CRC-32 as zlib has it.
fn crc32(data: &[u8]) -> u32 {
    const REVERSED: u32 = 0xedb8_8320;
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { REVERSED } else { 0 })
    })
}

/// FNV-1a of 32 bits.
fn fnv1a(data: &[u8]) -> u32 {
    data.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITIONS: u32 = 12;

    /// What lanes of all partitions count of 20,000 players, the n-th of whom is placed by `partitioner(n)`.
    fn seen(partitioner: impl Fn(u64) -> Hash) -> Counts {
        let lanes: Vec<Placement> = (0..PARTITIONS).map(|_| Placement::default()).collect();
        for uin in 0..20_000_u64 {
            let partition = partitioner(uin)(uin.to_string().as_bytes()) % PARTITIONS;
            let lane = &lanes[partition as usize];
            lane.set_partitions(PARTITIONS);
            lane.note(partition.cast_signed(), uin.cast_signed(), uin);
        }
        let mut all = Counts::default();
        for lane in lanes {
            all.iter_mut().zip(lane.counts()).for_each(|(sum, count)| *sum += count);
        }
        all
    }

    #[test]
    fn hashes_are_those_of_the_clients() {
        let checks = b"123456789";

        assert_eq!((crc32(checks), fnv1a(b"foobar")), (0xcbf4_3926, 0xbf9c_f968));
    }

    #[test]
    fn two_partitioners_on_one_topic_are_told_and_one_alone_is_not() {
        let [murmur2, crc32, fnv1a] = HASHES.map(|(_, hash)| hash);
        let other: Hash = |key| u32::from(key[0]) + 7 * u32::from(key[key.len() - 1]);
        // By blocks of sixteen, since one in sixteen is looked at.
        let tenth = |uin: u64| (uin / 16).is_multiple_of(10);

        let found = [
            mixed(&seen(|_| murmur2)),
            mixed(&seen(|_| crc32)),
            mixed(&seen(|_| fnv1a)),
            mixed(&seen(|_| other)),
            mixed(&seen(|uin| if tenth(uin) { crc32 } else { murmur2 })),
            mixed(&seen(|uin| if tenth(uin) { fnv1a } else { murmur2 })),
            mixed(&seen(|uin| if tenth(uin) { crc32 } else { fnv1a })),
            mixed(&seen(|uin| if tenth(uin) { other } else { murmur2 })),
        ];

        assert_eq!(
            found,
            [
                None,
                None,
                None,
                None,
                Some(("murmur2", "crc32")),
                Some(("murmur2", "fnv1a")),
                Some(("crc32", "fnv1a")),
                None,
            ]
        );
    }

    #[test]
    fn what_a_lane_saw_long_ago_is_forgotten() {
        let lane = Placement::default();
        lane.set_partitions(2);
        let place = |lane: &Placement, hash: Hash, rounds: std::ops::Range<i64>| {
            for round in rounds {
                let uin = round.unsigned_abs();
                if hash(uin.to_string().as_bytes()).is_multiple_of(2) {
                    lane.note(0, round * EACH, uin);
                }
            }
        };

        place(&lane, HASHES[0].1, 0..4_000);
        place(&lane, HASHES[1].1, 4_000..8_000);
        let between = mixed(&lane.counts());
        place(&lane, HASHES[1].1, 8_000..120_000);

        assert_eq!((between, mixed(&lane.counts())), (Some(("murmur2", "crc32")), None));
    }
}
