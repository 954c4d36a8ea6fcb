//! Who a player is, and where the record lies.

use std::fmt::Write as _;

use crate::proto::ChunkRef;

/// Platform, zone, server and role inside a UIN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlayerId {
    pub uin: u64,
    pub platform: u32,
    pub zone: u32,
    pub server: u32,
    /// UTF-8, at most 128 bytes.
    pub role: Box<str>,
}

/// Key prefix and number of hash tags: what a pipeline's `store` says about keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub key_prefix: String,
    /// Hash tags, 1 or more.
    pub buckets: u32,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a player key of this prefix")]
pub struct PlayerKeyError;

impl Layout {
    /// `<prefix>{<bucket>}<uin>:<platform>:<zone>:<server>:<role>`, the role percent-encoded outside `[A-Za-z0-9_.-]`.
    pub fn player_key(&self, id: &PlayerId) -> String {
        let mut key = String::with_capacity(self.key_prefix.len() + 40 + id.role.len());
        self.append_player_key(id, &mut key);
        key
    }

    /// Appends what [`Self::player_key`] returns.
    pub fn append_player_key(&self, id: &PlayerId, key: &mut String) {
        let mut number = itoa::Buffer::new();
        key.push_str(&self.key_prefix);
        key.push('{');
        key.push_str(number.format(self.bucket(id.uin)));
        key.push('}');
        key.push_str(number.format(id.uin));
        for part in [id.platform, id.zone, id.server] {
            key.push(':');
            key.push_str(number.format(part));
        }
        key.push(':');
        percent_encode(&id.role, key);
    }

    fn bucket(&self, uin: u64) -> u32 {
        (murmur2(itoa::Buffer::new().format(uin).as_bytes()) & 0x7fff_ffff) % self.buckets
    }

    /// `<player key>#<32 hex digits>.<index>`.
    pub fn chunk_key(player_key: &str, chunk: &ChunkRef) -> String {
        format!("{player_key}{}", Self::chunk_suffix(chunk))
    }

    /// What follows the player key in the key of a chunk.
    pub fn chunk_suffix(chunk: &ChunkRef) -> String {
        format!("#{:016x}{:016x}.{}", chunk.write_id_high, chunk.write_id_low, chunk.index)
    }

    /// `<prefix>{<partition>}fence:<partition>`.
    pub fn fence_key(&self, partition: i32) -> String {
        format!("{}{{{partition}}}fence:{partition}", self.key_prefix)
    }

    /// Every player with this UIN matches this SCAN pattern (chunks match too).
    pub fn uin_pattern(&self, uin: u64) -> String {
        format!("{}{{{}}}{uin}:*", glob_escape(&self.key_prefix), self.bucket(uin))
    }

    /// The player whose key this is; an error for chunks, fences and foreign keys.
    pub fn parse_player_key(&self, key: &str) -> Result<PlayerId, PlayerKeyError> {
        let rest = key
            .strip_prefix(&*self.key_prefix)
            .and_then(|rest| rest.strip_prefix('{'))
            .and_then(|rest| rest.split_once('}'))
            .map(|(_, rest)| rest)
            .ok_or(PlayerKeyError)?;
        let mut parts = rest.splitn(5, ':');
        let mut next = || parts.next().ok_or(PlayerKeyError);
        let id = PlayerId {
            uin: next()?.parse().map_err(|_| PlayerKeyError)?,
            platform: next()?.parse().map_err(|_| PlayerKeyError)?,
            zone: next()?.parse().map_err(|_| PlayerKeyError)?,
            server: next()?.parse().map_err(|_| PlayerKeyError)?,
            role: percent_decode(next()?)?.into_boxed_str(),
        };
        Ok(id)
    }
}

/// The keys of several players side by side.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    text: String,
    ends: Vec<usize>,
}

