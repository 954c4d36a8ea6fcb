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
fn chart_and_quick_start_have_the_version_of_the_programs() {
    let read = |file: &str| -> serde_json::Value {
        serde_yaml::from_str(&std::fs::read_to_string(chart::folder().join(file)).unwrap()).unwrap()
    };
    let (chart, load) = (read("Chart.yaml"), read("../../examples/quickstart/load.yaml"));
    let image = load["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();

    let versions =
        [chart["version"].as_str(), chart["appVersion"].as_str(), image.strip_prefix("plaudit/operator:")];

    assert_eq!(versions, [Some(env!("CARGO_PKG_VERSION")); 3]);
}

#[test]
fn images_are_built_by_the_toolchain_of_the_checks_from_a_base_that_nobody_can_exchange() {
    let root = chart::folder().join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let (toolchain, dockerfile) = (read("rust-toolchain.toml"), read("Dockerfile"));
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();

    let base = dockerfile.lines().find_map(|line| line.strip_prefix("ARG BASE=rust:")).unwrap();

    let (tag, digest) = base.split_once("@sha256:").expect("a digest");
    assert!(tag.starts_with(channel.trim_matches('"')), "{tag} has not Rust {channel}");
    assert!(digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit()), "{digest}");
}
