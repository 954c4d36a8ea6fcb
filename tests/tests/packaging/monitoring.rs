//! Alerts fire when they should, each has its page, and nothing asks for a metric that no program exports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use plaudit_tests::chart::{self, Helm, generated, promql};
use serde_json::{Value, json};

/// What Prometheus adds to each series, as the PodMonitors have it.
const TARGET_LABELS: [&str; 6] = ["namespace", "pod", "container", "job", "pipeline", "le"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rules as the chart renders them, in the form of a rules file.
fn rules() -> Result<Value> {
    let text = Helm::four()?.template(&[
        "--set=prometheusRule.enabled=true",
        "-s",
        "templates/prometheusrule.yaml",
    ])?;
    let [rule] = &chart::objects(&text)?[..] else { anyhow::bail!("not one object: {text}") };
    Ok(rule["spec"].clone())
}

fn dashboard() -> Result<Value> {
    let text = std::fs::read_to_string(chart::folder().join("files/dashboard.json"))?;
    Ok(serde_json::from_str(&text)?)
}

/// Each metric with its labels, from the tables that tests of operator and worker hold to what these export.
fn exported() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let text = std::fs::read_to_string(root().join("docs/metrics.md"))?;
    let rows = text.lines().filter(|line| line.starts_with("| `plaudit_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels =
            cells[3].split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
        (cells[1].trim_matches('`').to_owned(), labels.collect())
    };
    Ok(rows.map(row).collect())
}

/// Expressions that ask for a metric or label that is not there.
fn unknown<'a>(expressions: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let exported = exported()?;
    let mut wrong = Vec::new();
    for expression in expressions {
        let metrics = promql::metrics(expression);
        let missing: Vec<_> = metrics.iter().filter(|name| !exported.contains_key(*name)).collect();
        if !missing.is_empty() {
            wrong.push(format!("{missing:?} in {expression}"));
        }
        let known: BTreeSet<&str> = metrics
            .iter()
            .filter_map(|name| exported.get(name))
            .flatten()
            .map(String::as_str)
            .chain(TARGET_LABELS)
            .collect();
        let labels = promql::labels(expression);
        let strange: Vec<_> = labels.iter().filter(|label| !known.contains(label.as_str())).collect();
        if !strange.is_empty() {
            wrong.push(format!("{strange:?} in {expression}"));
        }
    }
    Ok(wrong)
}

fn alerts(rules: &Value) -> impl Iterator<Item = &Value> {
    let groups = rules["groups"].as_array().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array().into_iter().flatten())
}

#[test]
fn alerts_ask_for_exported_metrics_and_never_for_conflicts() -> Result<()> {
    let rules = rules()?;
    let expressions: Vec<&str> = alerts(&rules).filter_map(|alert| alert["expr"].as_str()).collect();

    let wrong = unknown(expressions.iter().copied())?;

    assert_eq!(wrong, Vec::<String>::new());
    assert!(expressions.iter().all(|expression| !expression.contains("conflict")), "{expressions:?}");
    Ok(())
}

#[test]
fn every_alert_fires_when_it_should_and_is_silent_otherwise() -> Result<()> {
    let (folder, rules) = (chart::scratch()?, rules()?);
    let cases = std::fs::read_to_string(root().join("tests/tests/packaging/alerts.test.yaml"))?;
    std::fs::write(folder.join("rules.json"), rules.to_string())?;
    std::fs::write(folder.join("alerts.test.yaml"), &cases)?;

    let checked = chart::checked(
        "promtool",
        "promtool",
        &folder,
        &["check", "rules", "--lint=all", "--lint-fatal", "rules.json"],
    )?;
    let tested = chart::checked("promtool", "promtool", &folder, &["test", "rules", "alerts.test.yaml"])?;

    assert!(checked.0, "{}", checked.1);
    assert!(tested.0, "{}", tested.1);
    let names = generated::alerts(&rules.to_string())?;
    let untested: Vec<_> =
        names.iter().filter(|name| !cases.contains(&format!("alertname=\"{name}\""))).collect();
    assert_eq!(untested, Vec::<&String>::new());
    Ok(())
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() -> Result<()> {
    let names = generated::alerts(&rules()?.to_string())?;
    let mut pages = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("docs/runbooks"))? {
        let path = entry?.path();
        let name = path.file_stem().context("a page has a name")?.to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path)?;
        let parts = ["## What it means", "## How to look", "## What to do"];
        assert!(
            text.starts_with(&format!("# {name}\n")) && parts.iter().all(|part| text.contains(part)),
            "{} lacks its title or one of {parts:?}",
            path.display()
        );
        pages.insert(name);
    }

    assert_eq!(pages, names);
    Ok(())
}

