//! A lane's cache of player records it wrote or read: a hit saves the read, and CAS makes that safe.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;
use lru::LruCache;

use crate::player::{PlayerId, PlayerState};

/// Least recently used records up to a number of bytes, of players that came twice within a while.
///
/// Players who come once would only push others out, and caching costs more than it saves where nobody returns: a player
/// is admitted when a slot of [`Self::seen`] remembers the last visit.
#[derive(Debug)]
pub struct Cache {
    records: LruCache<PlayerId, (Box<PlayerState>, usize)>,
    bytes: usize,
    limit: usize,
    /// Fingerprints of players seen lately, each in the slot that its hash names; the next one there replaces it.
    seen: Box<[u32]>,
    hasher: DefaultHashBuilder,
}

/// What an entry costs besides its record: links, key, hash slot.
const ENTRY_BYTES: usize = 160;
/// A slot for so many bytes of the limit: the players remembered are a few times those that fit.
const BYTES_OF_A_SLOT: usize = 256;

impl Cache {
    /// `limit` in bytes; 0 keeps nothing.
    pub fn new(limit: usize) -> Self {
        let seen = vec![0; limit / BYTES_OF_A_SLOT].into_boxed_slice();
        let hasher = DefaultHashBuilder::default();
        Self { records: LruCache::unbounded(), bytes: 0, limit, seen, hasher }
    }

    /// Whether a player who is not in the cache shall be put there: if seen lately. Remembers the visit.
    pub fn admits(&mut self, player: &PlayerId) -> bool {
        if self.seen.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(player);
        let slot = &mut self.seen[(hash >> 32) as usize % self.seen.len()];
        std::mem::replace(slot, hash as u32) == hash as u32
    }

    /// Takes a record out: whoever changes it puts it back once the store has it.
    pub fn take(&mut self, player: &PlayerId) -> Option<Box<PlayerState>> {
        if self.records.is_empty() {
            return None;
        }
        let (state, bytes) = self.records.pop(player)?;
        self.bytes -= bytes;
        Some(state)
    }

    pub fn put(&mut self, player: PlayerId, state: Box<PlayerState>) {
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
    fn a_player_is_admitted_at_the_second_visit() {
        let id = |uin| PlayerId { uin, ..PlayerId::default() };
        let mut cache = Cache::new(1 << 20);
        assert_eq!((cache.admits(&id(1)), cache.admits(&id(1)), cache.admits(&id(2))), (false, true, false));
        assert_eq!((Cache::new(0).admits(&id(1)), Cache::new(0).admits(&id(1))), (false, false));
    }

    #[test]
    fn the_least_recently_used_go_first_and_bytes_stay_below_the_limit() {
        let id = |uin| PlayerId { uin, ..PlayerId::default() };
        let one = ENTRY_BYTES + PlayerState::default().memory_bytes();
        let mut cache = Cache::new(one * 2);
        for uin in 0..3 {
            cache.put(id(uin), Box::default());
        }
        assert_eq!((cache.take(&id(0)).is_some(), cache.take(&id(1)).is_some()), (false, true));
        assert_eq!(cache.bytes(), one);
        cache.clear();
        assert_eq!(cache.bytes(), 0);
    }
}
