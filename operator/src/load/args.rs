//! What can be typed after `plaudit load`, and the [`Load`] it means.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plaudit_crds::Format;
use plaudit_worker::kafka::Access;

use super::bad::Bad;
use super::generator::{ItemType, Mix, PlayerOrder};
use super::pace::{Burst, Pace};
use super::producer::{Load, Reports};

/// Send made-up reports, or reports from a file, to the source topic.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Kafka brokers, host:port, separated by commas.
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub bootstrap_servers: String,
    #[arg(long, default_value = "achievement-reports")]
    pub topic: String,
    /// Compression of batches.
    #[arg(long, default_value = "lz4", value_parser = ["none", "gzip", "snappy", "lz4", "zstd"])]
    pub compression: String,
    /// Encoding of reports: json or protobuf.
    #[arg(long, default_value = "json", value_parser = format)]
    pub format: Format,
    /// Send the lines of this file as they are, each with the key of its uin, instead of made-up reports.
    #[arg(long, value_name = "FILE")]
    pub ndjson: Option<PathBuf>,

    /// Stop after so many records; without --duration and --ndjson: 100000.
    #[arg(long)]
    pub count: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Records per second; 0: as fast as possible.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Records per second during a burst.
    #[arg(long, requires = "rate")]
    pub burst_rate: Option<f64>,
    /// Seconds from the start to the burst.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub burst_at: Duration,
    /// How long a burst lasts.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub burst_length: Duration,
    /// Seconds from one burst to the next; without it there is one.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub burst_every: Option<Duration>,

    /// The same seed makes the same reports.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub mix: MixArgs,
    /// How to reach the brokers, where that takes more than their names.
    #[arg(skip)]
    pub access: Option<Arc<Access>>,
}

/// What made-up reports are like.
#[derive(Clone, Debug, clap::Args)]
pub struct MixArgs {
    /// How many UINs report.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub players: u64,
    #[arg(long, default_value_t = 10_001)]
    pub first_uin: u64,
    /// Exponent of Zipf's law, by which players are drawn; 0: evenly.
    #[arg(long, default_value_t = 1.0)]
    pub zipf: f64,
    /// Take the players one after the other, each with so many reports, instead of drawing them.
    #[arg(long, value_name = "REPORTS")]
    pub in_turn: Option<u64>,
    /// Three players for each UIN, which differ in platform, zone, server and role.
    #[arg(long)]
    pub spread: bool,
    /// How many achievement types, from 1001 upward: by turns levels, counters and deltas (for latest, max and sum).
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub item_types: u32,
    /// A report has 1 to this many items.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub max_items: u16,
    /// Share of items with data.
    #[arg(long, default_value_t = 0.25, value_parser = share)]
    pub data_share: f64,
    /// Greatest length of data in bytes.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub data_bytes: u16,
    /// Lengthen reports to about so many bytes.
    #[arg(long, value_name = "BYTES")]
    pub report_bytes: Option<usize>,
    /// Share of negative deltas.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub negative_share: f64,
    /// Share of reports whose record's timestamp is older.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub late_share: f64,
    /// How much older at most.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub late_by: Duration,
    /// Share of records that repeat an earlier one.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub duplicate_share: f64,
    /// Share of records without a key, or with one that is not the UIN.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub misrouted_share: f64,
    /// Share of reports that delete their player.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub delete_share: f64,
    /// Share of records that have to be refused.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub bad_share: f64,
    /// What is wrong with those, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Bad::ALWAYS)]
    pub bad_kinds: Vec<Bad>,
    /// How far ahead the timestamps of kind future lie; brokers refuse more than an hour by default.
    #[arg(long, value_name = "SECONDS", default_value = "1800", value_parser = seconds)]
    pub ahead_by: Duration,
}

impl Args {
    pub fn load(&self) -> Load {
        let reports = match &self.ndjson {
            Some(path) => Reports::File(path.clone()),
            None => Reports::Generated(Box::new(self.mix.mix(self.seed, self.format))),
        };
        let endless = self.count.is_none() && self.duration.is_none() && self.ndjson.is_none();
        let burst = self.burst_rate.map(|rate| Burst {
            rate,
            at: self.burst_at,
            length: self.burst_length,
            every: self.burst_every,
        });
        Load {
            access: self.access.clone().unwrap_or_else(|| Access::plain(&self.bootstrap_servers)),
            topic: self.topic.clone(),
            compression: self.compression.clone(),
            reports,
            pace: Pace { rate: self.rate, burst },
            count: if endless { Some(100_000) } else { self.count },
            duration: self.duration,
        }
    }
}

impl MixArgs {
    fn mix(&self, seed: u64, format: Format) -> Mix {
        Mix {
            seed,
            format,
            players: self.players,
            first_uin: self.first_uin,
            order: match self.in_turn {
                Some(reports_each) => PlayerOrder::InTurn { reports_each },
                None => PlayerOrder::Zipf(self.zipf),
            },
            spread: self.spread,
            types: ItemType::assorted(self.item_types),
            max_items: usize::from(self.max_items),
            data_share: self.data_share,
            data_bytes: usize::from(self.data_bytes),
            report_bytes: self.report_bytes,
            negative_share: self.negative_share,
            late_share: self.late_share,
            late_by: self.late_by,
            duplicate_share: self.duplicate_share,
            misrouted_share: self.misrouted_share,
            delete_share: self.delete_share,
            bad_share: self.bad_share,
            bad_kinds: self.bad_kinds.clone(),
            ahead_by: self.ahead_by,
        }
    }
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "json" => Ok(Format::Json),
        "protobuf" => Ok(Format::Protobuf),
        _ => Err("expected json or protobuf".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share between 0 and 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn load(line: &str) -> Load {
        Command::parse_from(line.split_whitespace()).args.load()
    }

    #[test]
    fn a_load_without_an_end_gets_one() {
        assert_eq!(load("load").count, Some(100_000));
        assert_eq!((load("load --duration 2.5").count, load("load --ndjson x").count), (None, None));
    }

    #[test]
    fn what_is_typed_is_what_is_sent() {
        let load =
            load("load --seed 7 --bad-kinds null,future --in-turn 3 --rate 10 --burst-rate 50 --burst-at 1");
        let Reports::Generated(mix) = &load.reports else { panic!("reports of {load:?}") };
        assert_eq!(
            (mix.seed, &mix.bad_kinds, mix.order, load.pace.rate, load.pace.burst.map(|burst| burst.rate)),
            (7, &vec![Bad::Null, Bad::Future], PlayerOrder::InTurn { reports_each: 3 }, 10.0, Some(50.0))
        );
    }
}
