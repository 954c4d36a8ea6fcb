//! What thousands of idle topics cost.

use super::*;

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