impl Keys {
    pub fn new<'a>(layout: &Layout, players: impl ExactSizeIterator<Item = &'a PlayerId>) -> Self {
        let mut keys = Self { text: String::new(), ends: Vec::with_capacity(players.len()) };
        for player in players {
            layout.append_player_key(player, &mut keys.text);
            keys.ends.push(keys.text.len());
        }
        keys
    }

    /// The key of the player at `index`.
    pub fn get(&self, index: usize) -> &str {
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin..self.ends[index]]
    }
}

/// Kafka's murmur2 (seed 0x9747b28c), as the Java client's default partitioner uses it.
///
/// Source: `org.apache.kafka.common.utils.Utils.murmur2`.
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Whether a Kafka key is this UIN in decimal.
pub fn is_key_of(key: &[u8], uin: u64) -> bool {
    itoa::Buffer::new().format(uin).as_bytes() == key
}

fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// Undoes [`percent_encode`]; refuses what it would not have produced.
fn percent_decode(text: &str) -> Result<String, PlayerKeyError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let hex = rest.get(..2).ok_or(PlayerKeyError)?;
            let hex = std::str::from_utf8(hex).map_err(|_| PlayerKeyError)?;
            bytes.push(u8::from_str_radix(hex, 16).map_err(|_| PlayerKeyError)?);
            rest = &rest[2..];
        } else if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') {
            bytes.push(byte);
        } else {
            return Err(PlayerKeyError);
        }
    }
    String::from_utf8(bytes).map_err(|_| PlayerKeyError)
}

fn glob_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout { key_prefix: "plaudit:".into(), buckets: 240 }
    }

    #[test]
    fn murmur2_equals_the_java_client() {
        // Vectors of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text), hash.cast_unsigned(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_player_key_is_injective_and_reads_back() {
        let ids = ["", "987654", "a:b", "a%3Ab", "{1}", "rôle 你", "#", "a#b.0"].map(|role| PlayerId {
            uin: 10_001,
            platform: 1,
            zone: 3,
            server: 12,
            role: role.into(),
        });
        let keys: std::collections::BTreeSet<_> = ids.iter().map(|id| layout().player_key(id)).collect();
        assert_eq!(keys.len(), ids.len());
        for id in ids {
            assert_eq!(layout().parse_player_key(&layout().player_key(&id)), Ok(id));
        }
    }

    #[test]
    fn the_documented_key_stays() {
        let id = PlayerId { uin: 10_001, platform: 1, zone: 3, server: 12, role: "987654".into() };
        assert_eq!(layout().player_key(&id), "plaudit:{239}10001:1:3:12:987654");
    }

    #[test]
    fn keys_side_by_side_are_the_keys() {
        let ids = [1, 20, 300].map(|uin| PlayerId { uin, ..PlayerId::default() });
        let keys = Keys::new(&layout(), ids.iter());
        let each: Vec<_> = ids.iter().map(|id| layout().player_key(id)).collect();
        assert_eq!((0..3).map(|index| keys.get(index)).collect::<Vec<_>>(), each);
    }

    #[test]
    fn chunks_and_fences_are_not_players() {
        let layout = layout();
        let key = layout.player_key(&PlayerId { uin: 1, ..PlayerId::default() });
        let chunk =
            Layout::chunk_key(&key, &ChunkRef { write_id_high: 1, write_id_low: 2, ..ChunkRef::default() });
        assert_eq!(layout.parse_player_key(&chunk), Err(PlayerKeyError));
        assert_eq!(layout.parse_player_key(&layout.fence_key(3)), Err(PlayerKeyError));
    }

    #[test]
    fn a_kafka_key_is_the_uin_in_decimal_or_misrouted() {
        let cases: [(&[u8], bool); 5] =
            [(b"10001", true), (b"010001", false), (b"", false), (b"10002", false), (b"10001 ", false)];
        for (key, expected) in cases {
            assert_eq!(is_key_of(key, 10_001), expected, "{key:?}");
        }
        assert!(is_key_of(b"0", 0) && is_key_of(b"18446744073709551615", u64::MAX));
    }
}
