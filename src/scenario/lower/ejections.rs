//! Warnings of outlier detection that ejects nobody, or not by what it looks like.
//!
//! Source: with each rule.
//! Left out: what [`super::warnings`] leaves out.

use super::super::document::{At, Node};
use super::Lower;
use super::action::percent;
use crate::plan::outlier::OutlierForms;
use crate::plan::policy::OutlierDetection;
use crate::plan::timeline::Action;
use crate::plan::universe::{ClusterId, WorkloadId};

impl Lower<'_, '_, '_> {
    pub(super) fn ejections(&mut self, table: &Node, cluster: ClusterId) {
        let Some(entry) = table.entry("outlier_detection") else { return };
        let cluster = &self.universe.clusters[cluster.index()];
        let Some(outlier) = cluster.policy.outlier.filter(ejects) else { return };
        let whose = if cluster.name.contains('/') {
            format!(" of `{}`", cluster.name)
        } else {
            String::new()
        };
        let endpoints: u32 = cluster.workloads.iter().map(|one| self.most_pods(*one)).sum();
        let at = |key: &str| entry.node.entry(key).map_or(entry.at, |entry| entry.at);
        self.share_of_ejections(at("max_ejection_share"), &outlier, (endpoints, &whose));
        // Source: un-ejection on the interval's grid (measured, e05); Envoy's proto wants more than 0.
        if outlier.base_ejection.is_zero() {
            let hint = "Envoy refuses 0: give an endpoint the time that it needs to get well";
            self.warn(at("base_ejection"), "an ejection ends with its interval", hint);
        }
        // Source: Istio's DestinationRule, `consecutiveGatewayErrors`.
        let (gateway, all) = (outlier.consecutive_gateway, outlier.consecutive_5xx);
        let is_met_first = 0 < all && all <= gateway;
        if is_met_first && 1.0 <= outlier.forms.enforcing_consecutive_5xx {
            let what = format!("{gateway} gateway errors in a row are never counted");
            let hint = format!("they are 5xx as well, of which {all} in a row eject already");
            self.warn(at("consecutive_gateway"), what, hint);
        }
        self.compared(&entry.node, &outlier.forms, (endpoints, &whose));
        self.local_origin(&entry.node, &outlier.forms);
    }

    /// Source: Envoy's `split_external_local_origin_errors`, without which these are not looked at.
    fn local_origin(&mut self, table: &Node, forms: &OutlierForms) {
        if forms.split_local_origin {
            return;
        }
        let of_table = ["consecutive_local_origin", "enforcing_consecutive_local_origin"];
        let own = of_table.into_iter().filter_map(|key| table.entry(key));
        let of_forms = ["success_rate", "failure_percentage"];
        let compared =
            of_forms.into_iter().filter_map(|key| table.get(key)?.entry("enforcing_local_origin"));
        for entry in own.chain(compared).map(|entry| entry.at).collect::<Vec<_>>() {
            let hint = "failures of this side count as answers: set `split_local_origin`";
            self.warn(entry, "failures of this side are not counted apart", hint);
        }
    }

    /// Source: measured (e05): a host is ejected if (ejected + 1) / hosts is within the share; the
    /// default of 10 % ejects nobody of nine.
    fn share_of_ejections(
        &mut self,
        at: At,
        outlier: &OutlierDetection,
        (endpoints, whose): (u32, &str),
    ) {
        let allowed = outlier.max_ejection_share * f64::from(endpoints);
        if outlier.always_eject_one || endpoints == 0 || 1.0 <= allowed {
            return;
        }
        let share = percent(outlier.max_ejection_share);
        let (count, plural) = (endpoints, if endpoints == 1 { "" } else { "s" });
        let enough = 100_u32.div_ceil(endpoints);
        let what = format!("no endpoint is ever ejected: {share} of {count}{whose} are none");
        let hint = format!(
            "the share is rounded down; with {count} endpoint{plural} it takes \
             `max_ejection_share = \"{enough}%\"`, or `always_eject_one = true`"
        );
        self.warn(at, what, hint);
    }

    /// Source: Envoy's `success_rate_minimum_hosts` and `failure_percentage_minimum_hosts`.
    fn compared(&mut self, table: &Node, forms: &OutlierForms, (endpoints, whose): (u32, &str)) {
        let local = if forms.split_local_origin { 1.0 } else { 0.0 };
        let success = forms.success_rate.map(|one| {
            let local = local * forms.enforcing_local_origin_success_rate;
            (one.minimum_hosts, one.enforcing + local)
        });
        let failure = forms.failure_percentage.map(|one| {
            let local = local * forms.enforcing_failure_percentage_local_origin;
            (one.minimum_hosts, one.enforcing + local)
        });
        for (key, form) in [("success_rate", success), ("failure_percentage", failure)] {
            let (Some((least, enforcing)), Some(entry)) = (form, table.entry(key)) else {
                continue;
            };
            if 0.0 < enforcing && endpoints < least {
                let at = entry.node.entry("minimum_hosts").map_or(entry.at, |one| one.at);
                let what = format!("`{key}` never ejects: it compares {least} endpoints or more");
                let hint = format!("there are {endpoints}{whose}: set `minimum_hosts`");
                self.warn(at, what, hint);
            }
        }
    }

    /// The most pods that a workload is to have.
    fn most_pods(&self, id: WorkloadId) -> u32 {
        let scaled = self.timeline.iter().filter_map(|event| match event.action {
            Action::Scale { workload, replicas } if workload == id => Some(replicas),
            _ => None,
        });
        scaled.fold(self.universe.workloads[id.index()].replicas, u32::max)
    }
}

/// Whether anything that is detected may eject.
fn ejects(outlier: &OutlierDetection) -> bool {
    let forms = &outlier.forms;
    0 < outlier.consecutive_5xx && 0.0 < forms.enforcing_consecutive_5xx
        || 0 < outlier.consecutive_gateway && 0.0 < forms.enforcing_consecutive_gateway
        || forms.split_local_origin
            && 0 < forms.consecutive_local_origin
            && 0.0 < forms.enforcing_consecutive_local_origin
        || forms.success_rate.is_some_and(|one| 0.0 < one.enforcing)
        || forms.failure_percentage.is_some_and(|one| 0.0 < one.enforcing)
        || forms.split_local_origin
            && 0.0
                < forms.enforcing_local_origin_success_rate
                    + forms.enforcing_failure_percentage_local_origin
}
