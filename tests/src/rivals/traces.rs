//! The traces: those of `examples/traces`, which are made here, and random ones that nothing was chosen by.

use std::f64::consts::TAU;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use plaudit::simulate::{Row, Trace};

/// Of the named traces.
const PARTITIONS: usize = 12;
/// A trace is an hour, in steps of ten seconds: a row is noise enough, and the files stay small.
const SECONDS: u64 = 3600;
const STEP: u64 = 10;

/// A row of a second.
type Maker = fn(u64, &mut Rng) -> Row;

/// The files of `examples/traces`, by name. The simulated worker takes 1000 records a second.
pub fn named() -> Vec<(String, Trace)> {
    let makers: [(&str, Maker); 8] = [
        ("steady", |second, rng| row(second, 3000.0, 0.03, rng)),
        ("step", |second, rng| {
            row(second, if (900..2400).contains(&second) { 6000.0 } else { 1500.0 }, 0.03, rng)
        }),
        ("spikes", |second, rng| {
            row(second, if (300..340).contains(&(second % 600)) { 8000.0 } else { 1200.0 }, 0.05, rng)
        }),
        ("sine", |second, rng| row(second, 3500.0 + 3000.0 * wave(second, 1800), 0.03, rng)),
        ("diurnal", |second, rng| {
            let day = (3500.0 - 3200.0 * (TAU * seconds(second) / 3600.0).cos()).max(100.0);
            row(second, day * noise(rng, 0.1), 0.1, rng)
        }),
        ("hot-partition", |second, rng| {
            let mut row = row(second, 1800.0, 0.05, rng);
            if (900..2400).contains(&second) {
                row.produced[5] = Some(900.0);
            }
            row
        }),
        ("broker-outage", |second, rng| match second {
            1200..1380 => Row { second, produced: vec![None; PARTITIONS], capacity: 1.0 },
            1380..1440 => row(second, 9000.0, 0.05, rng),
            _ => row(second, 3000.0, 0.05, rng),
        }),
        ("slow-store", |second, rng| {
            let capacity = if (1200..1800).contains(&second) { 0.35 } else { 1.0 };
            Row { capacity, ..row(second, 2500.0, 0.05, rng) }
        }),
    ];
    makers
        .into_iter()
        .zip(1..)
        .map(|((name, make), seed)| {
            let mut rng = Rng::with_seed(seed);
            let rows = (0..SECONDS / STEP).map(|index| make(index * STEP, &mut rng)).collect();
            (name.to_owned(), Trace::new(PARTITIONS, rows).expect("rows ascend"))
        })
        .collect()
}

/// Traces of random mixtures: partitions, level, noise, waves, steps, spikes, a hot partition, an outage, a slow store.
pub fn random(seeds: Range<u64>) -> Vec<(String, Trace)> {
    seeds.map(|seed| (format!("seed {seed}"), mixture(seed))).collect()
}

/// Where the files lie.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/traces").join(format!("{name}.csv"))
}

