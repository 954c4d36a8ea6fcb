//! YAML text read into plain values, duplicate keys refused.

use serde::Deserialize;
use serde_json::Value;

/// Why a text could not be read.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// The parser's own words carry line and column.
    #[error("{0}; correct the line it names")]
    Syntax(serde_yaml::Error),
    /// A file must hold as many documents as its reader expects.
    #[error("found {found} documents; keep exactly one")]
    Documents {
        /// Documents that are not empty.
        found: usize,
    },
}

/// Reads a text of exactly one document.
pub(crate) fn one_document(text: &str) -> Result<Value, YamlError> {
    let mut documents = documents(text)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (_, others) => Err(YamlError::Documents { found: if others == 0 { 0 } else { others + 1 } }),
    }
}

/// Reads every document of a text, empty ones left out.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        // By way of YAML's own value, because only that one refuses a key given twice.
        let value = serde_yaml::Value::deserialize(document).map_err(YamlError::Syntax)?;
        if !value.is_null() {
            documents.push(serde_yaml::from_value(value).map_err(YamlError::Syntax)?);
        }
    }
    Ok(documents)
}
