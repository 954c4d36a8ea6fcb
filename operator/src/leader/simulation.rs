//! Electors on a made-up API server that loses, delays and refuses, in time that a test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

use super::*;

/// How badly the server behaves: probabilities, and the longest delay.
#[derive(Clone, Copy)]
struct Faults {
    refuse: f64,
    lose_request: f64,
    lose_answer: f64,
    carry_out_late: f64,
    mute_watch: f64,
    longest: Duration,
}

impl Faults {
    const NONE: Self = Self {
        refuse: 0.0,
        lose_request: 0.0,
        lose_answer: 0.0,
        carry_out_late: 0.0,
        mute_watch: 0.0,
        longest: Duration::from_millis(20),
    };
    const MANY: Self = Self {
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
struct World {
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
    fn new(seed: u64, faults: Faults) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let state = State { record: None, version: 0, faults, rng, holders: Vec::new(), history: Vec::new() };
        Self {
            state: Arc::new(Mutex::new(state)),
            events: broadcast::channel(1_024).0,
            begin: Instant::now(),
        }
    }

    fn set_faults(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }

    fn delete(&self) {
        let mut state = self.state.lock().unwrap();
        state.record = None;
        state.history.push(format!("{:?} deleted", self.begin.elapsed()));
        let _ = self.events.send(None);
    }

    fn holders(&self) -> Vec<String> {
        self.state.lock().unwrap().holders.clone()
    }

    fn history(&self) -> Vec<String> {
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
    fn set(&self, record: &Record) -> Result<Record, LeaseError> {
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

fn stand(world: &World, identity: &str) -> Candidacy {
    Elector::new(world.clone(), "plaudit", identity.to_owned(), Times::default()).stand()
}

fn term(candidacy: &Candidacy) -> Option<Term> {
    match &*candidacy.leadership().borrow() {
        Leadership::Leading(term) => Some(term.clone()),
        Leadership::Starting | Leadership::Standby | Leadership::Lost(_) => None,
    }
}

async fn leads(candidacy: &Candidacy) -> Term {
    let mut leadership = candidacy.leadership();
    let leading = leadership.wait_for(|leadership| matches!(leadership, Leadership::Leading(_))).await;
    drop(leading.expect("the elector stands"));
    term(candidacy).expect("it leads")
}

/// Waits until one of two electors leads; the time from `since`.
async fn led_after(candidacy: &Candidacy, since: Instant) -> Duration {
    leads(candidacy).await;
    since.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_resigns_is_followed_at_once() {
    let world = World::new(1, Faults::NONE);
    let first = stand(&world, "first");
    leads(&first).await;
    let second = stand(&world, "second");
    sleep(Duration::from_secs(60)).await;
    let since = Instant::now();

    first.resign().await;

    let took = led_after(&second, since).await;
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_within_the_lease_and_a_second() {
    for seed in 0..20 {
        let world = World::new(seed, Faults::NONE);
        let first = stand(&world, "first");
        leads(&first).await;
        let second = stand(&world, "second");
        sleep(Duration::from_millis(30_000 + seed * 137)).await;
        let since = Instant::now();

        drop(first);

        let took = led_after(&second, since).await;
        assert!(took > Duration::from_secs(12) && took < Duration::from_secs(16), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_watch_delays_the_hand_over_by_at_most_the_silence() {
    let world = World::new(1, Faults { mute_watch: 1.0, ..Faults::NONE });
    let first = stand(&world, "first");
    leads(&first).await;
    let second = stand(&world, "second");
    sleep(Duration::from_secs(60)).await;
    let since = Instant::now();

    first.resign().await;

    let took = led_after(&second, since).await;
    assert!(took < Duration::from_millis(3_200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_an_api_server_stops_before_another_could_lead() {
    let world = World::new(1, Faults::NONE);
    let first = stand(&world, "first");
    let held = leads(&first).await;
    sleep(Duration::from_secs(30)).await;
    let since = Instant::now();

    world.set_faults(Faults { lose_request: 1.0, ..Faults::NONE });
    held.over().cancelled().await;

    assert!(since.elapsed() <= Duration::from_secs(10), "{:?}", since.elapsed());
    assert!(!held.holds());
    assert!(matches!(&*first.leadership().borrow(), Leadership::Lost(Loss::NotRenewed)));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_ends_the_term_before_another_creates_it() {
    let world = World::new(1, Faults::NONE);
    let first = stand(&world, "first");
    let held = leads(&first).await;
    let second = stand(&world, "second");
    sleep(Duration::from_secs(30)).await;

    world.delete();

    held.over().cancelled().await;
    assert!(term(&second).is_none());
    leads(&second).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_api_server_ends_no_term() {
    let world = World::new(1, Faults { longest: Duration::from_millis(2_400), ..Faults::NONE });
    let first = stand(&world, "first");
    let held = leads(&first).await;

    sleep(Duration::from_secs(3_600)).await;

    assert!(held.holds());
    assert_eq!(world.holders(), ["first"]);
}

/// Three electors for two minutes; whoever loses, dies or resigns is replaced under a new name. Returns how many terms there were.
async fn life(seed: u64, faults: Faults, deletions: bool) -> usize {
    // Pauses are drawn from it: the same seed is the same life.
    fastrand::seed(seed);
    let world = World::new(seed, faults);
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xfeed);
    let mut born = 0;
    let mut next = |world: &World| {
        born += 1;
        stand(world, &format!("elector-{born}"))
    };
    let mut electors: Vec<Candidacy> = (0..3).map(|_| next(&world)).collect();
    let start = Instant::now();
    // Who first looks at about the time of a deletion takes the Lease for one that never was: that is left to people.
    let (mut calm_until, mut last_birth) = (start, start);
    while start.elapsed() < Duration::from_secs(120) {
        sleep(Duration::from_millis(rng.u64(1..200))).await;
        let leaders =
            electors.iter().filter(|elector| term(elector).is_some_and(|term| term.holds())).count();
        assert!(
            leaders <= 1,
            "seed {seed}: {leaders} leaders at {:?}, {:#?}",
            start.elapsed(),
            world.history()
        );
        let one = rng.usize(0..electors.len());
        let is_lost = matches!(&*electors[one].leadership().borrow(), Leadership::Lost(_));
        if Instant::now() < calm_until {
            continue;
        }
        if is_lost || rng.f64() < 0.003 {
            electors[one] = next(&world);
            last_birth = Instant::now();
        } else if rng.f64() < 0.003 {
            let resigned = std::mem::replace(&mut electors[one], next(&world));
            resigned.resign().await;
            last_birth = Instant::now();
        }
        let all_have_looked =
            electors.iter().all(|elector| !matches!(&*elector.leadership().borrow(), Leadership::Starting));
        if deletions && all_have_looked && last_birth.elapsed() > Duration::from_secs(10) && rng.f64() < 0.01
        {
            world.delete();
            calm_until = Instant::now() + Duration::from_secs(20);
        }
    }
    // What lasts is trouble with the server, not with the election.
    world.set_faults(Faults::NONE);
    electors.retain(|elector| !matches!(&*elector.leadership().borrow(), Leadership::Lost(_)));
    electors.push(next(&world));
    let healed = Instant::now();
    while !electors.iter().any(|elector| term(elector).is_some_and(|term| term.holds())) {
        sleep(Duration::from_millis(100)).await;
        assert!(healed.elapsed() < Duration::from_secs(40), "seed {seed}: nobody leads");
    }
    world.holders().len()
}

#[tokio::test(start_paused = true)]
async fn two_never_believe_that_they_lead() {
    let mut terms = 0;
    for seed in 0..200 {
        terms += life(seed, Faults::MANY, false).await;
    }
    assert!(terms > 600, "the faults end terms, or the test shows nothing: {terms}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_deleted_by_hand_makes_no_second_leader() {
    // A creation that is on its way while the Lease comes and goes would be carried out: nothing tells that it is late.
    let faults = Faults { carry_out_late: 0.0, ..Faults::MANY };
    for seed in 0..100 {
        life(seed, faults, true).await;
    }
}

#[test]
fn a_term_without_an_election_does_not_end() {
    assert!(
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(async { Term::endless().holds() })
    );
}

#[tokio::test(start_paused = true)]
async fn work_runs_while_the_term_lasts_and_the_lease_is_given_back_after_it() {
    let world = World::new(1, Faults::NONE);
    let stop = tokio_util::sync::CancellationToken::new();
    let elector = Elector::new(world.clone(), "plaudit", "me".to_owned(), Times::default());
    let mut seen = Vec::new();

    let result = lead(
        elector,
        &stop,
        |leadership| seen.push(format!("{leadership:?}").split('(').next().unwrap_or_default().to_owned()),
        async |term: Term| {
            sleep(Duration::from_secs(60)).await;
            term.holds()
        },
    )
    .await;

    assert_eq!(result, Ok(Some(true)));
    assert_eq!(seen, ["Starting", "Standby", "Leading", "Standby"]);
    let record = world.read().await.unwrap().unwrap();
    assert_eq!((record.holder(), record.lasts(Duration::from_secs(15))), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_when_the_term_is_lost() {
    let world = World::new(1, Faults::NONE);
    let stop = tokio_util::sync::CancellationToken::new();
    let elector = Elector::new(world.clone(), "plaudit", "me".to_owned(), Times::default());

    let result = lead(
        elector,
        &stop,
        |_| (),
        async |_| {
            sleep(Duration::from_secs(5)).await;
            world.set_faults(Faults { refuse: 1.0, ..Faults::NONE });
            std::future::pending::<()>().await;
        },
    )
    .await;

    assert_eq!(result, Err(Loss::NotRenewed));
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_lead_ends_the_wait() {
    let world = World::new(1, Faults::NONE);
    world
        .set(&Record::new("plaudit").taken("other", Duration::from_secs(15), Timestamp::UNIX_EPOCH))
        .unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let elector = Elector::new(world.clone(), "plaudit", "me".to_owned(), Times::default());
    let stopping = async {
        sleep(Duration::from_secs(5)).await;
        stop.cancel();
    };

    let (result, ()) = tokio::join!(lead(elector, &stop, |_| (), async |_| ()), stopping);

    assert_eq!(result, Ok(None));
    assert_eq!(world.read().await.unwrap().unwrap().holder(), Some("other"));
}
