//! A lane's cache of player records it wrote or read: a hit saves the read, and CAS makes that safe.

use lru::LruCache;

use crate::player::{PlayerId, PlayerState};

/// Least recently used records up to a number of bytes.
#[derive(Debug)]
pub struct Cache {
    records: LruCache<PlayerId, (PlayerState, usize)>,
    bytes: usize,
    limit: usize,
}

/// What an entry costs besides its record: links, key, hash slot.
const ENTRY_BYTES: usize = 160;

impl Cache {
    /// `limit` in bytes; 0 keeps nothing.
    pub fn new(limit: usize) -> Self {
        Self { records: LruCache::unbounded(), bytes: 0, limit }
    }

    /// Takes a record out: whoever changes it puts it back once the store has it.
    pub fn take(&mut self, player: &PlayerId) -> Option<PlayerState> {
        let (state, bytes) = self.records.pop(player)?;
        self.bytes -= bytes;
        Some(state)
    }

    pub fn put(&mut self, player: PlayerId, state: PlayerState) {
        let bytes = ENTRY_BYTES + player.role.len() + state.memory_bytes();
        self.bytes += bytes;
        if let Some((_, old)) = self.records.put(player, (state, bytes)) {
            self.bytes -= old;
        }
        while self.bytes > self.limit {
            let Some((_, (_, dropped))) = self.records.pop_lru() else { break };
            self.bytes -= dropped;
        }
    }

    pub fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_first_and_bytes_stay_below_the_limit() {
        let id = |uin| PlayerId { uin, ..PlayerId::default() };
        let one = ENTRY_BYTES + PlayerState::default().memory_bytes();
        let mut cache = Cache::new(one * 2);
        for uin in 0..3 {
            cache.put(id(uin), PlayerState::default());
        }
        assert_eq!((cache.take(&id(0)).is_some(), cache.take(&id(1)).is_some()), (false, true));
        assert_eq!(cache.bytes(), one);
        cache.clear();
        assert_eq!(cache.bytes(), 0);
    }
}
