//! The control plane and the gateways: parameters of `[mesh]` instead of services.
//!
//! Source: istio.io charts (labels `app: istiod`, `istio: ingressgateway`), linkerd2 charts
//! (`linkerd.io/control-plane-component`); docs/parameters.md, docs/linkerd-parameters.md (parameters and profiles).
//! Left out: egress gateways, a second ingress gateway, budgets and autoscalers of gateways (on the ignored list).

use crate::manifest::draft::Draft;
use crate::manifest::draft::places::Places;
use crate::manifest::draft::pods::{id, scaler_of};
use crate::manifest::draft::releases;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::node::{self, Node};
use crate::manifest::object::Labels;
use crate::manifest::selector::contains;
use crate::manifest::units::{self, DurationForm};

/// istiod's environment: variable, group and name of the parameter, whether it is a time.
const ENVIRONMENT: &[(&str, &str, &str, bool)] = &[
    ("PILOT_DEBOUNCE_AFTER", "xds", "debounce_after", true),
    ("PILOT_DEBOUNCE_MAX", "xds", "debounce_max", true),
    ("PILOT_PUSH_THROTTLE", "xds", "push_slots", false),
    ("PILOT_MAX_REQUESTS_PER_SECOND", "xds", "stream_rate", false),
    ("MAX_WORKLOAD_CERT_TTL", "cert", "max_ttl", true),
    ("CITADEL_SELF_SIGNED_CA_CERT_TTL", "root", "ttl", true),
    ("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", "root", "check", true),
];

/// What a workload is in a mesh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// An app.
    App,
    /// Istio's control plane.
    Istiod,
    /// A gateway for traffic from outside.
    Ingress,
    /// A gateway for traffic to the outside.
    Egress,
    /// A controller of Linkerd.
    Linkerd,
    /// What runs on each node for the mesh, or a waypoint.
    Agent,
}

/// What a workload is, by its pods' labels and the gateways that select it.
pub(super) fn role(loaded: &Loaded, workload: &Workload) -> Role {
    let told = role_of_labels(&workload.labels);
    if told != Role::App {
        return told;
    }
    let template = workload.annotations.get("inject.istio.io/templates");
    let mut gateways = loaded.istio.gateways.iter();
    let is_behind =
        gateways.any(|one| !one.selector.is_empty() && contains(&workload.labels, &one.selector));
    if is_behind || template.is_some_and(|template| template == "gateway") {
        return Role::Ingress;
    }
    Role::App
}

/// The same by labels alone, as selectors of Services have them.
pub(super) fn role_of_labels(labels: &Labels) -> Role {
    let is = |key: &str, value: &str| labels.get(key).is_some_and(|word| word == value);
    let istio = labels.get("istio").map_or("", String::as_str);
    if labels.contains_key("linkerd.io/control-plane-component") {
        return Role::Linkerd;
    }
    if is("gateway.istio.io/managed", "istio.io-mesh-controller")
        || is("app", "ztunnel")
        || is("k8s-app", "istio-cni-node")
    {
        return Role::Agent;
    }
    if is("app", "istiod") || matches!(istio, "pilot" | "istiod") {
        return Role::Istiod;
    }
    if istio.starts_with("egressgateway") {
        return Role::Egress;
    }
    let is_gateway = istio.starts_with("ingressgateway")
        || labels.contains_key("gateway.networking.k8s.io/gateway-name");
    if is_gateway { Role::Ingress } else { Role::App }
}

/// Fills `[mesh]` with what the control plane's and the gateways' own manifests say.
pub(super) fn settings(draft: &mut Draft<'_>, places: &Places<'_>) {
    releases::profile(draft, places);
    let loaded = draft.loaded;
    let of = |wanted: Role| {
        loaded.cluster.workloads.iter().filter(move |one| role(loaded, one) == wanted)
    };
    match draft.mesh {
        Mesh::Istio => {
            for (index, istiod) in of(Role::Istiod).enumerate() {
                let field = "Deployment.metadata.labels.istio.io/rev";
                if 0 < index {
                    draft.ignore(
                        field,
                        istiod.at,
                        "a second istiod: one control plane is simulated",
                    );
                } else {
                    self::istiod(draft, places, istiod);
                }
            }
        }
        Mesh::Linkerd => {
            if let Some(controller) = of(Role::Linkerd).max_by_key(|one| one.replicas) {
                let replicas = replicas_of(draft, controller);
                draft.settings.below("linkerd_control").set("replicas", replicas);
            }
            for controller in of(Role::Linkerd) {
                for (_, container) in releases::containers(places, controller) {
                    let arguments = container.get("args").map_or(&[][..], Node::items);
                    for argument in arguments {
                        of_identity(draft, argument);
                    }
                }
            }
        }
        Mesh::GatewayApi => {}
    }
    webhooks(draft);
    gateways(draft, of(Role::Ingress).collect());
    for egress in of(Role::Egress) {
        let why = "egress gateways are not simulated: who calls outside hosts does so by itself";
        draft.ignore("Deployment.metadata.labels.istio", egress.at, why);
    }
    budgets(draft);
}

