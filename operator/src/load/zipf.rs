//! A sampler of Zipf-distributed ranks: a few players report all the time, most rarely.

use fastrand::Rng;

/// Draws ranks `0..count`, rank k with a weight of (k + 1)^-exponent, in constant time and without a table.
///
/// Source: W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
/// distributions", ACM TOMACS 6.3 (1996).
#[derive(Clone, Debug)]
pub struct Zipf {
    count: f64,
    exponent: f64,
    /// The integral of the weights at 1.5, less 1; and at count + 0.5.
    lower: f64,
    upper: f64,
    /// Below this distance to the rank no evaluation is needed to accept.
    certain: f64,
}

impl Zipf {
    /// `exponent` 0 draws evenly; `count` is at least 1.
    pub fn new(count: u64, exponent: f64) -> Self {
        let count = count.max(1) as f64;
        let mut zipf = Self { count, exponent, lower: 0.0, upper: 0.0, certain: 0.0 };
        zipf.lower = zipf.integral(1.5) - 1.0;
        zipf.upper = zipf.integral(count + 0.5);
        zipf.certain = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    pub fn sample(&self, rng: &mut Rng) -> u64 {
        loop {
            let drawn = self.upper + rng.f64() * (self.lower - self.upper);
            let x = self.inverse(drawn);
            let rank = x.round().clamp(1.0, self.count);
            if rank - x <= self.certain || drawn >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        exp_minus_one_over((1.0 - self.exponent) * log) * log
    }

    fn inverse(&self, y: f64) -> f64 {
        // Rounding may lead just below the pole at -1.
        let scaled = (y * (1.0 - self.exponent)).max(-1.0);
        (log_one_plus_over(scaled) * y).exp()
    }
}

/// (e^x - 1) / x, also at 0.
fn exp_minus_one_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 }
}

/// ln(1 + x) / x, also at 0.
fn log_one_plus_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(count: u64, exponent: f64, draws: usize) -> Vec<f64> {
        let zipf = Zipf::new(count, exponent);
        let mut rng = Rng::with_seed(7);
        let mut hits = vec![0_u32; count as usize];
        for _ in 0..draws {
            hits[zipf.sample(&mut rng) as usize] += 1;
        }
        hits.into_iter().map(|hits| f64::from(hits) / draws as f64).collect()
    }

    #[test]
    fn ranks_come_with_the_weights_of_the_definition() {
        for exponent in [0.0, 0.7, 1.0, 1.3] {
            let count = 50_u64;
            let total: f64 = (1..=count).map(|rank| (rank as f64).powf(-exponent)).sum();
            let drawn = shares(count, exponent, 200_000);
            for (index, share) in drawn.iter().enumerate() {
                let expected = ((index + 1) as f64).powf(-exponent) / total;
                assert!(
                    (share - expected).abs() < 0.005,
                    "exponent {exponent}, rank {index}: {share} for {expected}"
                );
            }
        }
    }

    #[test]
    fn a_single_player_is_drawn_every_time() {
        assert_eq!(shares(1, 1.1, 10), [1.0]);
    }
}
