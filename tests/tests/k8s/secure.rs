//! What is wrong with TLS, logins, rights and Secrets is said by the operator as `plaudit local` says it.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use plaudit_tests::played;
use plaudit_tests::secured::{Breakage, Broken, breakages};

use crate::bed::{Bed, condition};
use crate::breakages::play;
use crate::process::Operator;

async fn create(bed: &Bed, row: &Breakage) -> Result<()> {
    let secrets: Api<Secret> = bed.api();
    for (name, values) in &row.secrets.0 {
        let data: BTreeMap<String, ByteString> =
            values.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect();
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let secret = Secret { metadata, data: Some(data), ..Secret::default() };
        secrets.create(&PostParams::default(), &secret).await?;
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_what_keeps_a_pipeline_out_as_plaudit_local_does() -> Result<()> {
    let bed = Bed::idle("secure").await?;
    let (_kubelet, directory) = play(&bed)?;
    let operator = Operator::start(&bed)?;
    let servers = Broken::start()?;
    let rows = breakages(&servers)?;
    for row in &rows {
        create(&bed, row).await?;
    }

    let mut said = Vec::new();
    for row in &rows {
        said.push((row.name, told(&bed, row).await?));
    }

    let expected = rows
        .iter()
        .map(|row| (row.name, format!("{} is False: {}: {}", row.condition, row.reason, row.message)));
    let wrong: Vec<_> = said.into_iter().zip(expected).filter(|(said, row)| said != row).collect();
    assert!(wrong.is_empty(), "said, and expected: {wrong:#?}");
    played::search(directory.path())?;
    operator.shows_no_secret(&bed).await
}
