//! The scenario `event`: a burst of four times the usual load, for the synchronous design ([`direct`](crate::direct)) and for
//! Plaudit, on the same trace of reports.
//!
//! Both sides get the same reports at the same times, on one Kafka and one store that is a round trip of a millisecond
//! away, one side after the other. An open loop sends a report when it is due, whatever became of earlier ones. After the
//! trace comes the *flood*: each side as fast as it can, to see what a report costs where servers are busy, as they are
//! when they are sized well. Everything stored is compared with everything reported.
//!
//! Conflicts come from reports of one player that are sent at once, as at the end of a match. Players who merely report
//! often would need some 200 reports a second each to collide with themselves in a millisecond.

mod bed;
mod exact;
mod open_loop;
mod outcome;
mod produce;
mod requests;
mod run;
mod sizing;
mod stored;
mod trace;
mod tune;
mod usage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

pub use bed::{Bed, Direct};
pub use exact::check;
use outcome::grouped;
pub use outcome::{Conditions, Outcome, Pair, Side};
pub use requests::GameServers;
pub use sizing::Event;
pub use trace::{Due, Phase, Shape, Span, Trace};
pub use tune::{FOUND, Told};
pub use usage::Cpu;

use crate::stack::{Kafka, Valkey};

/// The burst over the usual rate.
const BURST: f64 = 4.0;
/// Reports per second at which an open loop finds an idle machine.
const QUIET_RATE: f64 = 50.0;

const PLAYERS: u64 = 50_000;

/// How large the event is.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Event: usual reports per second; four times as many in the burst.
    #[arg(long, value_name = "REPORTS", default_value_t = 2_500.0, value_parser = positive)]
    pub event_rate: f64,
    /// Event: how long the burst lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = positive)]
    pub event_burst: f64,
    /// Event: how long the usual rate lasts before the burst, and again after it, in seconds; low load for as long before.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = positive)]
    pub event_usual: f64,
    /// Event: reports with which each side is flooded.
    #[arg(long, value_name = "REPORTS", default_value_t = 100_000)]
    pub event_flood: u64,
    /// Event: share of reports that come three at once, of one player.
    #[arg(long, value_name = "SHARE", default_value_t = 0.25)]
    pub event_together: f64,
    /// Event: round trip to the store that is added for both sides, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1.0, value_parser = positive)]
    pub event_round_trip: f64,
    /// Event: how long a record waits in its producer for company, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1.0, value_parser = positive)]
    pub event_linger: f64,
    /// Event: usual reports per second of the platform that servers are counted for.
    #[arg(long, value_name = "REPORTS", default_value_t = 1_000_000.0, value_parser = positive)]
    pub event_platform: f64,
    /// Event: take the settings of `direct` as found before instead of searching them.
    #[arg(long)]
    pub event_no_search: bool,
    /// The broker has worked already.
    #[arg(skip)]
    pub is_warm: bool,
}

impl Options {
    /// What fits in a demo: twelve seconds for both sides together.
    pub fn short() -> Self {
        Self {
            event_rate: 1_000.0,
            event_burst: 2.0,
            event_usual: 0.5,
            event_flood: 12_000,
            event_together: 0.25,
            event_round_trip: 1.0,
            event_linger: 1.0,
            event_platform: 1_000_000.0,
            event_no_search: true,
            is_warm: true,
        }
    }

    fn shape(&self) -> Shape {
        let usual = Duration::from_secs_f64(self.event_usual);
        Shape {
            seed: 1,
            players: PLAYERS,
            together_share: self.event_together.clamp(0.0, 1.0),
            quiet: (QUIET_RATE, usual),
            usual: (self.event_rate, usual),
            burst: (self.event_rate * BURST, Duration::from_secs_f64(self.event_burst)),
            after: usual,
            flood: self.event_flood,
        }
    }

    /// Always the burst of DESIGN's event: shorter ones are for lack of time, not another event.
    fn platform(&self) -> Event {
        Event {
            usual: self.event_platform,
            burst: self.event_platform * BURST,
            length: Duration::from_secs(30),
        }
    }
}

/// Runs both sides. `told` gets progress.
pub fn run(
    options: &Options,
    servers: (&Kafka, &Valkey),
    worker: &Path,
    mut told: impl FnMut(&str),
) -> Result<Outcome> {
    let bed = Bed::new(servers, Duration::from_secs_f64(options.event_round_trip / 1e3))?;
    let shape = options.shape();
    let trace = Arc::new(Trace::new(&shape, now_ms()));
    let round_trip = bed.round_trip()?;
    if !options.is_warm {
        bed.warm_up(&trace)?;
    }
    let settings = if options.event_no_search {
        FOUND
    } else {
        let short = Shape { flood: (shape.flood / 5).max(1), ..only_flood(&shape) };
        let trace_of = |shape: &Shape| Arc::new(Trace::new(shape, now_ms()));
        let traces = (&trace_of(&short), &trace_of(&only_flood(&shape)));
        tune::search(&bed, traces, |trial| told(&format!("direct, {trial}")))?
    };
    told(&format!("event: direct ({})", Told(settings)));
    let direct = Side::of("direct", &bed.run_direct(&trace, settings)?);
    told("event: Kafka and one worker");
    let plaudit = Side::of("Plaudit", &bed.run_plaudit(&trace, worker, 1, options.event_linger)?);
    let lines = conditions(options, &trace, round_trip, settings);
    Ok(Outcome { conditions: Conditions { lines, platform: options.platform() }, direct, plaudit })
}

fn conditions(
    options: &Options,
    trace: &Trace,
    round_trip: Duration,
    settings: crate::direct::Settings,
) -> Vec<String> {
    let Options {
        event_rate, event_burst, event_usual, event_together, event_round_trip, event_linger, ..
    } = options;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "development" } else { "release" };
    vec![
        format!(
            "Trace: {} reports of {} players by Zipf's law, {:.0} % of them three at once of one player: {QUIET_RATE}/s (low load), \
             {}/s, {}/s for {event_burst} s (the burst), {}/s, the others {event_usual} s each; then a flood of {}, as fast as it goes.",
            grouped(trace.event_reports() as f64),
            grouped(PLAYERS as f64),
            event_together * 100.0,
            grouped(*event_rate),
            grouped(event_rate * BURST),
            grouped(*event_rate),
            grouped(trace.flood.len() as f64),
        ),
        format!(
            "Same for both: {cores} cores for everything, a {build} build, one store, {:.2} ms away (a proxy adds {event_round_trip} ms). \
             Kafka: one broker without replicas, not delayed; acks=all, linger {event_linger} ms. One worker, one direct.",
            round_trip.as_secs_f64() * 1e3
        ),
        format!("direct: {}.", Told(settings)),
    ]
}

fn only_flood(shape: &Shape) -> Shape {
    let none = |(rate, _): (f64, Duration)| (rate, Duration::ZERO);
    Shape {
        quiet: none(shape.quiet),
        usual: none(shape.usual),
        burst: none(shape.burst),
        after: Duration::ZERO,
        ..*shape
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}
