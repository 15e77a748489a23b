//! Demand in the gaps of a sampled run: how often a client would have used what is not simulated.
//!
//! Demand does not stop when requests are not simulated. In a gap, a pool would have opened another
//! connection when the next request fell on it that found all of its connections busy. Requests of a
//! client to an endpoint are a Poisson process and each holds a connection for a while, so the number
//! under way is Poisson. A balancer that looks at load avoids a busy endpoint where it can:
//!
//! ```text
//! P(the endpoint chosen has >= j under way) = E[F(j)^d],  F(j) = P(Poisson(λ · hold) >= j),
//!     d different endpoints among those looked at: 1 of random, 2 or (by chance) 1 of two choices
//! P(>= k of j are on the request's own worker) = P(Bin(j, 1 / workers) >= k)
//! ```
//!
//! The wait for it is exponential. Rate and hold are measured: tries in windows over the length of
//! the windows, and how long they had their connections; recent windows count more, and those before
//! an event of the timeline not at all once there is as much since. What a client alone was seen to do
//! is little: `peers` tells what to believe of it.
//!
//! Source: M/G/∞ (Kleinrock, Queueing Systems I, 3.4), PASTA (Wolff 1982), Poisson splitting (Kingman
//! 1993); choices with replacement as in `model::proxy::balancer`.
//! Left out: that a connection which is being opened keeps the next one from being opened; that choices
//! by load make the number under way vary less than Poisson.

use crate::kernel::time::Duration;
use crate::plan::policy::LoadBalancer;

/// What a window counts less than the one after it.
const MEMORY: f64 = 0.5;

/// How often a client tries a destination, and how long it then has a connection.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Rate {
    /// Tries a second.
    pub per_s: f64,
    /// Seconds a try.
    pub hold_s: f64,
}

/// What was seen in windows, the earlier ones faded.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Seen {
    /// Tries.
    pub tries: f64,
    /// Seconds.
    pub s: f64,
    /// Seconds, each window's faded twice: a rate's variance is the rate times this over `s` squared.
    pub twice_faded_s: f64,
    /// Seconds that tries had connections.
    pub held_s: f64,
}

/// Demand of one client for one destination.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Demand {
    /// Tries since the last window or piece of one ended, and for how long those that ended had a
    /// connection.
    tries: u32,
    held_ns: u64,
    past: Seen,
    /// All of the past was before an event.
    is_outdated: bool,
    /// What is believed of it.
    rate: Rate,
}

impl Demand {
    /// A try begins.
    #[inline]
    pub fn count(&mut self) {
        self.tries += 1;
    }

    /// A try ends that had a connection for so long.
    #[inline]
    pub fn held(&mut self, length: Duration) {
        self.held_ns += length.ns();
    }

    /// A window of `length` ended, or its last piece; one of at least `enough` tells more than what was
    /// before an event.
    pub fn end_window(&mut self, length: Duration, enough: Duration) {
        if length.is_zero() {
            return;
        }
        let tries = f64::from(std::mem::take(&mut self.tries));
        let held_s = std::mem::take(&mut self.held_ns) as f64 / 1e9;
        let memory = if self.is_outdated && enough <= length { 0.0 } else { MEMORY };
        self.is_outdated &= memory != 0.0;
        self.past = Seen {
            tries: self.past.tries * memory + tries,
            s: self.past.s * memory + length.as_s(),
            twice_faded_s: self.past.twice_faded_s * memory * memory + length.as_s(),
            held_s: self.past.held_s * memory + held_s,
        };
        self.rate = self.past.rate();
    }

    /// An event of the timeline begins or ends: what was seen may be so no more.
    pub fn outdate(&mut self) {
        self.is_outdated = true;
    }

    /// What was seen of it.
    pub const fn seen(&self) -> Seen {
        self.past
    }

