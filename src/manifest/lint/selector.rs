//! Selectors: objects that select nothing, the same pods twice, or pods that do not read them.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/{sidecar,telemetry,authz,k8sgateway}`.
//! Left out: policies that are attached by `targetRefs` only.

use crate::manifest::istio::authorization::{AuthorizationPolicy, pattern_fits};
use crate::manifest::istio::meta::Head;
use crate::manifest::istio::telemetry::{Provided, Telemetry};
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::lint::injection::{is_ambient, is_in_mesh};
use crate::manifest::lint::{Lint, named};
use crate::manifest::object::Labels;
use crate::manifest::reader::Word;
use crate::manifest::selector::contains;

/// An object with a selector, without its kind.
struct Selecting {
    head: Head,
    selector: Option<Labels>,
}

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    let sidecars = lint.istio.sidecars.iter();
    let sidecars: Vec<Selecting> = sidecars
        .map(|sidecar| Selecting {
            head: sidecar.head.clone(),
            selector: sidecar.workload_selector.clone().filter(|labels| !labels.is_empty()),
        })
        .collect();
    let telemetries = lint.istio.telemetries.iter().filter(|one| one.targets.is_empty());
    let telemetries: Vec<Selecting> = telemetries
        .map(|one| Selecting {
            head: one.head.clone(),
            selector: one.selector.clone().filter(|labels| !labels.is_empty()),
        })
        .collect();
    sidecars_in_ambient(lint, &sidecars);
    overlapping(
        lint,
        "Sidecar",
        &sidecars,
        ("IST0110", "IST0111"),
        ["sidecar.SelectorAnalyzer"; 2],
    );
    overlapping(
        lint,
        "Telemetry",
        &telemetries,
        ("IST0159", "IST0160"),
        ["telemetry.SelectorAnalyzer", "telemetry.DefaultSelectorAnalyzer"],
    );
    providers(lint);
    lightstep(lint);
    authorization(lint);
    gateway_api(lint);
}

fn pods<'l>(lint: &'l Lint<'_>, one: &Selecting) -> Vec<&'l Workload> {
    let fits = |workload: &&Workload| {
        workload.namespace == one.head.namespace
            && one.selector.as_ref().is_none_or(|labels| contains(&workload.labels, labels))
    };
    lint.cluster.workloads.iter().filter(fits).collect()
}

