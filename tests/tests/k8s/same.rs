//! `plaudit local` and the operator come to the same status from the same pipeline, topic, load and store.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use plaudit_crds::{AchievementPipeline, AchievementPipelineStatus};
use plaudit_tests::fleet::{Fleet, Settings};
use plaudit_tests::scene::{Log, Outgoing};
use plaudit_tests::stack::{self, Valkey, ValkeyOptions, unique_name, until};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::playing::play;

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;

/// A pipeline at both places: same topic and load, and a group and keys of its own at each.
struct Twins<'a> {
    bed: &'a Bed,
    name: String,
    fleet: Fleet,
}

impl<'a> Twins<'a> {
    async fn start(bed: &'a Bed, directory: &Path, name: &str, shape: impl Fn(&mut Value)) -> Result<Self> {
        bed.apply(&bed.object(name, &shape)?).await?;
        let mut local: AchievementPipeline = bed.object(&format!("{name}-local"), &shape)?;
        local.metadata.creation_timestamp = None;
        let file = directory.join(format!("{name}.yaml"));
        std::fs::write(&file, serde_yaml::to_string(&local)?)?;
        let fleet = Fleet::start(&Settings {
            poll_seconds: 0.5,
            ..Settings::under_test(
                &file,
                local.spec.source.bootstrap_servers.clone(),
                local.spec.store.addresses[0].clone(),
            )
        })?;
        Ok(Self { bed, name: name.to_owned(), fleet })
    }

    /// Waits until the operator's status has this reason, number of workers and lag, and both are the same; what it is.
    async fn agree(&mut self, ready: &str, replicas: i32, lag: Option<i64>) -> Result<Value> {
        let mut last = (Value::Null, Value::Null);
        let fleet = &mut self.fleet;
        let pipelines = self.bed.pipelines();
        let begin = std::time::Instant::now();
        while begin.elapsed() < LIMIT {
            let here = fleet.look()?.and_then(|seen| seen.pipeline.status);
            let there = pipelines.get(&self.name).await?.status;
            let is_settled = there.as_ref().is_some_and(|status| {
                let found = status.conditions.iter().find(|condition| condition.type_ == "Ready");
                let reason = found.map(|found| found.reason.as_str());
                (reason, status.replicas, status.lag) == (Some(ready), Some(replicas), lag)
            });
            last = (facts(here.as_ref())?, facts(there.as_ref())?);
            if is_settled && last.0 == last.1 {
                eprintln!("{}: {ready} at both after {:?}", self.name, begin.elapsed());
                return Ok(last.1);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{}: plaudit local says {:#}\nand the operator {:#}", self.name, last.0, last.1)
    }
}

/// A status without what must differ: times, the object's generation, the selector of pods; and what was measured on the way, which
/// depends on the moments of the looks: rates, ages, capacities, and a decision's inputs and sentence that have them.
fn facts(status: Option<&AchievementPipelineStatus>) -> Result<Value> {
    let mut status = serde_json::to_value(status)?;
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let condition = condition.as_object_mut().context("a condition")?;
        condition.retain(|field, _| !["lastTransitionTime", "observedGeneration"].contains(&field.as_str()));
    }
    if let Some(status) = status.as_object_mut() {
        status.retain(|field, _| {
            !["observedGeneration", "selector", "workerCapacity"].contains(&field.as_str())
        });
    }
    if let Some(decision) = status["lastDecision"].as_object_mut() {
        decision.remove("message");
        let measured =
            ["replicas", "readyReplicas", "lagSeconds", "arrivalsPerSecond", "workerCapacity", "lag"];
        let inputs = decision["inputs"].as_object_mut().context("inputs")?;
        inputs.retain(|field, _| !measured.contains(&field.as_str()));
    }
    Ok(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn plaudit_local_and_the_operator_come_to_the_same_status() -> Result<()> {
    let bed = Bed::start("same").await?;
    let (_kubelet, directory) = play(&bed)?;
    let (kafka, store) = (&stack::shared().kafka, Valkey::start(ValkeyOptions::default())?);
    let topic = unique_name("same");
    let letters = format!("{topic}.dead-letters");
    kafka.create_topic(&topic, PARTITIONS, &[])?;
    kafka.create_topic(&letters, 1, &[])?;
    let shape = |more: Value| {
        let (topic, address) = (topic.clone(), store.address());
        move |spec: &mut Value| {
            spec["source"]["topic"] = json!(topic);
            spec["source"]["properties"] = json!({"session.timeout.ms": 6000});
            spec["store"]["addresses"] = json!([address]);
            // One report for each partition is work for one worker, two or three are work for two, whichever of them a look finds.
            spec["scaling"] = json!({"lagThreshold": PARTITIONS, "behavior": {"scaleInWindowSeconds": 2}});
            for (field, value) in more.as_object().into_iter().flatten() {
                spec[field] = value.clone();
            }
        }
    };
    let start = async |name, more| Twins::start(&bed, directory.path(), name, shape(more)).await;
    let mut loaded = start("loaded", json!({})).await?;
    let mut suspended = start("suspended", json!({"suspend": true})).await?;
    let mut fixed = start("fixed", json!({"scaling": {"lagThreshold": PARTITIONS, "replicas": 3}})).await?;
    let mut lost =
        start("lost", json!({"source": {"bootstrapServers": kafka.bootstrap(), "topic": "no-such-topic"}}))
            .await?;

    let begun = loaded.agree("Available", 1, Some(0)).await?;
    fixed.agree("Available", 3, Some(0)).await?;
    let log = Log::new(&kafka.bootstrap(), &topic, &letters)?;
    send(&log)?;
    for name in ["loaded", "loaded-local", "fixed", "fixed-local"] {
        let group = format!("{}.{name}", bed.namespace);
        until("the report to be committed", LIMIT, || {
            Ok((log.committed(&group)? == log.ends()?).then_some(()))
        })?;
    }
    // Without a store, the lag stays what it is.
    store.kill()?;
    send(&log)?;
    send(&log)?;
    let lag = Some(2 * i64::from(PARTITIONS));
    let asleep = suspended.agree("Suspended", 0, Some(3 * i64::from(PARTITIONS))).await?;
    let missing = lost.agree("TopicMissing", 1, None).await?;
    let held = fixed.agree("StoreUnavailable", 3, lag).await?;
    let grown = loaded.agree("StoreUnavailable", 2, lag).await?;
    store.restart()?;
    fixed.agree("Available", 3, Some(0)).await?;
    let small = loaded.agree("Available", 1, Some(0)).await?;

    // Not only the same, but made of these decisions.
    let decisions = [&begun, &asleep, &missing, &held, &grown, &small].map(|status| {
        let decision = &status["lastDecision"];
        (decision["reason"].as_str().unwrap_or_default().to_owned(), decision["formula"].as_i64())
    });
    let expected = [
        ("AtMinimum", Some(0)),
        ("Suspended", None),
        ("UnknownLag", None),
        ("Fixed", None),
        ("FollowsLag", Some(2)),
        ("AtMinimum", Some(0)),
    ];
    assert_eq!(decisions, expected.map(|(reason, formula)| (reason.to_owned(), formula)));
    Ok(())
}

/// A report to each partition.
fn send(log: &Log) -> Result<()> {
    let record = |partition| Outgoing {
        key: Some(b"7"),
        value: Some(br#"{"uin": 7, "items": [{"type": 1, "value": 5}]}"#),
        partition: Some(partition),
        ..Outgoing::default()
    };
    log.send(&(0..PARTITIONS).map(record).collect::<Vec<_>>())
}
