//! The topics that lanes send to: letters and unlocks whose acknowledgements are late or lost.

use std::sync::Arc;

use plaudit_worker::lane::ports::{DeadLetter, Outbox, OwnHeaders, Part, Refused, SourceError, Unlock};

use super::load::NOW_MS;
use super::record::Record;
use super::world::World;

#[derive(Debug)]
pub struct Topics {
    pub world: Arc<World>,
    pub lane: u32,
}

impl Topics {
    /// Sends one after the other; how far the acknowledgements go.
    async fn send_all<T: Sync>(
        &self,
        all: &[T],
        keep: impl Fn(&World, &T) + Send + Sync,
    ) -> Result<(), (usize, SourceError)> {
        self.world.way(self.lane).await;
        let mut acknowledged = None;
        for (at, one) in all.iter().enumerate() {
            let fails = self.world.fails();
            // What is not acknowledged may be there all the same.
            if !fails || self.world.state().rng.bool() {
                keep(&self.world, one);
            }
            if fails {
                acknowledged = acknowledged.or(Some(at));
            }
        }
        self.world.way(self.lane).await;
        match acknowledged {
            Some(at) => Err((at, SourceError::Kafka("simulated: no acknowledgement".into()))),
            None => Ok(()),
        }
    }
}

impl Outbox for Topics {
    async fn send(&mut self, letters: &[DeadLetter]) -> Result<(), (usize, SourceError)> {
        let lane = self.lane;
        self.send_all(letters, |world, letter| {
            world.note(|| format!("lane {lane}: letter of {}@{}", letter.partition, letter.offset));
            let mut state = world.state();
            state.lettered.insert((letter.partition, letter.offset));
            state.letters.push(record_of_letter(letter));
        })
        .await
    }

    async fn announce(&mut self, unlocks: &[Unlock]) -> Result<(), (usize, SourceError)> {
        let lane = self.lane;
        self.send_all(unlocks, |world, unlock| {
            world.note(|| {
                format!("lane {lane}: unlock {} {} {}", unlock.player.uin, unlock.kind, unlock.tier)
            });
            world.state().unlocks.push(record_of_unlock(unlock));
        })
        .await
    }

    async fn fetch(&mut self, partition: i32, refused: &[Refused]) -> Result<Vec<DeadLetter>, SourceError> {
        self.world.way(self.lane).await;
        if self.world.fails() {
            return Err(SourceError::Kafka("simulated: fetch".into()));
        }
        let letter = |refused: &Refused| {
            let log = self.world.log(partition);
            let record = log.iter().find(|record| record.offset == refused.offset);
            let record = record.cloned().unwrap_or_default();
            DeadLetter {
                partition,
                offset: refused.offset,
                timestamp: record.timestamp_ms,
                key: record.key.as_deref().map(Part::of_key),
                value: record.payload.as_deref().map(Part::of_value),
                headers: OwnHeaders::default(),
                reason: refused.reason,
                detail: refused.detail.clone(),
            }
        };
        Ok(refused.iter().map(letter).collect())
    }
}

fn record_of_letter(letter: &DeadLetter) -> Record {
    let mut headers = vec![
        ("plaudit-reason", letter.reason.as_str().to_owned()),
        ("plaudit-detail", letter.detail.clone()),
        ("plaudit-topic", "reports".to_owned()),
        ("plaudit-partition", letter.partition.to_string()),
        ("plaudit-offset", letter.offset.to_string()),
        ("plaudit-consumer-group", "group".to_owned()),
    ];
    headers.extend(letter.timestamp.map(|timestamp| ("plaudit-timestamp", timestamp.to_string())));
    Record {
        timestamp_ms: Some(NOW_MS),
        key: letter.key.as_ref().map(|key| key.bytes.clone()),
        payload: letter.value.as_ref().map(|value| value.bytes.clone()),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect(),
        ..Record::default()
    }
}

fn record_of_unlock(unlock: &Unlock) -> Record {
    let Unlock { player, incarnation, kind, tier, value, timestamp } = unlock;
    let id = format!("{incarnation}/{}/{kind}/{tier}", player.uin);
    let payload = serde_json::json!({
        "id": id, "uin": player.uin, "platform": player.platform, "zone": player.zone, "server": player.server,
        "role": &*player.role, "type": kind, "tier": tier, "value": value, "timestamp": timestamp,
    });
    Record {
        timestamp_ms: Some(NOW_MS),
        key: Some(player.uin.to_string().into_bytes()),
        payload: Some(payload.to_string().into_bytes()),
        headers: vec![("plaudit-id".to_owned(), id.into_bytes())],
        ..Record::default()
    }
}
