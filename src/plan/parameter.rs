//! Every parameter of a mesh: name, meaning, default, source. One table for the struct, the
//! parser, the schema, `meshsim plan`, the documentation and the plan digest.
//!
//! Names are those of the parameter block in Istio's terms: `cert.ttl`, `retry.attempts`.
//! Defaults are those of `istio-sidecar@1.30`; `plan::profile` lists what other profiles and
//! releases change. A source that begins with `UNCONFIRMED` names a setting that no published
//! value backs: it is ours, stated, and yours to change.
//!
//! Source: per row.
//! Left out: parameters of parts that are not simulated yet.

mod value;

use crate::kernel::digest::Digest;
use crate::kernel::time::Duration;
use crate::plan::policy::{LoadBalancer, RetryOn};
use crate::plan::table::parameters;
use crate::plan::tls::KeyType;

/// What kind of value a parameter takes, for the schema and for errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// `250us`, `1m30s`.
    Duration,
    /// `"5%"` or 0..1.
    Share,
    /// A whole number of at least 0.
    Count,
    /// A number of at least 0.
    Number,
    /// `true` or `false`.
    Bool,
    /// `200rps`, `2/h`: per second inside.
    Rate,
    /// `512MiB`.
    Bytes,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A list of `retry_on` conditions.
    RetryOn,
    /// A list of HTTP statuses.
    Statuses,
}

/// A type that a parameter can have.
pub trait Value: Sized {
    /// Its kind.
    const KIND: ValueKind;
    /// Reads the text of a scenario; the error says what is wrong.
    fn read(text: &str) -> Result<Self, String>;
    /// The text that reads back as this value.
    fn text(&self) -> String;
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// `group.name`.
    pub name: &'static str,
    /// Its kind.
    pub kind: ValueKind,
    /// Its default as text.
    pub default: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
    /// Where the default comes from.
    pub source: &'static str,
}

