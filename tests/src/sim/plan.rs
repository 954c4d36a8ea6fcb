//! A schedule, drawn from its seed: the log, how the world answers, and what goes wrong when.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use plaudit_worker::lane::Cuts;

use super::load;
use super::record::Record;

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A partition changes hands: its lane finishes, commits and ends.
    Revoke { partition: u32 },
    /// A partition is somebody else's while its old lane stands still, and then runs on without knowing.
    Zombie { partition: u32, frozen_ms: u64, runs_ms: u64 },
    /// A lane dies; the next one starts later.
    Crash { partition: u32, gap_ms: u64 },
    /// The store answers nobody.
    Down { ms: u64 },
    /// The store goes back by so many writes.
    Lose { writes: usize },
    /// The store comes back empty.
    Wipe,
    /// The group forgets what was committed.
    Forget { partition: u32 },
}

/// How the world of a schedule is.
#[derive(Clone, Debug)]
pub struct Knobs {
    pub players: u64,
    /// Players report to all partitions.
    pub shared_players: bool,
    pub overflows: bool,
    pub deletions: bool,
    /// The longest way to or from the store, and to the topics.
    pub delay_ms: u64,
    /// How often a command has an unknown outcome.
    pub errors: f64,
    /// How long after its sender gave up a command may run.
    pub late_ms: u64,
    /// How long a chunk waits for its manifest.
    pub upload_ms: u64,
    pub max_records: usize,
    pub batch_delay_ms: u64,
    pub max_value_bytes: usize,
    pub cache_bytes: usize,
    pub cuts: Cuts,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub partitions: u32,
    pub knobs: Knobs,
    /// By partition.
    pub log: Vec<Vec<Record>>,
    /// Ascending.
    pub faults: Vec<(Duration, Fault)>,
}

/// Faults fall into so many milliseconds.
const SPAN_MS: u64 = 25_000;
/// A cache with so many slots that two of the few players hardly share one: which do is drawn anew by each process.
const CACHE_BYTES: usize = 16 << 20;

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let partitions = rng.u32(1..=3);
        let knobs = Knobs::draw(&mut rng);
        let log = load::draw(&mut rng, partitions, &knobs);
        let may_lose = rng.bool();
        let mut moments: Vec<u64> = (0..rng.usize(0..9)).map(|_| rng.u64(0..SPAN_MS)).collect();
        moments.sort_unstable();
        let fault = |ms| (Duration::from_millis(ms), Fault::draw(&mut rng, partitions, may_lose));
        let faults = moments.into_iter().map(fault).collect();
        Self { seed, partitions, knobs, log, faults }
    }
}

impl Knobs {
    fn draw(rng: &mut Rng) -> Self {
        let mut of = |choices: &[u64]| choices[rng.usize(..choices.len())];
        let (delay_ms, late_ms, upload_ms) =
            (of(&[0, 2, 20, 400]), of(&[1, 300, 4_000, 12_000]), of(&[5, 400, 3_600_000]));
        let (max_records, batch_delay_ms) = (of(&[1, 3, 8, 100]) as usize, of(&[0, 20]));
        let max_value_bytes = of(&[200, 400, 16_384]) as usize;
        let cuts = Cuts {
            script_players: of(&[1, 2, 256]) as usize,
            // several scripts in a round, as large values make them
            round_players: 256,
            page_keys: of(&[1, 2, 256]) as usize,
            round_bytes: of(&[1, 300, 1 << 20]) as usize,
            newcomers_row: of(&[1, 3, 512]) as u32,
        };
        let errors = [0.0, 0.03, 0.15][rng.usize(..3)];
        let cache_bytes = if rng.bool() { CACHE_BYTES } else { 0 };
        Self {
            players: rng.u64(1..7),
            shared_players: rng.u8(..4) == 0,
            overflows: rng.bool(),
            deletions: rng.bool(),
            delay_ms,
            errors,
            late_ms,
            upload_ms,
            max_records,
            batch_delay_ms,
            max_value_bytes,
            cache_bytes,
            cuts,
        }
    }
}

impl Fault {
    fn draw(rng: &mut Rng, partitions: u32, may_lose: bool) -> Self {
        let partition = rng.u32(..partitions);
        match rng.u8(0..20) {
            0..3 => Self::Revoke { partition },
            3..9 => Self::Zombie { partition, frozen_ms: rng.u64(0..6_000), runs_ms: rng.u64(0..15_000) },
            9..12 => Self::Crash { partition, gap_ms: rng.u64(0..3_000) },
            12..14 => Self::Down { ms: rng.u64(1..4_000) },
            14..18 if may_lose => Self::Lose { writes: rng.usize(1..12) },
            18 if may_lose => Self::Wipe,
            19 => Self::Forget { partition },
            _ => Self::Crash { partition, gap_ms: 0 },
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: usize = self.log.iter().map(Vec::len).sum();
        let Self { seed, partitions, knobs, faults, .. } = self;
        write!(out, "seed {seed}: {records} records in {partitions} partitions, {knobs:?}")?;
        for (moment, fault) in faults {
            write!(out, "\n  {:.3} s {fault:?}", moment.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_plan_and_another_seed_another() {
        let plan = |seed| format!("{}", Plan::new(seed));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }
}
