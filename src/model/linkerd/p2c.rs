//! Power of two choices: two distinct ready endpoints, of which the cheaper one, the first if they tie.
//!
//! Weights of endpoints do not count.
//!
//! Source: linkerd2-proxy linkerd/pool/p2c/src/lib.rs (`p2c_ready_index`, `gen_pair`).
//! Left out: zones; the choice that is kept for the next request when its caller leaves; the order of the
//! ready endpoints.

use crate::kernel::stream::below;

/// One of so many ready endpoints; none if there is none. `cost` is asked of two at most.
#[must_use]
pub fn pick(ready: usize, draws: [u64; 2], mut cost: impl FnMut(usize) -> f64) -> Option<usize> {
    match ready {
        0 => None,
        1 => Some(0),
        _ => {
            let first = below(draws[0], ready);
            let second = below(draws[1], ready - 1);
            let second = second + usize::from(first <= second);
            Some(if cost(first) <= cost(second) { first } else { second })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::Key;

    fn draws(n: u64) -> [u64; 2] {
        [Key(n).draw(0, 0), Key(n).draw(0, 1)]
    }

    #[test]
    fn nobody_and_one_need_no_choice() {
        let never = |_| unreachable!("no cost is asked for");
        assert_eq!(pick(0, draws(1), never), None);
        assert_eq!(pick(1, draws(1), never), Some(0));
    }

    #[test]
    fn a_tie_goes_to_the_first_drawn_and_pairs_are_distinct() {
        for n in 0..1000 {
            let mut asked = Vec::new();
            let picked = pick(3, draws(n), |index| {
                asked.push(index);
                7.0
            });
            assert_eq!((picked, asked.len()), (Some(asked[0]), 2));
            assert_ne!(asked[0], asked[1]);
        }
    }

    /// The k-th cheapest of n is chosen with probability 2 (n − k) / (n (n − 1)).
    #[test]
    fn shares_are_those_of_distinct_pairs() {
        let (all, n) = (60_000, 4_usize);
        let mut counts = [0_u32; 4];
        for number in 0..all {
            let picked = pick(n, draws(number), |index| index as f64).expect("there are four");
            counts[picked] += 1;
        }
        for (rank, count) in counts.into_iter().enumerate() {
            let p = 2.0 * (n - 1 - rank) as f64 / (n * (n - 1)) as f64;
            let sigma = libm::sqrt(p * (1.0 - p) * all as f64);
            let off = (f64::from(count) - p * all as f64).abs();
            assert!(off <= 4.0 * sigma, "rank {rank}: {count}, expected {}", p * all as f64);
        }
    }
}
