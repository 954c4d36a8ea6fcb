//! The configurations in which the protocol holds: small ones for every test run, and larger ones for `--deep`.

use super::config::{Config, Faults, Record, ahead, latest, malformed, sum};

/// A configuration and what is asked of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub config: Config,
    /// Every run comes to its end, too.
    pub live: bool,
}

const NONE: Faults = Faults::NONE;

/// Two players, the first one twice.
pub(super) const THREE: &[Record] = &[sum(0, 1), sum(1, 1), sum(0, 1)];
pub(super) const TWO: &[Record] = &[sum(0, 1), sum(1, 1)];
pub(super) const ONE: &[Record] = &[sum(0, 1)];
pub(super) const FALLING: &[Record] = &[sum(0, 2), sum(0, -1)];
const ONE_UNLOCK: &[Record] = &[sum(0, 2)];
const UNDECIDED: &[Record] = &[ahead(0, 1), sum(1, 1)];
const MIXED: &[Record] = &[latest(0, 2), latest(0, 1), sum(0, 1)];
const REFUSED: &[Record] = &[sum(0, 1), ahead(0, 1), malformed()];
pub(super) const FULL: &[Record] = &[sum(0, 2), sum(0, 1)];
const FREEING: &[Record] = &[sum(0, -1)];

/// One partition and one lane; a second place if the partition can move.
fn one(name: &'static str, log: &'static [Record], faults: Faults) -> Case {
    let slots: &[u8] = if faults.rebalances > 0 { &[0, 0] } else { &[0] };
    let config =
        Config { slots, script: 1, replay_lost_store: true, faults, ..Config::new(name, [log, &[]]) };
    Case { config, live: true }
}

/// Two partitions that share a player, as after partitions were added.
fn two(name: &'static str, logs: [&'static [Record]; 2], faults: Faults) -> Case {
    let slots: &[u8] = if faults.rebalances > 0 { &[0, 1, 0] } else { &[0, 1] };
    let config = Config { slots, script: 1, replay_lost_store: true, faults, ..Config::new(name, logs) };
    Case { config, live: true }
}

fn with(case: Case, change: impl FnOnce(&mut Config)) -> Case {
    let Case { mut config, live } = case;
    change(&mut config);
    Case { config, live }
}

fn unlocking(case: Case) -> Case {
    with(case, |config| config.tier = Some(2))
}

fn settling(case: Case) -> Case {
    with(case, |config| config.idle_flush = true)
}

fn presuming(case: Case) -> Case {
    with(case, |config| config.newcomers = true)
}

fn in_rounds(case: Case) -> Case {
    with(case, |config| config.round = 1)
}

/// A commit that the owner does not know of stays until its next one.
fn unconfirmed(case: Case) -> Case {
    Case { live: false, ..case }
}

fn overflowing(case: Case) -> Case {
    with(case, |config| config.limit = Some(2))
}

/// Exhausted in every test run.
pub fn small() -> Vec<Case> {
    let faults = NONE;
    vec![
        one("one lane", THREE, faults),
        one("lost answers, the same bytes sent twice", THREE, Faults { timeouts: 1, resends: 1, ..faults }),
        one("a crash, a lost answer", THREE, Faults { crashes: 1, timeouts: 1, ..faults }),
        one(
            "two lost answers, a refusal by the server",
            THREE,
            Faults { timeouts: 2, refusals: 1, ..faults },
        ),
        one("older after newer, a rebalance", MIXED, Faults { rebalances: 1, ..faults }),
        unlocking(one("unlock, a rebalance", TWO, Faults { rebalances: 1, ..faults })),
        unlocking(one(
            "unlock that falls again, a crash, a failover",
            FALLING,
            Faults { crashes: 1, failovers: 1, ..faults },
        )),
        one("two scripts, a lost answer, a failover", THREE, Faults { timeouts: 1, failovers: 1, ..faults }),
        one("two failovers", THREE, Faults { failovers: 2, ..faults }),
        one("the old primary goes on, a crash", TWO, Faults { promotions: 1, crashes: 1, ..faults }),
        settling(one("idle lanes, a rebalance", TWO, Faults { rebalances: 1, ..faults })),
        unconfirmed(one(
            "a stray commit, a rebalance",
            TWO,
            Faults { rebalances: 1, stray_commits: 1, ..faults },
        )),
        in_rounds(one("two rounds, two lost answers", THREE, Faults { timeouts: 2, ..faults })),
        in_rounds(one(
            "two rounds, a crash, a failover",
            THREE,
            Faults { crashes: 1, failovers: 1, ..faults },
        )),
        presuming(one(
            "newcomers, a crash, a lost answer",
            THREE,
            Faults { crashes: 1, timeouts: 1, ..faults },
        )),
        presuming(one(
            "newcomers, a failover, a lost answer",
            THREE,
            Faults { failovers: 1, timeouts: 1, ..faults },
        )),
        presuming(one(
            "dead letters, a crash, a lost answer",
            REFUSED,
            Faults { crashes: 1, timeouts: 1, ..faults },
        )),
        one("dead letters, a crash, a failover", REFUSED, Faults { crashes: 1, failovers: 1, ..faults }),
        one(
            "a verdict on one player, the other's read fails",
            UNDECIDED,
            Faults { timeouts: 2, crashes: 1, ..faults },
        ),
        two("two partitions, a crash", [TWO, ONE], Faults { crashes: 1, ..faults }),
        unlocking(two("two partitions, unlock, a lost answer", [TWO, ONE], Faults { timeouts: 1, ..faults })),
        two("two partitions, a failover", [TWO, ONE], Faults { failovers: 1, ..faults }),
        presuming(two("two partitions, newcomers", [TWO, ONE], faults)),
        overflowing(two(
            "two partitions, overflow, a crash",
            [FULL, FREEING],
            Faults { crashes: 1, ..faults },
        )),
    ]
}

