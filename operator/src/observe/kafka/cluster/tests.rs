//! A cluster's questions and conclusions, with a Kafka made of plain values.

mod fake;

use plaudit_worker::lane::CommitMetadata;

use super::super::super::admin::{Answer, DescribedTopic, FoundOffset};
use super::super::super::source::{
    Committed, Group, Member, PartitionOffsets, SourceState, Topic as TopicState, TopicId, Unknown,
};
use super::*;
use fake::{FakeTopic, Kafka, short};

const RULES: Rules =
    Rules { period: Duration::from_secs(2), metadata_period: Duration::from_secs(60), keep_offsets: false };
const SEC: fn(u64) -> Duration = Duration::from_secs;

fn spec(topic: &str, group: &str) -> ReaderSpec {
    ReaderSpec { topic: topic.to_owned(), group: group.to_owned(), initial: InitialOffset::Earliest }
}

/// Two idle pipelines of one topic each; everything about them is known.
fn idle() -> (Kafka, Cluster) {
    let mut kafka = Kafka::with(&[("a", 1, &[(1, 0, 10), (2, 0, 20)]), ("b", 2, &[(1, 5, 5)])]);
    for (group, partition, offset) in [("ga", 0, 10), ("ga", 1, 20), ("gb", 0, 5)] {
        kafka.commit(group, partition, offset);
    }
    let mut cluster = Cluster::new(RULES);
    cluster.add(1, &spec("a", "ga"), SEC(0));
    cluster.add(2, &spec("b", "gb"), SEC(0));
    kafka.settle(&mut cluster, SEC(0));
    (kafka, cluster)
}

/// The news of one reader.
fn news(cluster: &mut Cluster, id: u64) -> Option<SourceState> {
    cluster.news().into_iter().find_map(|(of, state)| (of == id).then_some(state))
}

fn found(state: Option<SourceState>) -> TopicState {
    match state {
        Some(SourceState::Found(topic)) => topic,
        other => panic!("not found: {other:?}"),
    }
}

fn failed(state: Option<SourceState>) -> (&'static str, String) {
    match state {
        Some(SourceState::Failed { reason, message }) => (reason, message),
        other => panic!("not failed: {other:?}"),
    }
}

fn lags(topic: &TopicState) -> Vec<Option<u64>> {
    topic.partitions.iter().map(|one| one.lag(true, None)).collect()
}

#[test]
fn a_new_pipeline_is_asked_for_everything_once_and_then_told_whole() {
    let mut kafka = Kafka::with(&[("a", 1, &[(1, 0, 10), (2, 3, 20)])]);
    kafka.commit("ga", 0, 4);
    kafka.groups.entry("ga").or_default().members = vec!["w-0"];
    let mut cluster = Cluster::new(RULES);
    cluster.add(1, &spec("a", "ga"), SEC(0));

    let asked = kafka.settle(&mut cluster, SEC(0));

    assert_eq!(
        asked,
        [
            "topics 1",
            "ends of 1 at 1",
            "ends of 1 at 2",
            "committed ga",
            "starts of 1",
            "starts of 1",
            "groups ga"
        ]
    );
    let member = Member { client_id: "w-0".to_owned(), host: String::new(), partitions: vec![0, 1] };
    let offsets = |partition, committed, log_start, log_end| PartitionOffsets {
        partition,
        committed,
        log_start: Some(log_start),
        log_end: Some(log_end),
        ..PartitionOffsets::default()
    };
    assert_eq!(
        (cluster.news(), cluster.news()),
        (
            vec![(
                1,
                SourceState::Found(TopicState {
                    id: Some(TopicId([1; 16])),
                    partitions: vec![
                        offsets(0, Committed::Offset(4), 0, 10),
                        offsets(1, Committed::Nothing, 3, 20)
                    ],
                    group: Group { state: GroupState::Stable, members: vec![member] },
                    recreated: false,
                })
            )],
            vec![]
        )
    );
}

