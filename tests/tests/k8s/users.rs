//! A pipeline whose user changes, with everything real but the nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use plaudit::pipeline::parse;
use plaudit_tests::canary::password;
use plaudit_tests::played;
use plaudit_tests::scene::{Scene, achievements, rough_mix};
use plaudit_tests::secured::kafka_rights;
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::security::STORE_PASSWORD;
use plaudit_tests::stack::{Listener, secure, unique_name};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::playing::play;
use crate::process::Operator;

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;
const WORKERS: usize = 2;
/// Reports a second: enough that something is always under way.
const RATE: f64 = 150.0;
/// More than the test takes time for.
const MOST_REPORTS: u64 = 1_000_000;

async fn create_secret(bed: &Bed, name: &str, key: &str, value: &str) -> Result<()> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let data = [(key.to_owned(), ByteString(value.as_bytes().to_vec()))].into();
    let secret = Secret { metadata, data: Some(data), ..Secret::default() };
    bed.api::<Secret>().create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// The names of the pods, once all of them are ready and none is of `old`.
async fn workers(bed: &Bed, old: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let pods: Api<Pod> = bed.api();
    eventually("other workers that are ready", LIMIT, async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        let is_ready = |pod: &Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|found| found.type_ == "Ready" && found.status == "True")
        };
        let names: BTreeSet<String> = pods.iter().map(ResourceExt::name_any).collect();
        let good = names.len() == WORKERS && names.is_disjoint(old) && pods.iter().all(is_ready);
        Ok(good.then_some(names))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_takes_over_under_load_and_a_wrong_one_stops_nobody() -> Result<()> {
    let bed = Bed::idle("users").await?;
    let (_kubelet, directory) = play(&bed)?;
    let operator = Operator::start(&bed)?;
    let servers = secure();
    let (topic, kafka) = (unique_name("users"), &servers.kafka);
    let group = format!("{}.p", bed.namespace);
    let letters = [format!("{topic}.dead-letters"), format!("{topic}.unlocks")];
    let letters = [letters[0].as_str(), letters[1].as_str()];
    let (old, new) = (unique_name("old"), unique_name("new"));
    for user in [&old, &new] {
        let password = password("user");
        kafka.set_scram_password(user, &password)?;
        kafka.allow(&kafka_rights(user, &topic, &group, &letters))?;
        create_secret(&bed, user, "password", &password).await?;
    }
    create_secret(&bed, "ca", "ca.crt", &servers.authority.pem()).await?;
    create_secret(&bed, "store", "password", STORE_PASSWORD).await?;
    let bootstrap = kafka.secure_bootstrap(Listener::ScramSha512)?;
    let login = |user: &str| json!({"mechanism": "SCRAM-SHA-512", "username": user, "password": {"secretName": user}});
    let object = bed.object("p", |spec: &mut Value| {
        let security = json!({"tls": {"ca": {"secretName": "ca"}}, "sasl": login(&old)});
        spec["source"] = json!({
            "bootstrapServers": bootstrap, "topic": topic, "security": security,
            "properties": {"session.timeout.ms": 6_000},
        });
        spec["store"] = json!({
            "addresses": [servers.store.address()], "keyPrefix": format!("{topic}:"),
            "security": {"password": {"secretName": "store"}},
        });
        spec["achievements"] = serde_json::to_value(achievements()).expect("JSON");
        spec["unlocks"] = json!({"topic": letters[1]});
        spec["scaling"] = json!({"replicas": WORKERS});
    })?;
    let config = parse(&object).context("the pipeline is good")?.worker_config();
    let scene = Arc::new(Scene::of((kafka, &servers.store), config, PARTITIONS)?);
    bed.apply(&object).await?;
    bed.until_condition("p", "Ready", "True").await?;
    let first = workers(&bed, &BTreeSet::new()).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::task::spawn_blocking({
        let (scene, stop) = (scene.clone(), stop.clone());
        move || scene.load_until(rough_mix(73, 300), MOST_REPORTS, RATE, &stop)
    });

    let become_user = |user: &str| json!({"spec": {"source": {"security": {"sasl": login(user)}}}});
    bed.edit("p", become_user("nobody")).await?;
    bed.until_reason("p", "SourceAvailable", "SecretMissing").await?;
    create_secret(&bed, "nobody", "password", &password("unknown")).await?;
    bed.until_reason("p", "SourceAvailable", "AuthenticationFailed").await?;
    let meanwhile = scene.log()?.ends()?;
    let stored = eventually("reports to be stored by the old user", LIMIT, async || {
        let committed = scene.log()?.committed(&group)?;
        Ok(meanwhile.iter().all(|(partition, end)| committed.get(partition) >= Some(end)).then_some(()))
    });
    stored.await?;
    bed.edit("p", become_user(&new)).await?;
    let second = workers(&bed, &first).await?;
    bed.until_condition("p", "Ready", "True").await?;
    stop.store(true, Ordering::Relaxed);
    load.await??;
    scene.wait_until_stored(LIMIT)?;

    let verdict = scene.assert_exact()?;
    ensure!(first.is_disjoint(&second), "{first:?} and {second:?}");
    eprintln!("{verdict}");
    played::search(directory.path())?;
    operator.shows_no_secret(&bed).await
}
