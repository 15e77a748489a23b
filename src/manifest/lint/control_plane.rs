//! The control plane's own objects: webhooks, conditions that it set, deprecated fields.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/{webhook,externalcontrolplane,conditions,
//! deprecation,authn}`.
//! Left out: deprecated fields of `EnvoyFilter` that no release reads any more.

use crate::manifest::lint::Lint;
use crate::manifest::node::Node;
use crate::manifest::object::Object;
use crate::manifest::selector::Selector;
use crate::manifest::source::At;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    webhooks(lint);
    external(lint);
    conditions(lint);
    deprecated(lint);
    key_sets(lint);
}

const WEBHOOK: &str = "webhook.Analyzer";

fn webhooks(lint: &mut Lint<'_>) {
    let hooks = &lint.cluster.webhooks;
    let injectors: Vec<_> = hooks
        .iter()
        .filter(|hook| hook.is_mutating && hook.name.contains("sidecar-injector.istio.io"))
        .collect();
    for (index, hook) in injectors.iter().enumerate() {
        let object = format!("MutatingWebhookConfiguration {}", hook.configuration);
        let both = |other: &Selector, own: &Selector| other == own;
        let twin = injectors.iter().enumerate().find(|(other, twin)| {
            *other != index
                && both(&twin.namespaces, &hook.namespaces)
                && both(&twin.objects, &hook.objects)
        });
        if let Some((_, twin)) = twin {
            let what = format!(
                "Webhook overlaps with others: [{}/{}]. This may cause injection to occur twice.",
                twin.configuration, twin.name
            );
            lint.report("IST0139", WEBHOOK, object.clone(), hook.at, what);
        }
        if let Some((namespace, name)) = &hook.service
            && lint.cluster.service(namespace, name).is_none()
        {
            let what = format!(
                "Injector refers to a control plane service that does not exist: {name}.{namespace}"
            );
            lint.report("IST0139", WEBHOOK, object, hook.at, what);
        }
    }
}

const EXTERNAL: &str = "externalcontrolplane.ExternalControlPlaneAnalyzer";

/// Webhooks of a control plane outside of the cluster, which are named after it.
fn external(lint: &mut Lint<'_>) {
    let kinds = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    for object in lint.objects.iter().filter(|object| kinds.contains(&object.id.kind.as_str())) {
        let name = object.id.name.as_str();
        if !name.starts_with("istio-sidecar-injector") && !name.starts_with("istio-validator") {
            continue;
        }
        let hooks = object.node.get("webhooks").map_or(&[][..], Node::items);
        let client =
            |hook: &Node| hook.get("clientConfig").map(|client| (client.at, client.clone()));
        for (at, client) in hooks.iter().filter_map(client) {
            if client.get("service").is_some() {
                continue;
            }
            let url = client.get("url").and_then(Node::text).unwrap_or("");
            let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next());
            let host = host.unwrap_or("");
            if host.is_empty() {
                let what = format!(
                    "The hostname ({url}) that was provided for the webhook ({name}) is blank or \
                     not valid."
                );
                lint.report("IST0163", EXTERNAL, object.id.to_string(), at, what);
            } else if host.parse::<std::net::IpAddr>().is_ok() {
                let what = format!(
                    "The address ({host}) that was provided for the webhook ({name}) is an IP \
                     address."
                );
                lint.report("IST0164", EXTERNAL, object.id.to_string(), at, what);
            } else {
                continue;
            }
            break;
        }
    }
}

/// Kinds with the types of conditions that tell of a fault when they are False.
const CONDITIONS: &[(&[&str], &[&str])] = &[
    (&["Service", "ServiceEntry", "WorkloadEntry"], &["istio.io/WaypointBound"]),
    (&["AuthorizationPolicy"], &["ZtunnelAccepted", "WaypointAccepted"]),
    (&["Gateway", "HTTPRoute", "GRPCRoute"], &["Accepted", "Programmed", "ResolvedRefs"]),
];

