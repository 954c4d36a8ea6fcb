//! What a file can cost: texts that are long, that stand for more than they are, or that are wrong in every field.

use std::error::Error as _;

use plaudit_crds::worker::WorkerConfig;
use plaudit_crds::{AchievementPipeline, MAX_FILE_BYTES, MAX_VIOLATIONS, read_text};

const PIPELINE: &str = "apiVersion: plaudit.dev/v1alpha1
kind: AchievementPipeline
metadata: {name: p}
spec:
  source: {bootstrapServers: 'k:9092', topic: t}
  store: {addresses: ['v:6379']}
";

/// The error's own words and those of its cause.
fn refused(text: &str) -> String {
    let error = AchievementPipeline::from_yaml(text).expect_err("it is refused");
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

/// As many types as may be listed, each with as many tiers, and every number as long as it may be.
fn most_types() -> String {
    let type_of = |at: u64| {
        let tiers: Vec<String> =
            (0..32_u64).map(|tier| (9_223_000_000_000_000_000 + tier).to_string()).collect();
        format!("  - {{type: {}, policy: latest, tiers: [{}]}}\n", 4_294_967_295 - at, tiers.join(", "))
    };
    (0..4_096).map(type_of).collect()
}

#[test]
fn a_text_is_read_up_to_what_is_enough_to_refuse_it() {
    let endless = std::io::repeat(b' ');

    let text = read_text(endless).expect("spaces are UTF-8");

    assert_eq!(
        (text.len(), refused(&text).as_str()),
        (
            MAX_FILE_BYTES + 1,
            "the file is not valid YAML: 4194305 bytes are more than the 4194304 that are read; leave out what is no pipeline"
        )
    );
}

#[test]
fn aliases_count_as_what_they_stand_for() {
    let bomb = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, at| {
        let aliases = vec![format!("*a{}", at - 1); 10].join(", ");
        format!("{text}a{at}: &a{at} [{aliases}]\n")
    });
    let tagged = bomb.replace("&a8 [", "!tag [");

    let told = [bomb, tagged].map(|bomb| refused(&format!("{PIPELINE}---\n{bomb}")));

    for told in told {
        assert!(told.contains("more than 500000 values") || told.contains("repetition limit"), "{told}");
    }
}

#[test]
fn the_largest_pipeline_is_accepted_and_so_is_its_workers_configuration() {
    let types = most_types();
    let pipeline = format!(
        "{PIPELINE}  unlocks: {{topic: u}}\n  achievements:\n    types:\n{}",
        types.replace("  - ", "    - ")
    );
    let config = format!(
        "pipeline: default/p
source: {{bootstrapServers: 'k:9092', topic: t, consumerGroup: g}}
store: {{address: 'v:6379'}}
deadLetters: {{topic: d}}
unlocks: {{topic: u}}
achievements:
  types:
{types}"
    );

    let pipeline = AchievementPipeline::from_yaml(&pipeline).expect("the pipeline is good");
    let config = WorkerConfig::from_yaml(&config).expect("the configuration is good");

    assert_eq!(pipeline.spec.achievements, config.achievements);
    let written = config.to_yaml();
    assert_eq!(
        (written.len() < MAX_FILE_BYTES, WorkerConfig::from_yaml(&written).ok()),
        (true, Some(config))
    );
}

#[test]
fn an_object_that_is_wrong_everywhere_is_told_the_first_of_it() {
    let types: String = (0..4_096).map(|_| "    - {type: -1, policy: best}\n".to_owned()).collect();
    let long = "x".repeat(1_000);
    let text = format!("{PIPELINE}  {long}: 1\n  achievements:\n    types:\n{types}");

    let error = AchievementPipeline::from_yaml(&text).expect_err("it is refused");

    let told = error.source().map(ToString::to_string).unwrap_or_default();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        (lines.len(), lines.last()),
        (MAX_VIOLATIONS + 1, Some(&"there is more; correct these first"))
    );
    assert!(lines.iter().all(|line| line.chars().count() < 800), "{told}");
}
