//! The group with a simulated broker.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio_util::sync::CancellationToken;

use super::group::{Consumer, Requests};
use super::poll::{GOODBYE_TIMEOUT, leave};
use super::{Access, GroupContext, Link, Partition, PollSettings, PollThread};
use crate::lane::ports::Source as _;
use crate::metrics::Metrics;

const TOPIC: &str = "reports";
/// So slow that a lane asks for its seek while whatever the assignment asked of the broker is still under way.
const ROUND_TRIP: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
const RECORDS: i64 = 15;

/// A poll thread whose lanes do nothing: their partitions come out of the receiver.
fn group(servers: &str, stop: &CancellationToken) -> Receiver<Partition> {
    let (consumer, requests, partitions) = member(servers);
    let poll = PollThread::new(consumer, requests, PollSettings { commit_interval: LIMIT });
    let stop = stop.clone();
    std::thread::spawn(move || poll.run(&stop));
    partitions
}

/// A member of a group that has not joined yet, what its poll thread serves, and the partitions of its lanes.
fn member(servers: &str) -> (Arc<Consumer>, Requests, Receiver<Partition>) {
    let (assigned, partitions) = channel();
    let runtime = tokio::runtime::Handle::current();
    let spawn = Box::new(move |_, partition, _, gone| {
        let _ = assigned.send(partition);
        let lane = async move {
            let _gone = gone;
            std::future::pending::<()>().await;
        };
        runtime.spawn(lane).abort_handle()
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    let (context, requests) = GroupContext::new(
        (TOPIC, "group"),
        Link::new(&Access::plain(servers)),
        metrics,
        Duration::ZERO,
        spawn,
    );
    let consumer: BaseConsumer<GroupContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "g")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "5")
        // One record at a time: reading everything takes many round trips.
        .set("fetch.message.max.bytes", "1")
        .create_with_context(context)
        .unwrap();
    let consumer = Arc::new(consumer);
    consumer.context().attach(&consumer);
    (consumer, requests, partitions)
}

/// Events that wait for this member's next poll.
fn waiting(consumer: &Consumer) -> usize {
    // SAFETY: the client outlives both calls, and the reference to its queue is given back.
    unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        let waiting = sys::rd_kafka_queue_length(queue);
        sys::rd_kafka_queue_destroy(queue);
        waiting
    }
}

async fn produce(servers: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("batch.num.messages", "1")
        .create()
        .unwrap();
    for _ in 0..RECORDS {
        let record = FutureRecord::<[u8], [u8]>::to(TOPIC).partition(0).payload(b"{}");
        producer.send(record, LIMIT).await.unwrap();
    }
}

async fn read(partition: &mut Partition) -> Vec<i64> {
    let mut offsets = Vec::new();
    while offsets.len() < RECORDS as usize {
        partition.ready().await;
        let mut take = |record: crate::lane::ports::RecordView<'_>| {
            offsets.push(record.offset);
            ControlFlow::Continue(())
        };
        partition.drain(&mut take).unwrap();
    }
    offsets
}

/// Were partitions assigned at a logical offset, the client would look it up, and the answer that comes after the seek
/// would move the partition there: what lies between was never read.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_reads_from_where_it_asked_even_right_after_the_assignment() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    produce(&servers).await;
    cluster.broker_round_trip_time(1, ROUND_TRIP).unwrap();
    let stop = CancellationToken::new();
    let partitions = group(&servers, &stop);

    let mut partition = tokio::task::block_in_place(|| partitions.recv_timeout(LIMIT)).unwrap();
    while partition.start_at(0).await.is_err() {}
    let read = tokio::time::timeout(LIMIT, read(&mut partition)).await;

    assert_eq!(read, Ok((0..RECORDS).collect()));
    stop.cancel();
}

/// Records are taken out of the client's queue many at a time: whoever stops in between is not to lose the others, and whoever
/// is placed elsewhere is not to see them.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_stops_in_the_middle_reads_on_there_and_one_placed_elsewhere_reads_from_there() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    produce(&servers).await;
    let stop = CancellationToken::new();
    let partitions = group(&servers, &stop);

    let mut partition = tokio::task::block_in_place(|| partitions.recv_timeout(LIMIT)).unwrap();
    while partition.start_at(0).await.is_err() {}
    // all are in the queue by then
    tokio::time::sleep(ROUND_TRIP * 20).await;
    let mut first = None;
    let mut take_one = |record: crate::lane::ports::RecordView<'_>| {
        first = Some(record.offset);
        ControlFlow::Break(())
    };
    partition.drain(&mut take_one).unwrap();
    assert_eq!((first, partition.position()), (Some(0), Some(1)));

    while partition.start_at(0).await.is_err() {}
    let read = tokio::time::timeout(LIMIT, read(&mut partition)).await;
    assert_eq!(read, Ok((0..RECORDS).collect()));
    stop.cancel();
}

/// The client then hands out the partitions and takes them back at once, and both have to be answered before it goes.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_come_while_a_worker_stops_get_no_lane_and_it_leaves() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 4, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let stop = CancellationToken::new();
    let other = group(&servers, &stop);
    let (consumer, requests, partitions) = member(&servers);
    consumer.subscribe(&[TOPIC]).unwrap();
    let mut mine = 0;
    while mine < 2 {
        let _ = consumer.poll(Duration::from_millis(20));
        mine += partitions.try_iter().count();
    }
    drop(requests);
    stop.cancel();
    tokio::task::block_in_place(|| while other.recv_timeout(LIMIT).is_ok() {});
    // Nobody polls any more: the other two wait in the client.
    while waiting(&consumer) == 0 {
        tokio::time::sleep(ROUND_TRIP).await;
    }

    let begin = Instant::now();
    tokio::task::block_in_place(|| leave(consumer));

    let said_goodbye = begin.elapsed() < GOODBYE_TIMEOUT;
    assert_eq!((partitions.try_iter().count(), said_goodbye), (0, true));
}
