//! What only shows when something fails: limits that never act, single points, mutual TLS that cannot
//! work.
//!
//! Source: Envoy's check of `max_ejection_percent` before the first ejection (from 1.28 on: with 10 % and
//! fewer than ten endpoints nobody is ejected), `reference/istio.md` 3.3 and 3.5; Kubernetes rolling
//! updates and failure policies of webhooks.
//! Left out: what needs a call graph is in [`crate::manifest::lint::calls`], lives of certificates in
//! [`crate::manifest::lint::certificate`], updates and drains in [`crate::manifest::lint::rollout`].

use crate::manifest::istio::authentication::MtlsMode;
use crate::manifest::istio::destination_rule::DestinationRule;
use crate::manifest::istio::host;
use crate::manifest::istio::mesh::{Mesh, Release};
use crate::manifest::istio::registry::{self, From};
use crate::manifest::istio::security;
use crate::manifest::istio::traffic_policy::{OutlierDetection, TlsMode};
use crate::manifest::kubernetes::service::Service;
use crate::manifest::kubernetes::workload::{Workload, WorkloadKind};
use crate::manifest::lint::{Lint, named};
use crate::manifest::object::Labels;
use crate::manifest::source::At;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    ejections(lint);
    tries(lint);
    single_replicas(lint);
    control_plane(lint);
    mutual_tls(lint);
}

const RULE: &str = "meshsim.outage";

/// Outlier detection whose percentage of the endpoints is less than one.
fn ejections(lint: &mut Lint<'_>) {
    let mut found: Vec<(String, At, String)> = Vec::new();
    for rule in &lint.istio.destination_rules {
        let Some(word) = &rule.host else { continue };
        let full = host::full(&word.text, &rule.head.namespace);
        let Some(known) = lint.registry.named(&full).next() else { continue };
        let endpoints =
            |labels: &Labels| registry::backing(lint.cluster, lint.istio, known, labels).endpoints;
        let parts = rule.subsets.iter().map(|subset| {
            let own = subset.policy.as_ref().and_then(|policy| policy.outlier.as_ref());
            let host = rule.policy.as_ref().and_then(|policy| policy.outlier.as_ref());
            (format!("subset {}", subset.name), own.or(host), endpoints(&subset.labels))
        });
        let whole = rule.policy.as_ref().and_then(|policy| policy.outlier.as_ref());
        let whole = rule
            .subsets
            .is_empty()
            .then(|| (format!("host {}", word.text), whole, endpoints(&Labels::new())));
        let judged = whole.into_iter().chain(parts);
        found.extend(judged.filter_map(|(name, outlier, endpoints)| {
            let what = never_ejects(&name, outlier?, endpoints?)?;
            Some((named("DestinationRule", &rule.head), outlier?.at, what))
        }));
    }
    found.dedup_by(|a, b| a.1 == b.1);
    for (object, at, what) in found {
        lint.report("MSH0101", RULE, object, at, what);
    }
}

fn never_ejects(name: &str, outlier: &OutlierDetection, endpoints: u32) -> Option<String> {
    let percent = outlier.ejection_percent_max;
    let can = u64::from(percent) * u64::from(endpoints) / 100;
    let off = outlier.consecutive_5xx == 0 && outlier.consecutive_gateway.is_none();
    if off {
        return Some(format!("outlier detection of {name} counts no errors at all"));
    }
    (can == 0 && endpoints > 0).then(|| {
        format!(
            "outlier detection of {name} can never eject: {percent} % of {endpoints} \
         endpoints is less than one"
        )
    })
}

/// Tries that the route's own timeout cuts off.
fn tries(lint: &mut Lint<'_>) {
    for service in &lint.istio.virtual_services {
        for route in &service.http {
            let (Some(timeout), Some(retries)) = (route.timeout_ns, &route.retries) else {
                continue;
            };
            let Some(each) = retries.per_try_ns else { continue };
            let all = u128::from(each) * u128::from(retries.attempts + 1);
            if all > u128::from(timeout) {
                let fit = timeout / each.max(1);
                let what = format!(
                    "{} tries of {} ms do not fit into the timeout of {} ms: at most {fit} run \
                     to their end",
                    retries.attempts + 1,
                    each / 1_000_000,
                    timeout / 1_000_000
                );
                lint.report(
                    "MSH0102",
                    RULE,
                    named("VirtualService", &service.head),
                    retries.at,
                    what,
                );
            }
        }
    }
}

/// One replica behind a service: a rolling update, a drain or a crash is an outage.
fn single_replicas(lint: &mut Lint<'_>) {
    let cluster = lint.cluster;
    for workload in &cluster.workloads {
        let managed = matches!(workload.kind, WorkloadKind::Deployment | WorkloadKind::StatefulSet);
        let scaled = cluster.autoscalers.iter().any(|scaler| {
            scaler.namespace == workload.namespace && scaler.target.1 == workload.name
        });
        // The control plane itself is judged by itself.
        if !managed || workload.replicas != 1 || scaled || is_istiod(workload) {
            continue;
        }
        if let Some(service) = cluster.services_of(workload).first() {
            let at = workload.replicas_at.unwrap_or(workload.at);
            let object =
                format!("{} {}/{}", workload.kind.word(), workload.namespace, workload.name);
            let what = format!("one replica behind the service {}", service.name);
            lint.report("MSH0103", RULE, object, at, what);
        }
    }
}

