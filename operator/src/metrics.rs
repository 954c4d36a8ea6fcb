//! The operator's metrics. docs/metrics.md lists them; a test holds the two together.

mod pipelines;

use std::time::Duration;

use plaudit_crds::{AchievementPipelineStatus, LastDecision, Paused};
use plaudit_worker::exposition::Builder;
use plaudit_worker::process;
use prometheus::{CounterVec, Histogram, HistogramVec, IntCounterVec, IntGauge, Registry};

use self::pipelines::{Gauge, Pipelines};

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// What was planned is there.
    Ok,
    /// The object is no pipeline; its status says why.
    Rejected,
    /// Another pipeline owns its group or its players.
    Conflict,
    /// Something failed; it is tried again.
    Error,
}

impl ReconcileResult {
    pub const ALL: [Self; 4] = [Self::Ok, Self::Rejected, Self::Conflict, Self::Error];

    /// The value of the label `result`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Conflict => "conflict",
            Self::Error => "error",
        }
    }
}

/// Every metric of the operator, in its own registry. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub registry: Registry,
    reconciles: IntCounterVec,
    reconcile_duration: Histogram,
    api_requests: IntCounterVec,
    api_request_duration: HistogramVec,
    kafka_requests: IntCounterVec,
    lag_queries: IntCounterVec,
    lag_query_seconds: CounterVec,
    lag_errors: IntCounterVec,
    decisions: IntCounterVec,
    lateness: Histogram,
    leader: IntGauge,
    pipelines: IntGauge,
    of_pipelines: Pipelines,
    resident: IntGauge,
}

/// Upper bounds in seconds, from an answer out of a cache to a server that hangs.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// A look is due each two seconds; the target is three from lag to patched replicas.
const LATENESS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0];
const PREFIX: &str = "plaudit_operator";

