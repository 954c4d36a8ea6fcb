//! What can be wrong with a pipeline: each breakage has a condition and a reason of its own, and its repair heals it.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use plaudit_tests::played;
use plaudit_tests::programs;
use plaudit_tests::scene::{Log, Outgoing};
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::kubernetes::kubelet::Kubelet;
use plaudit_tests::stack::{self, unique_name};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bed::{Bed, LIMIT};

const PARTITIONS: i32 = 2;

/// A spec that the API server takes and the operator refuses: what is merged into it, what it is told, and the repair.
const REFUSED: [(&str, &str, &str); 9] = [
    (
        "host",
        r#"{"template": {"spec": {"hostNetwork": true}}}"#,
        "spec.worker.template.spec: unknown field `hostNetwork`",
    ),
    (
        "account",
        r#"{"template": {"spec": {"serviceAccountName": "admin"}}}"#,
        "spec.worker.template.spec: unknown field",
    ),
    (
        "volume",
        r#"{"template": {"spec": {"volumes": []}}}"#,
        "spec.worker.template.spec: unknown field `volumes`",
    ),
    ("kind", r#"{"template": {"kind": "Pod"}}"#, "spec.worker.template: unknown field `kind`"),
    (
        "label",
        r#"{"template": {"metadata": {"labels": {"plaudit.dev/pipeline": "x"}}}}"#,
        "spec.worker.template.metadata.labels: plaudit.dev/pipeline is set by Plaudit",
    ),
    (
        "note",
        r#"{"template": {"metadata": {"annotations": {"plaudit.dev/x": "x"}}}}"#,
        "spec.worker.template.metadata.annotations: plaudit.dev/x is set by Plaudit",
    ),
    (
        "grace",
        r#"{"template": {"spec": {"terminationGracePeriodSeconds": 1}}}"#,
        "spec.worker.template.spec.terminationGracePeriodSeconds: 1 is too short",
    ),
    (
        "quantity",
        r#"{"resources": {"limits": {"memory": "much"}}}"#,
        "spec.worker.resources.limits.memory: \"much\" is not",
    ),
    ("claims", r#"{"resources": {"claims": []}}"#, "spec.worker.resources: unknown field `claims`"),
];

#[tokio::test(flavor = "multi_thread")]
async fn specs_that_only_the_operator_can_judge() -> Result<()> {
    let (bed, _kubelet, _directory) = played_bed("refused").await?;
    for (name, worker, _) in REFUSED {
        let worker: Value = serde_json::from_str(worker)?;
        bed.create(name, |spec| spec["worker"] = worker).await?;
    }

    for (name, _, expected) in REFUSED {
        let told = bed.until_reason(name, "Ready", "InvalidSpec").await?;
        ensure!(told.starts_with(expected), "{name}: {told}");
        bed.edit(name, json!({"spec": {"worker": {"template": null, "resources": null}}})).await?;
    }
    for (name, ..) in REFUSED {
        bed.until_condition(name, "Ready", "True").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_person_asked_for_is_said() -> Result<()> {
    let bed = Bed::start("asked").await?;
    bed.create("p", |_| ()).await?;
    bed.until_reason("p", "ScalingActive", "FollowsLag").await?;

    let steps = [
        (json!({"suspend": true}), "ScalingActive", "Suspended"),
        (json!({"suspend": false, "scaling": {"replicas": 3}}), "ScalingActive", "Fixed"),
        (json!({"scaling": {"replicas": null}}), "ScalingActive", "FollowsLag"),
    ];
    for (change, condition, reason) in steps {
        bed.edit("p", json!({"spec": change})).await?;
        bed.until_reason("p", condition, reason).await?;
    }
    Ok(())
}

/// What a node says of a pod that does not run, and the reason that is told.
fn troubles_of_pods() -> [(&'static str, Value, &'static str); 8] {
    let nowhere = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]);
    let container = |state: Value, last: Value| {
        json!({"containerStatuses": [{
            "name": "worker", "image": "w", "imageID": "", "restartCount": 1, "ready": false,
            "state": state, "lastState": last,
        }]})
    };
    let waits =
        |reason: &str| container(json!({"waiting": {"reason": reason, "message": "said so"}}), Value::Null);
    let ended = |code: i32, reason: &str| {
        let last = json!({"terminated": {"exitCode": code, "reason": reason}});
        container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), last)
    };
    [
        ("nowhere", json!({"conditions": nowhere}), "Unschedulable"),
        ("pull", waits("ErrImagePull"), "ErrImagePull"),
        ("back-off", waits("ImagePullBackOff"), "ImagePullBackOff"),
        ("name", waits("InvalidImageName"), "InvalidImageName"),
        ("config", waits("CreateContainerConfigError"), "CreateContainerConfigError"),
        ("crash", ended(1, "Error"), "CrashLoopBackOff"),
        ("memory", ended(137, "OOMKilled"), "OOMKilled"),
        ("refused", ended(2, "Error"), "ConfigRefused"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_pods_from_running() -> Result<()> {
    let bed = Bed::start("pods").await?;
    let (pods, cases): (Api<Pod>, _) = (bed.api(), troubles_of_pods());
    for (name, ..) in &cases {
        bed.create(name, |_| ()).await?;
    }

    for (name, status, _) in &cases {
        bed.until_reason(name, "WorkersAvailable", "Starting").await?;
        let of = ListParams::default().labels(&format!("plaudit.dev/pipeline={name}-worker"));
        let pod =
            eventually("a pod", LIMIT, async || Ok(pods.list(&of).await?.items.pop())).await?.name_any();
        let status = Patch::Merge(json!({"status": status}));
        pods.patch_status(&pod, &PatchParams::default(), &status).await?;
    }
    for (name, _, reason) in &cases {
        bed.until_reason(name, "WorkersAvailable", reason).await?;
        bed.until_condition(name, "Ready", "False").await?;
    }
    // From now on there is a node that takes them, and whatever they lacked.
    let (_kubelet, _directory) = play(&bed)?;
    for (name, ..) in &cases {
        bed.until_condition(name, "Ready", "True").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_forbids() -> Result<()> {
    let bed = Bed::without_operator("forbidden").await?;
    let quotas: Api<ResourceQuota> = bed.api();
    let quota = |name: &str, limits: Value| -> Result<ResourceQuota> {
        Ok(serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"hard": limits}}))?)
    };
    quotas.create(&PostParams::default(), &quota("budgets", json!({"count/services": "0"}))?).await?;
    quotas.create(&PostParams::default(), &quota("pods", json!({"pods": "0"}))?).await?;
    // The cluster has no controller that counts; the API server refuses by what the status says.
    for (name, resource) in [("budgets", "count/services"), ("pods", "pods")] {
        let status = json!({"status": {"hard": {resource: "0"}, "used": {resource: "0"}}});
        quotas.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    }
    let bed = bed.with_operator();
    bed.create("p", |_| ()).await?;

    let refused = bed.until_reason("p", "WorkersAvailable", "ApplyRefused").await?;
    quotas.delete("budgets", &DeleteParams::default()).await?;
    let failed = bed.until_reason("p", "WorkersAvailable", "FailedCreate").await?;
    quotas.delete("pods", &DeleteParams::default()).await?;
    let (_kubelet, _directory) = play(&bed)?;
    bed.until_condition("p", "Ready", "True").await?;

    ensure!(refused.contains("exceeded quota: budgets"), "{refused}");
    ensure!(failed.contains("exceeded quota: pods"), "{failed}");
    Ok(())
}

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

const GOOD: &str = r#"{"uin": 7, "items": [{"type": 1, "value": 5}]}"#;
const BAD: &str = "{";

pub async fn played_bed(name: &str) -> Result<(Bed, Kubelet, TempDir)> {
    let bed = Bed::start(name).await?;
    let (kubelet, directory) = play(&bed)?;
    Ok((bed, kubelet, directory))
}

/// Plays the pods of a bed by workers, with their files in a folder.
pub fn play(bed: &Bed) -> Result<(Kubelet, TempDir)> {
    let directory = tempfile::tempdir()?;
    let worker = programs::find("worker-under-test")?;
    let runtime = played::workers(bed.client.clone(), worker, directory.path().to_owned());
    let kubelet = Kubelet::start(bed.config()?, Some(&bed.namespace), runtime)?;
    Ok((kubelet, directory))
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
