//! Why a lane cannot simply go on.

use super::shared::StopReason;
use crate::store::StoreError;

/// The end of a lane's present run.
#[derive(Debug)]
pub enum Halt {
    /// It was told to stop.
    Stopped,
    /// The fence is in other hands, or the store lost writes.
    FenceLost,
    /// A person has to act.
    Park { reason: StopReason, message: String },
    /// The partition cannot be read on: start again.
    Restart { message: String },
}

/// What can go wrong between a lane and its store: some of it is worth another try.
#[derive(Debug)]
pub enum Trouble {
    /// The outcome is unknown: read again and let the watermarks tell what is left.
    Store(StoreError),
    Halt(Halt),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Halt> for Trouble {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}
