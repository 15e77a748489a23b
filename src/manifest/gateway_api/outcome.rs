//! How a routed request ends against a backend of known behaviour: timeouts and retries.
//!
//! A small, exact replay of one request: try, wait, try again, until an answer counts or time is up.
//! The simulator does this with queues and randomness; the harness needs only the rules.
//! Source: Gateway API `HTTPRouteTimeouts` (GEP-1742), `HTTPRouteRetry` (GEP-1731): a try that times out
//! or whose connection fails is tried again, the request's timeout bounds everything and answers 504.
//! Left out: jitter; each wait is the shortest that the rule allows.

use crate::manifest::route::Route;

/// Envoy's base interval between retries, where a rule tells none.
const BACKOFF_DEFAULT_NS: u64 = 25_000_000;

/// How a backend behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Behaviour {
    /// Tries that fail before it answers 200.
    pub failing_tries: u32,
    /// The status of a failing try; a connection reset if none.
    pub failing_status: Option<u16>,
    /// Nanoseconds until a failing try answers.
    pub failing_delay_ns: u64,
    /// Nanoseconds until a good try answers.
    pub delay_ns: u64,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    /// The status that the client sees.
    pub status: u16,
    /// Tries that were begun.
    pub tries: u32,
    /// Nanoseconds that it took.
    pub took_ns: u64,
}

/// Plays one request.
pub fn play(route: &Route, backend: Behaviour) -> Ending {
    let limit = route.timeout_ns.unwrap_or(u64::MAX);
    let per_try = route.per_try_timeout_ns.unwrap_or(u64::MAX);
    let retries = route.retries.as_ref();
    let tries_max = retries.map_or(0, |retries| retries.attempts).saturating_add(1);
    let backoff = retries.and_then(|retries| retries.backoff_ns).unwrap_or(BACKOFF_DEFAULT_NS);
    let (mut now, mut tries) = (0_u64, 0);
    loop {
        tries += 1;
        let fails = tries <= backend.failing_tries;
        let takes = if fails { backend.failing_delay_ns } else { backend.delay_ns };
        let status = match (fails, backend.failing_status) {
            _ if takes >= per_try => 504,
            (true, Some(status)) => status,
            (true, None) => 503,
            (false, _) => 200,
        };
        now = now.saturating_add(takes.min(per_try));
        if now >= limit {
            return Ending { status: 504, tries, took_ns: limit };
        }
        let timed_out = takes >= per_try;
        let reset = fails && backend.failing_status.is_none();
        let listed = retries.is_some_and(|retries| retries.codes.contains(&status));
        let again = status != 200 && (timed_out || reset || listed);
        if !again || tries >= tries_max {
            return Ending { status, tries, took_ns: now };
        }
        now = now.saturating_add(backoff);
        if now >= limit {
            return Ending { status: 504, tries, took_ns: limit };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::route::Retries;

    const MS: u64 = 1_000_000;

    fn route(timeout: u64, per_try: u64, attempts: u32, codes: &[u16]) -> Route {
        let limit = |ms: u64| Some(ms * MS).filter(|ms| *ms > 0);
        let retries = Retries { attempts, codes: codes.to_vec(), ..Retries::default() };
        Route {
            timeout_ns: limit(timeout),
            per_try_timeout_ns: limit(per_try),
            retries: Some(retries),
            ..Route::default()
        }
    }

    fn failing(tries: u32, status: Option<u16>, delay_ms: u64) -> Behaviour {
        Behaviour {
            failing_tries: tries,
            failing_status: status,
            failing_delay_ns: delay_ms * MS,
            delay_ns: 0,
        }
    }

    #[test]
    fn retries_end_with_the_last_answer() {
        let rule = route(0, 0, 3, &[500]);
        assert_eq!(play(&rule, failing(2, Some(500), 0)).status, 200);
        assert_eq!(play(&rule, failing(4, Some(500), 0)).status, 500);
        assert_eq!(
            play(&rule, failing(1, Some(503), 0)),
            Ending { status: 503, tries: 1, took_ns: 0 }
        );
        assert_eq!(play(&rule, failing(3, None, 0)).status, 200);
        assert_eq!(play(&rule, failing(4, None, 0)).status, 503);
    }

    #[test]
    fn timeouts_answer_504() {
        let slow = Behaviour { delay_ns: 1_000 * MS, ..Behaviour::default() };
        assert_eq!(play(&route(500, 0, 0, &[]), slow).status, 504);
        assert_eq!(play(&route(0, 0, 0, &[]), slow).status, 200);
        let rule = route(0, 200, 2, &[500]);
        assert_eq!(play(&rule, failing(2, None, 300)).status, 200);
        assert_eq!(play(&rule, failing(3, None, 300)).status, 504);
        let bounded = route(400, 200, 5, &[500]);
        assert_eq!(play(&bounded, failing(1, Some(500), 0)).status, 200);
        assert_eq!(play(&bounded, failing(4, Some(500), 100)).status, 504);
    }
}
