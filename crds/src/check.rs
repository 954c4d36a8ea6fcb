//! A value held against its structural schema: every field that is missing, unknown, of the wrong type or out of bounds.
//!
//! The API server does this for objects that are applied; a file has nobody else. The schema is the one generated from the Rust
//! types, so a bound is written once.

mod words;

use std::fmt;
use std::fmt::Write as _;
use std::sync::LazyLock;

use kube::core::schema::{OptionalEnum, StructuralSchemaRewriter};
use regex::Regex;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::AddNullable;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::forms::{self, FORMS};
use words::{join, kind_name, one_of, range_of, shown, unknown_field};

const IN_A_SECRET: &str = "is not written here but in a Secret; put it into one and write {secretName: ITS-NAME}, and key if it has another name there";
const IN_AN_ADDRESS: &str = "has an '@', as if with user or password; they belong in a Secret that security names: write the address alone";

/// Violations that are told at a time: whoever has more begins with these.
pub const MAX_VIOLATIONS: usize = 32;
/// Longest path, in letters.
const LONGEST_PATH: usize = 256;
/// Longest message, in letters: it may quote the object.
const LONGEST_MESSAGE: usize = 512;

/// One wrong field.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Where it is, as in `spec.achievements.types[1].type`.
    pub path: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// What is wrong with one object, in the order of its fields: all of it, or [`MAX_VIOLATIONS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Violations(Vec<Violation>);

/// Reads a value that fits `schema`, or says everything that does not.
pub(crate) fn read<T: DeserializeOwned>(value: &Value, schema: &Value) -> Result<T, Violations> {
    let given = without_nulls(value, schema);
    let found = violations(&given, schema, "");
    if !found.is_empty() {
        return Err(found);
    }
    // Only a gap between schema and type comes here, for instance an integer that does not fit.
    serde_json::from_value(given)
        .map_err(|error| vec![Violation::new("", format!("{error}; correct the field"))].into())
}

/// Everything in a value that does not fit `schema`; paths begin with `path`.
pub(crate) fn violations(value: &Value, schema: &Value, path: &str) -> Violations {
    let mut found = Vec::new();
    check(value, schema, path, &mut found);
    found.into()
}

/// The structural schema of a type, as the CRD generator makes it.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(AddNullable::default())
        .with_transform(StructuralSchemaRewriter)
        .with_transform(OptionalEnum)
        .into_generator();
    serde_json::to_value(generator.into_root_schema_for::<T>()).expect("a schema is JSON")
}

fn check(value: &Value, schema: &Value, path: &str, found: &mut Vec<Violation>) {
    if found.len() > MAX_VIOLATIONS {
        return;
    }
    if let Some(allowed) = schema["enum"].as_array() {
        if !allowed.contains(value) {
            let names: Vec<String> = allowed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            found
                .push(Violation::new(path, format!("{} is not known; use {}", shown(value), one_of(&names))));
        }
        return;
    }
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(fields)) => check_object(fields, schema, path, found),
        (Some("array"), Value::Array(items)) => check_array(items, schema, path, found),
        (Some("integer"), Value::Number(number)) if number.is_i64() || number.is_u64() => {
            check_integer(value, schema, path, found);
        }
        (Some("string"), Value::String(text)) => check_string(text, schema, path, found),
        (Some("boolean"), Value::Bool(_)) | (None, _) => {}
        // Its value is not repeated: most likely it is what nobody should see.
        (Some("object"), _) if !schema["properties"]["secretName"].is_null() => {
            found.push(Violation::new(path, IN_A_SECRET));
        }
        (Some(expected), _) => {
            let advice = match expected {
                "object" => "write fields below it, indented".to_owned(),
                "array" => "write a list".to_owned(),
                "integer" => format!("write a whole number {}", range_of(schema)),
                "boolean" => "write true or false".to_owned(),
                _ => "write a text, in quotes if it looks like a number".to_owned(),
            };
            found.push(Violation::new(
                path,
                format!("{} is not {}; {advice}", shown(value), kind_name(expected)),
            ));
        }
    }
}

