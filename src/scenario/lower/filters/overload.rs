//! Overload of a proxy: how many requests are too many, and what is refused then.
//!
//! Source: Envoy's `overload.proto` (1 s between two looks; a scaled trigger whose thresholds are in order).
//! Left out: what `model::proxy::filter::overload` leaves out.

use super::super::super::document::Node;
use super::super::Lower;
use crate::kernel::time::Duration;
use crate::plan::filter::{Filter, Overload, Trigger};

/// Envoy's default interval between two looks.
const REFRESH_INTERVAL: Duration = Duration::from_s(1);

impl Lower<'_, '_, '_> {
    pub(super) fn overload(&mut self, node: &Node) -> Option<Filter> {
        let trigger = self.trigger(node)?;
        let refresh_interval = node.duration("refresh_interval").unwrap_or(REFRESH_INTERVAL);
        if refresh_interval.is_zero() {
            let at = node.get("refresh_interval").map_or(node.at, |node| node.at);
            self.report(at, "there is no time between two looks", "such as \"1s\"");
            return None;
        }
        let max_active = node.count("max_active_requests")?;
        Some(Filter::Overload(Overload { max_active, refresh_interval, trigger }))
    }

    fn trigger(&mut self, node: &Node) -> Option<Trigger> {
        let given = |key| node.get(key).is_some();
        let share = |key| node.share(key);
        let scaled = [given("scaling_threshold"), given("saturation_threshold")];
        let hint = "threshold = \"95%\", or scaling_threshold and saturation_threshold";
        match (given("threshold"), scaled) {
            (true, [false, false]) => share("threshold").map(Trigger::Threshold),
            (false, [true, true]) => {
                let (from, to) = (share("scaling_threshold")?, share("saturation_threshold")?);
                if to <= from {
                    let at = node.get("saturation_threshold").map_or(node.at, |node| node.at);
                    let what = "the share of requests would grow from there to no more";
                    self.report(at, what, "above `scaling_threshold`; Envoy refuses it, too");
                    return None;
                }
                Some(Trigger::Scaled { from, to })
            }
            (false, [false, false]) => {
                self.report(node.at, "nothing says what is too much", hint);
                None
            }
            _ => {
                self.report(node.at, "one trigger: a threshold, or two for what is scaled", hint);
                None
            }
        }
    }
}
