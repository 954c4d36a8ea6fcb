//! A pipeline read from a file, the way `kubectl apply` would take it.

use std::sync::LazyLock;

use kube::{CustomResourceExt, Resource};
use serde_json::{Value, json};

use crate::check::{self, Violations};
use crate::forms;
use crate::relations;
use crate::resource::{AchievementPipeline, AchievementPipelineSpec};
use crate::yaml::{self, YamlError};

/// Why a pipeline file was refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The text is not YAML.
    #[error("the file is not valid YAML")]
    Syntax(#[from] YamlError),
    /// The file has no pipeline, or several.
    #[error("found {found} objects of kind AchievementPipeline in the file; keep exactly one")]
    Pipelines {
        /// How many there are.
        found: usize,
    },
    /// The API server would refuse the object.
    #[error("AchievementPipeline {object} is refused")]
    Refused {
        /// Its name, or "without a name".
        object: String,
        /// Every wrong field.
        #[source]
        violations: Violations,
    },
}

impl AchievementPipeline {
    /// Reads the one pipeline of a file; objects of other kinds beside it are left alone.
    ///
    /// # Errors
    /// Everything the API server would refuse, and unknown fields, which it would only drop.
    pub fn from_yaml(text: &str) -> Result<Self, FileError> {
        let kind = Self::kind(&());
        let mut pipelines: Vec<Value> =
            yaml::documents(text)?.into_iter().filter(|document| document["kind"] == kind.as_ref()).collect();
        match (pipelines.pop(), pipelines.len()) {
            (Some(pipeline), 0) => Self::from_value(&pipeline),
            (last, others) => Err(FileError::Pipelines { found: others + usize::from(last.is_some()) }),
        }
    }

    fn from_value(value: &Value) -> Result<Self, FileError> {
        let mut value = value.clone();
        // `kubectl get -o yaml` prints it; a file does not set it.
        value.as_object_mut().map(|fields| fields.remove("status"));
        let refused = |violations| FileError::Refused {
            object: value["metadata"]["name"].as_str().unwrap_or("without a name").to_owned(),
            violations,
        };
        let pipeline: Self = check::read(&value, file_schema()).map_err(refused)?;
        let broken = relations::of_pipeline(&pipeline.spec);
        if broken.is_empty() { Ok(pipeline) } else { Err(refused(broken)) }
    }

    /// Every bound and relation this object breaks. The API server has refused such an object, if its CRD is of this version.
    #[must_use]
    pub fn check(&self) -> Violations {
        let schema = &file_schema()["properties"];
        let mut names = serde_json::Map::new();
        for (field, name) in [("name", &self.metadata.name), ("namespace", &self.metadata.namespace)] {
            names.extend(name.as_ref().map(|name| (field.to_owned(), Value::from(name.as_str()))));
        }
        let names = check::violations(&Value::Object(names), &schema["metadata"], "metadata");
        if !names.is_empty() {
            return names;
        }
        let spec = serde_json::to_value(&self.spec).expect("a spec has text keys only");
        let fields = check::violations(&spec, &schema["spec"], "spec");
        if fields.is_empty() { relations::of_pipeline(&self.spec) } else { fields }
    }
}

/// The spec's own schema, and of the rest what a file must say.
fn file_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let (version, kind) = (AchievementPipeline::api_version(&()), AchievementPipeline::kind(&()));
        let label = json!({"type": "string", "maxLength": 63, "pattern": forms::LABEL});
        json!({
            "type": "object",
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": {"enum": [version], "description": version},
                "kind": {"enum": [kind]},
                "metadata": {
                    "type": "object",
                    "description": "name and namespace of the pipeline",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "maxLength": 253, "pattern": forms::NAME, "description": "the pipeline's name"},
                        "namespace": label,
                    },
                    "x-kubernetes-preserve-unknown-fields": true,
                },
                "spec": check::schema_of::<AchievementPipelineSpec>(),
            },
        })
    });
    &SCHEMA
}

/// The generated CustomResourceDefinition, as YAML with its bounds and CEL rules.
#[must_use]
pub fn crd_yaml() -> String {
    serde_yaml::to_string(&AchievementPipeline::crd()).expect("a CRD holds nothing that YAML cannot express")
}