/// How many pods, by an autoscaler's least if there is one.
fn replicas_of(draft: &mut Draft<'_>, workload: &Workload) -> Value {
    let written = Value::integer(workload.replicas).at(workload.replicas_at.unwrap_or(workload.at));
    let Some(scaler) = scaler_of(draft, workload) else { return written };
    draft.used(&id("autoscaling", "HorizontalPodAutoscaler", &scaler.namespace, &scaler.name));
    if workload.replicas_at.is_some() && (scaler.min..=scaler.max).contains(&workload.replicas) {
        return written;
    }
    Value::integer(scaler.min.max(1)).at(scaler.at)
}

fn istiod(draft: &mut Draft<'_>, places: &Places<'_>, istiod: &Workload) {
    let replicas = replicas_of(draft, istiod);
    let mut table = Table::new();
    table.set("replicas", replicas);
    if let Some(scaler) = scaler_of(draft, istiod) {
        table.set("replicas_min", Value::integer(scaler.min.max(1)).at(scaler.at));
        table.set("replicas_max", Value::integer(scaler.max.max(1)).at(scaler.at));
        let percent = scaler.cpu_utilization_percent.filter(|percent| (1..=100).contains(percent));
        let target = percent.map(|percent| Value::float(f64::from(percent) / 100.0).at(scaler.at));
        table.set_some("scale_target", target);
    }
    let own = istiod.containers.iter().find(|one| one.name == "discovery");
    if let Some(own) = own.or(istiod.containers.first()) {
        let whole =
            |number: u128| Value::integer(u32::try_from(number).unwrap_or(u32::MAX)).at(own.at);
        let cores = own.cpu_limit_milli.map(|milli| whole(milli.div_ceil(1000).max(1)));
        table.set_some("cpu", cores);
        table.set_some("cpu_request", own.cpu_request_milli.filter(|milli| 0 < *milli).map(whole));
        let memory = own.memory_limit_bytes.map(|bytes| Value::text(mebibytes(bytes)).at(own.at));
        table.set_some("memory_limit", memory);
    }
    draft.settings.set("istiod", table);
    for (_, container) in releases::containers(places, istiod) {
        let variables = container.get("env").map_or(&[][..], Node::items);
        for variable in variables {
            environment(draft, variable);
        }
        let arguments = container.get("args").map_or(&[][..], Node::items);
        for (index, argument) in arguments.iter().enumerate() {
            age_of_connections(draft, argument, arguments.get(index + 1));
        }
    }
}

fn mebibytes(bytes: u128) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    if tenths.is_multiple_of(10) {
        format!("{}MiB", tenths / 10)
    } else {
        format!("{}.{}MiB", tenths / 10, tenths % 10)
    }
}

/// A variable of istiod's environment that is a parameter.
fn environment(draft: &mut Draft<'_>, variable: &Node) {
    let Some(name) = variable.get("name").and_then(Node::text) else { return };
    let Some(value) = variable.get("value") else { return };
    let Some(text) = value.text() else { return };
    if name == "ENABLE_NATIVE_SIDECARS" {
        let word = if text == "true" { "on" } else { "off" };
        draft.settings.below("pod").set("native_sidecars", Value::text(word).at(value.at));
    }
    let Some((_, group, parameter, is_time)) = ENVIRONMENT.iter().find(|(own, ..)| *own == name)
    else {
        return;
    };
    let read = if *is_time {
        units::duration_ns(text, DurationForm::Go).ok().map(Value::duration)
    } else {
        text.parse::<u32>().ok().map(Value::integer)
    };
    if let Some(read) = read {
        draft.settings.below(group).set(*parameter, read.at(value.at));
    }
}

