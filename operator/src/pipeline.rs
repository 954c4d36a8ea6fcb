//! A pipeline that was parsed: every default resolved, every bound checked, nothing left to ask.

use std::time::Duration;

use kube::ResourceExt as _;
use plaudit_crds::worker::{WorkerConfig, WorkerDeadLetters, WorkerSource, WorkerStore};
use plaudit_crds::{
    AchievementPipeline, Achievements, Batch, InitialOffset, Paused, Scaling, Source, Store, Unlocks,
    Violation, Violations,
};

use crate::pods::{self, PodSettings};

/// A worker finishes its batches and leaves its group within this, in seconds: its drain deadline, and as long to leave.
pub const LEAST_GRACE_SECONDS: i64 = 20;

/// One pipeline as planner and workers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its namespace; `default` when the object gives none, as for kubectl.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The generation of the spec, where an API server counts them.
    pub generation: Option<i64>,
    /// Where the reports come from.
    pub source: WorkerSource,
    /// Where the players are kept.
    pub store: WorkerStore,
    /// How items are merged.
    pub achievements: Achievements,
    /// Where reached tiers are announced.
    pub unlocks: Unlocks,
    /// What happens to a record that cannot be processed.
    pub dead_letters: WorkerDeadLetters,
    /// Limits of a batch.
    pub batch: Batch,
    /// The rules for the number of workers.
    pub scaling: ScalingRules,
    /// The workers' pods.
    pub pods: PodSettings,
}

/// What decides about the number of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingRules {
    /// A fixed number of workers; `None`: the load decides.
    pub replicas: Option<u32>,
    /// Workers that always run; 0: none while nothing comes.
    pub min_replicas: u32,
    /// Workers that run at most; `None`: as many as there are partitions.
    pub max_replicas: Option<u32>,
    /// Records one worker may lag, at least 1.
    pub lag_threshold: u64,
    /// Above this age of the oldest record all workers that are needed are added in one step.
    pub max_lag: Duration,
    /// Time in which lag is to be worked off, at least a second.
    pub catch_up: Duration,
    /// Part of a worker's capacity that arrivals may take: above 0, at most 1.
    pub target_utilization: f64,
    /// Directions in which the number is left alone.
    pub paused: Paused,
    /// How long a greater decision keeps its workers.
    pub scale_in_window: Duration,
    /// After this time without lag and arrivals only `min_replicas` run.
    pub idle: Duration,
    /// Workers that run at least while the lag is unknown; `None`: their number stays.
    pub unknown_lag_replicas: Option<u32>,
    /// True: no worker runs.
    pub suspend: bool,
}

/// Why an object is no pipeline. This is a status of the object, not an error to try again.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("AchievementPipeline {object} is refused")]
pub struct Rejection {
    /// namespace/name.
    pub object: String,
    /// Every wrong field: its path, the cause and the next step.
    #[source]
    pub violations: Violations,
}

/// Checks an object and resolves its defaults.
///
/// # Errors
/// A [`Rejection`] for an object that the CRD's schema and rules refuse: they may be older than this program.
pub fn parse(object: &AchievementPipeline) -> Result<Pipeline, Rejection> {
    let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
    let name = object.name_any();
    let rejection = |violations| Rejection { object: format!("{namespace}/{name}"), violations };

    let violations = object.check();
    if !violations.is_empty() {
        return Err(rejection(violations));
    }
    let spec = &object.spec;
    let source =
        source(&spec.source, &namespace, &name).map_err(|violation| rejection(vec![violation].into()))?;
    let pods =
        pods::parse(&spec.worker, LEAST_GRACE_SECONDS).map_err(|violations| rejection(violations.into()))?;
    let dead_letters =
        WorkerDeadLetters { topic: spec.dead_letters_topic(), on_error: spec.dead_letters.on_error };
    Ok(Pipeline {
        generation: object.metadata.generation,
        source,
        store: store(&spec.store),
        achievements: spec.achievements.clone(),
        unlocks: spec.unlocks.clone(),
        dead_letters,
        batch: spec.batch.clone(),
        scaling: scaling(&spec.scaling, spec.suspend),
        pods,
        namespace,
        name,
    })
}

