//! Electors on a made-up API server that loses, delays and refuses, in time that a test moves.

mod world;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::*;
use world::{Faults, World};

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
