//! The worker's configuration: what is accepted stays accepted and the same, and the Kafka client takes it.

use std::error::Error as _;

use plaudit_crds::worker::WorkerConfig;
use plaudit_worker::kafka::{Access, consumer_config};

use super::memory::within;

/// Memory for a byte of YAML: two may be a value, and one that an alias stands for costs as much. Values are bounded in all.
pub(crate) const BYTES_PER_BYTE: usize = 20_000;
/// What an error's cause may take: so many violations, in letters of four bytes.
pub(crate) const LONGEST_ERROR: usize = 128 << 10;

/// The file's text.
pub fn worker(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match within(BYTES_PER_BYTE * text.len() + (1 << 20), || WorkerConfig::from_yaml(text)) {
        Ok(config) => {
            accepted(&config);
        }
        Err(error) => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            assert!(why.len() <= LONGEST_ERROR, "an error of {} bytes", why.len());
        }
    }
}

/// A configuration that a worker accepts.
pub(crate) fn accepted(config: &WorkerConfig) {
    let text = config.to_yaml();
    let again = WorkerConfig::from_yaml(&text);
    assert_eq!(again.ok().as_ref(), Some(config), "written again, it is refused or another one:\n{text}");
    config.validate().expect("what was read is valid");
    let client = consumer_config(&Access::plain(&config.source.bootstrap_servers), config, Some("w-0"), 12);
    client.create_native_config().expect("the client takes each setting");
}
