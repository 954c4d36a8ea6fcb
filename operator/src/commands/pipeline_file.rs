//! `-f pipeline.yaml`: the pipeline a command takes its topic, servers and store from.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plaudit_crds::AchievementPipeline;

use super::Mistake;
use crate::pipeline::{Pipeline, parse};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PipelineFile {
    /// Take topic, servers and store from this pipeline; other flags say more than the file.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl PipelineFile {
    /// The pipeline, where a file was given.
    pub(super) fn read(&self) -> anyhow::Result<Option<Pipeline>> {
        self.file.as_deref().map(|path| checked(&object(path)?)).transpose()
    }
}

/// The object of a file, `-` for standard input.
pub(super) fn object(path: &Path) -> anyhow::Result<AchievementPipeline> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("could not read {}", path.display())).map_err(Mistake)?;
    let object = AchievementPipeline::from_yaml(&text);
    Ok(object.with_context(|| path.display().to_string()).map_err(Mistake)?)
}

pub(super) fn checked(object: &AchievementPipeline) -> anyhow::Result<Pipeline> {
    Ok(parse(object).map_err(|rejection| Mistake(rejection.into()))?)
}
