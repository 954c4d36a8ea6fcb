//! Loading: the state of each player, from the cache or from the store together with the fence.

use super::{Job, Writer};
use crate::lane::LaneContext;
use crate::lane::halt::{Halt, Trouble};
use crate::lane::ports::Outbox;
use crate::lane::shared::StopReason;
use crate::player::{Decoded, Layout, Manifest, PlayerId, PlayerState, RecordError};
use crate::store::{Found, Store};

/// Keys of one MGET of chunks: a chunk may be as large as the greatest value.
const PAGE_CHUNKS: usize = 64;
/// A split record that is replaced under the reader so often in a row is given up for this round.
const CHUNK_READS: usize = 16;

/// What was found of a player.
pub(super) enum Loaded {
    Cached(Box<PlayerState>),
    /// The value of the player key.
    Stored(Found),
    /// Nobody asked: the player is presumed to be new.
    Presumed,
}

impl<S: Store, O: Outbox> Writer<S, O> {
    /// What is known of the players to do: of all of them, or of as many as a round may load.
    pub(super) async fn load(
        &mut self,
        lane: &LaneContext,
        job: &Job<'_>,
    ) -> Result<Vec<(usize, Loaded)>, Trouble> {
        let now = &job.todo[..job.todo.len().min(lane.cuts.round_players)];
        let mut loaded = Vec::with_capacity(now.len());
        let mut missing = Vec::new();
        for group in now {
            match self.cache.take(job.batch.player(*group)) {
                Some(state) => loaded.push((*group, Loaded::Cached(state))),
                None => missing.push(*group),
            }
        }
        lane.metrics.cache_hits.inc_by(loaded.len() as u64);
        if self.doubt && missing.is_empty() {
            let found = self.store.fence(&self.fence_key).await?;
            self.adopt(found.as_deref())?;
        }
        if !self.doubt && self.newcomers.are_likely() {
            let (presumed, ask): (Vec<usize>, Vec<usize>) =
                missing.into_iter().partition(|group| !job.batch.group(*group).judged);
            lane.metrics.presumed_new.inc_by(presumed.len() as u64);
            loaded.extend(presumed.into_iter().map(|group| (group, Loaded::Presumed)));
            missing = ask;
        }
        let mut bytes = 0;
        for page in missing.chunks(lane.cuts.page_keys) {
            lane.step();
            let keys: Vec<&str> = page.iter().map(|group| job.keys.get(*group)).collect();
            let (fence, values) = self.store.load(&self.fence_key, &keys).await?;
            self.adopt(fence.as_deref())?;
            lane.metrics.cache_misses.inc_by(page.len() as u64);
            values.iter().for_each(|value| self.newcomers.asked(value.is_some()));
            bytes += values.iter().flatten().map(Vec::len).sum::<usize>();
            loaded.extend(page.iter().copied().zip(values.into_iter().map(Loaded::Stored)));
            if bytes >= lane.cuts.round_bytes {
                break;
            }
        }
        Ok(loaded)
    }

    /// Reads the chunks of a split record; begins again at the manifest when somebody replaced it meanwhile.
    pub(super) async fn complete(
        &mut self,
        id: &PlayerId,
        key: &str,
        mut manifest: Manifest,
    ) -> Result<PlayerState, Trouble> {
        for _ in 0..CHUNK_READS {
            let keys: Vec<String> =
                manifest.references().iter().map(|reference| Layout::chunk_key(key, reference)).collect();
            let mut chunks = Vec::with_capacity(keys.len());
            for page in keys.chunks(PAGE_CHUNKS) {
                chunks.extend(self.store.chunks(page).await?);
            }
            if let Some(chunks) = chunks.into_iter().collect::<Option<Vec<_>>>() {
                return Ok(manifest.complete(&chunks).map_err(|error| unusable(key, &error))?);
            }
            let (fence, mut values) = self.store.load(&self.fence_key, &[key]).await?;
            self.adopt(fence.as_deref())?;
            manifest = match decode(key, id, values.pop().flatten().as_deref())? {
                Decoded::Whole(state) => return Ok(state),
                Decoded::Split(again) if again.references() == manifest.references() => {
                    let missing = RecordError::Damaged("chunks that it names are missing".into());
                    return Err(unusable(key, &missing).into());
                }
                Decoded::Split(newer) => newer,
            };
        }
        Err(Halt::Restart { message: format!("{key} was replaced {CHUNK_READS} times while it was read") }
            .into())
    }
}

pub(super) fn decode(key: &str, id: &PlayerId, value: Option<&[u8]>) -> Result<Decoded, Halt> {
    match value {
        None => Ok(Decoded::Whole(PlayerState::default())),
        Some(value) => PlayerState::decode(value, id).map_err(|error| unusable(key, &error)),
    }
}

fn unusable(key: &str, error: &RecordError) -> Halt {
    let reason = match error {
        RecordError::Damaged(_) => StopReason::DamagedRecord,
        RecordError::NewerFormat { .. } => StopReason::NewerFormat,
    };
    Halt::Park { reason, message: format!("the player record at {key} cannot be used: {error}") }
}
