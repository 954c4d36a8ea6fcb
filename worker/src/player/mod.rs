//! A player: identity, key in the store, stored record.

mod id;
mod record;
mod split;
mod wire;

pub use id::{Keys, Layout, PlayerId, PlayerKeyError, is_key_of, murmur2};
pub use record::{Decoded, FORMAT, HEADER, Manifest, PlayerState, RecordError, SourcePartition, StoredChunk};
pub use split::{Chunks, encode};
