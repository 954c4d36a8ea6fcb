//! A wire is how a proxy treats the bytes that pass through it, for each direction by itself.

use std::time::Duration;

/// Both directions of a proxy's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// From the client to the server.
    pub upstream: Stream,
    /// From the server to the client.
    pub downstream: Stream,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// How much later bytes arrive; they stay in order.
    pub latency: Duration,
    /// `latency` varies by up to this, both ways.
    pub jitter: Duration,
    /// Bytes per second; none: no limit.
    pub rate: Option<u64>,
    pub flow: Flow,
}

/// Whether bytes arrive at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Passes,
    /// They wait until the wire is another one, and then arrive: a network that was away for a while.
    Held,
    /// They never arrive, and neither does anything later on the same connection: a connection that a firewall forgot.
    Swallowed,
}

/// Which of a wire's directions a pump serves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Upstream,
    Downstream,
}

impl Wire {
    /// The same in both directions.
    pub fn both(stream: Stream) -> Self {
        Self { upstream: stream, downstream: stream }
    }

    pub(super) fn of(&self, side: Side) -> Stream {
        match side {
            Side::Upstream => self.upstream,
            Side::Downstream => self.downstream,
        }
    }
}

impl Stream {
    /// `at` is between 0 and 1.
    pub(super) fn delay(&self, at: f64) -> Duration {
        (self.latency + self.jitter.mul_f64(2.0 * at)).saturating_sub(self.jitter)
    }

    pub(super) fn time_to_send(&self, bytes: usize) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_goes_both_ways_and_never_below_zero() {
        let stream = |latency| Stream {
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(20),
            ..Stream::default()
        };
        let delays = |latency| [0.0, 0.5, 1.0].map(|at| stream(latency).delay(at).as_millis());
        assert_eq!((delays(100), delays(5)), ([80, 100, 120], [0, 5, 25]));
    }
}
