//! What a load prints at its end.

use std::fmt;
use std::time::Duration;

use super::producer::Summary;

impl Summary {
    pub fn complete(&self) -> bool {
        self.failed == 0 && self.acknowledged == self.sent
    }

    /// Acknowledged records per second, from the first sent to the last acknowledged.
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |share| {
            let found = self.latency.quantile(share);
            found.map_or_else(
                || "-".to_owned(),
                |found: Duration| format!("{:.1} ms", found.as_secs_f64() * 1e3),
            )
        };
        write!(
            out,
            "{} sent, {} acknowledged, {} failed in {:.1} s ({:.0}/s); acknowledged after p50 {}, p99 {}",
            self.sent,
            self.acknowledged,
            self.failed,
            self.elapsed.as_secs_f64(),
            self.rate(),
            millis(0.5),
            millis(0.99),
        )?;
        let tally = &self.tally;
        let named = [("late", tally.late), ("duplicate", tally.duplicates), ("misrouted", tally.misrouted)]
            .into_iter()
            .chain(tally.bad.iter().map(|(bad, &count)| (bad.name(), count)))
            .filter(|&(_, count)| count > 0);
        for (index, (name, count)) in named.enumerate() {
            let before = if index == 0 { "\nof these " } else { ", " };
            write!(out, "{before}{count} {name}")?;
        }
        if let Some(failure) = &self.first_failure {
            write!(out, "\nfirst failure: {failure}")?;
        }
        Ok(())
    }
}