#[test]
fn idle_pipelines_share_one_question_per_broker_and_poll_and_one_for_metadata_a_minute() {
    let (mut kafka, mut cluster) = idle();
    cluster.news();

    let asked: Vec<String> = (1..=60).flat_map(|second| kafka.settle(&mut cluster, SEC(second))).collect();

    let count = |what: &str| asked.iter().filter(|one| one.starts_with(what)).count();
    assert_eq!(
        (count("ends of 2 at 1"), count("ends of 1 at 2"), count("topics 2"), asked.len(), cluster.news()),
        (30, 30, 1, 61, vec![])
    );
}

#[test]
fn a_topic_that_moves_is_looked_at_until_nothing_is_left_to_do() {
    let (mut kafka, mut cluster) = idle();
    cluster.news();
    let mut asked = Vec::new();

    kafka.topics.get_mut("a").expect("a topic").logs[0].2 = 15;
    asked.push(kafka.settle(&mut cluster, SEC(2)));
    let lag = lags(&found(news(&mut cluster, 1)));
    kafka.commit("ga", 0, 15);
    asked.push(kafka.settle(&mut cluster, SEC(4)));
    let drained = lags(&found(news(&mut cluster, 1)));
    asked.push(kafka.settle(&mut cluster, SEC(6)));

    assert_eq!((lag, drained), (vec![Some(5), Some(0)], vec![Some(0), Some(0)]));
    assert_eq!(
        asked,
        [
            vec![
                "ends of 2 at 1",
                "ends of 1 at 2",
                "starts of 1",
                "starts of 1",
                "committed ga",
                "groups ga"
            ],
            vec!["ends of 2 at 1", "ends of 1 at 2", "starts of 1", "starts of 1", "committed ga"],
            vec!["ends of 2 at 1", "ends of 1 at 2"],
        ]
    );
}

#[test]
fn a_missing_topic_is_told_at_once_looked_for_now_and_then_and_harms_no_other() {
    let (mut kafka, mut cluster) = idle();
    cluster.add(3, &spec("c", "gc"), SEC(1));
    kafka.topics.entry("forbidden").or_default().error = 29;
    cluster.add(4, &spec("forbidden", "gc"), SEC(1));
    let asked: Vec<String> = (1..=11).flat_map(|second| kafka.settle(&mut cluster, SEC(second))).collect();
    let told = [3, 4, 1].map(|id| news(&mut cluster, id));
    kafka.topics.insert("c", FakeTopic { id: 9, logs: vec![(1, 0, 7)], error: 0 });
    kafka.settle(&mut cluster, SEC(16));

    let [missing, forbidden, other] = told;
    assert_eq!(
        (failed(missing), asked.iter().filter(|one| one.starts_with("topics")).count()),
        (("TopicMissing", "topic c does not exist".to_owned()), 3)
    );
    // The first call took all news.
    assert_eq!((forbidden, other), (None, None));
    assert_eq!(lags(&found(news(&mut cluster, 3))), [Some(7)]);
}

#[test]
fn a_forbidden_topic_and_a_forbidden_group_have_reasons_of_their_own() {
    let mut kafka = Kafka::with(&[("a", 1, &[(1, 0, 10)])]);
    kafka.topics.entry("forbidden").or_default().error = 29;
    kafka.groups.entry("g").or_default().error = 30;
    let mut cluster = Cluster::new(RULES);
    cluster.add(1, &spec("forbidden", "x"), SEC(0));
    cluster.add(2, &spec("a", "g"), SEC(0));

    let asked: Vec<String> = (0..60).flat_map(|second| kafka.settle(&mut cluster, SEC(second))).collect();

    let news = cluster.news();
    let reasons: Vec<_> = news
        .into_iter()
        .map(|(_, state)| match state {
            SourceState::Failed { reason, .. } => reason,
            SourceState::Found(topic) => topic.trouble().expect("trouble").0,
            SourceState::NotAsked => "NotAsked",
        })
        .collect();
    let committed = asked.iter().filter(|one| *one == "committed g").count();
    assert_eq!((reasons, committed), (vec!["TopicUnauthorized", "GroupUnauthorized"], 1));
}

