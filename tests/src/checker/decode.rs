//! Reports read slowly and without borrowing from the worker: what a payload says, or all that is wrong with it.

use std::borrow::Cow;
use std::fmt;

use plaudit_crds::Format;
use plaudit_worker::proto;
use prost::Message as _;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::player::PlayerId;
use super::rules::{Reason, Reasons};

const MAX_PAYLOAD_BYTES: usize = 65_536;
const MAX_ROLE_BYTES: usize = 128;
const MAX_DATA_BYTES: usize = 1_024;
const MAX_ITEMS: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub player: PlayerId,
    pub items: Vec<Item>,
    /// Removes the player; there are no items then.
    pub delete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub r#type: u32,
    pub value: i64,
    pub data: Box<str>,
}

/// The report in a payload, or why there is none.
pub fn decode(payload: Option<&[u8]>, format: Format) -> Result<Report, Reasons> {
    let Some(payload) = payload.filter(|payload| !payload.is_empty()) else {
        return Err(Reason::Empty.into());
    };
    let decoded = match format {
        Format::Json => decode_json(payload),
        Format::Protobuf => decode_protobuf(payload),
    };
    let mut reasons = decoded.as_ref().err().copied().unwrap_or_default();
    if decoded.as_ref().is_ok_and(|report| report.delete && !report.items.is_empty()) {
        reasons.add(Reason::Malformed);
    }
    let exceeds = |report: &Report| {
        report.player.role.len() > MAX_ROLE_BYTES
            || report.items.is_empty() && !report.delete
            || report.items.len() > MAX_ITEMS
            || report.items.iter().any(|item| item.data.len() > MAX_DATA_BYTES)
    };
    if payload.len() > MAX_PAYLOAD_BYTES || decoded.as_ref().is_ok_and(exceeds) {
        reasons.add(Reason::LimitExceeded);
    }
    if reasons.is_empty() { decoded } else { Err(reasons) }
}

fn decode_json(payload: &[u8]) -> Result<Report, Reasons> {
    let Ok(text) = std::str::from_utf8(payload) else {
        return Err(Reason::NotUtf8.into());
    };
    let report = serde_json::from_str(text).ok().and_then(|node: Node<'_>| report(&node));
    report.ok_or_else(|| Reason::Malformed.into())
}

fn report(node: &Node<'_>) -> Option<Report> {
    let player = PlayerId {
        uin: node.field("uin")?.required()?.unsigned()?,
        platform: node.field("platform")?.unsigned_32_or_zero()?,
        zone: node.field("zone")?.unsigned_32_or_zero()?,
        server: node.field("server")?.unsigned_32_or_zero()?,
        role: node.field("role")?.text_or_empty()?,
    };
    let delete = match node.field("delete")?.0 {
        None => false,
        Some(Node::Truth(delete)) => *delete,
        Some(_) => return None,
    };
    let items = match node.field("items")?.0 {
        Some(Node::List(items)) => &items[..],
        None if delete => &[],
        Some(_) | None => return None,
    };
    let items = items.iter().map(|item| {
        Some(Item {
            r#type: u32::try_from(item.field("type")?.required()?.unsigned()?).ok()?,
            value: item.field("value")?.required()?.signed()?,
            data: item.field("data")?.text_or_empty()?,
        })
    });
    Some(Report { player, items: items.collect::<Option<_>>()?, delete })
}

fn decode_protobuf(payload: &[u8]) -> Result<Report, Reasons> {
    let Ok(report) = proto::Report::decode(payload) else {
        let mut reasons = Reasons::from(Reason::Malformed);
        // Text that is not UTF-8 may be called either.
        reasons.add(Reason::NotUtf8);
        return Err(reasons);
    };
    let items = report.items.into_iter().map(|item| Item {
        r#type: item.r#type,
        value: item.value,
        data: item.data.into(),
    });
    let player = PlayerId {
        uin: report.uin,
        platform: report.platform,
        zone: report.zone,
        server: report.server,
        role: report.role.into(),
    };
    Ok(Report { player, items: items.collect(), delete: report.delete })
}

/// JSON as it was written: every pair of an object, also a repeated one.
#[derive(Debug)]
enum Node<'a> {
    Unsigned(u64),
    Negative(i64),
    Truth(bool),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    /// Something no field of a report takes.
    Other,
}

/// A field that may be absent.
struct Field<'a>(Option<&'a Node<'a>>);

