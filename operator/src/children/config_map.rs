//! The `ConfigMap` with the workers' configuration file.

use k8s_openapi::api::core::v1::ConfigMap;
use sha2::{Digest as _, Sha256};

use super::{Parent, WORKER_PORT, text_map};

/// The file's name in the `ConfigMap` and in the pod.
pub(super) const FILE: &str = "worker.yaml";

/// The `ConfigMap`, and the checksum of what a worker reads at its start.
pub(super) fn config_map(parent: &Parent<'_>) -> (ConfigMap, String) {
    let mut config = parent.pipeline.worker_config();
    config.http.address = format!("0.0.0.0:{WORKER_PORT}");
    let text = config.to_yaml();
    let checksum = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let data = text_map([(FILE, &text)]);
    (ConfigMap { metadata: parent.metadata(), data: Some(data), ..ConfigMap::default() }, checksum)
}
