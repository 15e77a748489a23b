//! The ledger: two-sided counts of a run, and laws that hold exactly.
//!
//! Source: Little's law in its exact form over a finite time: ∫ N dt = Σ sojourns of the ended +
//! Σ (T − start) of those in flight, in whole request-nanoseconds.
//! Left out: bytes.

use crate::kernel::time::{Duration, Time};

/// Root requests and attempts, counted where they begin and where they end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ledger {
    pub roots_began: u64,
    pub roots_ended: u64,
    /// Root requests in flight.
    in_flight: u64,
    since: Time,
    /// ∫ in flight dt.
    area_ns: u128,
    /// Σ sojourns of the ended.
    sojourns_ns: u128,

    pub calls_began: u64,
    pub calls_ended: u64,
    /// Tries that reached a router's cluster, retries included.
    pub attempts: u64,
    /// Of these, such that got an endpoint.
    pub attempts_to_endpoints: u64,
    pub attempts_closed: u64,

    /// Connections that are open now.
    pub connections_open: u32,

    /// Packets (requests and answers) handed to links.
    pub sent: u64,
    pub delivered: u64,
    /// Swallowed by a cut or a dead node.
    pub lost: u64,
}

impl Ledger {
    pub(crate) fn root_began(&mut self, now: Time) {
        self.integrate(now);
        self.roots_began += 1;
        self.in_flight += 1;
    }

    pub(crate) fn root_ended(&mut self, now: Time, sojourn: Duration) {
        self.integrate(now);
        self.roots_ended += 1;
        self.in_flight = self.in_flight.checked_sub(1).expect("a request ended twice");
        self.sojourns_ns += u128::from(sojourn.ns());
    }

    /// Root requests in flight.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    fn integrate(&mut self, now: Time) {
        self.area_ns += u128::from(now.since(self.since).ns()) * u128::from(self.in_flight);
        self.since = now;
    }

    /// Little's law, exactly: `ages` are (now − start) of the root requests in flight.
    pub(crate) fn check_little(&mut self, now: Time, ages: impl Iterator<Item = Duration>) {
        self.integrate(now);
        let (count, sum) =
            ages.fold((0_u64, 0_u128), |(count, sum), age| (count + 1, sum + u128::from(age.ns())));
        assert_eq!(count, self.in_flight, "requests in flight, recounted");
        assert_eq!(
            self.area_ns,
            self.sojourns_ns + sum,
            "Little's law: the area under N differs from the sum of sojourns"
        );
    }
}
