//! Quantile functions, for the tables of `sampler`.
//!
//! Each is asked by the distance from its end: the lower side by u, the upper by 1 − u, so that no
//! digit is lost in a tail. Where there is no closed form the cumulative distribution is inverted:
//! Newton's method on its logarithm, which is concave or convex for these families and so
//! converges from a side, started at the neighbour and kept in a bracket.
//!
//! Source: Devroye, "Non-Uniform Random Variate Generation" (1986), chapter II; the series of the
//! incomplete gamma function for the Erlang.
//! Left out: the constant, uniform and empirical families, which need no table.

use super::distribution::Distribution;

/// Of the logarithm of a probability.
const TOLERANCE: f64 = 1e-14;
/// Newton needs 3 to 5 steps, bisection (far between two branches) about 60.
const STEPS_MAX: u32 = 300;

/// The quantiles in ns at u = `tails` and at 1 − u = `tails`, which fall from 1/2.
pub(super) fn both_sides(distribution: &Distribution, tails: &[f64]) -> (Vec<f64>, Vec<f64>) {
    match distribution {
        Distribution::Exponential { mean } => {
            let mean = mean.ns() as f64;
            closed(tails, |u| mean * -libm::log1p(-u), |v| mean * -libm::log(v))
        }
        Distribution::Pareto { scale, shape } => {
            let scale = scale.ns() as f64;
            closed(
                tails,
                |u| scale * libm::exp(-libm::log1p(-u) / shape),
                |v| scale * libm::exp(-libm::log(v) / shape),
            )
        }
        Distribution::Weibull { scale, shape } => {
            let scale = scale.ns() as f64;
            closed(
                tails,
                |u| scale * libm::pow(-libm::log1p(-u), 1.0 / shape),
                |v| scale * libm::pow(-libm::log(v), 1.0 / shape),
            )
        }
        Distribution::Lognormal { median, sigma } => {
            let median = median.ns() as f64;
            let normal = invert(tails, 0.0, Side::Upper, normal_tail);
            let of = |sigma: f64| normal.iter().map(|z| median * libm::exp(sigma * z)).collect();
            (of(-sigma), of(*sigma))
        }
        Distribution::Erlang { stages, mean } => {
            let stages = f64::from(*stages);
            let stage = mean.ns() as f64 / stages;
            let scaled = |side, start| {
                let of = |x| erlang_tail(stages, x, side);
                invert(tails, start, side, of).into_iter().map(|x| x * stage).collect::<Vec<_>>()
            };
            let upper = scaled(Side::Upper, stages);
            let lower = scaled(Side::Lower, upper[0] / stage);
            (lower, upper)
        }
        Distribution::Hyperexponential { branches } => {
            let of = |side| move |x| hyperexponential_tail(branches, x, side);
            let upper = invert(tails, distribution.mean_ns(), Side::Upper, of(Side::Upper));
            let lower = invert(tails, upper[0], Side::Lower, of(Side::Lower));
            (lower, upper)
        }
        Distribution::Constant(_)
        | Distribution::Uniform { .. }
        | Distribution::Empirical { .. } => unreachable!("sampled without a table"),
    }
}

/// Which end a probability is counted from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// P(X ≤ x).
    Lower,
    /// P(X > x).
    Upper,
}

fn closed(
    tails: &[f64],
    lower: impl Fn(f64) -> f64,
    upper: impl Fn(f64) -> f64,
) -> (Vec<f64>, Vec<f64>) {
    let of = |quantile: &dyn Fn(f64) -> f64| tails.iter().map(|&tail| quantile(tail)).collect();
    (of(&lower), of(&upper))
}

/// The x at which `tail` gives each of `tails`, which fall; `tail` answers with the probability
/// and the density. The first is searched for from `start`, each other from the one before.
fn invert(tails: &[f64], start: f64, side: Side, tail: impl Fn(f64) -> (f64, f64)) -> Vec<f64> {
    let mut bracket = (0.0, f64::INFINITY);
    let mut x = start;
    let mut found = Vec::with_capacity(tails.len());
    for &target in tails {
        x = solve(libm::log(target), x, bracket, side, &tail);
        bracket = match side {
            Side::Lower => (0.0, x),
            Side::Upper => (x, f64::INFINITY),
        };
        found.push(x);
    }
    found
}

fn solve(
    log_target: f64,
    start: f64,
    (mut low, mut high): (f64, f64),
    side: Side,
    tail: impl Fn(f64) -> (f64, f64),
) -> f64 {
    let mut x = start;
    for _ in 0..STEPS_MAX {
        let (probability, density) = tail(x);
        let excess = libm::log(probability) - log_target;
        if excess.abs() < TOLERANCE {
            return x;
        }
        let step = excess * probability / density;
        let next = match side {
            Side::Lower => x - step,
            Side::Upper => x + step,
        };
        // The upper probability falls with x: too much of it means that x is too small.
        if (0.0 < excess) == (side == Side::Upper) {
            low = x;
        } else {
            high = x;
        }
        let is_inside = low <= next && next <= high && next.is_finite();
        let next = match (is_inside, high.is_finite()) {
            (true, _) => next,
            (false, true) => f64::midpoint(low, high),
            (false, false) => 2.0 * x,
        };
        if (next - x).abs() <= f64::EPSILON * x {
            return next;
        }
        x = next;
    }
    x
}

