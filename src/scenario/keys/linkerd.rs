//! Keys that only Linkerd heeds: connections of apps, and what services ask of their clients' proxies.
//!
//! Source: as in [`super`]; Linkerd's annotations and `ServiceProfile`.
//! Left out: nothing; splits and routes of profiles stand in `splits`.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Bool, Count, Duration, Names, Table, Tables, Text, Word};
use super::super::schema::{Key, Keys};
use super::{key, like, splits};

/// Whose connections.
pub(super) const APP_CONNECTION: Key = key(
    "app_connection",
    Word(&["keep", "per-request"]),
    Is("keep"),
    "Linkerd: whether the app keeps its connections to the proxy or opens one for each request",
);

pub(super) const ACCRUAL: Key =
    key("failure_accrual", Table(ACCRUAL_KEYS), None, "Linkerd: endpoints that fail are shut out");
pub(super) const RETRY: Key =
    key("retry", Table(RETRY_KEYS), None, "Linkerd: retries by annotation");
pub(super) const PROFILE: Key = key(
    "service_profile",
    Table(PROFILE_KEYS),
    None,
    "Linkerd: its ServiceProfile; then the other two do not count",
);

pub(super) const SERVER: Key =
    key("server", Table(SERVER_KEYS), None, "Linkerd: its Server, who may call its pods");
pub(super) const RATE_LIMIT: Key = key(
    "local_rate_limit",
    Table(LIMIT_KEYS),
    None,
    "Linkerd: how often each of its pods is called",
);

pub(super) const SERVER_OF_EVENT: Key =
    key("server", Table(SERVER_KEYS), None, "Linkerd: who may call its pods from now on");
pub(super) const RATE_LIMIT_OF_EVENT: Key = key(
    "local_rate_limit",
    Table(LIMIT_KEYS),
    None,
    "Linkerd: how often each of its pods is called from now on",
);

pub(super) const APP_PROTOCOL: Key = key(
    "app_protocol",
    Word(&["http1", "http2", "grpc", "tcp", "server-first", "opaque"]),
    Is("http1"),
    "Linkerd: what its app speaks, and its clients",
);
pub(super) const PENALIZE: Key = key(
    "penalize_failures",
    Table(PENALIZE_KEYS),
    None,
    "Linkerd: failed answers count as slow ones (load biaser)",
);

const PENALIZE_KEYS: Keys = Fixed(&[
    key("is_on", Bool, Is("true"), "whether they do"),
    like("penalty", "linkerd_balancer.penalty", "as slow as this"),
    like("max_retry_after", "linkerd_balancer.max_retry_after", "of a Retry-After counts so much"),
]);

/// Who may call a port.
const POLICIES: &[&str] = &[
    "all-unauthenticated",
    "all-authenticated",
    "cluster-unauthenticated",
    "cluster-authenticated",
    "deny",
    "audit",
];

const SERVER_KEYS: Keys = Fixed(&[
    key("access_policy", Word(POLICIES), Is("deny"), "who may call besides the clients"),
    key("clients", Names, None, "services whose pods may call, by their identity"),
]);

const LIMIT_KEYS: Keys = Fixed(&[
    key("total", Count(0, RPS_MAX), Is("0"), "requests a second of all clients; 0: no limit"),
    key("identity", Count(0, RPS_MAX), Is("0"), "of each client identity; 0: no limit"),
    key("overrides", Tables(OVERRIDE, ""), None, "limits of some clients, instead of each one's"),
]);

const OVERRIDE: Keys = Fixed(&[
    key("rps", Count(1, RPS_MAX), Required, "requests a second of all of them together"),
    key("clients", Names, Required, "services, or workloads, whose pods these are"),
]);
const RPS_MAX: i64 = 1_000_000;

const ACCRUAL_KEYS: Keys = Fixed(&[
    key("mode", Word(&["consecutive", "unified"]), Is("consecutive"), "by which count"),
    like("max_failures", "linkerd_accrual.max_failures", "failures in a row"),
    like("min_penalty", "linkerd_accrual.min_penalty", "shut out for so long at first"),
    like("max_penalty", "linkerd_accrual.max_penalty", "and at most"),
    like("jitter", "linkerd_accrual.jitter", "share of it that may come on top"),
    like("success_threshold", "linkerd_accrual.success_threshold", "unified: least share"),
    like("success_window", "linkerd_accrual.success_window", "unified: over this time"),
    like("success_min_requests", "linkerd_accrual.success_min_requests", "unified: of so many"),
]);

const RETRY_KEYS: Keys = Fixed(&[
    key("http", Text, None, "statuses: 503, 500-504, 5xx, gateway-error; 5xx without `grpc`"),
    key("grpc", Text, None, "of gRPC: cancelled, deadline-exceeded, internal, unavailable, …"),
    like("limit", "linkerd_retry.limit", "retries of a request"),
    key("timeout", Duration, None, "limit on an attempt's header, but the last one's"),
]);

const PROFILE_KEYS: Keys = Fixed(&[
    key("is_retryable", Bool, Is("false"), "whether failed requests are tried again"),
    key("timeout", Duration, Is("0s"), "limit on a request with its retries; 0s: none"),
    like("retry_ratio", "linkerd_budget.ratio", "retries for each request"),
    like("min_retries_per_s", "linkerd_budget.min_per_s", "retries in any second besides"),
    like("ttl", "linkerd_budget.ttl", "requests count for so long"),
    splits::ROUTES,
]);
