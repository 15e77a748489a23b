//! How long connections live between proxies, and how a dead peer is found out.
//!
//! HTTP/1 connections are kept for 3 s without a request. Between meshed pods requests travel on one HTTP/2
//! connection for each endpoint, which lives as long as its balancer: until the destination was not used for 5 s.
//! So busy connections never end by themselves, and outlive every certificate; TLS sessions are not resumed.
//!
//! Source: linkerd2-proxy linkerd/app/src/env.rs:340-347; linkerd2 values.yaml (`http2` keep-alive) and
//! charts/partials/templates/_proxy.tpl (TCP); linkerd/meshtls/src/creds/store.rs:100.
//! Left out: TCP probes of opaque connections, which find a dead peer later than the user timeout does.

use crate::kernel::time::{Duration, Time};
use crate::plan::linkerd::{LinkerdConnection, LinkerdOutbound};

/// What a connection carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carries {
    /// One HTTP/1 request at a time.
    Http1,
    /// Many streams.
    Http2,
}

/// When a connection of the client's side that has been idle since then is closed, if no request comes for
/// its destination either.
#[must_use]
pub fn closes(
    connection: &LinkerdConnection,
    outbound: &LinkerdOutbound,
    carries: Carries,
    idle_since: Time,
) -> Time {
    let dropped = outbound.discovery_idle;
    let idle = match carries {
        Carries::Http1 => connection.http1_idle.min(dropped),
        Carries::Http2 => dropped,
    };
    idle_since.saturating_add(idle)
}

/// How long after its last sign of life a peer that vanished without a word is given up at the latest: by
/// ping, or by data that nobody acknowledges; none for never. Intervals of zero are none.
#[must_use]
pub fn given_up_after(
    rules: &LinkerdConnection,
    carries: Carries,
    has_sent: bool,
) -> Option<Duration> {
    let pings = carries == Carries::Http2 && !rules.ping_interval.is_zero();
    let ping = pings.then(|| rules.ping_interval + rules.ping_timeout);
    let waits = has_sent && !rules.tcp_user_timeout.is_zero();
    let unread = waits.then_some(rules.tcp_user_timeout);
    ping.into_iter().chain(unread).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;

    #[test]
    fn idle_connections_are_closed_after_three_or_five_seconds() {
        let rules = Linkerd::default();
        let at = |s| Time::ZERO + Duration::from_s(s);
        let closes =
            |carries| closes(&rules.linkerd_connection, &rules.linkerd_outbound, carries, at(100));
        assert_eq!([Carries::Http1, Carries::Http2].map(closes), [at(103), at(105)]);
    }

    #[test]
    fn a_peer_that_vanished_is_found_by_ping_in_13_seconds() {
        let mut rules = Linkerd::default().linkerd_connection;
        rules.ping_interval = Duration::ZERO;
        assert_eq!(given_up_after(&rules, Carries::Http2, true), Some(Duration::from_s(30)));
        rules.tcp_user_timeout = Duration::ZERO;
        assert_eq!(given_up_after(&rules, Carries::Http2, true), None);
        let rules = Linkerd::default().linkerd_connection;
        let after = |carries, sent| given_up_after(&rules, carries, sent).map(Duration::as_s);
        assert_eq!([true, false].map(|sent| after(Carries::Http2, sent)), [Some(13.0); 2]);
        assert_eq!([true, false].map(|sent| after(Carries::Http1, sent)), [Some(30.0), None]);
    }
}
