//! The whole line on nodes: an operator in a pod, workers in pods, Kafka and Valkey on this machine.

use anyhow::{Context as _, Result, ensure};
use futures::AsyncBufReadExt as _;
use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, LogParams, Patch, PatchParams, PostParams};
use plaudit::rbac::{self, LEASE, Scope};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::{Kafka, KafkaOptions, Valkey, ValkeyOptions};
use serde::Deserialize as _;
use serde_json::json;

use crate::bed::{Bed, LIMIT, VERSION, container, once};

const TOPIC: &str = "achievement-reports";
const ROLE: &str = "plaudit";
const REPORTS: u64 = 10_000;

#[tokio::test]
async fn an_operator_in_a_pod_runs_workers_that_store_reports_and_drain_when_replaced() -> Result<()> {
    let bed = Bed::start(2)?;
    let host = bed.cluster.host();
    let kafka = Kafka::start(KafkaOptions { host, ..KafkaOptions::default() })?;
    let valkey = Valkey::start(ValkeyOptions { host, ..ValkeyOptions::default() })?;
    kafka.create_topic(TOPIC, 4, &[])?;
    kafka.create_topic(&format!("{TOPIC}.dead-letters"), 1, &[])?;
    let namespace = bed.restricted("line").await?;
    install(&bed, &namespace).await?;
    let brokers = kafka.bootstrap().replace(&host.to_string(), "kafka.test");
    let store = valkey.address().replace(&host.to_string(), "valkey.test");

    let pipelines: Api<AchievementPipeline> = Api::namespaced(bed.client.clone(), &namespace);
    let pipeline = serde_json::from_value(json!({
        "apiVersion": "plaudit.dev/v1alpha1",
        "kind": "AchievementPipeline",
        "metadata": {"name": "achievements"},
        "spec": {
            "source": {"bootstrapServers": brokers, "topic": TOPIC},
            "store": {"addresses": [store]},
            "scaling": {"minReplicas": 2, "maxReplicas": 2},
        },
    }))?;
    pipelines.create(&PostParams::default(), &pipeline).await?;
    let first = ready_pods(&bed, &namespace, 2, &[]).await?;
    let count = REPORTS.to_string();
    let load = ["load", "--bootstrap-servers", &brokers, "--topic", TOPIC, "--count", &count];
    let (sent, said) = bed.run(&namespace, &once("load", "operator", &load)).await?;
    ensure!(sent, "the load failed: {said}");
    eventually("players in Valkey", LIMIT, async || {
        let mut connection =
            redis::Client::open(format!("redis://{}/", valkey.address()))?.get_connection()?;
        let keys: u64 = redis::cmd("DBSIZE").query(&mut connection)?;
        // fences are four of them
        Ok((keys > 100).then_some(()))
    })
    .await?;
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &namespace);
    let nodes = first.iter().map(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone()));
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort();
    let old: Vec<String> = first.iter().map(kube::ResourceExt::name_any).collect();
    let follow = LogParams { follow: true, ..LogParams::default() };
    let log = pods.log_stream(&old[0], &follow).await?;
    let change = Patch::Merge(
        json!({"spec": {"worker": {"template": {"metadata": {"annotations": {"example.com/try": "2"}}}}}}),
    );
    pipelines.patch("achievements", &PatchParams::default(), &change).await?;
    let second = ready_pods(&bed, &namespace, 2, &old).await?;
    let lines: Vec<String> = log.lines().try_collect().await?;

    let drained = lines.iter().any(|line| line.contains("stopping: finishing batches"));
    let restarts: i32 = second.iter().map(restarts).sum();
    assert_eq!(
        (drained, restarts, nodes),
        (true, 0, vec![Some("node-1".to_owned()), Some("node-2".to_owned())])
    );
    Ok(())
}

/// An operator for one namespace, with the rights that `plaudit rbac` prints and no others.
async fn install(bed: &Bed, namespace: &str) -> Result<()> {
    let (client, create) = (bed.client.clone(), PostParams::default());
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": ROLE}}))?;
    Api::namespaced(client.clone(), namespace).create(&create, &account).await?;
    for document in
        serde_yaml::Deserializer::from_str(&rbac::manifest(Scope::Namespace(namespace), ROLE, LEASE))
    {
        let role = Role::deserialize(document)?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": role.name_any()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.name_any()},
            "subjects": [{"kind": "ServiceAccount", "name": ROLE, "namespace": namespace}],
        }))?;
        Api::namespaced(client.clone(), namespace).create(&create, &role).await?;
        Api::namespaced(client.clone(), namespace).create(&create, &binding).await?;
    }
    let mut pod = once("operator", "operator", &[]);
    pod["metadata"] = json!({"labels": {"app": "operator"}});
    pod["spec"]["restartPolicy"] = json!("Always");
    pod["spec"]["serviceAccountName"] = json!(ROLE);
    pod["spec"]["automountServiceAccountToken"] = json!(true);
    let worker = format!("plaudit/worker:{VERSION}");
    let args = ["operator", "--namespace", namespace, "--lease-namespace", namespace, "--poll-seconds", "1"];
    let args = [&args[..], &["--worker-image", &worker, "--image-pull-policy", "Never"]].concat();
    pod["spec"]["containers"] = json!([container("operator", &args)]);
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "operator"},
        "spec": {"selector": {"matchLabels": {"app": "operator"}}, "template": pod},
    }))?;
    Api::namespaced(client, namespace).create(&create, &deployment).await?;
    Ok(())
}

/// Waits for exactly `count` workers, all ready, none of them one of `old`.
async fn ready_pods(bed: &Bed, namespace: &str, count: usize, old: &[String]) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), namespace);
    let workers = ListParams::default().labels("app.kubernetes.io/component=worker");
    eventually("workers that are ready", LIMIT, async || {
        let found = pods.list(&workers).await?.items;
        let good = found.iter().filter(|pod| is_ready(pod) && !old.contains(&pod.name_any())).count();
        Ok((good == count && found.len() == count).then_some(found))
    })
    .await
    .with_context(|| format!("in namespace {namespace}"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}
