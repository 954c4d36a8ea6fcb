//! `plaudit plan`: what the operator would do with a pipeline, without a cluster.

use std::path::PathBuf;
use std::time::Duration;

use plaudit_crds::LastDecision;
use serde::Serialize;
use serde_json::{Value, json};

use super::operator::WorkerArgs;
use super::{Output, pipeline_file};
use crate::children::{Children, children};
use crate::scaling::{PartitionSample, Sample, Scaler};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline, as `kubectl apply` takes it; - reads standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Records not yet processed, spread evenly; without it the lag is unknown.
    #[arg(long, value_name = "RECORDS")]
    lag: Option<u64>,
    /// Partitions of the topic; without it they are unknown.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: Option<u32>,
    /// Workers that run so far.
    #[arg(long, value_name = "COUNT")]
    replicas: Option<u32>,
    #[command(flatten)]
    workers: WorkerArgs,
    /// text: the decision as a comment, then the objects as YAML; json: both in one document.
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let object = pipeline_file::object(&args.file)?;
    let pipeline = pipeline_file::checked(&object)?;
    let sample = Sample {
        partitions: partitions(args),
        replicas: args.replicas,
        ready: args.replicas,
        ..Sample::default()
    };
    let decision = Scaler::default().decide(&pipeline.scaling, &sample, Duration::ZERO);
    let children = children(&pipeline, None, &args.workers.settings(), decision.replicas, None);
    let text = match args.output {
        Output::Text => text(&decision.record, &children),
        Output::Json => {
            let document = json!({"decision": decision.record, "objects": objects(&children)});
            format!("{document:#}\n")
        }
    };
    super::print(&text)
}

/// The lag spread evenly; unknown as soon as one of the two is.
fn partitions(args: &Args) -> Option<Vec<PartitionSample>> {
    let (lag, count) = (args.lag?, u64::from(args.partitions?));
    let of = |at: u64| {
        let lag = lag / count + u64::from(at < lag % count);
        let offset = |records: u64| i64::try_from(records).ok();
        PartitionSample {
            partition: i32::try_from(at).unwrap_or(i32::MAX),
            lag: Some(lag),
            log_end: offset(lag),
            committed: Some(0),
            owner: None,
        }
    };
    Some((0..count).map(of).collect())
}

fn text(decision: &LastDecision, children: &Children) -> String {
    let clamps: Vec<String> =
        decision.clamps.iter().map(|clamp| format!("{} {}", clamp.name, clamp.value)).collect();
    let clamps = if clamps.is_empty() { String::new() } else { format!("; limits: {}", clamps.join(", ")) };
    let mut text =
        format!("# workers: {} ({}): {}{clamps}\n", decision.result, decision.reason, decision.message);
    for object in objects(children) {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&object).expect("an object is YAML"));
    }
    text
}

/// The objects in the order in which they are applied.
fn objects(children: &Children) -> Vec<Value> {
    let Children { config_map, deployment, service, disruption_budget } = children;
    vec![object(config_map), object(service), object(disruption_budget), object(deployment)]
}

fn object<K: kube::Resource<DynamicType = ()> + Serialize>(object: &K) -> Value {
    let mut value = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&())});
    if let (Some(fields), Ok(Value::Object(more))) = (value.as_object_mut(), serde_json::to_value(object)) {
        fields.extend(more);
    }
    value
}
