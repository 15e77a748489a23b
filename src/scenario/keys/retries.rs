//! Keys of retries.
//!
//! Source: Envoy's `RetryPolicy`; as in [`super`].
//! Left out: what `model::proxy::retry` leaves out.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys;
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Bool, Count, Duration, Share, Table, Tables, Text, Word};
use super::matching::HEADER;
use super::{ANY, key, like};

macro_rules! retries {
    ($($more:expr),*) => { Fixed(&[
        like("attempts", "retry.attempts", "retries after the first attempt; 0 for none"),
        like("on", "retry.on", "conditions"),
        like("statuses", "retry.statuses", "statuses for retriable-status-codes"),
        like("per_try_timeout", "retry.per_try_timeout", "limit on each attempt; 0 for none"),
        key("per_try_idle_timeout", Duration, None, "limit on an attempt that hears nothing"),
        like("backoff_base", "retry.backoff_base", "first back-off; doubles"),
        like("backoff_max", "retry.backoff_max", "longest back-off; 10 × a base given here"),
        like("previous_hosts", "retry.previous_hosts", "whether endpoints tried are avoided"),
        like("host_attempts", "retry.host_attempts", "more picks to avoid them"),
        key(
            "previous_priorities",
            Count(0, ANY),
            Is("0"),
            "after so many tries each, other priorities than those tried; 0 for never"
        ),
        key(
            "hedge_on_per_try_timeout",
            Bool,
            Is("false"),
            "a try that times out goes on beside the next; the first good answer wins"
        ),
        key(
            "retriable_headers",
            Tables(HEADER, ""),
            None,
            "headers of answers for retriable-headers, any of them"
        ),
        key(
            "rate_limited_backoff",
            Table(RATE_LIMITED_BACKOFF),
            None,
            "how long to back off as answers ask for"
        ),
        $($more),*
    ]) };
}

pub(super) const OF_ROUTE: Keys = retries!();
pub(super) const OF_SERVICE: Keys =
    retries!(key("budget", Table(BUDGET), None, "retries as a share of active requests"));

const BUDGET: Keys = Fixed(&[
    key("share", Share, Is("20%"), "share of active and pending requests"),
    key("min_concurrency", Count(0, ANY), Is("3"), "always allowed"),
]);

const RATE_LIMITED_BACKOFF: Keys = Fixed(&[
    key("reset_headers", Tables(RESET_HEADER, "name"), Required, "looked for in this order"),
    key("max_interval", Duration, Is("5m"), "what asks for more is passed over"),
]);

const RESET_HEADER: Keys = Fixed(&[
    key("name", Text, Required, "a header of answers, such as retry-after"),
    key(
        "format",
        Word(FORMATS),
        Is("seconds"),
        "from now on, or of the clock, 0 when the run begins",
    ),
]);
const FORMATS: &[&str] = &["seconds", "unix_timestamp"];
