//! Write IDs: the names of CAS attempts, never used twice.

use std::fmt;

/// 128 bits, both halves never zero: the nonce of a lane and its counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId {
    pub high: u64,
    pub low: u64,
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

/// The two names that one script may leave in the fence, and the one it gives to the records it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Left in the fence when every key was written; also the write ID of the records.
    pub ok: WriteId,
    /// Left in the fence when a key was refused.
    pub part: WriteId,
}

/// Draws attempts for one lane. The counter never restarts while the lane lives.
#[derive(Debug)]
pub struct WriteIds {
    nonce: u64,
    counter: u64,
}

impl WriteIds {
    /// `nonce` is random; zero is replaced, because a zero field would not be written.
    pub fn new(nonce: u64) -> Self {
        Self { nonce: nonce.max(1), counter: 0 }
    }

    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// A pair of names that this lane has not used before.
    pub fn attempt(&mut self) -> Attempt {
        self.counter += 1;
        let low = self.counter * 2;
        Attempt { ok: WriteId { high: self.nonce, low }, part: WriteId { high: self.nonce, low: low + 1 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_zero_or_drawn_twice() {
        let mut ids = WriteIds::new(0);
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let Attempt { ok, part } = ids.attempt();
            assert!(ok.high > 0 && ok.low > 0 && part.low > 0);
            assert!(names.insert(ok) && names.insert(part));
        }
    }
}
