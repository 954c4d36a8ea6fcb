//! Rules between fields, and fields that cannot change: files and the CRD's rules say the same.

use serde_json::{Value, json};

use crate::crd::schema;
use crate::object::{Change, file_says, pipeline, rules_say};

#[test]
fn relations_are_refused_by_file_and_by_rules_with_the_same_words() {
    let cases: Vec<(Vec<Change>, &str)> = vec![
        (
            vec![("/spec/source/topic", json!(".."))],
            "spec.source.topic: Kafka has no topic named . or ..; give the topic another name",
        ),
        (
            vec![("/spec/deadLetters/topic", json!("reports"))],
            "spec: deadLetters.topic is the source topic, so bad records would come back for ever; give another topic",
        ),
        (
            vec![("/spec/source/topic", json!("t".repeat(237)))],
            "spec: the source topic's name is too long to add .dead-letters to it (249 letters at most); set deadLetters.topic",
        ),
        (
            vec![
                ("/spec/source/groupProtocol", json!("consumer")),
                ("/spec/source/properties", json!({"session.timeout.ms": 10000})),
            ],
            "spec.source: with groupProtocol consumer the broker sets session and heartbeat; remove session.timeout.ms and heartbeat.interval.ms from properties",
        ),
        (
            vec![("/spec/achievements/types", json!([{"type": 1, "policy": "max", "tiers": [1]}]))],
            "spec: a type has tiers, but unlocks.topic says nowhere to announce them; set it or remove the tiers",
        ),
        (
            vec![("/spec/unlocks/topic", json!("reports"))],
            "spec: unlocks.topic is the source topic or that of dead letters; give unlocks a topic of their own",
        ),
        (
            vec![("/spec/unlocks/topic", json!("reports.dead-letters"))],
            "spec: unlocks.topic is the source topic or that of dead letters; give unlocks a topic of their own",
        ),
        (
            vec![
                ("/spec/unlocks/topic", json!("unlocks")),
                ("/spec/achievements/types", json!([{"type": 1, "policy": "bitOr", "tiers": [1]}])),
            ],
            "spec.achievements.types[0]: tiers need an order, and the values of bitOr have none; remove tiers or take another policy",
        ),
        (
            vec![
                ("/spec/unlocks/topic", json!("unlocks")),
                ("/spec/achievements/types", json!([{"type": 1, "policy": "sum", "tiers": [2, 1]}])),
            ],
            "spec.achievements.types[0]: tiers must ascend, and descend with min; sort them, each once",
        ),
        (
            vec![
                ("/spec/unlocks/topic", json!("unlocks")),
                ("/spec/achievements/types", json!([{"type": 1, "policy": "min", "tiers": [1, 2]}])),
            ],
            "spec.achievements.types[0]: tiers must ascend, and descend with min; sort them, each once",
        ),
        (
            vec![("/spec/scaling", json!({"minReplicas": 2, "maxReplicas": 1}))],
            "spec.scaling: maxReplicas is below minReplicas; raise maxReplicas or lower minReplicas",
        ),
        (
            vec![("/spec/source/properties", json!({"heartbeat.interval.ms": 4000}))],
            "spec.source.properties: session.timeout.ms (default 10000) is less than three times heartbeat.interval.ms (default 500); raise the first or lower the second",
        ),
        (
            vec![(
                "/spec/source/properties",
                json!({"session.timeout.ms": 30000, "max.poll.interval.ms": 20000}),
            )],
            "spec.source.properties: max.poll.interval.ms is below session.timeout.ms (default 10000); raise the first or lower the second",
        ),
    ];

    let answers: Vec<_> = cases
        .iter()
        .map(|(changes, _)| pipeline(changes))
        .map(|object| (file_says(&object), rules_say(&object, None)))
        .collect();

    let expected: Vec<_> =
        cases.iter().map(|(_, message)| (vec![(*message).to_owned()], vec![(*message).to_owned()])).collect();
    assert_eq!(answers, expected);
}

#[test]
fn what_stored_records_depend_on_cannot_change() {
    let group_message = "spec.source: consumerGroup cannot be set, changed or removed later: it holds the position in the topic; create a new pipeline instead";
    let frozen = |path: &str| {
        vec![format!(
            "{path}: cannot be changed: what is already stored depends on it; create a new pipeline instead"
        )]
    };
    let with_group = [("/spec/source/consumerGroup", json!("one"))];
    let cases: Vec<(&[Change], Change, Vec<String>)> = vec![
        (&[], ("/spec/source/topic", json!("other")), frozen("spec.source.topic")),
        (&[], ("/spec/store/keyPrefix", json!("other:")), frozen("spec.store.keyPrefix")),
        (&[], ("/spec/store/buckets", json!(241)), frozen("spec.store.buckets")),
        (&[], ("/spec/source/consumerGroup", json!("one")), vec![group_message.to_owned()]),
        (&with_group, ("/spec/source/consumerGroup", json!("two")), vec![group_message.to_owned()]),
        (&with_group, ("/spec/source/consumerGroup", Value::Null), vec![group_message.to_owned()]),
        (&[], ("/spec/source/bootstrapServers", json!("new:9092")), vec![]),
        (&[], ("/spec/store/addresses", json!(["new:6379"])), vec![]),
        (&[], ("/spec/scaling/maxReplicas", json!(4)), vec![]),
        (&[], ("/spec/scaling/replicas", json!(4)), vec![]),
    ];

    let answers: Vec<_> = cases
        .iter()
        .map(|(before, change, _)| {
            let after: Vec<Change> = before.iter().cloned().chain([change.clone()]).collect();
            rules_say(&pipeline(&after), Some(&pipeline(before)))
        })
        .collect();

    let expected: Vec<_> = cases.into_iter().map(|(_, _, messages)| messages).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_type_listed_twice_is_refused() {
    let twice =
        json!([{"type": 5, "policy": "max"}, {"type": 6, "policy": "max"}, {"type": 5, "policy": "sum"}]);

    let answer = file_says(&pipeline(&[("/spec/achievements/types", twice)]));

    // The API server refuses the same through the list's map key, without a rule.
    let types = &schema()["properties"]["spec"]["properties"]["achievements"]["properties"]["types"];
    assert_eq!(
        (answer, &types["x-kubernetes-list-type"], &types["x-kubernetes-list-map-keys"]),
        (
            vec!["spec.achievements.types[2].type: 5 is listed twice; keep one of the two".to_owned()],
            &json!("map"),
            &json!(["type"])
        )
    );
}
