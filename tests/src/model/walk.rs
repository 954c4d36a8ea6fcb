//! Random runs: where there are too many states to see all, many long ways through them.

use super::check::{Broken, Checked};

/// What random runs found.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    pub runs: u64,
    pub steps: u64,
    /// The first broken run, with its seed.
    pub broken: Option<(u64, Broken)>,
}

/// Walks `runs` times from the start, at most `most` steps each, and checks every state on the way.
pub fn walk<M: Checked>(model: &M, seeds: std::ops::Range<u64>, most: usize) -> Walked {
    let mut walked = Walked::default();
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = model.init_states().remove(0);
        let (mut steps, mut taken) = (Vec::new(), Vec::new());
        walked.runs += 1;
        while taken.len() < most {
            model.actions(&state, &mut steps);
            let Some(step) = random.choice(steps.drain(..)) else { break };
            taken.push(step.to_string());
            let Some(next) = model.next_state(&state, step) else { break };
            state = next;
            walked.steps += 1;
            if let Some(breach) = model.breach(&state) {
                walked.broken = Some((seed, Broken { breach, steps: taken }));
                return walked;
            }
        }
    }
    walked
}
