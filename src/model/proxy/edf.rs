//! Weighted turns: who has the earliest deadline is next, and comes again 1 / weight later.
//!
//! ```text
//! weights 1 2 5:   c c b c c b c a   c c b c c b c a   …
//! ```
//!
//! A weight counts when the one who has it was picked, so that a weight that changes (with the load,
//! with age) is followed from pick to pick. Equal deadlines are met in the order in which they were
//! set.
//!
//! Source: Envoy's `EdfScheduler`; Liu & Layland 1973 for the name. Measured on Envoy 1.40 (family
//! e07): weights 1, 2, 5 get exactly 1/8, 2/8, 5/8.
//! Left out: the list of picks made ahead, which only preconnecting uses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A schedule of entries `0..n`.
#[derive(Clone, Debug)]
pub struct Edf {
    /// (deadline, order of setting, entry); deadlines as bits, which order like non-negative numbers.
    queue: BinaryHeap<Reverse<(u64, u64, u32)>>,
    now: f64,
    set: u64,
}

impl Edf {
    /// A schedule of entries with these weights, each above 0, after about `picks` picks were made.
    pub fn new(weights: &[f64], picks: u32) -> Self {
        debug_assert!(weights.iter().all(|weight| 0.0 < *weight), "an entry that never comes");
        let rounds = f64::from(picks) / weights.iter().sum::<f64>();
        let mut edf = Self { queue: BinaryHeap::with_capacity(weights.len()), now: rounds, set: 0 };
        for (weight, entry) in weights.iter().zip(0..) {
            // Each was picked so often that its next deadline is the first after `rounds`.
            let picked = libm::floor(rounds * weight);
            edf.push((picked + 1.0) / weight, entry);
        }
        edf
    }

    /// The next entry; `weight` is what it has now.
    pub fn pick(&mut self, weight: impl FnOnce(usize) -> f64) -> Option<usize> {
        let Reverse((deadline, _, entry)) = self.queue.pop()?;
        self.now = f64::from_bits(deadline);
        let place = entry as usize;
        self.push(self.now + 1.0 / weight(place), entry);
        Some(place)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Reverse<(u64, u64, u32)>>()
    }

    fn push(&mut self, deadline: f64, entry: u32) {
        self.queue.push(Reverse((deadline.to_bits(), self.set, entry)));
        self.set += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_one_two_five_get_exactly_their_shares_wherever_it_begins() {
        for picks in [0, 1, 7, 1000, 123_457] {
            let weights = [1.0, 2.0, 5.0];
            let mut edf = Edf::new(&weights, picks);
            let mut counts = [0; 3];
            for _ in 0..800 {
                counts[edf.pick(|entry| weights[entry]).expect("three entries")] += 1;
            }
            assert_eq!(counts, [100, 200, 500], "after {picks} picks");
        }
    }

    #[test]
    fn equal_weights_take_turns() {
        let mut edf = Edf::new(&[1.0; 4], 0);
        let picks: Vec<_> = (0..8).filter_map(|_| edf.pick(|_| 1.0)).collect();
        assert_eq!(picks, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(Edf::new(&[], 3).pick(|_| 1.0), None);
    }

    #[test]
    fn a_weight_that_falls_is_followed_from_the_next_pick_on() {
        let mut edf = Edf::new(&[1.0, 1.0], 0);
        let weight = |entry: usize| if entry == 0 { 0.25 } else { 1.0 };
        let picks: Vec<_> = (0..11).filter_map(|_| edf.pick(weight)).collect();
        assert_eq!(picks.iter().filter(|one| **one == 0).count(), 3, "{picks:?}");
    }
}
