//! `plaudit local` with real workers: what README tells people to type.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use plaudit::pipeline;
use plaudit::snapshot::{Snapshot, WorkerView};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::example;
use plaudit_tests::fleet::{self, Fleet};
use plaudit_tests::scene::{Scene, rough_mix};
use plaudit_tests::stack::{shared, unique_name};

const LIMIT: Duration = Duration::from_secs(60);
/// `maxReplicas` of the example.
const MOST_WORKERS: usize = 6;

#[test]
fn a_local_fleet_grows_outlives_a_kill_shrinks_and_drains() -> Result<()> {
    let file = ExampleFile::write()?;
    let scene = file.scene()?;
    let mut fleet = Fleet::start(&file.settings(&scene))?;
    let alone = fleet.wait_for("one worker", LIMIT, |seen| is_ready(seen, 1))?;
    let pid = |seen: &Snapshot, at: usize| seen.workers[at].pid.context("a ready worker has a process");
    let mut pids = BTreeSet::from([pid(&alone, 0)?]);

    // frozen, so that the lag is there for as long as it takes to be seen
    fleet::signal(pid(&alone, 0)?, Signal::SIGSTOP)?;
    scene.load(rough_mix(12, 2_000), 70_000, 0.0)?;
    let grown = fleet.wait_for("a larger fleet", LIMIT, |seen| seen.decision.result > 5)?;
    fleet::signal(pid(&alone, 0)?, Signal::SIGCONT)?;
    let full = fleet.wait_for("all its workers", LIMIT, |seen| is_ready(seen, MOST_WORKERS))?;
    pids.extend(full.workers.iter().filter_map(|worker| worker.pid));

    let victim = &full.workers[1];
    fleet::signal(pid(&full, 1)?, Signal::SIGKILL)?;
    let again = |worker: &WorkerView| {
        worker.name == victim.name && worker.restarts == 1 && worker.ready && worker.pid != victim.pid
    };
    let healed = fleet.wait_for("the worker's return", LIMIT, |seen| seen.workers.iter().any(again))?;
    pids.extend(healed.workers.iter().filter_map(|worker| worker.pid));

    scene.wait_until_committed(LIMIT)?;
    let shrunk = fleet.wait_for("the small fleet", LIMIT, |seen| is_ready(seen, 1))?;
    fleet.stop()?;

    ensure!(alone.decision.reason == "AtMinimum", "{:?}", alone.decision);
    ensure!(
        grown.decision.reason == "AtMaximum" && !grown.decision.message.is_empty(),
        "{:?}",
        grown.decision
    );
    let stored = shrunk.pipeline.status.context("it has a status")?.last_decision;
    ensure!(
        stored.as_ref().is_some_and(|decision| decision.result == 1 && decision.reason == "AtMinimum"),
        "{stored:?}"
    );
    ensure!(pids.len() == MOST_WORKERS + 1, "{} workers were started, one again: {pids:?}", MOST_WORKERS);
    ensure!(fleet.last_look()?.is_some_and(|seen| seen.workers.is_empty()));
    let left: Vec<_> = pids.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
    ensure!(left.is_empty(), "still running: {left:?}");
    scene.assert_exact()?;
    Ok(())
}

#[test]
fn a_pipeline_that_cannot_be_used_is_exit_status_2_with_field_cause_and_next_step() -> Result<()> {
    let file = ExampleFile::write()?;
    let wrong =
        file.text.replace("minReplicas: 1", "minReplicas: many").replace("lagThreshold", "lagTreshold");
    std::fs::write(&file.path, wrong)?;

    let output = plaudit(&["local", "-f", &file.path.display().to_string()])?;

    let said = String::from_utf8(output.stderr)?;
    let expected = format!(
        "plaudit: {}: AchievementPipeline {} is refused:
  spec.scaling.lagTreshold: is not a known field; remove it, or use behavior, lagThreshold, maxLagSeconds, maxReplicas, minReplicas, paused or replicas
  spec.scaling.minReplicas: \"many\" is not a whole number; write a whole number from 0 to 10000\n",
        file.path.display(),
        file.name,
    );
    ensure!((output.status.code(), said.as_str()) == (Some(2), expected.as_str()), "{said}");
    Ok(())
}

/// So many workers run, all ready, and the pipeline says so.
fn is_ready(seen: &Snapshot, workers: usize) -> bool {
    let ready = seen
        .pipeline
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && seen.workers.len() == workers && seen.workers.iter().all(|worker| worker.ready)
}

fn plaudit(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_plaudit-under-test")).args(arguments).output()?)
}

/// The example with a name and a topic of its own, as a file.
struct ExampleFile {
    name: String,
    path: PathBuf,
    text: String,
}

impl ExampleFile {
    fn write() -> Result<Self> {
        let name = unique_name("local");
        let text = std::fs::read_to_string(example::PATH)?
            .replace("name: achievements", &format!("name: {name}"))
            .replace("topic: achievement-reports", &format!("topic: {name}"));
        let path = std::env::temp_dir().join(format!("{name}.yaml"));
        std::fs::write(&path, &text)?;
        Ok(Self { name, path, text })
    }

    /// On the shared pair, with the topics created.
    fn scene(&self) -> Result<Scene<'static>> {
        let stack = shared();
        let mut object = AchievementPipeline::from_yaml(&self.text)?;
        object.spec.source.bootstrap_servers = stack.kafka.bootstrap();
        object.spec.store.addresses = vec![stack.valkey.address()];
        let config = pipeline::parse(&object)?.worker_config();
        Scene::of((&stack.kafka, &stack.valkey), config, example::PARTITIONS)
    }

    fn settings(&self, scene: &Scene<'_>) -> fleet::Settings<'_> {
        fleet::Settings::under_test(&self.path, scene.kafka.bootstrap(), scene.valkey.address())
    }
}

impl Drop for ExampleFile {
    fn drop(&mut self) {
        // the system's temporary directory; it matters to nobody if it stays
        drop(std::fs::remove_file(&self.path));
    }
}
