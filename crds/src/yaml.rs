//! YAML text read into plain values, duplicate keys refused.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess as _,
    Visitor,
};
use serde_json::Value;

/// Longest text that is read, in bytes. A pipeline with as much as it may have comes to less; a `ConfigMap` holds a quarter.
pub const MAX_BYTES: usize = 4 << 20;
/// Most values of a document, and a pipeline with as much as it may have comes to a third. Aliases let some bytes stand for a billion.
const MAX_VALUES: usize = 500_000;

/// Why a text could not be read.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// The parser's own words carry line and column.
    #[error("{}; correct the line it names", short(.0))]
    Syntax(serde_yaml::Error),
    /// A file must hold as many documents as its reader expects.
    #[error("found {found} documents; keep exactly one")]
    Documents {
        /// Documents that are not empty.
        found: usize,
    },
    /// No pipeline is so long.
    #[error("{bytes} bytes are more than the {MAX_BYTES} that are read; leave out what is no pipeline")]
    TooLong {
        /// Of the text.
        bytes: usize,
    },
}

/// The text of a file, or as much of it as is enough to refuse it.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read_text(file: impl Read) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
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
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLong { bytes: text.len() });
    }
    let left = Cell::new(MAX_VALUES);
    for document in serde_yaml::Deserializer::from_str(text) {
        Counted(&left).deserialize(document).map_err(YamlError::Syntax)?;
    }
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

/// The parser's words may quote the text.
fn short(error: &serde_yaml::Error) -> String {
    const LONGEST: usize = 500;
    error.to_string().chars().take(LONGEST).collect()
}

/// Counts values, aliases as what they stand for, and keeps none.
#[derive(Clone, Copy)]
struct Counted<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| {
            D::Error::custom(format!("more than {MAX_VALUES} values, counting what aliases stand for"))
        })?;
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("YAML")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        Ok(())
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry_seed(self, self)?.is_some() {}
        Ok(())
    }

    /// A value with a tag.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (IgnoredAny, value) = tagged.variant()?;
        value.newtype_variant_seed(self)
    }
}
