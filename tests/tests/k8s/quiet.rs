//! What a bed's operator and Kubernetes have made of its pipelines, and whether they are done with it.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use plaudit_tests::stack::kubernetes::eventually;
use serde::de::DeserializeOwned;

use crate::bed::{Bed, LIMIT};

impl Bed {
    /// Names of all children.
    pub async fn children(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=plaudit");
        names.extend(self.api::<Deployment>().list(&ours).await?.iter().map(ResourceExt::name_any));
        names.extend(self.api::<ConfigMap>().list(&ours).await?.iter().map(ResourceExt::name_any));
        names.extend(self.api::<Service>().list(&ours).await?.iter().map(ResourceExt::name_any));
        names.extend(self.api::<PodDisruptionBudget>().list(&ours).await?.iter().map(ResourceExt::name_any));
        Ok(names)
    }

    /// Resource versions of pipelines and children: any write changes one.
    pub async fn versions(&self) -> Result<Vec<String>> {
        let mut versions = versions_of(&self.pipelines()).await?;
        versions.extend(versions_of(&self.api::<Deployment>()).await?);
        versions.extend(versions_of(&self.api::<ConfigMap>()).await?);
        versions.extend(versions_of(&self.api::<Service>()).await?);
        versions.extend(versions_of(&self.api::<PodDisruptionBudget>()).await?);
        Ok(versions)
    }

    /// Waits until the controller manager has counted the pods of each Deployment, those that are ready as well where somebody
    /// plays them, which is its last word, and nothing has been written for four seconds.
    pub async fn until_quiet(&self) -> Result<()> {
        const QUIET: Duration = Duration::from_secs(4);
        let played = self.has_pods();
        eventually("the pods of each Deployment to be counted", 3 * LIMIT, async || {
            let all = ListParams::default();
            let deployments = self.api::<Deployment>().list(&all).await?.items;
            let budgets = self.api::<PodDisruptionBudget>().list(&all).await?.items;
            let counted = deployments.iter().all(|deployment| {
                let of_it = |budget: &&PodDisruptionBudget| budget.name_any() == deployment.name_any();
                is_counted(deployment, played)
                    && budgets.iter().find(of_it).is_none_or(|budget| is_budgeted(budget, deployment, played))
            });
            Ok(counted.then_some(()))
        })
        .await?;
        let begin = Instant::now();
        let (mut since, mut last) = (begin, self.versions().await?);
        while since.elapsed() < QUIET {
            ensure!(begin.elapsed() < LIMIT, "something is written again and again: {last:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.versions().await?;
            if now != last {
                (since, last) = (Instant::now(), now);
            }
        }
        Ok(())
    }
}

/// Name and resource version of each object.
async fn versions_of<K>(api: &Api<K>) -> Result<Vec<String>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let found = api.list(&ListParams::default()).await?;
    let line =
        |object: &K| format!("{} {}", object.name_any(), object.resource_version().unwrap_or_default());
    Ok(found.iter().map(line).collect())
}

fn asked(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
}

/// Whether the controller manager has seen the Deployment as it is, and as many new pods as it asks for: all ready if they are played,
/// none if not.
fn is_counted(deployment: &Deployment, played: bool) -> bool {
    let (asked, up) = (asked(deployment), if played { asked(deployment) } else { 0 });
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && [status.replicas, status.updated_replicas].map(Option::unwrap_or_default) == [asked; 2]
            && [status.ready_replicas, status.available_replicas].map(Option::unwrap_or_default) == [up; 2]
    })
}

/// The same of what it says in the disruption budget of a Deployment.
fn is_budgeted(budget: &PodDisruptionBudget, deployment: &Deployment, played: bool) -> bool {
    let (asked, up) = (asked(deployment), if played { asked(deployment) } else { 0 });
    budget.status.as_ref().is_some_and(|status| {
        status.observed_generation == budget.metadata.generation
            && (status.expected_pods, status.current_healthy) == (asked, up)
    })
}