fn source(source: &Source, namespace: &str, name: &str) -> Result<WorkerSource, Violation> {
    // What a worker's configuration and Kafka's tools take without trouble.
    const LONGEST_GROUP: usize = 255;
    let consumer_group = source.consumer_group.clone().unwrap_or_else(|| format!("{namespace}.{name}"));
    if consumer_group.len() > LONGEST_GROUP {
        return Err(Violation {
            path: "spec.source.consumerGroup".to_owned(),
            message: format!(
                "the default, namespace.name, is longer than {LONGEST_GROUP} letters; give a shorter one"
            ),
        });
    }
    Ok(WorkerSource {
        bootstrap_servers: source.bootstrap_servers.clone(),
        topic: source.topic.clone(),
        consumer_group,
        initial_offset: source.initial_offset,
        format: source.format,
        group_protocol: source.group_protocol,
        on_topic_recreated: source.on_topic_recreated,
        on_retention_loss: source.on_retention_loss,
        max_clock_skew_seconds: source.max_clock_skew_seconds.unsigned_abs(),
        security: source.security.clone(),
        properties: source.properties.clone(),
    })
}

fn store(store: &Store) -> WorkerStore {
    WorkerStore {
        // The schema asks for exactly one.
        address: store.addresses.first().cloned().unwrap_or_default(),
        key_prefix: store.key_prefix.clone(),
        buckets: store.buckets.unsigned_abs(),
        max_value_bytes: store.max_value_bytes.unsigned_abs(),
        on_store_loss: store.on_store_loss,
        security: store.security.clone(),
    }
}

fn scaling(scaling: &Scaling, suspend: bool) -> ScalingRules {
    let behavior = &scaling.behavior;
    let seconds = |seconds: i32| Duration::from_secs(u64::from(seconds.unsigned_abs()));
    ScalingRules {
        replicas: scaling.replicas.map(i32::unsigned_abs),
        min_replicas: scaling.min_replicas.unsigned_abs(),
        max_replicas: scaling.max_replicas.map(i32::unsigned_abs),
        lag_threshold: scaling.lag_threshold.unsigned_abs(),
        max_lag: seconds(scaling.max_lag_seconds),
        catch_up: seconds(behavior.catch_up_seconds),
        target_utilization: f64::from(behavior.target_utilization_percent) / 100.0,
        paused: scaling.paused,
        scale_in_window: seconds(behavior.scale_in_window_seconds),
        idle: seconds(behavior.idle_seconds),
        unknown_lag_replicas: behavior.on_unknown_lag.replicas.map(i32::unsigned_abs),
        suspend,
    }
}

impl Pipeline {
    /// `namespace/name`.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// True when it names a Secret.
    #[must_use]
    pub fn names_secrets(&self) -> bool {
        !self.source.security.keys().is_empty() || !self.store.security.keys().is_empty()
    }

    /// True when a partition without a commit begins at its oldest record.
    #[must_use]
    pub fn starts_at_log_start(&self) -> bool {
        match self.source.initial_offset {
            InitialOffset::Earliest => true,
            InitialOffset::Latest => false,
        }
    }

