//! Scopes: which services the proxies of a service know.
//!
//! Source: Istio's Sidecar `egress.hosts`, for all pods of a service.
//! Left out: calls to what is not in it. A mesh passes them through to the address that DNS gives
//! (`ALLOW_ANY`) or answers 502 (`REGISTRY_ONLY`); here they are mistakes.

use super::super::document::{At, Node};
use super::{Lower, id};
use crate::plan::universe::{ServiceId, WorkloadId};
use std::collections::BTreeMap;

impl<'d> Lower<'_, '_, 'd> {
    /// What the proxies of each workload know, of those that do not know everything.
    pub(super) fn scopes(&mut self) -> BTreeMap<WorkloadId, Vec<ServiceId>> {
        let mut scopes = BTreeMap::new();
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let Some(list) = table.get("egress") else { continue };
            let known = self.known_services(list.items());
            let name = table.text("name").unwrap_or_default();
            for (workload, draft) in self.drafts.clone().into_iter().enumerate() {
                let Some((_, node)) = draft.filter(|(service, _)| service.index() == index) else {
                    continue;
                };
                for call in node.list("calls") {
                    self.check_egress(name, call, &known);
                }
                scopes.insert(WorkloadId(id(workload)), known.clone());
            }
            let root: &'d Node = self.root;
            let starts_here = |table: &&Node| {
                let from = table.text("from").unwrap_or_default();
                from.split('/').next() == Some(name)
            };
            for traffic in root.list("traffic").iter().filter(starts_here) {
                self.check_egress(name, traffic, &known);
            }
        }
        scopes
    }

    /// The services of a list of names; the name of a counted one means all of it.
    fn known_services(&mut self, names: &[Node]) -> Vec<ServiceId> {
        let mut known = Vec::new();
        for name in names {
            let Some(text) = name.as_text() else { continue };
            if let Some(members) = self.counted.members(text) {
                known.extend(members.filter_map(|member| self.services.get(member.as_str())));
            } else if let Some(service) = self.services.get(text) {
                known.push(*service);
            } else {
                let names: Vec<&str> = self.services.keys().copied().collect();
                self.missing(name.at, "service", text, names);
            }
        }
        known.sort_unstable();
        known.dedup();
        known
    }

    fn check_egress(&mut self, from: &str, call: &Node, known: &[ServiceId]) {
        let Some((at, to)): Option<(At, &str)> =
            call.get("to").and_then(|to| Some((to.at, to.as_text()?)))
        else {
            return;
        };
        if self.services.get(to).is_some_and(|service| known.binary_search(service).is_err()) {
            let what = format!("`{from}` calls `{to}`, which is not in its egress");
            self.report(at, what, "its proxies would not know it: add it, or leave `egress` out");
        }
    }
}
