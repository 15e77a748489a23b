//! Linkerd's own settings: every default of its proxy and control plane, with the file it is from, and
//! what its releases changed.
//!
//! They stand in a table of their own: linkerd2-proxy is another machine than Envoy, and a mesh of
//! Istio has none of them. What both have (webhook, pods, leaves) is set in the first table by
//! [`SHARED`].
//!
//! Source: per row; linkerd2-proxy at 29637b64 and linkerd2 at b24cd405 (both August 2026), read.
//! Left out: Helm values that change nothing simulated (images, ports, requests of memory); releases before
//! 2.10; what came with which release between 2.14 and `edge-26.8`.

pub mod authorization;
pub mod policy;
pub mod precedence;
pub mod profile;
pub mod rules;
pub mod shared;
pub mod split;
pub mod wire;
pub mod words;

use crate::kernel::time::Duration;
use crate::plan::parameter::Bytes;
use crate::plan::profile::Changed;
use crate::plan::table::parameters;
use authorization::DefaultPolicy;
use policy::{Accrual, Backoff};
use words::{MethodRank, Ratio, Unknown};

parameters! {
    /// Every parameter of Linkerd.
    Linkerd;
    /// Leaves, who signs them and when they are renewed.
    linkerd_identity: LinkerdIdentity {
        /// Lifetime of a leaf (`identity.issuer.issuanceLifetime`).
        lifetime: Duration = "24h", "linkerd2 charts/linkerd-control-plane/values.yaml:479; pkg/identity/service.go:31";
        /// A leaf is valid so long before its issue and so long after its lifetime (`clockSkewAllowance`).
        clock_skew: Duration = "20s", "linkerd2 charts/linkerd-control-plane/values.yaml:476";
        /// Whether a leaf ends no later than the first certificate of its issuer's chain.
        clamp_to_issuer: bool = "true", "linkerd2 pkg/tls/ca.go:230-238, since pull request 3893 (2020-01)";
        /// Life of an issuer and of a trust anchor that the CLI makes.
        authority_lifetime: Duration = "365d", "linkerd2 pkg/tls/ca.go:76-87";
        /// A renewal is due when this share of the time that is left has passed; after a failure again, of what is then left.
        refresh_ratio: f64 = "0.7", "linkerd2-proxy linkerd/proxy/identity-client/src/certify.rs:188-203";
        /// But no sooner than this: also without a certificate and with one that is over (`LINKERD2_PROXY_IDENTITY_MIN_REFRESH`).
        min_refresh: Duration = "10s", "linkerd2-proxy linkerd/app/src/env.rs:361";
        /// And no later than this (`LINKERD2_PROXY_IDENTITY_MAX_REFRESH`).
        max_refresh: Duration = "24h", "linkerd2-proxy linkerd/app/src/env.rs:362";
        /// Life of the projected service-account token, read anew for each request.
        token_ttl: Duration = "24h", "linkerd2 charts/partials/templates/_volumes.tpl:30";
        /// A proxy that waits for its first certificate says so this often.
        boot_warning: Duration = "15s", "linkerd2-proxy linkerd/app/src/lib.rs:433-450";
        /// `linkerd check` warns of an anchor, issuer or webhook certificate that ends sooner than this.
        check_warning: Duration = "60d", "linkerd2 pkg/issuercerts/issuercerts.go:22";
        /// `linkerd check --pre` warns where a node's clock differs by more.
        check_clock_skew: Duration = "310s", "linkerd2 pkg/healthcheck/healthcheck.go:176-182, since 2020-03";
    }
    /// Requests from an app: discovery, queues, connections.
    linkerd_outbound: LinkerdOutbound {
        /// What was discovered of a destination is dropped when it was not in use for so long.
        discovery_idle: Duration = "5s", "linkerd2-proxy linkerd/app/src/env.rs:326; values.yaml outboundDiscoveryCacheUnusedTimeout";
        /// What happens to a connection to a destination of which the control plane has not told yet.
        unknown_destination: Unknown = "hang", "linkerd2-proxy linkerd/app/core/src/disco_cache.rs:64: no timeout";
        /// Where it is reset: after so long.
        unknown_timeout: Duration = "3s", "linkerd2#7868, linkerd2#8274: fail-fast of the TCP server";
        /// Connections that wait for a destination.
        tcp_queue: u32 = "10000", "linkerd2-proxy linkerd/app/src/env.rs:298";
        /// Requests that wait for a destination.
        http_queue: u32 = "10000", "linkerd2-proxy linkerd/app/src/env.rs:300";
        /// Requests that the policy controller says may wait; the proxy does not heed it.
        policy_queue: u32 = "100", "linkerd2 policy-controller/grpc/src/outbound.rs:879; linkerd2-proxy linkerd/app/outbound/src/http/concrete.rs:99";
        /// Whoever waited so long for a connection's destination fails, with all that wait.
        tcp_failfast: Duration = "3s", "linkerd2-proxy linkerd/app/src/env.rs:299";
        /// The same for a request.
        http_failfast: Duration = "3s", "linkerd2-proxy linkerd/app/src/env.rs:301";
        /// The status of requests that waited when fail-fast began.
        failfast_status: u32 = "504", "linkerd2-proxy linkerd/app/outbound/src/http/server.rs:116-180; linkerd2#12720";
        /// Requests without an answer at once, to all destinations; more are shed.
        max_in_flight: u32 = "100000", "linkerd2-proxy linkerd/app/src/env.rs:350";
        /// A connection must be up, TLS included, within this.
        connect_timeout: Duration = "1s", "linkerd2 charts/linkerd-control-plane/values.yaml:129; linkerd2-proxy linkerd/app/src/env.rs:303";
        /// Wait before a failed connection is tried again; doubles.
        backoff_min: Duration = "100ms", "linkerd2-proxy linkerd/app/src/env.rs:304";
        /// Longest wait.
        backoff_max: Duration = "60s", "linkerd2-proxy linkerd/app/src/env.rs:304";
        /// At most this share of a wait comes on top.
        backoff_jitter: Ratio = "0.1", "linkerd2-proxy linkerd/app/src/env.rs:304";
        /// A connection whose protocol does not show within this is opaque TCP.
        detect_timeout: Duration = "10s", "linkerd2-proxy linkerd/app/src/env.rs:302";
    }
    /// Requests to an app: queues, connections, who may call.
    linkerd_inbound: LinkerdInbound {
        /// What was discovered of a port that the pod does not declare is dropped when it was not in use for so long.
        discovery_idle: Duration = "90s", "linkerd2-proxy linkerd/app/src/env.rs:333; values.yaml inboundDiscoveryCacheUnusedTimeout";
        /// Requests that wait for the app.
        http_queue: u32 = "10000", "linkerd2-proxy linkerd/app/src/env.rs:290";
        /// Whoever waited so long for the app fails.
        http_failfast: Duration = "1s", "linkerd2-proxy linkerd/app/src/env.rs:291";
        /// Requests without an answer at once; more are shed.
        max_in_flight: u32 = "100000", "linkerd2-proxy linkerd/app/src/env.rs:351";
        /// A connection to the app must be up within this; 300 ms in a proxy that Helm did not configure.
        connect_timeout: Duration = "100ms", "linkerd2 charts/linkerd-control-plane/values.yaml:132; linkerd2-proxy linkerd/app/src/env.rs:293";
        /// Wait before a failed connection is tried again; doubles.
        backoff_min: Duration = "100ms", "linkerd2-proxy linkerd/app/src/env.rs:295";
        /// Longest wait.
        backoff_max: Duration = "10s", "linkerd2-proxy linkerd/app/src/env.rs:295";
        /// At most this share of a wait comes on top.
        backoff_jitter: Ratio = "0.1", "linkerd2-proxy linkerd/app/src/env.rs:295";
        /// A connection whose protocol does not show within this is opaque TCP.
        detect_timeout: Duration = "10s", "linkerd2-proxy linkerd/app/src/env.rs:292";
        /// Who may call a port that no `Server` selects; also where the policy controller has not answered yet.
        default_policy: DefaultPolicy = "all-unauthenticated", "linkerd2 charts/linkerd-control-plane/values.yaml, proxy.defaultInboundPolicy";
    }
    /// Open connections.
    linkerd_connection: LinkerdConnection {
        /// An HTTP/1 connection without a request is closed after this, on either side.
        http1_idle: Duration = "3s", "linkerd2-proxy linkerd/app/src/env.rs:340-347";
        /// Idle HTTP/1 connections that are kept for an endpoint.
        http1_max_idle: u32 = "10000", "linkerd2-proxy linkerd/app/src/env.rs:340-347";
        /// An HTTP/2 connection is pinged this often.
        ping_interval: Duration = "10s", "linkerd2 charts/linkerd-control-plane/values.yaml, proxy.inbound and outbound.server.http2, meshedHttp2ClientProtobuf";
        /// And closed when a ping is not answered within this.
        ping_timeout: Duration = "3s", "linkerd2 charts/linkerd-control-plane/values.yaml, as ping_interval";
        /// TCP probes of a silent connection come this often.
        tcp_keepalive: Duration = "10s", "linkerd2 charts/partials/templates/_proxy.tpl";
        /// Data that is not acknowledged for so long ends a connection.
        tcp_user_timeout: Duration = "30s", "linkerd2 charts/partials/templates/_proxy.tpl";
    }
    /// The proxy's clients of the control plane.
    linkerd_control: LinkerdControl {
        /// Calls that wait for a controller.
        queue: u32 = "1000", "linkerd2-proxy linkerd/app/core/src/control.rs:45-80";
        /// Whoever waited so long for a controller fails.
        failfast: Duration = "30s", "linkerd2-proxy linkerd/app/core/src/control.rs:47-57";
        /// A connection must be up within this.
        connect_timeout: Duration = "1s", "linkerd2-proxy linkerd/app/core/src/control.rs: as outbound";
        /// Estimate of a controller's answer time before the first.
        default_rtt: Duration = "30ms", "linkerd2-proxy linkerd/app/core/src/control.rs:45-80";
        /// How fast an estimate forgets.
        decay: Duration = "10s", "linkerd2-proxy linkerd/app/core/src/control.rs:45-80";
        /// Wait before a lost stream or connection is tried again; doubles.
        backoff_min: Duration = "100ms", "linkerd2-proxy linkerd/app/src/dst.rs";
        /// Longest wait.
        backoff_max: Duration = "60s", "linkerd2-proxy linkerd/app/src/dst.rs";
        /// At most this share of a wait comes on top.
        backoff_jitter: Ratio = "0.1", "linkerd2-proxy linkerd/app/src/dst.rs";
        /// A stream is given up when its first update does not come within this; 0 for never.
        stream_initial: Duration = "3s", "linkerd2 charts/linkerd-control-plane/values.yaml:270-281";
        /// A stream ends after so long without an update; 0 for never.
        stream_idle: Duration = "5m", "linkerd2 charts/linkerd-control-plane/values.yaml:270-281";
        /// A stream ends at this age; 0 for never.
        stream_lifetime: Duration = "1h", "linkerd2 charts/linkerd-control-plane/values.yaml:270-281";
        /// Updates that the destination controller keeps for a slow stream; one more closes it.
        stream_queue: u32 = "100", "linkerd2 controller/api/destination/server.go:27-29";
        /// Replicas of each controller; 3 with `values-ha.yaml`.
        replicas: u32 = "1", "linkerd2 charts/linkerd-control-plane/values.yaml, values-ha.yaml";
    }
    /// Choice of an endpoint.
    linkerd_balancer: LinkerdBalancer {
        /// Estimate of an endpoint's answer time before the first; 1 ms at least.
        default_rtt: Duration = "30ms", "linkerd2 policy-controller/grpc/src/outbound.rs:820; linkerd2-proxy linkerd/app/outbound/src/http/logical/profile.rs:47";
        /// How fast an estimate forgets.
        decay: Duration = "10s", "linkerd2 policy-controller/grpc/src/outbound.rs:820";
        /// Weight of an endpoint, which the choice does not look at.
        endpoint_weight: u32 = "10000", "linkerd2 controller/api/destination/endpoint_translator.go:21";
        /// Whether failed answers count as slow ones (`balancer.alpha.linkerd.io/penalize-failures`).
        penalize_failures: bool = "false", "linkerd2 policy-controller/core/src/outbound.rs:202-208: opt-in, edge of 2026";
        /// As slow as this (`load-biaser-penalty`).
        penalty: Duration = "5s", "linkerd2-proxy linkerd/load-biaser/src/lib.rs";
        /// Of a `Retry-After` counts at most this (`load-biaser-max-retry-after`).
        max_retry_after: Duration = "300s", "linkerd2-proxy linkerd/load-biaser/src/lib.rs";
    }
    /// Endpoints that fail are left out, where a service asks for it.
    linkerd_accrual: LinkerdAccrual {
        /// By which count (`balancer.linkerd.io/failure-accrual`).
        mode: Accrual = "off", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs:2020-2250: only by annotation";
        /// Failures in a row that shut an endpoint out; 0 for none, with `unified` only.
        max_failures: u32 = "7", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs, failure-accrual-consecutive-max-failures";
        /// For so long at first; doubles.
        min_penalty: Duration = "1s", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs, failure-accrual-consecutive-min-penalty";
        /// At most so long.
        max_penalty: Duration = "60s", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs, failure-accrual-consecutive-max-penalty";
        /// At most this share of it comes on top.
        jitter: Ratio = "0.5", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs, failure-accrual-consecutive-jitter-ratio";
        /// `unified`: a smaller share of good answers shuts an endpoint out; 0 for none.
        success_threshold: f64 = "0.8", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs, failure-accrual-success-rate-threshold";
        /// Over this time, 10 ms at least.
        success_window: Duration = "10s", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs, failure-accrual-success-rate-window";
        /// And with so many answers in it.
        success_min_requests: u32 = "5", "linkerd2 policy-controller/k8s/index/src/outbound/index.rs, failure-accrual-success-rate-min-requests";
    }
    /// Retries of a `ServiceProfile`'s routes that are marked `isRetryable`.
    linkerd_budget: LinkerdBudget {
        /// Retries allowed for each request.
        ratio: Ratio = "0.2", "linkerd2 controller/api/destination/profile_translator.go:159";
        /// Retries allowed in any second besides.
        min_per_s: u32 = "10", "linkerd2 controller/api/destination/profile_translator.go:159";
        /// Requests count for so long; 1 s to 60 s.
        ttl: Duration = "10s", "linkerd2 controller/api/destination/profile_translator.go:159";
        /// Requests with longer bodies are not tried again.
        max_body: Bytes = "0.0625MiB", "linkerd2-proxy linkerd/app/outbound/src/http/retry.rs: 64 KiB";
    }
    /// Retries by annotation (`retry.linkerd.io/…`).
    linkerd_retry: LinkerdRetry {
        /// Retries of a request; 0 is as if nothing were said.
        limit: u32 = "1", "linkerd2 policy-controller/k8s/index/src/outbound/index/http.rs:371";
        /// Wait before the first retry; doubles.
        backoff_min: Duration = "25ms", "linkerd2 policy-controller/grpc/src/outbound/http.rs:562";
        /// Longest wait.
        backoff_max: Duration = "250ms", "linkerd2 policy-controller/grpc/src/outbound/http.rs:562";
        /// At most this share of a wait comes on top.
        backoff_jitter: Ratio = "1", "linkerd2 policy-controller/grpc/src/outbound/http.rs:562";
        /// Requests with longer bodies are not tried again.
        max_body: Bytes = "0.0625MiB", "linkerd2 policy-controller/grpc/src/outbound/http.rs:562: 65536 bytes";
    }
    /// Routes.
    linkerd_route: LinkerdRoute {
        /// Where the method stands when the better of two matches is sought.
        method_rank: MethodRank = "last", "linkerd2-proxy linkerd/http/route/src/http/match.rs at 29637b64; a later commit has it after the path, as the Gateway API";
    }
    /// The proxy's life.
    linkerd_proxy: LinkerdProxy {
        /// From SIGTERM to the proxy's end at the latest.
        shutdown_grace: Duration = "2m", "linkerd2-proxy linkerd/app/src/env.rs:311";
        /// A metric that was not written for so long is forgotten.
        metrics_idle: Duration = "10m", "linkerd2-proxy linkerd/app/src/env.rs:288";
        /// Whether the app's container starts when its proxy is ready (`proxy.await`).
        await_ready: bool = "true", "linkerd2 charts/linkerd-control-plane/values.yaml, proxy.await";
        /// Without a native sidecar the pod's container is started again if the proxy is not ready by then.
        await_timeout: Duration = "2m", "linkerd2 charts/partials/templates/_proxy.tpl: linkerd-await --timeout=2m";
        /// Whether the proxy is a native sidecar (`proxy.nativeSidecar`).
        native_sidecar: bool = "true", "linkerd2 charts/linkerd-control-plane/values.yaml at b24cd405";
    }
}

