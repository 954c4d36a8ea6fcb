//! The achievements of a player while records are applied to them.

use hashbrown::HashMap;

use crate::proto::Achievement;

/// Sorted ones, and behind them those that are new.
pub(super) struct Table<'a> {
    pub achievements: &'a mut Vec<Achievement>,
    sorted: usize,
    /// Positions of the new ones once they are too many to be searched one by one.
    new: HashMap<u32, usize>,
}

/// New achievements of a player that are searched one by one.
const FEW: usize = 16;

impl<'a> Table<'a> {
    pub fn new(achievements: &'a mut Vec<Achievement>) -> Self {
        Self { sorted: achievements.len(), achievements, new: HashMap::new() }
    }

    pub fn position(&self, kind: u32) -> Option<usize> {
        let (sorted, new) = self.achievements.split_at(self.sorted);
        if let Ok(at) = sorted.binary_search_by_key(&kind, |stored| stored.r#type) {
            return Some(at);
        }
        if new.len() > FEW {
            return self.new.get(&kind).copied();
        }
        new.iter().position(|stored| stored.r#type == kind).map(|at| self.sorted + at)
    }

    pub fn value(&self, kind: u32) -> Option<i64> {
        self.position(kind).map(|at| self.achievements[at].value)
    }

    pub fn push(&mut self, achievement: Achievement) {
        self.achievements.push(achievement);
        let new = &self.achievements[self.sorted..];
        if new.len() > FEW {
            let unmapped = new.iter().enumerate().skip(self.new.len());
            let positions = unmapped.map(|(at, stored)| (stored.r#type, self.sorted + at));
            self.new.extend(positions);
        }
    }

    pub fn clear(&mut self) {
        self.achievements.clear();
        self.new.clear();
        self.sorted = 0;
    }

    pub fn close(self) {
        if self.achievements.len() > self.sorted {
            self.achievements.sort_unstable_by_key(|stored| stored.r#type);
        }
    }
}
