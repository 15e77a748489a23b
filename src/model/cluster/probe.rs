//! A kubelet's probe of a container: failures and successes in a row.
//!
//! Source: kubernetes `pkg/kubelet/prober/worker.go`.
//! Left out: the random first delay after the kubelet itself starts.

use crate::plan::pods::Probe;

/// What the kubelet believes of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    /// What it believes.
    pub is_good: bool,
    /// Results that say otherwise, in a row.
    against: u32,
}

impl Health {
    /// Of a container that has not been looked at. A readiness probe begins without belief, a
    /// liveness probe with it.
    pub fn new(is_good: bool) -> Self {
        Self { is_good, against: 0 }
    }

    /// A result: whether the belief changed.
    #[must_use]
    pub fn result(&mut self, is_success: bool, probe: &Probe) -> bool {
        if is_success == self.is_good {
            self.against = 0;
            return false;
        }
        self.against += 1;
        if self.against < if is_success { probe.successes } else { probe.failures } {
            return false;
        }
        *self = Self::new(is_success);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;

    #[test]
    fn three_failures_in_a_row_and_one_success() {
        let probe = Probe {
            period: Duration::from_s(10),
            timeout: Duration::from_s(1),
            failures: 3,
            successes: 1,
            initial_delay: Duration::ZERO,
        };
        let mut health = Health::new(true);
        let results = [false, false, true, false, false, false, false, true];
        let changes = results.map(|result| health.result(result, &probe));
        assert_eq!(changes, [false, false, false, false, false, true, false, true]);
        assert!(health.is_good);
    }
}
