//! The worker's configuration file: a table of wrong files with what each is told.

use plaudit_crds::worker::WorkerConfig;
use std::error::Error;

const MINIMAL: &str = "pipeline: default/p
source: {bootstrapServers: 'k:9092', topic: reports, consumerGroup: default.p}
store: {address: 'v:6379'}
deadLetters: {topic: reports.dead-letters}
";

#[test]
fn every_default_is_written_out_and_read_back() {
    let config = WorkerConfig::from_yaml(MINIMAL).expect("the minimal file is good");

    let text = config.to_yaml();

    assert_eq!(
        (text.as_str(), WorkerConfig::from_yaml(&text).ok()),
        (
            "pipeline: default/p
source:
  bootstrapServers: k:9092
  topic: reports
  consumerGroup: default.p
  initialOffset: earliest
  format: json
  groupProtocol: classic
  onTopicRecreated: stop
  onRetentionLoss: stop
  maxClockSkewSeconds: 300
  properties: {}
store:
  address: v:6379
  keyPrefix: 'plaudit:'
  buckets: 240
  maxValueBytes: 16384
  onStoreLoss: stop
achievements:
  defaultPolicy: latest
  unlisted: accept
  types: []
unlocks: {}
deadLetters:
  topic: reports.dead-letters
  onError: deadLetter
batch:
  maxRecords: 2000
  maxBytes: 4194304
  maxDelayMilliseconds: 20
memoryBudgetBytes: 20971520
secretsDirectory: /var/run/secrets/plaudit
http:
  address: 127.0.0.1:0
drainDeadlineSeconds: 5
",
            Some(config)
        )
    );
}

#[test]
fn wrong_files_are_told_path_cause_and_next_step() {
    let refused = "the worker's configuration is refused";
    let yaml = "the worker's configuration is not valid YAML";
    let cases = [
        ("", "", "", yaml, "found 0 documents; keep exactly one"),
        (
            "default/p",
            "[",
            MINIMAL,
            yaml,
            "did not find expected ',' or ']' at line 3 column 1, while parsing a flow sequence at line 1 column 11; correct the line it names",
        ),
        (
            "pipeline: default/p",
            "pipeline: p",
            MINIMAL,
            refused,
            r#"pipeline: "p" does not fit; write namespace/name"#,
        ),
        (
            ", consumerGroup: default.p",
            "",
            MINIMAL,
            refused,
            "source.consumerGroup: is missing; add it (The consumer group)",
        ),
        (
            "topic: reports,",
            "topics: reports,",
            MINIMAL,
            refused,
            "source.topic: is missing; add it (The topic)\nsource.topics: is not a known field; did you mean topic?",
        ),
        (
            "consumerGroup: default.p",
            "consumerGroup: default.p, properties: {debug: all}",
            MINIMAL,
            refused,
            "source.properties.debug: is not a known field; remove it, or use client.rack, fetch.max.bytes, fetch.message.max.bytes, fetch.min.bytes, fetch.wait.max.ms, heartbeat.interval.ms, max.poll.interval.ms, queued.max.messages.kbytes, queued.min.messages, session.timeout.ms, socket.keepalive.enable or socket.timeout.ms",
        ),
        (
            "address: 'v:6379'",
            "address: v",
            MINIMAL,
            refused,
            r#"store.address: "v" does not fit; write host:port"#,
        ),
        (
            "address: 'v:6379'",
            "address: 'v:6379', buckets: -1",
            MINIMAL,
            refused,
            "store.buckets: -1 is out of range; write a whole number from 1 to 16384",
        ),
        (
            "address: 'v:6379'",
            "address: 'v:6379', maxValueBytes: big",
            MINIMAL,
            refused,
            r#"store.maxValueBytes: "big" is not a whole number; write a whole number from 1024 to 1048576"#,
        ),
        (
            "store:",
            "memoryBudgetBytes: 1\nstore:",
            MINIMAL,
            refused,
            "memoryBudgetBytes: 1 is out of range; write a whole number from 1048576 to 68719476736",
        ),
        (
            "store:",
            "memoryBudgetBytes: 1048576\nstore:",
            MINIMAL,
            refused,
            "memoryBudgetBytes: is below batch.maxBytes, so no batch would fit; raise memoryBudgetBytes or lower batch.maxBytes",
        ),
        (
            "store:",
            "http: {address: 8080}\nstore:",
            MINIMAL,
            refused,
            "http.address: 8080 is not a text; write a text, in quotes if it looks like a number",
        ),
        (
            "store:",
            "drainDeadlineSeconds: 0\nstore:",
            MINIMAL,
            refused,
            "drainDeadlineSeconds: 0 is out of range; write a whole number from 1 to 600",
        ),
        (
            "store:",
            "batch: 5\nstore:",
            MINIMAL,
            refused,
            "batch: 5 is not a group of fields; write fields below it, indented",
        ),
        (
            "reports.dead-letters",
            "reports",
            MINIMAL,
            refused,
            "deadLetters.topic: is the source topic, so bad records would come back for ever; give another topic",
        ),
        (
            "store:",
            "achievements: {types: [{type: 1, policy: max}, {type: 1, policy: sum}]}\nstore:",
            MINIMAL,
            refused,
            "achievements.types[1].type: 1 is listed twice; keep one of the two",
        ),
    ];

    let answers: Vec<_> = cases
        .iter()
        .map(|(from, to, text, _, _)| {
            let error = WorkerConfig::from_yaml(&text.replacen(from, to, 1)).expect_err("the file is wrong");
            (error.to_string(), error.source().map(ToString::to_string).unwrap_or_default())
        })
        .collect();

    let expected: Vec<_> =
        cases.iter().map(|(_, _, _, what, cause)| ((*what).to_owned(), (*cause).to_owned())).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_configuration_that_was_built_is_checked_like_a_file() {
    let mut config = WorkerConfig::from_yaml(MINIMAL).expect("the minimal file is good");
    config.store.buckets = 0;

    let error = config.validate().expect_err("no buckets");

    assert_eq!(
        error.source().map(ToString::to_string),
        Some("store.buckets: 0 is out of range; write a whole number from 1 to 16384".to_owned())
    );
}