    /// Its peers tell more of its rate.
    pub fn believe(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Tries a second; 0 if there were none.
    pub const fn per_s(&self) -> f64 {
        self.rate.per_s
    }

    /// Tries a second that fall on one pool of a cluster and find so many connections busy.
    pub fn per_s_beyond(&self, spread: Spread, connections: u32) -> f64 {
        let Spread { endpoints, workers, .. } = spread;
        let per_endpoint_s = self.per_s() / endpoints as f64;
        let per_s = per_endpoint_s / workers as f64;
        if connections == 0 || per_s <= 0.0 {
            return per_s;
        }
        per_s * spread.busy(self.under_way(spread), connections)
    }

    /// At most the same, without much work.
    pub fn per_s_beyond_at_most(&self, spread: Spread, connections: u32) -> f64 {
        // P(N >= k) <= m^k / k! of a Poisson variable.
        let mean = self.under_way(spread);
        let bound = (1..=connections).fold(1.0, |bound, n| bound * mean / f64::from(n));
        self.per_s() / (spread.endpoints * spread.workers) as f64 * bound.min(1.0)
    }

    /// The mean number of requests at an endpoint.
    fn under_way(&self, spread: Spread) -> f64 {
        self.per_s() / spread.endpoints as f64 * self.rate.hold_s
    }
}

impl Seen {
    /// What follows from it alone.
    pub fn rate(&self) -> Rate {
        let over = |sum: f64, of: f64| if of <= 0.0 { 0.0 } else { sum / of };
        Rate { per_s: over(self.tries, self.s), hold_s: over(self.held_s, self.tries) }
    }
}

/// Over what a cluster's requests are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spread {
    /// Endpoints, at least 1.
    pub endpoints: usize,
    /// The client's workers, at least 1: each has a pool for each endpoint.
    pub workers: usize,
    /// How an endpoint is chosen.
    pub balancer: LoadBalancer,
}

impl Spread {
    /// The chance that a request finds `connections` of its pool busy, where `under_way` is the mean
    /// number of requests of its client at an endpoint.
    fn busy(self, under_way: f64, connections: u32) -> f64 {
        let mut sum = 0.0;
        let mut beyond = self.chosen(under_way, connections);
        for count in connections..connections + TERMS {
            // What is left cannot be seen in the sum any more.
            if beyond <= sum * 1e-12 {
                break;
            }
            let next = self.chosen(under_way, count + 1);
            sum += (beyond - next) * own_share(count, connections, self.workers);
            beyond = next;
        }
        sum
    }

    /// The chance that the chosen endpoint has at least `least` requests under way.
    fn chosen(self, under_way: f64, least: u32) -> f64 {
        let one = poisson_tail(under_way, least);
        match self.balancer {
            LoadBalancer::Random
            | LoadBalancer::RoundRobin
            | LoadBalancer::RingHash
            | LoadBalancer::Maglev => one,
            LoadBalancer::LeastRequestDistinct if self.endpoints == 1 => one,
            LoadBalancer::LeastRequestDistinct => one * one,
            LoadBalancer::LeastRequestFullScan => libm::pow(one, self.endpoints as f64),
            LoadBalancer::LeastRequest { choices: 2 } => {
                // Both draws may hit the same.
                let same = 1.0 / self.endpoints as f64;
                one * (same + (1.0 - same) * one)
            }
            LoadBalancer::LeastRequest { choices } => self.chosen_of(one, choices),
        }
    }
}

impl Spread {
    /// The chance that all of the endpoints that so many draws with replacement hit are as loaded,
    /// where one of them is with the chance `one`.
    fn chosen_of(self, one: f64, choices: u32) -> f64 {
        // Different endpoints hit so far, by their number.
        let mut chance = vec![0.0, 1.0];
        for _ in 1..choices {
            let mut after = vec![0.0; chance.len() + 1];
            for (places, chance) in chance.iter().enumerate() {
                let known = places as f64 / self.endpoints as f64;
                after[places] += chance * known;
                after[places + 1] += chance * (1.0 - known);
            }
            chance = after;
        }
        chance.iter().rev().fold(0.0, |sum, chance| sum * one + chance)
    }
}

/// Requests under way beyond those asked for that are looked at: more are too rare to matter.
const TERMS: u32 = 24;

/// P(at least `least` of `count` are on one of so many workers).
fn own_share(count: u32, least: u32, workers: usize) -> f64 {
    let own = 1.0 / workers as f64;
    if workers == 1 {
        return if least <= count { 1.0 } else { 0.0 };
    }
    let mut below = 0.0;
    let mut term = (0..count).fold(1.0, |term, _| term * (1.0 - own));
    for n in 0..least {
        below += term;
        term *= f64::from(count.saturating_sub(n)) / f64::from(n + 1) * own / (1.0 - own);
    }
    (1.0 - below).max(0.0)
}

