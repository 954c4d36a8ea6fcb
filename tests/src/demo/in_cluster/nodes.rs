//! The stage on a whole cluster, the one that KUBECONFIG names: the chart installed by Helm, pods in containers on its nodes.
//!
//! Its commands are run as they are shown, by a shell; helm and kubectl must be on PATH.

use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use kube::{Client, ResourceExt as _};
use nix::sys::signal::Signal;
use plaudit::snapshot::{Snapshot, WorkerView};
use plaudit_crds::AchievementPipeline;
use tokio::runtime::Runtime;

use super::super::show::Show;
use super::super::stage::Stage;
use super::seen::Way;
use super::view::{self, View};
use crate::example;
use crate::fleet;
use crate::stack::fetch::ROOT;
use crate::stack::kubernetes::{process_of, this_machine};

/// The images are on the nodes: a minute is for two busy cores, and ends the wait for one that is not.
const INSTALL: &str =
    "helm install plaudit charts/plaudit --namespace plaudit-system --create-namespace --wait --timeout 60s";
const TEST: &str = "helm test plaudit --namespace plaudit-system --timeout 60s";
/// What tells why an installation did not come to its end.
const WHY: [&str; 2] = [
    "kubectl get pods --namespace plaudit-system",
    "kubectl get events --namespace plaudit-system --field-selector type=Warning",
];

/// A cluster that answers.
pub(in super::super) struct Connection {
    client: Client,
    runtime: Runtime,
    /// This machine as its nodes see it.
    pub(in super::super) host: Ipv4Addr,
}

pub(in super::super) struct Nodes(View);

impl Connection {
    /// To the cluster that KUBECONFIG names.
    pub(in super::super) fn open(show: &mut Show) -> Result<Self> {
        let runtime = view::runtime()?;
        let (client, host) = runtime.block_on(async {
            let client = Client::try_default().await;
            let client = client.context("KUBECONFIG names no cluster; `make demo-cluster` brings one")?;
            let host = this_machine(&client).await?;
            anyhow::Ok((client, host))
        })?;
        run(show, "kubectl get nodes", |_| true)?;
        Ok(Self { client, runtime, host })
    }
}

impl Nodes {
    /// Installs Plaudit, and hands it `example`.
    pub(in super::super) fn start(
        show: &mut Show,
        Connection { client, runtime, .. }: Connection,
        example: &AchievementPipeline,
    ) -> Result<Self> {
        let status = |line: &str| line.starts_with("STATUS:");
        run(show, INSTALL, status).map_err(|error| explained(&error))?;
        run(show, TEST, |line| line.starts_with("Phase:")).map_err(|error| explained(&error))?;
        run(show, &apply(example)?, |_| true)?;
        show.step("while this runs, kubectl works in another terminal too:")?;
        if let Some(kubeconfig) = std::env::var_os("KUBECONFIG") {
            show.step(&format!("  export KUBECONFIG={}", kubeconfig.display()))?;
        }
        let kubectl = String::from_utf8(shell("command -v kubectl")?.stdout)?;
        show.step(&format!("  {} get achp --output wide --watch", kubectl.trim_end()))?;
        Ok(Self(View::new(runtime, client, Way::ThroughApiServer, example)?))
    }
}

/// examples/pipeline.yaml with the addresses of `example`, which is made of it.
fn apply(example: &AchievementPipeline) -> Result<String> {
    let text = example::pipeline()?.spec;
    let (kafka, store) = (&text.source.bootstrap_servers, text.store.addresses.join(","));
    let spec = &example.spec;
    let (to_kafka, to_store) = (&spec.source.bootstrap_servers, spec.store.addresses.join(","));
    Ok(format!(
        "sed 's/{kafka}/{to_kafka}/; s/{store}/{to_store}/' examples/pipeline.yaml | kubectl apply -f -"
    ))
}

/// Shows a command, runs it, and shows those lines of its answer; fails with all of its words.
fn run(show: &mut Show, line: &str, shown: impl Fn(&str) -> bool) -> Result<()> {
    show.step(line)?;
    let output = shell(line)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed, {}: {}", output.status, said.trim_end());
    }
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| shown(line)) {
        show.step(&format!("  {}", line.trim_end()))?;
    }
    Ok(())
}

fn shell(line: &str) -> Result<Output> {
    // a pipe fails as its first command does
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", line]).current_dir(ROOT).stdin(Stdio::null());
    command.output().with_context(|| format!("could not run `{line}`"))
}

fn explained(error: &anyhow::Error) -> anyhow::Error {
    let answers = WHY.map(|line| match shell(line) {
        Ok(output) => format!("\n\n$ {line}\n{}", String::from_utf8_lossy(&output.stdout).trim_end()),
        Err(error) => format!("\n\n{error:#}"),
    });
    anyhow::anyhow!("{error:#}{}", answers.concat())
}

impl Stage for Nodes {
    fn look(&mut self) -> Result<Option<Snapshot>> {
        self.0.look()
    }

    fn screen(&self, seen: &Snapshot, extra: &[String]) -> String {
        self.0.screen(seen, extra)
    }

    fn picture(&self) -> String {
        self.0.picture()
    }

    fn kill(&mut self, show: &mut Show, worker: &WorkerView) -> Result<()> {
        let pod = self.0.pod(&worker.name)?;
        // A node lets a pod that is deleted by force drain like any other; only a signal takes it by surprise.
        let process = process_of(&pod.uid().unwrap_or_default(), "plaudit-worker");
        let killed = process.filter(|pid| fleet::signal(*pid, Signal::SIGKILL).is_ok());
        let name = &worker.name;
        show.step(&killed.map_or_else(
            || format!("could not kill the process of {name} from here: it may drain while its pod goes"),
            |pid| format!("killed worker {name} (kill -9 {pid}); its pod goes too:"),
        ))?;
        run(show, &format!("kubectl delete pod {name} --grace-period=0 --force"), |_| true)
    }

    fn stop(&mut self, show: &mut Show) -> Result<()> {
        let events = self.0.suspend(show)?;
        show.step("the workers have drained")?;
        show.text(&events)?;
        Ok(())
    }
}
