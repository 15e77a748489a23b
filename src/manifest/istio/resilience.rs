//! What a rule does against failures, and makes of them: retries, injected faults, mirrors.
//!
//! A fault without a percentage hits nobody. A mirror without one gets everything.
//! Source: Istio API `networking/v1/virtual_service.proto`; istio/istio
//! `pkg/config/validation/validation.go` (`validateHTTPRetry`, `validateHTTPFaultInjection`).
//! Left out: `exponentialDelay` and `http2Error` (Istio ignores them).

use crate::manifest::istio::action::Destination;
use crate::manifest::istio::check;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// How a request is tried again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Retries {
    /// Where it stands.
    pub at: At,
    /// How often at most; 0: never.
    pub attempts: u32,
    /// How long one try may take; none: the route's timeout.
    pub per_try_ns: Option<u64>,
    /// After which failures; none: the default list.
    pub retry_on: Option<Vec<String>>,
    /// Whether tries may go to other localities.
    pub remote_localities: Option<bool>,
    /// Whether hosts tried before are avoided; true unless set.
    pub previous_hosts: Option<bool>,
    /// The base of the waiting time; none: 25 ms.
    pub backoff_ns: Option<u64>,
}

/// Injected faults; shares in parts per million.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fault {
    /// Where it stands.
    pub at: At,
    /// How long, and how many.
    pub delay: Option<(u64, u32)>,
    /// Which HTTP status, and how many.
    pub abort: Option<(u16, u32)>,
    /// Which gRPC status (its name or number), and how many.
    pub grpc_abort: Option<(String, u32)>,
}

/// Copies of requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mirror {
    /// Where to.
    pub destination: Destination,
    /// How many, in parts per million.
    pub share_ppm: u32,
}

const RETRY_WORDS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

impl Retries {
    /// Reads `retries` (and the mesh's `defaultHttpRetryPolicy`).
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        let attempts =
            reader.int("attempts", i64::from(i32::MIN)..=i64::from(i32::MAX)).unwrap_or(0);
        if attempts < 0 {
            let what = "attempts cannot be negative";
            reader.problem(reader.at_field("attempts"), what, "0 switches retries off");
        }
        let retry_on = reader.word("retryOn").filter(|word| !word.text.is_empty());
        let retries = Self {
            at: reader.at(),
            attempts: u32::try_from(attempts).unwrap_or(0),
            per_try_ns: check::some_duration(reader, "perTryTimeout"),
            retry_on: retry_on.map(|word| retry_conditions(reader, &word)),
            remote_localities: reader.bool("retryRemoteLocalities"),
            previous_hosts: reader.bool("retryIgnorePreviousHosts"),
            backoff_ns: check::some_duration(reader, "backoff"),
        };
        let set = retries.per_try_ns.is_some() || retries.retry_on.is_some();
        if attempts == 0 && set {
            let what = "http retry policy configured when attempts are set to 0 (disabled)";
            reader.problem(reader.at_field("attempts"), what, "give the number of attempts");
        }
        retries
    }
}

fn retry_conditions(reader: &mut Reader<'_, '_>, word: &Word) -> Vec<String> {
    let mut list = Vec::new();
    for part in word.text.split(',').map(str::trim) {
        let status = part.parse::<u16>().is_ok_and(|code| (100..600).contains(&code));
        if !status && !RETRY_WORDS.contains(&part) {
            let what = format!("`{part}` is not a valid retryOn policy");
            let near = crate::manifest::object::nearest(part, &RETRY_WORDS);
            let hint = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
            reader.problem(word.at, what, &hint);
        }
        list.push(part.to_owned());
    }
    list
}

impl Fault {
    /// Reads `fault`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        let mut fault = Self { at: reader.at(), ..Self::default() };
        if !reader.has("delay") && !reader.has("abort") {
            let what = "HTTP fault injection must have an abort and/or a delay";
            reader.problem(reader.at(), what, "");
        }
        fault.delay = reader
            .map("delay", |delay| {
                delay.ignore(&["exponentialDelay"], "Istio does not act on it");
                let percent = delay.int("percent", 0..=100).map(|n| check::ppm(n as f64));
                let share = check::percentage(delay, "percentage").or(percent).unwrap_or(0);
                let time = check::some_duration(delay, "fixedDelay");
                if time.is_none() && !delay.has("fixedDelay") && !delay.has("exponentialDelay") {
                    delay.missing("fixedDelay");
                }
                time.map(|time| (time, share))
            })
            .flatten();
        let abort = reader.map("abort", |abort| {
            abort.ignore(&["http2Error"], "Istio does not act on it");
            let share = check::percentage(abort, "percentage").unwrap_or(0);
            let status = abort.int("httpStatus", 200..=599).and_then(|n| u16::try_from(n).ok());
            let grpc = abort.text("grpcStatus");
            check::not_both(abort, "httpStatus", "grpcStatus");
            (status.map(|status| (status, share)), grpc.map(|grpc| (grpc, share)))
        });
        (fault.abort, fault.grpc_abort) = abort.unwrap_or_default();
        fault
    }
}

/// Reads `mirror`, `mirrorPercent`, `mirrorPercentage` and `mirrors`.
pub fn mirrors(reader: &mut Reader<'_, '_>) -> Vec<Mirror> {
    check::not_both(reader, "mirror", "mirrors");
    let old_name = if reader.has("mirrorPercent") { "mirrorPercent" } else { "mirror_percent" };
    let old = reader.int(old_name, 0..=100).map(|n| check::ppm(n as f64));
    let share = check::percentage(reader, "mirrorPercentage").or(old).unwrap_or(1_000_000);
    let single = reader.map("mirror", Destination::read).flatten();
    let mut list: Vec<Mirror> =
        single.into_iter().map(|destination| Mirror { destination, share_ppm: share }).collect();
    list.extend(
        reader
            .list("mirrors", |mirror| {
                let share_ppm = check::percentage(mirror, "percentage").unwrap_or(1_000_000);
                let destination = mirror.map("destination", Destination::read);
                if destination.is_none() {
                    mirror.missing("destination");
                }
                destination.flatten().map(|destination| Mirror { destination, share_ppm })
            })
            .into_iter()
            .flatten(),
    );
    list.retain(|mirror| mirror.share_ppm > 0);
    list
}
