//! Pods of a workload: how many, replaced how, judged by which probes, ended in which time.
//!
//! Source: apps/v1, autoscaling/v2, policy/v1 and core/v1 (defaults of Deployment: a quarter more or less; of
//! `StatefulSet` and `DaemonSet`: one pod at a time); docs/scenarios.md (`service.workload`).
//! Left out: probes that are not HTTP, `startupProbe`, spreading over zones, metrics other than CPU; each is on the ignored list.

use crate::manifest::draft::Draft;
use crate::manifest::draft::places::{Places, below};
use crate::manifest::draft::releases;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::kubernetes::container::{Container, Probe};
use crate::manifest::kubernetes::policy::{Autoscaler, DisruptionBudget};
use crate::manifest::kubernetes::workload::{Workload, WorkloadKind};
use crate::manifest::object::Id;
use crate::manifest::reader::IntOrText;
use crate::manifest::source::At;

/// Probes of an app.
const PROBES: &str = "spec.template.spec.containers.";

/// The table of a workload's pods, but for version and labels.
pub(super) fn table(draft: &mut Draft<'_>, places: &Places<'_>, workload: &Workload) -> Table {
    let mut table = Table::new();
    let replicas = replicas(draft, places, workload, &mut table);
    let limits = apps(workload).filter_map(|app| app.cpu_limit_milli);
    let limit =
        limits.fold(None, |sum: Option<u128>, limit| Some(sum.unwrap_or(0).saturating_add(limit)));
    table.set("workers", draft.assumptions.workers_of(limit));
    table.set("time", draft.assumptions.time.clone());
    if let Some(rollout) = rollout(places, workload, replicas) {
        table.set("rollout", rollout);
    }
    budget(draft, workload, &mut table);
    probes(draft, workload, &mut table);
    shutdown(places, workload, &mut table);
    scheduling(draft, places, workload);
    table
}

/// Where pods may run, and hooks: what the scenario cannot say of them.
fn scheduling(draft: &mut Draft<'_>, places: &Places<'_>, workload: &Workload) {
    let kind = workload.kind.word();
    let why = "the manifests name no nodes: add [[node]], and `zones` or `nodes`";
    for spread in &workload.pod.spread {
        let field = format!("{kind}.spec.template.spec.topologySpreadConstraints");
        draft.ignore(field, spread.at, why);
    }
    for name in ["nodeSelector", "affinity"] {
        if let Some(at) = places.at(workload, &["spec", "template", "spec", name]) {
            draft.ignore(format!("{kind}.spec.template.spec.{name}"), at, why);
        }
    }
    let names: Vec<&str> = apps(workload)
        .filter(|app| app.pre_stop_sleep_s.is_none())
        .map(|app| app.name.as_str())
        .collect();
    for (name, node) in releases::containers(places, workload) {
        let hook = below(node, &["lifecycle", "preStop"]).filter(|_| names.contains(&name));
        if let Some(hook) = hook {
            let why = "only a hook that sleeps is simulated: `shutdown.pre_stop`";
            draft.ignore(format!("{kind}.{PROBES}lifecycle.preStop"), hook.at, why);
        }
    }
}

/// The containers of a pod that are its app, not its proxy.
pub(super) fn apps(workload: &Workload) -> impl Iterator<Item = &Container> {
    let is_app = |one: &&Container| {
        !one.is_sidecar && !matches!(one.name.as_str(), "istio-proxy" | "linkerd-proxy")
    };
    workload.containers.iter().filter(is_app)
}

/// How many pods, and who changes that.
fn replicas(
    draft: &mut Draft<'_>,
    places: &Places<'_>,
    workload: &Workload,
    table: &mut Table,
) -> u32 {
    let written = workload.replicas_at;
    let Some(scaler) = scaler_of(draft, workload) else {
        let value = match workload.kind {
            WorkloadKind::DaemonSet if places.of(workload).is_some() => {
                Value::integer(draft.assumptions.nodes)
                    .assumed("one on each node; no manifest says how many")
            }
            _ => Value::integer(workload.replicas).at(written.unwrap_or(workload.at)),
        };
        let count = match workload.kind {
            WorkloadKind::DaemonSet if places.of(workload).is_some() => draft.assumptions.nodes,
            _ => workload.replicas,
        };
        table.set("replicas", value);
        return count;
    };
    draft.used(&id("autoscaling", "HorizontalPodAutoscaler", &scaler.namespace, &scaler.name));
    let least = scaler.min.max(1);
    let most = scaler.max.max(least);
    let count = written.map_or(least, |_| workload.replicas.clamp(least, most));
    let at = if written.is_some() && count == workload.replicas { written } else { None };
    table.set("replicas", Value::integer(count).at(at.unwrap_or(scaler.at)));
    let Some(percent) = scaler.cpu_utilization_percent else {
        let why = "it does not scale by a share of CPU: the number of pods stays";
        draft.ignore("HorizontalPodAutoscaler.spec.metrics", scaler.at, why);
        return count;
    };
    let mut hpa = Table::new();
    hpa.set("min", Value::integer(least).at(scaler.at));
    hpa.set("max", Value::integer(most).at(scaler.at));
    if 100 < percent {
        let why = "more than the whole request: a share of busy workers is at most 100 %";
        draft.ignore("HorizontalPodAutoscaler.spec.metrics.resource.target", scaler.at, why);
    }
    hpa.set("utilization", Value::text(format!("{}%", percent.clamp(1, 100))).at(scaler.at));
    table.set("hpa", Value::from(hpa).at(scaler.at));
    if scaler.scale_down_window_s.is_some_and(|s| s != 300)
        || scaler.scale_up_window_s.is_some_and(|s| s != 0)
    {
        let why = "windows are Kubernetes' defaults: 0 s up, 5 min down";
        draft.ignore("HorizontalPodAutoscaler.spec.behavior", scaler.at, why);
    }
    count
}

