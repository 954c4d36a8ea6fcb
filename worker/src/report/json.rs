//! JSON reports, from objects only.
//!
//! Written out, because a derived `Deserialize` also takes a struct from an array of its fields.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Items, Report, ReportItem};

impl<'de> Deserialize<'de> for Report<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReportVisitor)
    }
}

impl<'de> Deserialize<'de> for ReportItem<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ItemVisitor)
    }
}

/// A string that borrows from the payload unless it holds escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Text)
    }
}

struct ReportVisitor;

impl<'de> Visitor<'de> for ReportVisitor {
    type Value = Report<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut uin, mut platform, mut zone, mut server) = (None, None, None, None);
        let (mut role, mut items, mut delete) = (None, None, None);
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "uin" => once(&mut uin, "uin", map.next_value()?)?,
                "platform" => once(&mut platform, "platform", map.next_value()?)?,
                "zone" => once(&mut zone, "zone", map.next_value()?)?,
                "server" => once(&mut server, "server", map.next_value()?)?,
                "role" => once(&mut role, "role", map.next_value::<Text<'de>>()?.0)?,
                "items" => once(&mut items, "items", map.next_value::<Vec<_>>()?)?,
                "delete" => once(&mut delete, "delete", map.next_value()?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Report {
            uin: uin.ok_or_else(|| Error::missing_field("uin"))?,
            platform: platform.unwrap_or(0),
            zone: zone.unwrap_or(0),
            server: server.unwrap_or(0),
            role: role.unwrap_or_default(),
            items: match items {
                None if delete == Some(true) => Items::new(),
                items => items.ok_or_else(|| Error::missing_field("items"))?.into(),
            },
            delete: delete.unwrap_or(false),
        })
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = ReportItem<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut kind, mut value, mut data) = (None, None, None);
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "type" => once(&mut kind, "type", map.next_value()?)?,
                "value" => once(&mut value, "value", map.next_value()?)?,
                "data" => once(&mut data, "data", map.next_value::<Text<'de>>()?.0)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(ReportItem {
            kind: kind.ok_or_else(|| Error::missing_field("type"))?,
            value: value.ok_or_else(|| Error::missing_field("value"))?,
            data: data.unwrap_or_default(),
        })
    }
}

/// Any JSON that is nested no deeper than the parser goes, 128 levels. Nothing of it is kept.
pub(super) struct Shallow;

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Of itself for each value inside, and so with the parser's recursion, which it bounds.
        deserializer.deserialize_any(ShallowVisitor)
    }
}

struct ShallowVisitor;

impl<'de> Visitor<'de> for ShallowVisitor {
    type Value = Shallow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Shallow, E> {
        Ok(Shallow)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Shallow, E> {
        Ok(Shallow)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Shallow, E> {
        Ok(Shallow)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Shallow, E> {
        Ok(Shallow)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Shallow, E> {
        Ok(Shallow)
    }

    fn visit_unit<E: Error>(self) -> Result<Shallow, E> {
        Ok(Shallow)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shallow, A::Error> {
        while list.next_element::<Shallow>()?.is_some() {}
        Ok(Shallow)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shallow, A::Error> {
        while map.next_entry::<IgnoredAny, Shallow>()?.is_some() {}
        Ok(Shallow)
    }
}

fn once<T, E: Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
