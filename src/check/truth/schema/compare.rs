//! How a simulation is compared: for each fact a rule, and tolerances.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: `ignore`, which names what nobody compares.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The rule of a fact that counts keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountRule {
    /// The counts are equal in every run.
    Exact,
    /// The shares differ by no more than the tolerance.
    Share,
    /// The keys are those that were seen.
    Set,
}

/// The rule of the sum of upstream hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HitsRule {
    /// Equal in every run.
    Exact,
    /// Within a share of the observed mean.
    Relative,
}

/// Within a tolerance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absolute {
    /// `absolute`.
    Absolute,
}

/// The only word of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exact {
    /// `exact`.
    Exact,
}

/// The only word of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// `set`.
    Set,
}

/// The only word of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// `distribution`.
    Distribution,
}

/// The only word of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    /// `each`.
    Each,
}

/// What is compared, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The key `variants`.
    pub variants: Option<Each>,
    /// The key `accepted`.
    pub accepted: Option<Exact>,
    /// The key `outcomes`.
    pub outcomes: Option<CountRule>,
    /// The key `attempts`.
    pub attempts: Option<CountRule>,
    /// The key `hosts`.
    pub hosts: Option<CountRule>,
    /// The key `host_share`.
    pub host_share: Option<CountRule>,
    /// The key `clusters`.
    pub clusters: Option<CountRule>,
    /// The key `upstream_hits_total`.
    pub upstream_hits_total: Option<HitsRule>,
    /// The key `stats`.
    pub stats: Option<Absolute>,
    /// The key `hops`.
    #[serde(default)]
    pub hops: BTreeMap<String, HopRule>,
    /// The key `burst`.
    pub burst: Option<CountRule>,
    /// The key `transport_failure`.
    pub transport_failure: Option<Set>,
    /// The key `server_transport_failure`.
    pub server_transport_failure: Option<Set>,
    /// The key `metrics`.
    pub metrics: Option<Absolute>,
    /// The key `gap_ms_between_attempts`.
    pub gap_ms_between_attempts: Option<Distribution>,
    /// The key `times_s`.
    pub times_s: Option<Times>,
    /// The key `timeline_share`.
    pub timeline_share: Option<Absolute>,
    /// The key `durations_each_ms`.
    pub durations_each_ms: Option<Absolute>,
    /// The key `duration_ms_mean`.
    pub duration_ms_mean: Option<Absolute>,
    /// The key `tolerance`.
    #[serde(default)]
    pub tolerance: Tolerance,
    #[serde(rename = "ignore")]
    _ignore: IgnoredAny,
}

/// The rule of one proxy of a chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HopRule {
    /// The key `outcomes`.
    pub outcomes: CountRule,
    /// The key `share_tolerance`.
    pub share_tolerance: Option<f64>,
    /// Of the observed mean.
    pub requests_relative: f64,
}

/// Times, in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// The key `tolerance`.
    pub tolerance: TimesTolerance,
}

/// See [`Times`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimesTolerance {
    /// The key `timelines`.
    pub timelines: Option<f64>,
    /// The key `first_ejected_at`.
    pub first_ejected_at: Option<f64>,
    /// The key `ejection_duration`.
    pub ejection_duration: Option<f64>,
}

/// How far a simulation may be off, by fact.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// The key `outcomes`.
    pub outcomes: Option<f64>,
    /// The key `attempts`.
    pub attempts: Option<f64>,
    /// The key `hosts`.
    pub hosts: Option<f64>,
    /// The key `host_share`.
    pub host_share: Option<f64>,
    /// The key `clusters`.
    pub clusters: Option<f64>,
    /// The key `upstream_hits_total`.
    pub upstream_hits_total: Option<f64>,
    /// The key `stats`.
    #[serde(default)]
    pub stats: BTreeMap<String, f64>,
    /// The key `metrics`.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// The key `gap_ms_between_attempts`.
    pub gap_ms_between_attempts: Option<GapTolerance>,
    /// The key `burst`.
    pub burst: Option<f64>,
    /// The key `timeline_share`.
    pub timeline_share: Option<f64>,
    /// The key `durations_each_ms`.
    pub durations_each_ms: Option<f64>,
    /// The key `duration_ms_mean`.
    pub duration_ms_mean: Option<f64>,
}

/// The rule of the back-off between attempts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapTolerance {
    /// Of the observed mean.
    pub mean_relative: f64,
    /// Above the observed maximum.
    pub max_ms: f64,
}

impl Compare {
    /// Whether every rule that needs a tolerance has one, and variants are meant where there are
    /// some.
    pub(super) fn check(&self, has_variants: bool) -> Result<(), String> {
        let tolerance = &self.tolerance;
        let shares = [
            ("outcomes", self.outcomes, tolerance.outcomes),
            ("attempts", self.attempts, tolerance.attempts),
            ("hosts", self.hosts, tolerance.hosts),
            ("host_share", self.host_share, tolerance.host_share),
            ("clusters", self.clusters, tolerance.clusters),
            ("burst", self.burst, tolerance.burst),
        ];
        let shares = shares
            .map(|(name, rule, given)| (name, rule == Some(CountRule::Share) && given.is_none()));
        let others = [
            (
                "upstream_hits_total",
                self.upstream_hits_total == Some(HitsRule::Relative)
                    && tolerance.upstream_hits_total.is_none(),
            ),
            ("stats", self.stats.is_some() && tolerance.stats.is_empty()),
            ("metrics", self.metrics.is_some() && tolerance.metrics.is_empty()),
            (
                "gap_ms_between_attempts",
                self.gap_ms_between_attempts.is_some()
                    && tolerance.gap_ms_between_attempts.is_none(),
            ),
            ("timeline_share", self.timeline_share.is_some() && tolerance.timeline_share.is_none()),
            (
                "durations_each_ms",
                self.durations_each_ms.is_some() && tolerance.durations_each_ms.is_none(),
            ),
            (
                "duration_ms_mean",
                self.duration_ms_mean.is_some() && tolerance.duration_ms_mean.is_none(),
            ),
        ];
        if let Some((name, _)) = shares.into_iter().chain(others).find(|(_, lacks)| *lacks) {
            return Err(format!("compare: {name} has no tolerance"));
        }
        for (proxy, rule) in &self.hops {
            if rule.outcomes == CountRule::Share && rule.share_tolerance.is_none() {
                return Err(format!("compare: hops: {proxy} has no share_tolerance"));
            }
        }
        if has_variants != self.variants.is_some() {
            return Err("compare: variants, where the config has none or some".to_owned());
        }
        Ok(())
    }
}
