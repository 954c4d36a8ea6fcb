//! Of several electors one leads: what happens when it is terminated, killed, or cut off from the API server.

mod disturbed;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use nix::sys::signal::Signal;
use plaudit::leader::{Candidacy, Elector, KubeLeases, Leadership, Loss, Term, Times, identity};
use plaudit::rbac::{self, LEASE, Scope};
use plaudit_tests::stack::kubernetes::{Cluster, ClusterOptions, client, eventually, shared};
use serde::Deserialize as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bed::LIMIT;
use crate::program::Program;

fn stand(client: Client, namespace: &str, name: &str) -> Candidacy {
    let leases = KubeLeases::new(client, namespace, LEASE);
    Elector::new(leases, LEASE, identity(name, 1), Times::default()).stand()
}

/// Waits until the elector leads; its term.
async fn leads(candidacy: &Candidacy) -> Result<Term> {
    let mut leadership = candidacy.leadership();
    let leading = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
    match timeout(LIMIT, leading).await.context("nobody leads in time")??.clone() {
        Leadership::Leading(term) => Ok(term),
        other => anyhow::bail!("{other:?}"),
    }
}

/// Waits until the elector has heard of the Lease.
async fn stands_by(candidacy: &Candidacy) -> Result<()> {
    let mut leadership = candidacy.leadership();
    let standing = leadership.wait_for(|now| matches!(now, Leadership::Standby));
    timeout(LIMIT, standing).await.context("the API server does not answer")??;
    Ok(())
}

/// A client that may do what the printed Role for the Lease allows, and nothing else.
async fn client_with_the_role(cluster: &Cluster, namespace: &str, user: &str) -> Result<Client> {
    let admin = cluster.client()?;
    let text = rbac::manifest(Scope::Namespace(namespace), "plaudit", LEASE);
    let roles: Api<Role> = Api::namespaced(admin.clone(), namespace);
    for document in serde_yaml::Deserializer::from_str(&text) {
        let role = Role::deserialize(document)?;
        if role.metadata.name.as_deref() == Some("plaudit-leader-election") {
            roles.create(&PostParams::default(), &role).await?;
        }
    }
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "electors"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "plaudit-leader-election"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }))?;
    Api::namespaced(admin, namespace).create(&PostParams::default(), &binding).await?;
    client(cluster.config_of(user, &[])?)
}

#[tokio::test]
async fn a_terminated_leader_is_followed_long_before_its_lease_would_end() -> Result<()> {
    let cluster = shared();
    let namespace = cluster.namespace("terminated").await?;
    let client = client_with_the_role(cluster, &namespace, "elector-of-terminated").await?;
    let first = stand(client.clone(), &namespace, "first");
    let term = leads(&first).await?;
    let second = stand(client, &namespace, "second");
    stands_by(&second).await?;
    let begin = Instant::now();

    first.resign().await;

    leads(&second).await?;
    let took = begin.elapsed();
    eprintln!("hand-over after a termination: {} ms", took.as_millis());
    // The exact times are the simulation's to judge: here a busy machine adds its own.
    assert!(took < Times::default().lease / 2, "{took:?}");
    assert!(!term.holds() && term.over().is_cancelled());
    let lease: Lease = Api::namespaced(cluster.client()?, &namespace).get(LEASE).await?;
    let spec = lease.spec.context("a spec")?;
    assert_eq!(
        (spec.holder_identity.as_deref(), spec.lease_duration_seconds, spec.lease_transitions),
        (Some("second_0000000000000001"), Some(15), Some(1))
    );
    second.resign().await;
    Ok(())
}

#[tokio::test]
async fn a_killed_leader_is_followed_once_its_lease_ends() -> Result<()> {
    let cluster = shared();
    let namespace = cluster.namespace("killed").await?;
    let first = stand(cluster.client()?, &namespace, "first");
    leads(&first).await?;
    let second = stand(cluster.client()?, &namespace, "second");
    stands_by(&second).await?;
    let begin = Instant::now();

    drop(first);

    leads(&second).await?;
    let took = begin.elapsed();
    eprintln!("hand-over after a crash: {} ms", took.as_millis());
    assert!(took < 2 * Times::default().lease, "{took:?}");
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_stands_still_ends_the_term_before_the_lease() -> Result<()> {
    let options = ClusterOptions { controllers: false, crd: false, ..ClusterOptions::default() };
    let cluster = Cluster::start(options)?;
    let (first, second) =
        (stand(cluster.client()?, "default", "first"), stand(cluster.client()?, "default", "second"));
    let (leader, other) = tokio::select! {
        term = leads(&first) => ((first.leadership(), term?), &second),
        term = leads(&second) => ((second.leadership(), term?), &first),
    };
    let (leadership, term) = leader;
    cluster.pause_api_server()?;
    let begin = Instant::now();

    timeout(LIMIT, term.over().cancelled()).await.context("the term goes on")?;

    let took = begin.elapsed();
    eprintln!("a leader without an API server stopped after {} ms", took.as_millis());
    assert!(took < Times::default().lease, "{took:?}");
    assert!(!term.holds());
    assert!(matches!(&*leadership.borrow(), Leadership::Lost(Loss::NotRenewed)));
    cluster.resume_api_server()?;
    leads(other).await?;
    Ok(())
}

/// An operator's process, and where its endpoints are.
struct Serving {
    program: Program,
    address: String,
}

impl Serving {
    fn start(kubeconfig: &Path, namespace: &str) -> Result<Self> {
        let mut command = Program::command(kubeconfig, namespace)?;
        let command = command.args(["--lease-namespace", namespace, "--log-format", "json"]);
        let mut program = Program::spawn(command.stderr(Stdio::piped()))?;
        let mut lines = BufReader::new(program.child().stderr.take().context("a pipe")?).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        });
        // Read on, so that the pipe does not fill.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { program, address: address.context("the operator said no address")? })
    }

    /// Status line and body of `GET path`.
    async fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn is_ready(&self) -> Result<bool> {
        Ok(self.get("/readyz").await?.starts_with("HTTP/1.0 200"))
    }

    async fn leads(&self) -> Result<bool> {
        Ok(self.get("/metrics").await?.contains("\nplaudit_operator_leader 1\n"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_operator_that_wakes_up_ends_and_the_last_one_gives_the_lease_back() -> Result<()> {
    let cluster = shared();
    let namespace = cluster.namespace("frozen").await?;
    let kubeconfig = cluster.kubeconfig("operators", &["system:masters"])?;
    let mut first = Serving::start(&kubeconfig, &namespace)?;
    eventually("a leader", LIMIT, async || Ok(first.leads().await?.then_some(()))).await?;
    let mut second = Serving::start(&kubeconfig, &namespace)?;
    eventually("a ready standby", LIMIT, async || Ok(second.is_ready().await?.then_some(()))).await?;
    assert!(first.is_ready().await? && !second.leads().await?);

    first.program.signal(Signal::SIGSTOP)?;
    let begin = Instant::now();
    eventually("the standby to lead", LIMIT, async || Ok(second.leads().await?.then_some(()))).await?;
    eprintln!("hand-over from a frozen process: {} ms", begin.elapsed().as_millis());
    first.program.signal(Signal::SIGCONT)?;
    let woken = first.program.until_ended().await?;
    second.program.signal(Signal::SIGTERM)?;
    let terminated = second.program.until_ended().await?;

    assert_eq!((woken, terminated), (Some(1), Some(0)));
    let lease: Lease = Api::namespaced(cluster.client()?, &namespace).get(LEASE).await?;
    assert_eq!(lease.spec.context("a spec")?.holder_identity.as_deref(), Some(""));
    Ok(())
}
