//! Autoscalers of workloads: the share of busy workers, looked at every 15 s.
//!
//! Source: `model::cluster::autoscaler`; kubernetes `pkg/controller/podautoscaler`.
//! Left out: the CPU of proxies; the metrics server's own interval.

use super::World;
use super::event::Event;
use crate::model::cluster::autoscaler::{SYNC, Wishes};
use crate::plan::universe::WorkloadId;
use crate::vocabulary::fact::FactKind;
use std::collections::BTreeMap;

/// An autoscaler while running.
#[derive(Clone, Debug, Default)]
pub(crate) struct Autoscaling {
    wishes: Wishes,
    /// What the workers of each ready pod had done at the last look, in ns.
    done: BTreeMap<u32, u128>,
}

impl World<'_> {
    pub(super) fn start_autoscalers(&mut self) {
        for (workload, rules) in &self.plan.pods {
            if rules.autoscaler.is_some() {
                self.kubernetes.autoscalers.insert(workload.0, Autoscaling::default());
                self.queue.after(SYNC, Event::ScaleWorkload(workload.0).pack());
                let _first = self.busy_since(workload.0);
            }
        }
    }

    /// The summed shares of busy workers of the ready pods since the last look, and their number.
    fn busy_since(&mut self, index: u32) -> (u32, f64) {
        let Some(mut scaling) = self.kubernetes.autoscalers.remove(&index) else { return (0, 0.0) };
        let (mut count, mut sum) = (0, 0.0);
        let mut done = BTreeMap::new();
        for pod in self.workloads[index as usize].ready.clone() {
            let station = &mut self.pods[pod as usize].station;
            let busy = station.load(self.now).busy_ns;
            done.insert(pod, busy);
            // Who was not ready then is not counted yet; the end of the warm-up begins anew.
            if let Some(before) = scaling.done.get(&pod) {
                let work = busy.checked_sub(*before).unwrap_or(busy) as f64;
                count += 1;
                sum += work / SYNC.ns() as f64 / f64::from(station.workers);
            }
        }
        scaling.done = done;
        self.kubernetes.autoscalers.insert(index, scaling);
        (count, sum)
    }

    /// An autoscaler looks at its workload.
    pub(super) fn scale_workload(&mut self, index: u32) {
        let workload = WorkloadId(index);
        self.queue.after(SYNC, Event::ScaleWorkload(index).pack());
        let Some(rules) = self.plan.pods.get(&workload).and_then(|rules| rules.autoscaler) else {
            return;
        };
        let (ready, load) = self.busy_since(index);
        if !self.api_server_is_up() {
            return;
        }
        let wanted = self.workloads[index as usize].deployment.wanted;
        let Some(scaling) = self.kubernetes.autoscalers.get_mut(&index) else { return };
        let wish = scaling.wishes.look(self.now, &rules, (wanted, ready.min(wanted)), load);
        if wish == wanted {
            return;
        }
        let name = &self.plan.universe.workloads[workload.index()].name;
        self.fact(FactKind::Autoscaled, || {
            let share = 100.0 * load / f64::from(ready.max(1));
            (name.clone(), format!("{wanted} to {wish} pods: {share:.0} % of the workers are busy"))
        });
        let cause = self.workloads[index as usize].cause;
        self.scale(workload, wish, cause);
    }
}
