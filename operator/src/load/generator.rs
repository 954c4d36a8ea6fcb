//! The stream of records of a load: a function of the seed and of the times at which records are asked for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use plaudit_crds::Format;

use super::bad::Bad;
use super::report::{Item, Report};
use super::zipf::Zipf;

/// Duplicates repeat one of this many last good records: enough to have other records of the player in between.
const REMEMBERED: usize = 1_024;

/// What a load consists of. Shares are between 0 and 1.
#[derive(Clone, Debug)]
pub struct Mix {
    pub seed: u64,
    pub format: Format,
    /// UINs, counted from `first_uin`.
    pub players: u64,
    pub first_uin: u64,
    pub order: PlayerOrder,
    /// Give each UIN three players that differ in platform, zone, server and role.
    pub spread: bool,
    pub types: Vec<ItemType>,
    /// A report has 1 to this many items.
    pub max_items: usize,
    /// Share of items with data, and its greatest length in bytes.
    pub data_share: f64,
    pub data_bytes: usize,
    /// Lengthen reports to about this many bytes with data.
    pub report_bytes: Option<usize>,
    /// Share of negative values in items of [`Values::Delta`].
    pub negative_share: f64,
    /// Share of reports whose record's timestamp is older, by up to `late_by`.
    pub late_share: f64,
    pub late_by: Duration,
    /// Share of records that repeat an earlier one; half of them with its timestamp.
    pub duplicate_share: f64,
    /// Share of records without a key, or with the key of another UIN.
    pub misrouted_share: f64,
    /// Share of reports that delete their player.
    pub delete_share: f64,
    pub bad_share: f64,
    pub bad_kinds: Vec<Bad>,
    /// How far ahead the timestamp of a record of [`Bad::Future`] lies.
    pub ahead_by: Duration,
}

/// Which player reports next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlayerOrder {
    /// Drawn by Zipf's law with this exponent; 0 is even.
    Zipf(f64),
    /// One after the other, each with so many reports in a row.
    InTurn { reports_each: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemType {
    pub id: u32,
    pub values: Values,
}

/// How the values of a type come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Anything from 0 to 1,000.
    Level,
    /// Never falls for a player.
    Counter,
    /// 1 to 100, now and then negative.
    Delta,
}

/// One record to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// How many records of each kind came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub late: u64,
    pub duplicates: u64,
    pub misrouted: u64,
    pub deletions: u64,
    pub bad: BTreeMap<Bad, u64>,
}

/// Makes records of a [`Mix`], for ever.
#[derive(Debug)]
pub struct Generator {
    mix: Mix,
    rng: Rng,
    zipf: Option<Zipf>,
    recent: VecDeque<Record>,
    made: u64,
    tally: Tally,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            seed: 1,
            format: Format::Json,
            players: 10_000,
            first_uin: 10_001,
            order: PlayerOrder::Zipf(1.0),
            spread: false,
            types: ItemType::assorted(6),
            max_items: 3,
            data_share: 0.25,
            data_bytes: 24,
            report_bytes: None,
            negative_share: 0.0,
            late_share: 0.0,
            late_by: Duration::from_secs(60),
            duplicate_share: 0.0,
            misrouted_share: 0.0,
            delete_share: 0.0,
            bad_share: 0.0,
            bad_kinds: Bad::ALWAYS.to_vec(),
            // Above the default maxClockSkewSeconds (five minutes), below what brokers refuse by default together
            // with the rest of its batch (message.timestamp.after.max.ms, an hour).
            ahead_by: Duration::from_secs(1_800),
        }
    }
}

impl ItemType {
    /// So many types, 1001 upward: levels, counters and deltas by turns.
    pub fn assorted(count: u32) -> Vec<Self> {
        let kinds = [Values::Level, Values::Counter, Values::Delta].into_iter().cycle();
        (1_001..).zip(kinds).take(count as usize).map(|(id, values)| Self { id, values }).collect()
    }
}

