//! What `plaudit local` was asked to do.

use std::path::PathBuf;
use std::time::Duration;

use plaudit_crds::AchievementPipeline;
use plaudit_worker::security::Directory;

use crate::pipeline::Pipeline;

/// What to run, and where.
#[derive(Debug)]
pub struct Options {
    /// The pipeline as it was read; its status is kept in it.
    pub object: AchievementPipeline,
    /// The same, parsed.
    pub pipeline: Pipeline,
    /// The `plaudit-worker` binary.
    pub worker_binary: PathBuf,
    /// Where configurations, addresses and logs lie.
    pub state_dir: PathBuf,
    /// Where each look is written to.
    pub status_file: Option<PathBuf>,
    /// The Secrets that the pipeline names.
    pub secrets: Directory,
    /// Between two looks.
    pub period: Duration,
}
