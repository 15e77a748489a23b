//! The cores of an istiod replica: one station for all that it computes.
//!
//! Work is done in the order in which it comes, by the core that is free first; what is asked for
//! is known and never taken back, so its end is computed at once (Kiefer and Wolfowitz 1955) and
//! costs no event. A storm of pushes delays certificates, and the reverse.
//!
//! Source: Go schedules goroutines on GOMAXPROCS threads and leaves no thread idle while work waits.
//! Left out: that Go lets them take turns (what waits shares the cores); garbage collection.

use crate::kernel::time::{Duration, Time};

/// The cores of one replica.
#[derive(Clone, Debug)]
pub struct Cores {
    free_at: Box<[Time]>,
    /// All work that was taken on.
    taken: Duration,
}

impl Cores {
    /// So many idle cores, at least 1.
    pub fn new(count: u32) -> Self {
        Self { free_at: vec![Time::ZERO; count.max(1) as usize].into(), taken: Duration::ZERO }
    }

    /// Bytes held beside the cores themselves.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.free_at)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.free_at.len()
    }

    /// Work comes; when it is done.
    #[must_use]
    pub fn run(&mut self, now: Time, work: Duration) -> Time {
        let first = self.free_at.iter_mut().min().expect("at least one core");
        *first = now.max(*first).saturating_add(work);
        self.taken = Duration::from_ns(self.taken.ns().saturating_add(work.ns()));
        *first
    }

    /// Cores that work now.
    pub fn busy(&self, now: Time) -> usize {
        self.free_at.iter().filter(|free_at| now < **free_at).count()
    }

    /// Core time used until now.
    pub fn used(&self, now: Time) -> Duration {
        let to_come = self.free_at.iter().map(|free_at| free_at.saturating_since(now).ns()).sum();
        Duration::from_ns(self.taken.ns().saturating_sub(to_come))
    }

    /// The process ends: what it had in hand is gone.
    pub fn reset(&mut self, now: Time) {
        self.taken = self.used(now);
        self.free_at.fill(Time::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    #[test]
    fn work_goes_to_the_core_that_is_free_first() {
        let mut cores = Cores::new(2);
        let work = Duration::from_ms(10);
        assert_eq!([0; 4].map(|_| cores.run(at(0), work)), [at(10), at(10), at(20), at(20)]);
        assert_eq!((cores.busy(at(5)), cores.busy(at(20))), (2, 0));
        assert_eq!(cores.run(at(100), work), at(110));
    }

    #[test]
    fn what_is_used_is_what_was_done_until_then() {
        let mut cores = Cores::new(2);
        for _ in 0..4 {
            let _ = cores.run(at(0), Duration::from_ms(10));
        }
        let used = |cores: &Cores, ms| cores.used(at(ms)).ns() / 1_000_000;
        assert_eq!([5, 15, 30].map(|ms| used(&cores, ms)), [10, 30, 40]);
        cores.reset(at(15));
        assert_eq!((used(&cores, 15), cores.busy(at(15))), (30, 0));
    }
}
