//! Pods without nodes: Deployments become ready, deletions are waited for, and processes play pods.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use plaudit_tests::stack::kubernetes::kubelet::{Kubelet, Launch, Pretend, Processes};
use plaudit_tests::stack::kubernetes::{eventually, shared};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_deployment_becomes_ready_and_follows_its_replicas() -> Result<()> {
    let namespace = shared().namespace("kubelet").await?;
    let _kubelet = Kubelet::start(shared().config()?, Some(&namespace), Pretend::quick())?;
    let deployments: Api<Deployment> = Api::namespaced(shared().client()?, &namespace);
    deployments.create(&PostParams::default(), &deployment(3)?).await?;

    let mut seen = Vec::new();
    for replicas in [3, 5, 1] {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments.patch("d", &PatchParams::default(), &patch).await?;
        eventually("as many ready replicas as asked for", LIMIT, || async {
            let found = deployments.get("d").await?;
            let status = found.status.unwrap_or_default();
            let settled = status.observed_generation == found.metadata.generation
                && [status.replicas, status.available_replicas] == [Some(replicas); 2];
            Ok(settled.then_some(()))
        })
        .await?;
        seen.push(
            pods(&namespace)?
                .list(&ListParams::default())
                .await?
                .items
                .iter()
                .filter(|pod| alive(pod))
                .count(),
        );
    }

    assert_eq!(seen, [3, 5, 1]);
    Ok(())
}

#[tokio::test]
async fn a_deleted_pod_stays_until_its_container_has_ended() -> Result<()> {
    let namespace = shared().namespace("kubelet").await?;
    let plan = Pretend { ends_after: Duration::from_millis(500), ..Pretend::quick() };
    let _kubelet = Kubelet::start(shared().config()?, Some(&namespace), plan)?;
    let pods = pods(&namespace)?;
    pods.create(&PostParams::default(), &pod()?).await?;
    eventually("a ready pod", LIMIT, || async { Ok(is_ready(&pods.get("p").await?).then_some(())) }).await?;

    let begin = Instant::now();
    pods.delete("p", &DeleteParams::default()).await?;
    let deleted = pods.get("p").await?.metadata.deletion_grace_period_seconds;
    eventually("the end of the pod", LIMIT, || async {
        Ok(pods.get_opt("p").await?.is_none().then_some(()))
    })
    .await?;

    let took = begin.elapsed();
    assert_eq!(deleted, Some(30));
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(10), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn a_pod_that_never_is_ready_keeps_its_deployment_from_it() -> Result<()> {
    let namespace = shared().namespace("kubelet").await?;
    let plan = Pretend { fails_after: Some(Duration::from_millis(100)), ..Pretend::default() };
    let _kubelet = Kubelet::start(shared().config()?, Some(&namespace), plan)?;
    let deployments: Api<Deployment> = Api::namespaced(shared().client()?, &namespace);
    deployments.create(&PostParams::default(), &deployment(1)?).await?;

    let restarts = eventually("two restarts", LIMIT, || async {
        let list = pods(&namespace)?.list(&ListParams::default()).await?;
        Ok(list.items.iter().filter_map(restarts).find(|restarts| *restarts >= 2))
    })
    .await?;

    let ready = deployments.get("d").await?.status.and_then(|status| status.ready_replicas);
    assert_eq!((restarts, ready), (2, None));
    Ok(())
}

#[tokio::test]
async fn a_process_plays_a_pod_from_its_start_to_its_end() -> Result<()> {
    let namespace = shared().namespace("kubelet").await?;
    let files = std::env::temp_dir().join(&namespace);
    std::fs::create_dir(&files)?;
    let kubelet = Kubelet::start(shared().config()?, Some(&namespace), web_server(files.clone()))?;
    let pods = pods(&namespace)?;
    pods.create(&PostParams::default(), &pod()?).await?;
    let running = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
    eventually("a running pod", LIMIT, || async {
        Ok((running(&pods.get("p").await?).as_deref() == Some("Running")).then_some(()))
    })
    .await?;

    let before = is_ready(&pods.get("p").await?);
    std::fs::write(files.join("readyz"), "")?;
    eventually("a ready pod", LIMIT, || async { Ok(is_ready(&pods.get("p").await?).then_some(())) }).await?;
    let first = played(&files)?;
    signal::kill(first, Signal::SIGKILL)?;
    let restarted = eventually("a ready pod that was started again", LIMIT, || async {
        let pod = pods.get("p").await?;
        Ok((is_ready(&pod) && restarts(&pod) == Some(1)).then_some(pod))
    })
    .await?;
    let second = played(&files)?;
    pods.delete("p", &DeleteParams::default()).await?;
    eventually("the end of the pod", LIMIT, || async {
        Ok(pods.get_opt("p").await?.is_none().then_some(()))
    })
    .await?;

    let ended = signal::kill(second, None).is_err();
    drop(kubelet);
    std::fs::remove_dir_all(&files)?;
    let status = restarted.status.and_then(|status| status.container_statuses?.into_iter().next());
    let exit = status.and_then(|status| status.last_state?.terminated).map(|end| end.exit_code);
    assert_eq!((before, first == second, exit, ended), (false, false, Some(137), true));
    Ok(())
}

/// A server of a folder's files, which is ready once there is one called `readyz`, and notes its process number in `pid`.
fn web_server(
    files: std::path::PathBuf,
) -> Processes<impl Fn(&Pod, Ipv4Addr) -> BoxFuture<'static, Result<Launch>> + Send + Sync + 'static> {
    Processes(move |_: &Pod, address: Ipv4Addr| {
        let mut command = Command::new("sh");
        let script = format!("echo $$ >pid; exec python3 -m http.server 8080 --bind {address} --directory .");
        command.args(["-c", &script]).current_dir(&files);
        let ready = Some((SocketAddr::from((address, 8080)), "/readyz".to_owned()));
        std::future::ready(Ok(Launch { command, log: files.join("log"), ready })).boxed()
    })
}

fn played(files: &std::path::Path) -> Result<Pid> {
    let number = std::fs::read_to_string(files.join("pid")).context("no process has started")?;
    Ok(Pid::from_raw(number.trim().parse()?))
}

fn deployment(replicas: i32) -> Result<Deployment> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": "d"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "none"}]},
            },
        },
    }))?)
}

fn pod() -> Result<Pod> {
    let spec = json!({"containers": [{"name": "c", "image": "none"}]});
    Ok(serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec}))?)
}

fn pods(namespace: &str) -> Result<Api<Pod>> {
    Ok(Api::namespaced(shared().client()?, namespace))
}

fn alive(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn restarts(pod: &Pod) -> Option<i32> {
    Some(pod.status.as_ref()?.container_statuses.as_ref()?.first()?.restart_count)
}
