//! Workers, `plaudit local` and people's commands on secure servers: each way in carries a whole load.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plaudit::pipeline;
use plaudit_crds::AchievementPipeline;
use plaudit_tests::canary;
use plaudit_tests::fleet::{Fleet, Settings};
use plaudit_tests::scene::{Scene, rough_mix};
use plaudit_tests::secured::{kafka_rights, kafka_way, kafka_ways, store_ways};
use plaudit_tests::stack::certificates::Authority;
use plaudit_tests::stack::{Listener, secure, unique_name, until};
use serde_json::json;

use super::configure;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_worker_comes_in_by_every_way_and_stores_every_report_once() -> Result<()> {
    let stack = secure();
    let directory = tempfile::tempdir()?;
    let mut runs = Vec::new();
    for (at, (listener, kafka)) in kafka_ways(stack)?.into_iter().enumerate() {
        let mut scene = Scene::new((&stack.kafka, &stack.store), "way", 2, |_| ())?;
        let secrets = directory.path().join(at.to_string());
        let stores = store_ways(stack, &scene.config.store.key_prefix)?;
        configure(&mut scene.config, (&kafka, &stores[at % stores.len()]), &secrets)?;
        let worker = scene.start_worker()?;
        scene.load(rough_mix(70, 200), 1_000, 0.0)?;
        runs.push((listener, scene, worker));
    }

    for (listener, scene, worker) in runs {
        let exact = scene.wait_until_committed(LIMIT).and_then(|()| scene.assert_exact());
        exact.map_err(|error| error.context(format!("{listener:?}\n{}", worker.log())))?;
        worker.stop()?;
    }
    Ok(())
}

#[test]
fn a_worker_waits_for_a_secret_that_comes_after_it() -> Result<()> {
    let stack = secure();
    let directory = tempfile::tempdir()?;
    let mut scene = Scene::new((&stack.kafka, &stack.store), "late", 1, |_| ())?;
    let kafka = kafka_way(stack, Listener::ScramSha512)?;
    let [store, ..] = store_ways(stack, &scene.config.store.key_prefix)?;
    configure(&mut scene.config, (&kafka, &store), directory.path())?;
    scene.load(rough_mix(73, 100), 500, 0.0)?;
    std::fs::remove_dir_all(directory.path().join("kafka-user"))?;

    let worker = scene.spawn_worker(&scene.config, "none")?;
    let said = r#"reason="SecretMissing" because="Secret kafka-user does not exist; create it, or correct secretName""#;
    until("the worker to wait", LIMIT, || Ok(worker.log().contains(said).then_some(())))?;
    kafka.secrets.write(directory.path())?;
    scene.wait_until_committed(LIMIT).with_context(|| worker.log())?;

    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn a_worker_that_kafka_never_let_in_ends_once_its_certificates_are_others() -> Result<()> {
    let stack = secure();
    let directory = tempfile::tempdir()?;
    let mut scene = Scene::new((&stack.kafka, &stack.store), "again", 1, |_| ())?;
    let kafka = kafka_way(stack, Listener::ScramSha512)?;
    let [store, ..] = store_ways(stack, &scene.config.store.key_prefix)?;
    configure(&mut scene.config, (&kafka, &store), directory.path())?;
    scene.load(rough_mix(74, 100), 500, 0.0)?;
    let strangers = Authority::new("stranger")?.pem();
    kafka.secrets.clone().with("authorities", "ca.crt", strangers).write(directory.path())?;

    let mut worker = scene.spawn_worker(&scene.config, "none")?;
    let said = r#"reason="TlsUnknownAuthority""#;
    until("the worker to be kept out", LIMIT, || Ok(worker.log().contains(said).then_some(())))?;
    kafka.secrets.write(directory.path())?;
    until("its end", LIMIT, || Ok((!worker.is_running()).then_some(())))?;
    let log = worker.log();
    let ended = worker.end()?;
    let next = scene.start_worker()?;
    scene.wait_until_committed(LIMIT).with_context(|| next.log())?;

    canary::search("the log of a worker that was kept out", &log)?;
    ensure!(ended.success() && log.contains("it ends, to be started with them"), "{ended}: {log}");
    scene.assert_exact()?;
    next.stop()
}

#[test]
fn plaudit_local_and_the_commands_that_take_a_pipeline_come_in_with_its_secrets() -> Result<()> {
    let stack = secure();
    let (directory, name) = (tempfile::tempdir()?, unique_name("local"));
    let (file, secrets) = (directory.path().join("pipeline.yaml"), directory.path().join("secrets"));
    let kafka = kafka_way(stack, Listener::ScramSha512)?;
    let [_, _, store, _] = store_ways(stack, &format!("{name}:"))?;
    kafka.secrets.write(&secrets)?;
    store.secrets.write(&secrets)?;
    let mut spec = json!({"source": kafka.fields, "store": store.fields});
    spec["source"]["topic"] = json!(name);
    let object = json!({
        "apiVersion": "plaudit.dev/v1alpha1", "kind": "AchievementPipeline",
        "metadata": {"name": name}, "spec": spec,
    });
    let object: AchievementPipeline = serde_json::from_value(object)?;
    std::fs::write(&file, serde_yaml::to_string(&object)?)?;
    let config = pipeline::parse(&object)?.worker_config();
    let (group, letters) = (config.source.consumer_group.clone(), config.dead_letters.topic.clone());
    let scene = Scene::of((&stack.kafka, &stack.store), config, 2)?;
    // Whoever sends by these commands writes to the source topic, too.
    let rights = kafka_rights(kafka.user.as_deref().unwrap_or_default(), &name, &group, &[&letters, &name]);
    stack.kafka.allow(&rights)?;
    let mut fleet = Fleet::start(&Settings {
        secrets: Some(&secrets),
        ..Settings::under_test(
            &file,
            object.spec.source.bootstrap_servers.clone(),
            object.spec.store.addresses[0].clone(),
        )
    })?;

    let sent = plaudit(&["report", "send", "--uin", "7", "--item", "1001=37"], &file, &secrets)?;
    plaudit(&["load", "--count", "1000"], &file, &secrets)?;
    scene.wait_until_committed(LIMIT)?;
    let drained = fleet.wait_for("it to be ready and drained", LIMIT, |seen| {
        let status = seen.pipeline.status.as_ref();
        let ready = status.and_then(|status| status.conditions.iter().find(|one| one.type_ == "Ready"));
        ready.is_some_and(|ready| ready.status == "True") && status.is_some_and(|found| found.lag == Some(0))
    })?;
    let player = plaudit(&["players", "get", "7"], &file, &secrets)?;
    fleet.stop()?;

    ensure!(sent.starts_with(&format!("sent to {name}, partition ")), "{sent}");
    ensure!(player.contains("\n1001      37 "), "{player}");
    ensure!(drained.workers.len() == 1, "{drained:#?}");
    scene.assert_exact()?;
    Ok(())
}

/// What a command says that takes a pipeline and its Secrets.
fn plaudit(arguments: &[&str], file: &Path, secrets: &Path) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit-under-test"));
    command.args(arguments).arg("-f").arg(file).arg("--secrets").arg(secrets);
    let output = command.output()?;
    let (said, complained) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.success(), "{command:?}: {said}{complained}");
    canary::search(&format!("{command:?}"), &format!("{said}{complained}"))?;
    Ok(said)
}
