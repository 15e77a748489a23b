//! Few servers under a balancer that looks at their queues: the Markov chain, solved.
//!
//! Servers are alike, so a state is how long their queues are, in falling order. The chain is cut
//! where the longest queue is `window` above the shortest, and at `requests_max` in all: an
//! arrival that would stretch the window joins the shortest queue, a departure that would is
//! taken from the longest. So the total still goes up and down by one, and an iteration can solve
//! for it exactly between two sweeps, which removes all slow convergence.
//!
//! Source: threshold jockeying: Adan, van Houtum and van der Wal, Annals of Operations Research 48
//! (1994); sweeps: Koury and others, SIAM J. Alg. Disc. Meth. 5 (1984).
//! Left out: service times that are not exponential.

/// Queue lengths in falling order; unused servers of a smaller chain do not appear.
type State = Vec<u8>;

/// How an arrival chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// The shorter of two draws, which may be the same server.
    TwoWithReplacement,
    /// The shorter of two different servers.
    TwoDistinct,
    /// The shortest of all.
    Shortest,
}

/// A chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub servers: u8,
    pub load: f64,
    pub choice: Choice,
    /// Longest queue minus shortest, at most.
    pub window: u8,
    /// In all queues.
    pub requests_max: usize,
}

/// A relative change of the mean below this ends the sweeps.
const TOLERANCE: f64 = 1e-9;
const SWEEPS_MAX: u32 = 2_000;

impl Chain {
    /// Mean sojourn, in mean service times.
    pub(super) fn sojourn(&self) -> f64 {
        let balance = self.balance();
        let arrivals = self.load * f64::from(self.servers);
        let mut shares = vec![1.0; balance.busy.len()];
        let mut mean = 0.0;
        for _ in 0..SWEEPS_MAX {
            balance.level(&mut shares, arrivals);
            let before = std::mem::replace(&mut mean, balance.mean(&shares));
            if (mean - before).abs() <= TOLERANCE * mean {
                break;
            }
            balance.sweep(&mut shares);
        }
        mean / (arrivals * (1.0 - balance.full(&shares)))
    }

    /// States by total, each total's in order.
    fn states(&self) -> Vec<Vec<State>> {
        let mut levels = vec![Vec::new(); self.requests_max + 1];
        let longest = u8::try_from(self.requests_max / usize::from(self.servers)).expect("short");
        for shortest in 0..=longest {
            let mut state = vec![shortest; usize::from(self.servers)];
            self.extend(&mut state, 0, shortest.saturating_add(self.window), &mut levels);
        }
        for level in &mut levels {
            level.sort_unstable();
        }
        levels
    }

    /// All states that begin with `state[..from]`, whose further queues are at most `most` and
    /// the last of which is as `state` has it.
    fn extend(&self, state: &mut State, from: usize, most: u8, levels: &mut [Vec<State>]) {
        let last = state.len() - 1;
        let shortest = state[last];
        if from == last {
            let total: usize = state.iter().map(|length| usize::from(*length)).sum();
            if total <= self.requests_max {
                levels[total].push(state.clone());
            }
            return;
        }
        for length in shortest..=most {
            state[from] = length;
            self.extend(state, from + 1, length, levels);
        }
        state[from] = shortest;
    }

    /// The chance that an arrival joins one of the queues `state[from..to]`, which are equal.
    fn joins(&self, from: usize, to: usize) -> f64 {
        let (n, longer, as_long) = (f64::from(self.servers), from as f64, to as f64);
        match self.choice {
            // Both draws at least as long, less both longer.
            Choice::TwoWithReplacement => (as_long * as_long - longer * longer) / (n * n),
            Choice::TwoDistinct => {
                (as_long * (as_long - 1.0) - longer * (longer - 1.0)) / (n * (n - 1.0))
            }
            Choice::Shortest => f64::from(u8::from(to == usize::from(self.servers))),
        }
    }

    /// The next states with their rates.
    fn moves(&self, state: &State, total: usize, mut tell: impl FnMut(State, f64)) {
        let arrivals = self.load * f64::from(self.servers);
        let last = state.len() - 1;
        let is_wide = |state: &State| self.window < state[0] - state[last];
        let mut from = 0;
        while from <= last {
            let length = state[from];
            let to = from + state[from..].iter().take_while(|one| **one == length).count();
            let joins = self.joins(from, to);
            if total < self.requests_max && 0.0 < joins {
                let mut next = state.clone();
                next[from] += 1;
                if is_wide(&next) {
                    next[from] -= 1;
                    *first_of_last(&mut next) += 1;
                }
                tell(next, arrivals * joins);
            }
            if length != 0 {
                let mut next = state.clone();
                next[to - 1] -= 1;
                if is_wide(&next) {
                    next[to - 1] += 1;
                    *last_of_first(&mut next) -= 1;
                }
                tell(next, (to - from) as f64);
            }
            from = to;
        }
    }

