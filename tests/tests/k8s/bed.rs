//! A bed is a namespace of the shared cluster with an operator for it, and topics on the shared Kafka.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client, Config, CustomResourceExt as _, Resource};
use plaudit::admin::Health;
use plaudit::children::Settings;
use plaudit::controller::{self, Options};
use plaudit::metrics::Metrics;
use plaudit::rbac::{self, LEASE, Scope};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::stack::kubernetes::kubelet::{Kubelet, Pretend};
use plaudit_tests::stack::kubernetes::{self, Cluster, ClusterOptions, eventually, shared};
use plaudit_tests::stack::{self, unique_name};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;
const ROLE: &str = "plaudit";

/// A namespace with an operator.
pub struct Bed {
    /// May everything.
    pub client: Client,
    /// May what the operator's Role says, and nothing else.
    operator: Client,
    pub namespace: String,
    pub topic: String,
    stop: CancellationToken,
    /// Labels of the pipelines that are the operator's business; none: all.
    selector: Option<String>,
    /// Ends the operator when the bed is dropped.
    _operator: Option<AbortOnDropHandle<()>>,
    /// Whoever plays the pods; none: nobody does.
    kubelet: Option<Kubelet>,
    /// A cluster of its own, where the test changes what all share.
    cluster: Option<Arc<Cluster>>,
}

impl Bed {
    /// An operator in a new namespace of the shared cluster.
    pub async fn start(name: &str) -> Result<Self> {
        Ok(Self::idle(name).await?.with_operator())
    }

    /// A namespace of the shared cluster, for operators that the test starts itself.
    pub async fn idle(name: &str) -> Result<Self> {
        let cluster = shared();
        Self::of(cluster, cluster.namespace(name).await?, None).await
    }

    /// For an operator's process, with its rights.
    pub fn operator_kubeconfig(&self) -> Result<PathBuf> {
        shared().kubeconfig(&user_of(&self.namespace), &[])
    }

    /// A namespace on a cluster of its own; the operator comes later.
    pub async fn without_operator(name: &str) -> Result<Self> {
        let cluster = Arc::new(Cluster::start(ClusterOptions::default())?);
        let namespace = cluster.namespace(name).await?;
        Self::of(&cluster, namespace, Some(cluster.clone())).await
    }

    async fn of(cluster: &Cluster, namespace: String, own: Option<Arc<Cluster>>) -> Result<Self> {
        let operator =
            operator_of(cluster, &namespace, &rbac::manifest(Scope::Namespace(&namespace), ROLE, LEASE))
                .await?;
        Self::with(cluster, namespace, operator, own)
    }

    /// A namespace of this cluster, for an operator that asks through `operator`.
    pub fn on(cluster: &Arc<Cluster>, namespace: String, operator: Client) -> Result<Self> {
        Self::with(cluster, namespace, operator, Some(cluster.clone()))
    }

    fn with(
        cluster: &Cluster,
        namespace: String,
        operator: Client,
        own: Option<Arc<Cluster>>,
    ) -> Result<Self> {
        let topic = unique_name("k8s");
        let kafka = &stack::shared().kafka;
        kafka.create_topic(&topic, PARTITIONS, &[])?;
        kafka.create_topic(&format!("{topic}.dead-letters"), 1, &[])?;
        Ok(Self {
            client: cluster.client()?,
            operator,
            namespace,
            topic,
            stop: CancellationToken::new(),
            selector: None,
            _operator: None,
            kubelet: None,
            cluster: own,
        })
    }

    /// What an operator's client is made of.
    pub fn operator_config(&self) -> Result<Config> {
        shared().config_of(&user_of(&self.namespace), &[])
    }

    /// The operators to come look after pipelines with these labels only.
    pub fn with_selector(mut self, selector: &str) -> Self {
        self.selector = Some(selector.to_owned());
        self
    }

    /// The pods of the namespace are played; each becomes ready.
    pub fn with_pods(mut self) -> Result<Self> {
        self.kubelet = Some(Kubelet::start(self.config()?, Some(&self.namespace), Pretend::quick())?);
        Ok(self)
    }

    /// Whether somebody plays the pods.
    pub fn has_pods(&self) -> bool {
        self.kubelet.is_some()
    }

    /// An operator that asks through this client.
    pub fn with_operator_through(mut self, operator: Client) -> Self {
        self.operator = operator;
        self.with_operator()
    }

    /// For clients that may everything.
    pub fn config(&self) -> Result<Config> {
        self.cluster.as_ref().map_or_else(|| shared().config(), |own| own.config())
    }

