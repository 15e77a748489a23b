//! Active health checks: of a service's clusters, and what an app says to them.
//!
//! What Envoy refuses is refused here: an interval or a timeout of nothing.
//!
//! Source: Envoy's `health_check.proto` and its validation rules.
//! Left out: as in `plan::health_check`.

use super::super::document::{Node, Value};
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::health_check::{CheckReply, HealthCheck};

impl Lower<'_, '_, '_> {
    /// How proxies check the endpoints of a service; none if they do not.
    pub(super) fn health_check(&mut self, service: &Node) -> Option<Box<HealthCheck>> {
        let asked = service.get("health_checks")?;
        if matches!(asked.value, Value::Bool(false)) {
            return None;
        }
        for key in ["timeout", "interval", "no_traffic_interval"] {
            if asked.duration(key).is_some_and(Duration::is_zero) {
                let at = asked.get(key).map_or(asked.at, |node| node.at);
                self.report(at, format!("`{key}` is zero"), "Envoy refuses it, too");
            }
        }
        let within = |key: &str, usual: Duration| asked.duration(key).unwrap_or(usual);
        Some(Box::new(HealthCheck {
            timeout: within("timeout", Duration::from_s(1)),
            interval: within("interval", Duration::from_s(3)),
            interval_jitter: within("interval_jitter", Duration::ZERO),
            initial_jitter: within("initial_jitter", Duration::ZERO),
            no_traffic_interval: within("no_traffic_interval", Duration::from_s(60)),
            unhealthy_threshold: asked.count("unhealthy_threshold").unwrap_or(3),
            healthy_threshold: asked.count("healthy_threshold").unwrap_or(1),
            retriable_statuses: self.status_ranges(asked),
        }))
    }

    fn status_ranges(&mut self, asked: &Node) -> Vec<(u16, u16)> {
        let mut ranges = Vec::new();
        for node in asked.list("retriable_statuses") {
            let Some(text) = node.as_text() else { continue };
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) if 100 <= first && first <= last && last < 600 => {
                    ranges.push((first, last));
                }
                _ => {
                    let what = format!("`{text}` is no status and no range of them");
                    self.report(node.at, what, "such as \"503\" or \"500-599\"");
                }
            }
        }
        ranges
    }
}

/// What health checks of an app get, by its `behaviour`; none for what other requests get.
pub(super) fn check_reply(behaviour: &Node) -> Option<CheckReply> {
    let status = behaviour.count("check_status").and_then(|status| u16::try_from(status).ok());
    let reply = CheckReply { status, delay: behaviour.duration("check_delay") };
    (reply != CheckReply::default()).then_some(reply)
}