#[test]
fn a_dead_cluster_is_told_and_its_return_too() {
    let (mut kafka, mut cluster) = idle();
    cluster.add(3, &spec("c", "gc"), SEC(1));
    cluster.news();
    kafka.down = true;
    kafka.settle(&mut cluster, SEC(2));
    let down = cluster.news();
    kafka.down = false;
    kafka.settle(&mut cluster, SEC(7));
    let up = cluster.news();

    let reasons: Vec<_> = down.into_iter().map(|(id, state)| (id, failed(Some(state)).0)).collect();
    assert_eq!(reasons, [(1, "KafkaUnreachable"), (2, "KafkaUnreachable"), (3, "KafkaUnreachable")]);
    let back: Vec<_> = up.iter().map(|(id, state)| (*id, matches!(state, SourceState::Found(_)))).collect();
    assert_eq!(back, [(1, true), (2, true), (3, false)]);
}

#[test]
fn a_silent_broker_makes_its_partitions_unknown_and_no_others() {
    let (mut kafka, mut cluster) = idle();
    cluster.news();
    kafka.silent_leader = Some(2);
    kafka.settle(&mut cluster, SEC(2));

    let topic = found(news(&mut cluster, 1));

    assert_eq!(
        (lags(&topic), topic.partitions[1].unknown, topic.trouble().map(|(reason, _)| reason)),
        (vec![Some(0), None], Some(Unknown::NoAnswer), Some("KafkaUnreachable"))
    );
}

#[test]
fn a_broker_that_has_not_answered_is_not_asked_again() {
    let (mut kafka, mut cluster) = idle();
    let first = cluster.questions(SEC(2));
    let later = cluster.questions(SEC(4));
    let slow = first.iter().find(|question| matches!(question, Question::Ends { leader: 2, .. }));
    let slow = slow.expect("leader 2 was asked").clone();
    for question in first.into_iter().filter(|question| *question != slow) {
        let answer = kafka.answer(&cluster, &question);
        cluster.answer(question, answer, SEC(2), SEC(4));
    }
    let without = kafka.settle(&mut cluster, SEC(6));
    let answer = kafka.answer(&cluster, &slow);
    cluster.answer(slow, answer, SEC(2), SEC(7));

    let with = kafka.settle(&mut cluster, SEC(8));

    assert_eq!(
        (later, without, with),
        (
            vec![],
            vec!["ends of 2 at 1".to_owned()],
            vec!["ends of 2 at 1".to_owned(), "ends of 1 at 2".to_owned()]
        )
    );
}

#[test]
fn a_partition_that_is_missing_from_an_answer_is_unknown() {
    let (_, mut cluster) = idle();
    cluster.news();
    let questions = cluster.questions(SEC(2));
    for question in questions {
        let answer = match &question {
            Question::Ends { leader: 1, .. } => vec![FoundOffset::Absent, FoundOffset::At(5)],
            _ => vec![FoundOffset::At(20)],
        };
        cluster.answer(question, Answer::Offsets(Ok(answer)), SEC(2), SEC(2));
    }
    for question in cluster.questions(SEC(2)) {
        let answer = match &question {
            Question::Starts { partitions } => {
                Answer::Offsets(Ok(vec![FoundOffset::At(0); partitions.len()]))
            }
            Question::Topics(_) => {
                let described = DescribedTopic { id: Some(TopicId([1; 16])), leaders: vec![1, 2] };
                Answer::Topics(Ok(vec![("a".to_owned(), Ok(described))]))
            }
            other => panic!("{other:?}"),
        };
        cluster.answer(question, answer, SEC(2), SEC(2));
    }

    let topic = found(news(&mut cluster, 1));

    assert_eq!((lags(&topic), topic.partitions[0].unknown), (vec![None, Some(0)], Some(Unknown::Absent)));
}

