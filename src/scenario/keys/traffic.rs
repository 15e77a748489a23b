//! Keys of sources of requests, and of what clients do by themselves: theirs, and apps that call.
//!
//! Source: as in [`super`].
//! Left out: clients that hedge, or read `retry-after`.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{
    Arrivals, Count, Duration, Labels, Number, Share, Table, Text, Word,
};
use super::super::schema::{Key, Keys};
use super::{key, linkerd};

/// How often a client may send again.
const ATTEMPTS_MAX: i64 = 1_000;
/// Clients of one source.
const CLIENTS_MAX: i64 = 1_000_000;
/// How chance spreads back-offs.
const JITTERS: &[&str] = &["none", "equal", "full", "decorrelated"];

/// Whose headers proxies believe; of the mesh.
pub(crate) const INTERNAL: Key = key(
    "internal_requests",
    Word(&["none", "pods", "all"]),
    Is("none"),
    "whose x-envoy-* headers ask for timeouts and retries: of nobody, of pods, of clients outside too",
);

/// What is wrong with a request.
const DEFECTS: &[&str] = &["missing_host", "headers_too_large", "codec_error"];

pub(super) const TRAFFIC: Keys = Fixed(&[
    key("id", Text, Required, "names it"),
    key("from", Text, Required, "ingress, a service, or service/version"),
    key("to", Text, Required, "the service called"),
    key("path", Text, Is("/"), "the path"),
    key("method", Text, Is("GET"), "the method"),
    key("headers", Labels, None, "headers"),
    key(
        "malformed",
        Word(DEFECTS),
        None,
        "what is wrong with its requests, so that no proxy takes them",
    ),
    key("arrivals", Arrivals, Required, "when requests come"),
    linkerd::APP_CONNECTION,
    key("client", Table(CLIENT), None, "what clients do by themselves; wait, and send once"),
]);

const TIMEOUT: Key =
    key("timeout", Duration, None, "it leaves without a whole answer; waits for ever if not given");
const ATTEMPTS: Key =
    key("attempts", Count(0, ATTEMPTS_MAX), Is("0"), "sends after the first, of what failed");
const BACKOFF_BASE: Key =
    key("backoff_base", Duration, Is("0s"), "limit of the first wait to send again; doubles");
const BACKOFF_MAX: Key =
    key("backoff_max", Duration, None, "longest wait; 10 × the base if not given");
const JITTER: Key = key("jitter", Word(JITTERS), Is("full"), "how chance spreads these waits");
const BUCKET: Key =
    key("bucket", Table(BUCKET_KEYS), None, "tokens that sends after the first cost");
const BREAKER: Key =
    key("breaker", Table(BREAKER_KEYS), None, "nothing is sent again while too much fails");

const CLIENT: Keys = Fixed(&[
    TIMEOUT,
    ATTEMPTS,
    BACKOFF_BASE,
    BACKOFF_MAX,
    JITTER,
    BUCKET,
    BREAKER,
    key("clients", Count(1, CLIENTS_MAX), Is("1"), "so many, with a bucket and a breaker each"),
]);

/// The client that an app has for calls: one in each of its pods.
const CALL_CLIENT: Keys =
    Fixed(&[TIMEOUT, ATTEMPTS, BACKOFF_BASE, BACKOFF_MAX, JITTER, BUCKET, BREAKER]);

/// That of all calls of a workload.
pub(super) const OF_WORKLOAD: Key =
    key("client", Table(CALL_CLIENT), None, "what its app does with its calls; waits, sends once");
/// That of one call.
pub(super) const OF_CALL: Key =
    key("client", Table(CALL_CLIENT), None, "what the app does with this call; the workload's");

const BUCKET_KEYS: Keys = Fixed(&[
    key("size", Number, Required, "tokens at most, and at first"),
    key("deposit", Number, Is("0.1"), "tokens that each request brings"),
    key("cost", Number, Is("1"), "tokens of a send after the first"),
]);

const BREAKER_KEYS: Keys = Fixed(&[
    key("share", Share, Required, "failed sends for each request above which it is open"),
    key("window", Duration, None, "counts begin anew after this; never if not given"),
]);
