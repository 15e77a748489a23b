//! Slow start: a new endpoint's weight grows with its age.
//!
//! ```text
//! share of its weight = max(min_weight, (age / window)^(1 / aggression)),  1 from `window` on
//! ```
//!
//! Source: Envoy's slow start docs (`slow_start_config`). Measured on Envoy 1.40 (family e07): with a
//! window of 10 s a fourth endpoint gets 1.8, 4.5, 7.5, 10.1, 13, 15.5, 18, 20, 22, 24, 25 % second by
//! second; the formula gives 3.2 % in the first second, since its least weight was not seen there.
//! Left out: nothing; with active health checks an endpoint's age is since it last became healthy.

use crate::kernel::time::Duration;
use crate::plan::balancing::SlowStart;

/// The share of its weight that an endpoint of that age has, above 0 and at most 1.
pub fn factor(policy: &SlowStart, age: Duration) -> f64 {
    const MILLISECOND: Duration = Duration::from_ns(1_000_000);
    if policy.window <= age {
        return 1.0;
    }
    let share = age.max(MILLISECOND).as_s() / policy.window.as_s();
    let grown = if (policy.aggression - 1.0).abs() < f64::EPSILON {
        share
    } else {
        libm::pow(share, 1.0 / policy.aggression)
    };
    grown.max(policy.min_weight).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::proxy::edf::Edf;

    fn policy(aggression: f64) -> SlowStart {
        SlowStart { window: Duration::from_s(10), aggression, min_weight: 0.1 }
    }

    #[test]
    fn it_grows_in_a_line_from_its_least_weight() {
        let at = |s: f64| factor(&policy(1.0), Duration::from_s_f64(s));
        let expected = [(0.0, 0.1), (0.5, 0.1), (1.0, 0.1), (2.5, 0.25), (9.9, 0.99), (10.0, 1.0)];
        assert!(expected.iter().all(|(s, factor)| (at(*s) - factor).abs() < 1e-9));
    }

    #[test]
    fn more_aggression_gives_more_at_once() {
        let at = |aggression| factor(&policy(aggression), Duration::from_s_f64(2.5));
        assert!((at(2.0) - 0.5).abs() < 1e-12, "{}", at(2.0));
        assert!(at(0.5) < at(1.0) && at(1.0) < at(2.0));
    }

    /// Family e07, `slow_start_10s_round_robin` and `…_least_request`: 200 requests a second to three
    /// endpoints and, from t = 0 on, a fourth; its share second by second.
    #[test]
    fn a_fourth_endpoint_gets_what_was_measured_second_by_second() {
        let measured =
            [0.0175, 0.045, 0.075, 0.101, 0.13, 0.155, 0.18, 0.2, 0.22, 0.24, 0.25, 0.25];
        let weight = |entry: usize, at_s: f64| match entry {
            3 => factor(&policy(1.0), Duration::from_s_f64(at_s)),
            _ => 1.0,
        };
        let mut edf = Edf::new(&[1.0, 1.0, 1.0, weight(3, 0.0)], 12_345);
        for (second, measured) in measured.iter().enumerate() {
            let mut hits = 0;
            for request in 0..200 {
                let at_s = second as f64 + f64::from(request) / 200.0;
                hits += u32::from(edf.pick(|entry| weight(entry, at_s)) == Some(3));
            }
            let share = f64::from(hits) / 200.0;
            assert!((share - measured).abs() < 0.02, "second {second}: {share}, not {measured}");
        }
    }
}
