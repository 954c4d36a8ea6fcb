//! What an elector does next, given what it saw and when. Pure: times are arguments, counted from the elector's start.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::record::Record;
use super::times::Times;

/// Everything that one elector knows.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    name: String,
    identity: String,
    times: Times,
    /// The record as last seen; `None` before the first answer.
    seen: Option<Seen>,
    /// True after a request whose outcome is unknown: what is stored has to be read before the next write.
    stale: bool,
    /// When the API server last told of the Lease, by an answer or an event.
    heard: Duration,
    /// No request before.
    not_before: Duration,
    /// Requests that failed since the last write that was stored.
    failures: u32,
    /// When the last write that is known to be stored was sent, for as long as this elector leads.
    leading: Option<Duration>,
    /// True once a write was sent that may have made this elector the holder.
    may_hold: bool,
    /// True once the Lease was to be created as ours, until a write is stored.
    may_create: bool,
    /// True once the Lease was claimed, until it is looked at.
    claims: bool,
}

/// A record, and since when it has been seen unchanged.
#[derive(Clone, Debug)]
struct Seen {
    /// `None`: the Lease does not exist.
    record: Option<Record>,
    since: Duration,
    /// It was seen in somebody's hands, or may have been: when it is missing, that one may lead still.
    was_held: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Read the Lease.
    Read,
    /// Create the Lease, or replace the version that the record names.
    Write(Box<Record>),
    /// Nothing until this moment, or until the Lease changes.
    Wait(Duration),
    /// Stop leading, now and for good.
    Lost(Loss),
}

/// Why a term ended without having been given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// No renewal is known to be stored within the renew deadline.
    #[error("the lease could not be renewed in time")]
    NotRenewed,
    /// Somebody else holds the Lease.
    #[error("the lease was taken by {by:?}")]
    Taken { by: String },
    /// The Lease is gone: whoever creates it leads.
    #[error("the lease was deleted")]
    Deleted,
    /// The task that renews the Lease ended.
    #[error("the elector ended")]
    ElectorEnded,
}

impl Loss {
    /// One word for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotRenewed => "NotRenewed",
            Self::Taken { .. } => "Taken",
            Self::Deleted => "Deleted",
            Self::ElectorEnded => "ElectorEnded",
        }
    }
}

impl Machine {
    pub(super) fn new(name: &str, identity: String, times: Times) -> Self {
        Self {
            name: name.to_owned(),
            identity,
            times,
            seen: None,
            stale: true,
            heard: Duration::ZERO,
            not_before: Duration::ZERO,
            failures: 0,
            leading: None,
            may_hold: false,
            may_create: false,
            claims: false,
        }
    }

    /// The next step at `now`; `clock` is the wall clock, for the times that people read.
    pub(super) fn step(&self, now: Duration, clock: Timestamp) -> Step {
        match self.deadline() {
            Some(deadline) => self.lead(now, deadline, clock),
            None => self.stand_by(now, clock),
        }
    }

    /// When this elector stops leading if nothing else is stored; `None` while it does not lead.
    pub(super) fn deadline(&self) -> Option<Duration> {
        Some(self.leading? + self.times.renew_deadline)
    }