impl Generator {
    pub fn new(mix: Mix) -> Self {
        let zipf = match mix.order {
            PlayerOrder::Zipf(exponent) => Some(Zipf::new(mix.players, exponent)),
            PlayerOrder::InTurn { .. } => None,
        };
        // Duplicates are looked for only where there are any, or remembering costs every load.
        let remembered = if mix.duplicate_share > 0.0 { REMEMBERED } else { 0 };
        let rng = Rng::with_seed(mix.seed);
        Self { mix, rng, zipf, recent: VecDeque::with_capacity(remembered), made: 0, tally: Tally::default() }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The next record, as of `now_ms` (milliseconds since 1970).
    pub fn next(&mut self, now_ms: i64) -> Record {
        if let Some(record) = self.duplicate(now_ms) {
            return record;
        }
        let mut report = self.report();
        self.made += 1;
        let key = Some(report.uin.to_string().into_bytes());
        if self.happens(self.mix.bad_share)
            && let Some(bad) = Bad::draw(&self.mix.bad_kinds, &mut self.rng)
        {
            *self.tally.bad.entry(bad).or_default() += 1;
            if bad == Bad::Overflow
                && let Some(delta) = self.mix.types.iter().find(|known| known.values == Values::Delta)
            {
                // Only a sum can overflow.
                report.items[0].r#type = delta.id;
            }
            let payload = bad.spoil(report, self.mix.format);
            let ahead_ms = if bad == Bad::Future { self.mix.ahead_by.as_millis() as i64 } else { 0 };
            return Record { key, payload, timestamp_ms: now_ms + ahead_ms };
        }
        if self.happens(self.mix.delete_share) {
            self.tally.deletions += 1;
            report.items.clear();
            report.delete = true;
        }
        let payload = Some(self.encode(report));
        let record = Record { key: self.misroute(key), payload, timestamp_ms: now_ms - self.lateness_ms() };
        self.remember(&record);
        record
    }

    fn duplicate(&mut self, now_ms: i64) -> Option<Record> {
        if self.recent.is_empty() || !self.happens(self.mix.duplicate_share) {
            return None;
        }
        self.tally.duplicates += 1;
        let mut record = self.recent[self.rng.usize(..self.recent.len())].clone();
        if self.rng.bool() {
            record.timestamp_ms = now_ms;
        }
        Some(record)
    }

    fn remember(&mut self, record: &Record) {
        if self.mix.duplicate_share <= 0.0 {
            return;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(record.clone());
    }

    fn report(&mut self) -> Report {
        let rank = match (&self.zipf, self.mix.order) {
            (Some(zipf), _) => zipf.sample(&mut self.rng),
            (None, PlayerOrder::InTurn { reports_each }) => {
                self.made / reports_each.max(1) % self.mix.players.max(1)
            }
            (None, PlayerOrder::Zipf(_)) => 0,
        };
        let uin = self.mix.first_uin + rank;
        let mut report = Report { uin, ..Report::default() };
        if self.mix.spread {
            report.spread(self.rng.u64(..3));
        }
        let items = self.rng.usize(1..=self.mix.max_items.max(1));
        report.items = (0..items).map(|_| self.item()).collect();
        report
    }

    fn item(&mut self) -> Item {
        let Some(&ItemType { id, values }) = self.rng.choice(&self.mix.types) else { return Item::default() };
        let value = match values {
            Values::Level => self.rng.i64(0..=1_000),
            Values::Counter => 1 + self.made.cast_signed(),
            Values::Delta => {
                let delta = self.rng.i64(1..=100);
                if self.happens(self.mix.negative_share) { -delta } else { delta }
            }
        };
        let data = if self.happens(self.mix.data_share) {
            let length = self.rng.usize(1..=self.mix.data_bytes.max(1));
            self.text(length)
        } else {
            String::new()
        };
        Item { r#type: id, value, data }
    }

    /// Letters; now and then something that has to be escaped or takes more than a byte.
    fn text(&mut self, bytes: usize) -> String {
        let mut text: String = (0..bytes).map(|_| self.rng.alphanumeric()).collect();
        if bytes > 4 && self.rng.u8(..16) == 0 {
            text.truncate(bytes - 4);
            text.push_str("\"\\é");
        }
        text
    }

    fn encode(&mut self, mut report: Report) -> Vec<u8> {
        let payload = report.encode(self.mix.format);
        // What an item's data costs beside its bytes: a comma, the name, a colon and quotes.
        let missing = self.mix.report_bytes.map_or(0, |wanted| wanted.saturating_sub(payload.len() + 10));
        match report.items.last_mut() {
            Some(item) if missing > 0 && item.data.is_empty() => {
                item.data = (0..missing.min(1_024)).map(|_| self.rng.alphanumeric()).collect();
                report.encode(self.mix.format)
            }
            _ => payload,
        }
    }

    fn misroute(&mut self, key: Option<Vec<u8>>) -> Option<Vec<u8>> {
        if !self.happens(self.mix.misrouted_share) {
            return key;
        }
        self.tally.misrouted += 1;
        if self.rng.bool() { None } else { Some(self.rng.u64(..).to_string().into_bytes()) }
    }

    fn lateness_ms(&mut self) -> i64 {
        if !self.happens(self.mix.late_share) {
            return 0;
        }
        self.tally.late += 1;
        let most = i64::try_from(self.mix.late_by.as_millis()).unwrap_or(i64::MAX).max(1);
        self.rng.i64(1..=most)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn everything() -> Mix {
        Mix {
            players: 100,
            spread: true,
            late_share: 0.1,
            duplicate_share: 0.1,
            misrouted_share: 0.1,
            bad_share: 0.1,
            negative_share: 0.5,
            ..Mix::default()
        }
    }

    fn records(mix: Mix, count: usize) -> Vec<Record> {
        let mut generator = Generator::new(mix);
        (0..count).map(|_| generator.next(NOW_MS)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_records() {
        for format in [Format::Json, Format::Protobuf] {
            let mix = Mix { format, ..everything() };
            let other = Mix { seed: 2, ..mix.clone() };
            assert_eq!(records(mix.clone(), 2_000), records(mix.clone(), 2_000));
            assert_ne!(records(mix, 2_000), records(other, 2_000));
        }
    }

    #[test]
    fn each_kind_comes_with_its_share() {
        let mut generator = Generator::new(everything());
        for _ in 0..10_000 {
            generator.next(NOW_MS);
        }
        let tally = generator.tally();
        let bad: u64 = tally.bad.values().sum();
        // Nine tenths are not duplicates; of those nine tenths are not bad.
        for (count, expected) in
            [(tally.duplicates, 1_000), (bad, 900), (tally.misrouted, 810), (tally.late, 810_u64)]
        {
            assert!(count.abs_diff(expected) < 120, "{count} for {expected}: {tally:?}");
        }
        let rest = Bad::ALWAYS.iter().filter(|&&kind| kind != Bad::Huge);
        assert!(rest.clone().all(|kind| tally.bad.contains_key(kind)), "{tally:?}");
    }

    #[test]
    fn a_duplicate_repeats_key_and_payload_of_an_earlier_record() {
        let mix = Mix { duplicate_share: 0.5, ..Mix::default() };
        let all = records(mix, 1_000);
        let distinct: BTreeSet<_> = all.iter().map(|record| (&record.key, &record.payload)).collect();
        assert!((400..600).contains(&distinct.len()), "{} distinct records", distinct.len());
    }

    #[test]
    fn players_in_turn_report_so_often_in_a_row() {
        let mix = Mix { players: 2, order: PlayerOrder::InTurn { reports_each: 3 }, ..Mix::default() };
        let keys: Vec<_> = records(mix, 8)
            .into_iter()
            .map(|record| String::from_utf8(record.key.unwrap_or_default()).unwrap_or_default())
            .collect();
        assert_eq!(keys, ["10001", "10001", "10001", "10002", "10002", "10002", "10001", "10001"]);
    }

    #[test]
    fn reports_are_lengthened_to_about_the_asked_size() {
        let mix = Mix { report_bytes: Some(200), data_share: 0.0, ..Mix::default() };
        let lengths =
            records(mix, 1_000).into_iter().map(|record| record.payload.map_or(0, |bytes| bytes.len()));
        assert_eq!(lengths.collect::<BTreeSet<_>>(), BTreeSet::from([200]));
    }
}
