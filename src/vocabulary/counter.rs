//! Counters of Linkerd's proxies by the names under which Prometheus has them.
//!
//! Source: linkerd2-proxy linkerd/http/metrics, linkerd/app/core/src/metrics.rs, linkerd/app/outbound/src/http/logical/policy/route,
//! linkerd/identity/src/metrics.rs; website reference/proxy-metrics.md.
//! Left out: labels other than those here: a counter is of all proxies; histograms.

/// A counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Counter {
    /// Attempts that were made, of all hops.
    Requests,
    /// Calls that ended with a good answer of an endpoint.
    GoodResponses,
    /// Calls that ended with another answer of an endpoint, or with none.
    FailedResponses,
    /// Waited when a client's proxy began to fail fast.
    FailFast,
    /// Came during fail-fast, to a full queue, or as one too many.
    LoadShed,
    /// A limit on a request.
    ResponseTimeout,
    /// A client's proxy found it refused, reset, closed, or not connected in time.
    Io,
    /// Retries by annotation or profile.
    RetryRequests,
    /// Calls that a retry has saved.
    RetrySuccesses,
    /// Calls that may not be tried again so often.
    RetryLimitExceeded,
    /// Retries that no backend takes.
    RetryOverflow,
    /// Requests that servers' proxies let in.
    AuthzAllow,
    /// Requests that they did not.
    AuthzDeny,
    /// Certificates that proxies took.
    Refreshes,
    /// Certificates that they were given and did not take.
    FailedRefreshes,
    /// Waited for an app when a server's proxy began to fail fast.
    InboundFailFast,
    /// Came to a server's proxy during its fail-fast, to a full queue, or as one too many.
    InboundLoadShed,
    /// A server's proxy found that the app takes no connection.
    InboundIo,
}

/// A label and its value.
type Label = Option<(&'static str, &'static str)>;

impl Counter {
    /// Every counter with its name and the one label by which it is told.
    pub const ALL: [(Self, &'static str, Label); 18] = [
        (Self::Requests, "request_total", None),
        (Self::GoodResponses, "response_total", Some(("classification", "success"))),
        (Self::FailedResponses, "response_total", Some(("classification", "failure"))),
        (Self::FailFast, "outbound_http_errors_total", Some(("error", "failfast"))),
        (Self::LoadShed, "outbound_http_errors_total", Some(("error", "loadshed"))),
        (Self::ResponseTimeout, "outbound_http_errors_total", Some(("error", "response timeout"))),
        (Self::Io, "outbound_http_errors_total", Some(("error", "i/o"))),
        (Self::RetryRequests, "outbound_http_route_retry_requests_total", None),
        (Self::RetrySuccesses, "outbound_http_route_retry_successes_total", None),
        (Self::RetryLimitExceeded, "outbound_http_route_retry_limit_exceeded_total", None),
        (Self::RetryOverflow, "outbound_http_route_retry_overflow_total", None),
        (Self::AuthzAllow, "inbound_http_authz_allow_total", None),
        (Self::AuthzDeny, "inbound_http_authz_deny_total", None),
        (Self::Refreshes, "identity_cert_refreshes_total", Some(("result", "ok"))),
        (Self::FailedRefreshes, "identity_cert_refreshes_total", Some(("result", "error"))),
        (Self::InboundFailFast, "inbound_http_errors_total", Some(("error", "failfast"))),
        (Self::InboundLoadShed, "inbound_http_errors_total", Some(("error", "loadshed"))),
        (Self::InboundIo, "inbound_http_errors_total", Some(("error", "i/o"))),
    ];

    /// As Prometheus writes it.
    pub fn text(self) -> String {
        match Self::ALL[self as usize] {
            (_, name, None) => name.to_owned(),
            (_, name, Some((label, value))) => format!("{name}{{{label}=\"{value}\"}}"),
        }
    }

    /// Whether there is one of that name.
    pub fn is_named(name: &str) -> bool {
        Self::ALL.iter().any(|row| row.1 == name)
    }

    /// The one of that name and label.
    fn find(name: &str, label: Option<(&str, &str)>) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == name && row.2 == label).map(|row| row.0)
    }

    /// The one of that name and of what stands in its parentheses, as in `error=failfast`; else what may stand there.
    pub fn read(name: &str, label: Option<&str>) -> Result<Self, String> {
        let given = label.map(|text| text.split_once('=').unwrap_or((text, "")));
        let given = given.map(|(label, value)| (label.trim(), value.trim().trim_matches('"')));
        Self::find(name, given).ok_or_else(|| match Self::labels(name) {
            none if none.is_empty() => "it has no labels here".to_owned(),
            labels => format!("it is told by one of: {}", labels.join(", ")),
        })
    }

    /// What may stand in the parentheses of that name, as in `error=failfast`.
    fn labels(name: &str) -> Vec<String> {
        let rows = Self::ALL.iter().filter(|row| row.1 == name);
        rows.filter_map(|row| row.2.map(|(label, value)| format!("{label}={value}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_in_its_place_and_is_found() {
        for (place, (counter, name, label)) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, place);
            assert_eq!(Counter::find(name, label), Some(counter));
        }
        assert_eq!(Counter::Io.text(), "outbound_http_errors_total{error=\"i/o\"}");
        assert_eq!(Counter::find("response_total", None), None);
    }
}
