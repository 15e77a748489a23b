//! Global rate limit: the counters of a rate limit service, shared by all proxies that ask it.
//!
//! Each descriptor of a request is counted in a window of its limit's unit, on the grid of that unit:
//! whoever comes first has the window's requests, and all others of it are over the limit. Those are
//! counted, too, and so are all descriptors of a request of which one is over its limit.
//!
//! Source: the reference service envoyproxy/ratelimit (`fixed_cache_impl.go`: a counter by descriptor and
//! unix time / unit; over the limit if it is above the limit after the request).
//! Left out: its cache of what is over the limit, its jitter of expiry, its soft warning, its shadow mode;
//! hits other than one; descriptors of several entries.

use crate::kernel::time::{Duration, Time};
use crate::plan::balancing::HashOn;
use crate::plan::filter::{GlobalRateLimit, RateLimit, RateUnit};
use crate::plan::universe::RequestClass;

use crate::model::proxy::hash_policy::{self, Sender};
use std::collections::BTreeMap;

/// One descriptor of a request: which limit of its filter, and what stands for the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// The place of the limit in its filter.
    pub limit: usize,
    /// Equal for equal values.
    pub value: u64,
}

/// The descriptors of a request: none of a limit whose header it does not have. `draw` are 64 random
/// bits of the request, for headers with a range of values.
pub fn descriptors(filter: &GlobalRateLimit, class: &RequestClass, draw: u64) -> Vec<Descriptor> {
    let nobody = Sender { address: 0, is_crowd: false };
    let value = |limit: &RateLimit| match &limit.header {
        None => Some(0),
        Some(name) => hash_policy::hash(&HashOn::Header(name.clone()), class, nobody, draw),
    };
    let limits = filter.limits.iter().enumerate();
    limits.filter_map(|(limit, one)| Some(Descriptor { limit, value: value(one)? })).collect()
}

/// The requests of one limit in its newest window, by value.
#[derive(Clone, Debug, Default)]
struct Window {
    number: u64,
    requests: BTreeMap<u64, u32>,
}

/// The counters of one rate limit service.
#[derive(Clone, Debug, Default)]
pub struct Counters(Vec<(String, RateLimit, Window)>);

impl Counters {
    /// Counts a request by its descriptors; whether it is over a limit.
    #[must_use]
    pub fn count(&mut self, filter: &GlobalRateLimit, of: &[Descriptor], now: Time) -> bool {
        let mut is_over = false;
        for descriptor in of {
            let limit = &filter.limits[descriptor.limit];
            is_over |= self.count_one(&filter.domain, limit, descriptor.value, now);
        }
        is_over
    }

    fn count_one(&mut self, domain: &str, limit: &RateLimit, value: u64, now: Time) -> bool {
        let is_it = |one: &(String, RateLimit, Window)| one.0 == domain && one.1 == *limit;
        let place = self.0.iter().position(is_it).unwrap_or_else(|| {
            self.0.push((domain.to_owned(), limit.clone(), Window::default()));
            self.0.len() - 1
        });
        let window = &mut self.0[place].2;
        let number = now.ns() / length(limit.unit).ns();
        debug_assert!(window.number <= number, "time goes on");
        if window.number != number {
            *window = Window { number, requests: BTreeMap::new() };
        }
        let requests = window.requests.entry(value).or_default();
        *requests = requests.saturating_add(1);
        limit.requests < *requests
    }
}

/// How long a window is.
const fn length(unit: RateUnit) -> Duration {
    Duration::from_s(match unit {
        RateUnit::Second => 1,
        RateUnit::Minute => 60,
        RateUnit::Hour => 3_600,
        RateUnit::Day => 86_400,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::universe::ServiceId;

    fn filter(limits: &[(u32, RateUnit, Option<&str>)]) -> GlobalRateLimit {
        let limit = |&(requests, unit, header): &(u32, RateUnit, Option<&str>)| RateLimit {
            requests,
            unit,
            header: header.map(str::to_owned),
        };
        GlobalRateLimit {
            service: ServiceId(0),
            domain: "mesh".to_owned(),
            limits: limits.iter().map(limit).collect(),
            timeout: Duration::from_ms(20),
            failure_mode_deny: false,
        }
    }

    fn class(headers: &[(&str, &str)]) -> RequestClass {
        RequestClass {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            defect: None,
        }
    }

    fn at_ms(ms: u64) -> Time {
        Time::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_window_begins_on_the_grid_and_has_its_requests_once() {
        let two = filter(&[(2, RateUnit::Second, None)]);
        let all = descriptors(&two, &class(&[]), 0);
        let mut counters = Counters::default();
        let over: Vec<bool> = [900, 950, 999, 1_000, 1_001, 1_999, 2_000]
            .map(|ms| counters.count(&two, &all, at_ms(ms)))
            .to_vec();
        // Four pass within 102 ms: the price of fixed windows.
        assert_eq!(over, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn each_value_of_a_header_has_a_limit_of_its_own_and_without_it_there_is_none() {
        let one = filter(&[(1, RateUnit::Hour, Some("x-user"))]);
        let of = |value: &str| descriptors(&one, &class(&[("x-user", value)]), 0);
        let mut counters = Counters::default();
        assert!(!counters.count(&one, &of("ann"), at_ms(0)));
        assert!(!counters.count(&one, &of("bob"), at_ms(0)));
        assert!(counters.count(&one, &of("ann"), at_ms(3_599_999)));
        assert!(!counters.count(&one, &of("ann"), at_ms(3_600_000)));
        assert!(descriptors(&one, &class(&[]), 0).is_empty());
        // Of a range each draw has its value.
        let ranged = |draw| descriptors(&one, &class(&[("x-user", "u{1..9}")]), draw);
        assert_ne!(ranged(0), ranged(u64::MAX));
    }

    #[test]
    fn one_limit_of_several_is_enough_and_all_of_them_count() {
        let both = filter(&[(1, RateUnit::Second, None), (2, RateUnit::Minute, Some("x-user"))]);
        let all = descriptors(&both, &class(&[("x-user", "ann")]), 0);
        let mut counters = Counters::default();
        assert!(!counters.count(&both, &all, at_ms(0)));
        // Over the first limit, and counted by the second.
        assert!(counters.count(&both, &all, at_ms(1)));
        assert!(counters.count(&both, &all, at_ms(2_000)));
        // Another domain has other counters.
        let other = GlobalRateLimit { domain: "edge".to_owned(), ..both };
        assert!(!counters.count(&other, &all, at_ms(2_000)));
    }

    #[test]
    fn a_limit_of_none_lets_nobody_pass() {
        let none = filter(&[(0, RateUnit::Day, None)]);
        let mut counters = Counters::default();
        assert!(counters.count(&none, &descriptors(&none, &class(&[]), 0), at_ms(0)));
    }
}
