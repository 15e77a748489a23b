//! What of the table that all meshes share follows from Linkerd's own: who signs for how long, what streams
//! to the control plane do, how a proxy starts.
//!
//! The engine has one set of rooms for a mesh's control plane. Linkerd's own parameters furnish them: no
//! debounce, no throttle of pushes, no admission, streams that end of silence or age.
//!
//! Source: the rows of `plan::linkerd`; `linkerd2` controller/api/destination has neither debounce nor throttle.
//! Left out: what the destination controller computes takes no time.

use super::Linkerd;
use crate::kernel::time::Duration;
use crate::plan::parameter::{Bytes, FailurePolicy, NativeSidecars, Parameters};

/// What is set by [`Linkerd::furnish`], and the parameter of Linkerd that it follows; an empty name for what
/// Linkerd has not. A group alone means all of it.
pub const FURNISHED: &[(&str, &str)] = &[
    ("cert.ttl", "linkerd_identity.lifetime"),
    ("cert.max_ttl", "linkerd_identity.lifetime"),
    ("cert.not_before_skew", "linkerd_identity.clock_skew"),
    ("cert.clamp_to_signer", "linkerd_identity.clamp_to_issuer"),
    ("cert.signer_remaining", "linkerd_identity.authority_lifetime"),
    ("cert.grace_ratio", "linkerd_identity.refresh_ratio"),
    ("cert.grace_jitter", ""),
    ("cert.session_resumption", ""),
    ("root", ""),
    ("csr_inner_retry", ""),
    ("agent_warmup_backoff", ""),
    ("envoy_stream_backoff", "linkerd_control.backoff_min"),
    ("xds", "linkerd_control"),
    ("istiod.replicas", "linkerd_control.replicas"),
    ("istiod.replicas_min", ""),
    ("istiod.replicas_max", ""),
    ("istiod.certificate_remaining", ""),
    ("istiod.token_review_qps", ""),
    ("ztunnel", ""),
    ("sa_token.ttl", "linkerd_identity.token_ttl"),
    ("sa_token.cached", ""),
    ("pod.hold_app", "linkerd_proxy.await_ready"),
    ("pod.hold_timeout", "linkerd_proxy.await_timeout"),
    ("pod.native_sidecars", "linkerd_proxy.native_sidecar"),
    ("webhook.validation_policy", ""),
    ("webhook.matches_istiod", ""),
];

/// Linkerd's own parameters by which no part of a run goes yet: to set one is told as a warning.
pub const UNPLAYED: &[&str] = &[
    "linkerd_outbound.policy_queue",
    "linkerd_inbound.discovery_idle",
    "linkerd_connection.tcp_keepalive",
    "linkerd_control.queue",
    "linkerd_control.default_rtt",
    "linkerd_control.decay",
    "linkerd_control.stream_queue",
    "linkerd_balancer.endpoint_weight",
    "linkerd_proxy.shutdown_grace",
    "linkerd_proxy.metrics_idle",
];

/// What a parameter of the shared table follows in a mesh of Linkerd, if anything is made of it there.
pub fn furnished(name: &str) -> Option<&'static str> {
    let is_of = |row: &str| {
        name.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    FURNISHED.iter().find(|(row, _)| is_of(row)).map(|(_, own)| *own)
}

