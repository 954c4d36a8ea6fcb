//! Tables of good and bad pipelines: what a file is told, and what the CRD's own rules say to the same object.

use plaudit_crds::AchievementPipeline;
use serde_json::{Value, json};

use crate::object::{Change, file_says, pipeline, read, rules_say};

#[test]
fn the_example_is_accepted() {
    let example = include_str!("../../../examples/pipeline.yaml");

    assert_eq!(read(example), Ok(()));
}

#[test]
fn defaults_are_filled() {
    let minimal = serde_yaml::to_string(&pipeline(&[])).expect("an object is YAML");

    let pipeline = AchievementPipeline::from_yaml(&minimal).expect("the minimal pipeline is good");

    assert_eq!(
        serde_json::to_value(&pipeline.spec).expect("a spec is JSON"),
        json!({
            "source": {"bootstrapServers": "k:9092", "topic": "reports", "initialOffset": "earliest",
                "format": "json", "groupProtocol": "classic", "onTopicRecreated": "stop", "onRetentionLoss": "stop", "maxClockSkewSeconds": 300,
                "properties": {}},
            "store": {"addresses": ["v:6379"], "keyPrefix": "plaudit:", "buckets": 240, "maxValueBytes": 16384,
                "onStoreLoss": "stop"},
            "achievements": {"defaultPolicy": "latest", "unlisted": "accept", "types": []},
            "unlocks": {},
            "deadLetters": {"onError": "deadLetter"},
            "batch": {"maxRecords": 2000, "maxBytes": 4_194_304, "maxDelayMilliseconds": 20},
            "scaling": {"minReplicas": 1, "lagThreshold": 10000, "maxLagSeconds": 10, "paused": "none", "behavior": {
                "catchUpSeconds": 60, "targetUtilizationPercent": 80, "scaleInWindowSeconds": 300, "idleSeconds": 300,
                "onUnknownLag": {}}},
            "worker": {},
            "suspend": false,
        })
    );
}

