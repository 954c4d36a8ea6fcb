//! What is wrong is said: by `plaudit local`, and in the log of its worker.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plaudit_tests::fleet::{Fleet, Settings};
use plaudit_tests::secured::{Breakage, Broken, breakages};
use plaudit_tests::stack::until;
use serde_json::json;

/// For all rows at once.
const LIMIT: Duration = Duration::from_secs(45);
/// Rows that run at once: two processes each.
const AT_ONCE: usize = 16;

/// What was said of a row: by the status, and whether the worker's log has the same.
type Said = (&'static str, String, bool);

struct Run<'a> {
    row: &'a Breakage,
    fleet: Fleet,
    told: Option<Condition>,
    logged: bool,
}

impl<'a> Run<'a> {
    fn start(row: &'a Breakage, directory: &Path) -> Result<Self> {
        let file = directory.join(format!("{}.yaml", row.name));
        let secrets = directory.join(row.name);
        row.secrets.write(&secrets)?;
        let object = json!({
            "apiVersion": "plaudit.dev/v1alpha1", "kind": "AchievementPipeline",
            "metadata": {"name": row.name, "namespace": "default"}, "spec": row.spec,
        });
        std::fs::write(&file, serde_yaml::to_string(&object)?)?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("a text");
        let fleet = Fleet::start(&Settings {
            poll_seconds: 0.5,
            secrets: Some(&secrets),
            // Whoever logs most must not log a secret.
            log: Some("trace"),
            ..Settings::under_test(
                &file,
                text(&row.spec["source"]["bootstrapServers"])?,
                text(&row.spec["store"]["addresses"][0])?,
            )
        })?;
        Ok(Self { row, fleet, told: None, logged: false })
    }

    /// True once everything was said.
    fn look(&mut self) -> Result<bool> {
        let Breakage { condition, reason, message, .. } = self.row;
        let status = self.fleet.look()?.and_then(|seen| seen.pipeline.status);
        let conditions = status.into_iter().flat_map(|status| status.conditions);
        self.told = conditions.into_iter().find(|found| found.type_ == *condition).or(self.told.take());
        self.logged =
            self.fleet.worker_log("w-0").contains(&format!("reason={reason:?} because={message:?}"));
        Ok(self.told.as_ref().is_some_and(|told| told.reason == *reason) && self.logged)
    }

    fn said(&self) -> Said {
        let told = self.told.as_ref().map(|told| {
            // Whose word it is, where one worker alone says so.
            let message = told.message.strip_prefix("w-0: ").unwrap_or(&told.message);
            format!("{} is {}: {}: {message}", told.type_, told.status, told.reason)
        });
        (self.row.name, told.unwrap_or_default(), self.logged)
    }
}

#[test]
fn what_keeps_a_pipeline_out_is_said_with_its_reason_in_status_and_log() -> Result<()> {
    let servers = Broken::start()?;
    let rows = breakages(&servers)?;
    let directory = tempfile::tempdir()?;

    let mut said = Vec::new();
    for rows in rows.chunks(AT_ONCE) {
        let begin = Instant::now();
        let start = |row| Run::start(row, directory.path());
        let mut runs = rows.iter().map(start).collect::<Result<Vec<_>>>()?;
        let all = || {
            let mut said = true;
            for run in &mut runs {
                said &= run.look()?;
            }
            Ok(said.then_some(()))
        };
        // What was not said in time is below.
        let told = until("everything to be said", LIMIT, all);
        eprintln!("{} rows after {:?}: {told:?}", runs.len(), begin.elapsed());
        for run in runs.iter().filter(|run| !run.logged) {
            eprintln!("log of the worker of {}:\n{}", run.row.name, run.fleet.worker_log("w-0"));
        }
        said.extend(runs.iter().map(Run::said));
        for Run { row, fleet, .. } in &mut runs {
            fleet.stop().context(row.name)?;
        }
    }

    let expected = rows
        .iter()
        .map(|row| (row.name, format!("{} is False: {}: {}", row.condition, row.reason, row.message), true));
    let wrong: Vec<(Said, Said)> = said.into_iter().zip(expected).filter(|(said, row)| said != row).collect();
    assert!(wrong.is_empty(), "said, and expected: {wrong:#?}");
    let unnoticed: Vec<String> = rows.iter().flat_map(|row| row.secrets.unnoticed()).collect();
    assert!(unnoticed.is_empty(), "nobody would notice if these were shown: {unnoticed:?}");
    Ok(())
}
