//! Admission control: when a proxy refuses requests because too many of them fail.
//!
//! Source: Envoy's proto of the filter, its defaults and what it refuses: a threshold below 1 %, and ranges
//! of statuses outside 100 to 600; windows are cut to whole seconds.
//! Left out: runtime keys; `enabled`.

use super::super::super::document::Node;
use super::super::Lower;
use crate::kernel::time::Duration;
use crate::plan::filter::{AdmissionControl, Filter};

impl Lower<'_, '_, '_> {
    pub(super) fn admission_control(&mut self, node: &Node) -> Option<Filter> {
        let default = AdmissionControl::default();
        let window = node.duration("sampling_window").unwrap_or(default.window);
        let second = Duration::from_s(1);
        if window < second || !window.ns().is_multiple_of(second.ns()) {
            let at = node.get("sampling_window").map_or(node.at, |node| node.at);
            let what = format!("a window of {window} is not one of whole seconds");
            self.report(at, what, "Envoy counts by the second: such as \"30s\"");
            return None;
        }
        let threshold = node.share("sr_threshold").unwrap_or(default.success_threshold);
        if threshold < 0.01 {
            let at = node.get("sr_threshold").map_or(node.at, |node| node.at);
            self.report(at, "a success rate of less than 1 %", "Envoy refuses it, too");
            return None;
        }
        Some(Filter::AdmissionControl(AdmissionControl {
            window,
            aggression: node.get("aggression").and_then(Node::number).unwrap_or(default.aggression),
            success_threshold: threshold,
            rps_threshold: node.count("rps_threshold").map_or(default.rps_threshold, u64::from),
            max_rejection: node.share("max_rejection_probability").unwrap_or(default.max_rejection),
            http_success: self.http_success(node, default.http_success)?,
            grpc_success: self.grpc_success(node, default.grpc_success)?,
        }))
    }

    /// Ranges of statuses that are successes; none if they are wrong.
    fn http_success(&mut self, node: &Node, default: Vec<(u16, u16)>) -> Option<Vec<(u16, u16)>> {
        if node.get("http_success").is_none() {
            return Some(default);
        }
        let mut ranges = Vec::new();
        for table in node.list("http_success").iter().filter(|table| table.is_table()) {
            let status = |key: &str| u16::try_from(table.count(key)?).ok();
            let (start, end) = (status("start")?, status("end")?);
            if end <= start {
                let what = format!("no status is at least {start} and below {end}");
                self.report(table.at, what, "`end` is the first that is no success");
                return None;
            }
            ranges.push((start, end));
        }
        Some(ranges)
    }

    /// The same of gRPC statuses, which are numbers.
    fn grpc_success(&mut self, node: &Node, default: Vec<u8>) -> Option<Vec<u8>> {
        let Some(list) = node.get("grpc_success") else { return Some(default) };
        let mut statuses = Vec::new();
        for item in list.items() {
            let status = item.as_text().and_then(|text| text.parse().ok());
            let Some(status) = status.filter(|status| *status <= 16) else {
                self.report(item.at, "this is no status of gRPC", "numbers from \"0\" to \"16\"");
                return None;
            };
            statuses.push(status);
        }
        Some(statuses)
    }
}
