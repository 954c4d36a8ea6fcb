//! A model of split records: two writers and a reader of one player whose record is a manifest with two chunks.
//!
//! The writers know nothing of a fence: compare-and-set on the manifest, names, expiry and the existence check have to do
//! alone. Every write makes a new first chunk, as a typical update does; a whole one makes both.

mod step;
mod store;

use std::fmt;

use stateright::{Model, Property};

use super::check::Checked;
pub use step::SplitStep;
use store::{Command, Manifest, Store};

/// One part of the protocol of split records replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitMutation {
    #[default]
    None,
    /// A chunk's name holds the version of the record.
    NamedByVersion,
    /// A chunk has the same name for ever.
    OverwrittenInPlace,
    /// Uploads are plain `SET … EX`.
    WithoutNx,
    /// The script does not look whether the chunks are there.
    NoExistenceCheck,
    /// `PERSIST` comes after the script.
    PersistApart,
}

/// What is checked.
#[derive(Clone, Debug)]
pub struct Split {
    pub name: &'static str,
    /// Attempts of each writer.
    pub attempts: [u8; 2],
    pub faults: SplitFaults,
    pub mutation: SplitMutation,
}

/// How often what may go wrong. A writer may give up, and a chunk may expire, at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SplitFaults {
    pub resends: u8,
    pub failovers: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SplitState {
    store: Store,
    replica: Option<Box<Store>>,
    writers: [Writer; 2],
    /// Commands that nobody waits for any more, in order.
    late: Vec<Vec<Command>>,
    reader: Reader,
    faults: SplitFaults,
}

/// A lane that writes the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Writer {
    attempts: u8,
    /// Sent and not yet run.
    sent: Vec<Command>,
}

/// Somebody who reads manifest and chunks one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Reader {
    #[default]
    Idle,
    /// It has the manifest and the contents of so many chunks.
    Has(Manifest, u8),
    /// What it put together is not what anybody wrote.
    Mixed,
}

impl Model for Split {
    type State = SplitState;
    type Action = SplitStep;

    fn init_states(&self) -> Vec<SplitState> {
        let writer = |attempts| Writer { attempts, sent: Vec::new() };
        vec![SplitState {
            store: Store::default(),
            replica: None,
            writers: self.attempts.map(writer),
            late: Vec::new(),
            reader: Reader::Idle,
            faults: self.faults,
        }]
    }

    fn actions(&self, state: &SplitState, steps: &mut Vec<SplitStep>) {
        step::enabled(state, steps);
    }

    fn next_state(&self, state: &SplitState, step: SplitStep) -> Option<SplitState> {
        let mut next = state.clone();
        step::apply(self, &mut next, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::exact()
    }
}

impl Checked for Split {
    fn breach(&self, state: &SplitState) -> Option<String> {
        if state.reader == Reader::Mixed {
            return Some("a reader put together what nobody wrote".to_owned());
        }
        let manifest = state.store.manifest.as_ref()?;
        (0..).zip(&manifest.chunks).find_map(|(index, chunk): (u8, _)| match state.store.chunk(chunk.name) {
            None => Some(format!("chunk {index} of the record is gone")),
            Some(found) if found.content != chunk.content => {
                Some(format!("chunk {index} of the record is another write's"))
            }
            Some(_) => None,
        })
    }
}

impl fmt::Display for SplitMutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The configurations in which split records hold; the second is larger.
pub fn split_sound() -> Vec<Split> {
    let split = |name, attempts, faults| Split { name, attempts, faults, mutation: SplitMutation::None };
    let none = SplitFaults::default();
    vec![
        split("split: two writers, a reader", [1, 1], none),
        split("split: sent twice", [1, 1], SplitFaults { resends: 1, ..none }),
        split("split: sent twice, a failover", [1, 1], SplitFaults { resends: 1, failovers: 1 }),
    ]
}

/// Larger ones.
pub fn split_deep() -> Vec<Split> {
    let split = |name, attempts, faults| Split { name, attempts, faults, mutation: SplitMutation::None };
    let none = SplitFaults::default();
    vec![
        split("split: three writes", [2, 1], none),
        split("split: three writes, sent twice", [2, 1], SplitFaults { resends: 1, ..none }),
        split("split: three writes, a failover", [2, 1], SplitFaults { failovers: 1, ..none }),
        split("split: four writes", [2, 2], none),
    ]
}

/// Those that break something.
pub fn split_harmful() -> Vec<Split> {
    let split = |name, mutation, resends| Split {
        name,
        attempts: [1, 1],
        faults: SplitFaults { resends, failovers: 0 },
        mutation,
    };
    vec![
        split("split: chunk named by version", SplitMutation::NamedByVersion, 0),
        split("split: chunk overwritten in place", SplitMutation::OverwrittenInPlace, 0),
        split("split: chunk SET without NX", SplitMutation::WithoutNx, 1),
        split("split: no existence check", SplitMutation::NoExistenceCheck, 0),
        split("split: PERSIST in its own step", SplitMutation::PersistApart, 0),
    ]
}