#[test]
fn added_partitions_are_seen_within_a_minute() {
    let (mut kafka, mut cluster) = idle();
    cluster.news();
    kafka.topics.get_mut("b").expect("a topic").logs.push((1, 0, 3));
    for second in (2..=60).step_by(2) {
        kafka.settle(&mut cluster, SEC(second));
    }

    assert_eq!(lags(&found(news(&mut cluster, 2))), [Some(0), Some(3)]);
}

#[test]
fn a_topic_created_again_makes_old_commits_obsolete_until_the_group_commits_for_the_new_one() {
    let (mut kafka, mut cluster) = idle();
    cluster.news();
    // The log ends before the commit: the topic is looked at without waiting for a minute.
    kafka.topics.insert("a", FakeTopic { id: 7, logs: vec![(1, 0, 3), (2, 0, 25)], error: 0 });
    kafka.settle(&mut cluster, SEC(6));
    let recreated = found(news(&mut cluster, 1));
    let metadata = |id: u8| CommitMetadata { topic_id: vec![id; 16], incarnation: 1, first: 0 }.encode();
    let commit = |offset, id| (offset, metadata(id).into_bytes());
    let group = kafka.groups.get_mut("ga").expect("a group");
    group.offsets = [(0, commit(3, 7)), (1, commit(20, 1))].into();
    kafka.settle(&mut cluster, SEC(8));
    let half = found(news(&mut cluster, 1));
    kafka.groups.get_mut("ga").expect("a group").offsets.insert(1, commit(25, 7));
    kafka.settle(&mut cluster, SEC(10));
    let whole = found(news(&mut cluster, 1));

    let told = [recreated, half, whole].map(|topic| (topic.recreated, lags(&topic)));
    assert_eq!(
        told,
        [(true, vec![Some(3), Some(25)]), (true, vec![Some(0), Some(25)]), (false, vec![Some(0), Some(0)])]
    );
}

#[test]
fn a_commit_above_a_log_end_that_was_asked_for_later_is_told() {
    let (mut kafka, mut cluster) = idle();
    cluster.news();
    kafka.commit("ga", 0, 12);
    kafka.topics.get_mut("a").expect("a topic").logs[0].2 = 11;
    kafka.settle(&mut cluster, SEC(2));
    let at_once = found(news(&mut cluster, 1)).trouble();
    kafka.settle(&mut cluster, SEC(4));
    let later = found(news(&mut cluster, 1)).trouble();

    assert_eq!((at_once, later.map(|(reason, _)| reason)), (None, Some("CommitBeyondEnd")));
}

#[test]
fn a_commit_above_a_log_end_that_was_asked_for_before_it_is_no_trouble() {
    let (mut kafka, mut cluster) = idle();
    kafka.topics.get_mut("a").expect("a topic").logs[0].2 = 15;
    let mut late = Vec::new();
    // The coordinator is slow: the log ends are asked for once more before it answers.
    for second in [2, 2, 4] {
        for question in cluster.questions(SEC(second)) {
            match question {
                Question::Committed(_) => late.push(question),
                Question::Ends { .. } if second == 4 => late.push(question),
                question => {
                    let answer = kafka.answer(&cluster, &question);
                    cluster.answer(question, answer, SEC(second), SEC(second));
                }
            }
        }
    }
    kafka.commit("ga", 0, 18);
    let asked = late.iter().map(Question::kind).collect::<Vec<_>>();
    for question in late {
        let answer = kafka.answer(&cluster, &question);
        cluster.answer(question, answer, SEC(4), SEC(5));
    }
    kafka.settle(&mut cluster, SEC(5));

    assert_eq!(asked, [Kind::Committed, Kind::LogEnds, Kind::LogEnds]);
    assert_eq!(found(news(&mut cluster, 1)).trouble(), None);
}

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

