//! What was measured: one repetition, one hop of a chain, or one burst.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: what no rule compares is read past.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;

/// Numbers by name.
pub type Counts = BTreeMap<String, f64>;

/// Everything that was seen in one repetition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The variant that it belongs to.
    pub variant: Option<String>,
    /// Whether the proxy started with the configuration.
    pub accepted: Option<bool>,
    /// Of a hop: its proxy.
    pub proxy: Option<String>,
    /// The key `requests`.
    pub requests: Option<f64>,
    /// The key `outcomes`.
    pub outcomes: Option<Vec<OutcomeRow>>,
    /// The key `attempts_histogram`.
    pub attempts_histogram: Option<Counts>,
    /// The key `final_host`.
    pub final_host: Option<Counts>,
    /// The key `host_share`.
    pub host_share: Option<Counts>,
    /// The key `clusters`.
    pub clusters: Option<Counts>,
    /// The key `upstream_hits`.
    pub upstream_hits: Option<Counts>,
    /// The key `duration_ms`.
    pub duration_ms: Option<Summary>,
    /// The key `gap_ms_between_attempts`.
    pub gap_ms_between_attempts: Option<BTreeMap<String, Summary>>,
    /// The key `transport_failure`.
    pub transport_failure: Option<Vec<Failure>>,
    /// The key `server_transport_failure`.
    pub server_transport_failure: Option<Vec<Failure>>,
    /// The key `stats`.
    pub stats: Option<Counts>,
    /// The key `timelines`.
    #[serde(default)]
    pub timelines: Vec<Timeline>,
    /// The key `events`.
    #[serde(default)]
    pub events: Vec<EjectionEvent>,
    /// The key `ejections`.
    #[serde(default)]
    pub ejections: Vec<Ejection>,
    /// The key `metrics`.
    #[serde(default)]
    pub metrics: BTreeMap<String, Value>,
    /// The key `hops`.
    #[serde(default)]
    pub hops: Vec<Observed>,
    /// The key `burst`.
    pub burst: Option<Box<Observed>>,
    #[serde(rename = "error_text")]
    _error_text: Option<IgnoredAny>,
    #[serde(rename = "client_status")]
    _client_status: Option<IgnoredAny>,
    #[serde(rename = "client_elapsed_ms")]
    _client_elapsed_ms: Option<IgnoredAny>,
    #[serde(rename = "server_stats")]
    _server_stats: Option<IgnoredAny>,
    #[serde(rename = "update_stats")]
    _update_stats: Option<IgnoredAny>,
    #[serde(rename = "stats_at")]
    _stats_at: Option<IgnoredAny>,
    #[serde(rename = "steps_done")]
    _steps_done: Option<IgnoredAny>,
    #[serde(rename = "first_hosts")]
    _first_hosts: Option<IgnoredAny>,
}

/// Requests that ended in one way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeRow {
    /// The key `status`.
    pub status: u16,
    /// The key `flags`.
    pub flags: String,
    /// The key `details`.
    pub details: Option<String>,
    /// The key `count`.
    pub count: f64,
    #[serde(rename = "details_raw")]
    _details_raw: Option<IgnoredAny>,
}

/// Numbers in a few numbers, in ms.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// The key `n`.
    #[serde(default)]
    pub n: f64,
    /// The key `mean`.
    #[serde(default)]
    pub mean: f64,
    /// The key `max`.
    #[serde(default)]
    pub max: f64,
}

/// Failures of a connection for one reason.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The key `reason`.
    pub reason: String,
    /// The key `count`.
    pub count: f64,
    #[serde(rename = "text")]
    _text: Option<IgnoredAny>,
}

/// Counts over time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// The key `what`.
    pub what: TimelineWhat,
    /// The key `step_s`.
    pub step_s: f64,
    #[serde(rename = "key")]
    _key: IgnoredAny,
    /// The key `rows`.
    pub rows: Vec<Row>,
}

/// What a timeline counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineWhat {
    /// Outcomes.
    Outcomes,
    /// Hosts.
    Hosts,
    /// Clusters.
    Clusters,
    /// Hosts and outcomes.
    HostsAndOutcomes,
    /// Gauges.
    Gauges,
    /// Share of new host.
    ShareOfNewHost,
}

/// One stretch of time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The key `t_s`.
    pub t_s: f64,
    /// The key `values`.
    pub values: Counts,
}

/// A line of the outlier detection's log.
#[derive(Clone, Debug, Deserialize)]
pub struct EjectionEvent {
    /// The key `t_s`.
    pub t_s: f64,
    /// The key `action`.
    pub action: EjectionAction,
    /// The key `host`.
    pub host: String,
    /// The key `enforced`.
    #[serde(default)]
    pub enforced: bool,
}

/// See [`EjectionEvent`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EjectionAction {
    /// Eject.
    Eject,
    /// Uneject.
    Uneject,
}

/// A completed ejection.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// The key `host`.
    pub host: String,
    /// The key `ejected_at_s`.
    pub ejected_at_s: f64,
    /// The key `duration_s`.
    pub duration_s: f64,
}

/// The named numbers of all families.
pub(in super::super) const METRICS: &[&str] = &[
    "dispersion_vs_binomial",
    "retry_landed_on_same_host_as_previous_attempt",
    "upstream_aborted_by_envoy",
    "max_concurrent_at_endpoint",
    "requests_to_host_before_first_ejection",
    "max_ejected_at_once",
    "same_host_as_previous",
    "fraction_to_P1",
    "requests_to_unhealthy_P0_hosts",
    "to_unhealthy_hosts",
    "panic",
    "keys",
    "keys_of_surviving_hosts_that_moved",
    "of",
    "stability_of_a_key",
    "share_4_hosts",
    "share_3_hosts",
    "first_failure_s",
    "ok_after_first_failure",
    "last_request_started_at_s",
    "leaf_completed_answers",
    "leaf_wasted_answers",
    "leaf_hits",
    "amplification",
    "failed_at_s",
    "last_request_to_b_after_failure_s",
    "restored_at_s",
    "first_request_to_b_after_restore_s",
    "mirrored",
    "fraction_whose_first_attempt_hit_bad_host",
    "attempts_to_bad_host",
    "fail_fraction",
    "failed_by_when_they_started",
    "duration_ms_of_each_ok",
    "cpu_ms_per_request_client_proxy",
    "cpu_ms_per_request_server_proxy",
    "conn_termination_details",
];

impl Observed {
    /// Whether its names are of the closed list and its outcomes add up.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(name) = self.metrics.keys().find(|name| !METRICS.contains(&name.as_str())) {
            return Err(format!("metrics: unknown key {name}"));
        }
        if let (Some(outcomes), Some(requests)) = (&self.outcomes, self.requests) {
            let sum: f64 = outcomes.iter().map(|row| row.count).sum();
            if !outcomes.is_empty() && 0.5 <= (sum - requests).abs() {
                return Err("outcomes do not add up to requests".to_owned());
            }
        }
        self.hops.iter().chain(self.burst.as_deref()).try_for_each(Self::check)
    }
}