/// Selectors of nothing, several for one pod, several without a selector.
fn overlapping(
    lint: &mut Lint<'_>,
    kind: &str,
    all: &[Selecting],
    (same_pod, no_selector): (&'static str, &'static str),
    [rule, default_rule]: [&'static str; 2],
) {
    for (index, one) in all.iter().enumerate() {
        let object = named(kind, &one.head);
        let own = |other: &&Selecting| other.head.namespace == one.head.namespace;
        let others = || all.iter().enumerate().filter(move |(n, _)| *n != index).map(|(_, o)| o);
        let Some(selector) = &one.selector else {
            let found: Vec<String> = others()
                .filter(own)
                .filter(|o| o.selector.is_none())
                .map(|o| o.head.full())
                .collect();
            if !found.is_empty() && !is_ambient(lint.cluster, &one.head.namespace) {
                let what = format!(
                    "{} and {} have no workload selector",
                    one.head.full(),
                    found.join(", ")
                );
                lint.report(no_selector, default_rule, object, one.head.at, what);
            }
            continue;
        };
        let selected = pods(lint, one);
        if selected.is_empty() {
            let labels: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let what = format!("Referenced selector not found: \"{}\"", labels.join(","));
            lint.report("IST0101", rule, object, one.head.at, what);
            continue;
        }
        let conflict =
            others().filter(own).filter(|other| other.selector.is_some()).find_map(|other| {
                let labels = other.selector.as_ref()?;
                let pod = selected.iter().find(|pod| contains(&pod.labels, labels))?;
                Some((other.head.full(), pod.name.clone()))
            });
        if let Some((other, pod)) = conflict {
            let what =
                format!("{} and {other} select the same workload pod \"{pod}\"", one.head.full());
            lint.report(same_pod, rule, object, one.head.at, what);
        }
    }
}

fn sidecars_in_ambient(lint: &mut Lint<'_>, sidecars: &[Selecting]) {
    for one in sidecars {
        let ambient = if one.selector.is_none() {
            is_ambient(lint.cluster, &one.head.namespace)
        } else {
            let all = pods(lint, one);
            let redirected = |pod: &&Workload| {
                let value = pod.annotations.get("ambient.istio.io/redirection");
                value.is_some_and(|value| value == "enabled")
            };
            !all.is_empty() && all.iter().all(redirected)
        };
        if ambient {
            let object = named("Sidecar", &one.head);
            let what = "Sidecar has no effect: its workloads are in ambient mode".to_owned();
            lint.report("IST0167", "sidecar.SelectorAnalyzer", object, one.head.at, what);
        }
    }
}

/// Logging without a provider, where the mesh has no default.
fn providers(lint: &mut Lint<'_>) {
    let none = |all: &[Provided]| {
        all.iter().find(|one| one.providers.is_empty() && !one.disabled).map(|one| one.at)
    };
    for telemetry in &lint.istio.telemetries {
        let Some(at) = none(&telemetry.logging) else { continue };
        let object = named("Telemetry", &telemetry.head);
        let what = format!(
            "The Telemetry {} with empty providers will be ignored.",
            telemetry.head.full()
        );
        lint.report("IST0157", "telemetry.ProviderAnalyzer", object, at, what);
    }
}

fn lightstep(lint: &mut Lint<'_>) {
    let names = |telemetry: &Telemetry| -> Vec<Word> {
        let all = telemetry.tracing.iter().chain(&telemetry.logging).chain(&telemetry.metrics);
        all.flat_map(|one| one.providers.clone()).collect()
    };
    for telemetry in &lint.istio.telemetries {
        let old = names(telemetry);
        let old = old.into_iter().find(|word| lint.istio.mesh.lightstep.contains(&word.text));
        if let Some(word) = old {
            let object = named("Telemetry", &telemetry.head);
            let what =
                format!("The Lightstep provider `{}` is deprecated, use OpenTelemetry", word.text);
            lint.report("IST0002", "telemetry.LightstepAnalyzer", object, word.at, what);
        }
    }
}

const AUTHORIZATION: &str = "auth.AuthorizationPoliciesAnalyzer";

fn authorization(lint: &mut Lint<'_>) {
    let root = lint.istio.mesh.root_namespace.clone();
    for policy in &lint.istio.authorization_policies {
        if policy.targets.is_empty() {
            let wide = policy.head.namespace == root;
            let selector = policy.selector.as_ref().filter(|labels| !labels.is_empty());
            let found = lint.cluster.workloads.iter().any(|workload| {
                (wide || workload.namespace == policy.head.namespace)
                    && selector.is_none_or(|labels| contains(&workload.labels, labels))
                    && is_in_mesh(lint.cluster, workload)
            });
            if !(found || wide && selector.is_none()) {
                let labels = selector.map_or_else(
                    || "all".to_owned(),
                    |labels| {
                        labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
                    },
                );
                let object = named("AuthorizationPolicy", &policy.head);
                let what = format!(
                    "No matching workloads for this resource with the following labels: {labels}"
                );
                lint.report("IST0127", AUTHORIZATION, object, policy.head.at, what);
            }
        }
        source_namespaces(lint, policy);
    }
}

fn source_namespaces(lint: &mut Lint<'_>, policy: &AuthorizationPolicy) {
    let sources = policy.rules.iter().flat_map(|rule| &rule.from);
    let words = sources.flat_map(|from| from.namespaces.any.iter().chain(&from.namespaces.not));
    for word in words {
        let fits = |name: &String| pattern_fits(&word.text, name);
        if word.text != "*" && !lint.cluster.namespaces.keys().any(fits) {
            let object = named("AuthorizationPolicy", &policy.head);
            let what = format!("Referenced namespace not found: \"{}\"", word.text);
            lint.report("IST0101", AUTHORIZATION, object, word.at, what);
        }
    }
}

const GATEWAY_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// Selectors on pods of Gateway API gateways, which read `targetRefs` only.
fn gateway_api(lint: &mut Lint<'_>) {
    let kinds = ["RequestAuthentication", "AuthorizationPolicy", "WasmPlugin", "Telemetry"];
    for object in lint.objects.iter().filter(|object| kinds.contains(&object.id.kind.as_str())) {
        let Some(spec) = object.node.get("spec") else { continue };
        let attached = spec.get("targetRef").is_some() || spec.get("targetRefs").is_some();
        let labels = spec.get("selector").and_then(|selector| selector.get("matchLabels"));
        let Some(entries) = labels.filter(|_| !attached).map(super::super::node::Node::entries)
        else {
            continue;
        };
        let wanted: Labels = entries
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.to_owned())))
            .collect();
        let gateway = lint.cluster.workloads.iter().any(|pod| {
            pod.namespace == object.id.namespace
                && pod.labels.contains_key(GATEWAY_LABEL)
                && contains(&pod.labels, &wanted)
        });
        if gateway && !wanted.is_empty() {
            let what = "the selector matches pods of a Kubernetes Gateway, which do not read it"
                .to_owned();
            let at = labels.map_or(object.name_at, |labels| labels.at);
            lint.report("IST0166", "k8sgateway.SelectorAnalyzer", object.id.to_string(), at, what);
        }
    }
}