    fn balance(&self) -> Balance {
        let levels = self.states();
        let starts: Vec<usize> = levels
            .iter()
            .scan(0, |next, level| Some(std::mem::replace(next, *next + level.len())))
            .collect();
        let place = |state: &State| {
            let total: usize = state.iter().map(|length| usize::from(*length)).sum();
            starts[total] + levels[total].binary_search(state).expect("a state of the chain")
        };
        let count = levels.iter().map(Vec::len).sum();
        let mut balance = Balance {
            levels: starts
                .iter()
                .zip(&levels)
                .map(|(from, level)| *from..from + level.len())
                .collect(),
            busy: Vec::with_capacity(count),
            leaves: vec![0.0; count],
            sources: vec![Vec::new(); count],
        };
        for (total, level) in levels.iter().enumerate() {
            for (index, state) in level.iter().enumerate() {
                let here = starts[total] + index;
                let busy = state.iter().filter(|length| **length != 0).count();
                balance.busy.push(busy as f64);
                self.moves(state, total, |next, rate| {
                    balance.leaves[here] += rate;
                    let here = u32::try_from(here).expect("fewer than 2^32 states");
                    balance.sources[place(&next)].push((here, rate));
                });
            }
        }
        balance
    }
}

/// The first of the shortest queues: what grows by one keeps the order there.
fn first_of_last(state: &mut State) -> &mut u8 {
    let shortest = *state.last().expect("a server");
    state.iter_mut().find(|length| **length == shortest).expect("itself")
}

/// The last of the longest queues.
fn last_of_first(state: &mut State) -> &mut u8 {
    let longest = state[0];
    state.iter_mut().rfind(|length| **length == longest).expect("itself")
}

/// The equations: what flows into a state is what flows out.
struct Balance {
    /// States of each total.
    levels: Vec<std::ops::Range<usize>>,
    /// Servers that are busy, by state.
    busy: Vec<f64>,
    /// Rate out of each state.
    leaves: Vec<f64>,
    /// From where and at what rate each state is reached.
    sources: Vec<Vec<(u32, f64)>>,
}

impl Balance {
    /// Gauss and Seidel: each state from its sources, totals upwards and then downwards.
    fn sweep(&self, shares: &mut [f64]) {
        let mut put = |state: usize| {
            let into: f64 =
                self.sources[state].iter().map(|(from, rate)| shares[*from as usize] * rate).sum();
            shares[state] = into / self.leaves[state];
        };
        (0..self.leaves.len()).for_each(&mut put);
        (0..self.leaves.len()).rev().for_each(&mut put);
    }

    /// Scales each total so that as many go up to the next one as come down, and all to 1.
    fn level(&self, shares: &mut [f64], arrivals: f64) {
        let (mut mass, mut sum) = (1.0, 0.0);
        for (total, level) in self.levels.iter().enumerate() {
            let here: f64 = shares[level.clone()].iter().sum();
            if total != 0 {
                let ends: f64 = level.clone().map(|state| shares[state] * self.busy[state]).sum();
                mass *= arrivals * here / ends;
            }
            shares[level.clone()].iter_mut().for_each(|share| *share *= mass / here);
            sum += mass;
        }
        for share in shares.iter_mut() {
            *share /= sum;
        }
    }

    /// Mean number of requests.
    fn mean(&self, shares: &[f64]) -> f64 {
        let part = |(total, level): (usize, &std::ops::Range<usize>)| {
            total as f64 * shares[level.clone()].iter().sum::<f64>()
        };
        self.levels.iter().enumerate().map(part).sum()
    }

    /// Share of time at the greatest total.
    fn full(&self, shares: &[f64]) -> f64 {
        self.levels.last().map_or(0.0, |level| shares[level.clone()].iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_of_two_queues_is_the_published_one() {
        let exact = [(0.5, 1.426_320_751_2), (0.7, 2.108_197_274_0), (0.9, 5.474_912_8)];
        for (load, expected) in exact {
            let chain =
                Chain { servers: 2, load, choice: Choice::Shortest, window: 25, requests_max: 300 };
            let sojourn = chain.sojourn();
            assert!((sojourn / expected - 1.0).abs() < 1e-7, "{load}: {sojourn} {expected}");
        }
    }

    #[test]
    fn one_choice_of_one_server_is_mm1() {
        let choice = Choice::TwoWithReplacement;
        let chain = Chain { servers: 1, load: 0.8, choice, window: 0, requests_max: 200 };
        assert!((chain.sojourn() - 5.0).abs() < 1e-6);
    }

    #[test]
    fn a_wider_window_moves_the_mean_by_less_than_a_part_in_ten_thousand() {
        for choice in [Choice::TwoWithReplacement, Choice::TwoDistinct] {
            let of = |window| {
                Chain { servers: 5, load: 0.7, choice, window, requests_max: 60 }.sojourn()
            };
            let (narrow, wide) = (of(8), of(10));
            assert!(narrow < wide, "jockeying can only help: {narrow} {wide}");
            assert!(wide - narrow < 1e-4 * wide, "{narrow} {wide}");
        }
    }
}
