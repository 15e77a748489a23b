//! Linkerd's exponential back-off: what reconnects, lost streams, retries and penalties wait.
//!
//! ```text
//! base n = min(min · 2^n, max)      wait = base + U[0, 1) · jitter · base, at most max
//! ```
//!
//! The jitter is drawn of the base's whole seconds and of the rest of it apart, and of the first only whole
//! seconds count: a base of 1 s with a jitter of 0.5 has none, one of 8 s has 0, 1, 2 or 3 s.
//!
//! Source: linkerd2-proxy linkerd/exp-backoff/src/lib.rs.
//! Left out: the draw of exactly zero, which the proxy's own assertion forbids.

use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, NS_PER_S};
use crate::plan::linkerd::policy::Backoff;

/// The wait number `number`, from 0.
#[must_use]
pub fn wait(backoff: &Backoff, number: u32, draw: u64) -> Duration {
    debug_assert!(backoff.problem().is_none(), "{:?}", backoff.problem());
    let base = base(backoff, number);
    let share = uniform(draw) * backoff.jitter;
    let seconds = whole((base.ns() / NS_PER_S) as f64 * share);
    let rest = whole((base.ns() % NS_PER_S) as f64 * share);
    let jitter = seconds.saturating_mul(NS_PER_S).saturating_add(rest);
    let room = backoff.max.saturating_sub(base);
    base + Duration::from_ns(jitter).min(room)
}

/// The same without jitter.
#[must_use]
pub fn base(backoff: &Backoff, number: u32) -> Duration {
    let times = 1_u64.checked_shl(number).filter(|_| number < 32).unwrap_or(u64::from(u32::MAX));
    Duration::from_ns(backoff.min.ns().saturating_mul(times)).min(backoff.max)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at zero")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// Tries to connect to one peer again: waits that grow while they fail.
///
/// A connection that came up ends the growth, even where TLS 1.3 lets the server refuse the client's
/// certificate only afterwards: such an endpoint is ready for a round trip every 100 ms, and requests that
/// meet it then fail with 502.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reconnect {
    failures: u32,
}

impl Reconnect {
    /// It failed: how long to wait.
    #[must_use]
    pub fn failed(&mut self, backoff: &Backoff, draw: u64) -> Duration {
        let wait = wait(backoff, self.failures, draw);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// It is up.
    pub fn connected(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: Backoff =
        Backoff { min: Duration::from_ms(100), max: Duration::from_s(60), jitter: 0.1 };
    const PENALTY: Backoff =
        Backoff { min: Duration::from_s(1), max: Duration::from_s(60), jitter: 0.5 };
    const RETRY: Backoff =
        Backoff { min: Duration::from_ms(25), max: Duration::from_ms(250), jitter: 1.0 };

    fn ms(backoff: &Backoff, draw: u64) -> Vec<f64> {
        (0..12).map(|number| wait(backoff, number, draw).as_ms()).collect()
    }

    #[test]
    fn waits_double_to_the_longest_and_jitter_never_leads_beyond() {
        let low =
            [100.0, 200.0, 400.0, 800.0, 1.6e3, 3.2e3, 6.4e3, 12.8e3, 25.6e3, 51.2e3, 6e4, 6e4];
        assert_eq!(ms(&CONNECT, 0), low);
        for (high, low) in ms(&CONNECT, u64::MAX).into_iter().zip(low) {
            assert!(low <= high && high <= 60_000.0 && high <= low * 1.1, "{low} to {high}");
        }
        assert_eq!(wait(&CONNECT, 0, u64::MAX).ns(), 110_000_000);
        assert_eq!([32, 1000, u32::MAX].map(|n| base(&CONNECT, n)), [Duration::from_s(60); 3]);
    }

    /// `ExponentialBackoff::jitter` truncates the seconds before it adds the nanoseconds.
    #[test]
    fn the_jitter_of_whole_seconds_is_whole_seconds() {
        let seconds = |number, draw| wait(&PENALTY, number, draw).as_s();
        let high: Vec<f64> = (0..8).map(|number| seconds(number, u64::MAX)).collect();
        assert_eq!(high, [1.0, 2.0, 5.0, 11.0, 23.0, 47.0, 60.0, 60.0]);
        let quarters: Vec<f64> = (0..4).map(|quarter| seconds(3, quarter << 62)).collect();
        assert_eq!(quarters, [8.0, 9.0, 10.0, 11.0]);
        // 1.6 s: none of the second, a tenth of the rest.
        assert!((wait(&CONNECT, 4, u64::MAX).as_ms() - 1660.0).abs() < 0.001);
    }

    #[test]
    fn a_retry_waits_up_to_twice_its_base() {
        assert_eq!(ms(&RETRY, 0)[..5], [25.0, 50.0, 100.0, 200.0, 250.0]);
        assert_eq!(ms(&RETRY, 1 << 63)[..5], [37.5, 75.0, 150.0, 250.0, 250.0]);
    }

    #[test]
    fn a_connection_that_came_up_ends_the_growth() {
        let mut reconnect = Reconnect::default();
        let waits = [(); 3].map(|()| reconnect.failed(&CONNECT, 0));
        assert_eq!(waits, [100, 200, 400].map(Duration::from_ms));
        reconnect.connected();
        assert_eq!(reconnect.failed(&CONNECT, 0), Duration::from_ms(100));
    }
}
