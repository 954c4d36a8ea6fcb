//! `plaudit check`: whether the operators behind an address are ready, and one of them leads and has read the pipelines.
//!
//! `helm test` runs it in the operator's image, which has no shell and no HTTP client.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

use crate::observe::http::{self, Answer};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The operators' endpoints; all addresses that the name stands for are asked.
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// How many operators there should be.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    operators: usize,
    /// How long to wait for it.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout_seconds: u64,
}

/// A name's addresses and a lead change within seconds.
const ASK_AGAIN: Duration = Duration::from_secs(1);

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start a runtime")?;
    let said = runtime.block_on(wait(args))?;
    super::print(&said)
}

async fn wait(args: &Args) -> anyhow::Result<String> {
    let end = Instant::now() + Duration::from_secs(args.timeout_seconds);
    loop {
        let verdict = verdict(args.operators, &ask(&args.address).await);
        match verdict {
            Ok(said) => return Ok(said),
            Err(why) if Instant::now() >= end => bail!("{}: {why}", args.address),
            Err(_) => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// What one operator answers.
#[derive(Clone, Debug, PartialEq)]
struct Operator {
    address: String,
    /// `/readyz`; `None` when no whole answer came.
    ready: Option<Answer>,
    /// `/metrics`.
    metrics: Option<Answer>,
}

/// A name that does not resolve stands for no operator.
async fn ask(address: &str) -> Vec<Operator> {
    let found = tokio::net::lookup_host(address).await.map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let mut operators = Vec::new();
    for address in found {
        let address = address.to_string();
        let (ready, metrics) = (http::get(&address, "/readyz").await, http::get(&address, "/metrics").await);
        operators.push(Operator { address, ready, metrics });
    }
    operators
}

/// What is right, or the first thing that is not.
fn verdict(wanted: usize, operators: &[Operator]) -> Result<String, String> {
    if operators.len() != wanted {
        return Err(format!("the name stands for {} operators, not for {wanted}", operators.len()));
    }
    for Operator { address, ready, .. } in operators {
        match ready {
            Some(Answer { status: 200, .. }) => {}
            Some(Answer { body, .. }) => return Err(format!("{address} is not ready: {}", body.trim_end())),
            None => return Err(format!("{address} does not answer")),
        }
    }
    let leaders: Vec<_> = operators.iter().filter(|operator| has(operator, is_leading)).collect();
    match leaders[..] {
        [leader] if has(leader, has_read_pipelines) => {
            Ok(format!("{wanted} ready; {} leads and has read the pipelines\n", leader.address))
        }
        [Operator { address, .. }] => Err(format!(
            "{address} leads and cannot read pipelines: look at its log; the CRD or a right may be missing"
        )),
        [] => Err("nobody leads".to_owned()),
        _ => Err(format!("{} operators lead at one time", leaders.len())),
    }
}

fn has(operator: &Operator, line: fn(&str) -> bool) -> bool {
    operator.metrics.as_ref().is_some_and(|answer| answer.body.lines().any(line))
}

fn is_leading(line: &str) -> bool {
    line == "plaudit_operator_leader 1"
}

fn has_read_pipelines(line: &str) -> bool {
    line.starts_with("plaudit_operator_api_requests_total{")
        && line.contains("resource=\"achievementpipelines\"")
        && line.contains("code=\"200\"")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;
    use plaudit_worker::exposition;

    fn operator(address: &str, ready: bool, leads: bool, reads: bool) -> Operator {
        let metrics = Metrics::new().unwrap();
        metrics.leads(leads);
        let code = if reads { 200 } else { 404 };
        metrics.api_request("achievementpipelines", "list", Some(code), Duration::ZERO);
        let answer = |status, body: String| Some(Answer { status, body });
        let ready = if ready { answer(200, "ok\n".to_owned()) } else { answer(503, "starting\n".to_owned()) };
        Operator {
            address: address.to_owned(),
            ready,
            metrics: answer(200, exposition::text(&metrics.registry)),
        }
    }

    #[test]
    fn operators_are_right_when_all_are_ready_and_one_leads_and_reads() {
        let leader = operator("a", true, true, true);
        let standby = operator("b", true, false, false);
        let silent = Operator { ready: None, ..standby.clone() };

        let verdicts = [
            verdict(2, &[leader.clone(), standby.clone()]),
            verdict(2, std::slice::from_ref(&leader)),
            verdict(2, &[leader.clone(), operator("b", false, false, false)]),
            verdict(2, &[leader.clone(), silent]),
            verdict(1, &[standby]),
            verdict(1, &[operator("a", true, true, false)]),
            verdict(2, &[leader.clone(), operator("b", true, true, true)]),
        ];

        let wrong = |why: &str| Err(why.to_owned());
        assert_eq!(
            verdicts,
            [
                Ok("2 ready; a leads and has read the pipelines\n".to_owned()),
                wrong("the name stands for 1 operators, not for 2"),
                wrong("b is not ready: starting"),
                wrong("b does not answer"),
                wrong("nobody leads"),
                wrong(
                    "a leads and cannot read pipelines: look at its log; the CRD or a right may be missing"
                ),
                wrong("2 operators lead at one time"),
            ]
        );
    }
}
