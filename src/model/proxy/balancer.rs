//! Load balancing: one of the endpoints that may be used.
//!
//! Least request draws `choices` endpoints *with* replacement and takes the one with the fewest
//! active requests; a draw may hit one endpoint twice. This was measured, and it is what makes a
//! slow endpoint's share 11.8 % instead of 9.6 %.
//!
//! Source: Envoy load balancer docs; measured on Envoy 1.40 (families e07, e12).
//! Left out: weights, localities, priorities, slow start, consistent hashing: `cluster_balancer`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use crate::kernel::stream::below;
use crate::plan::policy::LoadBalancer;

/// Picks one of `candidates` (not empty): an index into it. `turn` is the round robin's position
/// and `active(i)` the number of requests under way to candidate `i`.
#[must_use]
#[inline(always)]
pub fn pick(
    balancer: LoadBalancer,
    candidates: usize,
    turn: &mut u32,
    draw: u64,
    active: impl Fn(usize) -> u32,
) -> usize {
    debug_assert!(candidates != 0, "nobody to pick");
    match balancer {
        _ if candidates == 1 => 0,
        LoadBalancer::RoundRobin => {
            let index = *turn as usize % candidates;
            *turn = turn.wrapping_add(1);
            index
        }
        // A hash that has nothing to go by is a draw.
        LoadBalancer::Random | LoadBalancer::RingHash | LoadBalancer::Maglev => {
            below(draw, candidates)
        }
        LoadBalancer::LeastRequest { choices } => {
            let (mut best, mut least, mut bits, mut left) = (0, u32::MAX, draw, choices);
            loop {
                let other = below(bits, candidates);
                let load = active(other);
                if load < least {
                    (best, least) = (other, load);
                }
                if left <= 1 {
                    return best;
                }
                left -= 1;
                bits = next_bits(bits);
            }
        }
        LoadBalancer::LeastRequestDistinct => {
            let first = below(draw, candidates);
            let second = below(next_bits(draw), candidates - 1);
            let second = second + usize::from(first <= second);
            if active(second) < active(first) { second } else { first }
        }
        LoadBalancer::LeastRequestFullScan => full_scan(candidates, draw, active),
    }
}

/// The least loaded of all; the k-th of those that tie with probability 1/k (reservoir).
fn full_scan(candidates: usize, draw: u64, active: impl Fn(usize) -> u32) -> usize {
    let (mut best, mut least, mut ties, mut bits) = (0, active(0), 1, draw);
    for index in 1..candidates {
        let load = active(index);
        if load < least {
            (best, least, ties) = (index, load, 1);
        } else if load == least {
            ties += 1;
            bits = next_bits(bits);
            if below(bits, ties) == 0 {
                best = index;
            }
        }
    }
    best
}

/// The next 64 bits of a short private sequence: Stafford's mix13 over a Weyl step, the
/// generator SplitMix64.
#[inline(always)]
pub(super) fn next_bits(bits: u64) -> u64 {
    let mut z = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of the candidates over many draws with fixed loads.
    fn shares(balancer: LoadBalancer, loads: &[u32]) -> Vec<f64> {
        const N: u32 = 200_000;
        let (mut counts, mut turn, mut bits) = (vec![0_u32; loads.len()], 0, 7);
        for _ in 0..N {
            bits = next_bits(bits);
            counts[pick(balancer, loads.len(), &mut turn, next_bits(bits ^ 5), |i| loads[i])] += 1;
        }
        counts.iter().map(|count| f64::from(*count) / f64::from(N)).collect()
    }

    /// Four standard errors of a share of 200,000 draws.
    fn near(share: f64, expected: f64) -> bool {
        (share - expected).abs() < 4.0 * (expected * (1.0 - expected) / 200_000.0).sqrt() + 1e-9
    }

    #[test]
    fn two_choices_with_replacement_give_the_idle_one_of_three_five_ninths() {
        let shares = shares(LoadBalancer::LeastRequest { choices: 2 }, &[0, 9, 9]);
        assert!(near(shares[0], 5.0 / 9.0), "{shares:?}");
    }

    #[test]
    fn without_replacement_the_idle_one_of_three_gets_two_thirds() {
        let shares = shares(LoadBalancer::LeastRequestDistinct, &[0, 9, 9]);
        assert!(near(shares[0], 2.0 / 3.0), "{shares:?}");
    }

    #[test]
    fn a_full_scan_finds_the_least_and_breaks_ties_evenly() {
        let shares = shares(LoadBalancer::LeastRequestFullScan, &[1, 0, 1, 0, 0]);
        assert!([1, 3, 4].iter().all(|i| near(shares[*i], 1.0 / 3.0)), "{shares:?}");
    }

    #[test]
    fn round_robin_takes_turns_and_random_does_not_look() {
        let even = shares(LoadBalancer::RoundRobin, &[5, 0, 0, 0]);
        assert!(even.iter().all(|share| (share - 0.25).abs() < 1e-5), "{even:?}");
        assert!(shares(LoadBalancer::Random, &[5, 0, 0, 0]).iter().all(|s| near(*s, 0.25)));
    }
}
