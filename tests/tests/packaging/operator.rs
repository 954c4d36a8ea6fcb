//! What the chart installs is enough for an operator, which then says of pipelines what alerts ask for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::programs;
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::json;

use crate::install::{CRD, LIMIT, cluster, folder, helm, remove_crd};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_with_the_charts_rights_leads_and_plaudit_check_says_so() -> Result<()> {
    let _turn = CRD.lock().await;
    let (operator, namespace) = install("operator", &[]).await?;

    let missing = check("127.0.0.1:1", "0")?;
    let running = check(&operator.address, "30")?;
    uninstall(&namespace)?;

    assert_eq!(missing, (false, "plaudit: 127.0.0.1:1: 127.0.0.1:1 does not answer\n".to_owned()));
    let said = format!("1 ready; {} leads and has read the pipelines\n", operator.address);
    assert_eq!(running, (true, said));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_of_one_namespace_leads_with_rights_in_two_and_none_on_the_cluster() -> Result<()> {
    let _turn = CRD.lock().await;
    let watched = cluster().namespace("watched").await?;
    let watch = format!("--set=watchNamespace={watched},rbac.aggregateRoles=false");
    let (operator, namespace) = install("one", &[&watch]).await?;

    let running = check(&operator.address, "30")?;
    let roles: Api<ClusterRole> = Api::all(cluster().client()?);
    let on_cluster = roles.list(&ListParams::default()).await?.items;
    uninstall(&namespace)?;

    let said = format!("1 ready; {} leads and has read the pipelines\n", operator.address);
    assert_eq!(running, (true, said));
    let of_release = |role: &&ClusterRole| {
        role.annotations().get("meta.helm.sh/release-namespace").is_some_and(|found| *found == namespace)
    };
    let ours: Vec<_> = on_cluster.iter().filter(of_release).map(ResourceExt::name_any).collect();
    assert_eq!(ours, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_tells_alerts_of_suspended_paused_and_refused_pipelines() -> Result<()> {
    let _turn = CRD.lock().await;
    let (operator, namespace) = install("told", &[]).await?;
    let pipelines: Api<AchievementPipeline> = Api::namespaced(cluster().client()?, &namespace);
    let source =
        |group: &str| json!({"bootstrapServers": "127.0.0.1:1", "topic": "t", "consumerGroup": group});
    let asleep = json!({
        "source": source("a"), "store": {"addresses": ["127.0.0.1:1"]}, "suspend": true, "scaling": {"paused": "in"},
    });
    // What only the operator refuses: Kubernetes' own forms.
    let refused = json!({
        "source": source("b"), "store": {"addresses": ["127.0.0.1:1"], "keyPrefix": "b:"},
        "worker": {"template": {"spec": {"hostNetwork": true}}},
    });
    for (name, spec) in [("asleep", asleep), ("refused", refused)] {
        let pipeline = serde_json::from_value(json!({
            "apiVersion": "plaudit.dev/v1alpha1", "kind": "AchievementPipeline", "metadata": {"name": name}, "spec": spec,
        }))?;
        pipelines.create(&PostParams::default(), &pipeline).await?;
    }

    let wanted = [
        ("pipeline_ready", "asleep", 0),
        ("pipeline_ready", "refused", 0),
        ("pipeline_suspended", "asleep", 1),
        ("scaling_paused", "asleep", 1),
        ("max_lag_seconds", "asleep", 10),
    ];
    let wanted = wanted.map(|(metric, pipeline, value)| {
        format!("plaudit_operator_{metric}{{namespace=\"{namespace}\",pipeline=\"{pipeline}\"}} {value}")
    });
    let told = eventually("what alerts ask for", LIMIT, || async {
        let metrics = operator.metrics()?;
        Ok(wanted.iter().all(|line| metrics.lines().any(|found| found == line)).then_some(()))
    })
    .await;
    uninstall(&namespace)?;

    told.with_context(|| operator.metrics().unwrap_or_default())
}

/// Installs the chart, and runs its operator with its arguments as its service account.
async fn install(name: &str, values: &[&str]) -> Result<(Operator, String)> {
    remove_crd().await?;
    let namespace = cluster().namespace(name).await?;
    let (folder, within) = (folder(), format!("--namespace={namespace}"));
    helm()?.run(&[&["install", "plaudit", &folder, &within], values].concat())?;
    let deployments: Api<Deployment> = Api::namespaced(cluster().client()?, &namespace);
    let template = deployments.get("plaudit").await?.spec.context("a spec")?.template;
    let pod = template.spec.context("a pod")?;
    let account = pod.service_account_name.context("an account")?;
    let kubeconfig = cluster().service_account_kubeconfig(&namespace, &account).await?;
    let mut command = Command::new(programs::find("plaudit-under-test")?);
    command
        .args(pod.containers[0].args.iter().flatten())
        // What a pod has and this process lacks: an address of its own, and its namespace in a file.
        .args(["--admin-address", "127.0.0.1:0", "--lease-namespace", &namespace])
        .env("KUBECONFIG", &kubeconfig);
    Ok((Operator::start(command)?, namespace))
}

fn uninstall(namespace: &str) -> Result<()> {
    helm()?.run(&["uninstall", "plaudit", &format!("--namespace={namespace}")]).map(drop)
}

/// An operator's process; it ends with its handle.
struct Operator {
    child: Child,
    address: String,
}

impl Operator {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("a pipe")?).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        });
        // Read on, so that the pipe does not fill.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address: address.context("the operator said no address")? })
    }

    fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether `plaudit check` is content, and what it says.
fn check(address: &str, seconds: &str) -> Result<(bool, String)> {
    let program: PathBuf = programs::find("plaudit-under-test")?;
    let output =
        Command::new(program).args(["check", "--address", address, "--timeout-seconds", seconds]).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(said)?))
}