#[test]
fn the_dashboard_asks_for_exported_metrics_in_valid_queries() -> Result<()> {
    let dashboard = dashboard()?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let panels = targets.filter_map(|target| target["expr"].as_str()).map(str::to_owned);
    let variables = variables(&dashboard)?;
    let count = variables.len();
    let expressions: Vec<String> = panels
        .chain(variables)
        .map(|expression| expression.replace("$__rate_interval", "5m").replace("=~\"$", "=~\""))
        .collect();

    let wrong = wrong(&expressions)?;

    assert_eq!(wrong, Vec::<String>::new());
    // namespace and pipeline, each as a query and as it is shown
    assert!(count == 4 && expressions.len() > count + 10, "{expressions:?}");
    Ok(())
}

#[test]
fn the_pages_of_alerts_ask_for_exported_metrics_in_valid_queries() -> Result<()> {
    let mut expressions = Vec::new();
    for entry in std::fs::read_dir(root().join("docs/runbooks"))? {
        let text = std::fs::read_to_string(entry?.path())?;
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        expressions.extend(lines.filter(|line| line.contains("plaudit_")).map(str::to_owned));
        // and those that are named in a sentence
        let quoted = text.split('`').skip(1).step_by(2);
        expressions.extend(quoted.filter(|quoted| quoted.starts_with("plaudit_")).map(str::to_owned));
    }

    let wrong = wrong(&expressions)?;

    assert_eq!(wrong, Vec::<String>::new());
    assert!(expressions.len() > 5, "{expressions:?}");
    Ok(())
}

/// What the dashboard's variables ask for, in PromQL: Grafana's `label_values(SERIES, LABEL)` is the labels by which series are grouped.
fn variables(dashboard: &Value) -> Result<Vec<String>> {
    let list = dashboard["templating"]["list"].as_array().context("variables")?;
    let queries = list.iter().filter(|variable| variable["type"] == "query");
    let texts = queries.flat_map(|variable| [&variable["query"]["query"], &variable["definition"]]);
    let promql = |text: &Value| {
        let text = text.as_str().context("a query")?;
        let inner = text.strip_prefix("label_values(").and_then(|text| text.strip_suffix(')'));
        let (series, label) = inner.and_then(|inner| inner.rsplit_once(", ")).context("label_values")?;
        Ok(format!("group by ({label}) ({series})"))
    };
    texts.map(promql).collect()
}

/// What is wrong with these: metrics and labels that are not there, or what promtool says.
fn wrong(expressions: &[String]) -> Result<Vec<String>> {
    let folder = chart::scratch()?;
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(n, expr)| json!({"record": format!("r{n}"), "expr": expr}))
        .collect();
    std::fs::write(folder.join("r.json"), json!({"groups": [{"name": "g", "rules": rules}]}).to_string())?;

    let mut wrong = unknown(expressions.iter().map(String::as_str))?;
    let (valid, said) =
        chart::checked("promtool", "promtool", &folder, &["check", "rules", "--lint=none", "r.json"])?;
    wrong.extend((!valid).then_some(said));
    Ok(wrong)
}