/// Exhausted with `--deep`.
pub fn deep() -> Vec<Case> {
    let mut cases = deep_one();
    cases.extend(deep_two());
    cases
}

fn deep_one() -> Vec<Case> {
    let faults = NONE;
    vec![
        unlocking(one("a rebalance, a lost answer", THREE, Faults { rebalances: 1, timeouts: 1, ..faults })),
        one("two rebalances", THREE, Faults { rebalances: 2, ..faults }),
        one("a rebalance, the same bytes sent twice", THREE, Faults { rebalances: 1, resends: 1, ..faults }),
        unlocking(one("a rebalance, a failover", TWO, Faults { rebalances: 1, failovers: 1, ..faults })),
        unlocking(one(
            "a rebalance, a failover, three records",
            THREE,
            Faults { rebalances: 1, failovers: 1, ..faults },
        )),
        one("two lost answers, a failover", THREE, Faults { timeouts: 2, failovers: 1, ..faults }),
        one(
            "two failovers, a crash, a lost answer",
            TWO,
            Faults { failovers: 2, crashes: 1, timeouts: 1, ..faults },
        ),
        one("a rebalance, the old primary goes on", TWO, Faults { rebalances: 1, promotions: 1, ..faults }),
        unconfirmed(one(
            "a stray commit, a rebalance, a failover",
            TWO,
            Faults { rebalances: 1, stray_commits: 1, failovers: 1, ..faults },
        )),
        in_rounds(one(
            "two rounds, a rebalance, a lost answer",
            THREE,
            Faults { rebalances: 1, timeouts: 1, ..faults },
        )),
        presuming(one("newcomers, a rebalance", THREE, Faults { rebalances: 1, ..faults })),
        presuming(one(
            "newcomers, a rebalance, a failover",
            TWO,
            Faults { rebalances: 1, failovers: 1, ..faults },
        )),
        one(
            "dead letters, a rebalance, a lost answer",
            REFUSED,
            Faults { rebalances: 1, timeouts: 1, ..faults },
        ),
        one(
            "dead letters, a rebalance, a failover",
            REFUSED,
            Faults { rebalances: 1, failovers: 1, ..faults },
        ),
        settling(one("idle lanes, a crash, a failover", TWO, Faults { crashes: 1, failovers: 1, ..faults })),
        unlocking(one(
            "two rebalances, a failover",
            ONE_UNLOCK,
            Faults { rebalances: 2, failovers: 1, ..faults },
        )),
        one("a rebalance, two failovers", TWO, Faults { rebalances: 1, failovers: 2, ..faults }),
        one(
            "a rebalance, a lost answer, a failover",
            TWO,
            Faults { rebalances: 1, timeouts: 1, failovers: 1, ..faults },
        ),
    ]
}

fn deep_two() -> Vec<Case> {
    let faults = NONE;
    vec![
        two(
            "two partitions, a rebalance, a failover",
            [ONE, ONE],
            Faults { rebalances: 1, failovers: 1, ..faults },
        ),
        two("two partitions, a crash, a failover", [TWO, ONE], Faults { crashes: 1, failovers: 1, ..faults }),
        two(
            "two partitions, a lost answer, a failover",
            [TWO, ONE],
            Faults { timeouts: 1, failovers: 1, ..faults },
        ),
        two("two partitions, two failovers", [TWO, ONE], Faults { failovers: 2, ..faults }),
        unlocking(two("two partitions, a rebalance, unlock", [TWO, ONE], Faults { rebalances: 1, ..faults })),
        two("two partitions, the old primary goes on", [TWO, ONE], Faults { promotions: 1, ..faults }),
        presuming(two(
            "two partitions, newcomers, a failover",
            [TWO, ONE],
            Faults { failovers: 1, ..faults },
        )),
        overflowing(two(
            "two partitions, overflow, a rebalance",
            [FULL, FREEING],
            Faults { rebalances: 1, ..faults },
        )),
        overflowing(two(
            "two partitions, overflow, a lost answer",
            [FULL, FREEING],
            Faults { timeouts: 1, ..faults },
        )),
    ]
}

/// Too large to be exhausted: walked through at random.
pub fn random() -> Vec<Config> {
    const FIVE: &[Record] = &[sum(0, 2), sum(1, 1), latest(0, 2), sum(0, -1), latest(0, 1)];
    const OTHER: &[Record] = &[sum(0, 2), ahead(1, 1), malformed()];
    let much = Faults {
        rebalances: 3,
        crashes: 2,
        timeouts: 3,
        resends: 1,
        refusals: 1,
        failovers: 2,
        promotions: 1,
        restarts: 1,
        stray_commits: 1,
    };
    let large = |name, logs, slots| Config {
        slots,
        batch: 3,
        newcomers: true,
        idle_flush: true,
        tier: Some(2),
        replay_lost_store: true,
        faults: much,
        ..Config::new(name, logs)
    };
    let calm = Faults { failovers: 0, promotions: 0, ..much };
    let one: [&'static [Record]; 2] = [FIVE, &[]];
    vec![
        Config { script: 1, ..large("random: one partition", one, &[0, 0, 0]) },
        Config { script: 1, ..large("random: two partitions", [FIVE, OTHER], &[0, 1, 0, 1]) },
        Config {
            faults: calm,
            ..large("random: two partitions, no store loss", [FIVE, OTHER], &[0, 1, 0, 1])
        },
        Config {
            limit: Some(2),
            script: 1,
            ..large("random: two partitions, overflow", [FIVE, OTHER], &[0, 1, 0, 1])
        },
    ]
}
