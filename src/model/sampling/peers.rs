//! Peers: what is believed of one client's demand, where many are alike.
//!
//! Of a pod that is asked four times a second a window of a few seconds sees a dozen tries, so what it
//! saw of one pod is off by a third. Whether a connection is opened in a gap is no straight function of
//! the rate: if half of the pods seem twice as busy as they are, and half idle, fewer are opened than if
//! all are known as they are, and requests of the next window wait for handshakes that a busy mesh does
//! not make. So a pod is believed to be as its workload, and to differ as far as pods of it do differ by
//! more than chance:
//!
//! ```text
//! rate = m + Z (own - m)     m  of all pods
//! Z = B / (B + V)            V = variance of an own rate by chance, B = variance between pods
//! B = variance seen - V, or 0
//! ```
//!
//! Source: Bühlmann, "Experience rating and credibility", ASTIN Bulletin 4 (1967); Bühlmann and Straub
//! (1970) for the estimate of B.
//! Left out: that pods in different zones are different peers.

use super::demand::{Rate, Seen};

/// Clients of one workload for one destination.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Peers {
    count: u32,
    sum: Seen,
    /// Squares of the tries a second, and how much they vary by chance for each try a second.
    squares: f64,
    chance_s: f64,
    rates: f64,
}

impl Peers {
    /// One of them.
    pub fn add(&mut self, seen: Seen) {
        if seen.s <= 0.0 {
            return;
        }
        self.count += 1;
        self.sum.tries += seen.tries;
        self.sum.s += seen.s;
        self.sum.held_s += seen.held_s;
        let per_s = seen.rate().per_s;
        self.rates += per_s;
        self.squares += per_s * per_s;
        self.chance_s += chance_s(seen);
    }

    /// What to believe of one of them.
    pub fn rate(&self, own: Seen) -> Rate {
        let all = self.sum.rate();
        if self.count < 2 || own.s <= 0.0 || all.per_s <= 0.0 {
            return if own.s <= 0.0 { all } else { own.rate() };
        }
        let count = f64::from(self.count);
        let seen = (self.squares - self.rates * self.rates / count) / (count - 1.0);
        let between = (seen - all.per_s * self.chance_s / count).max(0.0);
        let credibility = between / (between + all.per_s * chance_s(own));
        let per_s = all.per_s + credibility * (own.rate().per_s - all.per_s);
        Rate { per_s, hold_s: all.hold_s }
    }
}

/// The variance of a rate of one try a second.
fn chance_s(seen: Seen) -> f64 {
    seen.twice_faded_s / (seen.s * seen.s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(tries: f64) -> Seen {
        Seen { tries, s: 10.0, twice_faded_s: 10.0, held_s: tries / 50.0 }
    }

    fn peers(tries: &[f64]) -> Peers {
        let mut peers = Peers::default();
        for tries in tries {
            peers.add(seen(*tries));
        }
        peers
    }

    #[test]
    fn pods_that_differ_by_chance_only_are_believed_alike() {
        let peers = peers(&[1.0, 2.0, 2.0, 3.0, 4.0, 0.0]);
        for tries in [0.0, 4.0] {
            let Rate { per_s, hold_s } = peers.rate(seen(tries));
            assert!((per_s - 0.2).abs() < 1e-12 && (hold_s - 0.02).abs() < 1e-12);
        }
    }

    #[test]
    fn pods_that_differ_by_more_are_believed_different() {
        // Variance 10⁴ of the tries, of which a mean of 200 explains 200.
        let peers = peers(&[100.0, 300.0, 100.0, 300.0, 200.0]);
        let per_s = peers.rate(seen(100.0)).per_s;
        assert!((per_s - (20.0 - 0.98 * 10.0)).abs() < 1e-12, "{per_s}");
    }

    #[test]
    fn one_alone_is_believed_as_it_was_seen_and_one_unseen_as_its_peers() {
        assert!((peers(&[7.0]).rate(seen(7.0)).per_s - 0.7).abs() < 1e-12);
        assert!((peers(&[5.0, 7.0]).rate(Seen::default()).per_s - 0.6).abs() < 1e-12);
        assert!(peers(&[0.0, 0.0]).rate(seen(0.0)).per_s <= 0.0);
    }
}
