//! Traffic: where requests start, where they go, when they come.
//!
//! Source: `plan::traffic`.
//! Left out: traffic from several versions at once.

use super::super::document::Node;
use super::super::values::arrivals;
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::traffic::{Arrivals, Traffic};
use crate::plan::universe::{Step, WorkloadId};
use std::collections::BTreeMap;

impl<'d> Lower<'_, '_, 'd> {
    /// Makes the traffic in the order of its ids.
    pub(super) fn sources(&mut self) {
        let root: &'d Node = self.root;
        let mut tables: BTreeMap<&str, &Node> = BTreeMap::new();
        for table in root.list("traffic") {
            if let Some(id) = table.text("id") {
                tables.entry(id).or_insert(table);
            }
        }
        for (id, table) in tables {
            let from = self.origin(table);
            let to = self.service(table, "to");
            let arrivals = table.get("arrivals").and_then(|n| arrivals(self.context, n).ok());
            let (Some(from), Some(to), Some(arrivals)) = (from, to, arrivals) else { continue };
            if let Arrivals::ClosedLoop { think, .. } = &arrivals
                && think.mean_ns() < 1.0
                && self.universe.services[to.index()].workloads.iter().any(|id| self.instant(*id))
            {
                let at = table.get("arrivals").map_or(table.at, |node| node.at);
                let hint = "give them some time to think, or the workload some work";
                self.report(at, "these users neither think nor wait for any work", hint);
            }
            if let Some(client) = self.client(table, &arrivals) {
                self.clients.insert(super::id(self.traffic.len()), client);
            }
            self.traffic.push(Traffic {
                id: id.to_owned(),
                from,
                external: table.text("from") == Some("ingress"),
                to,
                class: self.class(table),
                turns: Vec::new(),
                arrivals,
            });
        }
    }

    /// The workload at which traffic starts.
    fn origin(&mut self, table: &Node) -> Option<WorkloadId> {
        let from = table.get("from")?;
        let text = from.as_text()?;
        if text == "ingress" {
            return self.workloads.get(text).copied();
        }
        if !self.services.contains_key(text.split('/').next().unwrap_or(text)) {
            let names: Vec<&str> = self.services.keys().copied().chain(["ingress"]).collect();
            self.missing(from.at, "service", text, names);
            return None;
        }
        let (service, workloads) = self.service_or_version(from.at, text)?;
        match workloads[..] {
            [one] => Some(one),
            [] => None,
            _ => {
                let versions = self.versions(service).join(", ");
                let what = format!("`{text}` has several workloads");
                let hint = format!("say which: {text}/VERSION, of {versions}");
                self.report(from.at, what, hint);
                None
            }
        }
    }

    /// Whether a workload answers in no time.
    pub(super) fn instant(&self, workload: WorkloadId) -> bool {
        let program = &self.universe.workloads[workload.index()].program;
        program.iter().all(|step| match step {
            Step::Work(time) => time.mean_ns() < 1.0,
            Step::Calls(_) | Step::Forward(_) | Step::Onward(_) => true,
        })
    }

    /// How many requests a source makes in the run, roughly, before anything scales it.
    pub(super) fn requests(&self, arrivals: &Arrivals) -> f64 {
        let end = self.duration.as_s();
        match arrivals {
            Arrivals::Replay(times) => times.len() as f64,
            Arrivals::Shared { requests, .. } => *requests as f64,
            Arrivals::ClosedLoop { users, think } => {
                // At least a microsecond passes between two requests of a user.
                let cycle = Duration::from_ns_f64(think.mean_ns()).max(Duration::from_us(1));
                f64::from(*users) * end / cycle.as_s()
            }
            Arrivals::OpenLoop { rate, .. } => {
                let mut total = 0.0;
                for (index, point) in rate.iter().enumerate() {
                    let next = rate.get(index + 1);
                    let until = next.map_or(end, |next| next.from.as_s().min(end));
                    let length = (until - point.from.as_s()).max(0.0);
                    let last = next.filter(|_| point.ramp).map_or(point.per_s, |next| next.per_s);
                    total += length * f64::midpoint(point.per_s, last);
                }
                total
            }
        }
    }
}
