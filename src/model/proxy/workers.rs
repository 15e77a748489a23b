//! A proxy's worker threads: each a server with its own queue, to which connections are pinned.
//!
//! What a worker has to do is known when it is asked, and nothing is ever cancelled, so the end
//! is computed at once (Lindley's recursion) and a busy proxy costs no events of its own. Work
//! after an answer (access log, statistics) delays the *next* request, not this one.
//!
//! Source: Envoy's threading model (a connection stays on its worker); Lindley 1952.
//! Left out: the main thread; stealing of work (Envoy does none).

use crate::kernel::time::{Duration, Time};

/// The workers of one proxy.
#[derive(Clone, Debug)]
pub struct Workers {
    free_at: Box<[Time]>,
}

impl Workers {
    /// So many idle workers, at least 1.
    pub fn new(count: u32) -> Self {
        Self { free_at: vec![Time::ZERO; count.max(1) as usize].into() }
    }

    /// The worker that a draw pins a connection to.
    pub fn pick(&self, draw: u64) -> u32 {
        u32::try_from(crate::kernel::stream::below(draw, self.free_at.len())).unwrap_or(0)
    }

    /// Bytes held beside the workers themselves.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.free_at)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.free_at.len()
    }

    /// The worker does `work` when it is free, and `after` once that is done. Returns when
    /// `work` is done.
    #[must_use]
    #[inline]
    pub fn run(&mut self, worker: u32, now: Time, work: Duration, after: Duration) -> Time {
        let free_at = &mut self.free_at[worker as usize];
        let done = now.max(*free_at) + work;
        *free_at = done + after;
        done
    }

    /// All workers stand still until `until`.
    pub fn freeze(&mut self, now: Time, until: Time) {
        let length = until.saturating_since(now);
        for free_at in &mut self.free_at {
            *free_at = (*free_at).max(now) + length;
        }
    }

    /// The proxy was started anew.
    pub fn reset(&mut self) {
        self.free_at.fill(Time::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_after_an_answer_delays_only_the_next_request() {
        let mut workers = Workers::new(1);
        let us = Duration::from_us;
        let at = |us: u64| Time::from_ns(us * 1_000);
        assert_eq!(workers.run(0, at(0), us(100), us(50)), at(100));
        assert_eq!(workers.run(0, at(10), us(100), us(50)), at(250));
        assert_eq!(workers.run(0, at(1_000), us(100), us(0)), at(1_100));
    }

    #[test]
    fn workers_do_not_share_their_queues() {
        let mut workers = Workers::new(2);
        let us = Duration::from_us;
        let at = |us: u64| Time::from_ns(us * 1_000);
        assert_eq!(workers.run(0, at(0), us(100), us(0)), at(100));
        assert_eq!(workers.run(1, at(0), us(100), us(0)), at(100));
    }
}
