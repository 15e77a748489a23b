//! Programs: what an app does for a request.
//!
//! Source: ours.
//! Left out: branches other than by probability.

use super::super::document::Node;
use super::super::values::distribution;
use super::{Lower, id};
use crate::kernel::distribution::Distribution;
use crate::kernel::time::Duration;
use crate::plan::universe::{CallSite, Step, WorkloadId};

impl Lower<'_, '_, '_> {
    /// Fills in the programs; all services have their ids.
    pub(super) fn programs(&mut self) {
        for (index, draft) in self.drafts.clone().into_iter().enumerate() {
            if let Some((_, node)) = draft {
                self.universe.workloads[index].program = self.program(node);
                self.call_clients(WorkloadId(id(index)), node);
            }
        }
    }

    /// Work, then calls: parallel ones that follow each other are made at once; `after` is work
    /// that closes a group.
    fn program(&mut self, node: &Node) -> Vec<Step> {
        let time = node.get("time").and_then(|node| distribution(self.context, node).ok());
        let mut steps = vec![Step::Work(time.unwrap_or(Distribution::Constant(Duration::ZERO)))];
        let mut group: Vec<CallSite> = Vec::new();
        for (index, call) in node.list("calls").iter().enumerate() {
            let parallel = call.text("mode") == Some("parallel");
            if !parallel {
                flush(&mut group, &mut steps);
            }
            if let Some(to) = self.service(call, "to") {
                group.push(CallSite {
                    to,
                    class: self.class(call),
                    probability: call.share("probability").unwrap_or(1.0),
                    holds_worker: call.flag("holds_worker").unwrap_or(true),
                    required: call.flag("required").unwrap_or(true),
                    index: id(index),
                });
            }
            let after = call.get("after").and_then(|node| distribution(self.context, node).ok());
            if after.is_some() || !parallel {
                flush(&mut group, &mut steps);
            }
            steps.extend(after.map(Step::Work));
        }
        flush(&mut group, &mut steps);
        steps
    }
}

fn flush(group: &mut Vec<CallSite>, steps: &mut Vec<Step>) {
    if !group.is_empty() {
        steps.push(Step::Calls(std::mem::take(group)));
    }
}
