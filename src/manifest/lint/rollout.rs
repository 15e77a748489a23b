//! Updates, drains and probes: how a workload behind a service loses requests without any fault.
//!
//! Source: Kubernetes documentation "Specifying a Disruption Budget" (shares round up; 0 allowed disruptions
//! block a drain), "Deployments" (maxUnavailable rounds down), "Configure Liveness, Readiness and Startup
//! Probes" (liveness with a higher threshold than readiness), "Pod Topology Spread Constraints" (the
//! scheduler's own spreading is a wish only); istio/istio issues 7665 and 12183 (endpoints leave later than
//! pods end: a `preStop` sleep); Istio 1.24's `EXCLUDE_UNSAFE_503_FROM_DEFAULT_RETRY`.
//! Left out: how fast pods become ready, nodes and their room, priorities; `holdApplicationUntilProxyStarts`
//! (native sidecars, Istio's choice since 1.27, start before the app).

use crate::manifest::istio::matching::StringMatch;
use crate::manifest::istio::security;
use crate::manifest::istio::virtual_service::HttpRoute;
use crate::manifest::kubernetes::container::{Container, Probe};
use crate::manifest::kubernetes::policy::DisruptionBudget;
use crate::manifest::kubernetes::workload::{Workload, WorkloadKind};
use crate::manifest::linkerd::Linkerd;
use crate::manifest::lint::outage::is_istiod;
use crate::manifest::lint::{Lint, named};
use crate::manifest::node::{Entry, Node};
use crate::manifest::object::Object;
use crate::manifest::reader::IntOrText;
use crate::manifest::source::At;
use std::collections::BTreeMap;

const RULE: &str = "meshsim.rollout";

/// All rules of this file that need no mesh of a certain kind.
pub fn check(lint: &mut Lint<'_>) {
    let cluster = lint.cluster;
    let index = index(lint.objects);
    for workload in cluster.workloads.iter().filter(|one| is_managed(one)) {
        if cluster.services_of(workload).is_empty() {
            continue;
        }
        strategy(lint, &index, workload);
        probes(lint, workload);
        one_node(lint, &index, workload);
    }
    budgets(lint, &index);
    autoscalers(lint, &index);
    retries(lint);
}

/// Pods that stop while requests still come: no `preStop` where a proxy drains beside the app.
pub fn stops(lint: &mut Lint<'_>, linkerd: &Linkerd) {
    let cluster = lint.cluster;
    let index = index(lint.objects);
    for workload in cluster.workloads.iter().filter(|one| is_managed(one)) {
        let has_proxy = security::has_sidecar(cluster, workload) || linkerd.is_meshed(workload);
        let Some(object) = object(&index, workload) else { continue };
        if !has_proxy || cluster.services_of(workload).is_empty() {
            continue;
        }
        let hooked = |one: &Node| {
            one.get("lifecycle").is_some_and(|lifecycle| lifecycle.get("preStop").is_some())
        };
        let containers =
            pod(object).and_then(|pod| pod.get("containers")).map_or(&[][..], Node::items);
        let Some(first) = containers.first().filter(|_| !containers.iter().any(hooked)) else {
            continue;
        };
        let what = "the app ends at once when its pod stops, while requests still come".to_owned();
        lint.report("MSH0119", RULE, title(workload), first.at, what);
    }
}

/// Linkerd's control plane with replicas that one drain may take together.
pub fn linkerd_budgets(lint: &mut Lint<'_>, linkerd: &Linkerd) {
    const CONTROL_PLANE: [&str; 3] =
        ["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"];
    let cluster = lint.cluster;
    for workload in cluster.workloads.iter().filter(|one| is_managed(one) && one.replicas > 1) {
        let is_own = workload.namespace == linkerd.settings.namespace
            && CONTROL_PLANE.contains(&workload.name.as_str());
        let has_budget = cluster.disruption_budgets.iter().any(|budget| {
            budget.namespace == workload.namespace && budget.selector.matches(&workload.labels)
        });
        if is_own && !has_budget {
            let what = format!("{} has no PodDisruptionBudget", workload.name);
            lint.report("MSH0105", RULE, title(workload), workload.at, what);
        }
    }
}

