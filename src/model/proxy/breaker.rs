//! The circuit breaker of one proxy for one cluster: gauges under ceilings.
//!
//! Source: Envoy circuit breaking docs; measured on Envoy 1.40 (family e04): `max_connections`
//! counts per cluster, yet every endpoint may have one; the retry slot is taken at the decision
//! and held through back-off and attempt; a budget is max(min, floor(share · active requests)).
//! Left out: `max_connection_pools`; the reporting of remaining capacity.

use crate::plan::policy::{CircuitBreaker, RetryLimit};

/// What is under way from one proxy to one cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gauges {
    /// Open or opening connections.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending: u32,
    /// Attempts under way on a connection.
    pub requests: u32,
    /// Retries, their back-off included.
    pub retries: u32,
}

impl Gauges {
    /// Whether one more attempt may be sent.
    pub const fn admits_request(&self, limits: &CircuitBreaker) -> bool {
        self.requests < limits.max_requests
    }

    /// Whether one more request may wait for a connection.
    pub const fn admits_pending(&self, limits: &CircuitBreaker) -> bool {
        self.pending < limits.max_pending
    }

    /// Whether one more connection may be opened to an endpoint that has `here` already.
    pub const fn admits_connection(&self, limits: &CircuitBreaker, here: u32) -> bool {
        here == 0 || self.connections < limits.max_connections
    }

    /// Whether one more retry may be decided; `own` counts a stream that has just ended: at the
    /// decision Envoy still counts the one that is to be tried again (measured, family e04: with a
    /// budget of 50 % a tenth of the requests gets its first retry only).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a u32, rounded down"
    )]
    pub fn admits_retry(&self, limits: &CircuitBreaker, own: u32) -> bool {
        let slots = match limits.retries {
            RetryLimit::Max(slots) => slots,
            RetryLimit::Budget { share, min_concurrency } => {
                let active = f64::from(self.requests + own) + f64::from(self.pending);
                ((share * active) as u32).max(min_concurrency)
            }
        };
        self.retries < slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CircuitBreaker = CircuitBreaker {
        max_connections: 1,
        max_pending: 0,
        max_requests: 2,
        retries: RetryLimit::Budget { share: 0.2, min_concurrency: 3 },
    };

    #[test]
    fn every_endpoint_may_have_one_connection_whatever_the_ceiling() {
        let gauges = Gauges { connections: 5, ..Gauges::default() };
        assert!(gauges.admits_connection(&LIMITS, 0));
        assert!(!gauges.admits_connection(&LIMITS, 1));
    }

    #[test]
    fn max_pending_zero_lets_nobody_wait() {
        assert!(!Gauges::default().admits_pending(&LIMITS));
    }

    #[test]
    fn a_budget_is_a_share_of_the_active_requests_but_at_least_its_minimum() {
        let busy = |requests, retries| Gauges { requests, retries, ..Gauges::default() };
        assert!(busy(1, 2).admits_retry(&LIMITS, 0));
        assert!(!busy(1, 3).admits_retry(&LIMITS, 0));
        assert!(busy(24, 3).admits_retry(&LIMITS, 0));
        assert!(!busy(24, 4).admits_retry(&LIMITS, 0));
        assert!(busy(24, 4).admits_retry(&LIMITS, 1));
    }
}
