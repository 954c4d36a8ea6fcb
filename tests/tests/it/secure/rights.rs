//! Each right that docs/security.md gives is needed, and together they are enough.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plaudit::pipeline;
use plaudit_crds::AchievementPipeline;
use plaudit_tests::fleet::{Fleet, Settings};
use plaudit_tests::scene::{Outgoing, Scene, Worker, achievements, rough_mix};
use plaudit_tests::secured::{Secrets, Way, kafka_rights, kafka_way, store_rules, store_ways};
use plaudit_tests::stack::security::STORE_USER_PASSWORD;
use plaudit_tests::stack::{Listener, secure, unique_name, until};
use serde_json::json;

use super::configure;

const LIMIT: Duration = Duration::from_secs(60);

/// What goes wrong without a rule of the store's user: the reason that the worker gives, and what its message says. (Not every release of Redis names a command
/// that is denied inside a script.)
const RULES: [(&str, &str, &str); 11] = [
    ("+script|load", "Unauthorized", " run script|load;"),
    ("+evalsha", "Unauthorized", " run evalsha;"),
    ("+mget", "Unauthorized", " run mget;"),
    ("+get", "Unauthorized", " run get;"),
    ("+set", "Unauthorized", " run set;"),
    ("+mset", "Unauthorized", " run "),
    ("+msetnx", "Unauthorized", " run "),
    ("+exists", "Unauthorized", " run exists;"),
    ("+persist", "Unauthorized", " run persist;"),
    ("+unlink", "Unauthorized", " run unlink;"),
    ("+info", "EvictionUnknown", "NOPERM"),
];

/// A worker whose user has all rules of the page but one.
fn without(rule: Option<&str>, directory: &Path) -> Result<(Scene<'static>, Worker)> {
    let stack = secure();
    let mut scene = Scene::new((&stack.kafka, &stack.store), "rule", 1, |config| {
        config.store.max_value_bytes = 1_024;
    })?;
    let prefix = scene.config.store.key_prefix.clone();
    let [_, mut store, _, _] = store_ways(stack, &prefix)?;
    let mut rules = store_rules(&prefix)?;
    rules.retain(|one| Some(one.as_str()) != rule);
    let user = store.user.take().context("a user")?;
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    stack.store.set_user(&user, STORE_USER_PASSWORD, &rules)?;
    let kafka = Way {
        user: None,
        fields: json!({"bootstrapServers": stack.kafka.bootstrap()}),
        secrets: Secrets::default(),
    };
    let secrets = directory.join(&scene.config.source.topic);
    configure(&mut scene.config, (&kafka, &store), &secrets)?;
    let worker = scene.start_worker()?;
    Ok((scene, worker))
}

