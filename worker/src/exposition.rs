//! Metrics as Prometheus takes them, and as docs/metrics.md lists them.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus::core::Collector;
use prometheus::{
    CounterVec, Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Makes metrics whose names share a prefix, and registers them.
#[derive(Debug)]
pub struct Builder {
    pub registry: Registry,
    prefix: &'static str,
}

impl Builder {
    #[must_use]
    pub fn new(prefix: &'static str) -> Self {
        Self { registry: Registry::new(), prefix }
    }

    /// # Errors
    /// As all functions below: a name that is taken, or none.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::with_opts(self.opts(name, help))?)
    }

    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(self.opts(name, help), labels)?)
    }

    pub fn counters_of_fractions(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<CounterVec, prometheus::Error> {
        self.add(CounterVec::new(self.opts(name, help), labels)?)
    }

    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::with_opts(self.opts(name, help))?)
    }

    pub fn gauge_of_fractions(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.add(Gauge::with_opts(self.opts(name, help))?)
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(self.opts(name, help), labels)?)
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts { common_opts: self.opts(name, help), buckets: buckets.to_vec() };
        self.add(Histogram::with_opts(opts)?)
    }

    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts { common_opts: self.opts(name, help), buckets: buckets.to_vec() };
        self.add(HistogramVec::new(opts, labels)?)
    }

    /// Registers metrics of one's own.
    pub fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace(self.prefix)
    }
}

/// Everything that is registered, in the text format.
#[must_use]
pub fn text(registry: &Registry) -> String {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = TextEncoder::new().encode(&registry.gather(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The answer to `GET /metrics`.
#[must_use]
pub fn response(registry: &Registry) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text(registry)).into_response()
}

/// A table of everything that is registered; metrics with labels need one value to be seen.
#[must_use]
pub fn table(registry: &Registry) -> String {
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in registry.gather() {
        let labels: Vec<&str> =
            family.get_metric()[0].get_label().iter().map(prometheus::proto::LabelPair::name).collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let labels = labels.join(", ");
        table += &format!("| `{}` | {kind} | {labels} | {} |\n", family.name(), family.help());
    }
    table
}

/// `document` with the first table below `heading` replaced; `None` where there is no such heading or table.
#[must_use]
pub fn with_table(document: &str, heading: &str, table: &str) -> Option<String> {
    let section = document.find(&format!("{heading}\n"))?;
    let start = section + document[section..].find("| metric |")?;
    let end = document[start..].find("\n\n").map_or(document.len(), |length| start + length + 1);
    Some(format!("{}{table}{}", &document[..start], &document[end..]))
}

/// Whether every name has the prefix, every metric a meaning, and counters and nothing else end in `_total`: the first that does
/// not.
#[must_use]
pub fn unconventional(registry: &Registry, prefix: &str) -> Option<String> {
    let is_conventional = |family: &prometheus::proto::MetricFamily| {
        let is_counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
        family.name().starts_with(prefix)
            && !family.help().is_empty()
            && is_counter == family.name().ends_with("_total")
    };
    registry.gather().iter().find(|family| !is_conventional(family)).map(|family| family.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_of_several_is_replaced() {
        let document = "# M\n\n## A\n\n| metric | old\n|--|\n\n## B\ntext\n\n| metric | other\n";

        let replaced =
            ["## A", "## B", "## C"].map(|heading| with_table(document, heading, "| metric | new\n"));

        assert_eq!(
            replaced,
            [
                Some("# M\n\n## A\n\n| metric | new\n\n## B\ntext\n\n| metric | other\n".to_owned()),
                Some("# M\n\n## A\n\n| metric | old\n|--|\n\n## B\ntext\n\n| metric | new\n".to_owned()),
                None
            ]
        );
    }
}
