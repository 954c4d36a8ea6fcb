//! `plaudit simulate` as it is typed.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use plaudit_tests::example;
use plaudit_tests::rivals::traces;
use plaudit_tests::stack::unique_name;
use serde_json::Value;

#[test]
fn a_trace_gives_decisions_and_figures_as_text_json_or_csv() -> Result<()> {
    let trace = traces::path("step");
    let print = |output: &str| -> Result<String> {
        let done = simulate(&trace, &["--output", output])?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout)?)
    };

    let (text, json, csv) = (print("text")?, print("json")?, print("csv")?);

    let report: Value = serde_json::from_str(&json)?;
    let summary = &report["summary"];
    let keys: Vec<&String> = summary.as_object().context("a summary")?.keys().collect();
    ensure!(
        keys == ["lagSeconds", "meanPods", "mostPods", "podHours", "scaleEvents", "seconds"],
        "{summary}"
    );
    let first = &report["decisions"][0];
    ensure!(
        first["second"] == 0 && first["to"] == 1 && first["decision"]["reason"] == "AtMinimum",
        "{first}"
    );
    let events = format!("Scale events  {} in 1.00 hours", summary["scaleEvents"]);
    ensure!(text.lines().any(|line| line == events), "{text}");
    ensure!(["Pod-hours", "Lag-seconds"].iter().all(|name| text.contains(name)), "{text}");
    let rows = csv.lines().filter(|line| !line.starts_with('#')).count();
    // A header, and a decision each two seconds.
    ensure!(rows == 1801, "{rows} rows");
    Ok(())
}

#[test]
fn a_trace_that_is_none_is_exit_status_2_with_line_column_cause_and_next_step() -> Result<()> {
    let path = std::env::temp_dir().join(format!("{}.csv", unique_name("trace")));
    std::fs::write(&path, "second,p0,p1\n0,5,x\n")?;

    let output = simulate(&path, &[]);
    std::fs::remove_file(&path)?;

    let output = output?;
    let said = String::from_utf8(output.stderr)?;
    let expected = format!(
        "plaudit: {} is no trace: line 2, column p1: \"x\" is not a number; write one from 0, or nothing where it is unknown\n",
        path.display()
    );
    ensure!((output.status.code(), said.as_str()) == (Some(2), expected.as_str()), "{said}");
    Ok(())
}

fn simulate(trace: &PathBuf, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit-under-test"));
    command.args(["simulate", "-f", example::PATH, "--trace"]).arg(trace).args(more);
    Ok(command.output()?)
}
