//! Newcomers: where players come for the first time, the read before their first write is saved.
//!
//! Compare-and-set makes a wrong guess safe: the write expects no record, is refused where there is one, and the player
//! is read after all. But it costs the rest of the batch's scripts, so the guess needs a row of players unknown to the
//! store, a longer one after each mistake.

const LONGEST_ROW: u32 = 1 << 16;

/// Whether the next players without a record in the cache are likely to be new.
#[derive(Debug)]
pub(super) struct Newcomers {
    unknown_in_a_row: u32,
    needed: u32,
}

impl Newcomers {
    /// A first guess needs `row` players in a row that the store did not know.
    pub fn new(row: u32) -> Self {
        Self { unknown_in_a_row: 0, needed: row }
    }

    pub fn are_likely(&self) -> bool {
        self.unknown_in_a_row >= self.needed
    }

    /// The store was asked for a player.
    pub fn asked(&mut self, known: bool) {
        self.unknown_in_a_row = if known { 0 } else { self.unknown_in_a_row.saturating_add(1) };
    }

    /// A player taken for new was not.
    pub fn mistaken(&mut self) {
        if self.are_likely() {
            self.needed = (self.needed * 2).min(LONGEST_ROW);
        }
        self.unknown_in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: u32 = 512;

    #[test]
    fn a_guess_needs_a_row_of_unknown_players_and_a_longer_one_after_a_mistake() {
        let mut newcomers = Newcomers::new(ROW);
        let row = |newcomers: &mut Newcomers, length| (0..length).for_each(|_| newcomers.asked(false));
        row(&mut newcomers, ROW - 1);
        assert!(!newcomers.are_likely());
        newcomers.asked(true);
        row(&mut newcomers, ROW);
        assert!(newcomers.are_likely());
        newcomers.mistaken();
        newcomers.mistaken();
        row(&mut newcomers, ROW);
        assert!(!newcomers.are_likely());
        row(&mut newcomers, ROW);
        assert!(newcomers.are_likely());
    }
}
