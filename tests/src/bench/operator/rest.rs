//! Nothing happens: what the operator takes all the same.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::machine::Processors;
use super::bed::Bed;
use super::process::Operator;
use super::requests::Requests;

/// What was used while nothing happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rest {
    pub seconds: f64,
    /// CPU-seconds of the operator in a second.
    pub cores: f64,
    /// Resident at the end, and the most since it started.
    pub resident_mebibytes: f64,
    pub peak_mebibytes: f64,
    pub kafka_requests: Requests,
    /// Writes by anybody, as the API server counted them, and those that the operator asked for.
    pub written: Requests,
    pub written_by_operator: Requests,
    /// Pipelines that were not ready at the end.
    pub not_ready: usize,
    /// The share of the time in which processors had nothing to do.
    pub idle_share: f64,
}

pub async fn measure(bed: &Bed, operator: &Operator, time: Duration) -> Result<Rest> {
    let (written, metrics) = (bed.written().await?, operator.metrics()?);
    let (begin, cpu, processors) = (Instant::now(), operator.cpu_seconds()?, Processors::read()?);
    tokio::time::sleep(time).await;
    let seconds = begin.elapsed().as_secs_f64();
    let cores = (operator.cpu_seconds()? - cpu) / seconds;
    let idle_share = Processors::read()?.idle_share_since(&processors);
    let now = operator.metrics()?;
    Ok(Rest {
        seconds,
        cores,
        resident_mebibytes: operator.resident_mebibytes()?,
        peak_mebibytes: operator.peak_mebibytes()?,
        kafka_requests: now.asked_of_kafka().since(&metrics.asked_of_kafka()),
        written_by_operator: now.written().since(&metrics.written()),
        written: bed.written().await?.since(&written),
        not_ready: bed.not_ready().await?,
        idle_share,
    })
}
