//! Pods of a bed that are played by real workers.

use anyhow::Result;
use plaudit_tests::stack::kubernetes::kubelet::Kubelet;
use plaudit_tests::{played, programs};
use tempfile::TempDir;

use crate::bed::Bed;

/// An operator in a new namespace whose pods are played.
pub async fn played_bed(name: &str) -> Result<(Bed, Kubelet, TempDir)> {
    let bed = Bed::start(name).await?;
    let (kubelet, directory) = play(&bed)?;
    Ok((bed, kubelet, directory))
}

/// Plays the pods of a bed by workers, with their files in a folder.
pub fn play(bed: &Bed) -> Result<(Kubelet, TempDir)> {
    let directory = tempfile::tempdir()?;
    let worker = programs::find("worker-under-test")?;
    let runtime = played::workers(bed.client.clone(), worker, directory.path().to_owned());
    let kubelet = Kubelet::start(bed.config()?, Some(&bed.namespace), runtime)?;
    Ok((kubelet, directory))
}
