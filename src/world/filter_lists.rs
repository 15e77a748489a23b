//! Which filters proxies have, where that changes while a run goes on.
//!
//! The plan has all filters that a workload's proxies ever have; a mask says which of them count. It is a part of a
//! proxy's listeners: it holds from the version on that the proxy has of them.
//!
//! Source: Istio's `AuthorizationPolicy` and faults become HTTP filters of listeners, which LDS tells.
//! Left out: filters that are none of requests; that a listener's open connections are drained when its filters
//! change.

use super::World;
use super::config::{Config, History, Thing, as_of};
use crate::plan::Plan;
use crate::plan::filter::FilterMask;
use crate::plan::timeline::{Action, TimelineEvent};
use crate::plan::universe::WorkloadId;
use crate::vocabulary::cause::CauseId;
use std::collections::BTreeMap;

/// Masks of workloads whose filters ever change.
pub(super) type Masks = BTreeMap<WorkloadId, History<FilterMask>>;

/// Those of time zero.
pub(super) fn initial(plan: &Plan) -> Masks {
    let parts = plan.timeline.iter().flat_map(TimelineEvent::actions);
    let changed = parts.filter_map(|action| match action {
        Action::SetFilters { workload, .. } => Some(*workload),
        _ => None,
    });
    let all = changed.chain(plan.first_filters.keys().copied());
    all.map(|workload| (workload, vec![(1, plan.first_filters(workload))])).collect()
}

impl Config {
    fn set_filters(&mut self, workload: WorkloadId, mask: FilterMask) {
        let version = self.versions.newest();
        let Some(history) = self.filters.get_mut(&workload) else { return };
        match history.last_mut() {
            Some((_, same)) if *same == mask => return,
            Some((from, known)) if *from == version => *known = mask,
            _ => {
                history.push((version, mask));
                self.versions.touch(Thing::Filters(workload));
            }
        }
        let change = (version, self.newest_at);
        self.scopes.workload_changed(workload, change, self.versions.oldest());
    }
}

impl World<'_> {
    /// The control plane tells proxies of other filters, or again of those that it told of before.
    pub(super) fn tell_filters(&mut self, workload: WorkloadId, cause: Option<CauseId>) {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::SetFilters { workload: of, filters } if *of == workload => Some(*filters),
            _ => None,
        });
        let mask = last.unwrap_or_else(|| self.plan.first_filters(workload));
        self.config.begin_version(self.now, cause);
        self.config.set_filters(workload, mask);
        self.schedule_watch();
    }

    /// Whether a pod's proxy has a filter, for requests that it sends or receives.
    #[cold]
    pub(super) fn has_filter(&self, pod: u32, place: usize, is_inbound: bool) -> bool {
        let workload = self.pods[pod as usize].workload;
        let Some(history) = self.config.filters.get(&workload) else { return true };
        let seen = as_of(history, self.seen(pod).lds);
        seen.is_none_or(|(_, mask)| mask.has(place, is_inbound))
    }
}
