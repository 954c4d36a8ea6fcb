//! `plaudit import`: players that exist elsewhere keep their timestamps.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plaudit_tests::scene::Scene;
use plaudit_tests::stack::{shared, unique_name};

const LIMIT: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;

fn import(scene: &Scene<'_>, text: &str, more: &[&str]) -> Result<Output> {
    let file = std::env::temp_dir().join(unique_name("import"));
    std::fs::write(&file, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit-under-test"));
    command.arg("import").arg(&file);
    command.args(["--bootstrap-servers", &scene.kafka.bootstrap(), "--topic", &scene.config.source.topic]);
    let output = command.args(more).output().context("plaudit does not start")?;
    std::fs::remove_file(&file)?;
    Ok(output)
}

fn line(uin: u64, timestamp: i64) -> String {
    format!(r#"{{"uin":{uin},"timestamp":{timestamp},"items":[{{"type":1002,"value":37,"data":"old"}}]}}"#)
}

#[test]
fn imported_players_keep_their_timestamps_and_old_ones_need_retention() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "import", 2, |_| ())?;
    let worker = scene.start_worker()?;
    let now = plaudit_worker::process::now_ms();
    let recent: String = (1..=500).map(|uin| line(uin, now - DAY_MS - uin.cast_signed()) + "\n").collect();

    let wrong = import(&scene, &format!("{recent}\nno report\n"), &[])?;
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure!(wrong.status.code() == Some(2) && told.contains("line 502: "), "{told}");

    let old = import(&scene, &line(501, now - 30 * DAY_MS), &[])?;
    let told = String::from_utf8_lossy(&old.stderr).into_owned();
    ensure!(old.status.code() == Some(2) && told.contains("the oldest report is 30 days old"), "{told}");

    let good = import(&scene, &recent, &[])?;
    ensure!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    scene.wait_until_committed(LIMIT)?;
    let verdict = scene.assert_exact()?;
    ensure!((verdict.reports, verdict.players) == (500, 500), "{verdict}");
    let (status, player) = worker.get("/players/7/0/0/0")?;
    let player: serde_json::Value = serde_json::from_str(&player)?;
    ensure!(status == 200 && player["achievements"][0]["timestamp"] == now - DAY_MS - 7, "{player}");
    worker.stop()
}
