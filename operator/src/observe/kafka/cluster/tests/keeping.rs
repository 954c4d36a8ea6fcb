//! Offsets that are kept for groups without members.

use super::*;

/// Watches a group that has committed nothing while it has no members.
fn keeping(initial: InitialOffset) -> (Kafka, Cluster) {
    let mut kafka = Kafka::with(&[("a", 1, &[(1, 3, 10), (1, 0, 20)])]);
    kafka.groups.entry("g").or_default();
    let mut cluster = Cluster::new(Rules { keep_offsets: true, ..RULES });
    cluster.add(1, &ReaderSpec { initial, ..spec("a", "g") }, SEC(0));
    (kafka, cluster)
}

#[test]
fn a_group_without_members_gets_its_first_offsets_and_its_lag_is_known() {
    let mut told = Vec::new();
    for initial in [InitialOffset::Earliest, InitialOffset::Latest] {
        let (mut kafka, mut cluster) = keeping(initial);
        let asked = kafka.settle(&mut cluster, SEC(0));
        told.push((asked.last().cloned(), asked.into_iter().find(|one| one.starts_with("commit g"))));
        let idle: Vec<String> = (1..60).flat_map(|second| kafka.settle(&mut cluster, SEC(second))).collect();
        let lags: Vec<_> =
            found(news(&mut cluster, 1)).partitions.iter().map(|one| one.lag(false, None)).collect();
        let expected = if initial == InitialOffset::Earliest { [Some(7), Some(20)] } else { [Some(0); 2] };
        assert_eq!(lags, expected);
        assert!(idle.iter().all(|one| !one.starts_with("commit g")), "{idle:?}");
    }

    let committed = Some("committed g".to_owned());
    assert_eq!(
        told,
        [
            (committed.clone(), Some("commit g 0@3 1@0".to_owned())),
            (committed, Some("commit g 0@10 1@20".to_owned())),
        ]
    );
}

#[test]
fn a_group_with_members_keeps_its_own_offsets() {
    let (mut kafka, mut cluster) = keeping(InitialOffset::Latest);
    kafka.groups.get_mut("g").expect("a group").members = vec!["w-0"];

    let asked: Vec<String> = (0..600).flat_map(|second| kafka.settle(&mut cluster, SEC(second))).collect();

    let commits: Vec<_> = asked.iter().filter(|one| one.starts_with("commit g")).collect();
    assert_eq!(commits, Vec::<&String>::new());
}

#[test]
fn a_commit_that_is_refused_is_tried_again_when_the_group_is_empty_again() {
    let (mut kafka, mut cluster) = keeping(InitialOffset::Earliest);
    let mut asked = Vec::new();
    for second in 0..20 {
        for question in cluster.questions(SEC(second)) {
            asked.push(short(&cluster, &question));
            // A member joins between the description and the commit, and leaves.
            let joined = matches!(question, Question::Commit(..)) && second < 6;
            kafka.groups.get_mut("g").expect("a group").members = if joined { vec!["w-0"] } else { vec![] };
            let answer = kafka.answer(&cluster, &question);
            cluster.answer(question, answer, SEC(second), SEC(second));
        }
    }

    let commits = asked.iter().filter(|one| one.starts_with("commit g")).count();
    assert_eq!((commits, kafka.groups["g"].offsets.len()), (2, 2));
}

#[test]
fn offsets_of_a_group_without_members_are_renewed_once_a_day_with_their_metadata() {
    let (mut kafka, mut cluster) = keeping(InitialOffset::Earliest);
    let metadata = CommitMetadata { topic_id: vec![1; 16], incarnation: 0, first: 0 }.encode().into_bytes();
    let group = kafka.groups.get_mut("g").expect("a group");
    group.offsets = [(0, (10, metadata.clone())), (1, (20, metadata.clone()))].into();
    let mut at = Vec::new();
    for minute in 0..(72 * 60) {
        let asked = kafka.settle(&mut cluster, SEC(minute * 60));
        if asked.iter().any(|one| one == "commit g 0@10 1@20") {
            at.push(minute / 60);
        }
    }

    let kept = kafka.groups["g"].offsets.values().all(|(_, kept)| *kept == metadata);
    let often = at.windows(2).all(|two| (12..=24).contains(&(two[1] - two[0])));
    assert!(at.first() == Some(&0) && (4..=7).contains(&at.len()) && often && kept, "{at:?}, {kept}");
}
