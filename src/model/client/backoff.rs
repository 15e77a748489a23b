//! How long a client waits before it sends again.
//!
//! Waits grow so that fewer are sent when more fail; jitter is there so that those who failed together
//! do not come back together.
//!
//! Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015;
//! aws-samples/aws-arch-backoff-simulator. That program doubles before the first wait, which is the same
//! with twice the base.
//! Left out: waits that a server asks for.

use crate::kernel::stream::uniform;
use crate::kernel::time::Duration;
use crate::plan::client::{Backoff, Jitter};

/// The wait before send `number` after the first one (from 1), when the one before was `last` (zero
/// before there was any).
#[must_use]
pub fn wait(backoff: &Backoff, number: u32, last: Duration, draw: u64) -> Duration {
    assert!(1 <= number, "the first send does not wait");
    let Backoff { jitter, base, max } = *backoff;
    let limit_ns = base.ns().saturating_mul(1 << (number - 1).min(40)).min(max.ns()) as f64;
    let chance = uniform(draw);
    let ns = match jitter {
        Jitter::None => limit_ns,
        Jitter::Equal => limit_ns * (0.5 + chance / 2.0),
        Jitter::Full => limit_ns * chance,
        Jitter::Decorrelated => {
            let floor = base.ns() as f64;
            let ceiling = 3.0 * last.max(base).ns() as f64;
            (floor + (ceiling - floor) * chance).min(max.ns() as f64)
        }
    };
    Duration::from_ns_f64(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(jitter: Jitter, draw: u64) -> [u64; 5] {
        let backoff = Backoff { jitter, base: Duration::from_ms(10), max: Duration::from_ms(75) };
        let mut last = Duration::ZERO;
        [1, 2, 3, 4, 60].map(|number| {
            last = wait(&backoff, number, last, draw);
            last.ns() / 1_000_000
        })
    }

    #[test]
    fn each_jitter_keeps_within_its_range() {
        let (low, high) = (0, u64::MAX);
        assert_eq!(waits(Jitter::None, low), [10, 20, 40, 75, 75]);
        assert_eq!(waits(Jitter::Equal, low), [5, 10, 20, 37, 37]);
        assert_eq!(waits(Jitter::Full, low), [0; 5]);
        assert_eq!(waits(Jitter::Full, high), [10, 20, 40, 75, 75]);
        assert_eq!(waits(Jitter::Decorrelated, low), [10; 5]);
        assert_eq!(waits(Jitter::Decorrelated, high), [30, 75, 75, 75, 75]);
    }

    #[test]
    fn without_a_base_nobody_waits() {
        let at_once =
            Backoff { jitter: Jitter::Full, base: Duration::ZERO, max: Duration::from_s(1) };
        assert_eq!(wait(&at_once, 3, Duration::ZERO, u64::MAX), Duration::ZERO);
    }
}