/// New players, refused records, unlocks and deletions; and a player that is split, so that chunks are written, kept and removed.
fn send_everything(scene: &Scene<'_>) -> Result<()> {
    scene.load(rough_mix(71, 100), 1_000, 0.0)?;
    let log = scene.log()?;
    for kinds in [1..60, 1..2, 30..90] {
        let item = |kind: u32| format!(r#"{{"type":{},"value":5,"data":"{kind:020}"}}"#, 5_000 + kind);
        let value = format!(r#"{{"uin":7,"items":[{}]}}"#, kinds.map(item).collect::<Vec<_>>().join(","));
        log.send(&[Outgoing { key: Some(b"7"), value: Some(value.as_bytes()), ..Outgoing::default() }])?;
    }
    Ok(())
}

#[test]
fn a_worker_does_all_its_work_with_the_stores_rules_of_the_page_and_names_each_that_is_missing() -> Result<()>
{
    let directory = tempfile::tempdir()?;
    let all = without(None, directory.path())?;
    send_everything(&all.0)?;
    let start = |(rule, ..): &(&str, _, _)| without(Some(rule), directory.path());
    let runs = RULES.iter().map(start).collect::<Result<Vec<_>>>()?;
    runs.iter().try_for_each(|(scene, _)| send_everything(scene))?;

    all.0.wait_until_committed(LIMIT).with_context(|| all.1.log())?;
    let (verdict, quiet) = (all.0.assert_exact()?, all.1.lanes()?);
    let mut said = Vec::new();
    for ((rule, reason, command), (_, worker)) in RULES.iter().zip(&runs) {
        let found = until("a complaint", LIMIT, || {
            let lanes = worker.lanes()?;
            let troubles = [&lanes["store"], &lanes["storeWarning"]];
            let trouble = troubles.into_iter().find(|trouble| !trouble.is_null());
            Ok(trouble.map(|trouble| (trouble["reason"].clone(), trouble["message"].clone())))
        });
        let (found, message) = found.with_context(|| format!("without {rule}\n{}", worker.log()))?;
        let names =
            message.as_str().is_some_and(|message| message.to_lowercase().contains(&command.to_lowercase()));
        said.push((*rule, found == *reason && names, message));
    }

    let rules = store_rules("")?.into_iter().filter(|rule| rule.starts_with('+'));
    ensure!(rules.eq(RULES.iter().map(|(rule, ..)| *rule)), "the page has other rules than this table");
    let wrong: Vec<_> = said.iter().filter(|(_, right, _)| !right).collect();
    ensure!(wrong.is_empty(), "{wrong:#?}");
    ensure!(quiet["store"].is_null() && quiet["storeWarning"].is_null(), "{quiet}");
    ensure!(verdict.split_players == 1 && verdict.stray_chunks == 0, "{verdict}");
    all.1.stop()?;
    runs.into_iter().try_for_each(|(_, worker)| worker.stop())
}

/// A `plaudit local` whose user has all rights of the page but one: the source topic, the group, dead letters, unlocks.
fn local_without(right: Option<usize>, suspend: bool, directory: &Path) -> Result<(Scene<'static>, Fleet)> {
    let stack = secure();
    let name = unique_name("right");
    let mut kafka = kafka_way(stack, Listener::ScramInClear)?;
    let [store, ..] = store_ways(stack, &format!("{name}:"))?;
    let secrets = directory.join(&name);
    let user = kafka.user.take().context("a user")?;
    let unlocks = format!("{name}.unlocks");
    let mut spec = json!({
        "source": kafka.fields, "store": store.fields, "unlocks": {"topic": unlocks},
        "achievements": achievements(),
    });
    spec["suspend"] = json!(suspend);
    spec["source"]["topic"] = json!(name);
    spec["source"]["properties"] = json!({"session.timeout.ms": 6_000});
    let object: AchievementPipeline = serde_json::from_value(json!({
        "apiVersion": "plaudit.dev/v1alpha1", "kind": "AchievementPipeline",
        "metadata": {"name": name}, "spec": spec,
    }))?;
    let file = directory.join(format!("{name}.yaml"));
    std::fs::write(&file, serde_yaml::to_string(&object)?)?;
    let mut config = pipeline::parse(&object)?.worker_config();
    let letters = config.dead_letters.topic.clone();
    let mut rights = kafka_rights(&user, &name, &config.source.consumer_group, &[&letters, &unlocks]);
    if let Some(right) = right {
        rights.remove(right);
    }
    configure(&mut config, (&kafka, &store), &secrets)?;
    let scene = Scene::of((&stack.kafka, &stack.store), config, 2)?;
    stack.kafka.allow(&rights)?;
    let fleet = Fleet::start(&Settings {
        poll_seconds: 0.5,
        secrets: Some(&secrets),
        ..Settings::under_test(
            &file,
            object.spec.source.bootstrap_servers.clone(),
            object.spec.store.addresses[0].clone(),
        )
    })?;
    Ok((scene, fleet))
}

#[test]
fn plaudit_local_does_all_its_work_with_the_rights_of_the_page_and_names_each_that_is_missing() -> Result<()>
{
    const MISSING: [&str; 4] =
        ["TopicUnauthorized", "GroupUnauthorized", "DeadLetterUnavailable", "UnlockUnavailable"];
    let directory = tempfile::tempdir()?;
    let (scene, mut fleet) = local_without(None, false, directory.path())?;
    let (_asleep, mut monitor) = local_without(None, true, directory.path())?;
    let start = |right| local_without(Some(right), false, directory.path());
    let mut runs = (0..MISSING.len()).map(start).collect::<Result<Vec<_>>>()?;
    let log = scene.log()?;
    // Where no worker runs, they come from the lag monitor.
    let begun = monitor.wait_for("first offsets", LIMIT, |seen| {
        seen.partitions.len() == 2 && seen.partitions.iter().all(|one| one.committed == Some(0))
    })?;
    scene.load(rough_mix(72, 100), 1_000, 0.0)?;
    for (scene, _) in &runs {
        scene.load(rough_mix(72, 100), 1_000, 0.0)?;
    }

    scene.wait_until_committed(LIMIT).with_context(|| fleet.worker_log("w-0"))?;
    let verdict = scene.assert_exact()?;
    for ((_, fleet), reason) in runs.iter_mut().zip(MISSING) {
        fleet.wait_for(&format!("the reason {reason}"), LIMIT, |seen| {
            let conditions = seen.pipeline.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|found| found.type_ == "Ready" && found.reason == reason)
        })?;
    }
    let letters = log.letters()?;
    ensure!(begun.workers.is_empty(), "there was a worker already: {begun:#?}");
    ensure!(letters > 0, "no record was refused: {verdict}");
    fleet.stop()?;
    monitor.stop()?;
    runs.iter_mut().try_for_each(|(_, fleet)| fleet.stop())
}