    /// Who holds the Lease, as last seen.
    pub(super) fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.record.as_ref()?.holder()
    }

    /// The version that changes are watched from.
    pub(super) fn version(&self) -> Option<&str> {
        self.seen.as_ref()?.record.as_ref()?.version()
    }

    /// True once the API server has told of the Lease.
    pub(super) fn has_heard(&self) -> bool {
        self.seen.is_some()
    }

    /// True when the Lease was read or heard of since the last request that failed.
    pub(super) fn is_fresh(&self) -> bool {
        !self.stale
    }

    /// True when the API server has told nothing of the Lease for longer than a leader is silent.
    pub(super) fn is_silent(&self, now: Duration) -> bool {
        now >= self.heard + self.times.silence()
    }

    /// The Lease as it is; `None` when there is none. `now` is when the answer was here.
    pub(super) fn saw(&mut self, record: Option<Record>, now: Duration) {
        (self.stale, self.heard) = (false, now);
        let version = |record: Option<&Record>| record.and_then(|record| record.version().map(str::to_owned));
        let before = self.seen.as_ref();
        // Who claimed it and finds nothing has to reckon with another whose claim came first, and with a deletion since.
        let was_claimed = std::mem::take(&mut self.claims) && record.is_none();
        if let Some(seen) = before
            && version(seen.record.as_ref()) == version(record.as_ref())
            && !was_claimed
        {
            return;
        }
        // Whoever held it may not know yet that it is gone. A Lease that was never seen is taken for one that never was.
        let was_held = was_claimed
            || before.is_some_and(|seen| match &seen.record {
                Some(record) => !record.lasts(self.times.lease).is_zero(),
                None => seen.was_held,
            });
        self.seen = Some(Seen { record, since: now, was_held });
    }

    /// A write that was sent at `sent` is stored; `fraction` (0 to 1) draws the pause until the next.
    pub(super) fn stored(&mut self, record: Record, sent: Duration, now: Duration, fraction: f64) {
        self.saw(Some(record), now);
        if self.holder() != Some(&self.identity) {
            return;
        }
        self.leading = Some(sent);
        (self.failures, self.may_create) = (0, false);
        self.not_before = now + self.times.pause(fraction);
    }

    /// A write is about to be sent.
    pub(super) fn sends(&mut self, record: &Record) {
        if record.holder() == Some(&self.identity) {
            (self.may_hold, self.claims) = (true, true);
            self.may_create |= record.version().is_none();
        }
    }

    /// A request failed, or its answer did not come: it may have been carried out all the same.
    ///
    /// The first failure since a stored write is followed at once by another look: it is mostly a conflict, or a connection that died.
    pub(super) fn failed(&mut self, now: Duration, fraction: f64) {
        self.stale = true;
        self.failures += 1;
        self.not_before = if self.failures == 1 { now } else { now + self.times.pause(fraction) };
    }

    /// What gives the Lease back; `None` when it is not held. To be called when everything that led has ended.
    pub(super) fn release(&self, clock: Timestamp) -> Option<Step> {
        if !self.may_hold {
            return None;
        }
        if self.stale {
            return Some(Step::Read);
        }
        let record = self.seen.as_ref()?.record.as_ref()?;
        (record.holder() == Some(&self.identity)).then(|| Step::Write(Box::new(record.released(clock))))
    }

    fn lead(&self, now: Duration, deadline: Duration, clock: Timestamp) -> Step {
        if now >= deadline {
            return Step::Lost(Loss::NotRenewed);
        }
        let record = match self.seen.as_ref().map(|seen| &seen.record) {
            Some(Some(record)) => record,
            Some(None) | None => return Step::Lost(Loss::Deleted),
        };
        if record.holder() != Some(&self.identity) {
            return Step::Lost(Loss::Taken { by: record.holder().unwrap_or_default().to_owned() });
        }
        if now < self.not_before {
            return Step::Wait(self.not_before.min(deadline));
        }
        if self.stale {
            return Step::Read;
        }
        Step::Write(Box::new(record.renewed(self.times.lease, clock)))
    }

    fn stand_by(&self, now: Duration, clock: Timestamp) -> Step {
        if now < self.not_before {
            return Step::Wait(self.not_before);
        }
        let seen = match &self.seen {
            Some(seen) if !self.stale => seen,
            Some(_) | None => return Step::Read,
        };
        let free_at = match &seen.record {
            // An earlier write of ours, whose answer did not come. It says nothing about when we may lead: the next one does.
            // A version is replaced once; but a Lease may have been created late, after another's had come and was deleted.
            Some(record) if record.holder() == Some(&self.identity) => {
                if !self.may_create || now >= seen.since + self.times.lease {
                    return Step::Write(Box::new(record.renewed(self.times.lease, clock)));
                }
                seen.since + self.times.lease
            }
            Some(record) => seen.since + record.lasts(self.times.lease),
            // Whoever held it may lead still. Created without a holder it has a version again, on which all can wait.
            None if seen.was_held => {
                return Step::Write(Box::new(Record::new(&self.name).unheld(self.times.lease, clock)));
            }
            None => seen.since,
        };
        if now >= free_at {
            let record = seen.record.clone().unwrap_or_else(|| Record::new(&self.name));
            return Step::Write(Box::new(record.taken(&self.identity, self.times.lease, clock)));
        }
        if self.is_silent(now) {
            return Step::Read;
        }
        Step::Wait(free_at.min(self.heard + self.times.silence()))
    }
}

#[cfg(test)]
mod tests;
