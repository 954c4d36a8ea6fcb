//! The API server that is made up: one Lease, and answers that come late, twice or never.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

use super::super::*;

/// How badly the server behaves: probabilities, and the longest delay.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    pub(super) refuse: f64,
    pub(super) lose_request: f64,
    pub(super) lose_answer: f64,
    pub(super) carry_out_late: f64,
    pub(super) mute_watch: f64,
    pub(super) longest: Duration,
}

impl Faults {
    pub(super) const NONE: Self = Self {
        refuse: 0.0,
        lose_request: 0.0,
        lose_answer: 0.0,
        carry_out_late: 0.0,
        mute_watch: 0.0,
        longest: Duration::from_millis(20),
    };
    pub(super) const MANY: Self = Self {
        refuse: 0.15,
        lose_request: 0.1,
        lose_answer: 0.15,
        carry_out_late: 0.1,
        mute_watch: 0.4,
        longest: Duration::from_secs(4),
    };
}

/// The one Lease, shared by all electors.
#[derive(Clone)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Option<Record>>,
    begin: Instant,
}

struct State {
    record: Option<Record>,
    version: u64,
    faults: Faults,
    rng: fastrand::Rng,
    /// Holders in the order of their terms, as stored.
    holders: Vec<String>,
    /// What became of the Lease, for whoever has to find out why a seed fails.
    history: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let state = State { record: None, version: 0, faults, rng, holders: Vec::new(), history: Vec::new() };
        Self {
            state: Arc::new(Mutex::new(state)),
            events: broadcast::channel(1_024).0,
            begin: Instant::now(),
        }
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }

    pub(super) fn delete(&self) {
        let mut state = self.state.lock().unwrap();
        state.record = None;
        state.history.push(format!("{:?} deleted", self.begin.elapsed()));
        let _ = self.events.send(None);
    }

    pub(super) fn holders(&self) -> Vec<String> {
        self.state.lock().unwrap().holders.clone()
    }

    pub(super) fn history(&self) -> Vec<String> {
        self.state.lock().unwrap().history.clone()
    }

    fn chance(&self, of: impl FnOnce(&Faults) -> f64) -> bool {
        let mut state = self.state.lock().unwrap();
        let probability = of(&state.faults);
        state.rng.f64() < probability
    }

    async fn delay(&self) {
        let delay = {
            let mut state = self.state.lock().unwrap();
            let longest = state.faults.longest;
            // Mostly quick, sometimes slow.
            longest.mul_f64(state.rng.f64().powi(4))
        };
        sleep(delay).await;
    }

    async fn before(&self) -> Result<(), LeaseError> {
        if self.chance(|faults| faults.lose_request) {
            std::future::pending::<()>().await;
        }
        self.delay().await;
        if self.chance(|faults| faults.refuse) { Err(LeaseError::Failed("500".into())) } else { Ok(()) }
    }

    async fn after<T>(&self, result: Result<T, LeaseError>) -> Result<T, LeaseError> {
        self.delay().await;
        if self.chance(|faults| faults.lose_answer) {
            std::future::pending::<()>().await;
        }
        if self.chance(|faults| faults.refuse) {
            Err(LeaseError::Failed("500 afterwards".into()))
        } else {
            result
        }
    }

    /// Compare and set.
    pub(super) fn set(&self, record: &Record) -> Result<Record, LeaseError> {
        let mut state = self.state.lock().unwrap();
        if state.record.as_ref().and_then(Record::version) != record.version() {
            return Err(LeaseError::Conflict);
        }
        state.version += 1;
        let mut lease = record.lease().clone();
        lease.metadata.resource_version = Some(state.version.to_string());
        let stored = Record::read(lease);
        if let Some(holder) =
            stored.holder().filter(|holder| state.holders.last().is_none_or(|last| last != holder))
        {
            let holder = holder.to_owned();
            state.holders.push(holder);
        }
        let (now, version, holder) = (self.begin.elapsed(), state.version, stored.holder());
        state.history.push(format!("{now:?} version {version} over {:?}: {holder:?}", record.version()));
        state.record = Some(stored.clone());
        let _ = self.events.send(Some(stored.clone()));
        Ok(stored)
    }
}

impl Leases for World {
    async fn read(&self) -> Result<Option<Record>, LeaseError> {
        self.before().await?;
        let record = self.state.lock().unwrap().record.clone();
        self.after(Ok(record)).await
    }

    async fn write(&self, record: &Record) -> Result<Record, LeaseError> {
        if self.chance(|faults| faults.carry_out_late) {
            // On its way for as long as a lease lasts, and nobody waits for the answer any more.
            let (world, record) = (self.clone(), record.clone());
            let delay = self.state.lock().unwrap().rng.u64(0..20_000);
            tokio::spawn(async move {
                sleep(Duration::from_millis(delay)).await;
                let _ = world.set(&record);
            });
            std::future::pending::<()>().await;
        }
        self.before().await?;
        self.after(self.set(record)).await
    }

    fn changes(&self, version: &str) -> Changes {
        if self.chance(|faults| faults.mute_watch) {
            return futures::stream::pending().boxed();
        }
        let missed = self.state.lock().unwrap().record.clone();
        let missed = missed.filter(|record| record.version() != Some(version)).map(|record| Ok(Some(record)));
        let changes =
            futures::stream::unfold((self.clone(), self.events.subscribe()), async |(world, mut events)| {
                let change = events.recv().await.map_err(|error| LeaseError::Failed(error.into()));
                let delay = world.state.lock().unwrap().rng.u64(0..50);
                sleep(Duration::from_millis(delay)).await;
                Some((change, (world, events)))
            });
        futures::stream::iter(missed).chain(changes).boxed()
    }
}