fn is_managed(workload: &Workload) -> bool {
    matches!(workload.kind, WorkloadKind::Deployment | WorkloadKind::StatefulSet)
}

fn title(workload: &Workload) -> String {
    format!("{} {}/{}", workload.kind.word(), workload.namespace, workload.name)
}

/// Objects by kind, namespace and name.
type Index<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a Object>;

fn index(objects: &[Object]) -> Index<'_> {
    let keyed = objects.iter().map(|object| {
        let id = &object.id;
        ((id.kind.as_str(), id.namespace.as_str(), id.name.as_str()), object)
    });
    keyed.collect()
}

/// The object as it was read.
fn object<'a>(index: &Index<'a>, workload: &Workload) -> Option<&'a Object> {
    index.get(&(workload.kind.word(), workload.namespace.as_str(), workload.name.as_str())).copied()
}

fn pod(object: &Object) -> Option<&Node> {
    object.node.get("spec")?.get("template")?.get("spec")
}

/// An entry by its path.
fn entry<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Entry> {
    let (last, before) = path.split_last()?;
    let parent = before.iter().try_fold(node, |node, key| node.get(key))?;
    parent.entry(last)
}

/// Updates that stop all pods before new ones serve.
fn strategy(lint: &mut Lint<'_>, index: &Index<'_>, workload: &Workload) {
    let place = |path: &[&str]| -> At {
        let found = object(index, workload).and_then(|object| entry(&object.node, path));
        found.map_or(workload.at, |entry| entry.value.at)
    };
    let all = workload.replicas;
    let (at, what) = if workload.recreates {
        (place(&["spec", "strategy", "type"]), "an update stops all pods before new ones start")
    } else if workload.kind == WorkloadKind::Deployment
        && all > 1
        && part(workload.max_unavailable.as_ref(), all, false).is_some_and(|n| n >= all)
    {
        let path = ["spec", "strategy", "rollingUpdate", "maxUnavailable"];
        (place(&path), "an update may stop all pods at once")
    } else {
        return;
    };
    lint.report("MSH0114", RULE, title(workload), at, what.to_owned());
}

/// A number or a share of all.
fn part(of: Option<&IntOrText>, all: u32, up: bool) -> Option<u32> {
    match of? {
        IntOrText::Int(number) => u32::try_from(*number).ok(),
        IntOrText::Text(text) => {
            let percent: u64 = text.trim().strip_suffix('%')?.parse().ok()?;
            let share = percent.saturating_mul(u64::from(all));
            u32::try_from(if up { share.div_ceil(100) } else { share / 100 }).ok()
        }
    }
}

fn probes(lint: &mut Lint<'_>, workload: &Workload) {
    let apps = || workload.containers.iter().filter(|container| !container.is_sidecar);
    for container in apps() {
        if let (Some(ready), Some(alive)) = (&container.readiness, &container.liveness)
            && same(ready, alive)
            && span(alive) <= span(ready)
        {
            let what = format!(
                "{} is killed after {} s of failed probes, and only left alone after {} s",
                container.name,
                span(alive),
                span(ready)
            );
            lint.report("MSH0117", RULE, title(workload), alive.at, what);
        }
    }
    let serves = |container: &&Container| !container.ports.is_empty();
    let is_probed = apps().any(|container| container.readiness.is_some());
    if let Some(container) = apps().find(serves).filter(|_| !is_probed) {
        let what = format!("{} has no readiness probe: it gets requests at once", container.name);
        lint.report("MSH0118", RULE, title(workload), container.at, what);
    }
}

/// Whether two probes ask the same.
fn same(one: &Probe, other: &Probe) -> bool {
    one.port.is_some() && one.port == other.port && one.path == other.path
}

/// Seconds of failures before a probe acts.
fn span(probe: &Probe) -> u64 {
    u64::from(probe.period_s) * u64::from(probe.failures)
}

/// Replicas that one node may take along.
fn one_node(lint: &mut Lint<'_>, index: &Index<'_>, workload: &Workload) {
    let Some(object) = object(index, workload) else { return };
    let apart = pod(object)
        .and_then(|pod| pod.get("affinity"))
        .is_some_and(|affinity| affinity.get("podAntiAffinity").is_some());
    if workload.replicas > 1 && !apart && workload.pod.spread.is_empty() {
        let what = format!("all {} replicas may run on one node", workload.replicas);
        let at = workload.replicas_at.unwrap_or(workload.at);
        lint.report("MSH0113", RULE, title(workload), at, what);
    }
}

