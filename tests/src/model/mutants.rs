//! The protocol with one part left out or replaced, each in a configuration that shows what the part is for.

use super::cases::{FALLING, FULL, ONE, THREE, TWO};
use super::config::{Config, Faults, Mutation, Record, ahead, latest, sum};

const NONE: Faults = Faults::NONE;
const REBALANCE: Faults = Faults { rebalances: 1, ..NONE };
const FAILOVER: Faults = Faults { failovers: 1, ..NONE };
const CRASH: Faults = Faults { crashes: 1, ..NONE };
const TIMEOUT: Faults = Faults { timeouts: 1, ..NONE };

const TURNED: &[Record] = &[latest(0, 2), latest(0, 1)];
const NET_ZERO: &[Record] = &[sum(0, 1), sum(0, -1)];
const REACHING: &[Record] = &[sum(0, 2)];
const TWICE: &[Record] = &[sum(0, 1), sum(0, 1)];
const JUDGED: &[Record] = &[sum(0, 1), ahead(0, 1)];
const JUDGED_FIRST: &[Record] = &[ahead(0, 1), sum(1, 1)];
const FREED: &[Record] = &[sum(0, 2), sum(0, -2)];

fn one(name: &'static str, mutation: Mutation, log: &'static [Record], faults: Faults) -> Config {
    let slots: &[u8] = if faults.rebalances > 0 { &[0, 0] } else { &[0] };
    Config { slots, mutation, script: 1, replay_lost_store: true, faults, ..Config::new(name, [log, &[]]) }
}

fn two(name: &'static str, mutation: Mutation, logs: [&'static [Record]; 2], faults: Faults) -> Config {
    Config { slots: &[0, 1], mutation, script: 1, faults, ..Config::new(name, logs) }
}

/// Those that break something.
pub fn harmful() -> Vec<Config> {
    let both = Faults { failovers: 1, timeouts: 1, ..NONE };
    vec![
        one("no watermark", Mutation::NoWatermark, TWO, TIMEOUT),
        two("one watermark for all partitions", Mutation::OneWatermark, [ONE, ONE], NONE),
        one("commit before write", Mutation::CommitBeforeWrite, TWO, NONE),
        one("timeout as success", Mutation::TimeoutIsSuccess, TWO, TIMEOUT),
        one("latest by arrival", Mutation::LatestByArrival, TURNED, NONE),
        Config {
            fenced: false,
            ..one("net-zero sum not written, no fence", Mutation::NetZeroNotWritten, NET_ZERO, REBALANCE)
        },
        one(
            "net-zero sum not written",
            Mutation::NetZeroNotWritten,
            NET_ZERO,
            Faults { failovers: 1, ..REBALANCE },
        ),
        Config { tier: Some(2), ..one("unlock before CAS", Mutation::UnlockBeforeCas, FALLING, REBALANCE) },
        Config { tier: Some(1), ..one("unlock without outbox", Mutation::NoOutbox, ONE, CRASH) },
        Config {
            tier: Some(2),
            ..two(
                "unlock taken for sent by its offset alone",
                Mutation::AnnouncedByOffset,
                [REACHING, TWICE],
                CRASH,
            )
        },
        one("batch kept over a rewind", Mutation::BatchKeptOverRewind, TWO, FAILOVER),
        Config { fenced: false, ..one("no fence", Mutation::None, TWO, FAILOVER) },
        one("fence by position", Mutation::FenceByPosition, TWO, FAILOVER),
        one("fence by nonce", Mutation::FenceByNonce, TWO, FAILOVER),
        two("position set after a partial script", Mutation::PositionAfterPart, [TWO, ONE], NONE),
        Config { tier: Some(1), ..one("restart at position", Mutation::RestartAtPosition, ONE, REBALANCE) },
        Config { tier: Some(1), ..one("start without settled", Mutation::NoSettled, ONE, CRASH) },
        one("dead letter after the script", Mutation::DeadLetterAfterScript, JUDGED, CRASH),
        Config {
            limit: Some(2),
            ..two(
                "overflow's dead letter before the script",
                Mutation::OverflowBeforeCas,
                [FULL, FREED],
                NONE,
            )
        },
        one("verdict forgotten with a failed round", Mutation::VerdictOfPlan, JUDGED_FIRST, TIMEOUT),
        one("expected IDs never forgotten", Mutation::ExpectedNeverPruned, TWO, both),
        Config {
            newcomers: true,
            ..one("newcomers written without a look", Mutation::NewcomersUnchecked, TWICE, CRASH)
        },
        one("cache kept over a store loss", Mutation::CacheKept, TWO, FAILOVER),
        two("write ID per lane, two partitions", Mutation::HeaderIdPerLane, [NET_ZERO, ONE], FAILOVER),
        two("CAS by version, two partitions", Mutation::CasByVersion, [NET_ZERO, ONE], FAILOVER),
    ]
}

/// Those that break nothing.
pub fn harmless() -> Vec<Config> {
    let moved = Faults { failovers: 1, ..REBALANCE };
    let doubted = Faults { timeouts: 1, ..REBALANCE };
    vec![
        one(
            "cache kept after a revocation",
            Mutation::CacheKept,
            THREE,
            Faults { rebalances: 1, timeouts: 1, ..NONE },
        ),
        one("no self-recognition", Mutation::NoSelfRecognition, THREE, doubted),
        one("no self-recognition, a failover", Mutation::NoSelfRecognition, THREE, both_of(TIMEOUT)),
        one("write ID per lane, one partition", Mutation::HeaderIdPerLane, TWO, moved),
    ]
}

const fn both_of(faults: Faults) -> Faults {
    Faults { failovers: 1, ..faults }
}

/// Lanes that take the fence from each other, and whether every run comes to its end.
pub fn contention() -> Vec<(Config, bool)> {
    let config = |name, faults| one(name, Mutation::None, ONE, faults);
    let three = |config: Config| Config { slots: &[0, 0, 0], ..config };
    vec![
        (config("a zombie takes the fence once more", Faults { restarts: 1, ..REBALANCE }), true),
        (config("owner and zombie take it twice more", Faults { restarts: 2, ..REBALANCE }), true),
        (three(config("two zombies and an owner", Faults { rebalances: 2, ..NONE })), true),
        (Config { zombies_restart: true, ..config("a zombie that starts again for ever", REBALANCE) }, false),
        (
            Config {
                zombies_restart: true,
                restart_confirms: true,
                ..config("the same, but each start is confirmed", REBALANCE)
            },
            true,
        ),
        (
            Config {
                mutation: Mutation::ConfirmNotNoted,
                ..config("the committer does not note what confirmed", Faults { failovers: 2, ..NONE })
            },
            false,
        ),
    ]
}
