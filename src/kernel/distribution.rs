//! Distributions of times: what a scenario may say, checked, with their mean and variability.
//!
//! A distribution is data. [`Distribution::check`] says in words what is wrong with one; a checked
//! one gives a [`Sampler`], which turns 64 random bits into a time.
//!
//! Source: Law, "Simulation Modeling and Analysis", chapter 6, for the families; closed forms for
//! the mean and the squared coefficient of variation (scv: variance over the squared mean).
//! Left out: truncation, shifts, discrete distributions.

use super::sampler::Sampler;
use super::time::Duration;

/// The 99 % quantile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_040_841;
/// Beyond this, half of a lognormal's mean comes from fewer than one draw in 10^23.
const SIGMA_MAX: f64 = 10.0;
/// Beyond this, an Erlang is a constant within 3 %.
const STAGES_MAX: u32 = 1_000;
/// Shares are typed with a few digits: a sum this far from 1 is a typing error.
const SHARES_TOLERANCE: f64 = 1e-6;

/// How a time is distributed.
#[derive(Clone, PartialEq, Debug)]
pub enum Distribution {
    /// Always the same.
    Constant(Duration),
    /// Each time from `low` to `high` is as likely.
    Uniform {
        /// The least time.
        low: Duration,
        /// The greatest time.
        high: Duration,
    },
    /// Memoryless.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// The exponential of a normal variable: what latencies look like.
    Lognormal {
        /// The median.
        median: Duration,
        /// The deviation of the logarithm, in [0, 10].
        sigma: f64,
    },
    /// A power law: P(X > x) = (scale / x)^shape.
    Pareto {
        /// The least time.
        scale: Duration,
        /// Above 1.
        shape: f64,
    },
    /// P(X > x) = exp(−(x / scale)^shape).
    Weibull {
        /// The 63 % quantile.
        scale: Duration,
        /// At least 0.1; below 1 the tail is heavy.
        shape: f64,
    },
    /// The sum of equal exponential stages.
    Erlang {
        /// How many, 1 to 1000.
        stages: u32,
        /// The mean of the sum.
        mean: Duration,
    },
    /// One of several exponentials.
    Hyperexponential {
        /// (share, mean): the shares sum to 1.
        branches: Vec<(f64, Duration)>,
    },
    /// One of the listed values, each as likely.
    Empirical {
        /// In any order.
        values: Vec<Duration>,
    },
}

impl Distribution {
    /// The lognormal with these quantiles.
    pub fn lognormal_p50_p99(p50: Duration, p99: Duration) -> Result<Self, String> {
        if p50.is_zero() {
            return Err("the p50 must be above 0".to_string());
        }
        if p99 < p50 {
            return Err(format!("the p99, {p99}, is below the p50, {p50}"));
        }
        let sigma = libm::log(p99.ns() as f64 / p50.ns() as f64) / NORMAL_P99;
        let lognormal = Self::Lognormal { median: p50, sigma };
        lognormal.check().map(|()| lognormal)
    }

    /// The lognormal with this mean and coefficient of variation (deviation over mean).
    pub fn lognormal_mean_cv(mean: Duration, cv: f64) -> Result<Self, String> {
        if !(cv.is_finite() && 0.0 <= cv) {
            return Err(format!("the coefficient of variation is {cv}; it must be at least 0"));
        }
        let variance = libm::log1p(cv * cv);
        let median = mean.scale(libm::exp(-variance / 2.0));
        let lognormal = Self::Lognormal { median, sigma: libm::sqrt(variance) };
        lognormal.check().map(|()| lognormal)
    }

