//! Every key of a scenario file: its kind, default and meaning.
//!
//! Source: the example of docs/scenarios.md; the rest in its manner.
//! Left out: `[sweep]`, `[lesson]` ([`PLANNED`]).

mod actions;
mod app;
mod assertion;
pub(crate) mod balancing;
pub(crate) mod discovery;
mod filter;
mod health;
pub(crate) mod identity;
mod kubernetes;
mod linkerd;
pub(crate) mod manifests;
mod matching;
mod policy;
mod retries;
pub(crate) mod security;
mod splits;
pub(crate) mod traffic;

use super::schema::Default::{Is, None, Parameter, Required};
use super::schema::Keys::{Fixed, Mesh};
use super::schema::Kind::{
    Bandwidth, Bool, Count, Distribution, Duration, Labels, Like, Names, Number, OneOrMany, Rate,
    Settings, Share, ShareOr, Table, Tables, Text, Weights, Word,
};
use super::schema::{Default, Key, Keys, Kind};
use crate::plan::balancing::EndpointSettings;
pub(crate) use actions::ACTIONS;
use app::{BEHAVIOUR, ERRORS, ROLLOUT, SHUTDOWN};
use assertion::ASSERT;
use filter::FILTER;
use matching::{CHANGES, MATCH, REWRITE};
use retries::{OF_ROUTE, OF_SERVICE};
use traffic::TRAFFIC;

/// Sections that the documentation names and this version does not read.
pub(crate) const PLANNED: &[&str] = &["sweep", "lesson"];
/// Pods of one workload, and of all.
pub(crate) const PODS_MAX: i64 = 1_000_000;
/// Services or workloads in all.
pub(crate) const WORKLOADS_MAX: usize = 100_000;
/// Services of one table.
const SERVICES_MAX: i64 = 100_000;
/// Nodes in all.
pub(crate) const NODES_MAX: i64 = 100_000;

const PRIORITY_MAX: i64 = EndpointSettings::PRIORITY_MAX as i64;

const ANY: i64 = u32::MAX as i64;

/// Health as EDS tells it.
const HEALTH: &[&str] = &["healthy", "degraded", "draining", "unhealthy"];

/// What proxies speak with each other.
const PROTOCOLS: &[&str] = &["http1", "http2"];

const fn key(name: &'static str, kind: Kind, default: Default, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning }
}

/// A key that takes a parameter's value and overrides it here.
const fn like(name: &'static str, parameter: &'static str, meaning: &'static str) -> Key {
    key(name, Like(parameter), Parameter(parameter), meaning)
}

/// A whole file.
pub(crate) const ROOT: Keys = Fixed(&[
    key("scenario", Table(SCENARIO), Required, "the run"),
    manifests::OF_ROOT,
    key("mesh", Table(Mesh), None, "the mesh's profile and parameters"),
    key("ca", Tables(identity::AUTHORITY, "name"), None, "authorities that sign certificates"),
    key("sampling", Table(SAMPLING), None, "simulate requests in windows only"),
    key("node", Tables(NODE, "name"), None, "machines; without any, one node in one zone"),
    key("link", Tables(LINK, ""), None, "links that differ from the network parameters"),
    key("service", Tables(SERVICE, "name"), None, "services that clients call"),
    key("waypoint", Tables(WAYPOINT, "name"), None, "proxies through which services are called"),
    key("filter", Tables(FILTER, ""), None, "HTTP filters of proxies, in order"),
    key("traffic", Tables(TRAFFIC, "id"), None, "sources of requests"),
    key("event", Tables(EVENT, "id"), None, "what changes and breaks"),
    key("variant", Tables(VARIANT, "name"), None, "the same scenario with other settings"),
    key("assert", Tables(ASSERT, "name"), None, "what must hold"),
]);

const SCENARIO: Keys = Fixed(&[
    key("duration", Duration, Required, "how long the mesh is simulated"),
    key("base", Text, None, "a scenario file whose tables this one adds to and overrides"),
    key("seed", Count(0, i64::MAX), Is("1"), "names the replication"),
    key("warmup", Duration, Is("0s"), "how long nothing is recorded at the beginning"),
    key("interval", Duration, None, "a row of series.csv; duration / 720 rounded up to 1-2-5"),
    key("start", Word(&["stationary", "cold"]), Is("stationary"), "the state at time zero"),
]);

