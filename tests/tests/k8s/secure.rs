//! What is wrong with TLS, logins, rights and Secrets is said by the operator as `plaudit local` says it, and what mends it heals.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use plaudit_tests::played;
use plaudit_tests::secured::{Breakage, Broken, Secrets, breakages};

use crate::bed::{Bed, condition};
use crate::playing::play;
use crate::process::Operator;

/// For all rows at once: each takes until its Secrets are read again, a rollout for some, and a rebalance, all on two busy cores.
const HEALED_WITHIN: Duration = Duration::from_secs(180);

async fn write(bed: &Bed, values: &Secrets) -> Result<()> {
    let secrets: Api<Secret> = bed.api();
    for (name, values) in &values.0 {
        let data: BTreeMap<String, ByteString> =
            values.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect();
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let secret = Secret { metadata, data: Some(data), ..Secret::default() };
        if secrets.get_opt(name).await?.is_some() {
            secrets.replace(name, &PostParams::default(), &secret).await?;
        } else {
            secrets.create(&PostParams::default(), &secret).await?;
        }
    }
    Ok(())
}

async fn create(bed: &Bed, row: &Breakage) -> Result<()> {
    write(bed, &row.secrets).await?;
    bed.create(row.name, |spec| {
        for part in ["source", "store"] {
            spec[part] = row.spec[part].clone();
        }
    })
    .await?;
    Ok(())
}

/// What the operator says in the end.
async fn told(bed: &Bed, row: &Breakage) -> Result<String> {
    // The last that was said is compared, whatever it is.
    drop(bed.until_reason(row.name, row.condition, row.reason).await);
    let object = bed.pipelines().get(row.name).await?;
    Ok(condition(&object, row.condition).map_or_else(String::new, |found| {
        // Whose word it is, where one worker alone says so.
        let pod = found.message.starts_with(&format!("{}-worker-", row.name));
        let message =
            found.message.split_once(": ").filter(|_| pod).map_or(&*found.message, |(_, rest)| rest);
        format!("{} is {}: {}: {message}", found.type_, found.status, found.reason)
    }))
}

async fn mend(bed: &Bed, row: &Breakage, servers: &Broken) -> Result<()> {
    row.repair.give_rights(servers)?;
    write(bed, &row.repair.secrets).await?;
    if row.repair.spec != row.spec {
        bed.replace(row.name, |spec| {
            for part in ["source", "store"] {
                spec[part] = row.repair.spec[part].clone();
            }
        })
        .await?;
    }
    Ok(())
}

/// Those that are not ready when the time is over, with what is said of them.
async fn ill(bed: &Bed, rows: &[Breakage], directory: &Path) -> Result<Vec<String>> {
    let begin = Instant::now();
    loop {
        played::mount_again(&bed.client, &bed.namespace, directory).await?;
        let mut ill = Vec::new();
        for row in rows {
            let object = bed.pipelines().get(row.name).await?;
            let ready = condition(&object, "Ready").context("no condition Ready")?;
            if ready.status != "True" {
                ill.push(format!("{}: {}: {}", row.name, ready.reason, ready.message));
            }
        }
        if ill.is_empty() || begin.elapsed() > HEALED_WITHIN {
            eprintln!("{} of {} rows healed after {:?}", rows.len() - ill.len(), rows.len(), begin.elapsed());
            return Ok(ill);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_what_keeps_a_pipeline_out_as_plaudit_local_does_and_a_repair_heals_it()
-> Result<()> {
    let bed = Bed::idle("secure").await?;
    let (_kubelet, directory) = play(&bed)?;
    let operator = Operator::start(&bed)?;
    let servers = Broken::start()?;
    let rows = breakages(&servers)?;
    let begin = Instant::now();
    for row in &rows {
        create(&bed, row).await?;
    }

    let mut said = Vec::new();
    for row in &rows {
        said.push((row.name, told(&bed, row).await?));
    }
    eprintln!("{} rows after {:?}", rows.len(), begin.elapsed());
    for row in &rows {
        mend(&bed, row, &servers).await?;
    }
    let ill = ill(&bed, &rows, directory.path()).await?;

    let expected = rows
        .iter()
        .map(|row| (row.name, format!("{} is False: {}: {}", row.condition, row.reason, row.message)));
    let wrong: Vec<_> = said.into_iter().zip(expected).filter(|(said, row)| said != row).collect();
    assert!(wrong.is_empty(), "said, and expected: {wrong:#?}");
    assert!(ill.is_empty(), "not healed after {HEALED_WITHIN:?}: {ill:#?}");
    played::search(directory.path())?;
    operator.shows_no_secret(&bed).await
}
