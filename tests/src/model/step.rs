//! The steps of the model, each with the sentence that traces show.

use std::fmt;

use super::words::Slot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A starting lane reads the group's commit.
    Ask(Slot),
    /// It reads the fence, decides where to start, and replaces the fence.
    Take(Slot),
    /// The same, and the answer is lost: it starts over.
    TakeUnheard(Slot),
    /// A batch is drained and loaded, its verdicts' letters and its scripts are sent.
    Load(Slot, Load),
    /// The players that are left are loaded, and their scripts sent.
    Reload(Slot, How),
    /// The store runs the next script.
    Run(Slot),
    /// The lane gets the answers of all its scripts.
    Receive(Slot),
    /// The answers do not come; what was sent may still run.
    TimeOut(Slot),
    /// The server refuses the next script, and the answers of those before come.
    Refuse(Slot),
    /// What the batch owes is sent and acknowledged.
    Send(Slot),
    /// The fence is moved without players.
    Flush(Slot),
    /// An idle lane reads its fence.
    Verify(Slot),
    /// The lane shows its committable after a start.
    Publish(Slot),
    /// The group accepts the lane's commit.
    Commit(Slot),
    /// The group accepts a commit of a lane that lost its partition.
    StrayCommit(Slot),
    /// The group accepts a commit of a lane that lost its fence.
    Confirm(Slot),
    Restart(Slot),
    Crash(Slot),
    /// A lane that owns nothing any more notices it.
    End(Slot),
    Rebalance(u8),
    RunLate(u8),
    Resend(Slot),
    Replicate,
    FailOver,
    Promote,
    Reconnect(Slot),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub records: u8,
    pub clock_refuses: bool,
    pub how: How,
}

/// Where players come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Read,
    /// From the cache where they are in it.
    Cached,
    /// Taken for new unless they are in the cache.
    Presumed,
    /// Read, but the last one cannot be.
    InPart,
}

impl Step {
    /// The lane that takes it.
    pub fn slot(self) -> Option<Slot> {
        match self {
            Self::Ask(slot)
            | Self::Take(slot)
            | Self::TakeUnheard(slot)
            | Self::Load(slot, _)
            | Self::Reload(slot, _)
            | Self::Run(slot)
            | Self::Receive(slot)
            | Self::TimeOut(slot)
            | Self::Refuse(slot)
            | Self::Send(slot)
            | Self::Flush(slot)
            | Self::Verify(slot)
            | Self::Publish(slot)
            | Self::Commit(slot)
            | Self::Confirm(slot)
            | Self::Restart(slot)
            | Self::Crash(slot)
            | Self::End(slot)
            | Self::Resend(slot)
            | Self::StrayCommit(slot)
            | Self::Reconnect(slot) => Some(slot),
            Self::Rebalance(_) | Self::RunLate(_) | Self::Replicate | Self::FailOver | Self::Promote => None,
        }
    }

    /// Something goes wrong, or is not bound to happen.
    pub fn is_fault(self) -> bool {
        match self {
            Self::TakeUnheard(_)
            | Self::Load(_, Load { how: How::InPart, .. })
            | Self::Reload(_, How::InPart)
            | Self::TimeOut(_)
            | Self::Refuse(_)
            | Self::Restart(_)
            | Self::Crash(_)
            | Self::Rebalance(_)
            | Self::RunLate(_)
            | Self::Resend(_)
            | Self::StrayCommit(_)
            | Self::Replicate
            | Self::FailOver
            | Self::Promote => true,
            Self::Ask(_)
            | Self::Take(_)
            | Self::Load(..)
            | Self::Reload(..)
            | Self::Run(_)
            | Self::Receive(_)
            | Self::Send(_)
            | Self::Flush(_)
            | Self::Verify(_)
            | Self::Publish(_)
            | Self::Commit(_)
            | Self::Confirm(_)
            | Self::End(_)
            | Self::Reconnect(_) => false,
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "",
            Self::Cached => " from its cache",
            Self::Presumed => " taking players for new",
            Self::InPart => " but cannot read the last player",
        })
    }
}

/// Lanes are called by the place where they run.
pub fn lane(slot: Slot) -> char {
    char::from(b'A' + slot)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ask(slot) => write!(f, "{} reads the commit", lane(slot)),
            Self::Take(slot) => write!(f, "{} takes the fence", lane(slot)),
            Self::TakeUnheard(slot) => write!(f, "{} takes the fence unheard", lane(slot)),
            Self::Load(slot, Load { records, clock_refuses, how }) => {
                let clock = if clock_refuses { ", its clock refuses" } else { "" };
                write!(f, "{} loads a batch of {records}{how}{clock}", lane(slot))
            }
            Self::Reload(slot, how) => write!(f, "{} loads what is left{how}", lane(slot)),
            Self::Run(slot) => write!(f, "{}'s script runs", lane(slot)),
            Self::Receive(slot) => write!(f, "{} gets its answers", lane(slot)),
            Self::TimeOut(slot) => write!(f, "{} gives up waiting", lane(slot)),
            Self::Refuse(slot) => write!(f, "{}'s script is refused by the server", lane(slot)),
            Self::Send(slot) => write!(f, "{} sends what it owes", lane(slot)),
            Self::Flush(slot) => write!(f, "{} moves its fence", lane(slot)),
            Self::Verify(slot) => write!(f, "{} looks at its fence", lane(slot)),
            Self::Publish(slot) => write!(f, "{} shows its start", lane(slot)),
            Self::StrayCommit(slot) => write!(f, "{} commits what is not its own", lane(slot)),
            Self::Commit(slot) => write!(f, "{} commits", lane(slot)),
            Self::Confirm(slot) => write!(f, "{} is confirmed", lane(slot)),
            Self::Restart(slot) => write!(f, "{} starts again by itself", lane(slot)),
            Self::Crash(slot) => write!(f, "{} dies and is replaced", lane(slot)),
            Self::End(slot) => write!(f, "{} ends", lane(slot)),
            Self::Rebalance(partition) => write!(f, "partition {partition} goes to another worker"),
            Self::RunLate(at) => write!(f, "late script {at} runs"),
            Self::Resend(slot) => write!(f, "{}'s scripts are sent twice", lane(slot)),
            Self::Replicate => f.write_str("the replica has all so far"),
            Self::FailOver => f.write_str("the store falls back to the replica"),
            Self::Promote => f.write_str("the replica is promoted, the old primary goes on"),
            Self::Reconnect(slot) => write!(f, "{} finds the new primary", lane(slot)),
        }
    }
}