impl Metrics {
    /// # Errors
    /// Only if two metrics had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let new = Builder::new(PREFIX);
        let metrics = Self {
            reconciles: new.counters("reconciles_total", "Reconciles, by result.", &["result"])?,
            reconcile_duration: new.histogram(
                "reconcile_duration_seconds",
                "From the start of a reconcile to its end.",
                &SECONDS,
            )?,
            api_requests: new.counters(
                "api_requests_total",
                "Requests to the API server, by kind, verb and status code; none: no answer, or not sent.",
                &["resource", "verb", "code"],
            )?,
            api_request_duration: new.histograms(
                "api_request_duration_seconds",
                "From a request to the first of its answer, by verb.",
                &["verb"],
                &SECONDS,
            )?,
            kafka_requests: new.counters("kafka_requests_total", "Requests to Kafka, by kind.", &["kind"])?,
            lag_queries: new.counters(
                "lag_queries_total",
                "Questions to Kafka that were answered, by kind.",
                &["kind"],
            )?,
            lag_query_seconds: new.counters_of_fractions(
                "lag_query_seconds_total",
                "Time from those questions to their answers, by kind.",
                &["kind"],
            )?,
            lag_errors: new.counters(
                "lag_errors_total",
                "Questions to Kafka that failed, by kind.",
                &["kind"],
            )?,
            decisions: new.counters(
                "decisions_total",
                "Decisions about the number of workers, by reason.",
                &["reason"],
            )?,
            lateness: new.histogram(
                "scale_loop_lateness_seconds",
                "How much later than due a pipeline was looked at.",
                &LATENESS,
            )?,
            leader: new.gauge("leader", "1 while this operator leads, else 0.")?,
            pipelines: new.gauge("pipelines", "Pipelines that this operator takes care of.")?,
            of_pipelines: new.add(Pipelines::new(PREFIX)?)?,
            resident: new.gauge("resident_memory_bytes", "Resident memory of the process.")?,
            registry: {
                let build = new.gauges("build_info", "1; the version is in the label.", &["version"])?;
                build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
                new.registry
            },
        };
        // A counter that has not counted yet is 0, not absent: alerts on its rate see the first event.
        for result in ReconcileResult::ALL {
            metrics.reconciles.with_label_values(&[result.as_str()]);
        }
        Ok(metrics)
    }

    pub fn reconciled(&self, result: ReconcileResult, took: Duration) {
        self.reconciles.with_label_values(&[result.as_str()]).inc();
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// A request to the API server; `code` is `None` when no answer came.
    pub fn api_request(&self, resource: &str, verb: &str, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self.api_requests.with_label_values(&[resource, verb, &code]).inc();
        self.api_request_duration.with_label_values(&[verb]).observe(took.as_secs_f64());
    }

    /// Requests that a Kafka client sent since the last call; `kind` is the protocol's name of the request.
    pub fn kafka_requests(&self, kind: &str, count: u64) {
        self.kafka_requests.with_label_values(&[kind]).inc_by(count);
    }

    /// Questions of one kind since the last call: answers, those that were errors, and the time that all took.
    pub fn lag_queries(&self, kind: &str, answers: u64, errors: u64, took: Duration) {
        self.lag_queries.with_label_values(&[kind]).inc_by(answers);
        self.lag_query_seconds.with_label_values(&[kind]).inc_by(took.as_secs_f64());
        self.lag_errors.with_label_values(&[kind]).inc_by(errors);
    }

    /// A decision about a pipeline, and what it was made from.
    pub fn decided(&self, namespace: &str, pipeline: &str, decision: &LastDecision) {
        self.decisions.with_label_values(&[&decision.reason]).inc();
        let inputs = &decision.inputs;
        let gauges = [
            (Gauge::LagSeconds, inputs.lag_seconds),
            (Gauge::MaxLagSeconds, Some(inputs.max_lag_seconds.into())),
            (Gauge::Suspended, Some(inputs.suspend.into())),
            (Gauge::ScalingPaused, Some((inputs.paused != Paused::None).into())),
        ];
        self.of_pipelines.set(namespace, pipeline, &gauges);
    }

    /// What a pipeline's status says.
    pub fn told(&self, namespace: &str, pipeline: &str, status: &AchievementPipelineStatus) {
        let is_ready = status.conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True");
        self.of_pipelines.set(namespace, pipeline, &[(Gauge::Ready, Some(is_ready.into()))]);
    }

    pub fn late(&self, by: Duration) {
        self.lateness.observe(by.as_secs_f64());
    }

    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub fn pipelines(&self, count: usize) {
        self.pipelines.set(gauge(count as u64));
    }

    pub fn workers(&self, namespace: &str, pipeline: &str, wanted: u32, ready: u32) {
        let gauges = [(Gauge::WorkersWanted, Some(wanted.into())), (Gauge::WorkersReady, Some(ready.into()))];
        self.of_pipelines.set(namespace, pipeline, &gauges);
    }

    /// `None`: unknown, which is not 0.
    pub fn lag(&self, namespace: &str, pipeline: &str, records: Option<u64>) {
        self.of_pipelines.set(namespace, pipeline, &[(Gauge::LagRecords, records.map(gauge))]);
    }

    /// A pipeline that is gone keeps no series.
    pub fn forget(&self, namespace: &str, pipeline: &str) {
        self.of_pipelines.forget(namespace, pipeline);
    }

    /// Refreshes what is read, not counted.
    pub fn refresh(&self) {
        self.resident.set(gauge(process::resident_bytes()));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use plaudit_crds::DecisionInputs;
    use plaudit_worker::exposition;

    use super::*;

    fn metrics_with_every_label() -> Metrics {
        let metrics = Metrics::new().unwrap();
        metrics.reconciled(ReconcileResult::Ok, Duration::ZERO);
        metrics.api_request("deployments", "patch", Some(200), Duration::ZERO);
        metrics.kafka_requests("ListOffsets", 1);
        metrics.lag_queries("logEnds", 1, 0, Duration::ZERO);
        metrics.decided("games", "achievements", &decision(Some(1)));
        metrics.told("games", "achievements", &AchievementPipelineStatus::default());
        metrics.workers("games", "achievements", 1, 1);
        metrics.lag("games", "achievements", Some(1));
        metrics
    }

    fn decision(lag_seconds: Option<i64>) -> LastDecision {
        let inputs = DecisionInputs {
            replicas: 1,
            ready_replicas: Some(1),
            lag: lag_seconds,
            lag_seconds,
            arrivals_per_second: None,
            worker_capacity: None,
            partitions: Some(1),
            lag_threshold: 1,
            max_lag_seconds: 10,
            min_replicas: 1,
            max_replicas: None,
            paused: Paused::In,
            suspend: false,
        };
        let (reason, message) = ("Lag".to_owned(), String::new());
        LastDecision { inputs, formula: None, clamps: Vec::new(), result: 1, reason, message }
    }

    /// UPDATE_GENERATED=1 (`make generate`) writes the file instead.
    #[test]
    fn the_documented_metrics_are_the_exported_ones() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let text = std::fs::read_to_string(path).unwrap();
        let table = exposition::table(&metrics_with_every_label().registry);
        let generated = exposition::with_table(&text, "## Operator", &table).unwrap();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, &generated).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), generated, "run `make generate`");
    }

    #[test]
    fn counters_end_in_total_and_every_metric_says_what_it_is() {
        assert_eq!(
            exposition::unconventional(&metrics_with_every_label().registry, "plaudit_operator_"),
            None
        );
    }

    #[test]
    fn a_pipeline_that_is_gone_and_a_lag_that_is_unknown_have_no_series() {
        let metrics = Metrics::new().unwrap();
        let series = || {
            let text = exposition::text(&metrics.registry);
            let lines = text.lines().filter(|line| line.contains("pipeline=\""));
            lines.map(|line| line.replace("plaudit_operator_", "")).collect::<Vec<_>>()
        };
        metrics.workers("games", "a", 3, 2);
        metrics.lag("games", "a", Some(7));
        metrics.decided("games", "a", &decision(Some(4)));
        metrics.told("games", "a", &AchievementPipelineStatus::default());
        let known = series();
        metrics.lag("games", "a", None);
        metrics.decided("games", "a", &decision(None));
        let unknown = series();
        metrics.forget("games", "a");

        let gone = series();

        let line = |name: &str, value: u64| format!("{name}{{namespace=\"games\",pipeline=\"a\"}} {value}");
        let always = [
            line("max_lag_seconds", 10),
            line("pipeline_ready", 0),
            line("pipeline_suspended", 0),
            line("scaling_paused", 1),
            line("workers_ready", 2),
            line("workers_wanted", 3),
        ];
        assert_eq!(known, [&[line("lag_records", 7), line("lag_seconds", 4)], &always[..]].concat());
        assert_eq!(unknown, always);
        assert_eq!(gone, Vec::<String>::new());
    }
}