/// Writes the named traces.
pub fn write() -> Result<()> {
    for (name, trace) in named() {
        let path = path(&name);
        std::fs::create_dir_all(path.parent().expect("it is in a folder"))
            .and_then(|()| std::fs::write(&path, trace.to_csv()))
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

fn row(second: u64, total: f64, spread: f64, rng: &mut Rng) -> Row {
    let each = total / f64::from(u32::try_from(PARTITIONS).expect("a few"));
    let produced = (0..PARTITIONS).map(|_| Some((each * noise(rng, spread)).round())).collect();
    Row { second, produced, capacity: 1.0 }
}

/// A factor about 1: nearly normal, never negative.
fn noise(rng: &mut Rng, spread: f64) -> f64 {
    let sum: f64 = (0..12).map(|_| rng.f64()).sum();
    (1.0 + spread * (sum - 6.0)).max(0.0)
}

fn wave(second: u64, period: u64) -> f64 {
    (TAU * seconds(second) / seconds(period)).sin()
}

fn seconds(second: u64) -> f64 {
    f64::from(u32::try_from(second).unwrap_or(u32::MAX))
}

/// Something that lasts for a while.
struct Episode {
    seconds: Range<u64>,
    value: f64,
}

impl Episode {
    /// Somewhere in the trace, `least` to `most` seconds long.
    fn draw(rng: &mut Rng, (least, most): (u64, u64), value: f64) -> Self {
        let length = rng.u64(least..=most);
        let begin = rng.u64(300..SECONDS - length);
        Self { seconds: begin..begin + length, value }
    }

    fn at(&self, second: u64) -> Option<f64> {
        self.seconds.contains(&second).then_some(self.value)
    }
}

fn mixture(seed: u64) -> Trace {
    let mut rng = Rng::with_seed(0x9e37_79b9_7f4a_7c15 ^ seed);
    let partitions = rng.choice([4_usize, 8, 12, 16, 24]).expect("there are some");
    let count = f64::from(u32::try_from(partitions).expect("a few"));
    let level = rng.f64() * 0.45 * count * 1000.0 + 300.0;
    let spread = 0.02 + 0.15 * rng.f64();
    let (amplitude, period) = if rng.bool() { (0.8 * rng.f64(), rng.u64(600..3600)) } else { (0.0, 1) };
    let steps: Vec<Episode> = (0..rng.u32(0..3))
        .map(|_| {
            let factor = 0.2 + 2.0 * rng.f64();
            Episode::draw(&mut rng, (300, 1800), factor)
        })
        .collect();
    let spikes: Vec<Episode> = (0..rng.u32(0..5))
        .map(|_| {
            let factor = 2.0 + 3.0 * rng.f64();
            Episode::draw(&mut rng, (20, 120), factor)
        })
        .collect();
    let hot = rng.bool().then(|| {
        let rate = 300.0 + 1000.0 * rng.f64();
        (rng.usize(0..partitions), Episode::draw(&mut rng, (300, 1500), rate))
    });
    let outage = (rng.u8(0..3) == 0).then(|| Episode::draw(&mut rng, (30, 240), 0.0));
    let slow = (rng.u8(0..3) == 0).then(|| {
        let factor = 0.3 + 0.6 * rng.f64();
        Episode::draw(&mut rng, (120, 900), factor)
    });
    let weights: Vec<f64> = (0..partitions).map(|_| 0.7 + 0.6 * rng.f64()).collect();
    let rows = (0..SECONDS / STEP).map(|index| index * STEP).map(|second| {
        let factor =
            |episodes: &[Episode]| episodes.iter().filter_map(|episode| episode.at(second)).product::<f64>();
        let wave = if amplitude > 0.0 { 1.0 + amplitude * wave(second, period) } else { 1.0 };
        let total = level * wave * factor(&steps) * factor(&spikes);
        let gone = outage.as_ref().is_some_and(|outage| outage.at(second).is_some());
        let produced = weights.iter().enumerate().map(|(index, weight)| {
            let own =
                hot.as_ref().filter(|(partition, _)| *partition == index).and_then(|(_, hot)| hot.at(second));
            let rate = own.unwrap_or(total / count * weight) * noise(&mut rng, spread);
            (!gone).then_some(rate.round())
        });
        let produced = produced.collect();
        Row { second, produced, capacity: slow.as_ref().and_then(|slow| slow.at(second)).unwrap_or(1.0) }
    });
    Trace::new(partitions, rows.collect()).expect("rows ascend")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_the_ones_made_here() {
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            write().expect("the traces can be written");
        }

        let stale: Vec<String> = named()
            .into_iter()
            .filter(|(name, trace)| {
                std::fs::read_to_string(path(name)).ok().as_deref() != Some(&trace.to_csv())
            })
            .map(|(name, _)| name)
            .collect();

        assert_eq!(stale, Vec::<String>::new(), "run plaudit-tests rivals --write-traces");
    }
}
