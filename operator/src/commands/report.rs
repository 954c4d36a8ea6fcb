//! `plaudit report`: reports written by hand.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use plaudit_crds::Format;
use plaudit_worker::kafka::{Access, Link};
use plaudit_worker::report::decode;
use rdkafka::client::OAuthToken;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message as _};

use super::{Mistake, pipeline_file};
use crate::load::{Item, Report};

/// Long enough for a cluster that elects a leader, short enough for somebody who waits.
const DEADLINE: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Send one report, and say where it landed.
    Send(Send),
}

#[derive(Debug, clap::Args)]
pub(super) struct Send {
    #[command(flatten)]
    file: pipeline_file::PipelineFile,
    /// Kafka brokers, host:port, separated by commas. Default: 127.0.0.1:9092.
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Default: achievement-reports.
    #[arg(long)]
    topic: Option<String>,
    /// The player's user number; it becomes the record's key.
    #[arg(long)]
    uin: u64,
    #[arg(long, default_value_t = 0)]
    platform: u32,
    #[arg(long, default_value_t = 0)]
    zone: u32,
    #[arg(long, default_value_t = 0)]
    server: u32,
    #[arg(long, default_value = "")]
    role: String,
    /// An item, TYPE=VALUE or TYPE=VALUE:DATA; may be given often.
    #[arg(long = "item", value_name = "TYPE=VALUE[:DATA]", required_unless_present = "delete", value_parser = item)]
    items: Vec<Item>,
    /// Delete the player instead: everything stored goes, and what is older and comes later does not count.
    #[arg(long, conflicts_with = "items")]
    delete: bool,
    /// The record's timestamp in milliseconds since 1970. Default: now.
    #[arg(long)]
    timestamp_ms: Option<i64>,
    #[arg(short = 'o', long, value_enum, default_value_t = super::Output::Text)]
    output: super::Output,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Send(send) => send.run(),
    }
}

/// Where a record landed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Landed {
    partition: i32,
    offset: i64,
}

impl Send {
    fn run(self) -> anyhow::Result<()> {
        let pipeline = self.file.read()?;
        let source = pipeline.as_ref().map(|pipeline| &pipeline.source);
        let or = |typed: &Option<String>, filed: Option<&String>, default: &str| {
            typed.clone().or_else(|| filed.cloned()).unwrap_or_else(|| default.to_owned())
        };
        let servers =
            or(&self.bootstrap_servers, source.map(|source| &source.bootstrap_servers), "127.0.0.1:9092");
        let topic = or(&self.topic, source.map(|source| &source.topic), "achievement-reports");
        let format = source.map_or(Format::Json, |source| source.format);

        let report = Report {
            uin: self.uin,
            platform: self.platform,
            zone: self.zone,
            server: self.server,
            role: self.role,
            items: self.items,
            delete: self.delete,
        };
        let payload = report.encode(format);
        // A worker would send it to the dead letters; here is somebody who can correct it.
        if let Err(refusal) = decode(Some(&payload), format) {
            return Err(Mistake(anyhow::anyhow!(
                "the report would be refused ({}): {}",
                refusal.reason.as_str(),
                refusal.detail
            ))
            .into());
        }
        let access = self.file.kafka(pipeline.as_ref(), &servers)?;
        let landed = send(&access, &topic, &self.uin.to_string(), &payload, self.timestamp_ms)?;

        let text = match self.output {
            super::Output::Text => {
                format!("sent to {topic}, partition {}, offset {}", landed.partition, landed.offset)
            }
            super::Output::Json => {
                serde_json::json!({"topic": topic, "partition": landed.partition, "offset": landed.offset})
                    .to_string()
            }
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}

/// Hands the outcome of the one record to whoever waits for it.
struct Outcome {
    landed: std::sync::mpsc::Sender<Result<Landed, KafkaError>>,
    link: Arc<Link>,
}

impl ClientContext for Outcome {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.note(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.token()
    }
}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let landed = match result {
            Ok(message) => Ok(Landed { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(error.clone()),
        };
        // Nobody listens after the deadline.
        let _ = self.landed.send(landed);
    }
}

fn send(
    access: &Arc<Access>,
    topic: &str,
    key: &str,
    payload: &[u8],
    timestamp_ms: Option<i64>,
) -> anyhow::Result<Landed> {
    let (sender, outcome) = std::sync::mpsc::channel();
    let (servers, link) = (access.servers(), Arc::new(Link::new(access)));
    let mut config = ClientConfig::new();
    access.configure(&mut config);
    let producer: ThreadedProducer<Outcome> = config
        .set("client.id", "plaudit-report")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // The Java client's choice of partition, which all who write to a topic have to share.
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", DEADLINE.as_millis().to_string())
        .create_with_context(Outcome { landed: sender, link: link.clone() })
        .context("could not set up a Kafka producer")?;
    let unreachable = || format!("could not reach topic {topic} at {servers}; check --bootstrap-servers");
    link.log_in(producer.client()).with_context(unreachable)?;
    let metadata = producer.client().fetch_metadata(Some(topic), DEADLINE);
    let metadata = metadata.map_err(|error| match access.explain(|| ()) {
        Some(trouble) => {
            anyhow::Error::from(trouble).context(format!("could not reach topic {topic} at {servers}"))
        }
        None => anyhow::Error::from(error).context(unreachable()),
    })?;
    let exists =
        metadata.topics().iter().any(|found| found.error().is_none() && !found.partitions().is_empty());
    ensure!(exists, "topic {topic} does not exist at {servers}; create it, or give another --topic");

    let mut record = BaseRecord::to(topic).key(key).payload(payload);
    if let Some(timestamp_ms) = timestamp_ms {
        record = record.timestamp(timestamp_ms);
    }
    let failed = || format!("could not send the report to topic {topic}");
    producer.send(record).map_err(|(error, _)| error).with_context(failed)?;
    // The client gives up before that; then it says why.
    outcome.recv_timeout(2 * DEADLINE).with_context(failed)?.with_context(failed)
}

fn item(text: &str) -> Result<Item, String> {
    let wrong = || "expected TYPE=VALUE or TYPE=VALUE:DATA, as in 1001=37 or 1002=5:gold".to_owned();
    let (kind, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (value, data) = rest.split_once(':').unwrap_or((rest, ""));
    Ok(Item {
        r#type: kind.parse().map_err(|_| wrong())?,
        value: value.parse().map_err(|_| wrong())?,
        data: data.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_type_value_and_maybe_data() {
        let item_of = |r#type, value, data: &str| Ok(Item { r#type, value, data: data.to_owned() });
        let wrong = || Err("expected TYPE=VALUE or TYPE=VALUE:DATA, as in 1001=37 or 1002=5:gold".to_owned());
        let cases = [
            ("1001=37", item_of(1001, 37, "")),
            ("1002=-5:gold: 1=2", item_of(1002, -5, "gold: 1=2")),
            ("1001", wrong()),
            ("=1", wrong()),
            ("-1=1", wrong()),
            ("1=9223372036854775808", wrong()),
        ];

        let items = cases.each_ref().map(|(text, _)| item(text));

        assert_eq!(items, cases.map(|(_, item)| item));
    }
}
