//! The checker folds a whole source topic and compares what should be stored with what is.
//!
//! It has a decoder, a merge and a reader of its own, written from the contract and sharing no code with the worker but the
//! messages of the `.proto` files: a mistake in both is unlikely to be the same one. [`Check`] is pure; [`check`] feeds it.

mod args;
mod check;
mod compare;
mod decode;
mod fold;
mod letters;
mod player;
mod record;
mod rules;
mod store;
mod stored;
#[cfg(test)]
mod tests;
mod topic;
mod unlocks;
mod verdict;

use std::time::{SystemTime, UNIX_EPOCH};

pub use args::Args;
pub use check::{Check, Layout, explain};
pub use compare::{Class, Difference, Subject};
pub use letters::LetterSummary;
pub use player::PlayerId;
pub use record::SourceRecord;
pub use rules::{Reason, Reasons, Rules};
pub use store::{Store, StoreError};
pub use stored::Stored;
pub(crate) use stored::{assemble, chunk_key, open};
pub use topic::{Topic, TopicError};
pub use unlocks::UnlockSummary;
pub use verdict::{Explained, Verdict};

/// What to check.
#[derive(Clone, Debug)]
pub struct Settings {
    pub bootstrap_servers: String,
    pub topic: String,
    pub dead_letter_topic: String,
    pub unlock_topic: Option<String>,
    /// host:port.
    pub store_address: String,
    pub layout: Layout,
    pub rules: Rules,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("topic {topic} does not exist")]
    NoTopic { topic: String },
}

/// Reads both topics up to where they end now, and the store; the workers should have finished. Blocks its thread.
pub fn check(settings: &Settings) -> Result<Verdict, CheckError> {
    let source = Topic::open(&settings.bootstrap_servers, &settings.topic)?;
    let ranges = source.ranges()?;
    if ranges.is_empty() {
        return Err(CheckError::NoTopic { topic: settings.topic.clone() });
    }
    let mut check =
        Check::new(&settings.topic, settings.layout.clone(), settings.rules.clone(), &ranges, now_ms());
    let letters = Topic::open(&settings.bootstrap_servers, &settings.dead_letter_topic)?;
    letters.read(&letters.ranges()?, |record| check.add_letter(record))?;
    if let Some(topic) = &settings.unlock_topic {
        check.expect_unlocks();
        let unlocks = Topic::open(&settings.bootstrap_servers, topic)?;
        unlocks.read(&unlocks.ranges()?, |record| check.add_unlock(record))?;
    }
    source.read(&ranges, |record| check.add_record(record))?;
    check.end_records();

    let mut store = Store::connect(&settings.store_address, &settings.layout.key_prefix)?;
    for &partition in ranges.keys() {
        check.add_fence(partition, store.fence(partition)?.as_ref());
    }
    let stray_chunks = store.players(|key, stored| check.add_player(key, stored))?;
    check.add_stray_chunks(stray_chunks);
    let mut verdict = check.finish();
    if !verdict.passed() {
        source.read(&ranges, |record| explain(&mut verdict, record, &settings.rules))?;
    }
    Ok(verdict)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
