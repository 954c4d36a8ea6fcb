//! Running a configuration: every reachable state, or the shortest way to one that must not be.

use std::fmt::Display;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker as _, Model, Property};

/// A model whose states can be wrong.
pub trait Checked:
    Model<State: Clone + Hash + PartialEq + Send + Sync, Action: Clone + Display + PartialEq + Send + Sync>
{
    /// What does not hold in a state.
    fn breach(&self, state: &Self::State) -> Option<String>;

    /// One property, so that the first state that breaks it ends the search: with several, later ones replace it.
    fn exact() -> Vec<Property<Self>> {
        vec![Property::always("exact", |model: &Self, state: &Self::State| model.breach(state).is_none())]
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Searched {
    pub states: usize,
    /// Steps of the longest shortest way.
    pub depth: usize,
    pub broken: Option<Broken>,
    pub took: Duration,
}

/// The shortest way to a state that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub breach: String,
    pub steps: Vec<String>,
}

/// Looks at every reachable state, breadth first, until one is broken.
pub fn search<M>(model: &M) -> Searched
where
    M: Checked + Clone + Send + Sync + 'static,
{
    let began = Instant::now();
    // One thread: the first broken state it finds is a nearest one, and always the same.
    let checker = model.clone().checker().spawn_bfs().join();
    let broken = checker.discovery("exact").map(|path| {
        let breach = model.breach(path.last_state()).unwrap_or_default();
        Broken { breach, steps: path.into_actions().iter().map(ToString::to_string).collect() }
    });
    Searched {
        states: checker.unique_state_count(),
        depth: checker.max_depth() - 1,
        broken,
        took: began.elapsed(),
    }
}

/// Takes the steps with these sentences; the state they lead to.
///
/// # Errors
/// The first sentence that names no step possible where it stands.
pub fn replay<M: Checked>(model: &M, trace: &[impl AsRef<str>]) -> Result<M::State, String> {
    let mut state = model.init_states().remove(0);
    for (at, sentence) in trace.iter().enumerate() {
        let mut steps = Vec::new();
        model.actions(&state, &mut steps);
        let step = steps.into_iter().find(|step| step.to_string() == sentence.as_ref());
        let next = step.and_then(|step| model.next_state(&state, step));
        state = next.ok_or_else(|| format!("step {at} is not possible: {}", sentence.as_ref()))?;
    }
    Ok(state)
}
