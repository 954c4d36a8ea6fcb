//! A check from the first dead letter to the verdict, without any I/O: whoever reads the topics and the store feeds it.

use std::collections::{BTreeMap, HashSet};

use plaudit_worker::proto;

use super::compare::{self, Class, Difference, Partitions, Subject};
use super::decode::decode;
use super::fold::Fold;
use super::letters::Letters;
use super::player::PlayerId;
use super::record::SourceRecord;
use super::rules::Rules;
use super::stored::Stored;
use super::unlocks::Unlocks;
use super::verdict::Verdict;

/// So many records are listed below a difference.
const SOURCES_SHOWN: usize = 12;
/// A report may have 256 KiB of data; so much of it tells which one it was.
const SOURCE_LETTERS: usize = 200;

/// Where players are kept, and by whom.
#[derive(Clone, Debug)]
pub struct Layout {
    pub key_prefix: String,
    pub buckets: u32,
    /// Fences and dead letters have to name it; none: any.
    pub consumer_group: Option<String>,
}

/// The pure part of a check. Feed dead letters first, then records and their end, fences and players.
#[derive(Debug)]
pub struct Check {
    layout: Layout,
    partitions: Partitions,
    letters: Letters,
    /// None where there is no topic of unlocks.
    unlocks: Option<Unlocks>,
    fold: Fold,
    verdict: Verdict,
    /// Keys already found wrong: SCAN may return a key more than once.
    wrong_keys: HashSet<String>,
}

impl Check {
    /// `ranges`: per source partition the offsets of the first record and after the last one. `now_ms`: when the
    /// check began.
    pub fn new(
        topic: &str,
        layout: Layout,
        rules: Rules,
        ranges: &BTreeMap<i32, (i64, i64)>,
        now_ms: i64,
    ) -> Self {
        let letters = Letters::new(topic, layout.consumer_group.as_deref());
        let ends = ranges.iter().map(|(&partition, &(_, end))| (partition, end)).collect();
        let truncated_partitions = ranges.values().filter(|(start, _)| *start > 0).count() as u64;
        Self {
            layout,
            partitions: Partitions { ends, incarnations: BTreeMap::new() },
            letters,
            unlocks: None,
            fold: Fold::new(rules, now_ms),
            verdict: Verdict { truncated_partitions, ..Verdict::default() },
            wrong_keys: HashSet::new(),
        }
    }

    /// The next record of the dead-letter topic.
    pub fn add_letter(&mut self, record: &SourceRecord<'_>) {
        if !self.letters.add(record) {
            self.verdict.unreadable_letters += 1;
        }
    }

    /// There is a topic of unlocks: each tier that is reached has to be in it.
    pub fn expect_unlocks(&mut self) {
        self.unlocks = Some(Unlocks::default());
    }

    /// The next record of the topic of unlocks.
    pub fn add_unlock(&mut self, record: &SourceRecord<'_>) {
        if let Some(unlocks) = &mut self.unlocks {
            unlocks.add(record, &self.fold.rules);
        }
    }

    /// The next record of the source topic.
    pub fn add_record(&mut self, record: &SourceRecord<'_>) {
        if let Err(fault) = self.fold.add(record, &mut self.letters) {
            self.verdict.count(compare::letter(&fault));
        }
    }

    /// Closes the source topic: what depends on all of its records can be decided now.
    pub fn end_records(&mut self) {
        for fault in self.fold.decide(&mut self.letters) {
            self.verdict.count(compare::letter(&fault));
        }
    }

    /// The value of a partition's fence key; none: it has no such key.
    pub fn add_fence(&mut self, partition: i32, fence: Option<&proto::Fence>) {
        let end = self.partitions.ends.get(&partition).copied().unwrap_or_default();
        let Some(fence) = fence else {
            self.verdict.not_stored_yet += end.unsigned_abs();
            return;
        };
        self.partitions.incarnations.insert(partition, fence.incarnation);
        self.verdict.not_stored_yet += end.saturating_sub(fence.position).max(0).unsigned_abs();
        let group = self.layout.consumer_group.as_ref().filter(|group| **group != fence.owner);
        let faults = [
            (fence.position > end).then(|| (format!("position {end} or below"), fence.position.to_string())),
            (fence.settled > fence.position)
                .then(|| (format!("settled {} or below", fence.position), fence.settled.to_string())),
            group.map(|group| (format!("owner {group}"), fence.owner.clone())),
        ];
        for (expected, found) in faults.into_iter().flatten() {
            let subject = Subject::Fence(partition);
            self.verdict.count(Difference { class: Class::Wrong, subject, expected, found });
        }
    }

