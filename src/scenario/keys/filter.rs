//! Keys of HTTP filters.
//!
//! Source: Envoy's filters, in the words of their protos; as in [`super`].
//! Left out: what `plan::filter` leaves out.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys;
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{
    Bool, Count, Duration, Names, Number, Share, Table, Tables, Text, Word,
};
use super::{ANY, key};

pub(super) const FILTER: Keys = Fixed(&[
    key("at", Text, Required, "whose proxies: ingress, a service, or service/version"),
    key("direction", Word(DIRECTIONS), None, "which requests; a sidecar's are inbound by default"),
    key("fault", Table(FAULT), None, "delays and aborts requests"),
    key("local_rate_limit", Table(LOCAL_RATE_LIMIT), None, "a bucket of tokens for each proxy"),
    key("rbac", Table(RBAC), None, "who may pass"),
    key("ext_authz", Table(EXT_AUTHZ), None, "a service is asked whether a request may pass"),
    key(
        "global_rate_limit",
        Table(GLOBAL_RATE_LIMIT),
        None,
        "a rate limit service counts the requests of all proxies",
    ),
    key("admission_control", Table(ADMISSION_CONTROL), None, "refuses a share while too many fail"),
    key("cors", Table(CORS), None, "answers the preflights of browsers"),
    key("buffer", Table(BUFFER), None, "refuses bodies that are too long"),
    key("overload", Table(OVERLOAD), None, "relieves a proxy that has too much to do"),
    key(
        "connection_limit",
        Table(CONNECTION_LIMIT),
        None,
        "connections of clients above it are closed at once",
    ),
]);
/// Which requests of a proxy pass a filter.
const DIRECTIONS: &[&str] = &["outbound", "inbound"];

const FAULT: Keys = Fixed(&[
    key("delay", Duration, None, "how long a request is held"),
    key("delay_share", Share, Is("100%"), "share of requests that are delayed"),
    key("abort", Count(200, 599), None, "the status with which a request is aborted"),
    key("abort_grpc", Count(0, 16), None, "a gRPC status instead, in an HTTP 200"),
    key("abort_share", Share, Is("100%"), "share of requests that are aborted"),
    key("max_active", Count(0, ANY), None, "delayed requests at once; others pass without faults"),
]);

const LOCAL_RATE_LIMIT: Keys = Fixed(&[
    key("max_tokens", Count(1, ANY), Required, "tokens at the start and at most"),
    key("tokens_per_fill", Count(1, ANY), Is("1"), "tokens more after each interval"),
    key("fill_interval", Duration, Required, "the interval, at least 50 ms"),
]);

const RBAC: Keys = Fixed(&[
    key("action", Word(&["allow", "deny"]), Is("allow"), "what becomes of those that match"),
    key("policy", Tables(POLICY, "name"), None, "whom it is about; without any nobody matches"),
]);

const POLICY: Keys = Fixed(&[
    key("name", Text, Required, "names it"),
    key("header", Text, None, "requests with this header"),
    key("source", Text, None, "requests of this service, by its certificate; inbound only"),
]);

const EXT_AUTHZ: Keys = Fixed(&[
    key("service", Text, Required, "the service that is asked; its own timeout holds"),
    key("failure_mode_allow", Bool, Is("false"), "let pass if it cannot be asked"),
]);

const GLOBAL_RATE_LIMIT: Keys = Fixed(&[
    key("service", Text, Required, "the rate limit service, asked by its own routes"),
    key("domain", Text, Is("mesh"), "limits of one service and domain are counted together"),
    key("timeout", Duration, Is("20ms"), "how long its answer is waited for; 0s for no limit"),
    key("failure_mode_deny", Bool, Is("false"), "refuse (500 RLSE) if it cannot be asked"),
    key("limit", Tables(RATE_LIMIT, ""), Required, "what it counts"),
]);

const RATE_LIMIT: Keys = Fixed(&[
    key("requests", Count(0, ANY), Required, "requests in a window"),
    key("unit", Word(UNITS), Required, "the window, on the grid of its unit"),
    key("header", Text, None, "apart for each value of this header; all together if not given"),
]);
/// Windows of a rate limit.
const UNITS: &[&str] = &["second", "minute", "hour", "day"];

const ADMISSION_CONTROL: Keys = Fixed(&[
    key("sampling_window", Duration, Is("30s"), "how long a request counts, in whole seconds"),
    key("aggression", Number, Is("1"), "the share that is refused, to the power of 1 / this"),
    key("sr_threshold", Share, Is("95%"), "a share of successes below this refuses requests"),
    key("rps_threshold", Count(0, ANY), Is("0"), "below so many a second of a worker none"),
    key("max_rejection_probability", Share, Is("80%"), "the greatest share that is refused"),
    key("http_success", Tables(STATUSES, ""), None, "statuses that are successes; all below 500"),
    key("grpc_success", Names, None, "gRPC statuses that are, such as \"0\"; Envoy's if not given"),
]);

const STATUSES: Keys = Fixed(&[
    key("start", Count(100, 599), Required, "the first"),
    key("end", Count(100, 600), Required, "the first that is none"),
]);

const CORS: Keys = Fixed(&[
    key("allow_origin", Tables(ORIGIN, ""), None, "origins that may ask; without any none"),
    key(
        "forward_not_matching_preflights",
        Bool,
        Is("true"),
        "preflights of other origins go on; else they are answered, too",
    ),
]);

const ORIGIN: Keys = Fixed(&[
    key("exact", Text, None, "the origin; \"*\" is every one"),
    key("prefix", Text, None, "the beginning of the origin"),
    key("suffix", Text, None, "the end of the origin"),
    key("contains", Text, None, "a part of the origin"),
    key("regex", Text, None, "a regular expression for the whole origin"),
]);

const BUFFER: Keys = Fixed(&[key(
    "max_request_bytes",
    Count(1, ANY),
    Required,
    "the longest body, by its content-length",
)]);

const OVERLOAD: Keys = Fixed(&[
    key("action", Word(ACTIONS), Is("stop_accepting_requests"), "what an overloaded proxy does"),
    key("max_active_requests", Count(1, ANY), None, "under way at once: a pressure of 100 %"),
    key("max_active_connections", Count(1, ANY), None, "of clients at once: a pressure of 100 %"),
    key("cpu_utilization", Bool, Is("false"), "the pressure is the busy share of the workers"),
    key("refresh_interval", Duration, Is("1s"), "between two looks"),
    key("threshold", Share, None, "the action is in force from this pressure on"),
    key("scaling_threshold", Share, None, "it grows from this pressure on"),
    key("saturation_threshold", Share, None, "and is in full force from this on"),
    key("idle_timeout", Duration, Is("1h"), "reduce_timeouts: of idle connections of clients"),
    key("min_timeout", Duration, None, "reduce_timeouts: the same with full pressure"),
]);
/// What an overloaded proxy does.
const ACTIONS: &[&str] = &[
    "stop_accepting_requests",
    "stop_accepting_connections",
    "reject_incoming_connections",
    "disable_http_keepalive",
    "reduce_timeouts",
];

const CONNECTION_LIMIT: Keys = Fixed(&[
    key("global_downstream_max_connections", Count(1, ANY), None, "to the process"),
    key("max_connections", Count(1, ANY), None, "to its listener"),
]);
