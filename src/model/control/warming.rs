//! Warming: from when on a new cluster stands for its name.
//!
//! A cluster whose endpoints come by EDS is used when EDS has answered, or when the initial fetch took too
//! long; then it has no endpoints until EDS answers after all. Until then the cluster that it
//! replaces serves on, and there is none (`NC`) if it replaces none.
//!
//! ```text
//! told ──── EDS answers ───> used, with endpoints
//!      └─── timeout ───────> used, without ─── EDS answers ───> with endpoints
//! ```
//!
//! Source: Envoy's `initial_fetch_timeout` (15 s); measured on Envoy 1.40 (family e11,
//! `modified_cluster_rest_eds_silent`).
//! Left out: warming for the first active health checks, and for secrets.

use crate::kernel::time::{Duration, Time};

/// When EDS does not answer: from, until (none: to the end), in order.
pub type Silences = [(Time, Option<Time>)];

/// When EDS answers what is asked at `at`; none for never.
pub fn answers_at(silences: &Silences, at: Time) -> Option<Time> {
    let silent = silences.iter().find(|(from, to)| *from <= at && to.is_none_or(|to| at < to));
    silent.map_or(Some(at), |(_, to)| *to)
}

/// From when on a cluster that was told at `told` is used; a timeout of zero is none, as in Envoy.
pub fn used_from(silences: &Silences, told: Time, fetch_timeout: Duration) -> Option<Time> {
    let answers = answers_at(silences, told);
    if fetch_timeout.is_zero() {
        return answers;
    }
    let given_up = told + fetch_timeout;
    Some(answers.map_or(given_up, |answers| answers.min(given_up)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    /// Family e11, `modified_cluster_rest_eds_silent`: changed at 2.2 s, EDS silent from 2 to 7.5 s.
    #[test]
    fn a_cluster_is_used_when_eds_answers_or_the_fetch_takes_too_long() {
        let silent = [(at(2.0), Some(at(7.5)))];
        let timeout = Duration::from_s(3);
        assert_eq!(used_from(&silent, at(2.2), timeout), Some(at(5.2)));
        assert_eq!(answers_at(&silent, at(2.2)), Some(at(7.5)));
        assert_eq!(used_from(&silent, at(6.0), timeout), Some(at(7.5)));
        assert_eq!(used_from(&silent, at(7.5), timeout), Some(at(7.5)));
        let for_good = [(at(2.0), None)];
        assert_eq!(used_from(&for_good, at(3.0), timeout), Some(at(6.0)));
        assert_eq!(used_from(&for_good, at(3.0), Duration::ZERO), None);
        assert_eq!(answers_at(&for_good, at(1.0)), Some(at(1.0)));
    }
}
