//! Subsets of a service: clusters of those workloads whose labels fit.
//!
//! Every version is a subset by itself; one of the same name that is declared takes its place. One that
//! fits no workload is a cluster without endpoints (503 UH), one that is not declared is none (503 NC).
//!
//! Source: Istio's `DestinationRule`.
//! Left out: policies of a subset.

use super::super::document::Node;
use super::Lower;
use crate::plan::universe::{Workload, WorkloadId};

impl Lower<'_, '_, '_> {
    /// The subsets that a service declares, with their workloads of those that it selects.
    pub(super) fn subsets<'n>(
        &mut self,
        service: &'n Node,
        selected: &[WorkloadId],
        workloads: &[Workload],
    ) -> Vec<(&'n str, Vec<WorkloadId>)> {
        let mut subsets = Vec::new();
        for subset in service.list("subsets").iter().filter(|one| one.is_table()) {
            let Some(name) = subset.get("name") else { continue };
            let Some(text) = name.as_text() else { continue };
            self.plain_name(name.at, text);
            let labels: Vec<(String, String)> = subset.labels("labels").collect();
            let fits = |id: &&WorkloadId| {
                let has = &workloads[id.index()].labels;
                labels.iter().all(|(label, value)| has.get(label) == Some(value))
            };
            subsets.push((text, selected.iter().filter(fits).copied().collect()));
        }
        subsets
    }
}
