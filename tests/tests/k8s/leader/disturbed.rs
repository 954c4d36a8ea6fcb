//! Electors whose way to the API server fails at random.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use plaudit::leader::{Candidacy, Elector, KubeLeases, Leadership, Times, identity};
use plaudit::rbac::LEASE;
use plaudit_tests::stack::kubernetes::fault::{ApiProxy, Fault, Refusal, Rule};
use plaudit_tests::stack::kubernetes::{Cluster, shared};

/// Short, so that many terms fit into a test; in the proportions of the real ones.
const QUICK: Times = Times {
    lease: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry: Duration::from_millis(400),
};

/// One candidate behind a proxy of its own.
struct Candidate {
    proxy: ApiProxy,
    namespace: String,
    candidacy: Candidacy,
    starts: u64,
}

impl Candidate {
    fn start(cluster: &Cluster, namespace: &str, number: u64) -> Result<Self> {
        let proxy = ApiProxy::start(cluster.config()?)?;
        let candidacy = Self::stand(&proxy, namespace, number)?;
        Ok(Self { proxy, namespace: namespace.to_owned(), candidacy, starts: number })
    }

    fn stand(proxy: &ApiProxy, namespace: &str, number: u64) -> Result<Candidacy> {
        let leases = KubeLeases::new(proxy.client()?, namespace, LEASE);
        Ok(Elector::new(leases, LEASE, identity("elector", number), QUICK).stand())
    }

    fn holds(&self) -> bool {
        matches!(&*self.candidacy.leadership().borrow(), Leadership::Leading(term) if term.holds())
    }

    /// Whoever lost starts again, as its pod would.
    fn start_again_if_lost(&mut self) -> Result<bool> {
        let is_lost = matches!(&*self.candidacy.leadership().borrow(), Leadership::Lost(_));
        if is_lost {
            self.starts += 100;
            self.candidacy = Self::stand(&self.proxy, &self.namespace, self.starts)?;
        }
        Ok(is_lost)
    }

    fn disturb(&self, rng: &mut fastrand::Rng) {
        self.proxy.heal();
        let method = if rng.bool() { Method::PUT } else { Method::GET };
        let fault = match rng.u8(0..9) {
            0 => Fault::Refuse(Refusal::Conflict),
            1 => Fault::Refuse(Refusal::Internal),
            2 => Fault::Refuse(Refusal::TooManyRequests { retry_after_seconds: 1 }),
            3 => Fault::LoseAnswer,
            4 => Fault::Cut,
            5 => Fault::Delay(Duration::from_millis(rng.u64(100..3_000))),
            6 => Fault::EndWatch { events: rng.u64(0..3) },
            7 => return self.proxy.wire().cut(),
            _ => return,
        };
        self.proxy.add(Rule::new(method, "/leases", fault).times(rng.u64(1..12)));
    }
}

#[tokio::test]
async fn no_fault_between_electors_and_api_server_makes_two_leaders() -> Result<()> {
    let cluster = shared();
    let namespace = cluster.namespace("disturbed").await?;
    let mut rng = fastrand::Rng::with_seed(5);
    let mut candidates: Vec<Candidate> =
        (0..3).map(|number| Candidate::start(cluster, &namespace, number)).collect::<Result<_>>()?;
    let (mut losses, mut looks, mut led) = (0, 0, 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let (begin, mut next) = (Instant::now(), Instant::now());

    while begin.elapsed() < Duration::from_secs(45) {
        ticks.tick().await;
        let leaders = candidates.iter().filter(|candidate| candidate.holds()).count();
        assert!(leaders <= 1, "{leaders} leaders after {:?}", begin.elapsed());
        (looks, led) = (looks + 1, led + leaders);
        for candidate in &mut candidates {
            losses += u32::from(candidate.start_again_if_lost()?);
        }
        if Instant::now() >= next {
            candidates[rng.usize(0..3)].disturb(&mut rng);
            next = Instant::now() + Duration::from_millis(rng.u64(100..1_200));
        }
    }

    let lease: Lease = Api::namespaced(cluster.client()?, &namespace).get(LEASE).await?;
    let terms = lease.spec.and_then(|spec| spec.lease_transitions).context("transitions")? + 1;
    eprintln!("{terms} terms, {losses} of them lost; somebody led at {led} of {looks} looks, never two");
    assert!(losses > 0 && terms > 2, "the faults end terms, or the test shows nothing");
    for candidate in &candidates {
        candidate.proxy.heal();
    }
    let healed = Instant::now();
    while !candidates.iter().any(Candidate::holds) {
        ticks.tick().await;
        for candidate in &mut candidates {
            candidate.start_again_if_lost()?;
        }
        assert!(healed.elapsed() < Duration::from_secs(10), "nobody leads");
    }
    Ok(())
}
