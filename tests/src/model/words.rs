//! The words of the protocol as the model holds them: store, fence, player record, script, lane.
//!
//! Numbers are small: an offset is a `u8`, a set of offsets or players is a bit mask.

/// Partitions a model may have.
pub const PARTITIONS: usize = 2;
/// Players a model may have.
pub const PLAYERS: usize = 3;

/// A place where a lane of one partition runs: a worker.
pub type Slot = u8;

/// A write ID or fence ID. `part` tells the two names of one attempt apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// Nonce of the lane; 0 unless the configuration compares it.
    pub lane: u8,
    pub attempt: u8,
    pub part: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    pub id: Id,
    pub position: u8,
    pub settled: u8,
}

/// How far an unlock of a player's one tier has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unlock {
    #[default]
    NotReached,
    /// Stored with the value that reached the tier: the batch's partition, and the offset of its last record of the
    /// player. Who loads it sends it before the write that clears it, unless it is known to be sent.
    Pending {
        partition: u8,
        offset: u8,
    },
    Announced,
}

/// A stored player record. Its sum is that of the applied records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Player {
    pub version: u8,
    pub id: Option<Id>,
    /// Watermarks by partition.
    pub marks: [u8; PARTITIONS],
    /// Records whose value went into the sum, by partition.
    pub applied: [u8; PARTITIONS],
    /// A record was applied a second time.
    pub twice: bool,
    /// Source of the `latest` achievement: partition and offset.
    pub latest: Option<(u8, u8)>,
    /// Pending dead letters of sums that would overflow, by partition.
    pub refused: [u8; PARTITIONS],
    pub unlock: Unlock,
}

/// Version and write ID: what a compare-and-set compares.
pub type Header = Option<(u8, Id)>;

impl Player {
    pub fn header(&self) -> Header {
        self.id.map(|id| (self.version, id))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub fences: [Option<Fence>; PARTITIONS],
    pub players: [Option<Player>; PLAYERS],
}

/// One player of a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    pub player: u8,
    pub expected: Header,
    pub new: Player,
    /// It reaches the player's tier: only the mutation without an outbox needs to remember.
    pub reaches: bool,
}

/// One run of the batch script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Script {
    pub partition: u8,
    pub expects: Id,
    /// Position of the fence that the lane held: only a mutation compares it.
    pub held: u8,
    /// The fence when every player is written.
    pub ok: Fence,
    /// The fence when a player is refused.
    pub part: Fence,
    pub writes: Vec<Write>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Ok,
    /// All but these players are written.
    Part(u8),
    OtherFence(Option<Fence>),
}

/// An own script whose outcome is unknown, by the ID that it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unanswered {
    pub expects: Id,
    pub ok: Id,
    pub part: Id,
}

/// A batch on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    pub from: u8,
    pub upto: u8,
    /// The lane's clock refuses the records that a clock may refuse.
    pub clock_refuses: bool,
    /// Players still to do.
    pub todo: u8,
    /// Offsets whose dead letters are to be sent once the batch is stored.
    pub letters: u8,
    /// Players whose unlock is to be sent.
    pub unlocks: u8,
    /// Offsets of records that the clock refuses, of players who are done: due, even if the rest of a round fails.
    pub verdicts: u8,
    /// A player taken for new was not: the others are asked for.
    pub mistaken: bool,
}

/// What a lane that holds its fence knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    pub fence: Fence,
    pub unanswered: Vec<Unanswered>,
    pub processed: u8,
    pub doubt: bool,
    pub cache: [Option<Player>; PLAYERS],
    /// Offsets at or above `processed` whose dead letters this lane has sent.
    pub sent_letters: u8,
    pub job: Option<Job>,
    /// Scripts under way; the first ones are answered by `replies`.
    pub flight: Vec<Script>,
    pub replies: Vec<Reply>,
}

impl Run {
    pub fn committable(&self) -> u8 {
        self.processed.min(self.fence.position)
    }

    pub fn is_idle(&self) -> bool {
        self.job.is_none() && self.flight.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No lane runs here.
    Gone,
    Starting {
        own: Option<u8>,
    },
    /// It has read the group's commit.
    Asked {
        own: Option<u8>,
        committed: Option<u8>,
    },
    /// It lost its fence and waits until the group accepts a commit from it.
    Confirming {
        own: Option<u8>,
    },
    /// A person has to act.
    Stopped,
    Running(Box<Run>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    pub nonce: u8,
    pub phase: Phase,
    /// Its commands still go to the primary that was replaced.
    pub on_old: bool,
    /// What the committer sees as committable.
    pub published: Option<u8>,
    /// What the committer last committed for this lane.
    pub noted: Option<u8>,
    /// A batch that the mutation [`super::Mutation::BatchKeptOverRewind`] keeps.
    pub kept: Option<Job>,
    /// What the mutation [`super::Mutation::CacheKept`] keeps over a new take.
    pub cache: [Option<Player>; PLAYERS],
}

/// Scripts that nobody waits for any more, but which may still run, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Late {
    pub on_old: bool,
    pub scripts: Vec<Script>,
}