#[test]
fn good_pipelines_are_accepted_by_file_and_by_rules() {
    let cases: Vec<Vec<Change>> = vec![
        vec![],
        vec![("/spec/source/bootstrapServers", json!("a:9092,b.example.com:9093,[::1]:9094"))],
        vec![("/spec/source/consumerGroup", json!("team.group_1"))],
        vec![("/spec/source/format", json!("protobuf")), ("/spec/source/initialOffset", json!("latest"))],
        vec![("/spec/source/properties", json!({"session.timeout.ms": 6000, "heartbeat.interval.ms": 2000}))],
        vec![("/spec/source/properties", json!({"client.rack": "eu-1a", "socket.keepalive.enable": true}))],
        vec![("/spec/source/properties", json!({"max.poll.interval.ms": 10000}))],
        vec![("/spec/store/keyPrefix", json!("game-1.prod_a:"))],
        vec![
            ("/spec/source/groupProtocol", json!("consumer")),
            ("/spec/source/onTopicRecreated", json!("continue")),
            ("/spec/source/onRetentionLoss", json!("skip")),
            ("/spec/store/onStoreLoss", json!("replay")),
        ],
        vec![("/spec/achievements", json!({"defaultPolicy": "sum", "unlisted": "deadLetter", "types": []}))],
        vec![(
            "/spec/achievements/types",
            json!([{"type": 0, "policy": "max"}, {"type": 4_294_967_295_u64, "policy": "max"}]),
        )],
        vec![
            ("/spec/unlocks", json!({"topic": "unlocks"})),
            (
                "/spec/achievements/types",
                json!([
                    {"type": 1, "policy": "max", "tiers": [-5, 10]},
                    {"type": 2, "policy": "min", "tiers": [10, -5]},
                    {"type": 3, "policy": "first", "tiers": []},
                    {"type": 4, "policy": "bitOr"},
                ]),
            ),
        ],
        vec![("/spec/deadLetters", json!({"topic": "bad", "onError": "stop"}))],
        vec![("/spec/source/topic", json!("t".repeat(236)))],
        vec![("/spec/source/topic", json!("t".repeat(249))), ("/spec/deadLetters/topic", json!("bad"))],
        vec![("/spec/scaling", json!({"minReplicas": 3, "maxReplicas": 3, "paused": "both"}))],
        vec![("/spec/scaling", json!({"minReplicas": 0, "maxReplicas": 10000, "maxLagSeconds": 1}))],
        vec![("/spec/scaling", json!({"replicas": 0}))],
        vec![("/spec/scaling", json!({"replicas": 10000, "maxReplicas": 3}))],
        vec![(
            "/spec/scaling/behavior",
            json!({"catchUpSeconds": 1, "targetUtilizationPercent": 100, "scaleInWindowSeconds": 0,
                "idleSeconds": 604_800, "onUnknownLag": {"replicas": 4}}),
        )],
        vec![("/spec/scaling/behavior", json!({"targetUtilizationPercent": 10, "onUnknownLag": {}}))],
        vec![("/spec/suspend", json!(true))],
        vec![("/spec/scaling/maxReplicas", Value::Null)],
    ];

    let refused: Vec<_> = cases
        .iter()
        .map(|changes| pipeline(changes))
        .flat_map(|object| [file_says(&object), rules_say(&object, None)].concat())
        .collect();

    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn bad_fields_are_refused_with_their_path_cause_and_next_step() {
    let cases: Vec<(Change, &str)> = vec![
        (("/apiVersion", json!("v1")), r#"apiVersion: "v1" is not known; use plaudit.dev/v1alpha1"#),
        (("/metadata/name", Value::Null), "metadata.name: is missing; add it (the pipeline's name)"),
        (
            ("/metadata/name", json!("Shouting")),
            r#"metadata.name: "Shouting" does not fit; write up to 253 of a-z, 0-9, '.' and '-'"#,
        ),
        (
            ("/spec/source/topic", Value::Null),
            "spec.source.topic: is missing; add it (The topic the reports are read from)",
        ),
        (
            ("/spec/source/topic", json!(7)),
            "spec.source.topic: 7 is not a text; write a text, in quotes if it looks like a number",
        ),
        (
            ("/spec/source/topic", json!("a b")),
            r#"spec.source.topic: "a b" does not fit; a Kafka topic has 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'"#,
        ),
        (
            ("/spec/source/bootstrapServers", json!("kafka")),
            r#"spec.source.bootstrapServers: "kafka" does not fit; write host:port, several separated by commas without spaces"#,
        ),
        (
            ("/spec/source/consumerGroup", json!("")),
            r#"spec.source.consumerGroup: "" does not fit; write 1 to 255 of a-z, A-Z, 0-9, '.', '_' and '-'"#,
        ),
        (
            ("/spec/source/initialOffset", json!("newest")),
            r#"spec.source.initialOffset: "newest" is not known; use earliest or latest"#,
        ),
        (
            ("/spec/source/maxClockSkewSeconds", json!(-1)),
            "spec.source.maxClockSkewSeconds: -1 is out of range; write a whole number from 0 to 86400",
        ),
        (
            ("/spec/source/bootstrapServer", json!("a:1")),
            "spec.source.bootstrapServer: is not a known field; did you mean bootstrapServers?",
        ),
        (
            ("/spec/source/properties", json!({"enable.auto.commit": true})),
            r#"spec.source.properties["enable.auto.commit"]: is not a known field; remove it, or use client.rack, fetch.max.bytes, fetch.message.max.bytes, fetch.min.bytes, fetch.wait.max.ms, heartbeat.interval.ms, max.poll.interval.ms, queued.max.messages.kbytes, queued.min.messages, session.timeout.ms, socket.keepalive.enable or socket.timeout.ms"#,
        ),
        (
            ("/spec/source/properties", json!({"fetch.min.bytes": "1"})),
            r#"spec.source.properties["fetch.min.bytes"]: "1" is not a whole number; write a whole number from 1 to 10485760"#,
        ),
        (
            ("/spec/source/properties", json!({"socket.keepalive.enable": 1})),
            r#"spec.source.properties["socket.keepalive.enable"]: 1 is not true or false; write true or false"#,
        ),
        (("/spec/store/addresses", json!([])), "spec.store.addresses: 0 entries; write exactly 1"),
        (
            ("/spec/store/addresses", json!(["a:1", "b:2"])),
            "spec.store.addresses: 2 entries; write exactly 1",
        ),
        (
            ("/spec/store/addresses", json!("a:1")),
            r#"spec.store.addresses: "a:1" is not a list; write a list"#,
        ),
        (
            ("/spec/store/addresses", json!(["redis://a:1"])),
            r#"spec.store.addresses[0]: "redis://a:1" does not fit; write host:port"#,
        ),
        (
            ("/spec/store/keyPrefix", json!("Plaudit{1}")),
            r#"spec.store.keyPrefix: "Plaudit{1}" does not fit; write 1 to 64 of a-z, 0-9, '_', '.', ':' and '-'"#,
        ),
        (
            ("/spec/store/buckets", json!(0)),
            "spec.store.buckets: 0 is out of range; write a whole number from 1 to 16384",
        ),
        (
            ("/spec/store/maxValueBytes", json!(1.5)),
            "spec.store.maxValueBytes: 1.5 is not a whole number; write a whole number from 1024 to 1048576",
        ),
        (
            ("/spec/achievements/defaultPolicy", json!("avg")),
            r#"spec.achievements.defaultPolicy: "avg" is not known; use latest, first, max, min, sum or bitOr"#,
        ),
        (
            ("/spec/achievements/types", json!([{"type": -1, "policy": "max"}])),
            "spec.achievements.types[0].type: -1 is out of range; write a whole number from 0 to 4294967295",
        ),
        (
            ("/spec/achievements/types", json!([{"type": 1}])),
            "spec.achievements.types[0].policy: is missing; add it (How its items are merged: latest, first, max, min, sum or bitOr)",
        ),
        (
            ("/spec/deadLetters/onError", json!("skip")),
            r#"spec.deadLetters.onError: "skip" is not known; use deadLetter or stop"#,
        ),
        (
            ("/spec/batch/maxRecords", json!(0)),
            "spec.batch.maxRecords: 0 is out of range; write a whole number from 1 to 100000",
        ),
        (
            ("/spec/scaling/minReplicas", json!(-1)),
            "spec.scaling.minReplicas: -1 is out of range; write a whole number from 0 to 10000",
        ),
        (
            ("/spec/scaling/maxReplicas", json!(0)),
            "spec.scaling.maxReplicas: 0 is out of range; write a whole number from 1 to 10000",
        ),
        (
            ("/spec/scaling/replicas", json!(10001)),
            "spec.scaling.replicas: 10001 is out of range; write a whole number from 0 to 10000",
        ),
        (
            ("/spec/scaling/lagThreshold", json!(0)),
            "spec.scaling.lagThreshold: 0 is out of range; write a whole number from 1 to 1000000000",
        ),
        (
            ("/spec/scaling/maxLagSeconds", json!(0)),
            "spec.scaling.maxLagSeconds: 0 is out of range; write a whole number from 1 to 86400",
        ),
        (
            ("/spec/scaling/behavior/catchUpSeconds", json!(0)),
            "spec.scaling.behavior.catchUpSeconds: 0 is out of range; write a whole number from 1 to 86400",
        ),
        (
            ("/spec/scaling/behavior/targetUtilizationPercent", json!(101)),
            "spec.scaling.behavior.targetUtilizationPercent: 101 is out of range; write a whole number from 10 to 100",
        ),
        (
            ("/spec/scaling/behavior/scaleInWindowSeconds", json!(3601)),
            "spec.scaling.behavior.scaleInWindowSeconds: 3601 is out of range; write a whole number from 0 to 3600",
        ),
        (
            ("/spec/scaling/behavior/idleSeconds", json!(0)),
            "spec.scaling.behavior.idleSeconds: 0 is out of range; write a whole number from 1 to 604800",
        ),
        (
            ("/spec/scaling/behavior/onUnknownLag", json!("hold")),
            r#"spec.scaling.behavior.onUnknownLag: "hold" is not a group of fields; write fields below it, indented"#,
        ),
        (
            ("/spec/scaling/behavior/onUnknownLag", json!({"replicas": 0})),
            "spec.scaling.behavior.onUnknownLag.replicas: 0 is out of range; write a whole number from 1 to 10000",
        ),
        (
            ("/spec/scaling/paused", json!(true)),
            "spec.scaling.paused: true is not known; use none, in, out or both",
        ),
        (("/spec/suspend", json!("yes")), r#"spec.suspend: "yes" is not true or false; write true or false"#),
        (
            ("/spec/security", json!({})),
            "spec.security: is not a known field; remove it, or use achievements, batch, deadLetters, scaling, source, store, suspend, unlocks or worker",
        ),
    ];

    let answers: Vec<_> =
        cases.iter().map(|(change, _)| file_says(&pipeline(std::slice::from_ref(change)))).collect();

    let expected: Vec<_> = cases.iter().map(|(_, message)| vec![(*message).to_owned()]).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_file_must_hold_one_pipeline_and_may_hold_other_objects() {
    let one = include_str!("../../../examples/pipeline.yaml");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n";
    let cases = [
        (format!("{namespace}---\n{one}"), "accepted"),
        (namespace.to_owned(), "found 0 objects of kind AchievementPipeline in the file; keep exactly one"),
        (
            format!("{one}---\n{one}"),
            "found 2 objects of kind AchievementPipeline in the file; keep exactly one",
        ),
        (
            "a: [".to_owned(),
            "the file is not valid YAML: did not find expected node content at line 2 column 1, while parsing a flow node; correct the line it names",
        ),
        (
            "a: 1\na: 2\n".to_owned(),
            "the file is not valid YAML: duplicate entry with key \"a\"; correct the line it names",
        ),
    ];

    let answers: Vec<_> =
        cases.iter().map(|(text, _)| read(text).err().unwrap_or_else(|| "accepted".to_owned())).collect();

    assert_eq!(answers, cases.map(|(_, expected)| expected));
}