impl<'a> Node<'a> {
    /// None where this is no object, or has the field twice.
    fn field(&'a self, name: &str) -> Option<Field<'a>> {
        let Node::Object(pairs) = self else { return None };
        let mut found = pairs.iter().filter(|(key, _)| key == name).map(|(_, node)| node);
        let first = found.next();
        found.next().is_none().then_some(Field(first))
    }

    fn unsigned(&self) -> Option<u64> {
        match self {
            Node::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    fn signed(&self) -> Option<i64> {
        match self {
            Node::Unsigned(number) => i64::try_from(*number).ok(),
            Node::Negative(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'a> Field<'a> {
    fn required(&self) -> Option<&'a Node<'a>> {
        self.0
    }

    fn unsigned_32_or_zero(&self) -> Option<u32> {
        self.0.map_or(Some(0), |node| u32::try_from(node.unsigned()?).ok())
    }

    fn text_or_empty(&self) -> Option<Box<str>> {
        match self.0 {
            None => Some(Box::default()),
            Some(Node::Text(text)) => Some((&**text).into()),
            Some(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;

        impl<'de> Visitor<'de> for Nodes {
            type Value = Node<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("any JSON")
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Node<'de>, E> {
                Ok(Node::Truth(truth))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
                Ok(Node::Other)
            }

            fn visit_u64<E>(self, number: u64) -> Result<Node<'de>, E> {
                Ok(Node::Unsigned(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Node<'de>, E> {
                Ok(Node::Negative(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
                Ok(Node::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
                Ok(Node::Text(Cow::Borrowed(text)))
            }

            fn visit_unit<E>(self) -> Result<Node<'de>, E> {
                Ok(Node::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Node::List(nodes))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Name(name), node)) = object.next_entry()? {
                    pairs.push((name, node));
                }
                Ok(Node::Object(pairs))
            }
        }

        deserializer.deserialize_any(Nodes)
    }
}

/// The name of a field: borrowed where nothing in it is escaped.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Node::deserialize(deserializer)? {
            Node::Text(name) => Ok(Self(name)),
            _ => Err(serde::de::Error::custom("a name is text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plaudit::load::Bad;

    fn json(text: &str) -> Result<Report, Reasons> {
        decode(Some(text.as_bytes()), Format::Json)
    }

    #[test]
    fn a_report_is_read_with_defaults_and_unknown_fields() {
        let text =
            r#" {"x":[{"y":1,"y":2}],"uin":1,"it\u0065ms":[{"value":-3,"type":2,"data":"\"é"}],"zone":4} "#;
        let expected = Report {
            player: PlayerId { uin: 1, zone: 4, ..PlayerId::default() },
            items: vec![Item { r#type: 2, value: -3, data: "\"é".into() }],
            delete: false,
        };
        assert_eq!(json(text), Ok(expected));
    }

    #[test]
    fn what_does_not_fit_the_contract_is_malformed() {
        let items = r#""items":[{"type":1,"value":1}]"#;
        for text in [
            "[]".to_owned(),
            "{}".to_owned(),
            format!("{{{items}}}"),
            r#"{"uin":1}"#.to_owned(),
            format!(r#"{{"uin":-1,{items}}}"#),
            format!(r#"{{"uin":1.0,{items}}}"#),
            format!(r#"{{"uin":"1",{items}}}"#),
            format!(r#"{{"uin":1,"zone":4294967296,{items}}}"#),
            format!(r#"{{"uin":1,"uin":1,{items}}}"#),
            format!(r#"{{"uin":1,{items},{items}}}"#),
            format!(r#"{{"uin":1,{items}}}x"#),
            r#"{"uin":1,"items":[{"type":1,"type":1,"value":1}]}"#.to_owned(),
            r#"{"uin":1,"items":[{"type":1}]}"#.to_owned(),
            r#"{"uin":1,"items":[{"type":1,"value":1,"data":null}]}"#.to_owned(),
            "[1,0,0,0,\"\",[[1,1]]]".to_owned(),
            r#"{"uin":1,"items":[{"type":1,"value":9223372036854775808}]}"#.to_owned(),
        ] {
            assert_eq!(json(&text), Err(Reason::Malformed.into()), "{text}");
        }
    }

    #[test]
    fn every_kind_of_bad_record_has_its_reason_in_both_formats() {
        let item = plaudit::load::Item { r#type: 1001, value: 1, data: String::new() };
        let good = plaudit::load::Report { uin: 1, items: vec![item], ..plaudit::load::Report::default() };
        for format in [Format::Json, Format::Protobuf] {
            for bad in Bad::ALWAYS {
                let payload = bad.spoil(good.clone(), format);
                let verdict = decode(payload.as_deref(), format);
                let expected = match bad {
                    Bad::Empty | Bad::Null => Reason::Empty,
                    Bad::NotUtf8 => Reason::NotUtf8,
                    Bad::Truncated | Bad::DeepNesting | Bad::DuplicateKeys => Reason::Malformed,
                    Bad::LongRole | Bad::LongData | Bad::ManyItems | Bad::NoItems | Bad::Huge => {
                        Reason::LimitExceeded
                    }
                    // These are good reports; what is wrong lies outside.
                    Bad::Future | Bad::Overflow | Bad::Unlisted => {
                        assert!(verdict.is_ok(), "{bad:?}");
                        continue;
                    }
                };
                assert!(verdict.is_err_and(|reasons| reasons.contains(expected)), "{bad:?} as {format:?}");
            }
        }
    }
}
