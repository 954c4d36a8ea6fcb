//! `-f pipeline.yaml`: the pipeline a command takes its topic, servers and store from.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use plaudit_crds::AchievementPipeline;
use plaudit_worker::kafka::Access;
use plaudit_worker::security::{Directory, KafkaCredentials};
use plaudit_worker::store::Connector;

use super::Mistake;
use crate::pipeline::{Pipeline, parse};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PipelineFile {
    /// Take topic, servers and store from this pipeline; other flags say more than the file.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    secrets: SecretsDirectory,
}

/// Where the Secrets are that a pipeline names, without a cluster to ask.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SecretsDirectory {
    /// The Secrets that the pipeline names: a folder for each, with a file for each key.
    #[arg(long = "secrets", value_name = "DIRECTORY", env = "PLAUDIT_SECRETS", default_value = "secrets")]
    path: PathBuf,
}

impl SecretsDirectory {
    /// The directory, also when somebody reads it from elsewhere.
    pub(super) fn absolute(&self) -> PathBuf {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }
}

impl PipelineFile {
    /// The pipeline, where a file was given.
    pub(super) fn read(&self) -> anyhow::Result<Option<Pipeline>> {
        self.file.as_deref().map(|path| checked(&object(path)?)).transpose()
    }

    /// How to reach Kafka at `servers`: with the pipeline's credentials, where it has any.
    ///
    /// # Errors
    /// What is wrong with the Secrets.
    pub(super) fn kafka(&self, pipeline: Option<&Pipeline>, servers: &str) -> anyhow::Result<Arc<Access>> {
        let credentials = match pipeline {
            Some(pipeline) => KafkaCredentials::read(&pipeline.source.security, &self.directory())
                .context("spec.source.security")
                .map_err(Mistake)?,
            None => KafkaCredentials::default(),
        };
        Ok(Access::new(servers, credentials))
    }

    /// How to reach the store at `address`.
    pub(super) fn store(&self, pipeline: Option<&Pipeline>, address: &str) -> Connector {
        let security = pipeline.map(|pipeline| pipeline.store.security.clone()).unwrap_or_default();
        Connector::new(address, &security, &self.directory().0)
    }

    fn directory(&self) -> Directory {
        Directory(self.secrets.absolute())
    }
}

/// The object of a file, `-` for standard input.
pub(super) fn object(path: &Path) -> anyhow::Result<AchievementPipeline> {
    let text = if path == Path::new("-") {
        plaudit_crds::read_text(std::io::stdin())
    } else {
        File::open(path).and_then(plaudit_crds::read_text)
    };
    let text = text.with_context(|| format!("could not read {}", path.display())).map_err(Mistake)?;
    let object = AchievementPipeline::from_yaml(&text);
    Ok(object.with_context(|| path.display().to_string()).map_err(Mistake)?)
}

pub(super) fn checked(object: &AchievementPipeline) -> anyhow::Result<Pipeline> {
    Ok(parse(object).map_err(|rejection| Mistake(rejection.into()))?)
}
