//! The calls on the client's own mock of a cluster, which knows no topic IDs and no groups' states; real Kafka is in tests/.

use rdkafka::bindings::rd_kafka_resp_err_t as code;
use rdkafka::client::ClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaApiKey;

use super::*;

struct Silent;

impl ClientContext for Silent {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: rdkafka::error::KafkaError, _reason: &str) {}
}

impl ConsumerContext for Silent {}

fn admin(bootstrap_servers: &str, timeout: Duration) -> Admin<Silent> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    Admin::new(&config, Silent, timeout).expect("a client")
}

/// The next answer, which has to be one to this question.
fn answer(admin: &mut Admin<Silent>, token: u64) -> Answer {
    let (found, answer) = admin.next(Duration::from_secs(30)).expect("an answer");
    assert_eq!(found, token);
    answer
}

#[test]
fn ends_of_logs_come_in_the_order_of_the_question_and_errors_stay_errors() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("reports", 3, 1).expect("a topic");
    let mut admin = admin(&cluster.bootstrap_servers(), Duration::from_secs(20));
    let mut config = ClientConfig::new();
    let producer: BaseProducer =
        config.set("bootstrap.servers", cluster.bootstrap_servers()).create().expect("a producer");
    for partition in [0, 0, 2] {
        let record = BaseRecord::<(), str>::to("reports").partition(partition).payload("x");
        producer.send(record).expect("a record is queued");
    }
    producer.flush(Duration::from_secs(20)).expect("records are stored");

    let asked = [("reports", 2), ("reports", 7), ("reports", 0), ("reports", 1)];
    admin.offsets(7, End::Last, asked.into_iter());
    let last = answer(&mut admin, 7);
    admin.offsets(8, End::Start, asked.into_iter());
    let start = answer(&mut admin, 8);

    let found = |two: i64, zero: i64| {
        // __UNKNOWN_PARTITION
        vec![FoundOffset::At(two), FoundOffset::Error(-190), FoundOffset::At(zero), FoundOffset::At(0)]
    };
    assert_eq!((last, start), (Answer::Offsets(Ok(found(1, 2))), Answer::Offsets(Ok(found(0, 0)))));
}

#[test]
fn what_was_committed_comes_back_with_its_metadata_whatever_that_is() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("reports", 3, 1).expect("a topic");
    let mut admin = admin(&cluster.bootstrap_servers(), Duration::from_secs(20));
    let commit =
        |partition, offset, metadata: &[u8]| NewCommit { partition, offset, metadata: metadata.to_vec() };

    admin.commit(1, "g", "reports", &[commit(0, 5, b""), commit(2, 9, &[0xff, b'x'])]);
    let committed = answer(&mut admin, 1);
    admin.committed(2, "g", "reports", 3);
    let Answer::Committed(Ok(mut found)) = answer(&mut admin, 2) else { panic!("no offsets") };
    found.sort_by_key(|one| one.partition);

    let offset = |partition, offset, metadata: &[u8]| GroupOffset {
        partition,
        offset: Ok(offset),
        metadata: metadata.to_vec(),
    };
    assert_eq!(
        (committed, found),
        (
            Answer::Commit(Ok(())),
            vec![offset(0, Some(5), b""), offset(1, None, b""), offset(2, Some(9), &[0xff, b'x'])]
        )
    );
}

#[test]
fn every_question_to_a_cluster_that_is_not_there_fails() {
    let mut admin = admin("127.0.0.1:1", Duration::from_millis(300));
    admin.topics(1, ["reports"].into_iter());
    admin.offsets(2, End::Last, [("reports", 0)].into_iter());
    admin.committed(3, "g", "reports", 1);
    admin.groups(4, ["g"].into_iter());
    admin.commit(5, "g", "reports", &[NewCommit { partition: 0, offset: 0, metadata: Vec::new() }]);

    let mut failed: Vec<_> = (0..5)
        .map(|_| admin.next(Duration::from_secs(30)).expect("an answer"))
        .map(|(token, answer)| match answer {
            // An error of each group.
            Answer::Groups(Ok(groups)) => (token, groups.iter().all(|(_, group)| group.is_err())),
            answer => (token, answer.failure().is_some_and(|failure| failure.code < 0)),
        })
        .collect();
    failed.sort_unstable();

    assert_eq!(failed, [1, 2, 3, 4, 5].map(|token| (token, true)));
}

#[test]
fn a_name_that_cannot_be_one_is_an_error_too() {
    let mut admin = admin("127.0.0.1:1", Duration::from_millis(300));

    admin.offsets(1, End::Last, [("a\0b", 0)].into_iter());

    assert!(answer(&mut admin, 1).failure().is_some());
}

#[test]
fn a_group_whose_coordinator_has_moved_is_asked_about_without_harm() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("reports", 1, 1).expect("a topic");
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR]);
    let mut admin = admin(&cluster.bootstrap_servers(), Duration::from_secs(10));

    admin.committed(7, "games.p", "reports", 1);

    // Without a group of its own the client crashes here.
    assert!(matches!(answer(&mut admin, 7), Answer::Committed(_)));
}

#[test]
fn a_coordinator_that_is_found_after_its_question_has_failed_does_no_harm() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("reports", 1, 1).expect("a topic");
    cluster.request_errors(
        RDKafkaApiKey::FindCoordinator,
        &[code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE; 5],
    );
    let mut admin = admin(&cluster.bootstrap_servers(), Duration::from_millis(200));

    let failed = (1..100).take_while(|token| {
        admin.committed(*token, "games.p", "reports", 1);
        answer(&mut admin, *token).failure().is_some()
    });

    // If the library had ended the first one by itself, the process would have been aborted before the last.
    assert!((1..99).contains(&failed.count()));
}