/// Releases, oldest first; the last is what the name without `@` means.
pub const RELEASES: &[&str] = &["2.10", "2.12", "2.13", "2.14", "edge-26.8"];

/// What a release changes: (first release, last release, parameter, value, source).
pub type Change = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// What older releases have otherwise in this table.
pub const CHANGES: &[Change] = &[
    (
        "2.10",
        "2.12",
        "linkerd_outbound.unknown_destination",
        "reset",
        "linkerd2#7868 (2.11), linkerd2#8274: reset after 3 s of fail-fast",
    ),
    (
        "2.10",
        "2.13",
        "linkerd_outbound.failfast_status",
        "503",
        "linkerd2#6352 (2.10): 503 after 3.006 s; UNCONFIRMED for 2.12 and 2.13, whose docs say 503",
    ),
    (
        "2.13",
        "2.13",
        "linkerd_outbound.http_queue",
        "100",
        "linkerd2#11055 (2.13, 2023-06); 10000 again from edge-23.8.1 on (pull request 11200)",
    ),
];

/// What the profile changes in the table that all meshes share: (parameter, value, source).
pub const SHARED: &[(&str, &str, &str)] = &[
    ("cert.ttl", "24h", "linkerd2 pkg/identity/service.go:31"),
    ("cert.not_before_skew", "20s", "linkerd2 values.yaml:476"),
    ("cert.clamp_to_signer", "true", "linkerd2 pkg/tls/ca.go:230-238"),
    ("cert.signer_remaining", "8760h", "linkerd2 pkg/tls/ca.go:76-87: 365 d, a fresh issuer"),
    (
        "cert.session_resumption",
        "false",
        "linkerd2-proxy linkerd/meshtls/src/creds/store.rs:100: every handshake is a full one",
    ),
    ("sa_token.ttl", "24h", "linkerd2 charts/partials/templates/_volumes.tpl:30"),
    ("webhook.failure_policy", "ignore", "linkerd2 values.yaml; fail with values-ha.yaml"),
    ("webhook.timeout", "10s", "linkerd2 values.yaml:515"),
    ("retry.attempts", "0", "linkerd2: retries only by annotation or profile"),
    ("retry.inbound_attempts", "0", "linkerd2-proxy has none"),
    ("proxy.workers", "1", "linkerd2 charts: one worker thread by default"),
    ("proxy.memory", "26MiB", "linkerd/website 2021/1129: 26.3 MB at most, of 2.11.1"),
    ("pod.startup_period", "1s", "linkerd2 values.yaml, proxy.startupProbe"),
    ("pod.startup_failures", "120", "linkerd2 values.yaml, proxy.startupProbe"),
    ("pod.hold_app", "true", "linkerd2 values.yaml, proxy.await"),
    ("pod.hold_timeout", "2m", "linkerd2 _proxy.tpl: linkerd-await --timeout=2m"),
    (
        "proxy.handshake",
        "380us",
        "UNCONFIRMED: P-256, Linkerd's kind of key, as measured on Envoy 1.40",
    ),
];

