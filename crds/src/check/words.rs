//! How a check names fields, values and what to write instead.

use serde_json::{Map, Value};

pub(super) fn unknown_field(name: &str, properties: &Map<String, Value>) -> String {
    if ["ssl.", "sasl.", "security.", "password"].iter().any(|part| name.contains(part)) {
        return "is not a known field; TLS, SASL and passwords have fields of their own: source.security and store.security".to_owned();
    }
    let names: Vec<String> = properties.keys().cloned().collect();
    let plain = |text: &str| text.replace(['_', '-', '.'], "").to_lowercase();
    let meant = names.iter().find(|known| {
        let (known, name) = (plain(known), plain(name));
        known == name || known == format!("{name}s") || format!("{known}s") == name
    });
    match meant {
        Some(meant) => format!("is not a known field; did you mean {meant}?"),
        None => format!("is not a known field; remove it, or use {}", one_of(&names)),
    }
}

pub(super) fn range_of(schema: &Value) -> String {
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("of at least {least}"),
        (None, Some(most)) => format!("of at most {most}"),
        (None, None) => "without a fraction".to_owned(),
    }
}

pub(super) fn one_of(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

pub(super) fn kind_name(expected: &str) -> &'static str {
    match expected {
        "object" => "a group of fields",
        "array" => "a list",
        "integer" => "a whole number",
        "boolean" => "true or false",
        _ => "a text",
    }
}

/// A value as it may stand in a message: short, and on one line.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Object(_) => return "a group of fields".to_owned(),
        Value::Array(_) => return "a list".to_owned(),
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    let name = if name.contains('.') { format!("[{name:?}]") } else { name.to_owned() };
    match (path.is_empty(), name.starts_with('[')) {
        (true, _) => name,
        (false, true) => format!("{path}{name}"),
        (false, false) => format!("{path}.{name}"),
    }
}