impl Linkerd {
    /// Sets what of the shared table follows from this one.
    pub fn furnish(&self, shared: &mut Parameters) {
        let (identity, control, proxy) =
            (&self.linkerd_identity, &self.linkerd_control, &self.linkerd_proxy);
        let cert = &mut shared.cert;
        (cert.ttl, cert.max_ttl) = (identity.lifetime, identity.lifetime);
        cert.not_before_skew = identity.clock_skew;
        cert.clamp_to_signer = identity.clamp_to_issuer;
        cert.signer_remaining = identity.authority_lifetime;
        (cert.grace_ratio, cert.grace_jitter) = (1.0 - identity.refresh_ratio, 0.0);
        cert.session_resumption = false;
        // An issuer is never renewed by the controller itself.
        shared.root.check = Duration::ZERO;
        shared.sa_token.ttl = identity.token_ttl;
        shared.sa_token.cached = false;
        let istiod = &mut shared.istiod;
        (istiod.replicas, istiod.replicas_min, istiod.replicas_max) = (control.replicas, 1, 0);
        istiod.certificate_remaining = Duration::MAX;
        istiod.token_review_qps = 0;
        let xds = &mut shared.xds;
        (xds.debounce_after, xds.debounce_max) = (Duration::ZERO, Duration::ZERO);
        (xds.push_slots, xds.stream_rate) = (u32::MAX, u32::MAX);
        (xds.push_init, xds.push_time) = (Duration::ZERO, Duration::ZERO);
        (xds.push_time_per_change, xds.full_push_time) = (Duration::ZERO, Duration::ZERO);
        xds.push_bytes = Bytes(0);
        xds.max_connection_age = control.stream_life();
        (xds.age_jitter, xds.age_grace) = (0.0, Duration::ZERO);
        let connection = &self.linkerd_connection;
        xds.keepalive_time = connection.ping_interval;
        xds.keepalive_timeout = connection.ping_timeout;
        let backoff = &mut shared.envoy_stream_backoff;
        (backoff.base, backoff.max) = (control.backoff_min, control.backoff_max);
        let pod = &mut shared.pod;
        (pod.hold_app, pod.hold_timeout) = (proxy.await_ready, proxy.await_timeout);
        pod.native_sidecars =
            if proxy.native_sidecar { NativeSidecars::Auto } else { NativeSidecars::Off };
        shared.webhook.validation_policy = FailurePolicy::Ignore;
        shared.webhook.matches_istiod = false;
    }
}

impl super::LinkerdControl {
    /// How long a stream lives on which nothing comes; zero for ever.
    pub fn stream_life(&self) -> Duration {
        match (self.stream_idle, self.stream_lifetime) {
            (idle, life) if idle.is_zero() => life,
            (idle, life) if life.is_zero() => idle,
            (idle, life) => idle.min(life),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::TABLE;
    use crate::plan::parameter;

    #[test]
    fn what_is_furnished_is_of_the_two_tables() {
        let is_of = |name: &str, row: &str| {
            row == name || row.split_once('.').is_some_and(|(group, _)| group == name)
        };
        for (shared, own) in FURNISHED {
            assert!(parameter::TABLE.iter().any(|row| is_of(shared, row.name)), "{shared}");
            assert!(own.is_empty() || TABLE.iter().any(|row| is_of(own, row.name)), "{own}");
        }
        assert_eq!(furnished("cert.ttl"), Some("linkerd_identity.lifetime"));
        assert_eq!(furnished("xds.push_time"), Some("linkerd_control"));
        assert_eq!(furnished("kubernetes.minor"), None);
    }

    #[test]
    fn every_change_by_furnishing_is_told_of() {
        let mut shared = Parameters::default();
        let mut linkerd = Linkerd::default();
        linkerd.set("linkerd_control.replicas", "3").expect("a row").expect("a number");
        linkerd.furnish(&mut shared);
        assert_eq!((shared.istiod.replicas, shared.cert.ttl), (3, Duration::from_s(86_400)));
        assert_eq!(shared.xds.max_connection_age, Duration::from_s(300));
        let plain = Parameters::default();
        for row in parameter::TABLE {
            let moved = shared.get(row.name) != plain.get(row.name);
            assert!(!moved || furnished(row.name).is_some(), "{}", row.name);
        }
    }

    #[test]
    fn a_stream_lives_as_long_as_its_shorter_limit() {
        let s = Duration::from_s;
        for (idle, life, both) in [(300, 3600, 300), (0, 3600, 3600), (300, 0, 300), (0, 0, 0)] {
            let mut own = Linkerd::default().linkerd_control;
            (own.stream_idle, own.stream_lifetime) = (s(idle), s(life));
            assert_eq!(own.stream_life(), s(both));
        }
    }
}