/// Budgets that let nobody go: a drain of the node waits for ever.
fn budgets(lint: &mut Lint<'_>, index: &Index<'_>) {
    let cluster = lint.cluster;
    for budget in &cluster.disruption_budgets {
        let own = cluster.workloads.iter().filter(|workload| {
            workload.namespace == budget.namespace && budget.selector.matches(&workload.labels)
        });
        let pods: u32 = own.map(|workload| workload.replicas).sum();
        if pods > 0 && allowed(budget, pods) == Some(0) {
            let object = format!("PodDisruptionBudget {}/{}", budget.namespace, budget.name);
            let key = ("PodDisruptionBudget", budget.namespace.as_str(), budget.name.as_str());
            let found = index.get(&key).copied();
            let at = ["minAvailable", "maxUnavailable"]
                .into_iter()
                .find_map(|key| found.and_then(|found| entry(&found.node, &["spec", key])));
            let at = at.map_or(budget.at, |entry| entry.value.at);
            let what = format!("none of {pods} pods may be taken away: a drain waits for ever");
            lint.report("MSH0115", RULE, object, at, what);
        }
    }
}

fn allowed(budget: &DisruptionBudget, pods: u32) -> Option<u32> {
    if budget.max_unavailable.is_some() {
        return part(budget.max_unavailable.as_ref(), pods, true);
    }
    part(budget.min_available.as_ref(), pods, true).map(|needed| pods.saturating_sub(needed))
}

/// Autoscalers that leave one replica when little is to do.
fn autoscalers(lint: &mut Lint<'_>, index: &Index<'_>) {
    let cluster = lint.cluster;
    for scaler in cluster.autoscalers.iter().filter(|scaler| scaler.min <= 1) {
        let target = cluster.workloads.iter().find(|workload| {
            workload.namespace == scaler.namespace && workload.name == scaler.target.1
        });
        let Some(target) = target.filter(|target| !is_istiod(target)) else { continue };
        let Some(service) = cluster.services_of(target).first().copied() else { continue };
        let key = ("HorizontalPodAutoscaler", scaler.namespace.as_str(), scaler.name.as_str());
        let found = index.get(&key).copied();
        let at = found.and_then(|found| entry(&found.node, &["spec", "minReplicas"]));
        let at = at.map_or(scaler.at, |entry| entry.value.at);
        let object = format!("HorizontalPodAutoscaler {}/{}", scaler.namespace, scaler.name);
        let what = format!("{} behind {} may shrink to one replica", target.name, service.name);
        lint.report("MSH0116", RULE, object, at, what);
    }
}

/// Retries after answers that may come from work that was done, for requests that may be writes.
fn retries(lint: &mut Lint<'_>) {
    let services = &lint.istio.virtual_services;
    let mut found: Vec<(String, At, String)> = Vec::new();
    for service in services {
        for route in service.http.iter().filter(|route| !only_reads(route)) {
            let Some(retries) = route.retries.as_ref().filter(|one| one.attempts > 0) else {
                continue;
            };
            let unsafe_word = |word: &&String| {
                ["5xx", "gateway-error", "reset"].contains(&word.as_str())
                    || word.parse::<u16>().is_ok_and(|code| code >= 500)
            };
            let mut words = retries.retry_on.iter().flatten();
            let Some(word) = words.find(unsafe_word) else { continue };
            let what = format!("requests of any method are tried again on {word}");
            found.push((named("VirtualService", &service.head), retries.at, what));
        }
    }
    for (object, at, what) in found {
        lint.report("MSH0120", RULE, object, at, what);
    }
}

/// Whether all requests of a rule are reads.
fn only_reads(route: &HttpRoute) -> bool {
    let read = |method: &StringMatch| match method {
        StringMatch::Exact(word) => ["GET", "HEAD", "OPTIONS"].contains(&word.as_str()),
        _ => false,
    };
    !route.matches.is_empty()
        && route.matches.iter().all(|found| found.method.as_ref().is_some_and(read))
}
