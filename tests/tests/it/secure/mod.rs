//! Servers that want to know who comes: each takes the right client and refuses the wrong one.

mod client;
mod complaints;
mod kafka;
mod memory;
mod rights;
mod rotation;
mod store;
mod tokens;
mod worker;

use std::path::Path;

use anyhow::{Context as _, Result};
use plaudit_crds::worker::WorkerConfig;
use plaudit_tests::secured::{Way, kafka_rights};
use plaudit_tests::stack::secure;
use serde_json::Value;

/// Lets a worker come in by these ways, with its Secrets in this folder, and gives its user of Kafka the rights that it needs.
fn configure(config: &mut WorkerConfig, (kafka, store): (&Way, &Way), secrets: &Path) -> Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
    let security = |way: &Way| way.fields.get("security").cloned().unwrap_or_else(|| serde_json::json!({}));
    config.source.bootstrap_servers = text(&kafka.fields["bootstrapServers"])?;
    config.source.security = serde_json::from_value(security(kafka))?;
    config.store.address = text(&store.fields["addresses"][0])?;
    config.store.security = serde_json::from_value(security(store))?;
    config.secrets_directory = secrets.display().to_string();
    kafka.secrets.write(secrets)?;
    store.secrets.write(secrets)?;
    if let Some(user) = &kafka.user {
        let written: Vec<&str> = [Some(&config.dead_letters.topic), config.unlocks.topic.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let rights = kafka_rights(user, &config.source.topic, &config.source.consumer_group, &written);
        secure().kafka.allow(&rights)?;
    }
    Ok(())
}