    /// What lies under a player key; an error says why it cannot be read. A key may come twice, as from SCAN.
    pub fn add_player(&mut self, key: &str, stored: Result<&Stored, String>) {
        let stored = match stored {
            Ok(stored) => stored,
            Err(fault) => return self.wrong_key(key, Subject::Key(key.to_owned()), "a player record", fault),
        };
        let own_key = stored.player.key(&self.layout.key_prefix, self.layout.buckets);
        if own_key != key {
            let found = format!("the record of {}, which belongs under {own_key}", stored.player);
            return self.wrong_key(key, Subject::Key(key.to_owned()), "the player of this key", found);
        }
        let Some(expected) = self.fold.players.get_mut(&stored.player) else {
            let subject = Subject::Player(stored.player.clone());
            return self.wrong_key(key, subject, "no record", "one".to_owned());
        };
        if std::mem::replace(&mut expected.seen, true) {
            return;
        }
        self.verdict.split_players += u64::from(stored.split);
        let mut differences = Vec::new();
        compare::compare(expected, stored, &self.fold.rules, &self.partitions, &mut differences);
        if !expected.undecided {
            compare::compare_pending(stored, &self.fold.overflowed, &mut differences);
        }
        differences.into_iter().for_each(|difference| self.verdict.count(difference));
    }

    fn wrong_key(&mut self, key: &str, subject: Subject, expected: &str, found: String) {
        if self.wrong_keys.insert(key.to_owned()) {
            let expected = expected.to_owned();
            self.verdict.count(Difference { class: Class::Wrong, subject, expected, found });
        }
    }

    pub fn add_stray_chunks(&mut self, count: u64) {
        self.verdict.stray_chunks += count;
    }

    /// The verdict, when everything is fed.
    pub fn finish(mut self) -> Verdict {
        let Layout { key_prefix, buckets, .. } = &self.layout;
        // What lies there and cannot be read is counted already.
        let unreadable = |id: &PlayerId| self.wrong_keys.contains(&id.key(key_prefix, *buckets));
        let unseen = self.fold.players.iter();
        let unseen = unseen.filter(|(id, player)| player.is_due() && !player.seen && !unreadable(id));
        // Sorted, so that the same store shows the same differences.
        for (id, player) in unseen.collect::<BTreeMap<_, _>>() {
            self.verdict.count(compare::missing(id, player));
        }
        for at in self.letters.undue(&self.partitions.ends) {
            self.verdict.count(compare::undue_letter(at));
        }
        if let Some(unlocks) = self.unlocks.take() {
            let (summary, faults) = unlocks.settle(&self.fold.players, &self.fold.rules);
            self.verdict.unlocks = summary;
            faults.into_iter().for_each(|fault| self.verdict.count(fault));
        }
        let undecided = self.fold.players.values().filter(|player| player.undecided).count() as u64;
        Verdict {
            records: self.fold.records,
            reports: self.fold.reports,
            items: self.fold.items,
            refused: self.fold.refused,
            players: self.fold.players.values().filter(|player| player.is_due()).count() as u64 + undecided,
            letters: self.letters.summary().clone(),
            undecided_players: undecided,
            ..self.verdict
        }
    }
}

/// Lists the record below the differences that it touches: for a second reading of the topic.
pub fn explain(verdict: &mut Verdict, record: &SourceRecord<'_>, rules: &Rules) {
    let report = decode(record.payload, rules.format).ok();
    for explained in verdict.first.iter_mut().filter(|explained| explained.sources.len() < SOURCES_SHOWN) {
        let player: Option<&PlayerId> = explained.difference.subject.player();
        let touches = match (&explained.difference.subject, &report) {
            (Subject::DeadLetter { partition, offset }, _) => {
                (*partition, *offset) == (record.partition, record.offset)
            }
            (_, Some(report)) => player == Some(&report.player),
            (_, None) => false,
        };
        let of_type = match &explained.difference.subject {
            Subject::Achievement(_, r#type) => Some(*r#type),
            _ => None,
        };
        let items = report.iter().flat_map(|report| &report.items);
        let items: Vec<_> = items
            .filter(|item| of_type.is_none_or(|r#type| item.r#type == r#type))
            .map(|item| format!("{}={} {:?}", item.r#type, item.value, item.data))
            .collect();
        if touches && (of_type.is_none() || !items.is_empty()) {
            let timestamp =
                record.timestamp_ms.map_or_else(|| "no timestamp".to_owned(), |at| at.to_string());
            let (partition, offset) = (record.partition, record.offset);
            let source = format!("{partition}@{offset} at {timestamp}: {}", items.join(", "));
            explained.sources.push(source.chars().take(SOURCE_LETTERS).collect());
        }
    }
}
