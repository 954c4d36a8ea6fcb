//! How faults are drawn: which kinds how often, and their parameters.

use std::ops::RangeInclusive;

use clap::ValueEnum as _;
use fastrand::Rng;

use super::fault::{Disturbance, Fault, Kind, Link, Variant, Way};
use super::plan::{MOST_WORKERS, ROUTES};

/// Shorter than a worker's session of 6 s, and longer.
const NAP_MS: RangeInclusive<u64> = 100..=4_000;
const LONG_SLEEP_MS: RangeInclusive<u64> = 6_500..=8_000;
/// A worker waits 5 s for an answer of the store: some pauses exceed that.
const STORE_PAUSE_MS: RangeInclusive<u64> = 100..=6_500;
const LOSS_MS: RangeInclusive<u64> = 100..=1_500;

/// A kind's share of all faults. The ones that make everybody wait for long come seldom.
const fn weight(kind: Kind) -> u32 {
    match kind {
        Kind::Kill => 12,
        Kind::Terminate | Kind::Scale => 8,
        Kind::Reconfigure | Kind::Failover | Kind::OldPrimary | Kind::RestoreStore => 6,
        Kind::KillStore | Kind::DelayStore | Kind::CutStore | Kind::HalfOpenStore => 5,
        Kind::DelayKafka | Kind::CutKafka | Kind::Clock | Kind::Grow | Kind::Freeze => 4,
        Kind::HalfOpenKafka | Kind::Storm | Kind::PauseStore => 3,
        Kind::Oversleep | Kind::KillBroker | Kind::PauseBroker => 2,
    }
}

/// Draws a kind from `only`, or from all when that is empty.
pub(super) fn kind(only: &[Kind], rng: &mut Rng) -> Kind {
    let kinds = if only.is_empty() { Kind::value_variants() } else { only };
    let mut left = rng.u32(..kinds.iter().map(|kind| weight(*kind)).sum::<u32>());
    for kind in kinds {
        match left.checked_sub(weight(*kind)) {
            Some(rest) => left = rest,
            None => return *kind,
        }
    }
    unreachable!("what was drawn lies below the sum of the weights")
}

/// A fault of this kind.
pub(super) fn fault(kind: Kind, rng: &mut Rng) -> Fault {
    match kind {
        Kind::Kill => Fault::Kill,
        Kind::Terminate => Fault::Terminate,
        Kind::Scale => Fault::Scale { workers: workers(rng) },
        Kind::Storm => {
            let workers = std::array::from_fn(|_| workers(rng));
            Fault::Storm { workers, every_ms: rng.u64(50..=500) }
        }
        Kind::Freeze => Fault::Freeze { ms: rng.u64(NAP_MS) },
        Kind::Oversleep => Fault::Freeze { ms: rng.u64(LONG_SLEEP_MS) },
        Kind::Reconfigure => Fault::Reconfigure(variant(rng)),
        Kind::KillBroker => Fault::KillBroker,
        Kind::PauseBroker => Fault::PauseBroker { ms: rng.u64(NAP_MS) },
        Kind::KillStore => Fault::KillStore,
        Kind::PauseStore => Fault::PauseStore { ms: rng.u64(STORE_PAUSE_MS) },
        Kind::RestoreStore => Fault::RestoreStore { from_ms_ago: rng.u64(LOSS_MS) },
        Kind::Failover => Fault::Failover { from_ms_ago: rng.u64(LOSS_MS) },
        Kind::OldPrimary => Fault::OldPrimary {
            from_ms_ago: rng.u64(LOSS_MS),
            route: rng.usize(..ROUTES),
            ms: rng.u64(500..=3_000),
        },
        Kind::DelayKafka => disturb(Link::Kafka, delay(rng), 1_000..=4_000, rng),
        Kind::DelayStore => disturb(Link::Store, delay(rng), 1_000..=4_000, rng),
        Kind::CutKafka => disturb(Link::Kafka, Disturbance::Cut, 100..=3_000, rng),
        Kind::CutStore => disturb(Link::Store, Disturbance::Cut, 100..=3_000, rng),
        Kind::HalfOpenKafka => disturb(Link::Kafka, half_open(rng), 500..=6_500, rng),
        Kind::HalfOpenStore => disturb(Link::Store, half_open(rng), 500..=6_500, rng),
        Kind::Clock => Fault::Clock { ahead_ms: clock(rng) },
        Kind::Grow => Fault::Grow { partitions: rng.usize(1..=4) },
    }
}

fn workers(rng: &mut Rng) -> usize {
    rng.usize(1..=MOST_WORKERS)
}

fn variant(rng: &mut Rng) -> Variant {
    Variant {
        max_records: one_of(&[10, 100, 2_000, 10_000], rng),
        max_delay_ms: one_of(&[1, 20, 200], rng),
        max_value_bytes: one_of(&[1_024, 2_048, 16_384], rng),
        memory_budget_mib: one_of(&[4, 32], rng),
    }
}

fn disturb(link: Link, disturbance: Disturbance, ms: RangeInclusive<u64>, rng: &mut Rng) -> Fault {
    let route = Some(rng.usize(..=ROUTES)).filter(|route| *route < ROUTES);
    Fault::Disturb { link, route, disturbance, ms: rng.u64(ms) }
}

fn delay(rng: &mut Rng) -> Disturbance {
    if rng.u8(..4) == 0 {
        return Disturbance::Slow { bytes_per_second: one_of(&[20_000, 100_000, 500_000], rng) };
    }
    let latency_ms = rng.u64(1..=300);
    Disturbance::Delay { latency_ms, jitter_ms: rng.u64(..=latency_ms) }
}

fn half_open(rng: &mut Rng) -> Disturbance {
    let way = one_of(&[Way::Upstream, Way::Downstream, Way::Both], rng);
    if rng.bool() { Disturbance::Hold(way) } else { Disturbance::Swallow(way) }
}

/// Back by up to an hour; ahead inside what workers accept (300 s); seldom so far ahead that they must refuse it.
fn clock(rng: &mut Rng) -> i64 {
    match rng.u8(..8) {
        0..4 => -rng.i64(1..=3_600_000),
        4..7 => rng.i64(1..=240_000),
        _ => 1_800_000,
    }
}

fn one_of<T: Copy>(choices: &[T], rng: &mut Rng) -> T {
    choices[rng.usize(..choices.len())]
}
