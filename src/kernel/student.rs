//! Student's t: how many standard errors a mean of few replications may be off.
//!
//! Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4 (finite
//! sums for whole degrees of freedom).
//! Left out: fractional degrees of freedom.

/// The probability that |t| is at most `t`.
fn within(t: f64, freedom: u32) -> f64 {
    let nu = f64::from(freedom);
    let cos_squared = nu / (nu + t * t);
    let sin = t / libm::sqrt(nu + t * t);
    let is_odd = freedom % 2 == 1;
    // 1 + (1/2) c² + (1·3 / 2·4) c⁴ + … for even, 1 + (2/3) c² + … for odd degrees.
    let (mut term, mut sum) = (1.0, 0.0);
    for k in 0..freedom / 2 {
        sum += term;
        let k = f64::from(k);
        let ratio = if is_odd {
            (2.0 * k + 2.0) / (2.0 * k + 3.0)
        } else {
            (2.0 * k + 1.0) / (2.0 * k + 2.0)
        };
        term *= ratio * cos_squared;
    }
    if is_odd {
        let angle = libm::asin(sin);
        std::f64::consts::FRAC_2_PI * (angle + sin * libm::sqrt(cos_squared) * sum)
    } else {
        sin * sum
    }
}

/// The t that |t| exceeds with probability `alpha`.
pub fn two_sided(alpha: f64, freedom: u32) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if within(middle, freedom) < 1.0 - alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // (two-sided probability, degrees, t): any statistics book.
        let table = [
            (0.05, 1, 12.706_205),
            (0.05, 2, 4.302_653),
            (0.05, 19, 2.093_024),
            (0.01, 30, 2.749_996),
            (0.001, 29, 3.659_405),
        ];
        for (alpha, freedom, expected) in table {
            let t = two_sided(alpha, freedom);
            assert!((t - expected).abs() < 1e-5, "{alpha} {freedom}: {t}");
        }
    }
}
