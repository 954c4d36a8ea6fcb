//! The generated CRD: the committed file is current, every text, list and number is bounded, and every rule compiles.

use std::path::Path;

use kube::CustomResourceExt;
use plaudit_crds::{AchievementPipeline, crd_yaml};
use serde_json::{Value, json};

const FREE_FORMS: [&str; 2] = ["spec.worker.resources", "spec.worker.template"];

/// The schema of the object, as the API server gets it.
pub(crate) fn schema() -> Value {
    let crd = serde_json::to_value(AchievementPipeline::crd()).expect("a CRD is JSON");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_committed_crd_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plaudit.dev_achievementpipelines.yaml");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, crd_yaml()).expect("the CRD can be written");
    }

    let committed = std::fs::read_to_string(&path).expect("the CRD is committed");

    assert!(
        committed == crd_yaml(),
        "{} is out of date; run UPDATE_GENERATED=1 cargo test -p plaudit-crds",
        path.display()
    );
}

#[test]
fn everything_a_user_writes_is_bounded() {
    let mut unbounded = Vec::new();

    collect_unbounded(&schema()["properties"]["spec"], "spec", &mut unbounded);

    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn every_rule_compiles() {
    let schema = schema();
    let mut rules = Vec::new();

    collect_rules(&schema, &mut rules);
    let failures: Vec<String> = rules
        .iter()
        .flat_map(|schema| {
            let compiled = kube_cel::compile_schema(schema);
            compiled.compilation_errors().iter().map(ToString::to_string).collect::<Vec<_>>()
        })
        .collect();

    assert_eq!((failures, rules.len()), (Vec::new(), 11));
}

#[test]
fn the_scale_subresource_writes_the_fixed_number_and_reads_the_status() {
    let crd = serde_json::to_value(AchievementPipeline::crd()).expect("a CRD is JSON");

    assert_eq!(
        crd["spec"]["versions"][0]["subresources"]["scale"],
        json!({
            "specReplicasPath": ".spec.scaling.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        })
    );
}

fn collect_unbounded(schema: &Value, path: &str, unbounded: &mut Vec<String>) {
    let bounded = match schema["type"].as_str() {
        Some("string") => {
            schema["enum"].is_array() || (schema["maxLength"].is_u64() && schema["pattern"].is_string())
        }
        Some("integer") => schema["minimum"].is_number() && schema["maximum"].is_number(),
        Some("array") => schema["maxItems"].is_u64(),
        // Kubernetes' own forms: the operator reads them into Kubernetes' own types.
        Some("object") if FREE_FORMS.contains(&path) => true,
        Some("object") => schema["properties"].is_object() && schema["additionalProperties"].is_null(),
        Some("boolean") => true,
        _ => false,
    };
    if !bounded {
        unbounded.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect_unbounded(property, &format!("{path}.{name}"), unbounded);
    }
    if schema["items"].is_object() {
        collect_unbounded(&schema["items"], &format!("{path}[]"), unbounded);
    }
}

fn collect_rules<'a>(schema: &'a Value, found: &mut Vec<&'a Value>) {
    if schema["x-kubernetes-validations"].is_array() {
        found.push(schema);
    }
    for property in schema["properties"].as_object().into_iter().flatten().map(|(_, property)| property) {
        collect_rules(property, found);
    }
    if schema["items"].is_object() {
        collect_rules(&schema["items"], found);
    }
}