/// Whether these are the pods of Istio's control plane.
pub fn is_istiod(workload: &Workload) -> bool {
    workload.labels.get("app").is_some_and(|app| app == "istiod")
}

/// The control plane: replicas behind closed webhooks, and a disruption budget.
fn control_plane(lint: &mut Lint<'_>) {
    let cluster = lint.cluster;
    for hook in cluster.webhooks.iter().filter(|hook| hook.fails_closed && hook.for_pods) {
        let service =
            hook.service.as_ref().and_then(|(namespace, name)| cluster.service(namespace, name));
        let Some(service) = service else { continue };
        let replicas: u32 = cluster.workloads_of(service).iter().map(|one| one.replicas).sum();
        if replicas == 1 {
            let kind = if hook.is_mutating { "Mutating" } else { "Validating" };
            let object = format!("{kind}WebhookConfiguration {}", hook.configuration);
            let what = format!("webhook {} fails closed and has one replica behind it", hook.name);
            lint.report("MSH0104", RULE, object, hook.at, what);
        }
    }
    for workload in &cluster.workloads {
        if !is_istiod(workload) || workload.kind != WorkloadKind::Deployment {
            continue;
        }
        let mut scalers = cluster.autoscalers.iter();
        let scaler = scalers.find(|scaler| {
            scaler.namespace == workload.namespace && scaler.target.1 == workload.name
        });
        if scaler.map_or(workload.replicas, |scaler| scaler.min) < 2 {
            let object = format!("Deployment {}/{}", workload.namespace, workload.name);
            let at = workload.replicas_at.unwrap_or(workload.at);
            let what = "the control plane may have one replica only".to_owned();
            lint.report("MSH0121", RULE, object, at, what);
        }
        let budget = cluster.disruption_budgets.iter().any(|budget| {
            budget.namespace == workload.namespace && budget.selector.matches(&workload.labels)
        });
        if !budget {
            let object = format!("Deployment {}/{}", workload.namespace, workload.name);
            let what = "the control plane has no PodDisruptionBudget".to_owned();
            lint.report("MSH0105", RULE, object, workload.at, what);
        }
    }
}

/// A destination rule's TLS against what the servers accept.
fn mutual_tls(lint: &mut Lint<'_>) {
    let (cluster, istio, sources) = (lint.cluster, lint.istio, lint.sources);
    if istio.destination_rules.iter().all(|rule| !sets_tls(rule)) {
        return;
    }
    let mesh = Mesh::of(cluster, istio, sources, Release::default());
    for rule in istio.destination_rules.iter().filter(|rule| sets_tls(rule)) {
        let Some(word) = &rule.host else { continue };
        let full = host::full(&word.text, &rule.head.namespace);
        let services = mesh
            .registry
            .iter()
            .filter(|known| known.origin == From::Kubernetes && host::within(&known.host, &full));
        for known in services {
            let Some(service) = cluster.service(&known.namespace, &known.name) else { continue };
            for workload in cluster.workloads_of(service) {
                if let Some((at, what)) = conflict(&mesh, rule, service, workload) {
                    let object = named("DestinationRule", &rule.head);
                    lint.report("IST0113", "meshsim.mtls", object, at, what);
                }
            }
        }
    }
}

/// The first port on which a rule's TLS and a server do not fit.
fn conflict(
    mesh: &Mesh<'_>,
    rule: &DestinationRule,
    service: &Service,
    workload: &Workload,
) -> Option<(At, String)> {
    let injected = security::has_sidecar(mesh.cluster, workload);
    let policy = rule.policy.as_ref()?;
    service.ports.iter().find_map(|port| {
        let number = workload.port_number(&port.target).unwrap_or(port.number);
        let tls = policy.for_port(port.number).tls?;
        let (mode, _) = security::server_mode(mesh, &workload.namespace, &workload.labels, number);
        let mutual = tls.mode == TlsMode::IstioMutual;
        let strict = injected && mode == MtlsMode::Strict;
        let closed = !injected || mode == MtlsMode::Disable;
        if !(mutual && closed || !mutual && strict) {
            return None;
        }
        let server = if injected { mode.word() } else { "no sidecar" };
        let what = format!(
            "A DestinationRule and Policy are in conflict with regards to mTLS for host {}: TLS \
             mode {}, but {} has {server} on port {number}",
            service.host(),
            tls.mode.word(),
            workload.name
        );
        Some((tls.at, what))
    })
}

fn sets_tls(rule: &DestinationRule) -> bool {
    rule.policy.as_ref().is_some_and(|policy| {
        policy.tls.is_some() || policy.ports.iter().any(|(_, part)| part.tls.is_some())
    })
}
