//! The files of the chart that are made from others: the CRD, the operator's rights, the values' schema, the README's table.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use plaudit::rbac;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::documented::{self, Documented};
use super::{folder, values::Values};

/// The name that stands for the lease's in the rules, until the chart puts its own there.
const LEASE: &str = "LEASE";
const CRD_HEAD: &str = "metadata:\n  name: achievementpipelines.plaudit.dev\n";
/// Helm gives a chart that others depend on these two.
const OF_PARENTS: [(&str, &str); 2] = [
    ("global", "Values that a chart shares with those it depends on; this one reads none."),
    ("enabled", "For charts that depend on this one on a condition; this one does not read it."),
];

/// Path below the chart's folder and content of each generated file.
///
/// # Errors
/// A source that is not as expected; the message names it.
pub fn files() -> Result<Vec<(&'static str, String)>> {
    let read = |name: &str| {
        std::fs::read_to_string(folder().join(name)).with_context(|| format!("could not read {name}"))
    };
    let documented = documented::read(&read("values.yaml")?)?;
    let alerts = alerts(&read("files/alerts.yaml")?)?;
    Ok(vec![
        ("templates/crd.yaml", crd()?),
        ("templates/_rules.tpl", rules()),
        ("values.schema.json", schema(&documented, &alerts)?),
        ("README.md", readme(&read("README.md")?, &documented)?),
    ])
}

/// The names of all alerts of a rules file.
pub fn alerts(text: &str) -> Result<BTreeSet<String>> {
    let file: Value = serde_yaml::from_str(text).context("the alerts are not YAML")?;
    let groups = file["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    Ok(rules.filter_map(|rule| rule["alert"].as_str()).map(str::to_owned).collect())
}

fn crd() -> Result<String> {
    let crd = plaudit_crds::crd_yaml();
    ensure!(!crd.contains("{{"), "the CRD has text that Helm would take for its own");
    let (before, after) = crd.split_once(CRD_HEAD).context("the CRD's metadata is more than its name")?;
    Ok(format!(
        "{{{{- /* Generated from crds/ by `make generate`. */ -}}}}\n\
         {{{{- if .Values.crds.install -}}}}\n\
         {before}{CRD_HEAD}  \
           labels:\n    {{{{- include \"plaudit.labels\" . | nindent 4 }}}}\n  \
           annotations:\n    # Every pipeline would go with it.\n    helm.sh/resource-policy: keep\n\
         {}\n{{{{- end }}}}\n",
        after.trim_end()
    ))
}

fn rules() -> String {
    let define = |name: &str, rules: &[rbac::Rule]| {
        let rules = rbac::rules_yaml(rules).replace(LEASE, "{{ include \"plaudit.leaseName\" . }}");
        format!("{{{{- define \"plaudit.rules.{name}\" -}}}}\n{}\n{{{{- end -}}}}\n", rules.trim_end())
    };
    format!(
        "{{{{- /* Generated from operator/src/rbac.rs by `make generate`: the operator's rights, each below its reason. */ -}}}}\n{}{}",
        define("pipelines", &rbac::pipeline_rules()),
        define("lease", &rbac::lease_rules(LEASE))
    )
}

fn schema(documented: &[Documented], alerts: &BTreeSet<String>) -> Result<String> {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = serde_json::to_value(generator.into_root_schema_for::<Values>())?;
    for definition in schema["definitions"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        close(definition);
    }
    schema["title"] = "Values of the chart plaudit".into();
    schema["properties"]["prometheusRule"]["properties"]["disabled"]["items"]["enum"] = json!(alerts);
    for value in documented {
        let pointer = format!("/properties/{}", value.path.replace('.', "/properties/"));
        let property = schema.pointer_mut(&pointer);
        let property =
            property.with_context(|| format!("{} is not in tests/src/chart/values.rs", value.path))?;
        // Beside a reference nothing counts in this draft.
        if let Some(reference) = property.as_object_mut().and_then(|property| property.remove("$ref")) {
            property["allOf"] = json!([{"$ref": reference}]);
        }
        property["description"] = value.text.as_str().into();
    }
    let silent = undescribed(&schema["properties"], "");
    ensure!(silent.is_empty(), "values.yaml says nothing above {silent:?}");
    for (name, meaning) in OF_PARENTS {
        schema["properties"][name] = json!({"description": meaning});
    }
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// A schema of Kubernetes' own, without its prose, and refusing what it does not know.
fn close(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    if object.get("description").is_some_and(Value::is_string) {
        object.remove("description");
    }
    if object.contains_key("properties") {
        object.insert("additionalProperties".to_owned(), false.into());
    }
    for key in ["properties", "definitions"] {
        object
            .get_mut(key)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
            .for_each(|(_, part)| close(part));
    }
    for key in ["items", "additionalProperties"] {
        object.get_mut(key).into_iter().for_each(close);
    }
    object.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten().for_each(close);
}

/// The values without a description, of those that have no values of ours below.
fn undescribed(properties: &Value, above: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, property) in properties.as_object().into_iter().flatten() {
        let path = format!("{above}{name}");
        if property["properties"].is_object() {
            found.extend(undescribed(&property["properties"], &format!("{path}.")));
        } else if property["description"].is_null() {
            found.push(path);
        }
    }
    found
}

fn readme(text: &str, documented: &[Documented]) -> Result<String> {
    const HEAD: &str = "| value | default | meaning |\n|---|---|---|\n";
    let (before, _) = text.split_once(HEAD).context("charts/plaudit/README.md has no table of values")?;
    let cell = |text: &str| text.replace('|', "\\|");
    let row = |value: &Documented| {
        let default = value.default.as_ref().map(|default| format!("`{default}`")).unwrap_or_default();
        format!("| `{}` | {} | {} |\n", value.path, cell(&default), cell(&value.text))
    };
    Ok(format!("{before}{HEAD}{}", documented.iter().map(row).collect::<String>()))
}
