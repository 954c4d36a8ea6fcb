//! The Secrets in a worker's pod: a folder for each, with the keys that the pipeline names and no others.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{KeyToPath, SecretVolumeSource, Volume, VolumeMount};
use plaudit_crds::worker::WorkerConfig;

use crate::pipeline::Pipeline;

/// Readable by their owner, root; for the pod's group (fsGroup), which is the worker's, the kubelet makes it 0440.
const MODE: i32 = 0o400;

/// A volume and its place for each Secret.
pub(super) fn volumes(pipeline: &Pipeline) -> Vec<(Volume, VolumeMount)> {
    let mut secrets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for key in [pipeline.source.security.keys(), pipeline.store.security.keys()].concat() {
        secrets.entry(key.secret_name).or_default().extend(key.keys());
    }
    let directory = WorkerConfig::default_secrets_directory();
    // Names of Secrets are longer than those of volumes may be.
    let numbered = secrets.into_iter().enumerate();
    numbered
        .map(|(number, (secret_name, keys))| {
            let name = format!("secret-{number}");
            let volume = Volume {
                name: name.clone(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(secret_name.to_owned()),
                    default_mode: Some(MODE),
                    items: Some(keys.into_iter().map(item).collect()),
                    // The worker says what is missing, where a pod that cannot start says it to nobody.
                    optional: Some(true),
                }),
                ..Volume::default()
            };
            let mount = VolumeMount {
                name,
                mount_path: format!("{directory}/{secret_name}"),
                read_only: Some(true),
                ..VolumeMount::default()
            };
            (volume, mount)
        })
        .collect()
}

fn item(key: &str) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }
}
