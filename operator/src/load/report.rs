//! A report as the generator makes it, and its two encodings, written without an intermediate form.

use std::io::Write as _;

use plaudit_crds::Format;

/// One player and items, before it is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub uin: u64,
    pub platform: u32,
    pub zone: u32,
    pub server: u32,
    pub role: String,
    pub items: Vec<Item>,
    /// Removes the player; there are no items then.
    pub delete: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    pub r#type: u32,
    pub value: i64,
    /// Empty: the item has none.
    pub data: String,
}

impl Report {
    /// Makes it one of three players of its UIN; one has a role that a key has to escape.
    pub fn spread(&mut self, slot: u64) {
        let mixed = (self.uin * 3 + slot).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let pick = |shift: u32, count: u64| ((mixed >> shift) % count) as u32 + 1;
        (self.platform, self.zone, self.server) = (pick(16, 2), pick(24, 4), pick(32, 8));
        self.role = match slot {
            0 => String::new(),
            1 => (mixed >> 40).to_string(),
            _ => "rôle {2}:#".to_owned(),
        };
    }

    pub fn encode(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Json => self.to_json(),
            Format::Protobuf => self.to_protobuf(),
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        // Writing to a vector does not fail.
        let _ = write!(
            out,
            r#"{{"uin":{},"platform":{},"zone":{},"server":{},"role":"#,
            self.uin, self.platform, self.zone, self.server
        );
        json_string(&self.role, &mut out);
        if self.delete {
            out.extend_from_slice(br#","delete":true}"#);
            return out;
        }
        out.extend_from_slice(br#","items":["#);
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let _ = write!(out, r#"{{"type":{},"value":{}"#, item.r#type, item.value);
            if !item.data.is_empty() {
                out.extend_from_slice(br#","data":"#);
                json_string(&item.data, &mut out);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        out
    }

    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        number(1, self.uin, &mut out);
        number(2, u64::from(self.platform), &mut out);
        number(3, u64::from(self.zone), &mut out);
        number(4, u64::from(self.server), &mut out);
        bytes(5, self.role.as_bytes(), &mut out);
        let mut inner = Vec::with_capacity(64);
        for item in &self.items {
            inner.clear();
            number(1, u64::from(item.r#type), &mut inner);
            number(2, zigzag(item.value), &mut inner);
            bytes(3, item.data.as_bytes(), &mut inner);
            // An item whose fields are all zero is an item all the same.
            varint(6 << 3 | 2, &mut out);
            varint(inner.len() as u64, &mut out);
            out.extend_from_slice(&inner);
        }
        number(7, u64::from(self.delete), &mut out);
        out
    }
}

fn json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => drop(write!(out, "\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        varint(field << 3, out);
        varint(value, out);
    }
}

fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        varint(field << 3 | 2, out);
        varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let item = |r#type, value, data: &str| Item { r#type, value, data: data.into() };
        Report {
            uin: 10_001,
            platform: 1,
            zone: 3,
            server: 12,
            role: "987\"654".into(),
            items: vec![item(1001, 37, "a\n"), item(1002, -5, "")],
            delete: false,
        }
    }

    #[test]
    fn json_is_the_documented_form() {
        let expected = r#"{"uin":10001,"platform":1,"zone":3,"server":12,"role":"987\"654","items":[{"type":1001,"value":37,"data":"a\u000a"},{"type":1002,"value":-5}]}"#;
        assert_eq!(String::from_utf8(report().to_json()).unwrap(), expected);
    }

    #[test]
    fn a_deletion_decodes_as_one() {
        let report = Report { items: vec![], delete: true, ..report() };
        for format in [Format::Json, Format::Protobuf] {
            let payload = report.encode(format);
            let decoded = plaudit_worker::report::decode(Some(&payload), format).unwrap();
            assert_eq!((decoded.uin, decoded.delete, decoded.items.len()), (10_001, true, 0));
        }
    }

    #[test]
    fn protobuf_has_the_bytes_of_the_documented_message() {
        // report.proto: field numbers 1-6 of Report, 1-3 of Item; 1001 = e9 07, 10001 = 91 4e; value is sint64.
        let expected: &[&[u8]] = &[
            &[0x08, 0x91, 0x4e, 0x10, 1, 0x18, 3, 0x20, 12, 0x2a, 7],
            b"987\"654",
            &[0x32, 9, 0x08, 0xe9, 0x07, 0x10, 74, 0x1a, 2, b'a', b'\n'],
            &[0x32, 5, 0x08, 0xea, 0x07, 0x10, 9],
        ];
        assert_eq!(report().to_protobuf(), expected.concat());
    }
}
