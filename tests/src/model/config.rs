//! A configuration: the log, the lanes, what may go wrong how often, and the part of the protocol left out.

use super::words::PARTITIONS;

/// A record of the source topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub player: u8,
    /// Added to the player's sum; 0: the record has no such item.
    pub add: i8,
    /// Timestamp of an item of policy `latest`; 0: the record has no such item.
    pub time: u8,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Report,
    /// Cannot be decoded: a dead letter for everybody.
    Malformed,
    /// Refused by some clocks and accepted by others.
    AheadOfSomeClocks,
}

/// A report that adds to a player's sum.
pub const fn sum(player: u8, add: i8) -> Record {
    Record { player, add, time: 0, kind: Kind::Report }
}

/// A report of an achievement with policy `latest`.
pub const fn latest(player: u8, time: u8) -> Record {
    Record { player, add: 0, time, kind: Kind::Report }
}

pub const fn malformed() -> Record {
    Record { player: 0, add: 0, time: 0, kind: Kind::Malformed }
}

pub const fn ahead(player: u8, add: i8) -> Record {
    Record { player, add, time: 0, kind: Kind::AheadOfSomeClocks }
}

/// How often what may go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// The partition goes to another worker while the old lane runs on.
    pub rebalances: u8,
    /// An owner dies and a new lane starts.
    pub crashes: u8,
    /// An answer is lost; what was sent may still run.
    pub timeouts: u8,
    /// A client sends the same bytes again.
    pub resends: u8,
    /// The server refuses a script (OOM) after it ran those before.
    pub refusals: u8,
    /// The store goes back to an earlier state.
    pub failovers: u8,
    /// The same, and the old primary goes on serving those who have not noticed.
    pub promotions: u8,
    /// A lane starts again by itself.
    pub restarts: u8,
    /// The group takes a commit of a lane that has lost its partition: it compares generations, not owners.
    pub stray_commits: u8,
}

impl Faults {
    pub const NONE: Self = Self {
        rebalances: 0,
        crashes: 0,
        timeouts: 0,
        resends: 0,
        refusals: 0,
        failovers: 0,
        promotions: 0,
        restarts: 0,
        stray_commits: 0,
    };
}

/// One part of the protocol left out or replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    #[default]
    None,
    NoWatermark,
    OneWatermark,
    CommitBeforeWrite,
    TimeoutIsSuccess,
    LatestByArrival,
    NetZeroNotWritten,
    UnlockBeforeCas,
    NoOutbox,
    BatchKeptOverRewind,
    FenceByPosition,
    FenceByNonce,
    /// Compare-and-set by version alone.
    CasByVersion,
    PositionAfterPart,
    RestartAtPosition,
    NoSettled,
    DeadLetterAfterScript,
    /// IDs of unknown outcomes stay expected for ever.
    ExpectedNeverPruned,
    /// The dead letter of an overflow is sent before the script.
    OverflowBeforeCas,
    /// A write ID is the version and the lane's nonce.
    HeaderIdPerLane,
    /// Records stay in the cache when the fence is taken anew.
    CacheKept,
    /// Of its own scripts with unknown outcome a lane recognises none.
    NoSelfRecognition,
    /// The verdict on a player who is done is forgotten with the rest of a round that fails.
    VerdictOfPlan,
    /// A pending unlock below what the lane has processed counts as sent, of whichever partition it is.
    AnnouncedByOffset,
    /// A write that expects no record does not look whether there is one.
    NewcomersUnchecked,
    /// The committer does not learn of the commit that confirmed the lane.
    ConfirmNotNoted,
}

impl Mutation {
    /// Whether lanes' nonces are compared.
    pub fn compares_nonces(self) -> bool {
        matches!(self, Self::FenceByNonce | Self::HeaderIdPerLane)
    }
}

/// What is checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: &'static str,
    pub log: [&'static [Record]; PARTITIONS],
    /// The partition of each place where a lane may run; the first of each partition is assigned at the start.
    pub slots: &'static [u8],
    /// Records of a batch, at most.
    pub batch: u8,
    /// Players of a script, at most.
    pub script: usize,
    /// Players of a round, at most.
    pub round: usize,
    pub cache: bool,
    /// A player without a record in the cache may be taken for new.
    pub newcomers: bool,
    /// A sum that reaches it unlocks.
    pub tier: Option<i8>,
    /// A sum above it overflows.
    pub limit: Option<i8>,
    /// An idle lane lets its fence say what is settled.
    pub idle_flush: bool,
    /// The script compares the fence. Without, watermarks and write IDs are all there is.
    pub fenced: bool,
    /// `onStoreLoss: replay`.
    pub replay_lost_store: bool,
    /// A lane without its partition starts again by itself as often as it likes.
    pub zombies_restart: bool,
    /// A lane that starts again by itself is confirmed first.
    pub restart_confirms: bool,
    pub faults: Faults,
    pub mutation: Mutation,
}

impl Config {
    /// One partition with one lane and no faults.
    pub const fn new(name: &'static str, log: [&'static [Record]; PARTITIONS]) -> Self {
        Self {
            name,
            log,
            slots: &[0],
            batch: 2,
            script: 2,
            round: 8,
            cache: true,
            newcomers: false,
            tier: None,
            limit: None,
            idle_flush: false,
            fenced: true,
            replay_lost_store: false,
            zombies_restart: false,
            restart_confirms: false,
            faults: Faults::NONE,
            mutation: Mutation::None,
        }
    }

    /// Whether a script runs only on exactly the fence that it expects.
    pub fn compares_fence_exactly(&self) -> bool {
        self.fenced && !matches!(self.mutation, Mutation::FenceByPosition | Mutation::FenceByNonce)
    }

    pub fn end(&self, partition: usize) -> u8 {
        u8::try_from(self.log[partition].len()).unwrap_or(u8::MAX)
    }

    pub fn record(&self, partition: usize, offset: u8) -> Record {
        self.log[partition][usize::from(offset)]
    }
}
