//! `plaudit import`: players from elsewhere, one report each with its original timestamp.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use plaudit_crds::Format;
use plaudit_worker::kafka::{Access, LinkContext};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::config::ClientConfig;

use super::{Mistake, pipeline_file};
use crate::load::{self, Load, Pace, Reports};

/// Wrong lines that are shown before it gives up.
const SHOWN: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One report a line, as JSON, with a field `timestamp`: milliseconds since 1970.
    #[arg(value_name = "FILE")]
    players: PathBuf,
    #[command(flatten)]
    file: pipeline_file::PipelineFile,
    /// Kafka brokers, host:port, separated by commas. Default: 127.0.0.1:9092.
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Default: achievement-reports.
    #[arg(long)]
    topic: Option<String>,
    /// Import although the topic may delete the records before they are read.
    #[arg(long)]
    ignore_retention: bool,
    /// Check the file, send nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
struct Found {
    reports: u64,
    oldest_ms: Option<i64>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let pipeline = args.file.read()?;
    let source = pipeline.as_ref().map(|pipeline| &pipeline.source);
    let or = |typed: &Option<String>, filed: Option<&String>, default: &str| {
        typed.clone().or_else(|| filed.cloned()).unwrap_or_else(|| default.to_owned())
    };
    let bootstrap_servers =
        or(&args.bootstrap_servers, source.map(|source| &source.bootstrap_servers), "127.0.0.1:9092");
    let topic = or(&args.topic, source.map(|source| &source.topic), "achievement-reports");
    let format = source.map_or(Format::Json, |source| source.format);

    let Found { reports, oldest_ms } = check(&args.players, format)?;
    if args.dry_run {
        writeln!(std::io::stdout(), "{reports} reports are good; nothing was sent")?;
        return Ok(());
    }
    let access = args.file.kafka(pipeline.as_ref(), &bootstrap_servers)?;
    if let Some(oldest_ms) = oldest_ms {
        check_topic(&access, &topic, oldest_ms, args.ignore_retention)?;
    }
    let load = Load {
        access,
        topic: topic.clone(),
        compression: "lz4".to_owned(),
        reports: Reports::Players(args.players.clone(), format),
        pace: Pace::default(),
        count: None,
        duration: None,
    };
    let summary = load::produce(&load, &AtomicBool::new(false), &mut |progress| eprintln!("{progress}"))?;
    if !summary.complete() {
        bail!(
            "{} of {reports} reports were not acknowledged ({}); nothing says which, and reports of types with policy \
             sum count again when they are sent again",
            summary.sent - summary.acknowledged,
            summary.first_failure.as_deref().unwrap_or("the import was ended")
        );
    }
    writeln!(std::io::stdout(), "{reports} reports sent to {topic}")?;
    Ok(())
}

/// Reads a whole file before anything of it is sent.
fn check(path: &Path, format: Format) -> anyhow::Result<Found> {
    let failed = || format!("cannot read {}", path.display());
    let mut players = load::Players::open(path, format).with_context(failed)?;
    let (mut found, mut wrong, mut more) = (Found::default(), Vec::new(), 0_usize);
    while let Some(line) = players.read().with_context(failed)? {
        match line {
            Ok(record) => {
                let oldest = found.oldest_ms.map_or(record.timestamp_ms, |old| old.min(record.timestamp_ms));
                found.oldest_ms = Some(oldest);
                found.reports += 1;
            }
            Err(error) if wrong.len() < SHOWN => wrong.push(format!("line {}: {error}", players.number)),
            Err(_) => more += 1,
        }
    }
    if wrong.is_empty() {
        return Ok(found);
    }
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    let error = anyhow!("{}", wrong.join("\n"));
    Err(Mistake(error.context(format!("{} is refused, nothing was sent", path.display()))).into())
}

/// Kafka keeps a record by its timestamp: an old one may be deleted before a worker reads it.
fn check_topic(
    access: &Arc<Access>,
    topic: &str,
    oldest_ms: i64,
    ignore_retention: bool,
) -> anyhow::Result<()> {
    let servers = access.servers();
    let failed =
        || format!("could not ask {servers} for the settings of topic {topic}; check --bootstrap-servers");
    let mut config = ClientConfig::new();
    access.configure(&mut config);
    let context = LinkContext::new(access);
    let admin: AdminClient<LinkContext> = config.create_with_context(context.clone()).with_context(failed)?;
    context.0.log_in(admin.inner()).with_context(failed)?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let resources = [ResourceSpecifier::Topic(topic)];
    let answer =
        futures::executor::block_on(admin.describe_configs(&resources, &options)).with_context(failed)?;
    let settings = answer.into_iter().next().context("an answer without the topic").with_context(failed)?;
    let settings = settings.map_err(|code| anyhow!("kafka says: {code}")).with_context(failed)?;
    let of = |name: &str| setting(&settings, name);
    if of("message.timestamp.type").as_deref() == Some("LogAppendTime") {
        return Err(Mistake(anyhow!(
            "topic {topic} stamps records itself (message.timestamp.type is LogAppendTime), so the timestamps of the \
             file would be lost; set it to CreateTime"
        ))
        .into());
    }
    let retention_ms = of("retention.ms").and_then(|text| text.parse::<i64>().ok()).filter(|ms| *ms >= 0);
    let age_ms = now_ms() - oldest_ms;
    match retention_ms {
        Some(retention_ms) if age_ms > retention_ms && !ignore_retention => Err(Mistake(anyhow!(
            "topic {topic} keeps records for {} days by their timestamp, and the oldest report is {} days old: Kafka \
             may delete it before a worker reads it; raise retention.ms for the import, or give --ignore-retention",
            days(retention_ms),
            days(age_ms)
        ))
        .into()),
        _ => Ok(()),
    }
}

fn setting(settings: &ConfigResource, name: &str) -> Option<String> {
    settings.entries.iter().find(|entry| entry.name == name)?.value.clone()
}

fn days(milliseconds: i64) -> i64 {
    milliseconds / 86_400_000
}

fn now_ms() -> i64 {
    plaudit_worker::process::now_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_refused_as_a_whole_with_its_lines() {
        let path = std::env::temp_dir().join(format!("plaudit-import-{}", std::process::id()));
        let good = r#"{"uin":7,"timestamp":1,"items":[{"type":1,"value":1}]}"#;
        let text = format!("{good}\n\n{}\n{{\"uin\":7}}\n", good.replace(r#""timestamp":1,"#, ""));
        std::fs::write(&path, text).unwrap();
        let error = format!("{:#}", check(&path, Format::Json).unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("line 3: timestamp is missing or negative"), "{error}");
        assert!(error.contains("line 4: a field is missing"), "{error}");
    }
}
