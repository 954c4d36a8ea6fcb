//! A cluster's questions and conclusions, with a Kafka made of plain values.

mod failing;
mod fake;
mod keeping;
mod many;

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
