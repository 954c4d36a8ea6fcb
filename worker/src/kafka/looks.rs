//! When a failed handshake is looked at more closely: one at a time, and seldom. A client that is kept out tries again several times a
//! second, and a look costs a handshake and, where no authority is named, reading all those that the system trusts.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lane::lock;

/// What was found once is found again until somebody mends it.
const REST: Duration = Duration::from_secs(5);
/// A server that said nothing yet may be starting.
const SHORT_REST: Duration = Duration::from_secs(1);

/// Takes turns.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    looking: bool,
    not_before: Option<Instant>,
}

impl Looks {
    /// False: one is under way, or was a moment ago.
    pub(super) fn begin(&self) -> bool {
        let mut state = lock(&self.0);
        let begins = !state.looking && state.not_before.is_none_or(|at| Instant::now() >= at);
        state.looking |= begins;
        begins
    }

    /// It is over; `found`: something was.
    pub(super) fn end(&self, found: bool) {
        let rest = if found { REST } else { SHORT_REST };
        *lock(&self.0) = State { looking: false, not_before: Some(Instant::now() + rest) };
    }

    /// True between [`Looks::begin`] and [`Looks::end`].
    pub(super) fn is_looking(&self) -> bool {
        lock(&self.0).looking
    }

    /// Something has changed: the next one need not wait.
    pub(super) fn renew(&self) {
        lock(&self.0).not_before = None;
    }
}
