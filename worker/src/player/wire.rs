//! A player record's bytes: what prost would write, in one pass.
//!
//! Encoding is a good part of what a report costs: prost asks each achievement for its length first, and writes numbers byte
//! by byte. A test holds that both write the same.

use crate::proto::{Achievement, Watermark};

/// Numbers of a message, with their tags.
pub(super) struct Numbers {
    bytes: [u8; MOST + SLACK],
    len: usize,
}

/// An achievement has seven numbers in a row, none longer than eleven bytes with its tag.
const MOST: usize = 77;
/// A number is written as eight bytes, whatever is used of them.
const SLACK: usize = 8;

impl Numbers {
    pub fn new() -> Self {
        Self { bytes: [0; MOST + SLACK], len: 0 }
    }

    /// Adds a number, but for a zero, which protobuf leaves out. Fields have one byte for a tag, those up to 15.
    #[inline]
    pub fn add(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.add_always(field, value);
        }
    }

    #[inline]
    fn add_always(&mut self, field: u8, value: u64) {
        self.byte(field << 3);
        self.varint(value);
    }

    /// Adds the tag and the length of a text, which is to follow; nothing for an empty one.
    #[inline]
    pub fn add_text(&mut self, field: u8, text: &str) {
        if !text.is_empty() {
            self.byte(field << 3 | 2);
            self.varint(text.len() as u64);
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    fn varint(&mut self, mut value: u64) {
        /// What fits into eight bytes of seven bits.
        const SHORT: u64 = 1 << 56;
        while value >= SHORT {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        let len = (70 - (value | 1).leading_zeros() as usize) / 7;
        let more = 0x8080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
        self.bytes[self.len..self.len + 8].copy_from_slice(&(spread(value) | more).to_le_bytes());
        self.len += len;
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Seven bits to each byte, of a number below 2^56.
fn spread(value: u64) -> u64 {
    let value = value & 0x0000_0000_0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let value = value & 0x0000_3fff_0000_3fff | (value & 0x0fff_c000_0fff_c000) << 2;
    value & 0x007f_007f_007f_007f | (value & 0x3f80_3f80_3f80_3f80) << 1
}

/// Appends a message, given in parts.
fn append(field: u8, parts: &[&[u8]], into: &mut Vec<u8>) {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut head = Numbers::new();
    head.byte(field << 3 | 2);
    head.varint(len as u64);
    into.reserve(head.len + len);
    into.extend_from_slice(head.as_slice());
    for part in parts {
        into.extend_from_slice(part);
    }
}

pub(super) fn append_watermark(field: u8, mark: &Watermark, into: &mut Vec<u8>) {
    let mut numbers = Numbers::new();
    numbers.add(1, mark.incarnation.into());
    numbers.add(2, mark.partition.into());
    numbers.add(3, mark.offset.cast_unsigned());
    append(field, &[numbers.as_slice()], into);
}

pub(super) fn append_achievement(field: u8, stored: &Achievement, into: &mut Vec<u8>) {
    let (mut head, mut tail) = (Numbers::new(), Numbers::new());
    head.add(1, stored.r#type.into());
    head.add(2, zigzag(stored.value));
    head.add_text(3, &stored.data);
    tail.add(4, stored.timestamp.cast_unsigned());
    tail.add(5, stored.incarnation.into());
    tail.add(6, stored.partition.into());
    tail.add(7, stored.offset.cast_unsigned());
    tail.add(8, stored.index.into());
    tail.add(9, stored.first_time.cast_unsigned());
    if let Some(announced) = stored.announced {
        tail.add_always(10, zigzag(announced));
    }
    append(field, &[head.as_slice(), stored.data.as_bytes(), tail.as_slice()], into);
}

/// As a `sint64` lies in protobuf.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::PlayerRecord;

    #[test]
    fn achievements_and_watermarks_are_encoded_as_prost_does() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let mut number = || random.u64(..) >> random.u32(..64);
            let achievement = Achievement {
                r#type: number() as u32,
                value: number().cast_signed(),
                data: "d".repeat((number() % 300) as usize),
                timestamp: number().cast_signed(),
                incarnation: number() as u32 & 1,
                partition: number() as u32,
                offset: number().cast_signed(),
                index: number() as u32 & 3,
                first_time: number().cast_signed(),
                announced: Some(number().cast_signed()).filter(|announced| announced % 2 == 0),
            };
            let mark = Watermark {
                incarnation: number() as u32 & 1,
                partition: number() as u32,
                offset: number().cast_signed(),
            };
            let mut bytes = Vec::new();
            append_watermark(10, &mark, &mut bytes);
            append_achievement(11, &achievement, &mut bytes);
            let record = PlayerRecord {
                watermarks: vec![mark],
                achievements: vec![achievement],
                ..PlayerRecord::default()
            };
            assert_eq!(bytes, record.encode_to_vec());
        }
    }
}
