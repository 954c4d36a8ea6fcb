//! Liveness: whether every run comes to its end.
//!
//! The checker's `eventually` does not see cycles, so this looks at the whole graph of states. A configuration is live
//! if from every state the steps that are bound to happen lead to one where everything is done, and if no cycle keeps
//! away from those: one in which an owner takes part, or in which it has nothing to do. A cycle in which an owner could
//! always go on and never does is not a run that anybody will see.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use stateright::Model as _;

use super::{Config, State, Step, is_done};

/// Why a configuration is not live.
#[derive(Clone, Debug)]
pub enum Stuck {
    /// After these steps, the end is out of reach of the steps that are bound to happen.
    DeadEnd(Vec<Step>),
    /// After the first steps, the second ones can be repeated for ever.
    Cycle(Vec<Step>, Vec<Step>),
}

fn is_owners(config: &Config, state: &State, step: Step) -> bool {
    !step.is_fault() && step.slot().is_some_and(|slot| state.is_owner(config, slot))
}

/// What looking at the graph found.
#[derive(Clone, Debug)]
pub struct Lived {
    pub states: usize,
    /// States in which everything is done.
    pub done: usize,
    pub exhaustive: bool,
    pub stuck: Option<Stuck>,
}

/// Looks at all states, or at none if there are more than `most`.
pub fn live(config: &Config, most: usize) -> Lived {
    let Some(graph) = Graph::explore(config, most) else {
        return Lived { states: most, done: 0, exhaustive: false, stuck: None };
    };
    let stuck = graph
        .dead_end()
        .map(|at| Stuck::DeadEnd(graph.way_to(at)))
        .or_else(|| graph.cycle().map(|(at, steps)| Stuck::Cycle(graph.way_to(at), steps)));
    let done = graph.done.iter().filter(|done| **done).count();
    Lived { states: graph.done.len(), done, exhaustive: true, stuck }
}

type Number = u32;

/// States by number, in breadth-first order.
#[derive(Default)]
struct Graph {
    done: Vec<bool>,
    came: Vec<Option<(Number, Step)>>,
    /// Edges of state n: `edges[begins[n]..begins[n + 1]]`.
    begins: Vec<usize>,
    edges: Vec<Edge>,
}

#[derive(Clone, Copy)]
struct Edge {
    to: Number,
    step: Step,
    /// A step that is bound to happen, of a lane that owns its partition.
    by_owner: bool,
}

