//! Secrets in real pods: mounted for their owner alone, and exchanged while a worker runs.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use plaudit_tests::canary::{self, password};
use plaudit_tests::stack::kubernetes::process_of;
use plaudit_tests::stack::unique_name;
use serde_json::{Value, json};

use crate::bed::{NAME, exact, names, on_a_bed, restarts, send};
use crate::release;

/// As the pod asks for it.
const OWNER_ONLY: i32 = 0o400;
/// As the kubelet makes it: root's, and readable by the worker's group (mode, user, group).
const MOUNTED: (u32, u32, u32) = (0o440, 0, 65_532);
/// What holds no Secrets, and must not.
const SHOWN: &str = "all,configmaps,events,achp";

/// Mode, user and group of the Secret's file in a worker's pod; `None` where its node is another machine.
fn mounted(worker: &Pod) -> Result<Option<(u32, u32, u32)>> {
    let uid = worker.metadata.uid.as_deref().unwrap_or_default();
    let Some(pid) = process_of(uid, "plaudit-worker") else { return Ok(None) };
    // As the process sees its files.
    let inside = Path::new("/proc").join(pid.to_string()).join("root");
    let path = inside.join("var/run/secrets/plaudit/store/password");
    let file = std::fs::metadata(&path).with_context(|| format!("could not look at {}", path.display()))?;
    Ok(Some((file.mode() & 0o777, file.uid(), file.gid())))
}

fn secret(password: &str) -> Value {
    json!({"metadata": {"name": "store"}, "stringData": {"password": password, "other": "nobody asks for it"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_logs_in_with_the_password_of_its_secret_and_takes_a_new_one_while_it_runs() -> Result<()> {
    on_a_bed("secrets", async |bed| {
        release::install(&[])?;
        let user = unique_name("worker");
        let (first, second) = (password("first"), password("second"));
        bed.store_user(&user, &first).await?;
        let secrets = bed.api::<Secret>();
        secrets.create(&PostParams::default(), &serde_json::from_value(secret(&first))?).await?;
        let scene = bed.pipeline(json!({"replicas": 1})).await?;
        let login = json!({"username": user, "password": {"secretName": "store"}});
        bed.edit(json!({"spec": {"store": {"security": login}}})).await?;
        let volumes = |pod: &Pod| pod.spec.clone()?.volumes;
        let worker = plaudit_tests::stack::kubernetes::eventually(
            "a worker with the secret",
            crate::bed::LIMIT,
            async || {
                let pods = bed.workers().await?;
                let [only] = &pods[..] else { return Ok(None) };
                let has_secret =
                    volumes(only).is_some_and(|all| all.iter().any(|volume| volume.secret.is_some()));
                Ok((has_secret && crate::bed::is_ready(only)).then(|| only.clone()))
            },
        )
        .await?;
        send(&scene, 1, 100, 1).await??;
        exact(&scene).await?;

        // who is connected is cut off, and has to log in again
        bed.store_user(&user, &second).await?;
        bed.cut_off(&user).await?;
        send(&scene, 2, 100, 1).await??;
        bed.until_ready(NAME, "False", Some("AuthenticationFailed")).await?;
        secrets.patch("store", &PatchParams::default(), &Patch::Merge(secret(&second))).await?;
        bed.until_ready(NAME, "True", None).await?;
        exact(&scene).await?;

        let after = bed.until_workers(1, &BTreeSet::new()).await?;
        assert_eq!((names(&after), restarts(&after[0])), (names(std::slice::from_ref(&worker)), 0));
        let volumes = volumes(&worker).context("a worker has volumes")?;
        let volume = volumes.iter().find_map(|volume| volume.secret.clone()).context("no secret")?;
        let keys: Vec<_> = volume.items.iter().flatten().map(|item| item.key.as_str()).collect();
        assert_eq!((volume.default_mode, keys), (Some(OWNER_ONLY), vec!["password", "user.password"]));
        match mounted(&worker)? {
            Some(file) => assert_eq!(file, MOUNTED),
            None => eprintln!(
                "not shown: the worker is on another machine, where nobody sees the mode of its Secret"
            ),
        }
        let workers = "app.kubernetes.io/name=plaudit-worker";
        canary::search("the namespace", &bed.kubectl(&["get", SHOWN, "--output", "yaml"])?)?;
        canary::search("logs", &bed.kubectl(&["logs", "--selector", workers, "--tail=-1"])?)
    })
    .await
}