const SAMPLING: Keys = Fixed(&[
    key("every", Duration, Required, "between events, a window in each period of at most this"),
    key("window", Duration, Required, "how long a window is recorded"),
    key("lead_in", Duration, Is("2s"), "what is simulated before it and not recorded"),
    key("around_events", Duration, Is("30s"), "all is recorded so long before and after an event"),
    key("full_below", Rate, Is("1rps"), "slower traffic of a proxy to a service is never sampled"),
]);

/// The mesh's profile.
pub(crate) const PROFILE: Key =
    key("profile", Text, Is("istio-sidecar"), "the mesh and its release: istio-sidecar@1.28");

const NODE: Keys = Fixed(&[
    key("name", Text, Required, "the node's name"),
    key("zone", Text, Is("zone"), "its zone"),
    key("count", Count(1, NODES_MAX), None, "so many nodes: name-0, name-1, …"),
]);

const LINK: Keys = Fixed(&[
    key("from", Text, Required, "a node or zone; node:a or zone:b where both exist"),
    key("to", Text, Required, "a node or zone"),
    key("delay", Distribution, None, "one-way delay; by place from the network parameters"),
    key("loss", Share, Is("0"), "share of packets lost"),
    key("bandwidth", Bandwidth, None, "bits per second; no limit if not given"),
    key("both", Bool, Is("true"), "also back"),
]);

pub(crate) const SERVICE: Keys = Fixed(&[
    key("name", Text, Required, "the service's name"),
    key("count", Count(1, SERVICES_MAX), None, "so many services: name-0, name-1, …"),
    key("protocol", Word(PROTOCOLS), Is("http1"), "between proxies"),
    key("selector", Labels, None, "labels of its workloads; { app = name }"),
    key("egress", Names, None, "the services that its proxies know; all if not given"),
    key("meshed", Bool, Is("true"), "whether the pods of its workloads get a sidecar"),
    key("waypoint", Text, None, "the waypoint through which it is called, in an ambient mesh"),
    key("ingress_use_waypoint", Bool, Is("false"), "whether the gateway calls it so, too"),
    security::OF_SERVICE,
    security::CLIENTS,
    identity::SERVER_TLS,
    identity::MINIMUM,
    identity::MAXIMUM,
    identity::CERTIFICATE_OF_SERVICE,
    like("timeout", "route.timeout", "limit on a request with its retries"),
    key("idle_timeout", Duration, Is("0s"), "limit on the time in which a client hears nothing"),
    key(
        "max_stream_duration",
        Duration,
        Is("0s"),
        "limit on a request in place of `timeout`; 0: none",
    ),
    key(
        "per_request_buffer_limit",
        Count(0, ANY),
        Is("1048576"),
        "bytes of a body that are kept for retries and copies",
    ),
    key("retries", Table(OF_SERVICE), None, "retries of requests to it"),
    balancing::BALANCER,
    balancing::CHOICE_COUNT,
    balancing::ACTIVE_REQUEST_BIAS,
    balancing::LOAD_REFRESH,
    balancing::HASH_ON,
    balancing::MINIMUM_RING_SIZE,
    balancing::MAXIMUM_RING_SIZE,
    balancing::MAGLEV_TABLE_SIZE,
    balancing::SLOW_START,
    balancing::LOCALITY,
    key("overprovisioning", Number, Is("1.4"), "a priority takes all while this × healthy is 1"),
    policy::CIRCUIT_BREAKER,
    policy::OUTLIER_DETECTION,
    linkerd::APP_PROTOCOL,
    linkerd::PENALIZE,
    linkerd::ACCRUAL,
    linkerd::RETRY,
    linkerd::PROFILE,
    linkerd::SERVER,
    linkerd::RATE_LIMIT,
    splits::TRAFFIC_SPLIT,
    splits::FAILOVER,
    splits::TIMEOUTS,
    key("merge_window", Duration, Is("1s"), "changes of health within it are told together"),
    policy::HEALTH_CHECKS,
    policy::CONNECTIONS,
    policy::PANIC_THRESHOLD,
    discovery::DROP_OVERLOAD,
    key("route", Tables(ROUTE, "name"), None, "rules, the first that matches wins"),
    key(
        "subsets",
        Tables(policy::SUBSET, "name"),
        None,
        "workloads by label, for weights and mirrors",
    ),
    key("workload", Tables(WORKLOAD, "version"), None, "what runs behind it, one a version"),
]);

