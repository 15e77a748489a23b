//! Goal: every number of Istio's that the reference lists is a parameter with that default and a
//! source, or it is said here why not; and each release profile has the defaults of its release.
//! Method: two tables, as they were read in Istio's sources, compared with those of the program.

use meshsim::plan::parameter::{Parameters, TABLE};
use meshsim::plan::profile::parameters;

/// Name in the reference's block, parameter, default.
const BLOCK: &[(&str, &str, &str)] = &[
    ("cert.ttl_s", "cert.ttl", "24h"),
    ("cert.max_ttl_s", "cert.max_ttl", "2160h"),
    ("cert.not_before_skew_s", "cert.not_before_skew", "2m"),
    ("cert.grace_ratio", "cert.grace_ratio", "0.5"),
    ("cert.grace_jitter", "cert.grace_jitter", "0.01"),
    ("cert.clamp_to_signer", "cert.clamp_to_signer", "true"),
    ("csr_inner_retry.tries", "csr_inner_retry.tries", "5"),
    ("csr_inner_retry.base_s", "csr_inner_retry.base", "100ms"),
    ("csr_inner_retry.jitter", "csr_inner_retry.jitter", "0.1"),
    ("envoy_stream_backoff.base_s", "envoy_stream_backoff.base", "500ms"),
    ("envoy_stream_backoff.max_s", "envoy_stream_backoff.max", "30s"),
    ("agent_warmup_backoff.base_s", "agent_warmup_backoff.base", "500ms"),
    ("agent_warmup_backoff.factor", "agent_warmup_backoff.factor", "1.5"),
    ("agent_warmup_backoff.rand", "agent_warmup_backoff.jitter", "0.5"),
    ("agent_warmup_backoff.max_s", "agent_warmup_backoff.max", "60s"),
    ("sa_token.ttl_s", "sa_token.ttl", "12h"),
    ("sa_token.rotate_at", "sa_token.rotate_at", "0.8"),
    ("root.ttl_s", "root.ttl", "87600h"),
    ("root.check_s", "root.check", "1h"),
    ("root.grace", "root.grace", "0.2"),
    ("root.start_jitter_s", "root.start_jitter", "1h"),
    ("root.same_key", "root.same_key", "true"),
    ("istiod_dns_cert.rotate_by_time", "istiod.certificate_remaining", "87600h"),
    ("xds.debounce_after_s", "xds.debounce_after", "100ms"),
    ("xds.debounce_max_s", "xds.debounce_max", "10s"),
    ("xds.push_slots", "xds.push_slots", "0"),
    ("xds.stream_rate_per_s", "xds.stream_rate", "0"),
    ("xds.rate_wait_s", "xds.rate_wait", "1s"),
    ("xds.max_conn_age_s", "xds.max_connection_age", "30m"),
    ("xds.age_jitter", "xds.age_jitter", "0.1"),
    ("xds.age_grace_s", "xds.age_grace", "10s"),
    ("xds.keepalive_s[0]", "xds.keepalive_time", "30s"),
    ("xds.keepalive_s[1]", "xds.keepalive_timeout", "10s"),
    ("webhook.inject.policy", "webhook.failure_policy", "fail"),
    ("webhook.inject.timeout_s", "webhook.timeout", "10s"),
    ("webhook.validate.policy", "webhook.validation_policy", "fail"),
    ("webhook.validate.timeout_s", "webhook.timeout", "10s"),
    ("pod.startup_probe.period_s", "pod.startup_period", "1s"),
    ("pod.startup_probe.failures", "pod.startup_failures", "600"),
    ("pod.readiness.period_s", "pod.readiness_period", "15s"),
    ("pod.wait_cmd_s", "pod.hold_timeout", "60s"),
    ("pod.hold_app", "pod.hold_app", "false"),
    ("drain.termination_s", "drain.termination", "5s"),
    ("retry.attempts", "retry.attempts", "2"),
    (
        "retry.on",
        "retry.on",
        "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    ),
    ("retry.statuses", "retry.statuses", ""),
    ("retry.host_attempts", "retry.host_attempts", "5"),
    ("retry.prev_hosts", "retry.previous_hosts", "true"),
    ("retry.base_s", "retry.backoff_base", "25ms"),
    ("retry.max_s", "retry.backoff_max", "250ms"),
    ("inbound_retry.attempts", "retry.inbound_attempts", "2"),
    ("route.timeout_s", "route.timeout", "0s"),
    ("cluster.connect_timeout_s", "cluster.connect_timeout", "10s"),
    ("cluster.cb_max", "cluster.max_connections", "4294967295"),
    ("cluster.cb_max", "cluster.max_pending", "4294967295"),
    ("cluster.cb_max", "cluster.max_requests", "4294967295"),
    ("cluster.cb_max", "cluster.max_retries", "4294967295"),
    ("cluster.lb", "cluster.balancer", "least_request"),
    ("cluster.idle_s", "cluster.idle_timeout", "1h"),
    ("cluster.panic_pct", "cluster.panic_threshold", "0"),
    ("outlier_if_set.c5xx", "outlier.consecutive_5xx", "5"),
    ("outlier_if_set.gateway", "outlier.consecutive_gateway", "0"),
    ("outlier_if_set.interval_s", "outlier.interval", "10s"),
    ("outlier_if_set.base_ejection_s", "outlier.base_ejection", "30s"),
    ("outlier_if_set.max_ejection_pct", "outlier.max_ejection_share", "0.1"),
    ("ztunnel.ttl_s", "cert.ttl", "24h"),
    ("ztunnel.refresh_at_life", "ztunnel.refresh_at_life", "0.5"),
    ("ztunnel.backoff.start_s", "ztunnel.backoff_base", "1s"),
    ("ztunnel.backoff.factor", "ztunnel.backoff_factor", "2"),
    ("ztunnel.backoff.rand", "ztunnel.backoff_jitter", "0.2"),
    ("ztunnel.backoff.max_s", "ztunnel.backoff_max", "150s"),
    ("ztunnel.xds_backoff.start_s", "ztunnel.xds_backoff_base", "10ms"),
    ("ztunnel.xds_backoff.max_s", "ztunnel.xds_backoff_max", "15s"),
    ("ztunnel.keep_valid_on_failure", "ztunnel.keep_valid_on_failure", "true"),
    ("proxy.worker_threads", "proxy.workers", "2"),
];

/// All names of the block, group by group.
const NAMES: &[(&str, &str)] = &[
    ("cert", "ttl_s max_ttl_s not_before_skew_s grace_ratio grace_jitter clamp_to_signer"),
    ("csr_inner_retry", "tries base_s factor jitter codes"),
    ("envoy_stream_backoff", "kind base_s max_s factor reset_on"),
    ("agent_warmup_backoff", "base_s factor rand max_s forever"),
    ("sa_token", "ttl_s rotate_at audience"),
    ("root", "ttl_s check_s grace start_jitter_s same_key"),
    ("istiod_dns_cert", "rotate_by_time poll_root_s"),
    (
        "xds",
        "debounce_after_s debounce_max_s push_slots stream_rate_per_s burst rate_wait_s max_conn_age_s age_jitter \
         age_grace_s keepalive_s[0] keepalive_s[1] upstream_setup_s eds_stale_after initial_fetch_timeout_s",
    ),
    ("webhook", "inject.policy inject.timeout_s validate.policy validate.timeout_s"),
    (
        "pod",
        "startup_probe.period_s startup_probe.timeout_s startup_probe.failures readiness.period_s \
         readiness.timeout_s readiness.failures wait_cmd_s hold_app",
    ),
    ("drain", "termination_s drain_time_s exit_on_zero min_drain_s poll_s"),
    ("retry", "attempts on statuses host_attempts prev_hosts base_s max_s"),
    ("inbound_retry", "attempts on grpc"),
    ("route", "timeout_s stream_idle_s"),
    (
        "cluster",
        "connect_timeout_s cb_max lb idle_s passthrough_idle_s panic_pct retry_budget_if_set",
    ),
    ("outlier_if_set", "c5xx gateway interval_s base_ejection_s max_ejection_pct min_health_pct"),
    (
        "ztunnel",
        "ttl_s refresh_at_life jitter backoff.start_s backoff.factor backoff.rand backoff.max_s \
         xds_backoff.start_s xds_backoff.max_s keep_valid_on_failure",
    ),
    ("proxy", "worker_threads cpu_limit"),
];

/// Of the block, what is no parameter, and why not.
const NO_PARAMETER: &[(&str, &str)] = &[
    ("csr_inner_retry.factor", "the law itself: waits double (model::identity::retry)"),
    ("csr_inner_retry.codes", "what is refused says how it is tried again (world::renewal)"),
    ("envoy_stream_backoff.kind", "the law itself: full jitter"),
    ("envoy_stream_backoff.factor", "the law itself: intervals double"),
    ("envoy_stream_backoff.reset_on", "the first message, as an admitted stream has one"),
    ("agent_warmup_backoff.forever", "no loop ends"),
    ("sa_token.audience", "a name, which changes nothing"),
    (
        "istiod_dns_cert.poll_root_s",
        "not simulated: istiod has the certificate for a new root at once, not up to 60 s later, during which \
         agents that trust the new one only would refuse it",
    ),
    ("xds.burst", "the law itself: the bucket holds one (model::control::admission)"),
    (
        "xds.upstream_setup_s",
        "not simulated: it bounds the agent's dial to istiod, which here is refused at once or is up; the agent's own \
         connection is not told apart from Envoy's to the agent",
    ),
    ("xds.eds_stale_after", "never"),
    ("xds.initial_fetch_timeout_s", "a proxy waits for ever; of clusters, `discovery` says it"),
    (
        "pod.startup_probe.timeout_s",
        "not simulated: the agent in the same pod answers at once, or the pod is gone",
    ),
    (
        "pod.readiness.timeout_s",
        "not simulated: the agent in the same pod answers at once, or the pod is gone",
    ),
    (
        "pod.readiness.failures",
        "the fourth failure in a row has no effect: a proxy that was never ready is in no list, and the agent answers \
         yes for good once it was",
    ),
    (
        "drain.drain_time_s",
        "Envoy's --drain-time-s: `drain_time` of the events that drain; a pod that ends is gone after \
         `drain.termination`, which is sooner",
    ),
    (
        "drain.exit_on_zero",
        "not simulated: EXIT_ON_ZERO_ACTIVE_CONNECTIONS is false in all releases",
    ),
    ("drain.min_drain_s", "read with exit_on_zero alone"),
    ("drain.poll_s", "read with exit_on_zero alone"),
    ("inbound_retry.on", "an app that refuses the connection"),
    ("inbound_retry.grpc", "not of calls that are gRPC, always"),
    ("route.stream_idle_s", "`idle_timeout` of routes, off as in Istio"),
    (
        "cluster.passthrough_idle_s",
        "not simulated: it is of PassthroughCluster, for destinations that the mesh does not know; each here is known",
    ),
    ("cluster.retry_budget_if_set", "keys of `circuit_breaker`"),
    ("outlier_if_set.min_health_pct", "`panic_threshold` where a service sets it"),
    (
        "ztunnel.jitter",
        "the law itself: a ztunnel renews without chance (model::identity::certificate)",
    ),
    ("proxy.cpu_limit", "`proxy.workers` is what follows from it"),
];

#[test]
fn every_number_of_the_reference_is_a_parameter_with_its_default_and_source() {
    let parameters = Parameters::default();
    for (of, name, default) in BLOCK {
        let row = TABLE.iter().find(|row| row.name == *name);
        let row = row.unwrap_or_else(|| panic!("{of}: there is no `{name}`"));
        let mut wanted = parameters.clone();
        wanted.set(name, default).expect("a row").expect("it reads");
        assert_eq!(parameters.get(name), wanted.get(name), "{of} is `{name}`");
        assert!(!row.source.is_empty() && !row.meaning.is_empty(), "{name}");
    }
    for (of, why) in NO_PARAMETER {
        assert!(!why.is_empty() && BLOCK.iter().all(|(other, ..)| other != of), "{of}");
    }
    // Each name of the block stands in one of the two tables, and nothing else does.
    let keys = |(group, keys): &(&str, &str)| {
        keys.split(' ').map(|key| format!("{group}.{key}")).collect()
    };
    let names: Vec<String> = NAMES.iter().flat_map(|row| -> Vec<String> { keys(row) }).collect();
    let told: Vec<&str> =
        BLOCK.iter().map(|row| row.0).chain(NO_PARAMETER.iter().map(|row| row.0)).collect();
    for name in &names {
        assert!(told.contains(&name.as_str()), "{name} is neither a parameter nor left out");
    }
    for one in told {
        assert!(names.iter().any(|name| name == one), "{one} is not in the block");
    }
    // ADS lets in min(15 + 5 · cpu, 100), by default.
    let slots = meshsim::model::control::slots::auto_slots;
    assert_eq!([slots(0, 2), slots(0, 4), slots(0, 64), slots(7, 2)], [25, 35, 100, 7]);
}

#[test]
fn every_parameter_has_a_source() {
    for row in TABLE {
        assert!(!row.source.is_empty(), "{}", row.name);
        assert!(row.meaning.trim_end().ends_with('.'), "{}: {}", row.name, row.meaning);
    }
}

/// The release table: parameter, and its value in 1.20, 1.24, 1.28 and 1.30.
const RELEASES: &[(&str, [&str; 4])] = &[
    ("retry.statuses", ["503", "", "", ""]),
    ("retry.inbound_attempts", ["0", "2", "2", "2"]),
    ("cert.grace_jitter", ["0", "0.01", "0.01", "0.01"]),
    ("cert.clamp_to_signer", ["false", "false", "true", "true"]),
    ("xds.push_slots", ["100", "0", "0", "0"]),
    ("xds.stream_rate", ["25", "0", "0", "0"]),
    ("pod.native_sidecars", ["off", "off", "auto", "auto"]),
    ("pod.startup_failures", ["600"; 4]),
    ("pod.startup_period", ["1s"; 4]),
    ("pod.readiness_period", ["15s"; 4]),
    ("xds.max_connection_age", ["30m"; 4]),
    ("cluster.connect_timeout", ["10s"; 4]),
    ("cluster.panic_threshold", ["0"; 4]),
    ("cluster.max_streams", ["2147483647", "2147483647", "1024", "1024"]),
    ("cert.ttl", ["24h"; 4]),
    ("cert.grace_ratio", ["0.5"; 4]),
    ("drain.termination", ["5s"; 4]),
    ("sa_token.cached", ["false"; 4]),
];

/// Rows of the release table that are no parameters, and why not.
const NO_ROW: &[(&str, &str)] = &[
    ("delta xDS", "what a push brings is what it changes; its size is `xds.push_bytes`"),
    ("unready endpoints sent", "of no simulated release: master only"),
    ("mirror host suffix", "a name; routes that look at hosts write it"),
    ("ztunnel keeps a valid cert", "of istio-ambient: below"),
    ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "false in all"),
];

#[test]
fn every_release_has_its_row_of_the_release_table() {
    for (at, release) in ["1.20", "1.24", "1.28", "1.30"].into_iter().enumerate() {
        let (found, ..) = parameters(&format!("istio-sidecar@{release}")).expect("a release");
        for (name, values) in RELEASES {
            let mut wanted = found.clone();
            wanted.set(name, values[at]).expect("a parameter").expect("it reads");
            assert_eq!(found.get(name), wanted.get(name), "{name} of {release}");
        }
    }
    for (release, keeps) in [("1.24", false), ("1.28", true), ("1.30", true)] {
        let (found, ..) = parameters(&format!("istio-ambient@{release}")).expect("a release");
        assert_eq!(found.ztunnel.keep_valid_on_failure, keeps, "{release}");
    }
    assert!(NO_ROW.iter().all(|(_, why)| !why.is_empty()));
}