/// The autoscaler of a workload.
pub(super) fn scaler_of(draft: &Draft<'_>, workload: &Workload) -> Option<Autoscaler> {
    let is_of = |one: &&Autoscaler| {
        one.namespace == workload.namespace
            && one.target.0 == workload.kind.word()
            && one.target.1 == workload.name
    };
    draft.loaded.cluster.autoscalers.iter().find(is_of).cloned()
}

/// `max_surge` and `max_unavailable`, where they are not a quarter.
fn rollout(places: &Places<'_>, workload: &Workload, replicas: u32) -> Option<Value> {
    let is_plain = matches!(workload.kind, WorkloadKind::Deployment);
    let controlled = places.of(workload).is_some();
    if !controlled || matches!(workload.kind, WorkloadKind::Pod | WorkloadKind::ReplicaSet) {
        return None;
    }
    let own = if is_plain { "strategy" } else { "updateStrategy" };
    let at = places.at(workload, &["spec", own]);
    let mut rollout = Table::new();
    if workload.recreates {
        rollout.set("max_surge", Value::text("0%").at_some(at));
        rollout.set("max_unavailable", Value::text("100%").at_some(at));
        return Some(Value::from(rollout).at_some(at));
    }
    let surge = workload.max_surge.as_ref().map(|surge| share(surge, replicas, false));
    let unavailable = workload.max_unavailable.as_ref().map(|most| share(most, replicas, true));
    let (surge, unavailable) = match (surge, unavailable) {
        (None, None) if is_plain => return None,
        // Kubernetes' other controllers take one pod away at a time, and have none more.
        (surge, unavailable) if !is_plain => {
            let one = || share(&IntOrText::Int(1), replicas, true);
            let unavailable = unavailable.unwrap_or_else(one);
            (Some(surge.flatten().unwrap_or_else(|| "0%".to_owned())), unavailable)
        }
        (surge, unavailable) => (surge.flatten(), unavailable.flatten()),
    };
    let is_none = |share: &Option<String>| share.as_deref() == Some("0%");
    if is_none(&surge) && is_none(&unavailable) {
        // The API server refuses it: no pod could ever be replaced.
        return None;
    }
    let field = |name| places.at(workload, &["spec", own, "rollingUpdate", name]).or(at);
    let text = |text: Option<String>, name| text.map(|text| Value::text(text).at_some(field(name)));
    rollout.set_some("max_surge", text(surge, "maxSurge"));
    rollout.set_some("max_unavailable", text(unavailable, "maxUnavailable"));
    (!rollout.is_empty()).then(|| Value::from(rollout).at_some(at.or(Some(workload.at))))
}

/// A number of pods as a share of all, so that the scheduler's rounding gives the number back.
fn share(count: &IntOrText, replicas: u32, rounds_down: bool) -> Option<String> {
    match count {
        IntOrText::Int(count) => {
            let (count, all) = (u64::try_from(*count).ok()?, u64::from(replicas.max(1)));
            let hundredths = match count.min(all) * 10_000 {
                parts if rounds_down => parts.div_ceil(all),
                parts => (parts / all).max(u64::from(0 < count)),
            };
            Some(match (hundredths / 100, hundredths % 100) {
                (whole, 0) => format!("{whole}%"),
                (whole, rest) => format!("{whole}.{rest:02}%"),
            })
        }
        IntOrText::Text(text) => percent(text).map(|percent| format!("{percent}%")),
    }
}

/// `25%` as a number from 0 to 100.
fn percent(text: &str) -> Option<u8> {
    let number: u32 = text.trim().strip_suffix('%')?.parse().ok()?;
    u8::try_from(number.min(100)).ok()
}

