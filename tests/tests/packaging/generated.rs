//! What of the chart is made from other files is up to date.

use plaudit_tests::chart;

/// UPDATE_GENERATED=1 (`make generate`) writes them instead.
#[test]
fn the_committed_files_are_the_generated_ones() {
    let files = chart::generated::files().unwrap();
    let mut stale = Vec::new();
    for (name, content) in files {
        let path = chart::folder().join(name);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &content).unwrap();
        }
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&content) {
            stale.push(name);
        }
    }

    assert_eq!(stale, Vec::<&str>::new(), "run `make generate`");
}

#[test]
fn the_chart_has_the_version_of_the_programs() {
    let text = std::fs::read_to_string(chart::folder().join("Chart.yaml")).unwrap();
    let chart: serde_json::Value = serde_yaml::from_str(&text).unwrap();

    let versions = [&chart["version"], &chart["appVersion"]];

    assert_eq!(versions, [env!("CARGO_PKG_VERSION"); 2]);
}
