//! How often a field stands in a protobuf message, found without decoding it.
//!
//! Two bytes of a message may be fifty once they are decoded, so that whoever writes a value could make its readers take more memory
//! than they have. Counting takes none.

use prost::encoding::{DecodeContext, decode_key, skip_field};

/// A tag and a length.
const LEAST_BYTES: usize = 2;
/// No message here has a field with a greater number.
const HIGHEST: usize = 15;

/// How often the most frequent of `fields` stands in the message itself, if that is more than `most`. Of bytes that are no message
/// only the beginning counts: decoding them finds out.
pub fn more_than(most: usize, fields: &[u32], mut message: &[u8]) -> Option<usize> {
    if message.len() / LEAST_BYTES <= most {
        return None;
    }
    let mut counts = [0; HIGHEST + 1];
    while !message.is_empty()
        && let Ok((field, wire_type)) = decode_key(&mut message)
        && skip_field(wire_type, field, &mut message, DecodeContext::default()).is_ok()
    {
        if let Some(count) = counts.get_mut(field as usize) {
            *count += 1;
        }
    }
    let found = fields.iter().filter_map(|field| counts.get(*field as usize).copied());
    found.max().filter(|count| *count > most)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{Item, Report};

    #[test]
    fn fields_are_counted_where_they_stand_and_not_inside_others() {
        let item = Item { r#type: 7, value: 8, data: "d".repeat(30) };
        let message = Report { uin: 1, items: vec![item; 20], ..Report::default() }.encode_to_vec();
        let cut = &message[..message.len() - 1];

        let counts = [
            more_than(19, &[6], &message),
            more_than(20, &[6], &message),
            more_than(0, &[1, 2, 99], &message),
            more_than(0, &[6], cut),
            more_than(message.len() / 2, &[6], &message),
        ];

        assert_eq!(counts, [Some(20), None, Some(1), Some(19), None]);
    }
}