fn conditions(lint: &mut Lint<'_>) {
    for object in lint.objects {
        let kind = object.id.kind.as_str();
        let Some((_, types)) = CONDITIONS.iter().find(|(kinds, _)| kinds.contains(&kind)) else {
            continue;
        };
        let Some(status) = object.node.get("status") else { continue };
        let own = status.get("conditions").map_or(&[][..], Node::items);
        let parents = status.get("parents").map_or(&[][..], Node::items);
        let of_parents = parents.iter().filter_map(|parent| parent.get("conditions"));
        let all = own.iter().chain(of_parents.flat_map(Node::items));
        for condition in all {
            let text = |key: &str| condition.get(key).and_then(Node::text).unwrap_or("");
            let partly = text("type") == "WaypointAccepted" && text("reason") == "PartiallyInvalid";
            if types.contains(&text("type")) && (text("status") == "False" || partly) {
                let what = format!(
                    "A condition with a negative status is present: type={}, reason={}, \
                     message={}.",
                    text("type"),
                    text("reason"),
                    text("message")
                );
                let rule = "conditions.ConditionAnalyzer";
                lint.report("IST0171", rule, object.id.to_string(), condition.at, what);
            }
        }
    }
}

/// Token rules whose keys istiod fetches from wherever they say.
fn key_sets(lint: &mut Lint<'_>) {
    const LIMIT: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";
    let policies = &lint.istio.request_authentications;
    let names: Vec<String> = policies.iter().map(|policy| policy.head.full()).collect();
    if names.is_empty() {
        return;
    }
    let root = &lint.istio.mesh.root_namespace;
    let control_plane = lint.objects.iter().filter(|object| {
        object.is("apps", "Deployment")
            && object.id.namespace == *root
            && object.labels.get("app").is_some_and(|app| app == "istiod")
    });
    let open: Vec<(String, At)> = control_plane
        .filter(|object| !has_variable(object, LIMIT))
        .map(|object| (object.id.to_string(), object.name_at))
        .collect();
    for (object, at) in open {
        let what = format!(
            "{LIMIT} is not configured but {} RequestAuthentication resource(s) exist ({})",
            names.len(),
            names.join(", ")
        );
        lint.report("IST0175", "authn.BlockedCIDRsAnalyzer", object, at, what);
    }
}

/// Whether a container of a deployment has an environment variable.
fn has_variable(object: &Object, name: &str) -> bool {
    let spec = object.node.get("spec").and_then(|spec| spec.get("template")?.get("spec"));
    let containers = spec.and_then(|spec| spec.get("containers")).map_or(&[][..], Node::items);
    let variables = containers.iter().filter_map(|container| container.get("env"));
    variables.flat_map(Node::items).any(|one| one.get("name").and_then(Node::text) == Some(name))
}

/// Where a deprecated field of a virtual service stands.
fn deprecated_field(object: &Object) -> Option<(&'static str, At)> {
    let routes = object.node.get("spec")?.get("http")?.items();
    routes.iter().find_map(|route| {
        let delay = route.get("fault").and_then(|fault| fault.get("delay"));
        let found = [
            (
                delay,
                "percent",
                "HTTPRoute.fault.delay.percent is deprecated; use HTTPRoute.fault.delay.percentage",
            ),
            (
                Some(route),
                "mirrorPercent",
                "HTTPRoute.mirrorPercent is deprecated; use HTTPRoute.mirrorPercentage",
            ),
            (
                route.get("corsPolicy"),
                "allowOrigin",
                "corsPolicy.allowOrigin is deprecated; use allowOrigins",
            ),
        ];
        found.into_iter().find_map(|(node, key, what)| Some((what, node?.entry(key)?.key_at)))
    })
}

fn deprecated(lint: &mut Lint<'_>) {
    const RULE: &str = "deprecation.DeprecationAnalyzer";
    for object in lint.objects {
        match object.id.kind.as_str() {
            "VirtualService" => {
                if let Some((what, at)) = deprecated_field(object) {
                    lint.report("IST0002", RULE, object.id.to_string(), at, what.to_owned());
                }
            }
            "Sidecar" => {
                let policy =
                    object.node.get("spec").and_then(|spec| spec.get("outboundTrafficPolicy"));
                if let Some(entry) = policy.and_then(|policy| policy.entry("egressProxy")) {
                    let what = "Sidecar.outboundTrafficPolicy.egressProxy is deprecated".to_owned();
                    lint.report("IST0002", RULE, object.id.to_string(), entry.key_at, what);
                }
            }
            _ => {}
        }
    }
}