parameters! {
    /// Every parameter of a mesh.
    Parameters;
    /// Workload certificates.
    cert: Cert {
        /// Lifetime that the agent asks for (`SECRET_TTL`).
        ttl: Duration = "24h", "istio pilot/cmd/pilot-agent/options/options.go:76";
        /// A longer request is refused (`MAX_WORKLOAD_CERT_TTL`).
        max_ttl: Duration = "2160h", "istio security/pkg/cmd/constants.go:38";
        /// notBefore lies this far in the past.
        not_before_skew: Duration = "2m", "istio security/pkg/pki/util/generate_cert.go:285";
        /// Share of life that is left at renewal (`SECRET_GRACE_PERIOD_RATIO`).
        grace_ratio: f64 = "0.5", "istio pilot/cmd/pilot-agent/options/options.go:82";
        /// The share left is drawn within this much of `grace_ratio` (`SECRET_GRACE_PERIOD_RATIO_JITTER`).
        grace_jitter: f64 = "0.01", "istio pilot/cmd/pilot-agent/options/options.go:85";
        /// Whether a leaf ends no later than its signer.
        clamp_to_signer: bool = "true", "istio from 1.28.7, 1.29.3, 1.30.0 (generate_cert.go, commits of 2026-04)";
        /// The kind of a proxy's key: handshakes cost `proxy.handshake` with `rsa2048`, `proxy.handshake_p256` with `p256`.
        key: KeyType = "rsa2048", "istio pilot/cmd/pilot-agent/options/options.go:88: RSA of 2048 bits unless ECC_SIGNATURE_ALGORITHM is set";
        /// What remains of the signer's life at the start of the run.
        signer_remaining: Duration = "87600h", "istio security/pkg/cmd/constants.go:21 (3650 d), a fresh root";
        /// Whether a TLS 1.3 session may be resumed, which hides an expired client certificate where a cluster has one endpoint.
        session_resumption: bool = "true", "Istio sets nothing, so Envoy's default holds; measured, reference table of resumption";
    }
    /// istiod's own self-signed root.
    root: Root {
        /// Lifetime of the next one (`CITADEL_SELF_SIGNED_CA_CERT_TTL`).
        ttl: Duration = "87600h", "istio security/pkg/cmd/constants.go:21";
        /// istiod looks this often whether it is due (`CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL`); 0 turns its rotation off.
        check: Duration = "1h", "istio security/pkg/cmd/constants.go:25";
        /// It is due when less than this share of `root.ttl` is left.
        grace: f64 = "0.2", "istio security/pkg/cmd/constants.go:29";
        /// The first look waits for whole seconds drawn from [0, this), and an interval more.
        start_jitter: Duration = "1h", "istio selfsignedcarootcertrotator.go: as long as the interval";
        /// Whether the next one has the key of the last, so that each vouches for the other's leaves.
        same_key: bool = "true", "istio selfsignedcarootcertrotator.go";
    }
    /// Tries of one certificate request inside the agent.
    csr_inner_retry: CsrInnerRetry {
        /// Tries in all.
        tries: u32 = "5", "istio pkg/security/retry.go:31-44";
        /// Wait after the first try; doubles.
        base: Duration = "100ms", "istio pkg/security/retry.go:31-44";
        /// Each wait is drawn within this share of its length.
        jitter: f64 = "0.1", "istio pkg/security/retry.go:31-44";
    }
    /// Back-off of every xDS and SDS stream of Envoy, full jitter.
    envoy_stream_backoff: StreamBackoff {
        /// First wait is uniform on [0, base); doubles.
        base: Duration = "500ms", "envoy/config/subscription_factory.h RetryInitialDelayMs";
        /// Longest interval.
        max: Duration = "30s", "envoy/config/subscription_factory.h RetryMaxDelayMs";
    }
    /// Back-off of the agent's first certificate of a pod.
    agent_warmup_backoff: WarmupBackoff {
        /// First wait.
        base: Duration = "500ms", "istio security/pkg/nodeagent/sds/sdsservice.go:88-118";
        /// Growth per try.
        factor: Factor = "1.5", "UNCONFIRMED: cenkalti/backoff default";
        /// Each wait is drawn within this share of its length.
        jitter: f64 = "0.5", "UNCONFIRMED: cenkalti/backoff default";
        /// Longest wait.
        max: Duration = "60s", "istio security/pkg/nodeagent/sds/sdsservice.go:88-118";
    }
    /// Service-account tokens of agents.
    sa_token: SaToken {
        /// Lifetime (`expirationSeconds`).
        ttl: Duration = "12h", "istio injection-template.yaml:509, values.yaml:518";
        /// The kubelet writes the next one at this share of its life, or at 24 h.
        rotate_at: f64 = "0.8", "kubernetes pkg/kubelet/token/token_manager.go";
        /// One that was due is written within this times U[1, 1.5) once it can be: so often a kubelet looks at a pod.
        sync: Duration = "1m", "kubelet syncFrequency; pkg/kubelet/pod_workers.go";
        /// Whether agents keep the token with which they started.
        cached: bool = "false", "istio security/pkg/credentialfetcher/plugin/token.go reads the file each time; before 1.7 not, istio#26225";
    }
    /// istiod.
    istiod: Istiod {
        /// Replicas.
        replicas: u32 = "1", "istio charts/istio-discovery values.yaml";
        /// Cores that Go uses (GOMAXPROCS).
        cpu: u32 = "2", "UNCONFIRMED: the chart requests 500m and sets no limit; the node decides";
        /// From a replica's start to its serving (cache sync).
        cache_sync: Duration = "3s", "UNCONFIRMED: readiness probe period of 3 s";
        /// CPU time to sign one certificate request, TokenReview included.
        csr_time: Duration = "5ms", "UNCONFIRMED: RSA-2048 signature about 1 ms, TokenReview the rest";
        /// Share of a core that each connected proxy takes all the time.
        cpu_per_proxy: f64 = "0.0001", "UNCONFIRMED: below Istio's 1 core for 2000 sidecars, which includes pushes";
        /// CPU request of a replica in thousandths of a core: what the autoscaler compares with.
        cpu_request: u32 = "500", "istio charts/istio-discovery values.yaml";
        /// Least replicas that the autoscaler keeps.
        replicas_min: u32 = "1", "istio charts/istio-discovery values.yaml (HPA 1 to 5)";
        /// Most replicas that the autoscaler makes; 0 for no autoscaler.
        replicas_max: u32 = "0", "a setting: the chart has an HPA of 1 to 5, installations with a fixed number none";
        /// Mean use of the CPU request that the autoscaler aims at.
        scale_target: f64 = "0.8", "istio charts/istio-discovery values.yaml";
        /// Memory of a replica without proxies.
        memory_base: Bytes = "100MiB", "UNCONFIRMED: grows with services and endpoints";
        /// Memory for each connected proxy.
        memory_per_proxy: Bytes = "1.5MiB", "AKS, asm-1-19: 1.3 to 1.7 MB a sidecar at 15,000 to 30,000 sidecars";
        /// More for each proxy that is being pushed to, as all are that connect in a storm.
        memory_per_connecting_proxy: Bytes = "4MiB", "UNCONFIRMED: a full configuration, generated, encoded and buffered";
        /// A replica with more is killed (OOM) and starts again with growing waits; 0 for no limit.
        memory_limit: Bytes = "0MiB", "istio charts/istio-discovery values.yaml: no limit";
        /// Whether a replica that starts refuses streams until it has its caches; else it pushes emptiness.
        waits_for_caches: bool = "true", "istio ads.go:197-206, since the issues 25495 and 25733";
        /// From istiod's question to the API server whether a token is good (`TokenReview`) to the answer.
        token_review_time: Duration = "0s", "UNCONFIRMED: some milliseconds; contained in csr_time";
        /// Such questions per second and replica; 0 for no limit.
        token_review_qps: u32 = "80", "istio pilot/cmd/pilot-discovery/app/cmd.go, --kubernetesApiQPS";
        /// So many at once.
        token_review_burst: u32 = "160", "istio pilot/cmd/pilot-discovery/app/cmd.go, --kubernetesApiBurst";
        /// Left at time zero of the life of the certificate that istiod shows to proxies and the API server; renewed when it starts or has another root, never by time.
        certificate_remaining: Duration = "87600h", "istio certcontroller.go: asks for as long as the self-signed CA's, ends with its signer";
        /// Whether the CA, xDS and webhooks run in this mesh at all.
        present: bool = "true", "istio-sidecar has a control plane";
    }
    /// Configuration and endpoint discovery.
    xds: Xds {
        /// A change is pushed after this much quiet (`PILOT_DEBOUNCE_AFTER`).
        debounce_after: Duration = "100ms", "istio pilot/pkg/features/tuning.go:77";
        /// But at the latest after this (`PILOT_DEBOUNCE_MAX`).
        debounce_max: Duration = "10s", "istio pilot/pkg/features/tuning.go:85";
        /// Proxies pushed to at once per replica (`PILOT_PUSH_THROTTLE`); 0 for min(15 + 5·cpu, 100).
        push_slots: u32 = "0", "istio pilot/pkg/features/tuning.go:39-56";
        /// New streams per second and replica (`PILOT_MAX_REQUESTS_PER_SECOND`); 0 for min(15 + 5·cpu, 100).
        stream_rate: u32 = "0", "istio pilot/pkg/features/tuning.go:58-75";
        /// A new stream waits so long for admission, then is refused.
        rate_wait: Duration = "1s", "istio pilot/pkg/xds/discovery.go:600-610";
        /// Preparing a push (`PushContext`); one at a time.
        push_init: Duration = "20ms", "UNCONFIRMED: grows with the mesh, pilot_pushcontext_init_seconds";
        /// CPU time to generate what changed for one proxy; its slot is held until it is sent.
        push_time: Duration = "500us", "UNCONFIRMED: what a push costs beside its changes; the rest is in the XDS cache";
        /// And for each cluster and route that changed, up to `full_push_time`.
        push_time_per_change: Duration = "26us", "UNCONFIRMED: fitted to azure-aks-docs istio-scale.md: 15 of 16 cores at 15,000 sidecars of which 31.2 a second are replaced, each of another service, pushed every 10 s";
        /// The same for all of a proxy's configuration: the first on a stream, and full pushes.
        full_push_time: Duration = "20ms", "UNCONFIRMED: grows with the mesh, pilot_xds_push_time";
        /// Size of a push, for links with a bandwidth.
        push_bytes: Bytes = "0.25MiB", "UNCONFIRMED: grows with the mesh, pilot_xds_config_size_bytes";
        /// A stream is ended at this age; 0 for never.
        max_connection_age: Duration = "30m", "istio charts/istio-discovery values.yaml:87";
        /// Each stream's age is drawn within this share of it.
        age_jitter: f64 = "0.1", "grpc-go http2_server.go, getJitter";
        /// What is still open so long after is closed.
        age_grace: Duration = "10s", "istio pkg/keepalive/options.go";
        /// A stream on which nothing comes is asked for life this often; 0 for noticing at once.
        keepalive_time: Duration = "30s", "istio pkg/keepalive/options.go";
        /// Without an answer for so long it is closed.
        keepalive_timeout: Duration = "10s", "istio pkg/keepalive/options.go";
    }
    /// ztunnel, the proxy of a node in an ambient mesh.
    ztunnel: Ztunnel {
        /// Whether pods have no sidecars and a ztunnel on each node speaks for them.
        present: bool = "false", "istio-sidecar has none";
        /// A certificate is renewed when this share of the time from its notBefore to its notAfter has passed, without chance.
        refresh_at_life: f64 = "0.5", "ztunnel src/tls/certificate.rs:402-408";
        /// First wait after a failed renewal; of each account and node apart.
        backoff_base: Duration = "1s", "ztunnel src/identity/manager.rs:39, 340-432";
        /// Growth per try.
        backoff_factor: Factor = "2", "ztunnel src/identity/manager.rs:340-432";
        /// Each wait is drawn within this share of its length.
        backoff_jitter: f64 = "0.2", "ztunnel src/identity/manager.rs:340-432";
        /// Longest wait.
        backoff_max: Duration = "150s", "ztunnel src/identity/manager.rs:340-432";
        /// Whether a certificate is kept until its end when its renewal fails; else it is dropped at the first failure.
        keep_valid_on_failure: bool = "true", "ztunnel pull request 1567, from Istio 1.28.0 on; istio#56452";
        /// First wait before the stream to istiod is opened again; doubles, without chance.
        xds_backoff_base: Duration = "10ms", "ztunnel src/xds/client.rs:495-606";
        /// Longest wait of that kind.
        xds_backoff_max: Duration = "15s", "ztunnel src/xds/client.rs:495-606";
        /// Connections of a pod of which ztunnel has not heard wait so long, then they are dropped.
        workload_wait: Duration = "5s", "ztunnel src/proxy.rs:240-250, src/state.rs:782; istio#54889";
    }
    /// Waypoints of an ambient mesh.
    waypoint: Waypoint {
        /// CPU time of a waypoint for a request, both of its sides together; not less than what `proxy.*` says of the two.
        request: Duration = "125us", "istio.io performance 1.24: 0.25 vCPU per 1000 rps (250 us a request); the half is UNCONFIRMED";
        /// The same for its answer.
        response: Duration = "125us", "istio.io performance 1.24: 0.25 vCPU per 1000 rps (250 us a request); the half is UNCONFIRMED";
        /// Worker threads (`--concurrency`).
        workers: u32 = "2", "istio.io performance 1.24: measured with 2 workers, as Istio's proxies have them";
        /// How it balances, where a service says nothing.
        balancer: LoadBalancer = "least_request", "istio pilot/pkg/networking/core: LEAST_REQUEST is the default of Envoys";
        /// Retries, where a service says nothing: of its routes by the conditions `retry.on`, without any only what no endpoint has seen.
        retry_attempts: u32 = "2", "istio listener_waypoint.go: buildWaypointInboundHTTPRouteConfig; retry.go";
        /// Failures of its startup probe, one each `pod.startup_period`, before its container starts again; 0 for no probe.
        startup_failures: u32 = "30", "istio istio-discovery/files/waypoint.yaml: startupProbe";
    }
    /// The injection webhook.
    webhook: Webhook {
        /// What happens to a pod when the webhook is away: `fail` refuses it, `ignore` lets it run unmeshed.
        failure_policy: FailurePolicy = "fail", "istio templates/mutatingwebhook.yaml:34";
        /// How long an unreachable webhook holds a creation up.
        timeout: Duration = "10s", "kubernetes admissionregistration/v1 default";
        /// What happens to configuration of operators while istiod is away: `fail` rejects it.
        validation_policy: FailurePolicy = "fail", "istio pkg/webhooks/validation/controller: Fail in steady state";
        /// The same as `istiod.certificate_remaining` for the webhooks alone, where they have a certificate of their own; the earlier end counts.
        certificate_remaining: Duration = "87600h", "istio certcontroller.go: as long as the self-signed CA's, no renewal by time";
        /// Whether the webhook is asked for istiod's own pods, too.
        matches_istiod: bool = "false", "istio mutatingwebhook.yaml: istiod's pods opt out by label; istio#30139";
    }
    /// Kubernetes.
    kubernetes: Kubernetes {
        /// From a pod's change to the control plane's knowing it (API watch).
        watch_delay: Duration = "500ms", "UNCONFIRMED: network_programming_latency has no published number; nominal 0.5 to 2 s";
        /// First wait after a failed pod creation; doubles.
        create_backoff_base: Duration = "5ms", "kubernetes client-go default limiter";
        /// Longest wait after a failed pod creation.
        create_backoff_max: Duration = "1000s", "kubernetes client-go default limiter";
        /// From a node's death to the removal of its endpoints (node-monitor-grace-period).
        node_grace: Duration = "50s", "kube-controller-manager reference, current default";
        /// From there to the eviction of its pods.
        eviction_after: Duration = "300s", "kubernetes default tolerations";
        /// Wait before the second restart of a container (the first is made at once); doubles.
        restart_backoff: Duration = "10s", "kubernetes pod-lifecycle: CrashLoopBackOff 10 s x 2, at most 300 s";
        /// Longest wait before a restart.
        restart_backoff_max: Duration = "300s", "kubernetes pod-lifecycle: CrashLoopBackOff";
        /// A container that ran for so long has its next restart at once.
        restart_reset: Duration = "10m", "kubernetes pod-lifecycle: CrashLoopBackOff";
        /// An eviction that a budget forbids is tried again after this.
        eviction_retry: Duration = "5s", "kubectl pkg/drain: 5 s after 429";
        /// The kubelets' minor version, 1.N: what `auto` native sidecars go by.
        minor: u32 = "32", "a setting: istio webhook.go turns native sidecars on from 33 on";
    }
    /// The end of a proxy.
    drain: Drain {
        /// The proxy lives on for this long after SIGTERM (`terminationDrainDuration`).
        termination: Duration = "5s", "istio pkg/config/mesh/mesh.go:38-55";
    }
    /// Outbound retries.
    retry: Retry {
        /// Retries after the first attempt; 0 turns them off.
        attempts: u32 = "2", "istio pilot/pkg/networking/core/route/retry/retry.go";
        /// Conditions.
        on: RetryOn = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "istio retry.go";
        /// Statuses for `retriable-status-codes`.
        statuses: Vec<u16> = "", "istio from 1.24: none";
        /// Limit on each attempt; 0 for none.
        per_try_timeout: Duration = "0s", "istio retry.go";
        /// Back-off before retry k is uniform on [0, min(base · 2^(k−1), max)).
        backoff_base: Duration = "25ms", "envoy backoff_strategy.cc, measured on 1.40";
        /// See `backoff_base`.
        backoff_max: Duration = "250ms", "envoy: 10 x base, measured on 1.40";
        /// Whether endpoints already tried are avoided.
        previous_hosts: bool = "true", "istio retry.go";
        /// More picks to avoid them.
        host_attempts: u32 = "5", "istio retry.go";
        /// How often a sidecar tries its own app again that refuses the connection; 0 turns it off.
        inbound_attempts: u32 = "2", "istio retry.go:33-36 from 1.24 on: reset-before-request";
    }
    /// Routes.
    route: Route {
        /// Limit on a request with its retries; 0 for none.
        timeout: Duration = "0s", "istio route.go:1331-1353";
    }
    /// Clusters.
    cluster: ClusterDefaults {
        /// TCP and TLS must be up within this.
        connect_timeout: Duration = "10s", "istio pkg/config/mesh/mesh.go:94";
        /// Connections per proxy and cluster.
        max_connections: u32 = "4294967295", "istio cluster_traffic_policy.go:477-489";
        /// Requests that wait for a connection.
        max_pending: u32 = "4294967295", "istio cluster_traffic_policy.go:477-489";
        /// Requests under way.
        max_requests: u32 = "4294967295", "istio cluster_traffic_policy.go:477-489";
        /// Retries under way.
        max_retries: u32 = "4294967295", "istio cluster_traffic_policy.go:477-489";
        /// Balancing.
        balancer: LoadBalancer = "least_request", "istio cluster_traffic_policy.go:393";
        /// A connection without a request is closed after this.
        idle_timeout: Duration = "1h", "envoy default";
        /// Below this healthy share all endpoints are used; 0 for never.
        panic_threshold: f64 = "0", "istio cluster_traffic_policy.go:332-334";
        /// Streams at once on an HTTP/2 connection.
        max_streams: u32 = "1024", "envoy 1.36 and later, measured on 1.40";
    }
    /// Connections between proxies.
    connections: Connections {
        /// Rate at which each open connection is closed for reasons outside the mesh.
        churn: Rate = "0", "a setting: load balancers, NAT tables and restarts differ by site";
    }
    /// Outlier detection where a service asks for it.
    outlier: Outlier {
        /// 5xx answers and local failures in a row that eject.
        consecutive_5xx: u32 = "5", "istio api destination_rule.proto:797-888";
        /// 502, 503, 504 and local failures in a row that eject; 0 for off.
        consecutive_gateway: u32 = "0", "istio api destination_rule.proto:797-888";
        /// The grid on which ejected endpoints are let back.
        interval: Duration = "10s", "istio api destination_rule.proto:797-888";
        /// Ejection time is base × ejections so far.
        base_ejection: Duration = "30s", "istio api destination_rule.proto:797-888";
        /// At most so long.
        max_ejection: Duration = "300s", "envoy outlier_detection.proto";
        /// At most this share of the endpoints, rounded down.
        max_ejection_share: f64 = "0.1", "istio api destination_rule.proto:797-888";
        /// Eject one even if the share allows none.
        always_eject_one: bool = "false", "istio does not set it";
    }
    /// The proxy as a station.
    proxy: Proxy {
        /// Worker threads.
        workers: u32 = "2", "istio: CPU limit 2000m rounded up";
        /// Client side, before the request is sent.
        client_request: Duration = "110us", "istio 1.24: 200 us a request; split 55:45 measured on Envoy 1.40";
        /// Client side, before the response is passed on.
        client_response: Duration = "45us", "UNCONFIRMED: half of the response's share";
        /// Client side, after the response (access log, statistics): delays the next request only.
        client_telemetry: Duration = "45us", "UNCONFIRMED: half of the response's share";
        /// Server side, before the request reaches the app.
        server_request: Duration = "85us", "istio 1.24: 200 us a request; split 42:58 measured on Envoy 1.40";
        /// Server side, before the response is sent.
        server_response: Duration = "57500ns", "UNCONFIRMED: half of the response's share";
        /// Server side, after the response.
        server_telemetry: Duration = "57500ns", "UNCONFIRMED: half of the response's share";
        /// CPU time of a full TLS handshake on each side, with an RSA-2048 key.
        handshake: Duration = "880us", "measured on Envoy 1.40: RSA 2048 full handshake";
        /// The same with a P-256 key.
        handshake_p256: Duration = "380us", "measured on Envoy 1.40: P-256 full handshake";
        /// CPU time of a resumed TLS handshake on each side.
        handshake_resumed: Duration = "310us", "measured on Envoy 1.40: about 0.07 ms below P-256's full 0.38 ms";
        /// Memory of a proxy: of a sidecar, or of the ztunnel of a node.
        memory: Bytes = "60MiB", "istio 1.24 performance page: 60 MB a sidecar with 2 workers at 1,000 rps";
        /// Between an app and its own proxy, one way.
        loopback: Duration = "0s", "UNCONFIRMED: contained in the measured CPU times";
    }
    /// From a pod's containers to its being ready.
    pod: Pod {
        /// From the creation to the start of the containers, where the workload says nothing.
        start_time: Duration = "2s", "kubernetes 2015 measurement: p50 1.1 to 1.9 s with the image present";
        /// A starting proxy is looked at this often (startupProbe).
        startup_period: Duration = "1s", "istio injection-template.yaml:358-367";
        /// So many looks may fail, then the proxy's container is started again; 0 for no startupProbe.
        startup_failures: u32 = "600", "istio values.yaml:396, from 1.20 on";
        /// Without a startupProbe a proxy is looked at this often (readinessProbe).
        readiness_period: Duration = "15s", "istio values.yaml:377-383";
        /// Whether the app starts when its proxy is ready (`holdApplicationUntilProxyStarts`).
        hold_app: bool = "false", "istio api mesh/v1alpha1/proxy.proto:590";
        /// Then the proxy's container is started again if it is not ready by then (`pilot-agent wait`).
        hold_timeout: Duration = "60s", "istio pilot/cmd/pilot-agent/app/wait.go";
        /// Native sidecars: `auto` where `kubernetes.minor` is 33 or later.
        native_sidecars: NativeSidecars = "auto", "istio ENABLE_NATIVE_SIDECARS, from 1.27 on";
        /// Whether probes of apps go to the agent's port 15020, and so pass `strict`.
        rewrite_probes: bool = "true", "istio values.yaml:149 rewriteAppHTTPProbe";
        /// The pod gets SIGKILL so long after its deletion.
        grace_period: Duration = "30s", "kubernetes default";
    }
    /// The network, where no `[[link]]` says otherwise. One-way delays.
    network: Network {
        /// Between pods of one node.
        same_node: Duration = "20us", "UNCONFIRMED: veth pair, tens of microseconds";
        /// Between nodes of one zone.
        same_zone: Duration = "150us", "EC2 2009: 0.26 to 0.41 ms round trip within a zone";
        /// Between zones.
        cross_zone: Duration = "500us", "EC2 2009: 0.94 to 1.13 ms round trip between zones";
        /// A lost data packet is sent again after this; doubles.
        rto: Duration = "200ms", "Linux TCP_RTO_MIN";
        /// A lost SYN is sent again after this; doubles.
        syn_rto: Duration = "1s", "RFC 6298";
        /// Bytes of a request, for links with a bandwidth.
        request_bytes: u32 = "1500", "Google's RPC fleet, SOSP 2023: median about 1.5 KB";
        /// Bytes of an answer, for links with a bandwidth.
        response_bytes: u32 = "1500", "Google's RPC fleet, SOSP 2023: median about 1.5 KB";
        /// An unanswered connection is given up after this.
        give_up: Duration = "924600ms", "Linux tcp_retries2 = 15";
    }
    /// The gateway that traffic `from = "ingress"` enters.
    ingress: Ingress {
        /// Its pods.
        replicas: u32 = "2", "istio charts/gateway: an HPA of gateways (1 to 5) is not simulated";
    }
}

impl Parameters {
    /// Whether sidecars are native: they begin before their app and end after it.
    pub fn has_native_sidecars(&self) -> bool {
        self.pod.native_sidecars == NativeSidecars::Auto && 33 <= self.kubernetes.minor
    }

    /// Folds every name and value.
    pub fn fold(&self, digest: &mut Digest) {
        for row in TABLE {
            digest.bytes(row.name.as_bytes());
            digest.bytes(self.get(row.name).expect("a row of the table").as_bytes());
        }
    }
}

/// What happens to a pod whose injection webhook is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailurePolicy {
    /// The pod is refused.
    Fail,
    /// The pod starts without a sidecar.
    Ignore,
}

/// Whether sidecars are init containers that go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NativeSidecars {
    /// They are containers as others.
    Off,
    /// Where the kubelets are new enough.
    Auto,
}

/// Events per second.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Rate(pub f64);

/// So many bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(pub u64);

/// A growth factor of at least 1.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Factor(pub f64);