    /// Says what is wrong, if anything is.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Constant(value) => at_most_max("time", *value),
            Self::Uniform { low, high } if high < low => {
                Err(format!("the low end, {low}, is above the high end, {high}"))
            }
            Self::Uniform { high, .. } => at_most_max("high end", *high),
            Self::Exponential { mean } => positive("mean", *mean),
            Self::Lognormal { median, sigma } => {
                positive("median", *median)?;
                within("sigma", *sigma, 0.0, SIGMA_MAX)
            }
            Self::Pareto { scale, shape } => {
                positive("scale", *scale)?;
                if *shape <= 1.0 {
                    return Err(format!(
                        "the shape is {shape}; at 1 or below the mean is infinite: no number of \
                         servers would do, and no run would be long enough to see it"
                    ));
                }
                within("shape", *shape, 1.0, 1e6)
            }
            Self::Weibull { scale, shape } => {
                positive("scale", *scale)?;
                within("shape", *shape, 0.1, 1e3)
            }
            Self::Erlang { stages, mean } => {
                positive("mean", *mean)?;
                within("number of stages", f64::from(*stages), 1.0, f64::from(STAGES_MAX))
            }
            Self::Hyperexponential { branches } => check_branches(branches),
            Self::Empirical { values } => {
                if values.is_empty() {
                    return Err("the list of values is empty".to_string());
                }
                values.iter().try_for_each(|&value| at_most_max("value", value))
            }
        }
    }

    /// The mean in nanoseconds.
    pub fn mean_ns(&self) -> f64 {
        match self {
            Self::Constant(value) => ns(*value),
            Self::Uniform { low, high } => f64::midpoint(ns(*low), ns(*high)),
            Self::Exponential { mean } | Self::Erlang { mean, .. } => ns(*mean),
            Self::Lognormal { median, sigma } => ns(*median) * libm::exp(sigma * sigma / 2.0),
            Self::Pareto { scale, shape } => ns(*scale) * shape / (shape - 1.0),
            Self::Weibull { scale, shape } => ns(*scale) * libm::tgamma(1.0 + 1.0 / shape),
            Self::Hyperexponential { branches } => {
                branches.iter().map(|&(share, mean)| share * ns(mean)).sum()
            }
            Self::Empirical { values } => {
                values.iter().map(|&value| ns(value)).sum::<f64>() / values.len() as f64
            }
        }
    }

    /// The squared coefficient of variation; infinite for a Pareto of shape 2 or less.
    pub fn scv(&self) -> f64 {
        let mean = self.mean_ns();
        if mean <= 0.0 {
            return 0.0;
        }
        match self {
            Self::Constant(_) => 0.0,
            Self::Uniform { low, high } => {
                let width = (ns(*high) - ns(*low)) / mean;
                width * width / 12.0
            }
            Self::Exponential { .. } => 1.0,
            Self::Lognormal { sigma, .. } => libm::expm1(sigma * sigma),
            Self::Pareto { shape, .. } if *shape <= 2.0 => f64::INFINITY,
            Self::Pareto { shape, .. } => 1.0 / (shape * (shape - 2.0)),
            Self::Weibull { shape, .. } => {
                let first = libm::tgamma(1.0 + 1.0 / shape);
                libm::tgamma(1.0 + 2.0 / shape) / (first * first) - 1.0
            }
            Self::Erlang { stages, .. } => 1.0 / f64::from(*stages),
            Self::Hyperexponential { branches } => {
                let square = |time: f64| time * time / (mean * mean);
                2.0 * branches.iter().map(|&(share, of)| share * square(ns(of))).sum::<f64>() - 1.0
            }
            Self::Empirical { values } => {
                let deviation = |value: Duration| ns(value) / mean - 1.0;
                let squares = values.iter().map(|&value| deviation(value) * deviation(value));
                squares.sum::<f64>() / values.len() as f64
            }
        }
    }

    /// What turns random bits into times of this distribution, which must have passed
    /// [`Distribution::check`].
    pub fn sampler(&self) -> Sampler {
        Sampler::new(self)
    }

    /// The time, if it is always the same.
    pub fn is_constant(&self) -> Option<Duration> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::Uniform { low, high } => (low == high).then_some(*low),
            Self::Lognormal { median, sigma } => (*sigma <= 0.0).then_some(*median),
            Self::Empirical { values } => {
                values.iter().all(|value| *value == values[0]).then(|| values[0])
            }
            Self::Exponential { .. }
            | Self::Pareto { .. }
            | Self::Weibull { .. }
            | Self::Erlang { .. }
            | Self::Hyperexponential { .. } => None,
        }
    }
}

fn ns(time: Duration) -> f64 {
    time.ns() as f64
}

