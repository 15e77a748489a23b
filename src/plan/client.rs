//! What clients do by themselves, apart from any proxy, be they those of a source or apps that call: how
//! long they wait for an answer, and when they send again.
//!
//! Source: the timeouts and retries of client libraries; each field names where its rule is from.
//! Left out: hedging; clients that read `retry-after`; deadlines that are handed on.

use crate::kernel::time::Duration;
use std::collections::BTreeMap;

/// The clients of a source of traffic, or of calls.
#[derive(Clone, PartialEq, Debug)]
pub struct Client {
    /// How many there are, at least 1: each has a bucket and a breaker of its own. An open loop's
    /// request belongs to any of them; a user of a closed loop is one. Of calls each pod's app is one.
    pub count: u32,
    /// A client leaves that has no whole answer after this; zero for never.
    pub timeout: Duration,
    /// Sends after the first one, of a request that failed or took too long.
    pub attempts: u32,
    /// How long it waits before it sends again.
    pub backoff: Backoff,
    /// Tokens that sends after the first one cost; none for no such limit.
    pub bucket: Option<RetryBucket>,
    /// When nothing is sent again; none for never.
    pub breaker: Option<RetryBreaker>,
}

/// The clients that an app has for its calls. Each pod's app has a bucket and a breaker of its own, which
/// begin anew when it does.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CallClients {
    /// That of all calls without one of their own, which share its bucket and its breaker.
    pub shared: Option<Client>,
    /// By the number of a call site.
    pub own: BTreeMap<u32, Client>,
}

impl Client {
    /// Whether it waits for ever and sends once, as those do that nothing is said of.
    pub fn is_plain(&self) -> bool {
        self.timeout.is_zero() && self.attempts == 0
    }
}

/// The wait before a request is sent again.
///
/// Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, and
/// aws-samples/aws-arch-backoff-simulator.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Backoff {
    /// How chance spreads it.
    pub jitter: Jitter,
    /// The limit of the first wait; doubles. Zero: no wait.
    pub base: Duration,
    /// The limit of all waits.
    pub max: Duration,
}

/// How chance spreads back-offs of limit v = min(max, base · 2^n).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Jitter {
    /// Not at all: v.
    None,
    /// From v / 2 to v.
    Equal,
    /// From 0 to v.
    Full,
    /// From the base to three times the wait before, at most max.
    Decorrelated,
}

/// A token bucket of one client; full at first.
///
/// Source: Brooker, "What is Backoff For?" and "Fixing retries with token buckets and circuit
/// breakers", 2022, and `mbrooker/simulator_example`, `retry_sim`; the AWS SDKs' standard retry mode.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryBucket {
    /// Tokens at most.
    pub size: f64,
    /// Tokens that each request brings, whatever becomes of it.
    pub deposit: f64,
    /// Tokens that each send after the first one costs.
    pub cost: f64,
}

/// A breaker of one client: nothing is sent again while too much fails.
///
/// Source: `mbrooker/simulator_example`, `retry_sim` (without a window).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryBreaker {
    /// The failed sends for each request above which nothing is sent again, 0 to 1.
    pub share: f64,
    /// Counts begin anew after this; zero for never.
    pub window: Duration,
}