impl Graph {
    fn explore(config: &Config, most: usize) -> Option<Self> {
        let hash = |state: &State| BuildHasherDefault::<DefaultHasher>::default().hash_one(state);
        let mut graph = Self::default();
        let mut numbers: HashMap<u64, Number> = HashMap::new();
        let mut layer = config.init_states();
        for state in &layer {
            numbers.insert(hash(state), graph.add(config, state, None));
        }
        let mut steps = Vec::new();
        let mut from: Number = 0;
        while !layer.is_empty() {
            let mut next_layer = Vec::new();
            for state in &layer {
                graph.begins.push(graph.edges.len());
                config.actions(state, &mut steps);
                for step in steps.drain(..) {
                    let Some(next) = config.next_state(state, step) else { continue };
                    let number = match numbers.entry(hash(&next)) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(new) => {
                            let number = *new.insert(graph.add(config, &next, Some((from, step))));
                            next_layer.push(next);
                            number
                        }
                    };
                    graph.edges.push(Edge { to: number, step, by_owner: is_owners(config, state, step) });
                }
                from += 1;
            }
            if most > 0 && graph.done.len() > most {
                return None;
            }
            layer = next_layer;
        }
        graph.begins.push(graph.edges.len());
        Some(graph)
    }

    fn add(&mut self, config: &Config, state: &State, came: Option<(Number, Step)>) -> Number {
        self.done.push(is_done(config, state));
        self.came.push(came);
        Number::try_from(self.done.len() - 1).unwrap_or(Number::MAX)
    }

    fn edges(&self, number: usize) -> &[Edge] {
        &self.edges[self.begins[number]..self.begins[number + 1]]
    }

    fn way_to(&self, mut number: Number) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((before, step)) = self.came[number as usize] {
            steps.push(step);
            number = before;
        }
        steps.reverse();
        steps
    }

    /// The first state from which no steps that are bound to happen lead to the end.
    fn dead_end(&self) -> Option<Number> {
        let mut reaches = self.done.clone();
        let mut before: Vec<Vec<Number>> = vec![Vec::new(); self.done.len()];
        for number in 0..self.done.len() {
            for edge in self.edges(number).iter().filter(|edge| !edge.step.is_fault()) {
                before[edge.to as usize].push(Number::try_from(number).unwrap_or(Number::MAX));
            }
        }
        let mut todo: Vec<usize> = (0..self.done.len()).filter(|number| self.done[*number]).collect();
        while let Some(number) = todo.pop() {
            for earlier in std::mem::take(&mut before[number]) {
                if !std::mem::replace(&mut reaches[earlier as usize], true) {
                    todo.push(earlier as usize);
                }
            }
        }
        reaches.iter().position(|reaches| !reaches).and_then(|number| Number::try_from(number).ok())
    }

    /// A state on a cycle that no owner is kept out of, and the steps of the cycle.
    fn cycle(&self) -> Option<(Number, Vec<Step>)> {
        self.components().into_iter().find_map(|members| {
            let inside = |number: &Number| members.binary_search(number).is_ok();
            let steps = |number: &Number| self.edges(*number as usize).iter();
            let edge = members.iter().find_map(|number| {
                steps(number).find(|edge| edge.by_owner && inside(&edge.to)).map(|edge| (*number, edge))
            });
            let waits = members.iter().copied().find(|number| !steps(number).any(|edge| edge.by_owner));
            let (start, first) = match (edge, waits) {
                (Some((number, edge)), _) => (number, *edge),
                (None, Some(number)) => (number, *steps(&number).find(|edge| inside(&edge.to))?),
                (None, None) => return None,
            };
            let mut cycle = vec![first.step];
            cycle.extend(self.way(first.to, start, &inside)?);
            Some((start, cycle))
        })
    }

    /// Groups of states that are not done and can reach each other, each ascending, by more than staying where they are.
    fn components(&self) -> Vec<Vec<Number>> {
        let nodes = self.done.len();
        let (mut index, mut low) = (vec![u32::MAX; nodes], vec![0u32; nodes]);
        let (mut on_stack, mut stack, mut found) = (vec![false; nodes], Vec::new(), Vec::new());
        let mut next = 0;
        for root in 0..nodes {
            if index[root] != u32::MAX || self.done[root] {
                continue;
            }
            let mut path = vec![(root, 0)];
            while let Some((node, at)) = path.last_mut() {
                let node = *node;
                if *at == 0 {
                    (index[node], low[node]) = (next, next);
                    next += 1;
                    stack.push(node);
                    on_stack[node] = true;
                }
                if let Some(edge) = self.edges(node).get(*at) {
                    *at += 1;
                    let to = edge.to as usize;
                    if self.done[to] {
                    } else if index[to] == u32::MAX {
                        path.push((to, 0));
                    } else if on_stack[to] {
                        low[node] = low[node].min(index[to]);
                    }
                    continue;
                }
                path.pop();
                if let Some((parent, _)) = path.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == index[node] {
                    let mut members = Vec::new();
                    while let Some(member) = stack.pop() {
                        on_stack[member] = false;
                        members.push(Number::try_from(member).unwrap_or(Number::MAX));
                        if member == node {
                            break;
                        }
                    }
                    let loops = self.edges(node).iter().any(|edge| edge.to as usize == node);
                    if members.len() > 1 || loops {
                        members.sort_unstable();
                        found.push(members);
                    }
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// The shortest way between two states that stays inside.
    fn way(&self, from: Number, to: Number, inside: &dyn Fn(&Number) -> bool) -> Option<Vec<Step>> {
        let mut came: HashMap<Number, (Number, Step)> = HashMap::new();
        let mut todo = VecDeque::from([from]);
        while let Some(number) = todo.pop_front() {
            if number == to {
                let mut steps = Vec::new();
                let mut at = to;
                while at != from {
                    let (before, step) = came[&at];
                    steps.push(step);
                    at = before;
                }
                steps.reverse();
                return Some(steps);
            }
            for edge in self.edges(number as usize).iter().filter(|edge| inside(&edge.to)) {
                if edge.to != from
                    && let Entry::Vacant(new) = came.entry(edge.to)
                {
                    new.insert((number, edge.step));
                    todo.push_back(edge.to);
                }
            }
        }
        None
    }
}
