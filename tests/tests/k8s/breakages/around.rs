//! What can be wrong around a pipeline: servers and topics that are missing, and histories that do not fit.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use plaudit_tests::scene::{Log, Outgoing};
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::{self, unique_name};
use serde_json::{Value, json};

use crate::bed::{Bed, LIMIT};
use crate::playing::played_bed;

const PARTITIONS: i32 = 2;
const GOOD: &str = r#"{"uin": 7, "items": [{"type": 1, "value": 5}]}"#;
const BAD: &str = "{";

/// A pipeline on a topic of its own, played by a real worker.
struct Case<'a> {
    bed: &'a Bed,
    name: String,
    topic: String,
    prefix: String,
}

impl<'a> Case<'a> {
    /// `letters`: the topic of dead letters exists.
    fn new(bed: &'a Bed, name: &str, letters: bool) -> Result<Self> {
        let topic = unique_name(name);
        let kafka = &stack::shared().kafka;
        kafka.create_topic(&topic, PARTITIONS, &[])?;
        if letters {
            kafka.create_topic(&format!("{topic}.dead-letters"), 1, &[])?;
        }
        let prefix = format!("{topic}:");
        Ok(Self { bed, name: name.to_owned(), topic, prefix })
    }

    async fn create(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        self.bed
            .create(&self.name, |spec| {
                spec["source"]["topic"] = json!(self.topic);
                spec["source"]["properties"] = json!({"session.timeout.ms": 6000});
                spec["store"]["keyPrefix"] = json!(self.prefix);
                change(spec);
            })
            .await?;
        Ok(())
    }

    fn log(&self) -> Result<Log> {
        Log::new(&stack::shared().kafka.bootstrap(), &self.topic, &format!("{}.dead-letters", self.topic))
    }

    fn group(&self) -> String {
        format!("{}.{}", self.bed.namespace, self.name)
    }

    fn send(&self, value: &str) -> Result<()> {
        let record = Outgoing { key: Some(b"7"), value: Some(value.as_bytes()), ..Outgoing::default() };
        self.log()?.send(&[record])
    }

    async fn broken(&self, reason: &str) -> Result<()> {
        self.bed.until_reason(&self.name, "Ready", reason).await?;
        Ok(())
    }

    async fn mend(&self, change: Value) -> Result<()> {
        self.bed.edit(&self.name, json!({"spec": change})).await?;
        self.healed().await
    }

    async fn healed(&self) -> Result<()> {
        self.bed.until_condition(&self.name, "Ready", "True").await?;
        Ok(())
    }