fn at_most_max(name: &str, value: Duration) -> Result<(), String> {
    if Duration::MAX < value {
        return Err(format!("the {name}, {value}, is longer than every run, {}", Duration::MAX));
    }
    Ok(())
}

fn positive(name: &str, value: Duration) -> Result<(), String> {
    if value.is_zero() {
        return Err(format!("the {name} must be above 0"));
    }
    at_most_max(name, value)
}

fn within(name: &str, value: f64, low: f64, high: f64) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("the {name} is {value}; it must be from {low} to {high}"))
}

fn check_branches(branches: &[(f64, Duration)]) -> Result<(), String> {
    if branches.is_empty() {
        return Err("there are no branches".to_string());
    }
    for &(share, mean) in branches {
        positive("mean of each branch", mean)?;
        if !(0.0 < share && share <= 1.0) {
            return Err(format!("the share of a branch is {share}; it must be above 0, at most 1"));
        }
    }
    let sum: f64 = branches.iter().map(|&(share, _)| share).sum();
    if SHARES_TOLERANCE < (sum - 1.0).abs() {
        return Err(format!("the shares of the branches sum to {sum}, not to 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_ms(ms)
    }

    #[test]
    fn a_wrong_distribution_is_refused_in_words() {
        let pareto = |shape| Distribution::Pareto { scale: ms(1), shape };
        let weibull = |shape| Distribution::Weibull { scale: ms(1), shape };
        let erlang = |stages| Distribution::Erlang { stages, mean: ms(1) };
        let lognormal = |sigma| Distribution::Lognormal { median: ms(1), sigma };
        let branches = |shares: &[f64]| Distribution::Hyperexponential {
            branches: shares.iter().map(|&share| (share, ms(1))).collect(),
        };
        for (distribution, words) in [
            (Distribution::Uniform { low: ms(2), high: ms(1) }, "above the high end"),
            (Distribution::Exponential { mean: Duration::ZERO }, "mean must be above 0"),
            (Distribution::Constant(Duration::from_ns(u64::MAX)), "longer than every run"),
            (pareto(1.0), "mean is infinite"),
            (pareto(f64::NAN), "shape is NaN"),
            (weibull(0.0), "must be from 0.1"),
            (erlang(0), "from 1 to 1000"),
            (erlang(1_001), "from 1 to 1000"),
            (lognormal(10.5), "from 0 to 10"),
            (lognormal(-0.1), "from 0 to 10"),
            (branches(&[]), "no branches"),
            (branches(&[0.5, 0.4]), "sum to 0.9"),
            (branches(&[1.5, -0.5]), "must be above 0"),
            (Distribution::Empirical { values: vec![] }, "empty"),
        ] {
            let problem = distribution.check().expect_err("it is wrong");
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn a_lognormal_is_named_by_two_quantiles_or_two_moments() {
        let by_moments = Distribution::lognormal_mean_cv(ms(10), 0.5).expect("valid");
        assert!((by_moments.mean_ns() / 1e7 - 1.0).abs() < 1e-6);
        assert!((by_moments.scv() - 0.25).abs() < 1e-12);
        let constant = Distribution::lognormal_p50_p99(ms(3), ms(3)).expect("valid");
        assert_eq!(constant.is_constant(), Some(ms(3)));
        for (problem, words) in [
            (Distribution::lognormal_p50_p99(ms(3), ms(2)), "below the p50"),
            (Distribution::lognormal_p50_p99(Duration::ZERO, ms(2)), "above 0"),
            (Distribution::lognormal_mean_cv(ms(1), -1.0), "at least 0"),
            (Distribution::lognormal_mean_cv(ms(1), f64::NAN), "at least 0"),
        ] {
            assert!(problem.expect_err("it is wrong").contains(words));
        }
    }

    #[test]
    fn only_single_valued_distributions_are_constant() {
        assert_eq!(Distribution::Constant(ms(1)).is_constant(), Some(ms(1)));
        assert_eq!(Distribution::Uniform { low: ms(1), high: ms(1) }.is_constant(), Some(ms(1)));
        assert_eq!(Distribution::Empirical { values: vec![ms(4); 3] }.is_constant(), Some(ms(4)));
        assert_eq!(Distribution::Exponential { mean: ms(1) }.is_constant(), None);
    }
}
