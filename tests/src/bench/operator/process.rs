//! The operator as a process, and what it says of itself.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::machine;
use super::bed::Bed;
use super::requests::Requests;
use crate::stack::process::{Lifetime, Process};
use crate::stack::{ask, ports, scratch};

const STOP_LIMIT: Duration = Duration::from_secs(30);
const PREFIX: &str = "plaudit_operator_";

/// A running operator; killed when dropped.
pub struct Operator {
    process: Process,
    address: String,
}

/// What its `/metrics` said.
pub struct Metrics(String);

impl Operator {
    /// With its defaults, in all namespaces; does not wait until it works.
    pub fn start(bed: &Bed) -> Result<Self> {
        let directory = scratch::directory("operator")?;
        let address = format!("127.0.0.1:{}", ports::free_port()?);
        let mut command = Command::new(&bed.program);
        command
            .args(["operator", "--lease-namespace", &bed.namespace, "--admin-address", &address])
            .env("KUBECONFIG", bed.cluster.kubeconfig("operator", &["system:masters"])?);
        let process = Process::spawn("the operator", command, &directory.join("log"), Lifetime::Tied)?;
        Ok(Self { process, address })
    }

    /// SIGTERM, and waits for an orderly end.
    pub fn stop(mut self) -> Result<()> {
        let status = self.process.end(STOP_LIMIT)?;
        ensure!(status.success(), "the operator ended with {status}");
        Ok(())
    }

    /// Fails with the end of its log when it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    pub fn is_ready(&self) -> bool {
        ask::get(&self.address, "/readyz").is_ok_and(|(status, _)| status == 200)
    }

    pub fn metrics(&self) -> Result<Metrics> {
        let (status, text) = ask::get(&self.address, "/metrics")?;
        ensure!(status == 200, "/metrics of the operator answered {status}");
        Ok(Metrics(text))
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        machine::cpu_seconds(self.process.pid())
    }

    pub fn resident_mebibytes(&self) -> Result<f64> {
        machine::resident_mebibytes(self.process.pid())
    }

    pub fn peak_mebibytes(&self) -> Result<f64> {
        machine::peak_mebibytes(self.process.pid()).context("the operator has ended")
    }
}

impl Metrics {
    /// How many series a metric has.
    pub fn count(&self, name: &str) -> usize {
        ask::series(&self.0, &format!("{PREFIX}{name}")).count()
    }

    /// The sum over all series of a metric.
    pub fn sum(&self, name: &str) -> f64 {
        ask::series(&self.0, &format!("{PREFIX}{name}")).map(|(_, value)| value).sum()
    }

    /// What it has asked Kafka, all that its clients sent.
    pub fn asked_of_kafka(&self) -> Requests {
        Requests::of_kafka(&self.0, &format!("{PREFIX}kafka_requests_total"))
    }

    /// Writes that it has asked the API server for.
    pub fn written(&self) -> Requests {
        Requests::of_operator(&self.0, &format!("{PREFIX}api_requests_total"))
    }
}
