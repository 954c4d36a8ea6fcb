//! What fails is told by its reason, and harms nobody else.

use super::*;

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
        (("TopicMissing", "topic c does not exist; create it, or correct source.topic".to_owned()), 3)
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
fn a_cluster_that_was_waited_for_in_vain_is_asked_again_at_once_and_one_that_refused_later() {
    let mut kafka = Kafka::with(&[]);
    kafka.down = true;
    let mut cluster = Cluster::new(RULES);
    cluster.add(1, &spec("a", "ga"), SEC(0));
    let mut answered = |asked: u64, now: u64| {
        let questions = cluster.questions(SEC(asked));
        for question in &questions {
            let answer = kafka.answer(&cluster, question);
            cluster.answer(question.clone(), answer, SEC(asked), SEC(now));
        }
        questions.len()
    };
    let slow = answered(0, 5);
    let at_once = answered(5, 6);

    let rested = answered(9, 9);

    assert_eq!((slow, at_once, rested, answered(10, 10)), (1, 1, 0, 1));
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
