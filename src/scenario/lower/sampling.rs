//! Sampling: whether the windows fit their periods, the run and the traffic.
//!
//! Source: `plan::sampling`.
//! Left out: whether the windows are long enough for narrow intervals; the run tells.

use super::super::document::Node;
use super::super::merge::BEGIN;
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::sampling::Sampling;
use crate::plan::traffic::Arrivals;

/// The seed that a scenario asks for.
pub(super) fn seed(scenario: &Node) -> Option<u64> {
    match scenario.get("seed")?.value {
        super::super::document::Value::Integer(seed) => u64::try_from(seed).ok(),
        _ => None,
    }
}

impl Lower<'_, '_, '_> {
    /// The sampling, if the scenario asks for it.
    pub(super) fn sampling(&mut self, warmup: Duration) -> Option<Sampling> {
        let table = self.root.get("sampling")?;
        let duration = |key: &str, default| table.duration(key).unwrap_or(default);
        let sampling = Sampling {
            every: duration("every", Duration::ZERO),
            window: duration("window", Duration::ZERO),
            lead_in: duration("lead_in", Duration::from_s(2)),
            around_events: duration("around_events", Duration::from_s(30)),
            full_below_per_s: table.rate("full_below").unwrap_or(1.0),
        };
        let is_absent = |key: &&str| table.get(key).is_none();
        let is_unread = |key: &&str| !is_absent(key) && table.duration(key).is_none();
        if ["every", "window"].iter().any(is_absent)
            || ["every", "window", "lead_in", "around_events"].iter().any(is_unread)
        {
            // Reported by the check: that they are required, or what they are.
            return None;
        }
        self.windows_fit(table, &sampling);
        self.periods_fit(table, &sampling, warmup);
        self.traffic_can_be_sampled(table);
        self.windows_see_requests(table, &sampling);
        Some(sampling)
    }

    fn windows_fit(&mut self, table: &Node, sampling: &Sampling) {
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        let Sampling { every, window, lead_in, .. } = *sampling;
        if every.is_zero() {
            return self.report(at("every"), "the period is zero", "such as \"10m\"");
        }
        if window.is_zero() {
            let hint = "a window is recorded for some time, such as \"10s\"";
            return self.report(at("window"), "the window is zero", hint);
        }
        if every <= window {
            let how = if every < window { "longer than" } else { "as long as" };
            let what = format!("the window of {window} is {how} its period of {every}");
            return self.report(at("window"), what, "leave [sampling] out to simulate everything");
        }
        let whole = window + lead_in * 2;
        if every < whole * 2 {
            let what = format!(
                "windows of {window} with {lead_in} before and after do not fit into half of \
                 a period of {every}"
            );
            let hint = "longer periods or shorter windows; without [sampling] all is simulated";
            self.report(at("every"), what, hint);
        }
    }

    fn periods_fit(&mut self, table: &Node, sampling: &Sampling, warmup: Duration) {
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        let recorded = self.duration.saturating_sub(warmup);
        if recorded.is_zero() || sampling.every.is_zero() {
            return;
        }
        if recorded < sampling.every * 2 {
            let what = format!("{recorded} are recorded: fewer than two periods");
            let hint = "an interval needs two windows at least: shorter periods, or no [sampling]";
            self.report(at("every"), what, hint);
        } else if recorded <= sampling.around_events * 2 {
            let around = sampling.around_events;
            let what = format!("with {around} around each event everything is simulated");
            self.report(at("around_events"), what, format!("{recorded} are recorded"));
        }
    }

    /// A window in which fewer than one request begins even at the highest rates shows nothing. Slower
    /// traffic than `full_below` needs none.
    fn windows_see_requests(&mut self, table: &Node, sampling: &Sampling) {
        let rates = self.traffic.iter().map(|one| one.arrivals.peak_per_s(self.duration));
        let per_s: f64 = rates.filter(|per_s| sampling.full_below_per_s <= *per_s).sum();
        let window = sampling.window;
        if window.is_zero() || per_s <= 0.0 || 1.0 <= per_s * window.as_s() {
            return;
        }
        let at = table.get("window").map_or(table.at, |node| node.at);
        let enough = Duration::from_s_f64(1.0 / per_s);
        let what = format!("a window of {window} is too short for one request");
        self.report(at, what, format!("all traffic makes one in {enough} at its highest rate"));
    }

    fn traffic_can_be_sampled(&mut self, table: &Node) {
        if self.root.list("traffic").is_empty() {
            let hint = "it says when requests are simulated: leave [sampling] out";
            return self.report(table.at, "there is no [[traffic]] to be sampled", hint);
        }
        for traffic in self.root.list("traffic") {
            let Some(id) = traffic.text("id") else { continue };
            let lowered = self.traffic.iter().find(|one| one.id == id);
            let is_alone = lowered.is_some_and(
                |one| matches!(one.arrivals, Arrivals::ClosedLoop { users, .. } if users < 2),
            );
            if is_alone {
                let at = traffic.get("arrivals").map_or(BEGIN, |node| node.at);
                let what = format!("`{id}` is one user: there is nothing to draw a sample from");
                let hint = "one user makes few requests: leave [sampling] out, or use poisson";
                self.report(at, what, hint);
            }
        }
    }
}