/// P(N >= least) of a Poisson variable.
fn poisson_tail(mean: f64, least: u32) -> f64 {
    let mut term = libm::exp(-mean);
    for n in 1..=least {
        term *= mean / f64::from(n);
    }
    let (mut sum, mut n) = (0.0, least);
    // Terms grow up to the mean and then fall faster than a geometric series.
    while f64::from(n) <= mean || sum * 1e-12 < term {
        sum += term;
        n += 1;
        term *= mean / f64::from(n);
        if term <= 0.0 {
            break;
        }
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_S: Duration = Duration::from_s(10);

    #[test]
    fn what_was_before_an_event_is_forgotten_when_as_much_is_known_since() {
        let mut demand = Demand::default();
        let tries = |demand: &mut Demand, count: u32| {
            (0..count).for_each(|_| demand.count());
        };
        tries(&mut demand, 0);
        demand.end_window(TEN_S, TEN_S);
        demand.outdate();
        // Five in a second add to none in ten, half faded.
        tries(&mut demand, 5);
        demand.end_window(Duration::from_s(1), TEN_S);
        assert!((demand.per_s() - 5.0 / 6.0).abs() < 1e-12);
        demand.end_window(Duration::ZERO, TEN_S);
        tries(&mut demand, 50);
        demand.end_window(TEN_S, TEN_S);
        assert!((demand.per_s() - 5.0).abs() < 1e-12);
        // And from then on all goes on as ever.
        tries(&mut demand, 100);
        demand.end_window(TEN_S, TEN_S);
        assert!((demand.per_s() - 125.0 / 15.0).abs() < 1e-12);
    }

    #[test]
    fn demand_is_measured_in_windows_and_follows_them() {
        let mut demand = Demand::default();
        assert!(demand.per_s() <= 0.0);
        let mut window = |tries: u32| {
            (0..tries).for_each(|_| demand.count());
            demand.end_window(TEN_S, TEN_S);
            demand.per_s()
        };
        assert!((window(50) - 5.0).abs() < 1e-12);
        // 25 faded tries and 100 over 5 + 10 s.
        assert!((window(100) - 125.0 / 15.0).abs() < 1e-12);
        for _ in 0..60 {
            window(20);
        }
        assert!((window(20) - 2.0).abs() < 1e-9);
    }

    fn demand() -> Demand {
        let mut demand = Demand::default();
        for _ in 0..100 {
            demand.count();
            demand.held(Duration::from_ms(20));
        }
        demand.end_window(TEN_S, TEN_S);
        demand
    }

    #[track_caller]
    fn near(rate: f64, wanted: f64) {
        assert!((rate / wanted - 1.0).abs() < 1e-8, "{rate}, not {wanted}");
    }

    #[test]
    fn a_second_connection_is_needed_by_those_who_meet_another() {
        // Two endpoints of 5 a second, 0.1 under way at each: e^−0.1 = 0.904837418.
        let spread = Spread { endpoints: 2, workers: 1, balancer: LoadBalancer::Random };
        let none = 0.904_837_418_036;
        near(demand().per_s_beyond(spread, 0), 5.0);
        near(demand().per_s_beyond(spread, 1), 5.0 * (1.0 - none));
        near(demand().per_s_beyond(spread, 2), 5.0 * (1.0 - none * 1.1));
        near(demand().per_s_beyond(spread, 3), 5.0 * (1.0 - none * 1.105));
    }

    #[test]
    fn who_looks_at_two_endpoints_meets_others_less_often() {
        let busy = 1.0 - 0.904_837_418_036;
        let of = |balancer| {
            let spread = Spread { endpoints: 2, workers: 1, balancer };
            demand().per_s_beyond(spread, 1)
        };
        // Half of the draws with replacement hit one endpoint twice.
        let both = f64::midpoint(busy, busy * busy);
        near(of(LoadBalancer::LeastRequest { choices: 2 }), 5.0 * both);
        near(of(LoadBalancer::LeastRequestDistinct), 5.0 * busy * busy);
        near(of(LoadBalancer::LeastRequestFullScan), 5.0 * busy * busy);
        let one = Spread { endpoints: 1, workers: 1, balancer: LoadBalancer::LeastRequestDistinct };
        near(demand().per_s_beyond(one, 1), 10.0 * (1.0 - libm::exp(-0.2)));
    }

    #[test]
    fn a_request_meets_only_those_of_its_own_worker() {
        // One under way is on the own worker of four with 1/4, one of two at least with 7/16.
        near(own_share(1, 1, 4), 0.25);
        near(own_share(2, 1, 4), 7.0 / 16.0);
        near(own_share(2, 2, 4), 1.0 / 16.0);
        near(own_share(3, 2, 1), 1.0);
        assert!(own_share(1, 2, 4) < 1e-12);
    }

    #[test]
    fn the_tail_of_a_poisson_variable_is_whole_at_zero() {
        for mean in [1e-6, 0.3, 4.0, 60.0] {
            assert!((poisson_tail(mean, 0) - 1.0).abs() < 1e-9, "{mean}");
        }
        // P(N >= 60) for a mean of 60, from tables: 0.5171.
        assert!((poisson_tail(60.0, 60) - 0.517_1).abs() < 1e-3);
        assert!(poisson_tail(1e-6, 3) < 1e-18);
    }
}
