//! A fault: what happens to the workers, to a server, or between them.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

use crate::stack::proxy::{Flow, Stream, Wire};

/// The names of faults, for choosing among them. Those with a parameter are drawn with a random one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// SIGKILL to a worker; another starts.
    Kill,
    /// SIGTERM to a worker; another starts at once.
    Terminate,
    /// Another number of workers.
    Scale,
    /// Four other numbers of workers in quick succession: the group hardly settles in between.
    Storm,
    /// SIGSTOP to a worker, for less than its session.
    Freeze,
    /// SIGSTOP to a worker, for longer than its session: it wakes up as a zombie.
    Oversleep,
    /// A worker is replaced by one with other settings; the others keep theirs.
    Reconfigure,
    /// SIGKILL to the broker; it starts again.
    KillBroker,
    /// SIGSTOP to the broker.
    PauseBroker,
    /// SIGKILL to the store; it starts again with what it had acknowledged.
    KillStore,
    /// SIGSTOP to the store.
    PauseStore,
    /// SIGKILL to the store; it starts again with what it held a while before.
    RestoreStore,
    /// A replica that stopped replicating a while before becomes the primary, and the old one is gone.
    Failover,
    /// The same, but workers go on writing to the old primary on connections that stay open.
    OldPrimary,
    /// Latency, jitter or a low rate between workers and the broker.
    DelayKafka,
    /// Connections of workers to the broker are reset, and new ones refused.
    CutKafka,
    /// Connections of workers to the broker stay open and carry nothing, in one direction or both.
    HalfOpenKafka,
    DelayStore,
    CutStore,
    HalfOpenStore,
    /// The clocks of the game servers step.
    Clock,
    /// The topic gets more partitions.
    Grow,
}

/// A fault with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Terminate,
    Scale { workers: usize },
    Storm { workers: [usize; 4], every_ms: u64 },
    Freeze { ms: u64 },
    Reconfigure(Variant),
    KillBroker,
    PauseBroker { ms: u64 },
    KillStore,
    PauseStore { ms: u64 },
    RestoreStore { from_ms_ago: u64 },
    Failover { from_ms_ago: u64 },
    OldPrimary { from_ms_ago: u64, route: usize, ms: u64 },
    Disturb { link: Link, route: Option<usize>, disturbance: Disturbance, ms: u64 },
    Clock { ahead_ms: i64 },
    Grow { partitions: usize },
}

/// Settings in which a worker differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub max_records: i32,
    pub max_delay_ms: i32,
    pub max_value_bytes: u32,
    pub memory_budget_mib: u64,
}

/// What a worker is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Kafka,
    Store,
}

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    Delay {
        latency_ms: u64,
        jitter_ms: u64,
    },
    Slow {
        bytes_per_second: u64,
    },
    Cut,
    /// What is sent arrives later.
    Hold(Way),
    /// What is sent never arrives.
    Swallow(Way),
}

/// Upstream is from the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Upstream,
    Downstream,
    Both,
}

impl Kind {
    /// As it is typed.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Disturbance {
    /// The wire that does it; none: the connections are cut.
    pub fn wire(self) -> Option<Wire> {
        let stream = match self {
            Self::Cut => return None,
            Self::Delay { latency_ms, jitter_ms } => Stream {
                latency: Duration::from_millis(latency_ms),
                jitter: Duration::from_millis(jitter_ms),
                ..Stream::default()
            },
            Self::Slow { bytes_per_second } => Stream { rate: Some(bytes_per_second), ..Stream::default() },
            Self::Hold(way) => return Some(way.of(Flow::Held)),
            Self::Swallow(way) => return Some(way.of(Flow::Swallowed)),
        };
        Some(Wire::both(stream))
    }
}

impl Way {
    fn of(self, flow: Flow) -> Wire {
        let stream = Stream { flow, ..Stream::default() };
        match self {
            Self::Upstream => Wire { upstream: stream, ..Wire::default() },
            Self::Downstream => Wire { downstream: stream, ..Wire::default() },
            Self::Both => Wire::both(stream),
        }
    }
}

impl fmt::Display for Fault {
    /// The parameters; the kind says the rest.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill | Self::Terminate | Self::KillBroker | Self::KillStore => Ok(()),
            Self::Scale { workers } => write!(out, " to {workers}"),
            Self::Storm { workers, every_ms } => write!(out, " to {workers:?}, {every_ms} ms each"),
            Self::Freeze { ms } | Self::PauseBroker { ms } | Self::PauseStore { ms } => {
                write!(out, " for {ms} ms")
            }
            Self::Reconfigure(variant) => {
                let Variant { max_records, max_delay_ms, max_value_bytes, memory_budget_mib } = variant;
                write!(
                    out,
                    " to {max_records} records, {max_delay_ms} ms, {max_value_bytes} bytes, {memory_budget_mib} MiB"
                )
            }
            Self::RestoreStore { from_ms_ago } | Self::Failover { from_ms_ago } => {
                write!(out, " losing {from_ms_ago} ms")
            }
            Self::OldPrimary { from_ms_ago, route, ms } => {
                write!(out, " losing {from_ms_ago} ms, used on route {route} for {ms} ms more")
            }
            Self::Disturb { route, disturbance, ms, .. } => {
                let route = route.map_or_else(|| "all routes".to_owned(), |route| format!("route {route}"));
                write!(out, " {disturbance:?} on {route} for {ms} ms")
            }
            Self::Clock { ahead_ms } => write!(out, " to {ahead_ms} ms ahead"),
            Self::Grow { partitions } => write!(out, " by {partitions} partitions"),
        }
    }
}