/// The mesh, in the name of a profile.
pub const MESH: &str = "linkerd";

/// Linkerd's parameters in a release, or in the last for an empty text, and which of them differ from the
/// table's defaults.
pub fn parameters(release: &str) -> Result<(Linkerd, Vec<Changed>), String> {
    let at = match release {
        "" => RELEASES.len() - 1,
        _ => RELEASES.iter().position(|one| *one == release).ok_or_else(|| {
            format!("`linkerd` has no release `{release}`; there are {}", RELEASES.join(", "))
        })?,
    };
    let index = |release| RELEASES.iter().position(|one| *one == release);
    let mut linkerd = Linkerd::default();
    let mut sources = Vec::new();
    for (first, until, parameter, value, source) in CHANGES {
        if index(*first) <= Some(at) && Some(at) <= index(*until) {
            linkerd.set(parameter, value).expect("a parameter").expect("a value that reads");
            sources.push((*parameter, *source));
        }
    }
    Ok((linkerd, sources))
}

impl LinkerdOutbound {
    /// Between tries of a connection.
    pub fn backoff(&self) -> Backoff {
        let Self { backoff_min, backoff_max, backoff_jitter, .. } = self;
        Backoff { min: *backoff_min, max: *backoff_max, jitter: backoff_jitter.0 }
    }
}

