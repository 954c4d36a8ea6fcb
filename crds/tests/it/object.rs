//! The minimal pipeline with changes, and what its two readers say to it.

use kube_cel::Validator;
use plaudit_crds::AchievementPipeline;
use serde_json::{Value, json};

use crate::crd::schema;

/// A change to the minimal pipeline: a JSON pointer and the value it gets; null removes the field.
pub(crate) type Change = (&'static str, Value);

pub(crate) fn pipeline(changes: &[Change]) -> Value {
    let mut object = json!({
        "apiVersion": "plaudit.dev/v1alpha1",
        "kind": "AchievementPipeline",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"source": {"bootstrapServers": "k:9092", "topic": "reports"}, "store": {"addresses": ["v:6379"]}},
    });
    for (pointer, value) in changes {
        set(&mut object, pointer, value);
    }
    object
}

fn set(object: &mut Value, pointer: &str, value: &Value) {
    let mut place = object;
    let mut parts = pointer.trim_start_matches('/').split('/').peekable();
    while let Some(part) = parts.next() {
        let fields = place.as_object_mut().expect("the pointer goes through objects");
        if parts.peek().is_none() && value.is_null() {
            fields.remove(part);
            return;
        }
        place = fields.entry(part).or_insert_with(|| json!({}));
    }
    *place = value.clone();
}

/// What the reader of files says, line by line.
pub(crate) fn file_says(object: &Value) -> Vec<String> {
    let text = serde_yaml::to_string(object).expect("an object is YAML");
    match read(&text) {
        Ok(()) => Vec::new(),
        Err(message) => message
            .lines()
            .map(|line| line.rsplit_once(" is refused: ").map_or(line, |(_, refusal)| refusal).to_owned())
            .collect(),
    }
}

pub(crate) fn read(text: &str) -> Result<(), String> {
    match AchievementPipeline::from_yaml(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            Err(std::iter::once(error.to_string())
                .chain(causes.map(ToString::to_string))
                .collect::<Vec<_>>()
                .join(": "))
        }
    }
}

/// What the CRD's rules say to an object on creation, or on an update of `old`.
pub(crate) fn rules_say(object: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema();
    let old = old.map(|old| kube_cel::apply_defaults(&schema, old));
    match Validator::new().validate_with_defaults(&schema, object, old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => {
            errors.iter().map(|error| format!("{}: {}", error.field_path, error.message)).collect()
        }
    }
}
