//! How long a lease lasts, and how often it is renewed.

use std::time::Duration;

/// Durations of an election. The defaults are those of Kubernetes' own components.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// How long others wait after they last saw the leader write.
    pub lease: Duration,
    /// How long a leader leads on without a write that it knows to be stored.
    pub renew_deadline: Duration,
    /// Between two writes of the leader, and two attempts after a failure.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Durations that cannot keep the promise.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BadTimes {
    #[error(
        "the lease ({lease:?}) must be longer than the renew deadline ({renew_deadline:?}): the difference is the time a leader has to stop"
    )]
    LeaseTooShort { lease: Duration, renew_deadline: Duration },
    #[error(
        "the renew deadline ({renew_deadline:?}) must be at least three times the retry period ({retry:?}), so that one lost answer does not end a term"
    )]
    DeadlineTooShort { renew_deadline: Duration, retry: Duration },
    #[error("the retry period must be above zero")]
    NoRetry,
}

impl Times {
    /// # Errors
    /// Where the durations contradict each other.
    pub fn check(self) -> Result<Self, BadTimes> {
        let Self { lease, renew_deadline, retry } = self;
        if retry.is_zero() {
            return Err(BadTimes::NoRetry);
        }
        if renew_deadline < retry * 3 {
            return Err(BadTimes::DeadlineTooShort { renew_deadline, retry });
        }
        if lease <= renew_deadline {
            return Err(BadTimes::LeaseTooShort { lease, renew_deadline });
        }
        Ok(self)
    }

    /// The longest that one request may take: half of the renew deadline, so that a leader whose request hangs has time for another.
    pub(super) fn request(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// A leader writes each `retry`. One that is silent for longer has died, or the watch that should tell of it has.
    pub(super) fn silence(&self) -> Duration {
        self.retry * 3 / 2
    }

    /// The pause before the next attempt: between four fifths and all of `retry`, so that several electors do not keep step.
    pub(super) fn pause(&self, fraction: f64) -> Duration {
        self.retry.mul_f64(0.8 + 0.2 * fraction.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_cannot_keep_the_promise_are_refused() {
        let times = |lease, renew_deadline, retry| {
            let [lease, renew_deadline, retry] = [lease, renew_deadline, retry].map(Duration::from_secs);
            Times { lease, renew_deadline, retry }.check()
        };
        let seconds = Duration::from_secs;

        let checked = [times(15, 10, 2), times(10, 10, 2), times(15, 5, 2), times(15, 10, 0)];

        assert_eq!(
            checked,
            [
                Ok(Times::default()),
                Err(BadTimes::LeaseTooShort { lease: seconds(10), renew_deadline: seconds(10) }),
                Err(BadTimes::DeadlineTooShort { renew_deadline: seconds(5), retry: seconds(2) }),
                Err(BadTimes::NoRetry),
            ]
        );
    }
}
