//! The backend of a request: a draw by weight among those that are ready.
//!
//! ```text
//! draw by weight ── not ready ──> its weight is 0 ── draw again ── … ── none left: 503 "service unavailable"
//! ```
//!
//! So what a backend without endpoints would have got goes to the others in proportion, once its queue is in
//! fail-fast. With one backend its weight does not matter, not even 0. Two or more of which all have 0 are no
//! distribution: the proxy panics where it builds the routes of that service, and the service's connections
//! break. In a `TrafficSplit` weights of 0 are dropped beforehand (`plan::linkerd::split`).
//!
//! Source: linkerd2-proxy linkerd/distribute/src/{params,service}.rs, linkerd/app/outbound/src/http/logical/policy/router.rs:208.
//! Left out: what becomes of the process after the panic.

use crate::kernel::stream::{Key, below};

/// How requests are spread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Distribution {
    /// Over nobody: never ready.
    Empty,
    /// To the one backend there is.
    First,
    /// By these weights.
    Random(Vec<u32>),
    /// All weights are 0: the proxy panics.
    Invalid,
}

impl Distribution {
    /// Of a route's backends.
    pub fn new(weights: &[u32]) -> Self {
        match weights {
            [] => Self::Empty,
            [_] => Self::First,
            _ if weights.iter().all(|weight| *weight == 0) => Self::Invalid,
            _ => Self::Random(weights.to_vec()),
        }
    }

    /// The backend of one request, by its place; none if no backend with a weight is ready. `draw` serves
    /// for all draws.
    #[must_use]
    pub fn pick(&self, draw: u64, is_ready: impl Fn(usize) -> bool) -> Option<usize> {
        let weights = match self {
            Self::Empty | Self::Invalid => return None,
            Self::First => return is_ready(0).then_some(0),
            Self::Random(weights) => weights,
        };
        // Most draws find a ready backend: no list is made for them.
        let first = place(weights.iter().copied(), draw)?;
        if is_ready(first) {
            return Some(first);
        }
        let mut left = weights.clone();
        left[first] = 0;
        for number in 1.. {
            let picked = place(left.iter().copied(), Key(draw).draw(number, 0))?;
            if is_ready(picked) {
                return Some(picked);
            }
            left[picked] = 0;
        }
        None
    }
}

/// The place that a draw falls into; none if all weights are 0.
fn place(weights: impl Iterator<Item = u32> + Clone, draw: u64) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut rest = match usize::try_from(total) {
        Ok(0) | Err(_) => return None,
        Ok(total) => below(draw, total) as u64,
    };
    weights.map(u64::from).position(|weight| {
        let is_here = rest < weight;
        rest = rest.saturating_sub(weight);
        is_here
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(weights: &[u32], ready: &[bool]) -> (Vec<u32>, u32) {
        let distribution = Distribution::new(weights);
        let (mut counts, mut shed) = (vec![0; weights.len()], 0);
        for n in 0..30_000 {
            match distribution.pick(Key(n).draw(0, 7), |index| ready[index]) {
                Some(index) => counts[index] += 1,
                None => shed += 1,
            }
        }
        (counts, shed)
    }

    fn is_about(count: u32, share: f64) {
        let (p, n) = (share, 30_000.0);
        let off = (f64::from(count) - p * n).abs();
        assert!(off <= 4.0 * libm::sqrt(p * (1.0 - p) * n), "{count}, expected {}", p * n);
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        let (counts, shed) = counts(&[70, 30, 0], &[true; 3]);
        is_about(counts[0], 0.7);
        is_about(counts[1], 0.3);
        assert_eq!((counts[2], shed), (0, 0));
    }

    #[test]
    fn who_is_not_ready_leaves_its_share_to_the_others_in_proportion() {
        let (counts, shed) = counts(&[50, 30, 20], &[false, true, true]);
        is_about(counts[1], 0.6);
        is_about(counts[2], 0.4);
        assert_eq!((counts[0], shed), (0, 0));
    }

    #[test]
    fn a_weight_of_zero_gets_nothing_even_alone_among_the_ready() {
        assert_eq!(counts(&[1, 0], &[false, true]), (vec![0, 0], 30_000));
        assert_eq!(counts(&[1, 1], &[false, false]), (vec![0, 0], 30_000));
    }

    #[test]
    fn one_backend_takes_all_whatever_its_weight_and_two_of_zero_panic() {
        assert_eq!(counts(&[0], &[true]), (vec![30_000], 0));
        assert_eq!(Distribution::new(&[0, 0]), Distribution::Invalid);
        assert_eq!(Distribution::new(&[]).pick(1, |_| true), None);
    }

    #[test]
    fn weights_may_be_as_large_as_they_can() {
        let (counts, _) = counts(&[u32::MAX, u32::MAX], &[true; 2]);
        is_about(counts[0], 0.5);
    }
}