pub(crate) const WAYPOINT: Keys = Fixed(&[
    key("name", Text, Required, "the waypoint's name"),
    key("replicas", Count(0, PODS_MAX), Is("1"), "pods"),
    key("proxy_workers", Count(1, 64), None, "worker threads; waypoint.workers if not given"),
    kubernetes::PDB,
    key("zones", Names, None, "its pods run on the nodes of these"),
    key("nodes", Names, None, "its pods run on these; on all if not given"),
    key("rollout", Table(ROLLOUT), None, "how its pods are replaced"),
    key("start_time", Distribution, Parameter("pod.start_time"), "creation to start of a pod"),
    key("shutdown", Table(SHUTDOWN), None, "how a pod ends"),
]);

pub(crate) const ROUTE: Keys = Fixed(&[
    key("name", Text, None, "names the rule for events"),
    key("match", OneOrMany(MATCH), None, "any of these; everything if not given"),
    key(
        "weights",
        Weights,
        None,
        "versions or subsets and their weights; the whole service if not given",
    ),
    key("cluster_header", Text, None, "the service, or service/version, that this header names"),
    like("timeout", "route.timeout", "limit on a request; the service's if not given"),
    splits::TIMEOUTS,
    linkerd::RETRY,
    key("idle_timeout", Duration, None, "limit on hearing nothing; the service's if not given"),
    key("max_stream_duration", Duration, None, "in place of `timeout`; the service's if not given"),
    key(
        "per_request_buffer_limit",
        Count(0, ANY),
        None,
        "bytes of a body kept for retries; the service's if not given",
    ),
    key("retries", Table(OF_ROUTE), None, "retries; the service's if not given"),
    key(
        "mirror",
        OneOrMany(MIRROR),
        None,
        "a share of the requests is sent to another service, too",
    ),
    key("direct_response", Count(200, 599), None, "the proxy answers itself with this status"),
    key("rewrite", Table(REWRITE), None, "another path or host for what goes up"),
    key("headers", Table(CHANGES), None, "other headers for what goes up"),
    key("redirect", Count(300, 399), None, "the proxy redirects with this status"),
]);

const MIRROR: Keys = Fixed(&[
    key("to", Text, Required, "a service, or service/version; its answers are ignored"),
    key("share", Share, Is("100%"), "share of the requests"),
]);
const WORKLOAD: Keys = Fixed(&[
    key("version", Text, None, "the version; names the workload service-version"),
    key("labels", Labels, None, "more labels than app and version"),
    key("replicas", Count(0, PODS_MAX), Is("1"), "pods"),
    key("weight", Count(1, ANY), Is("1"), "relative weight of each pod's endpoint"),
    key("priority", Count(0, PRIORITY_MAX), Is("0"), "priority of its endpoints, 0 first"),
    key("health", Word(HEALTH), Is("healthy"), "what the control plane says of its endpoints"),
    key("workers", Count(1, ANY), Is("1"), "requests worked on at once by a pod"),
    key(
        "proxy_workers",
        Count(1, 64),
        None,
        "worker threads of its proxy; proxy.workers if not given",
    ),
    key(
        "proxy_shares_cores",
        Bool,
        Is("false"),
        "its proxy's work comes out of its app's workers; with discipline = \"ps\"",
    ),
    key("queue", Count(0, ANY), None, "requests that may wait in a pod; no limit if not given"),
    key("discipline", Word(&["fifo", "ps"]), Is("fifo"), "order of service"),
    key("time", Distribution, Required, "local work for a request"),
    key(
        "time_per_request",
        Duration,
        None,
        "and so much more for each in service, itself included",
    ),
    key("calls", Tables(CALL, ""), None, "calls to other services, in order, after the work"),
    key("deadlines", Bool, Is("false"), "calls have no more time than its own request has"),
    key("cancels_calls", Bool, Is("false"), "calls in flight end when its own client leaves"),
    traffic::OF_WORKLOAD,
    key("errors", ShareOr(ERRORS), None, "how it fails by itself"),
    key("behaviour", Table(BEHAVIOUR), None, "how its port, answers and connections behave"),
    security::OF_WORKLOAD,
    identity::MINIMUM,
    identity::MAXIMUM,
    identity::CERTIFICATE_OF_WORKLOAD,
    kubernetes::READINESS,
    kubernetes::LIVENESS,
    kubernetes::PDB,
    kubernetes::HPA,
    kubernetes::INJECT,
    kubernetes::DIALS,
    key("zones", Names, None, "its pods run on the nodes of these"),
    key("nodes", Names, None, "its pods run on these; on all if not given"),
    key("rollout", Table(ROLLOUT), None, "how its pods are replaced"),
    key("start_time", Distribution, Parameter("pod.start_time"), "creation to start of a pod"),
    key("shutdown", Table(SHUTDOWN), None, "how a pod ends"),
]);