/// Of the standard normal, the upper tail.
fn normal_tail(z: f64) -> (f64, f64) {
    let probability = libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2) / 2.0;
    let density = libm::exp(-z * z / 2.0)
        * (std::f64::consts::FRAC_2_SQRT_PI / 2.0)
        * std::f64::consts::FRAC_1_SQRT_2;
    (probability, density)
}

/// Of the sum of `stages` exponentials of mean 1. Only asked from the median outwards, where the
/// terms of the series fall.
fn erlang_tail(stages: f64, x: f64, side: Side) -> (f64, f64) {
    let density = libm::exp((stages - 1.0) * libm::log(x) - x - libm::lgamma(stages));
    let (mut term, mut sum) = match side {
        Side::Lower => (x / stages, x / stages),
        Side::Upper => (1.0, 1.0),
    };
    let mut n = stages;
    while f64::EPSILON / 4.0 * sum < term {
        match side {
            Side::Lower => {
                n += 1.0;
                term *= x / n;
            }
            Side::Upper => {
                n -= 1.0;
                term *= n / x;
            }
        }
        sum += term;
    }
    (density * sum, density)
}

fn hyperexponential_tail(
    branches: &[(f64, super::time::Duration)],
    x: f64,
    side: Side,
) -> (f64, f64) {
    let mut sums = (0.0, 0.0);
    // The shares sum to 1 only within their tolerance.
    let all: f64 = branches.iter().map(|&(share, _)| share).sum();
    for &(share, mean) in branches {
        let (share, mean) = (share / all, mean.ns() as f64);
        let above = libm::exp(-x / mean);
        sums.0 += share * if side == Side::Upper { above } else { -libm::expm1(-x / mean) };
        sums.1 += share / mean * above;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        // NIST/SEMATECH e-Handbook and the usual tables, 12 digits.
        let tails = [0.5, 0.1, 0.05, 0.025, 0.01, 0.001, 1e-6, 1e-9];
        let expected = [
            0.0,
            1.281_551_565_545,
            1.644_853_626_951,
            1.959_963_984_540,
            2.326_347_874_041,
            3.090_232_306_168,
            4.753_424_308_823,
            5.997_807_015_008,
        ];
        for (found, expected) in invert(&tails, 0.0, Side::Upper, normal_tail).iter().zip(expected)
        {
            assert!((found - expected).abs() < 1e-11, "{found} {expected}");
        }
    }

    #[test]
    fn one_stage_and_one_branch_are_exponential() {
        let tails = [0.5, 0.25, 0.1, 1e-3, 1e-6, 1e-12];
        let mean = Duration::from_ms(1);
        let exponential = both_sides(&Distribution::Exponential { mean }, &tails);
        for other in [
            Distribution::Erlang { stages: 1, mean },
            Distribution::Hyperexponential { branches: vec![(0.25, mean), (0.75, mean)] },
        ] {
            let (lower, upper) = both_sides(&other, &tails);
            let pairs = lower.iter().zip(&exponential.0).chain(upper.iter().zip(&exponential.1));
            for (found, expected) in pairs {
                assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
            }
        }
    }

    #[test]
    fn erlang_quantiles_are_those_of_chi_square() {
        // Twice an Erlang of 5 unit stages is chi-square with 10 degrees of freedom.
        let erlang = Distribution::Erlang { stages: 5, mean: Duration::from_s(5) };
        let (lower, upper) = both_sides(&erlang, &[0.5, 0.05, 0.01]);
        let expected = [9.341_818, 18.307_038, 23.209_251, 9.341_818, 3.940_299, 2.558_212];
        for (found, expected) in upper.iter().chain(&lower).zip(expected) {
            assert!((2e-9 * found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn branches_a_million_apart_are_still_inverted() {
        let branches = vec![(0.5, Duration::from_us(1)), (0.5, Duration::from_s(3_600))];
        let tails: Vec<f64> = (0..400).map(|n| 0.5 * libm::pow(0.99, f64::from(n))).collect();
        let of = Distribution::Hyperexponential { branches: branches.clone() };
        let (lower, upper) = both_sides(&of, &tails);
        for (side, found) in [(Side::Lower, lower), (Side::Upper, upper)] {
            for (&tail, &x) in tails.iter().zip(&found) {
                let (probability, _) = hyperexponential_tail(&branches, x, side);
                assert!((probability / tail - 1.0).abs() < 1e-12, "{tail} at {x}");
            }
        }
    }
}