impl LinkerdInbound {
    /// Between tries of a connection to the app.
    pub fn backoff(&self) -> Backoff {
        let Self { backoff_min, backoff_max, backoff_jitter, .. } = self;
        Backoff { min: *backoff_min, max: *backoff_max, jitter: backoff_jitter.0 }
    }
}

impl LinkerdControl {
    /// Between tries of a stream or of a connection to a controller.
    pub fn backoff(&self) -> Backoff {
        let Self { backoff_min, backoff_max, backoff_jitter, .. } = self;
        Backoff { min: *backoff_min, max: *backoff_max, jitter: backoff_jitter.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parameter::{self, Parameters};

    /// Each default as the source has it; a change of one is a change of this list.
    const DEFAULTS: &[(&str, &str)] = &[
        ("linkerd_identity.lifetime", "1d"),
        ("linkerd_identity.clock_skew", "20s"),
        ("linkerd_identity.clamp_to_issuer", "true"),
        ("linkerd_identity.authority_lifetime", "365d"),
        ("linkerd_identity.refresh_ratio", "0.7"),
        ("linkerd_identity.min_refresh", "10s"),
        ("linkerd_identity.max_refresh", "1d"),
        ("linkerd_identity.token_ttl", "1d"),
        ("linkerd_identity.boot_warning", "15s"),
        ("linkerd_identity.check_warning", "60d"),
        ("linkerd_identity.check_clock_skew", "5m10s"),
        ("linkerd_outbound.discovery_idle", "5s"),
        ("linkerd_outbound.unknown_destination", "hang"),
        ("linkerd_outbound.unknown_timeout", "3s"),
        ("linkerd_outbound.tcp_queue", "10000"),
        ("linkerd_outbound.http_queue", "10000"),
        ("linkerd_outbound.policy_queue", "100"),
        ("linkerd_outbound.tcp_failfast", "3s"),
        ("linkerd_outbound.http_failfast", "3s"),
        ("linkerd_outbound.failfast_status", "504"),
        ("linkerd_outbound.max_in_flight", "100000"),
        ("linkerd_outbound.connect_timeout", "1s"),
        ("linkerd_outbound.backoff_min", "100ms"),
        ("linkerd_outbound.backoff_max", "1m"),
        ("linkerd_outbound.backoff_jitter", "0.1"),
        ("linkerd_outbound.detect_timeout", "10s"),
        ("linkerd_inbound.discovery_idle", "1m30s"),
        ("linkerd_inbound.http_queue", "10000"),
        ("linkerd_inbound.http_failfast", "1s"),
        ("linkerd_inbound.max_in_flight", "100000"),
        ("linkerd_inbound.connect_timeout", "100ms"),
        ("linkerd_inbound.backoff_min", "100ms"),
        ("linkerd_inbound.backoff_max", "10s"),
        ("linkerd_inbound.backoff_jitter", "0.1"),
        ("linkerd_inbound.detect_timeout", "10s"),
        ("linkerd_inbound.default_policy", "all-unauthenticated"),
        ("linkerd_connection.http1_idle", "3s"),
        ("linkerd_connection.http1_max_idle", "10000"),
        ("linkerd_connection.ping_interval", "10s"),
        ("linkerd_connection.ping_timeout", "3s"),
        ("linkerd_connection.tcp_keepalive", "10s"),
        ("linkerd_connection.tcp_user_timeout", "30s"),
        ("linkerd_control.queue", "1000"),
        ("linkerd_control.failfast", "30s"),
        ("linkerd_control.connect_timeout", "1s"),
        ("linkerd_control.default_rtt", "30ms"),
        ("linkerd_control.decay", "10s"),
        ("linkerd_control.backoff_min", "100ms"),
        ("linkerd_control.backoff_max", "1m"),
        ("linkerd_control.backoff_jitter", "0.1"),
        ("linkerd_control.stream_initial", "3s"),
        ("linkerd_control.stream_idle", "5m"),
        ("linkerd_control.stream_lifetime", "1h"),
        ("linkerd_control.stream_queue", "100"),
        ("linkerd_control.replicas", "1"),
        ("linkerd_balancer.default_rtt", "30ms"),
        ("linkerd_balancer.decay", "10s"),
        ("linkerd_balancer.endpoint_weight", "10000"),
        ("linkerd_balancer.penalize_failures", "false"),
        ("linkerd_balancer.penalty", "5s"),
        ("linkerd_balancer.max_retry_after", "5m"),
        ("linkerd_accrual.mode", "off"),
        ("linkerd_accrual.max_failures", "7"),
        ("linkerd_accrual.min_penalty", "1s"),
        ("linkerd_accrual.max_penalty", "1m"),
        ("linkerd_accrual.jitter", "0.5"),
        ("linkerd_accrual.success_threshold", "0.8"),
        ("linkerd_accrual.success_window", "10s"),
        ("linkerd_accrual.success_min_requests", "5"),
        ("linkerd_budget.ratio", "0.2"),
        ("linkerd_budget.min_per_s", "10"),
        ("linkerd_budget.ttl", "10s"),
        ("linkerd_budget.max_body", "0.0625MiB"),
        ("linkerd_retry.limit", "1"),
        ("linkerd_retry.backoff_min", "25ms"),
        ("linkerd_retry.backoff_max", "250ms"),
        ("linkerd_retry.backoff_jitter", "1"),
        ("linkerd_retry.max_body", "0.0625MiB"),
        ("linkerd_route.method_rank", "last"),
        ("linkerd_proxy.shutdown_grace", "2m"),
        ("linkerd_proxy.metrics_idle", "10m"),
        ("linkerd_proxy.await_ready", "true"),
        ("linkerd_proxy.await_timeout", "2m"),
        ("linkerd_proxy.native_sidecar", "true"),
    ];

    #[test]
    fn each_default_is_the_one_of_its_source() {
        let linkerd = Linkerd::default();
        let names = TABLE.iter().map(|row| row.name);
        assert!(names.eq(DEFAULTS.iter().map(|(name, _)| *name)), "one line a parameter");
        for (name, text) in DEFAULTS {
            assert_eq!(linkerd.get(name).as_deref(), Some(*text), "{name}");
        }
        let backoffs = [
            linkerd.linkerd_outbound.backoff(),
            linkerd.linkerd_inbound.backoff(),
            linkerd.linkerd_control.backoff(),
        ];
        assert_eq!(backoffs.map(|one| one.max), [60, 10, 60].map(Duration::from_s));
        assert!(backoffs.iter().all(|one| one.problem().is_none()));
        assert_eq!(linkerd.linkerd_budget.max_body, Bytes(65_536));
        assert_eq!(linkerd.linkerd_retry.max_body, Bytes(65_536));
    }

    #[test]
    fn every_value_reads_back_and_no_name_is_taken_twice() {
        let linkerd = Linkerd::default();
        for row in TABLE {
            let text = linkerd.get(row.name).expect("a row");
            let mut copy = linkerd.clone();
            copy.set(row.name, &text).expect("a row").expect("its own text reads");
            assert_eq!(copy, linkerd, "{} prints as {text}", row.name);
            assert!(!row.source.is_empty() && !row.meaning.trim().is_empty(), "{}", row.name);
            let group = row.name.split('.').next();
            let taken = parameter::TABLE.iter().any(|other| other.name.split('.').next() == group);
            assert!(!taken, "{} is a group of the first table", row.name);
        }
        for (name, text) in [
            ("linkerd_accrual.mode", "on"),
            ("linkerd_inbound.default_policy", "allow"),
            ("linkerd_budget.ratio", "-1"),
            ("linkerd_budget.ratio", "nan"),
            ("linkerd_route.method_rank", ""),
        ] {
            assert!(Linkerd::default().set(name, text).is_some_and(|set| set.is_err()), "{name}");
        }
    }

    #[test]
    fn releases_differ_as_the_issues_tell() {
        let of = |release| parameters(release).expect("a release").0.linkerd_outbound;
        for (release, unknown, status, queue) in [
            ("2.10", Unknown::Reset, 503, 10_000),
            ("2.12", Unknown::Reset, 503, 10_000),
            ("2.13", Unknown::Hang, 503, 100),
            ("2.14", Unknown::Hang, 504, 10_000),
            ("edge-26.8", Unknown::Hang, 504, 10_000),
        ] {
            let own = of(release);
            let shown = (own.unknown_destination, own.failfast_status, own.http_queue);
            assert_eq!(shown, (unknown, status, queue), "{release}");
        }
        assert_eq!(of(""), of("edge-26.8"));
        assert_eq!(parameters("2.13").expect("a release").1.len(), 2);
        assert!(parameters("2.9").is_err_and(|what| what.contains("edge-26.8")));
        for (first, last, ..) in CHANGES {
            assert!(RELEASES.contains(first) && RELEASES.contains(last), "{first} to {last}");
        }
    }

    #[test]
    fn what_is_shared_can_be_set_in_the_first_table() {
        let mut parameters = Parameters::default();
        for (name, value, source) in SHARED {
            let set = parameters.set(name, value).expect("a parameter of the first table");
            assert_eq!(set, Ok(()), "{name}");
            assert!(!source.is_empty());
        }
        assert_eq!(parameters.cert.not_before_skew, Duration::from_s(20));
    }
}