    /// The configuration file of each of its workers.
    #[must_use]
    pub fn worker_config(&self) -> WorkerConfig {
        WorkerConfig {
            pipeline: self.object(),
            source: self.source.clone(),
            store: self.store.clone(),
            achievements: self.achievements.clone(),
            unlocks: self.unlocks.clone(),
            dead_letters: self.dead_letters.clone(),
            batch: self.batch.clone(),
            // A lane needs room for one batch in flight and one being decoded.
            memory_budget_bytes: WorkerConfig::default_memory_budget_bytes()
                .max(4 * self.batch.max_bytes.unsigned_abs()),
            secrets_directory: WorkerConfig::default_secrets_directory(),
            http: plaudit_crds::worker::Http::default(),
            drain_deadline_seconds: WorkerConfig::default_drain_deadline_seconds(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use plaudit_crds::security::{SourceSecurity, StoreSecurity};
    use plaudit_crds::{Format, GroupProtocol, OnError, OnRetentionLoss, OnStoreLoss, OnTopicRecreated};

    use super::*;

    pub(crate) const MINIMAL: &str = "
apiVersion: plaudit.dev/v1alpha1
kind: AchievementPipeline
metadata: {name: p, namespace: games}
spec:
  source: {bootstrapServers: 'k:9092', topic: reports}
  store: {addresses: ['v:6379']}
";

    pub(crate) fn object(extra: &str) -> AchievementPipeline {
        AchievementPipeline::from_yaml(&format!("{MINIMAL}{extra}")).expect("the object is good")
    }

    #[test]
    fn defaults_are_resolved() {
        let pipeline = parse(&object("")).expect("the minimal object is good");

        assert_eq!(
            pipeline,
            Pipeline {
                namespace: "games".to_owned(),
                name: "p".to_owned(),
                generation: None,
                source: WorkerSource {
                    bootstrap_servers: "k:9092".to_owned(),
                    topic: "reports".to_owned(),
                    consumer_group: "games.p".to_owned(),
                    initial_offset: InitialOffset::Earliest,
                    format: Format::Json,
                    group_protocol: GroupProtocol::Classic,
                    on_topic_recreated: OnTopicRecreated::Stop,
                    on_retention_loss: OnRetentionLoss::Stop,
                    max_clock_skew_seconds: 300,
                    security: SourceSecurity::default(),
                    properties: plaudit_crds::Properties::default(),
                },
                store: WorkerStore {
                    address: "v:6379".to_owned(),
                    key_prefix: "plaudit:".to_owned(),
                    buckets: 240,
                    max_value_bytes: 16384,
                    on_store_loss: OnStoreLoss::Stop,
                    security: StoreSecurity::default(),
                },
                achievements: Achievements::default(),
                unlocks: Unlocks::default(),
                dead_letters: WorkerDeadLetters {
                    topic: "reports.dead-letters".to_owned(),
                    on_error: OnError::DeadLetter,
                },
                batch: Batch::default(),
                scaling: ScalingRules {
                    replicas: None,
                    min_replicas: 1,
                    max_replicas: None,
                    lag_threshold: 10_000,
                    max_lag: Duration::from_secs(10),
                    catch_up: Duration::from_secs(60),
                    target_utilization: 0.8,
                    paused: Paused::None,
                    scale_in_window: Duration::from_secs(300),
                    idle: Duration::from_secs(300),
                    unknown_lag_replicas: None,
                    suspend: false,
                },
                pods: PodSettings::default(),
            }
        );
    }

    #[test]
    fn what_the_api_server_let_through_is_still_checked() {
        let mut object = object("");
        object.spec.store.buckets = 0;

        let rejection = parse(&object).expect_err("no buckets");

        assert_eq!(
            (rejection.to_string(), rejection.violations.to_string()),
            (
                "AchievementPipeline games/p is refused".to_owned(),
                "spec.store.buckets: 0 is out of range; write a whole number from 1 to 16384".to_owned()
            )
        );
    }

    #[test]
    fn an_object_whose_name_no_worker_would_take_is_refused() {
        let mut object = object("");
        object.metadata.name = None;
        let nameless = parse(&object).expect_err("it has no name");
        object.metadata.name = Some("UPPER".to_owned());
        object.metadata.namespace = Some("a/b".to_owned());

        let strange = parse(&object).expect_err("the name is none");

        assert_eq!(
            [nameless.violations.to_string(), strange.violations.to_string()],
            [
                "metadata.name: is missing; add it (the pipeline's name)",
                "metadata.name: \"UPPER\" does not fit; write up to 253 of a-z, 0-9, '.' and '-'\n\
                 metadata.namespace: \"a/b\" does not fit; write up to 63 of a-z, 0-9 and '-'",
            ]
        );
    }

    #[test]
    fn a_default_group_that_is_too_long_is_refused() {
        let mut object = object("");
        object.metadata.name = Some("n".repeat(253));

        let rejection = parse(&object).expect_err("the group is too long");

        assert_eq!(
            rejection.violations.to_string(),
            "spec.source.consumerGroup: the default, namespace.name, is longer than 255 letters; give a shorter one"
        );
    }

    #[test]
    fn the_workers_configuration_is_one_a_worker_accepts() {
        let config = parse(&object("  batch: {maxBytes: 67108864}")).expect("good").worker_config();

        assert_eq!(WorkerConfig::from_yaml(&config.to_yaml()).expect("a worker accepts it"), config);
    }
}