#[test]
fn a_pipeline_that_is_gone_costs_nothing_more() {
    let (mut kafka, mut cluster) = idle();
    let late = cluster.questions(SEC(2));
    cluster.remove(1);
    cluster.remove(2);
    for question in late {
        let answer = kafka.answer(&cluster, &question);
        cluster.answer(question, answer, SEC(2), SEC(2));
    }

    assert_eq!((kafka.settle(&mut cluster, SEC(60)), cluster.news()), (vec![], vec![]));
}

#[test]
fn topics_whose_turns_are_near_are_described_in_one_request() {
    let (mut kafka, mut cluster) = many(0);
    let mut described = Vec::new();
    for second in (0..300).step_by(2) {
        if let name @ 0..60 = second {
            let name: &'static str = format!("t{name}").leak();
            kafka.topics.insert(name, FakeTopic { id: 1, logs: vec![(1, 0, 0)], error: 0 });
            cluster.add(second, &spec(name, name), SEC(second));
        }
        let asked = kafka.settle(&mut cluster, SEC(second));
        let topics = asked.iter().filter_map(|one| one.strip_prefix("topics ")?.parse::<u32>().ok());
        described.extend(topics.filter(|_| second >= 180));
    }

    let (requests, topics) = (described.len(), described.iter().sum::<u32>());
    assert!(requests <= 8 && (60..=80).contains(&topics), "{described:?}");
}

/// Idle topics of four partitions at one broker.
fn many(topics: u32) -> (Kafka, Cluster) {
    let mut kafka = Kafka::default();
    let mut cluster = Cluster::new(RULES);
    for at in 0..topics {
        let name: &'static str = format!("t{at}").leak();
        kafka.topics.insert(name, FakeTopic { id: 1, logs: vec![(1, 0, 0); 4], error: 0 });
        cluster.add(u64::from(at), &spec(name, name), SEC(0));
    }
    kafka.settle(&mut cluster, SEC(0));
    (kafka, cluster)
}

#[test]
fn of_a_broker_with_thousands_of_idle_partitions_each_poll_asks_for_a_third() {
    let (mut kafka, mut cluster) = many(1_000);
    cluster.news();

    let asked = [2, 40, 42].map(|second| {
        let asked = kafka.settle(&mut cluster, SEC(second));
        asked.into_iter().filter(|one| one.starts_with("ends")).collect::<Vec<_>>()
    });
    let mut seen = Vec::new();
    for partition in 0..4 {
        kafka.topics.get_mut("t7").expect("a topic").logs[partition].2 += 1;
        let begin = SEC(100 * (partition as u64 + 1));
        let took = (0..4).map(|poll| SEC(2) * poll).find(|late| {
            kafka.settle(&mut cluster, begin + *late);
            let found = cluster.news().into_iter().find(|(id, _)| *id == 7);
            found.is_some_and(|(_, state)| lags(&found_topic(state))[partition] == Some(1))
        });
        seen.push(took.expect("it is seen"));
        kafka.commit("t7", i32::try_from(partition).expect("few"), 1);
    }

    let ends =
        |counts: &[u32]| counts.iter().map(|count| format!("ends of {count} at 1")).collect::<Vec<_>>();
    assert_eq!(asked, [ends(&[2000, 2000]), ends(&[1334]), ends(&[1333])]);
    assert!(seen.iter().all(|took| *took <= SEC(4)), "{seen:?}");
}

#[test]
fn when_a_partition_of_an_idle_topic_moves_the_others_are_asked_for_at_once() {
    let (mut kafka, mut cluster) = many(300);
    cluster.news();
    for log in &mut kafka.topics.get_mut("t7").expect("a topic").logs {
        log.2 = 5;
    }

    let asked = kafka.settle(&mut cluster, SEC(40));

    let lags = lags(&found(news(&mut cluster, 7)));
    let expected = ["ends of 400 at 1", "ends of 4 at 1", "starts of 4", "committed t7"].map(str::to_owned);
    assert_eq!((&asked[..4], lags), (&expected[..], vec![Some(5); 4]));
}

fn found_topic(state: SourceState) -> TopicState {
    found(Some(state))
}
