//! Assertions: what must hold, over which window, measured how.
//!
//! Source: the grammar is that of `docs/scenarios.md`: `METRIC COMPARISON VALUE`.
//! Left out: arithmetic between metrics.

use crate::kernel::time::{Duration, Time};
use crate::vocabulary::counter::Counter;
use crate::vocabulary::flag::Flags;
use crate::vocabulary::metric::Gauge;
use std::fmt;

/// Something that must hold.
#[derive(Clone, PartialEq, Debug)]
pub struct Assertion {
    /// A sentence.
    pub name: String,
    /// When.
    pub window: Window,
    /// For which requests; empty means root requests of all traffic.
    pub filter: Filter,
    /// What.
    pub expect: Expectation,
    /// The expectation as the file says it.
    pub text: String,
    /// Hold in each window of this length.
    pub every: Option<Duration>,
    /// Whether no samples are fine.
    pub pass_without_data: bool,
    /// Hold in this share of so many runs.
    pub seeds: Option<(u32, f64)>,
}

/// A stretch of time, possibly known only while running.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// What it hangs on.
    pub base: WindowBase,
    /// Not before this instant of the run.
    pub from: Option<Time>,
    /// Not after this instant of the run.
    pub to: Option<Time>,
}

/// What a window hangs on. Events are indices into `Plan::timeline`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowBase {
    /// The run after warm-up.
    Run,
    /// While the event lasts (all of its occurrences).
    During(u32),
    /// Until the event first begins.
    Before(u32),
    /// After the event's last end (its beginning, if it has no end).
    After(u32),
}

/// Which requests. Names are names, not ids: what matches nothing is found when the plan is made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// The calling service, or the traffic's id for root requests from outside.
    pub source: Option<String>,
    /// The called service.
    pub destination: Option<String>,
    /// The version of the endpoint that answered last.
    pub version: Option<String>,
    /// The traffic's id: root requests of that source only.
    pub traffic: Option<String>,
    /// The final status.
    pub status: Option<u16>,
    /// Flags, all of which are set.
    pub flags: Option<Flags>,
}

impl Filter {
    /// Whether it speaks of hops (calls between services) rather than of root requests.
    pub fn is_hop(&self) -> bool {
        self.source.is_some() || self.destination.is_some() || self.version.is_some()
    }
}

/// A number to compare with a threshold.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    /// What is measured.
    pub metric: Metric,
    /// How it compares.
    pub comparison: Comparison,
    /// In the metric's unit: shares in 0..1, times in seconds, counts.
    pub threshold: f64,
}

/// What is measured.
#[derive(Clone, PartialEq, Debug)]
pub enum Metric {
    /// Share of requests with a complete answer below 500; in conditions also `success_rate(v2)`.
    SuccessRate(Filter),
    /// 1 − success rate.
    ErrorRate(Filter),
    /// A quantile of latency, in seconds; 0 to 1.
    Quantile(f64),
    /// Mean latency in seconds.
    MeanLatency,
    /// Greatest latency in seconds.
    MaxLatency,
    /// Requests that the narrower filter matches.
    Count(Filter),
    /// The share of requests that the narrower filter matches.
    Share(Filter),
    /// Requests per second.
    Rate,
    /// Attempts per request.
    RetryRatio,
    /// A counter of Linkerd's proxies, over the whole run.
    Counter(Counter),
    /// An aggregate of a gauge over the window.
    Gauge(Aggregate, Gauge),
    /// Time in seconds from the window's begin until the expectation holds for good.
    RecoveryTime(Box<Expectation>),
}

impl Metric {
    /// The gauge that is read for it, of itself or of its recovery.
    pub fn gauge(&self) -> Option<Gauge> {
        match self {
            Self::Gauge(_, gauge) => Some(*gauge),
            Self::RecoveryTime(inner) => inner.metric.gauge(),
            _ => None,
        }
    }
}

/// How the values of a gauge are put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aggregate {
    /// Greatest.
    Max,
    /// Least.
    Min,
    /// Mean over time.
    Mean,
    /// At the end of the window.
    Last,
}

/// How a measured number compares with a threshold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

impl Comparison {
    /// Every comparison with its spelling; two-character ones first, for parsers.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::AtMost, "<="),
        (Self::AtLeast, ">="),
        (Self::Equal, "=="),
        (Self::NotEqual, "!="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
    ];

    /// Whether `value` compares so with `threshold`.
    #[expect(clippy::float_cmp, reason = "`== 0` means exactly none")]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Less => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
            Self::AtLeast => value >= threshold,
            Self::Greater => value > threshold,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(one, _)| one == self).map_or("", |(_, text)| text))
    }
}