    /// Runs until what was sent is committed, then stops all workers.
    async fn lived(&self) -> Result<()> {
        self.healed().await?;
        self.send(GOOD)?;
        let (log, group) = (self.log()?, self.group());
        eventually("the report to be committed", LIMIT, async || {
            Ok((log.ends()? == log.committed(&group)?).then_some(()))
        })
        .await?;
        self.bed.edit(&self.name, json!({"spec": {"suspend": true}})).await?;
        let pods: Api<Pod> = self.bed.api();
        let of = ListParams::default().labels(&format!("plaudit.dev/pipeline={}-worker", self.name));
        eventually("the workers to end", LIMIT, async || {
            Ok(pods.list(&of).await?.items.is_empty().then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_topics_that_are_missing() -> Result<()> {
    let (bed, _kubelet, _directory) = played_bed("missing").await?;
    let kafka = &stack::shared().kafka;
    let topic = Case { topic: unique_name("late"), ..Case::new(&bed, "topic", true)? };
    let broker = Case::new(&bed, "broker", true)?;
    let store = Case::new(&bed, "store", true)?;
    let letters = Case::new(&bed, "letters", false)?;
    let unlocks = Case::new(&bed, "unlocks", true)?;
    let stops = Case::new(&bed, "stops", true)?;
    letters.send(BAD)?;
    stops.send(BAD)?;
    unlocks.send(GOOD)?;
    topic
        .create(|spec| spec["deadLetters"] = json!({"topic": format!("{}.dead-letters", letters.topic)}))
        .await?;
    broker.create(|spec| spec["source"]["bootstrapServers"] = json!("127.0.0.1:1")).await?;
    store.create(|spec| spec["store"]["addresses"] = json!(["127.0.0.1:1"])).await?;
    letters.create(|_| ()).await?;
    let tiers = json!({"types": [{"type": 1, "policy": "max", "tiers": [5]}]});
    let announced = format!("{}.unlocks", unlocks.topic);
    unlocks
        .create(|spec| {
            spec["achievements"] = tiers;
            spec["unlocks"] = json!({"topic": announced});
        })
        .await?;
    stops.create(|spec| spec["deadLetters"] = json!({"onError": "stop"})).await?;

    topic.broken("TopicMissing").await?;
    broker.broken("KafkaUnreachable").await?;
    store.broken("StoreUnavailable").await?;
    letters.broken("DeadLetterUnavailable").await?;
    unlocks.broken("UnlockUnavailable").await?;
    stops.broken("BadRecord").await?;

    kafka.create_topic(&topic.topic, PARTITIONS, &[])?;
    kafka.create_topic(&format!("{}.dead-letters", letters.topic), 1, &[])?;
    kafka.create_topic(&announced, 1, &[])?;
    topic.healed().await?;
    broker.mend(json!({"source": {"bootstrapServers": kafka.bootstrap()}})).await?;
    store.mend(json!({"store": {"addresses": [stack::shared().valkey.address()]}})).await?;
    letters.healed().await?;
    unlocks.healed().await?;
    stops.mend(json!({"deadLetters": {"onError": "deadLetter"}})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_that_do_not_fit() -> Result<()> {
    let (bed, _kubelet, _directory) = played_bed("history").await?;
    let kafka = &stack::shared().kafka;
    let retention = Case::new(&bed, "retention", true)?;
    let recreated = Case::new(&bed, "recreated", true)?;
    let emptied = Case::new(&bed, "emptied", true)?;
    let owner = Case::new(&bed, "owner", true)?;
    (0..20).try_for_each(|_| retention.send(GOOD))?;
    retention.log()?.commit(&retention.group(), &[(0, 0), (1, 0)])?;
    for (partition, end) in retention.log()?.ends()? {
        kafka.delete_records(&retention.topic, partition, end)?;
    }
    retention.create(|_| ()).await?;
    for case in [&recreated, &emptied, &owner] {
        case.create(|_| ()).await?;
    }
    for case in [&recreated, &emptied, &owner] {
        case.lived().await?;
    }
    kafka.delete_topic(&recreated.topic)?;
    eventually("the topic to be created again", LIMIT, async || {
        Ok(kafka.create_topic(&recreated.topic, PARTITIONS, &[]).ok())
    })
    .await?;
    let mut keys =
        redis::Client::open(format!("redis://{}/", stack::shared().valkey.address()))?.get_connection()?;
    let found: Vec<String> = redis::cmd("KEYS").arg(format!("{}*", emptied.prefix)).query(&mut keys)?;
    redis::cmd("DEL").arg(&found).exec(&mut keys)?;
    bed.pipelines().delete("owner", &DeleteParams::default()).await?;
    eventually("the owner to be gone", LIMIT, async || {
        Ok(bed.pipelines().get_opt("owner").await?.is_none().then_some(()))
    })
    .await?;
    let intruder = Case { name: "intruder".to_owned(), ..owner };
    intruder.create(|_| ()).await?;
    for case in [&recreated, &emptied] {
        bed.edit(&case.name, json!({"spec": {"suspend": false}})).await?;
    }

    retention.broken("RetentionLoss").await?;
    recreated.broken("TopicRecreated").await?;
    emptied.broken("StoreLost").await?;
    intruder.broken("StoreInUse").await?;

    retention.mend(json!({"source": {"onRetentionLoss": "skip"}})).await?;
    recreated.mend(json!({"source": {"onTopicRecreated": "continue"}})).await?;
    emptied.mend(json!({"store": {"onStoreLoss": "replay"}})).await?;
    bed.pipelines().delete("intruder", &DeleteParams::default()).await?;
    let other = Case { prefix: unique_name("other") + ":", name: "other".to_owned(), ..intruder };
    other.create(|_| ()).await?;
    other.healed().await
}