/// `--keepaliveMaxServerConnectionAge`, in one argument or in two.
fn age_of_connections(draft: &mut Draft<'_>, argument: &Node, next: Option<&Node>) {
    let Some(text) = argument.text() else { return };
    let Some(rest) = text.strip_prefix("--keepaliveMaxServerConnectionAge") else { return };
    let value = match rest.strip_prefix('=') {
        Some(value) => Some((value, argument.at)),
        None => next.and_then(|next| Some((next.text()?, next.at))),
    };
    let Some((text, at)) = value else { return };
    if let Ok(ns) = units::duration_ns(text, DurationForm::Go) {
        draft.settings.below("xds").set("max_connection_age", Value::duration(ns).at(at));
    }
}

/// Times of the identity controller, as the chart writes them.
fn of_identity(draft: &mut Draft<'_>, argument: &Node) {
    let parameters = [
        ("-identity-issuance-lifetime=", "lifetime"),
        ("-identity-clock-skew-allowance=", "clock_skew"),
    ];
    let Some(text) = argument.text() else { return };
    let stripped = |(flag, name)| text.strip_prefix(flag).map(|value| (value, name));
    let Some((value, name)) = parameters.into_iter().find_map(stripped) else { return };
    if let Ok(ns) = units::duration_ns(value, DurationForm::Go) {
        let value = Value::duration(ns).at(argument.at);
        draft.settings.below("linkerd_identity").set(name, value);
    }
}

/// What becomes of new pods while the injector is away.
fn webhooks(draft: &mut Draft<'_>) {
    let loaded = draft.loaded;
    let mut is_told = false;
    for hook in &loaded.cluster.webhooks {
        let is_of = |names: [&str; 2]| names.iter().any(|name| hook.name.contains(name));
        let is_own = match draft.mesh {
            Mesh::Istio => is_of(["sidecar-injector.istio.io", "namespace.sidecar-injector"]),
            Mesh::Linkerd => is_of(["linkerd-proxy-injector", "proxy-injector.linkerd.io"]),
            Mesh::GatewayApi => false,
        };
        let is_istios = hook.name.contains("istio.io");
        if !hook.is_mutating || !is_own {
            if !hook.is_mutating && !hook.fails_closed && is_istios {
                let why = "istiod sets it to Fail when it runs";
                draft.ignore("ValidatingWebhookConfiguration.webhooks.failurePolicy", hook.at, why);
            }
            continue;
        }
        draft.used(&id(
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration",
            "",
            &hook.configuration,
        ));
        if is_told {
            continue;
        }
        is_told = true;
        let policy = if hook.fails_closed { "fail" } else { "ignore" };
        let webhook = draft.settings.below("webhook");
        webhook.set("failure_policy", Value::text(policy).at(hook.at));
        let timeout = u64::from(hook.timeout_s.clamp(1, 30)) * 1_000_000_000;
        webhook.set("timeout", Value::duration(timeout).at(hook.at));
    }
}

fn gateways(draft: &mut Draft<'_>, mut all: Vec<&Workload>) {
    all.sort_by_key(|one| one.name != "istio-ingressgateway");
    let mut all = all.into_iter();
    let Some(first) = all.next() else { return };
    let replicas = replicas_of(draft, first);
    draft.settings.below("ingress").set("replicas", replicas);
    if let Some(scaler) = scaler_of(draft, first).filter(|one| one.min != one.max) {
        let why = "a gateway's autoscaler is not simulated: it has its least pods";
        draft.ignore("HorizontalPodAutoscaler.spec.maxReplicas", scaler.at, why);
    }
    for other in all {
        let field = format!("{}.spec.replicas", other.kind.word());
        draft.ignore(field, other.at, "a second gateway: all traffic from outside comes by one");
    }
}

/// Budgets of the control plane and of gateways.
fn budgets(draft: &mut Draft<'_>) {
    let loaded = draft.loaded;
    for budget in &loaded.cluster.disruption_budgets {
        let protects = |one: &&Workload| {
            one.namespace == budget.namespace
                && budget.selector.matches(&one.labels)
                && role(loaded, one) != Role::App
        };
        if loaded.cluster.workloads.iter().any(|one| protects(&one)) {
            let why = "drains do not take pods of the control plane or of gateways";
            draft.ignore("PodDisruptionBudget.spec", budget.at, why);
        }
    }
}

/// A number of a tree, if it is a whole one.
pub(super) fn whole(node: &Node) -> Option<u32> {
    match node.value {
        node::Value::Int(number) => u32::try_from(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_mebibytes() {
        assert_eq!(mebibytes(2 << 30), "2048MiB");
        assert_eq!(mebibytes((3 << 20) / 2), "1.5MiB");
    }
}
