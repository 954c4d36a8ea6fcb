//! Questions to the endpoints of a program on this machine, and what its metrics say.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Who takes longer does not answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Status and body of a GET of `http://<address><path>`.
pub(crate) fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

/// One line of metrics in Prometheus' text format: labels by name, and the value.
pub(crate) type Series<'a> = (BTreeMap<&'a str, &'a str>, f64);

/// The series of one metric. Values of labels must be without commas and quotes, as those of the metrics that are asked for here are.
pub(crate) fn series<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = Series<'a>> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
        let labels = pairs.map(|(label, value)| (label, value.trim_matches('"'))).collect();
        Some((labels, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_those_of_one_metric_with_their_labels() {
        let text = "# TYPE requests_total counter\n\
                    requests_total{verb=\"GET\",code=\"200\"} 3\n\
                    requests_total{verb=\"PUT\",code=\"409\"} 1.5e+01\n\
                    requests_total_more{verb=\"GET\"} 9\n\
                    up 1\n";

        let requests: Vec<_> = series(text, "requests_total").collect();
        let up: Vec<_> = series(text, "up").collect();

        assert_eq!(
            (requests, up),
            (
                vec![
                    (BTreeMap::from([("code", "200"), ("verb", "GET")]), 3.0),
                    (BTreeMap::from([("code", "409"), ("verb", "PUT")]), 15.0),
                ],
                vec![(BTreeMap::new(), 1.0)]
            )
        );
    }
}
