//! What a pipeline says about its workers' pods, read into Kubernetes' own types.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use plaudit_crds::{Violation, WorkerPods};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Labels and annotations of these prefixes are the operator's and Kubernetes' own.
const RESERVED: [&str; 3] = ["plaudit.dev/", "app.kubernetes.io/", "controller.kubernetes.io/"];

/// The pods' settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSettings {
    /// Requests and limits as given.
    pub resources: ResourceRequirements,
    /// Added to the pods' labels.
    pub labels: BTreeMap<String, String>,
    /// Added to the pods' annotations.
    pub annotations: BTreeMap<String, String>,
    /// Where pods run, and with what.
    pub spec: PodOverrides,
}

/// The fields of a pod's spec that a pipeline may set. What gives a pod more rights than a worker needs (service accounts, host
/// namespaces, volumes, commands) is not among them: whoever may write a pipeline must not get a pod of their own by it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodOverrides {
    /// Rules for choosing nodes.
    pub affinity: Option<Affinity>,
    /// Secrets for the registry of the image.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// The pods' priority class.
    pub priority_class_name: Option<String>,
    /// The container runtime's class.
    pub runtime_class_name: Option<String>,
    /// Another scheduler.
    pub scheduler_name: Option<String>,
    /// Seconds from the request to stop until the pod is killed.
    pub termination_grace_period_seconds: Option<i64>,
    /// Taints the pods tolerate.
    pub tolerations: Vec<Toleration>,
    /// How the pods are spread; without it over nodes, where possible.
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Template {
    metadata: Metadata,
    spec: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Metadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Resources {
    requests: BTreeMap<String, Value>,
    limits: BTreeMap<String, Value>,
}

/// Reads `spec.worker`; `least_grace` is what a worker needs to drain, in seconds.
///
/// # Errors
/// Every field that is unknown, has the wrong form, or belongs to the operator.
pub fn parse(given: &WorkerPods, least_grace: i64) -> Result<PodSettings, Vec<Violation>> {
    let mut wrong = Vec::new();
    let resources = resources(&given.resources, &mut wrong);
    let template: Template = read("spec.worker.template", &given.template, &mut wrong);
    let spec: PodOverrides = read("spec.worker.template.spec", &template.spec, &mut wrong);
    let Metadata { labels, annotations } = template.metadata;
    for (field, names) in [("labels", labels.keys()), ("annotations", annotations.keys())] {
        for name in names.filter(|name| RESERVED.iter().any(|prefix| name.starts_with(prefix))) {
            wrong.push(Violation {
                path: format!("spec.worker.template.metadata.{field}"),
                message: format!("{name} is set by Plaudit or Kubernetes; take another name"),
            });
        }
    }
    if let Some(seconds) = spec.termination_grace_period_seconds.filter(|seconds| *seconds < least_grace) {
        wrong.push(Violation {
            path: "spec.worker.template.spec.terminationGracePeriodSeconds".to_owned(),
            message: format!(
                "{seconds} is too short for a worker to finish its batches; write at least {least_grace}"
            ),
        });
    }
    if wrong.is_empty() { Ok(PodSettings { resources, labels, annotations, spec }) } else { Err(wrong) }
}

fn resources(given: &Map<String, Value>, wrong: &mut Vec<Violation>) -> ResourceRequirements {
    let Resources { requests, limits } = read("spec.worker.resources", given, wrong);
    let mut quantities = |field: &str, given: BTreeMap<String, Value>| {
        let mut found = BTreeMap::new();
        for (name, value) in given {
            match quantity(&value) {
                Some(quantity) => drop(found.insert(name, quantity)),
                None => wrong.push(Violation {
                    path: format!("spec.worker.resources.{field}.{name}"),
                    message: format!("{value} is not a quantity; write one like 500m, 2 or 128Mi"),
                }),
            }
        }
        (!found.is_empty()).then_some(found)
    };
    let (requests, limits) = (quantities("requests", requests), quantities("limits", limits));
    ResourceRequirements { requests, limits, ..ResourceRequirements::default() }
}

/// As Kubernetes reads it: digits, at most one point, a suffix; a plain number is one too.
fn quantity(value: &Value) -> Option<Quantity> {
    const SUFFIXES: [&str; 14] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let is_number = number.bytes().any(|letter| letter.is_ascii_digit())
        && number.bytes().filter(|letter| *letter == b'.').count() <= 1;
    (is_number && SUFFIXES.contains(&suffix)).then_some(Quantity(text))
}

fn read<T: DeserializeOwned + Default>(
    path: &str,
    given: &Map<String, Value>,
    wrong: &mut Vec<Violation>,
) -> T {
    serde_json::from_value(Value::Object(given.clone())).unwrap_or_else(|error| {
        wrong.push(Violation {
            path: path.to_owned(),
            message: format!("{error}; correct or remove the field"),
        });
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods(resources: &Value, template: &Value) -> WorkerPods {
        serde_json::from_value(json!({"resources": resources, "template": template})).expect("an object")
    }

    #[test]
    fn kubernetes_own_forms_are_read() {
        let given = pods(
            &json!({"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"memory": "1.5Gi"}}),
            &json!({
                "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
                "spec": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "games", "operator": "Exists"}]},
            }),
        );

        let settings = parse(&given, 20).expect("all of it is good");

        let quantities = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned())))
                    .collect(),
            )
        };
        assert_eq!(
            settings,
            PodSettings {
                resources: ResourceRequirements {
                    requests: quantities(&[("cpu", "1"), ("memory", "64Mi")]),
                    limits: quantities(&[("memory", "1.5Gi")]),
                    ..ResourceRequirements::default()
                },
                labels: [("team".to_owned(), "a".to_owned())].into(),
                annotations: [("note".to_owned(), "b".to_owned())].into(),
                spec: PodOverrides {
                    node_selector: [("disk".to_owned(), "ssd".to_owned())].into(),
                    tolerations: vec![Toleration {
                        key: Some("games".to_owned()),
                        operator: Some("Exists".to_owned()),
                        ..Toleration::default()
                    }],
                    ..PodOverrides::default()
                },
            }
        );
    }

    #[test]
    fn what_is_unknown_wrong_or_reserved_is_named_with_its_field() {
        let given = pods(
            &json!({"limits": {"memory": "lots"}, "requests": {"cpu": true}}),
            &json!({
                "metadata": {"labels": {"plaudit.dev/pipeline": "x"}},
                "spec": {"hostNetwork": true},
            }),
        );
        let short = pods(&json!({}), &json!({"spec": {"terminationGracePeriodSeconds": 3}}));

        let told: Vec<String> = [given, short]
            .iter()
            .flat_map(|given| parse(given, 20).expect_err("it is wrong"))
            .map(|violation| violation.to_string())
            .collect();

        assert_eq!(
            told,
            [
                "spec.worker.resources.requests.cpu: true is not a quantity; write one like 500m, 2 or 128Mi",
                "spec.worker.resources.limits.memory: \"lots\" is not a quantity; write one like 500m, 2 or 128Mi",
                "spec.worker.template.spec: unknown field `hostNetwork`, expected one of `affinity`, `imagePullSecrets`, \
                 `nodeSelector`, `priorityClassName`, `runtimeClassName`, `schedulerName`, `terminationGracePeriodSeconds`, \
                 `tolerations`, `topologySpreadConstraints`; correct or remove the field",
                "spec.worker.template.metadata.labels: plaudit.dev/pipeline is set by Plaudit or Kubernetes; take another name",
                "spec.worker.template.spec.terminationGracePeriodSeconds: 3 is too short for a worker to finish its batches; \
                 write at least 20",
            ]
        );
    }
}
