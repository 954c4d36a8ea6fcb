//! What can be typed after `plaudit-tests check`, and the [`Settings`] it means.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use plaudit_crds::AchievementPipeline;

use super::{Layout, Rules, Settings, Verdict, check};

/// Compare everything that was reported with everything that is stored.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The pipeline; what is given here besides takes the place of what it says.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Kafka brokers, host:port, separated by commas.
    #[arg(long)]
    pub bootstrap_servers: Option<String>,
    #[arg(long)]
    pub topic: Option<String>,
    /// The topic of dead letters.
    #[arg(long)]
    pub dead_letters: Option<String>,
    /// Redis or Valkey, host:port.
    #[arg(long)]
    pub store_address: Option<String>,
    #[arg(long)]
    pub key_prefix: Option<String>,
    #[arg(long)]
    pub buckets: Option<u32>,
}

impl Args {
    /// Checks, prints the verdict, and fails where it is a bad one.
    pub fn run(&self) -> anyhow::Result<()> {
        let file = self.file.display();
        let text = std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {file}"))?;
        let pipeline = AchievementPipeline::from_yaml(&text).with_context(|| format!("cannot use {file}"))?;
        let verdict: Verdict = check(&self.settings(&pipeline))?;
        writeln!(std::io::stdout(), "{verdict}")?;
        anyhow::ensure!(verdict.passed(), "the store is not what the reports make");
        Ok(())
    }

    /// What a pipeline says, with what was typed in its place.
    pub fn settings(&self, pipeline: &AchievementPipeline) -> Settings {
        let mut settings = Settings::of(pipeline);
        let replace = |typed: &Option<String>, setting: &mut String| {
            if let Some(typed) = typed {
                setting.clone_from(typed);
            }
        };
        if self.topic.is_some() && self.dead_letters.is_none() {
            settings.dead_letter_topic =
                format!("{}.dead-letters", self.topic.as_deref().unwrap_or_default());
        }
        replace(&self.bootstrap_servers, &mut settings.bootstrap_servers);
        replace(&self.topic, &mut settings.topic);
        replace(&self.dead_letters, &mut settings.dead_letter_topic);
        replace(&self.store_address, &mut settings.store_address);
        replace(&self.key_prefix, &mut settings.layout.key_prefix);
        settings.layout.buckets = self.buckets.unwrap_or(settings.layout.buckets);
        settings
    }
}

impl Settings {
    /// What a pipeline says, with the documented defaults.
    pub fn of(pipeline: &AchievementPipeline) -> Self {
        let spec = &pipeline.spec;
        let (source, store) = (&spec.source, &spec.store);
        let namespace = pipeline.metadata.namespace.as_deref().unwrap_or("default");
        let name = pipeline.metadata.name.as_deref().unwrap_or_default();
        let group = source.consumer_group.clone().unwrap_or_else(|| format!("{namespace}.{name}"));
        let skew = u32::try_from(source.max_clock_skew_seconds).unwrap_or_default();
        Self {
            bootstrap_servers: source.bootstrap_servers.clone(),
            topic: source.topic.clone(),
            dead_letter_topic: spec.dead_letters_topic(),
            unlock_topic: spec.unlocks.topic.clone(),
            store_address: store.addresses.first().cloned().unwrap_or_default(),
            layout: Layout {
                key_prefix: store.key_prefix.clone(),
                buckets: u32::try_from(store.buckets).unwrap_or(1),
                consumer_group: Some(group),
            },
            rules: Rules::new(source.format, skew, &spec.achievements),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_takes_the_place_of_what_the_pipeline_says() {
        let text = "apiVersion: plaudit.dev/v1alpha1\nkind: AchievementPipeline\nmetadata: {name: a, namespace: b}\n\
            spec: {source: {bootstrapServers: 'k:1', topic: t}, store: {addresses: ['s:1']}}";
        let pipeline = AchievementPipeline::from_yaml(text).unwrap();
        let args = Args {
            file: PathBuf::new(),
            bootstrap_servers: Some("other:2".into()),
            topic: Some("u".into()),
            dead_letters: None,
            store_address: None,
            key_prefix: None,
            buckets: Some(3),
        };
        let Settings { bootstrap_servers, topic, dead_letter_topic, store_address, layout, .. } =
            args.settings(&pipeline);
        assert_eq!(
            [bootstrap_servers, topic, dead_letter_topic, store_address, layout.key_prefix],
            ["other:2", "u", "u.dead-letters", "s:1", "plaudit:"]
        );
        assert_eq!((layout.buckets, layout.consumer_group.as_deref()), (3, Some("b.a")));
    }
}
