//! Who a player is, and under which key a store has to keep the record.

use std::fmt;
use std::fmt::Write as _;

/// Identity of a player, as reports and stored records name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlayerId {
    pub uin: u64,
    pub platform: u32,
    pub zone: u32,
    pub server: u32,
    pub role: Box<str>,
}

impl PlayerId {
    /// `<prefix>{<bucket>}<uin>:<platform>:<zone>:<server>:<role, percent-encoded>`.
    pub fn key(&self, prefix: &str, buckets: u32) -> String {
        let uin = self.uin.to_string();
        let bucket = (murmur2(uin.as_bytes()) & 0x7fff_ffff) % buckets;
        let mut key = format!("{prefix}{{{bucket}}}{uin}:{}:{}:{}:", self.platform, self.zone, self.server);
        for byte in self.role.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => key.push(char::from(byte)),
                // Writing to a string does not fail.
                _ => drop(write!(key, "%{byte:02X}")),
            }
        }
        key
    }
}

impl fmt::Display for PlayerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}:{}:{}", self.uin, self.platform, self.zone, self.server, self.role)
    }
}

/// The hash of Kafka's Java client (org.apache.kafka.common.utils.Utils), written once more.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed = (mixed ^ (mixed >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ mixed;
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, &byte| tail << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_that_of_the_java_client() {
        // Vectors of org.apache.kafka.common.utils.UtilsTest.
        let hashes = ["21", "foobar", "a-little-bit-long-string", "abc"]
            .map(|text| murmur2(text.as_bytes()).cast_signed());
        assert_eq!(hashes, [-973_932_308, -790_332_482, -985_981_536, 479_470_107]);
    }

    #[test]
    fn a_key_escapes_whatever_a_role_may_hold() {
        let id = PlayerId { uin: 10_001, platform: 1, zone: 3, server: 12, role: "a:é{1}-_.".into() };
        assert_eq!(id.key("plaudit:", 240), "plaudit:{239}10001:1:3:12:a%3A%C3%A9%7B1%7D-_.");
    }
}