fn check_object(fields: &Map<String, Value>, schema: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            let meaning = properties[name]["description"].as_str().unwrap_or_default();
            let meaning = meaning.split(['.', '\n']).next().unwrap_or_default();
            found.push(Violation::new(join(path, name), format!("is missing; add it ({meaning})")));
        }
    }
    for (name, value) in fields {
        if found.len() > MAX_VIOLATIONS {
            return;
        }
        match properties.get(name) {
            Some(schema) => check(value, schema, &join(path, name), found),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => found.push(Violation::new(join(path, name), unknown_field(name, properties))),
        }
    }
}

fn check_array(items: &[Value], schema: &Value, path: &str, found: &mut Vec<Violation>) {
    let count = items.len() as u64;
    let (least, most) =
        (schema["minItems"].as_u64().unwrap_or(0), schema["maxItems"].as_u64().unwrap_or(u64::MAX));
    if count < least || count > most {
        let advice = if least == most { format!("exactly {most}") } else { format!("{least} to {most}") };
        found.push(Violation::new(path, format!("{count} entries; write {advice}")));
    }
    for (index, item) in items.iter().enumerate() {
        check(item, &schema["items"], &format!("{path}[{index}]"), found);
    }
}

fn check_integer(value: &Value, schema: &Value, path: &str, found: &mut Vec<Violation>) {
    // Bounds are far inside the range in which f64 holds every integer.
    let number = value.as_f64().unwrap_or(f64::NAN);
    let below = schema["minimum"].as_f64().is_some_and(|least| number < least);
    let above = schema["maximum"].as_f64().is_some_and(|most| number > most);
    if below || above {
        found.push(Violation::new(
            path,
            format!("{value} is out of range; write a whole number {}", range_of(schema)),
        ));
    }
}

fn check_string(text: &str, schema: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(pattern) = schema["pattern"].as_str() else { return };
    if text.contains('@') && [forms::SERVERS, forms::ADDRESS, forms::HTTPS].contains(&pattern) {
        found.push(Violation::new(path, IN_AN_ADDRESS));
        return;
    }
    let length = text.chars().count() as u64;
    let too_long = schema["maxLength"].as_u64().is_some_and(|most| length > most);
    let matches = matches(pattern, text);
    if too_long || !matches {
        let advice = FORMS.iter().find(|form| form.pattern == pattern).map_or(pattern, |form| form.advice);
        let cause = if too_long && matches { "is too long" } else { "does not fit" };
        found.push(Violation::new(path, format!("{} {cause}; {advice}", shown(&Value::from(text)))));
    }
}

/// Our own patterns are compiled once: that takes longer than all the rest, and the operator checks a pipeline at each look.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        let compiled = FORMS.iter().map(|form| Some((form.pattern, Regex::new(form.pattern).ok()?)));
        compiled.flatten().collect()
    });
    match COMPILED.iter().find(|(known, _)| *known == pattern) {
        Some((_, known)) => known.is_match(text),
        None => Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text)),
    }
}

/// A null stands for a field that is not given, as for the API server.
fn without_nulls(value: &Value, schema: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            let cleaned =
                kept.map(|(name, value)| (name.clone(), without_nulls(value, &schema["properties"][name])));
            Value::Object(cleaned.collect())
        }
        Value::Array(items) => items.iter().map(|item| without_nulls(item, &schema["items"])).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn shorten(text: &mut String, longest: usize) {
    if let Some((end, _)) = text.char_indices().nth(longest) {
        text.truncate(end);
        text.push('…');
    }
}

impl Violation {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.path, self.message)
        }
    }
}

impl Violations {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    /// True when nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Violation>> for Violations {
    fn from(mut violations: Vec<Violation>) -> Self {
        let more = violations.len() > MAX_VIOLATIONS;
        violations.truncate(MAX_VIOLATIONS);
        for Violation { path, message } in &mut violations {
            shorten(path, LONGEST_PATH);
            shorten(message, LONGEST_MESSAGE);
        }
        if more {
            violations.push(Violation::new("", "there is more; correct these first"));
        }
        Self(violations)
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for violation in &self.0 {
            writeln!(text, "{violation}")?;
        }
        formatter.write_str(text.trim_end())
    }
}

impl std::error::Error for Violations {}
