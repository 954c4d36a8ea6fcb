//! The record of an election: the fields of a Lease that electors read and write.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

/// A Lease, with whatever else people put into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    lease: Lease,
}

/// What a released lease says of its duration, as client-go writes it.
const RELEASED_SECONDS: i32 = 1;

impl Record {
    /// A Lease that does not exist yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut lease = Lease::default();
        lease.metadata.name = Some(name.to_owned());
        Self { lease }
    }

    /// As the API server gave it.
    #[must_use]
    pub fn read(lease: Lease) -> Self {
        Self { lease }
    }

    /// To be sent to the API server.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The version that a replacement must name. Versions are compared for equality only.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.lease.metadata.resource_version.as_deref()
    }

    /// Who holds the lease; `None` when nobody does.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.spec()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// How long others wait after they saw this record: what its writer promised, who may be configured otherwise than we are.
    ///
    /// A released lease is free at once. One that only has no holder is not: a person emptied it, and the leader does not know yet.
    #[must_use]
    pub fn lasts(&self, default: Duration) -> Duration {
        let seconds = self.spec().and_then(|spec| spec.lease_duration_seconds).filter(|seconds| *seconds > 0);
        match (self.holder(), seconds) {
            (None, Some(RELEASED_SECONDS)) => Duration::ZERO,
            (_, Some(seconds)) => Duration::from_secs(u64::from(seconds.unsigned_abs())),
            (_, None) => default,
        }
    }

    /// This record in the hands of `holder`: a new term when it was somebody else's.
    #[must_use]
    pub fn taken(&self, holder: &str, lasts: Duration, now: Timestamp) -> Self {
        let is_first =
            self.spec().is_none_or(|spec| spec.holder_identity.is_none() && spec.renew_time.is_none());
        let changes = i32::from(!is_first && self.holder() != Some(holder));
        self.changed(|spec| {
            spec.holder_identity = Some(holder.to_owned());
            spec.lease_duration_seconds = Some(whole_seconds(lasts));
            spec.acquire_time = Some(MicroTime(now));
            spec.renew_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(changes));
        })
    }

    /// This record, renewed by its holder.
    #[must_use]
    pub fn renewed(&self, lasts: Duration, now: Timestamp) -> Self {
        self.changed(|spec| {
            spec.lease_duration_seconds = Some(whole_seconds(lasts));
            spec.renew_time = Some(MicroTime(now));
        })
    }

    /// This record in nobody's hands, and not free before the lease has run out.
    #[must_use]
    pub fn unheld(&self, lasts: Duration, now: Timestamp) -> Self {
        self.changed(|spec| {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(whole_seconds(lasts));
            spec.renew_time = Some(MicroTime(now));
        })
    }

    /// This record, given up by its holder: who comes next need not wait.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Self {
        self.changed(|spec| {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(RELEASED_SECONDS);
            spec.renew_time = Some(MicroTime(now));
        })
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.lease.spec.as_ref()
    }

    fn changed(&self, change: impl FnOnce(&mut LeaseSpec)) -> Self {
        let mut lease = self.lease.clone();
        change(lease.spec.get_or_insert_default());
        Self { lease }
    }
}

/// Rounded up: a promise to others may be longer than what is kept, never shorter.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(14_500);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spec(holder: &str, seconds: i32, acquired: i64, renewed: i64, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(seconds),
            acquire_time: Some(MicroTime(at(acquired))),
            renew_time: Some(MicroTime(at(renewed))),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn the_fields_say_who_leads_since_when_and_how_often_that_changed() {
        let first = Record::new("plaudit").taken("a", LEASE, at(1));
        let renewed = first.renewed(LEASE, at(3));
        let released = renewed.released(at(5));
        let next = released.taken("b", LEASE, at(6));
        let robbed = next.taken("c", LEASE, at(30));

        assert_eq!(
            [first, renewed, released, next, robbed].map(|record| record.lease.spec.unwrap()),
            [
                spec("a", 15, 1, 1, 0),
                spec("a", 15, 1, 3, 0),
                spec("", 1, 1, 5, 0),
                spec("b", 15, 6, 6, 1),
                spec("c", 15, 30, 30, 2),
            ]
        );
    }

    #[test]
    fn a_replacement_keeps_what_others_put_into_the_lease() {
        let mut lease = Lease::default();
        lease.metadata.resource_version = Some("7".to_owned());
        lease.metadata.labels = Some([("app".to_owned(), "plaudit".to_owned())].into());

        let taken = Record::read(lease.clone()).taken("a", LEASE, at(1));

        assert_eq!(taken.lease.metadata, lease.metadata);
    }

    #[test]
    fn only_a_released_lease_is_free_at_once() {
        let own = Duration::from_secs(15);
        let held = Record::new("plaudit").taken("a", Duration::from_secs(40), at(1));
        let emptied = held.unheld(Duration::from_secs(40), at(2));
        let odd = held.changed(|spec| spec.lease_duration_seconds = Some(-3));

        let waits = [&held, &held.released(at(2)), &emptied, &odd, &Record::new("plaudit")];

        assert_eq!(waits.map(|record| record.lasts(own).as_secs()), [40, 0, 40, 15, 15]);
    }
}
