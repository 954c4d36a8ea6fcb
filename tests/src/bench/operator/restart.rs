//! The operator ends in order and another one takes over: how soon it knows all pipelines, and what it writes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::bed::Bed;
use super::process::Operator;
use super::requests::Requests;
use crate::stack::kubernetes::eventually;

const START_LIMIT: Duration = Duration::from_secs(60);

/// Times since the new operator was started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restart {
    /// Until the old one had ended after it was told to.
    pub stopped: Duration,
    /// Until `/readyz` said so.
    pub ready: Duration,
    /// Until each pipeline's lag and ready worker were known.
    pub known: Duration,
    /// Written by anybody from the old one's stop until nobody had written anything for a while.
    pub written: Requests,
    /// Asked of Kafka until then.
    pub kafka_requests: Requests,
}

pub async fn measure(bed: &Bed, old: Operator, told: impl Fn(&str)) -> Result<(Operator, Restart)> {
    let written = bed.written().await?;
    let begin = Instant::now();
    old.stop()?;
    let stopped = begin.elapsed();
    let begin = Instant::now();
    let mut operator = Operator::start(bed)?;
    eventually("an operator that is ready", START_LIMIT, async || Ok(operator.is_ready().then_some(())))
        .await?;
    let ready = begin.elapsed();
    bed.until_known(&mut operator, &told).await?;
    let known = begin.elapsed();
    bed.until_quiet(&told).await?;
    let written = bed.written().await?.since(&written);
    let kafka_requests = operator.metrics()?.asked_of_kafka();
    ensure!(bed.not_ready().await? == 0, "pipelines are not ready any more after the operator's restart");
    Ok((operator, Restart { stopped, ready, known, written, kafka_requests }))
}