const CALL: Keys = Fixed(&[
    key("to", Text, Required, "the service called"),
    key("fanout", Count(1, ANY), None, "so many of a counted service; 1 if not given"),
    key("probability", Share, Is("1"), "share of requests that make the call"),
    key("mode", Word(&["sequential", "parallel"]), Is("sequential"), "alone or with its like"),
    key("holds_worker", Bool, Is("true"), "whether the worker waits for the answer"),
    key("required", Bool, Is("true"), "whether a failed call fails the caller"),
    key("path", Text, Is("/"), "the path"),
    key("method", Text, Is("GET"), "the method"),
    key("headers", Labels, None, "headers"),
    traffic::OF_CALL,
    linkerd::APP_CONNECTION,
    key("after", Distribution, None, "local work after the call, or after its parallel group"),
]);

const EVENT: Keys = Fixed(&[
    key("id", Text, Required, "names it"),
    key("at", Duration, None, "when it begins"),
    key("when", Text, None, "a condition instead: EXPRESSION for HOLD"),
    key("window", Duration, None, "the condition is measured over this; its hold time"),
    key("not_before", Duration, Is("0s"), "the condition is not looked at before"),
    key("for", Duration, None, "how long it lasts; to the end of the run if not given"),
    key("until", Duration, None, "when it ends"),
    key("every", Duration, None, "begins again after this"),
    key("times", Count(1, ANY), None, "how often in all; as often as fits"),
    key("do", Word(ACTIONS), Required, "what it does"),
    key("target", Text, None, "istiod, pod:NAME, service:NAME/VERSION, node:NAME, link:A->B, …"),
    key("share", Share, Is("1"), "share of the pods, replicas or answers"),
    key(
        "part",
        Word(&["app", "tokens"]),
        None,
        "only the app in the pods, not their proxies; only the kubelet's rotation of tokens",
    ),
    key("factor", Number, None, "times as slow, or times the traffic"),
    key("status", Count(200, 599), Is("500"), "the status of errors; below 400 only with headers"),
    key("response_headers", Labels, None, "headers of errors"),
    key(
        "behaviour",
        Table(BEHAVIOUR),
        None,
        "how port, answers and connections behave from now on",
    ),
    key("delay", Duration, Is("0s"), "added one-way delay"),
    key("loss", Share, Is("0"), "added loss"),
    key("replicas", Count(0, PODS_MAX), None, "pods wanted from now on"),
    key("weights", Weights, None, "versions and their weights"),
    key("route", Text, None, "the name of the rule, where there are several"),
    splits::OF_EVENT,
    key("weight", Count(1, ANY), None, "relative weight of endpoints"),
    key("priority", Count(0, PRIORITY_MAX), None, "priority of endpoints"),
    key("health", Word(HEALTH), None, "health of endpoints"),
    security::OF_EVENT,
    identity::CA_OF_EVENT,
    identity::RESTART,
    identity::DROPPED_BY,
    identity::TRUST_OF_EVENT,
    identity::AHEAD,
    identity::BEHIND,
    identity::CERTIFICATE_OF_EVENT,
    linkerd::SERVER_OF_EVENT,
    linkerd::RATE_LIMIT_OF_EVENT,
    discovery::REMOVED,
    discovery::OF_CLUSTER,
    discovery::LIST,
    discovery::REJECTED,
    discovery::DRAIN_TIME,
    discovery::STRATEGY,
    kubernetes::POLICY,
    manifests::OF_EVENT,
    manifests::OBJECTS,
    manifests::OBJECT,
    manifests::PATCH,
    manifests::PATCH_FILE,
    manifests::TYPE,
]);

const VARIANT: Keys = Fixed(&[
    key("name", Text, Required, "names it"),
    key("set", Settings, Required, "paths and values, as --set takes them"),
]);