/// The budget that evictions ask.
fn budget(draft: &mut Draft<'_>, workload: &Workload, table: &mut Table) {
    let fits = |budget: &&DisruptionBudget| {
        budget.namespace == workload.namespace && budget.selector.matches(&workload.labels)
    };
    let loaded = draft.loaded;
    for (index, budget) in loaded.cluster.disruption_budgets.iter().filter(fits).enumerate() {
        if 0 < index {
            let why = "a second budget of the same pods: the API server refuses to evict them";
            draft.ignore("PodDisruptionBudget.spec.selector", budget.at, why);
            continue;
        }
        let mut pdb = Table::new();
        let (name, count) = match (&budget.min_available, &budget.max_unavailable) {
            (Some(count), _) => ("min_available", count),
            (None, Some(count)) => ("max_unavailable", count),
            (None, None) => continue,
        };
        match count {
            IntOrText::Int(count) => pdb.set(name, Value::integer((*count).max(0)).at(budget.at)),
            IntOrText::Text(text) => {
                let Some(percent) = percent(text) else { continue };
                pdb.set(format!("{name}_share"), Value::text(format!("{percent}%")).at(budget.at))
            }
        };
        table.set("pdb", Value::from(pdb).at(budget.at));
        draft.used(&id("policy", "PodDisruptionBudget", &budget.namespace, &budget.name));
        let all = &loaded.cluster.workloads;
        let same = all.iter().filter(|one| {
            one.namespace == budget.namespace && budget.selector.matches(&one.labels)
        });
        if 1 < same.count() {
            let why = "one budget of several workloads: each has it for itself here";
            draft.ignore("PodDisruptionBudget.spec.selector", budget.at, why);
        }
    }
}

fn probes(draft: &mut Draft<'_>, workload: &Workload, table: &mut Table) {
    for (key, field) in [("readiness", "readinessProbe"), ("liveness", "livenessProbe")] {
        let of = |app: &Container| match key {
            "readiness" => app.readiness.clone(),
            _ => app.liveness.clone(),
        };
        let all: Vec<Probe> = apps(workload).filter_map(of).collect();
        let field = format!("{}.{PROBES}{field}", workload.kind.word());
        let http = all.iter().position(|probe| probe.path.is_some());
        if let Some(probe) = http.and_then(|index| all.get(index)) {
            table.set(key, probe_table(probe));
        }
        for (index, probe) in all.iter().enumerate() {
            if probe.path.is_none() {
                draft.ignore(&*field, probe.at, "probes that are not HTTP are not simulated");
            } else if Some(index) != http {
                draft.ignore(&*field, probe.at, "only the first container's probe is simulated");
            }
        }
    }
    for app in apps(workload) {
        if let Some(startup) = &app.startup {
            let field = format!("{}.{PROBES}startupProbe", workload.kind.word());
            draft.ignore(field, startup.at, "how long an app takes to start is `start_time`");
        }
    }
}

fn probe_table(probe: &Probe) -> Value {
    let mut table = Table::new();
    let seconds = |s: u32| Value::duration(u64::from(s) * 1_000_000_000).at(probe.at);
    table.set("period", seconds(probe.period_s));
    if probe.timeout_s != 1 {
        table.set("timeout", seconds(probe.timeout_s));
    }
    if probe.failures != 3 {
        table.set("failures", Value::integer(probe.failures).at(probe.at));
    }
    if probe.successes != 1 {
        table.set("successes", Value::integer(probe.successes).at(probe.at));
    }
    if probe.initial_delay_s != 0 {
        table.set("initial_delay", seconds(probe.initial_delay_s));
    }
    Value::from(table).at(probe.at)
}

fn shutdown(places: &Places<'_>, workload: &Workload, table: &mut Table) {
    let seconds = |s: u32| Value::duration(u64::from(s) * 1_000_000_000);
    let mut shutdown = Table::new();
    let sleeping = apps(workload).filter_map(|app| Some((app.pre_stop_sleep_s?, app.at)));
    if let Some((sleep, at)) = sleeping.max_by_key(|(sleep, _)| *sleep) {
        shutdown.set("pre_stop", seconds(sleep).at(at));
    }
    if let Some(grace) = workload.pod.termination_grace_s {
        let at = grace_at(places, workload).unwrap_or(workload.at);
        shutdown.set("grace_period", seconds(grace).at(at));
    }
    if !shutdown.is_empty() {
        table.set("shutdown", Value::from(shutdown).at(workload.at));
    }
}

fn grace_at(places: &Places<'_>, workload: &Workload) -> Option<At> {
    let field = "terminationGracePeriodSeconds";
    let own = places.at(workload, &["spec", field]);
    places.at(workload, &["spec", "template", "spec", field]).or(own)
}

/// The id of an object.
pub(super) fn id(group: &str, kind: &str, namespace: &str, name: &str) -> Id {
    Id {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_pods_become_shares_that_round_to_them() {
        let text = |count, replicas, down| share(&IntOrText::Int(count), replicas, down).unwrap();
        assert_eq!(text(1, 3, false), "33.33%");
        assert_eq!(text(1, 3, true), "33.34%");
        assert_eq!(text(0, 3, true), "0%");
        assert_eq!(text(5, 2, true), "100%");
        assert_eq!(text(1, 30_000, false), "0.01%");
        assert_eq!(text(1, 0, true), "100%");
        assert_eq!(share(&IntOrText::Text("25%".into()), 3, true).as_deref(), Some("25%"));
        assert_eq!(share(&IntOrText::Text("x".into()), 3, true), None);
        assert_eq!(share(&IntOrText::Int(-1), 3, true), None);
    }
}
