//! How a run was sampled, as `summary.json` and people are told; and its estimates with their
//! intervals.
//!
//! Source: docs/results.md: an estimate is [value, low, high] of 95 %.
//! Left out: intervals of hops and services.

use crate::observe::estimate::{Estimate, Estimates};
use crate::observe::run::{Run, SamplingNote};
use crate::plan::sampling::Sampling as Policy;
use crate::report::number::{count, length, percent, round6};
use crate::report::words::{harmless, plural};
use serde::Serialize;

/// `sampling`: zero windows for a run that is not sampled.
#[derive(Serialize)]
pub(super) struct Sampling<'a> {
    windows: u64,
    simulated_s: f64,
    #[serde(flatten)]
    more: Option<More<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct More<'a> {
    windows_extended: u64,
    recorded_s: f64,
    every_s: f64,
    window_s: f64,
    lead_in_s: f64,
    around_events_s: f64,
    full_below_rps: f64,
    never_sampled: &'a [String],
}

/// `estimates`.
#[derive(Serialize)]
pub(super) struct Intervals {
    requests: [f64; 3],
    success_rate: [f64; 3],
    latency_mean_ms: [f64; 3],
    latency_p50_ms: [f64; 3],
    latency_p90_ms: [f64; 3],
    latency_p99_ms: [f64; 3],
    latency_p999_ms: [f64; 3],
}

impl<'a> From<&'a Run> for Sampling<'a> {
    fn from(run: &'a Run) -> Self {
        let Some(sampled) = &run.sampled else {
            return Self { windows: 0, simulated_s: 0.0, more: None, note: note(run) };
        };
        let policy = &sampled.policy;
        Self {
            windows: sampled.windows,
            simulated_s: sampled.simulated.as_s(),
            more: Some(More {
                windows_extended: sampled.windows_extended,
                recorded_s: sampled.recorded.as_s(),
                every_s: policy.every.as_s(),
                window_s: policy.window.as_s(),
                lead_in_s: policy.lead_in.as_s(),
                around_events_s: policy.around_events.as_s(),
                full_below_rps: policy.full_below_per_s,
                never_sampled: &sampled.in_full,
            }),
            note: note(run),
        }
    }
}

impl From<&Estimates> for Intervals {
    fn from(estimates: &Estimates) -> Self {
        let plain = |one: Estimate| [one.value, one.low, one.high].map(round6);
        let ms = |one: Estimate| [one.value, one.low, one.high].map(|ns| round6(ns / 1e6));
        let [p50, p90, p99, p999] = estimates.latency_ns.map(ms);
        Self {
            requests: plain(estimates.requests),
            success_rate: plain(estimates.success_rate),
            latency_mean_ms: ms(estimates.latency_mean_ns),
            latency_p50_ms: p50,
            latency_p90_ms: p90,
            latency_p99_ms: p99,
            latency_p999_ms: p999,
        }
    }
}

/// A count that is estimated, with four figures: 12,890,000.
pub(super) fn about(value: f64) -> String {
    let mut unit = 1.0;
    while 10_000.0 * unit <= value {
        unit *= 10.0;
    }
    let rounded = (value / unit).round() * unit;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let whole = rounded as u64;
    count(whole)
}

/// A count of something that is estimated: about 1 request, about 3,210 failures.
pub(super) fn about_plural(value: f64, one: &str) -> String {
    let number = about(value);
    let end = if number == "1" { "" } else { "s" };
    format!("about {number} {one}{end}")
}

/// What whoever asked for samples should know, in one sentence.
pub(super) fn note(run: &Run) -> Option<String> {
    Some(match run.note? {
        SamplingNote::AllInFull(per_s) => format!(
            "Nothing was sampled: all traffic is below full_below = {per_s} requests per second of a \
             proxy to a service. Every request was simulated, and all numbers are exact."
        ),
        SamplingNote::FewInWindows { requests, windows } => format!(
            "Windows are too short: {} in {} are too few for useful intervals.",
            plural(requests, "request"),
            plural(windows, "window"),
        ),
    })
}

/// That and how a run was sampled, in one sentence; nothing if it was not.
pub(super) fn sentence(run: &Run) -> Option<String> {
    let sampled = run.sampled.as_ref()?;
    let of = run.duration.saturating_sub(run.warmup).as_s();
    let share = percent(sampled.recorded.as_s() / of.max(f64::MIN_POSITIVE));
    let extended = match sampled.windows_extended {
        0 => String::new(),
        more => format!(", {} of them longer than planned", count(more)),
    };
    let in_full = match sampled.in_full.len() {
        0 => String::new(),
        1..=3 => format!("; never sampled: {}", harmless(&sampled.in_full.join(", "))),
        more => format!("; {} kinds of rare traffic are never sampled", count(more as u64)),
    };
    let means = if sampled.estimates.is_some() {
        "Numbers of requests and latencies are estimates, in brackets their intervals of 95 %."
    } else {
        "There are no estimates: numbers are those of the recorded requests."
    };
    Some(format!(
        "Sampled: {} in {}{extended}, {share} of the time{in_full}. {means}",
        plural(run.requests.total, "request"),
        plural(sampled.windows, "window"),
    ))
}

/// That and how a run was sampled, in a few words; nothing if it was not.
pub fn how(run: &Run) -> Option<String> {
    let sampled = run.sampled.as_ref()?;
    let Policy { window, every, .. } = sampled.policy;
    Some(format!("sampled in {} windows of {window} every {every}", sampled.windows))
}

/// The same as a comment line of the histogram files, which hold raw counts; empty if it was not.
pub fn comment(run: &Run) -> String {
    let Some(sampled) = &run.sampled else { return String::new() };
    let policy = &sampled.policy;
    format!(
        "#[Sampled = {} windows of {} every {}: counts of recorded requests, not weighted]\n",
        sampled.windows, policy.window, policy.every
    )
}

/// A share with its interval: 63.4 % [63.1, 63.7].
pub(super) fn share(estimate: Estimate) -> String {
    let bare = |share: f64| percent(share).trim_end_matches(" %").to_owned();
    format!("{} [{}, {}]", percent(estimate.value), bare(estimate.low), bare(estimate.high))
}

/// A latency with its interval: 89.9 ms [89.1, 90.8].
pub(super) fn latency(estimate: Estimate) -> String {
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(length_of_ns);
    format!("{value} [{low}, {high}]")
}

/// A latency in words.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency")]
pub(super) fn length_of_ns(ns: f64) -> String {
    length(ns.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::about_plural;

    #[test]
    fn about_one_is_not_many() {
        let failures = |value| about_plural(value, "failure");
        assert_eq!(
            [0.4, 0.6, 1.4].map(failures),
            ["about 0 failures", "about 1 failure", "about 1 failure"]
        );
        assert_eq!(failures(3_210.4), "about 3,210 failures");
    }
}
