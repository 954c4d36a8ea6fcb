//! The outcome of a check, and how it is shown.

use std::fmt;

use super::compare::{Class, Difference};
use super::letters::LetterSummary;
use super::unlocks::UnlockSummary;

/// So many differences are kept and shown.
pub const SHOWN: usize = 10;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Records of the source topic.
    pub records: u64,
    /// Records that count: those that were not refused.
    pub reports: u64,
    pub items: u64,
    /// Players that should be stored.
    pub players: u64,
    pub refused: u64,
    pub lost: u64,
    pub applied_twice: u64,
    pub wrong: u64,
    /// The first differences.
    pub first: Vec<Explained>,
    pub letters: LetterSummary,
    pub unlocks: UnlockSummary,
    /// Dead letters whose headers do not say whose they are.
    pub unreadable_letters: u64,
    /// Records stored in chunks.
    pub split_players: u64,
    /// Chunks that no record refers to.
    pub stray_chunks: u64,
    /// Players with an overflowing sum fed by several partitions, whose order nobody knows: not compared.
    pub undecided_players: u64,
    /// Records between the fences' positions and the ends of their partitions.
    pub not_stored_yet: u64,
    /// Partitions whose first records are gone: what they did cannot be checked.
    pub truncated_partitions: u64,
}

/// A difference with the records that touch it.
#[derive(Clone, Debug)]
pub struct Explained {
    pub difference: Difference,
    pub sources: Vec<String>,
}

impl Verdict {
    /// Nothing lost, nothing twice, nothing wrong.
    pub fn passed(&self) -> bool {
        self.lost == 0 && self.applied_twice == 0 && self.wrong == 0
    }

    pub fn count(&mut self, difference: Difference) {
        match difference.class {
            Class::Lost => self.lost += 1,
            Class::AppliedTwice => self.applied_twice += 1,
            Class::Wrong => self.wrong += 1,
        }
        if self.first.len() < SHOWN {
            self.first.push(Explained { difference, sources: Vec::new() });
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} reports, {} players, {} lost, {} applied twice",
            self.reports, self.players, self.lost, self.applied_twice
        )?;
        if self.wrong > 0 {
            write!(out, ", {} wrong", self.wrong)?;
        }
        if self.refused > 0 {
            write!(out, "\n{} records refused", self.refused)?;
        }
        for (index, (reason, count)) in self.letters.by_reason.iter().enumerate() {
            write!(out, "{}{count} {reason}", if index == 0 { ": " } else { ", " })?;
        }
        let notes = [
            (self.unlocks.unlocks, "unlocks"),
            (self.unlocks.duplicates, "unlocks sent again"),
            (self.unlocks.unreadable, "records in the topic of unlocks that are no unlocks"),
            (self.letters.duplicates, "dead letters sent again"),
            (self.letters.foreign, "dead letters of other topics"),
            (self.unreadable_letters, "records in the dead-letter topic that are no dead letters"),
            (self.split_players, "players stored in chunks"),
            (self.stray_chunks, "chunks that nobody refers to"),
            (self.undecided_players, "players not compared: a sum overflows in an order nobody knows"),
            (self.not_stored_yet, "records not stored yet"),
            (self.truncated_partitions, "partitions whose first records are gone"),
        ];
        for (count, what) in notes.into_iter().filter(|(count, _)| *count > 0) {
            write!(out, "\n{count} {what}")?;
        }
        for Explained { difference, sources } in &self.first {
            let Difference { class, subject, expected, found } = difference;
            write!(out, "\n{class:?}: {subject}\n  expected {expected}\n  found    {found}")?;
            for source in sources {
                write!(out, "\n  from {source}")?;
            }
        }
        let hidden = (self.lost + self.applied_twice + self.wrong).saturating_sub(self.first.len() as u64);
        if hidden > 0 {
            write!(out, "\nand {hidden} more")?;
        }
        Ok(())
    }
}
