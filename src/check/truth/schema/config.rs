//! What a case sets up: proxies, hosts, certificates, load. Fields carry the names of the files,
//! which are Envoy's; a field that is absent has the default of Envoy 1.40. Times end in their
//! unit; shares and `_p` lie within 0 and 1.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: prose.

use super::step::Step;
use super::words::{
    AnyWord, CertificateKind, Defaults, Discovery, Dynamic, FilterKind, HealthWord, HostKind, Http,
    KeyKind, Lb, LoadKind, Malformed, Method, Phase, Predicate, RbacAction, RetryWord, TlsVersion,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

macro_rules! tables {
    ($($(#[$meta:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $ty:ty,)* })+) => { $(
        $(#[$meta])*
        #[doc = concat!("A table of the files: `", stringify!($name), "`.")]
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $(
            #[doc = concat!("The key `", stringify!($field), "`.")]
            $(#[$of])* pub $field: $ty,
        )* }
    )+ };
}

tables! {
    Config {
        defaults: Defaults,
        /// The proxy that clients talk to.
        entry: String,
        proxies: Vec<Proxy>,
        #[serde(default)]
        hosts: Vec<Host>,
        #[serde(default)]
        certificates: Vec<Certificate>,
        load: Vec<Load>,
        #[serde(default)]
        steps: Vec<Step>,
    }
    Proxy {
        name: String,
        workers: u32,
        drain_time_s: Option<f64>,
        #[serde(default)]
        runtime: BTreeMap<String, f64>,
        #[serde(default)]
        dynamic: Vec<Dynamic>,
        routes: Vec<Route>,
        #[serde(default)]
        clusters: Vec<Cluster>,
        #[serde(default)]
        listener: Listener,
    }
    #[derive(Default)]
    Listener {
        tls: Option<Tls>,
        #[serde(default)]
        filters: Vec<Filter>,
        per_request_buffer_limit_bytes: Option<u64>,
        validate_clusters: Option<bool>,
        internal_cidrs: Option<Vec<String>>,
        stream_idle_timeout_ms: Option<f64>,
    }
    Filter {
        filter: FilterKind,
        delay_ms: Option<f64>,
        delay_percent: Option<f64>,
        abort_status: Option<u16>,
        abort_grpc_status: Option<u16>,
        abort_percent: Option<f64>,
        max_active_faults: Option<u32>,
        max_tokens: Option<u32>,
        tokens_per_fill: Option<u32>,
        fill_interval_ms: Option<f64>,
        action: Option<RbacAction>,
        #[serde(default)]
        policies: Vec<RbacPolicy>,
        cluster: Option<String>,
        timeout_ms: Option<f64>,
        failure_mode_allow: Option<bool>,
    }
    RbacPolicy {
        name: String,
        principal: Principal,
    }
    HeaderPresent {
        header_present: String,
    }
    Route {
        prefix: String,
        cluster: Option<String>,
        weighted_clusters: Option<Vec<Weighted>>,
        /// Measured to have no effect: weights are normalised by their sum.
        total_weight: Option<u32>,
        runtime_key_prefix: Option<String>,
        cluster_header: Option<String>,
        cluster_not_found_status: Option<u16>,
        direct_response: Option<DirectResponse>,
        redirect: Option<Redirect>,
        timeout_ms: Option<f64>,
        idle_timeout_ms: Option<f64>,
        retry_policy: Option<RetryPolicy>,
        hedge_on_per_try_timeout: Option<bool>,
        hash_on_header: Option<String>,
        mirror: Option<Vec<Mirror>>,
    }
    Weighted {
        cluster: String,
        weight: u32,
    }
    DirectResponse {
        status: u16,
        body_bytes: u64,
    }
    Redirect {
        path: String,
    }
    Mirror {
        cluster: String,
        percent: f64,
    }
    RetryPolicy {
        retry_on: Vec<RetryWord>,
        num_retries: Option<u32>,
        #[serde(default)]
        retriable_status_codes: Vec<u16>,
        per_try_timeout_ms: Option<f64>,
        per_try_idle_timeout_ms: Option<f64>,
        back_off_base_ms: Option<f64>,
        back_off_max_ms: Option<f64>,
        #[serde(default)]
        retry_host_predicate: Vec<Predicate>,
        host_selection_retry_max_attempts: Option<u32>,
    }
    Cluster {
        name: String,
        lb_policy: Lb,
        connect_timeout_ms: f64,
        http: Http,
        discovery: Option<Discovery>,
        initial_fetch_timeout_ms: Option<f64>,
        /// None: EDS has not said anything yet.
        endpoints: Option<Vec<Endpoint>>,
        locality_weights: Option<BTreeMap<String, f64>>,
        #[serde(default)]
        lb_config: LbConfig,
        healthy_panic_threshold_percent: Option<f64>,
        drop_overload_percent: Option<f64>,
        endpoint_stale_after_ms: Option<f64>,
        max_connection_duration_ms: Option<f64>,
        max_stream_duration_ms: Option<f64>,
        max_requests_per_connection: Option<u32>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<Tls>,
        #[serde(default)]
        circuit_breakers: CircuitBreakers,
        #[serde(default)]
        health_checks: Vec<HealthCheck>,
    }
    #[derive(Default)]
    LbConfig {
        choice_count: Option<u32>,
        minimum_ring_size: Option<u32>,
        active_request_bias: Option<f64>,
        slow_start: Option<SlowStart>,
    }
    SlowStart {
        window_ms: f64,
        min_weight_percent: f64,
    }
    #[derive(Default)]
    CircuitBreakers {
        max_connections: Option<u32>,
        max_pending_requests: Option<u32>,
        max_requests: Option<u32>,
        max_retries: Option<u32>,
        retry_budget: Option<RetryBudget>,
    }
    RetryBudget {
        budget_percent: f64,
        min_retry_concurrency: u32,
    }
    OutlierDetection {
        interval_ms: Option<f64>,
        base_ejection_time_ms: Option<f64>,
        max_ejection_time_ms: Option<f64>,
        max_ejection_time_jitter_ms: Option<f64>,
        consecutive_5xx: Option<u32>,
        consecutive_gateway_failure: Option<u32>,
        consecutive_local_origin_failure: Option<u32>,
        enforcing_consecutive_5xx: Option<f64>,
        enforcing_consecutive_gateway_failure: Option<f64>,
        enforcing_success_rate: Option<f64>,
        enforcing_failure_percentage: Option<f64>,
        max_ejection_percent: Option<f64>,
        success_rate_minimum_hosts: Option<f64>,
        success_rate_request_volume: Option<f64>,
        success_rate_stdev_factor: Option<f64>,
        failure_percentage_threshold: Option<f64>,
        failure_percentage_minimum_hosts: Option<f64>,
        failure_percentage_request_volume: Option<f64>,
        split_external_local_origin_errors: Option<bool>,
        always_eject_one_host: Option<bool>,
    }
    HealthCheck {
        timeout_ms: f64,
        interval_ms: f64,
        interval_jitter_ms: f64,
        initial_jitter_ms: f64,
        no_traffic_interval_ms: f64,
        unhealthy_threshold: u32,
        healthy_threshold: u32,
        path: String,
        #[serde(default)]
        retriable_statuses: Vec<[u16; 2]>,
    }
    Endpoint {
        /// A host, or a proxy.
        host: String,
        weight: Option<u32>,
        priority: Option<u32>,
        locality: Option<String>,
        health: Option<HealthWord>,
        connect_delay_ms: Option<f64>,
    }
    Tls {
        certificate: Option<String>,
        #[serde(default)]
        trusted_ca: Vec<String>,
        match_uri_san: Option<String>,
        version: Option<TlsVersion>,
        sds: Option<bool>,
        require_client_certificate: Option<bool>,
        max_session_keys: Option<u32>,
        disable_stateless_session_resumption: Option<bool>,
        disable_stateful_session_resumption: Option<bool>,
    }
    Certificate {
        name: String,
        kind: CertificateKind,
        issuer: Option<String>,
        uri_san: Option<String>,
        key: KeyKind,
        not_before_s: f64,
        not_after_s: f64,
    }
    Host {
        name: String,
        behaviour: Behaviour,
    }
    #[derive(PartialEq)]
    Behaviour {
        kind: HostKind,
        delay_ms: Option<f64>,
        status: Option<u16>,
        body_bytes: Option<u64>,
        body_delay_ms: Option<f64>,
        error_p: Option<f64>,
        error_status: Option<u16>,
        idle_close_ms: Option<f64>,
        health_check_status: Option<u16>,
        health_check_delay_ms: Option<f64>,
    }
    Load {
        at_s: f64,
        kind: LoadKind,
        count: u64,
        rate_rps: Option<f64>,
        concurrency: Option<u32>,
        think_ms: Option<f64>,
        gap_ms: Option<f64>,
        path: Option<String>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        header_bytes: BTreeMap<String, u64>,
        #[serde(default)]
        header_sequence: BTreeMap<String, String>,
        method: Option<Method>,
        body_bytes: Option<u64>,
        abort_after_ms: Option<f64>,
        malformed: Option<Malformed>,
        new_connection_each: Option<bool>,
        phase: Option<Phase>,
    }
}

/// Whom an RBAC policy lets in.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Principal {
    /// Everybody.
    Any(AnyWord),
    /// Whoever sends a header.
    Header(HeaderPresent),
}

impl Config {
    /// Whether every name leads somewhere and every kind of load has its keys.
    pub(super) fn check(&self) -> Result<(), String> {
        let proxies = self.proxies.iter().map(|one| one.name.as_str());
        let names: BTreeSet<&str> =
            proxies.clone().chain(self.hosts.iter().map(|one| one.name.as_str())).collect();
        if !proxies.clone().any(|name| name == self.entry) {
            return Err(format!("entry: there is no proxy `{}`", self.entry));
        }
        if names.len() != self.proxies.len() + self.hosts.len() {
            return Err("two proxies or hosts have the same name".to_owned());
        }
        let known = |host: &str| {
            let is_known = names.contains(host);
            is_known.then_some(()).ok_or_else(|| format!("endpoint: there is no host `{host}`"))
        };
        for cluster in self.proxies.iter().flat_map(|proxy| &proxy.clusters) {
            let endpoints = cluster.endpoints.iter().flatten();
            endpoints.map(|one| &one.host).try_for_each(|host| known(host))?;
        }
        for step in &self.steps {
            step.verb.hosts().into_iter().try_for_each(known)?;
            if step.verb.is_of_a_host() && !names.contains(step.target.as_str()) {
                return Err(format!("steps: there is no target `{}`", step.target));
            }
        }
        if self.steps.windows(2).any(|two| two[1].at_s < two[0].at_s) {
            return Err("steps: they are not in the order of at_s".to_owned());
        }
        self.load.iter().try_for_each(Load::check)
    }
}

impl Load {
    fn check(&self) -> Result<(), String> {
        let needs = |key: &str, is_there: bool| {
            let error = || format!("load: {} without {key}", self.kind.text());
            is_there.then_some(()).ok_or_else(error)
        };
        match self.kind {
            LoadKind::OpenLoop => needs("rate_rps", self.rate_rps.is_some_and(|rate| 0.0 < rate)),
            LoadKind::ClosedLoop => needs("concurrency", self.concurrency.is_some()),
            LoadKind::Burst | LoadKind::Sequential => Ok(()),
        }
    }
}