    pub fn with_operator(mut self) -> Self {
        let options = Options {
            namespace: Some(self.namespace.clone()),
            selector: self.selector.clone(),
            period: Duration::from_millis(500),
            settings: Settings { worker_image: "example.test/worker:1".to_owned(), image_pull_policy: None },
            instance: "operator-0".to_owned(),
        };
        let (client, stop) = (self.operator.clone(), self.stop.clone());
        let operator = tokio::spawn(async move {
            let metrics = Metrics::new().expect("each metric has a name of its own");
            controller::run(client, options, metrics, &Health::default(), stop).await;
        });
        self._operator = Some(AbortOnDropHandle::new(operator));
        self
    }

    /// The operator ends and another one begins, which remembers nothing.
    pub fn with_another_operator(mut self) -> Self {
        self.stop.cancel();
        self.stop = CancellationToken::new();
        self.with_operator()
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn pipelines(&self) -> Api<AchievementPipeline> {
        self.api()
    }

    /// Creates a pipeline on the bed's topic with keys of its own; `change` edits its spec.
    pub async fn create(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<DynamicObject> {
        let resource = AchievementPipeline::api_resource();
        let object = self.raw(name, change);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        Ok(api.create(&PostParams::default(), &object).await?)
    }

    /// The same pipeline without creating it.
    pub fn object(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<AchievementPipeline> {
        Ok(self.raw(name, change).try_parse()?)
    }

    /// Creates a pipeline.
    pub async fn apply(&self, object: &AchievementPipeline) -> Result<()> {
        self.pipelines().create(&PostParams::default(), object).await?;
        Ok(())
    }

    fn raw(&self, name: &str, change: impl FnOnce(&mut Value)) -> DynamicObject {
        let servers = stack::shared();
        let mut spec = json!({
            "source": {"bootstrapServers": servers.kafka.bootstrap(), "topic": self.topic},
            "store": {"addresses": [servers.valkey.address()], "keyPrefix": format!("{}:", unique_name(name))},
        });
        change(&mut spec);
        let resource = AchievementPipeline::api_resource();
        let mut object = DynamicObject::new(name, &resource).within(&self.namespace);
        object.data = json!({"spec": spec});
        object
    }

    /// Edits a pipeline's spec as somebody with an editor does: what is not there any more is gone.
    pub async fn replace(&self, name: &str, edit: impl Fn(&mut Value)) -> Result<()> {
        let resource = AchievementPipeline::api_resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        eventually("an edit that nobody came before", LIMIT, async || {
            let mut object = api.get(name).await?;
            edit(&mut object.data["spec"]);
            match api.replace(name, &PostParams::default(), &object).await {
                Ok(_) => Ok(Some(())),
                Err(kube::Error::Api(refusal)) if refusal.code == 409 => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Changes a pipeline by a merge patch.
    pub async fn edit(&self, name: &str, change: Value) -> Result<()> {
        self.pipelines().patch(name, &PatchParams::default(), &Patch::Merge(change)).await?;
        Ok(())
    }

    pub async fn until_condition(&self, name: &str, condition: &str, status: &str) -> Result<String> {
        self.until(name, condition, &format!("to be {status}"), |found| found.status == status).await
    }

    pub async fn until_reason(&self, name: &str, condition: &str, reason: &str) -> Result<String> {
        self.until(name, condition, &format!("for {reason}"), |found| found.reason == reason).await
    }

    /// The condition's message, once it is as asked.
    async fn until(
        &self,
        name: &str,
        wanted: &str,
        what: &str,
        is: impl Fn(&Condition) -> bool,
    ) -> Result<String> {
        let resource = AchievementPipeline::api_resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let mut last = Value::Null;
        let begin = std::time::Instant::now();
        while begin.elapsed() < LIMIT {
            last = api.get(name).await?.data["status"]["conditions"].clone();
            let conditions: Vec<Condition> = serde_json::from_value(last.clone()).unwrap_or_default();
            if let Some(found) = conditions.iter().find(|found| found.type_ == wanted && is(found)) {
                return Ok(found.message.clone());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        anyhow::bail!("waited {LIMIT:?} in vain for {wanted} of {name} {what}; last: {last:#}")
    }

    /// Workers that the Deployment of a pipeline asks for.
    pub async fn replicas(&self, name: &str) -> Result<Option<i32>> {
        let deployment = self.api::<Deployment>().get_opt(&format!("{name}-worker")).await?;
        Ok(deployment.and_then(|found| found.spec?.replicas))
    }
}

fn user_of(namespace: &str) -> String {
    format!("operator-of-{namespace}")
}

/// A client with the rights of the Roles in `manifest`.
pub async fn operator_of(cluster: &Cluster, namespace: &str, manifest: &str) -> Result<Client> {
    let user = user_of(namespace);
    cluster.allow(namespace, &user, manifest).await?;
    kubernetes::client(cluster.config_of(&user, &[])?)
}

/// A condition of a pipeline.
pub fn condition<'a>(object: &'a AchievementPipeline, name: &str) -> Option<&'a Condition> {
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == name)
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
