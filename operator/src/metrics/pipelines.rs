//! Gauges of each pipeline, made when somebody asks: a registry's own would take a kilobyte each, eight for every pipeline.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge as Value, LabelPair, Metric, MetricFamily, MetricType};

/// What is told of each pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gauge {
    LagRecords,
    LagSeconds,
    MaxLagSeconds,
    Ready,
    ScalingPaused,
    Suspended,
    WorkersReady,
    WorkersWanted,
}

/// Name and help, in the order of [`Gauge`].
const GAUGES: [(&str, &str); 8] = [
    ("lag_records", "Records behind the log end, by pipeline; absent while unknown."),
    ("lag_seconds", "Age of the oldest record that waits, by pipeline; absent while unknown."),
    ("max_lag_seconds", "How old that record may become: scaling.maxLagSeconds of the pipeline."),
    ("pipeline_ready", "1 while a pipeline's condition Ready is true, else 0."),
    ("scaling_paused", "1 while scaling.paused of a pipeline leaves workers alone in a direction, else 0."),
    ("pipeline_suspended", "1 while a pipeline is suspended, else 0."),
    ("workers_ready", "Workers of a pipeline that are ready."),
    ("workers_wanted", "Workers that a pipeline should have."),
];
const LABELS: [&str; 2] = ["namespace", "pipeline"];

/// Values by namespace and name; `None`: unknown, which is no series. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pipelines {
    descriptions: Arc<[Desc]>,
    values: Arc<Mutex<BTreeMap<(String, String), Values>>>,
}

type Values = [Option<i64>; GAUGES.len()];

impl Pipelines {
    /// # Errors
    /// Only if a name or help were none.
    pub(super) fn new(prefix: &str) -> Result<Self, prometheus::Error> {
        let labels = || LABELS.map(ToOwned::to_owned).to_vec();
        let described = GAUGES.map(|(name, help)| {
            Desc::new(format!("{prefix}_{name}"), help.to_owned(), labels(), HashMap::new())
        });
        let descriptions = described.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { descriptions, values: Arc::default() })
    }

    pub(super) fn set(&self, namespace: &str, pipeline: &str, gauges: &[(Gauge, Option<i64>)]) {
        let mut values = self.values();
        let values = values.entry((namespace.to_owned(), pipeline.to_owned())).or_default();
        for (gauge, value) in gauges {
            values[*gauge as usize] = *value;
        }
    }

    /// A pipeline that is gone keeps no series.
    pub(super) fn forget(&self, namespace: &str, pipeline: &str) {
        self.values().remove(&(namespace.to_owned(), pipeline.to_owned()));
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<(String, String), Values>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Pipelines {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let values = self.values();
        let families = self.descriptions.iter().enumerate().map(|(at, description)| {
            let known = values.iter().filter_map(|(labels, values)| Some((labels, values[at]?)));
            let mut family = MetricFamily::default();
            family.set_name(description.fq_name.clone());
            family.set_help(description.help.clone());
            family.set_field_type(MetricType::GAUGE);
            family.set_metric(known.map(|(labels, value)| metric(labels, value)).collect());
            family
        });
        families.collect()
    }
}

fn metric((namespace, pipeline): &(String, String), value: i64) -> Metric {
    let labels = LABELS.into_iter().zip([namespace, pipeline]).map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value.clone());
        label
    });
    let mut gauge = Value::default();
    #[expect(clippy::cast_precision_loss, reason = "the format has floats only")]
    gauge.set_value(value as f64);
    let mut metric = Metric::from_gauge(gauge);
    metric.set_label(labels.collect());
    metric
}
