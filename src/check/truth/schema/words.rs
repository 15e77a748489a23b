//! The closed words of the files: each key that takes one of a few words.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: nothing.

use serde::Deserialize;

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($word:ident = $text:literal),+ $(,)? })+) => { $(
        $(#[$meta])*
        #[doc = concat!("The words of a key: `", stringify!($name), "`.")]
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
        pub enum $name { $(
            #[doc = concat!("`", $text, "`.")]
            #[serde(rename = $text)] $word
        ),+ }

        impl $name {
            /// As the files spell it.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$word => $text),+ }
            }
        }
    )+ };
}

words! {
    Defaults { Envoy140 = "envoy-1.40" }
    Http { Http1 = "http1", Http2 = "http2" }
    Lb {
        RoundRobin = "ROUND_ROBIN", LeastRequest = "LEAST_REQUEST", Random = "RANDOM",
        RingHash = "RING_HASH", Maglev = "MAGLEV",
    }
    Discovery { Eds = "eds", EdsRest = "eds_rest" }
    HealthWord { Healthy = "HEALTHY", Unhealthy = "UNHEALTHY", Draining = "DRAINING" }
    HostKind {
        Respond = "respond", RespondAndClose = "respond_and_close", SlowBody = "slow_body",
        HeadersThenReset = "headers_then_reset", ResetBeforeHeaders = "reset_before_headers",
        FinBeforeHeaders = "fin_before_headers", Hang = "hang", Refuse = "refuse",
        Blackhole = "blackhole",
    }
    LoadKind {
        OpenLoop = "open_loop", ClosedLoop = "closed_loop", Burst = "burst",
        Sequential = "sequential",
    }
    Phase {
        Warmup = "warmup", Before = "before", Again = "again", After = "after", Burst = "burst",
    }
    FilterKind {
        Fault = "fault", LocalRateLimit = "local_rate_limit", Rbac = "rbac",
        ExtAuthz = "ext_authz",
    }
    Method { Post = "POST" }
    Malformed { MissingHost = "missing_host" }
    Dynamic { Cds = "cds", Lds = "lds", Rds = "rds" }
    TlsVersion { Tls12 = "1.2", Tls13 = "1.3" }
    KeyKind { EcP256 = "ec_p256", Rsa2048 = "rsa_2048" }
    CertificateKind { Ca = "ca", Leaf = "leaf" }
    RbacAction { Allow = "ALLOW", Deny = "DENY" }
    RetryWord {
        FiveXx = "5xx", GatewayError = "gateway-error", Reset = "reset",
        ResetBeforeRequest = "reset-before-request", ConnectFailure = "connect-failure",
        Retriable4xx = "retriable-4xx", RefusedStream = "refused-stream",
        Unavailable = "unavailable", Cancelled = "cancelled",
        RetriableStatusCodes = "retriable-status-codes",
    }
    AnyWord { Any = "any" }
    Predicate { PreviousHosts = "previous_hosts" }
}
