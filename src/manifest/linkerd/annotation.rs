//! Linkerd's annotations: which there are, where they count, and what happens to a bad value.
//!
//! Annotations are plain strings, so nothing refuses a wrong one: the injector and the controllers log
//! a line and go on with a default. [`check`] says what they do instead. The values that decide routes
//! are read in [`super::traffic`] and [`super::inject`].
//! Source: linkerd2 `pkg/k8s/labels.go`, `pkg/inject/values.go` (a value that does not parse is
//! logged and the default kept), `policy-controller/k8s/index/src/outbound/index.rs`; docs
//! `2-edge/reference/proxy-configuration`, `retries`, `timeouts`, `circuit-breaking`.
//! Left out: annotations of extensions (viz, multicluster, jaeger); they are passed over.

use crate::manifest::findings::Findings;
use crate::manifest::linkerd::ports::Ports;
use crate::manifest::linkerd::settings::DefaultPolicy;
use crate::manifest::node::Node;
use crate::manifest::object::nearest;
use crate::manifest::source::{At, Sources};
use crate::manifest::units::{self, DurationForm};

/// One annotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Annotation<'n> {
    /// Its name.
    pub key: &'n str,
    /// Its value.
    pub value: &'n str,
    /// Where the value is.
    pub at: At,
    /// Where the name is.
    pub key_at: At,
}

/// The annotations of one object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Annotations<'n> {
    /// In the order of the file.
    pub list: Vec<Annotation<'n>>,
}

/// What an object's annotations are read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bearer {
    /// A namespace.
    Namespace,
    /// A pod, or the pod template of a workload.
    Pod,
    /// A workload itself, whose annotations nothing reads.
    Workload,
    /// A Service.
    Service,
    /// An HTTP or gRPC route.
    Route,
    /// An `EgressNetwork`.
    Egress,
    /// Any other object of Linkerd.
    Other,
}

/// What a value must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Anything.
    Any,
    /// One of some words.
    Words(&'static [&'static str]),
    /// Ports and ranges of ports.
    Ports,
    /// A whole number.
    Count,
    /// A duration as Go reads it.
    Duration,
    /// A boolean as Go reads it.
    Bool,
    /// A quantity of Kubernetes.
    Quantity,
    /// Judged where it is read ([`super::traffic`]).
    Elsewhere,
}

const NAMESPACE: u8 = 1;
const POD: u8 = 2;
const SERVICE: u8 = 4;
const ROUTE: u8 = 8;
const EGRESS: u8 = 16;
const INJECTED: u8 = NAMESPACE | POD;
const TRAFFIC: u8 = SERVICE | ROUTE | EGRESS;
const BALANCED: u8 = SERVICE | EGRESS;

const POLICIES: &[&str] = &[
    "all-unauthenticated",
    "all-authenticated",
    "cluster-unauthenticated",
    "cluster-authenticated",
    "deny",
    "audit",
];

/// Name, where it counts, form of the value, and why it is not simulated (empty if it is).
const KNOWN: &[(&str, u8, Form, &str)] = &[
    ("linkerd.io/inject", INJECTED, Form::Words(&["enabled", "disabled", "ingress"]), ""),
    ("config.linkerd.io/skip-inbound-ports", INJECTED, Form::Ports, ""),
    ("config.linkerd.io/skip-outbound-ports", INJECTED, Form::Ports, ""),
    ("config.linkerd.io/opaque-ports", INJECTED | SERVICE | EGRESS, Form::Ports, ""),
    ("config.linkerd.io/default-inbound-policy", INJECTED, Form::Words(POLICIES), ""),
    ("config.linkerd.io/proxy-require-identity-inbound-ports", INJECTED, Form::Ports, ""),
    ("config.linkerd.io/proxy-cpu-request", INJECTED, Form::Quantity, ""),
    ("config.linkerd.io/proxy-cpu-limit", INJECTED, Form::Quantity, ""),
    ("config.linkerd.io/proxy-memory-request", INJECTED, Form::Quantity, ""),
    ("config.linkerd.io/proxy-memory-limit", INJECTED, Form::Quantity, ""),
    ("config.linkerd.io/proxy-outbound-connect-timeout", INJECTED, Form::Duration, ""),
    ("config.linkerd.io/proxy-inbound-connect-timeout", INJECTED, Form::Duration, ""),
    (
        "config.linkerd.io/proxy-outbound-discovery-cache-unused-timeout",
        INJECTED,
        Form::Duration,
        "",
    ),
    (
        "config.linkerd.io/proxy-inbound-discovery-cache-unused-timeout",
        INJECTED,
        Form::Duration,
        "",
    ),
    ("config.linkerd.io/shutdown-grace-period", INJECTED, Form::Duration, ""),
    ("config.linkerd.io/proxy-await", INJECTED, Form::Words(&["enabled", "disabled"]), ""),
    ("config.alpha.linkerd.io/proxy-wait-before-exit-seconds", INJECTED, Form::Count, ""),
    ("config.alpha.linkerd.io/proxy-enable-native-sidecar", INJECTED, Form::Bool, ""),
    ("config.beta.linkerd.io/proxy-enable-native-sidecar", INJECTED, Form::Bool, ""),
    ("retry.linkerd.io/http", TRAFFIC, Form::Elsewhere, ""),
    ("retry.linkerd.io/grpc", TRAFFIC, Form::Elsewhere, ""),
    ("retry.linkerd.io/limit", TRAFFIC, Form::Elsewhere, ""),
    ("retry.linkerd.io/timeout", TRAFFIC, Form::Elsewhere, ""),
    ("timeout.linkerd.io/request", TRAFFIC, Form::Elsewhere, ""),
    ("timeout.linkerd.io/response", TRAFFIC, Form::Elsewhere, ""),
    ("timeout.linkerd.io/idle", TRAFFIC, Form::Elsewhere, ""),
    ("balancer.linkerd.io/failure-accrual", BALANCED, Form::Elsewhere, ""),
    ("balancer.linkerd.io/failure-accrual-consecutive-max-failures", BALANCED, Form::Elsewhere, ""),
    ("balancer.linkerd.io/failure-accrual-consecutive-min-penalty", BALANCED, Form::Elsewhere, ""),
    ("balancer.linkerd.io/failure-accrual-consecutive-max-penalty", BALANCED, Form::Elsewhere, ""),
    ("balancer.linkerd.io/failure-accrual-consecutive-jitter-ratio", BALANCED, Form::Elsewhere, ""),
    (
        "balancer.alpha.linkerd.io/failure-accrual-success-rate-threshold",
        BALANCED,
        Form::Elsewhere,
        "",
    ),
    (
        "balancer.alpha.linkerd.io/failure-accrual-success-rate-window",
        BALANCED,
        Form::Elsewhere,
        "",
    ),
    (
        "balancer.alpha.linkerd.io/failure-accrual-success-rate-min-requests",
        BALANCED,
        Form::Elsewhere,
        "",
    ),
    ("balancer.alpha.linkerd.io/failure-accrual-honor-retry-after", BALANCED, Form::Elsewhere, ""),
    ("balancer.alpha.linkerd.io/penalize-failures", BALANCED, Form::Elsewhere, ""),
    ("balancer.alpha.linkerd.io/load-biaser-penalty", BALANCED, Form::Elsewhere, ""),
    ("balancer.alpha.linkerd.io/load-biaser-max-retry-after", BALANCED, Form::Elsewhere, ""),
    ("config.linkerd.io/skip-subnets", INJECTED, Form::Any, "which source networks pass by"),
    (
        "config.linkerd.io/proxy-disable-outbound-protocol-detect-timeout",
        INJECTED,
        Form::Bool,
        "waiting for the first bytes for ever",
    ),
    (
        "config.linkerd.io/proxy-disable-inbound-protocol-detect-timeout",
        INJECTED,
        Form::Bool,
        "waiting for the first bytes for ever",
    ),
    ("config.linkerd.io/pod-inbound-ports", INJECTED, Form::Any, "ports known at the start"),
    ("config.linkerd.io/proxy-cpu-ratio-limit", INJECTED, Form::Any, "threads by the node's size"),
    ("config.linkerd.io/enable-gateway", INJECTED, Form::Bool, "multi-cluster gateways"),
    ("config.linkerd.io/enable-external-profiles", INJECTED, Form::Bool, "profiles of other names"),
    ("config.linkerd.io/close-wait-timeout", INJECTED, Form::Duration, "the kernel's connections"),
    ("config.linkerd.io/inbound-port", INJECTED, Form::Count, PASSED),
    ("config.linkerd.io/outbound-port", INJECTED, Form::Count, PASSED),
    ("config.linkerd.io/admin-port", INJECTED, Form::Count, PASSED),
    ("config.linkerd.io/control-port", INJECTED, Form::Count, PASSED),
    ("config.linkerd.io/access-log", INJECTED, Form::Words(&["apache", "json"]), PASSED),
    ("config.linkerd.io/debug-image", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/debug-image-pull-policy", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/debug-image-version", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/enable-debug-sidecar", INJECTED, Form::Bool, PASSED),
    ("config.linkerd.io/image-pull-policy", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/init-image", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/init-image-version", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/proxy-admin-shutdown", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/proxy-ephemeral-storage-limit", INJECTED, Form::Quantity, PASSED),
    ("config.linkerd.io/proxy-ephemeral-storage-request", INJECTED, Form::Quantity, PASSED),
    ("config.linkerd.io/proxy-image", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/proxy-log-format", INJECTED, Form::Words(&["plain", "json"]), PASSED),
    ("config.linkerd.io/proxy-log-http-headers", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/proxy-log-level", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/proxy-metrics-hostname-labels", INJECTED, Form::Bool, PASSED),
    ("config.linkerd.io/proxy-uid", INJECTED, Form::Count, PASSED),
    ("config.linkerd.io/proxy-gid", INJECTED, Form::Count, PASSED),
    ("config.linkerd.io/proxy-version", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/trace-collector", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/admission-webhooks", INJECTED, Form::Any, PASSED),
    ("config.linkerd.io/disable-identity", 0, Form::Any, PASSED),
    ("config.linkerd.io/disable-tap", 0, Form::Any, PASSED),
    ("linkerd.io/created-by", INJECTED, Form::Any, PASSED),
    ("linkerd.io/identity-mode", INJECTED, Form::Any, PASSED),
    ("linkerd.io/proxy-version", INJECTED, Form::Any, PASSED),
    ("linkerd.io/trust-root-sha256", INJECTED, Form::Any, PASSED),
];

/// Marks what decides nothing that is simulated (images, logs, tracing).
const PASSED: &str = "-";

/// Prefixes of annotations that are not checked.
const EXTENSIONS: &[&str] = &[
    "viz.linkerd.io/",
    "multicluster.linkerd.io/",
    "mirror.linkerd.io/",
    "jaeger.linkerd.io/",
    "smi.linkerd.io/",
    "failover.linkerd.io/",
    "buoyant.linkerd.io/",
];

impl<'n> Annotations<'n> {
    /// The annotations of a metadata map.
    pub fn of(metadata: Option<&'n Node>) -> Self {
        let annotations = metadata.and_then(|metadata| metadata.get("annotations"));
        let entries = annotations.map(Node::entries).unwrap_or_default();
        let list = entries.iter().filter_map(|entry| {
            let value = entry.value.text()?;
            Some(Annotation { key: &entry.key, value, at: entry.value.at, key_at: entry.key_at })
        });
        Self { list: list.collect() }
    }

    /// The annotation with this name.
    pub fn get(&self, key: &str) -> Option<&Annotation<'n>> {
        self.list.iter().find(|annotation| annotation.key == key)
    }

    /// The value of the annotation with this name.
    pub fn value(&self, key: &str) -> Option<&'n str> {
        self.get(key).map(|annotation| annotation.value)
    }
}

impl Bearer {
    fn bit(self) -> u8 {
        match self {
            Self::Namespace => NAMESPACE,
            Self::Pod => POD,
            Self::Service => SERVICE,
            Self::Route => ROUTE,
            Self::Egress => EGRESS,
            Self::Workload | Self::Other => 0,
        }
    }
}

/// Warns about annotations that are misspelt, in the wrong place, or have a value that is not read.
pub fn check(
    annotations: &Annotations<'_>,
    bearer: Bearer,
    kind: &str,
    sources: &Sources,
    findings: &mut Findings,
) {
    for annotation in &annotations.list {
        let Some(_) = annotation.key.split('/').next().filter(|d| is_linkerd(d)) else {
            continue;
        };
        if EXTENSIONS.iter().any(|prefix| annotation.key.starts_with(prefix)) {
            continue;
        }
        let Some((key, places, form, why)) = KNOWN.iter().find(|known| known.0 == annotation.key)
        else {
            unknown(annotation, sources, findings);
            continue;
        };
        if places & bearer.bit() == 0 {
            let what = format!("`{key}` on a {kind} is read by nobody");
            findings.warning(sources, annotation.key_at, what, &hint_for(*places, kind));
            continue;
        }
        if let Some((fault, hint)) = fault_of(annotation, *form) {
            let what = format!("`{key}`: {fault}");
            findings.warning(sources, annotation.at, what, &hint);
        }
        if !why.is_empty() && *why != PASSED {
            findings.ignore(sources, format!("annotation {key}"), annotation.key_at, why);
        }
    }
}

fn is_linkerd(domain: &str) -> bool {
    domain == "linkerd.io" || domain.ends_with(".linkerd.io")
}

fn unknown(annotation: &Annotation<'_>, sources: &Sources, findings: &mut Findings) {
    let known: Vec<&str> = KNOWN.iter().map(|known| known.0).collect();
    let hint = match nearest(annotation.key, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "nothing happens, and nothing says so".to_owned(),
    };
    let what = format!("Linkerd has no annotation `{}`", annotation.key);
    findings.warning(sources, annotation.key_at, what, &hint);
}

fn hint_for(places: u8, kind: &str) -> String {
    let names = [
        (NAMESPACE, "a Namespace"),
        (POD, "a pod template (spec.template.metadata)"),
        (SERVICE, "a Service"),
        (ROUTE, "an HTTPRoute or GRPCRoute"),
        (EGRESS, "an EgressNetwork"),
    ];
    let places: Vec<&str> =
        names.iter().filter(|(bit, _)| places & bit != 0).map(|(_, name)| *name).collect();
    if places.is_empty() {
        return format!("Linkerd no longer has it; take it off the {kind}");
    }
    format!("it counts on {}", places.join(", "))
}

/// What is wrong with a value, and what Linkerd does with it.
fn fault_of(annotation: &Annotation<'_>, form: Form) -> Option<(String, String)> {
    let value = annotation.value;
    let kept = "Linkerd logs a line and keeps the default".to_owned();
    match form {
        Form::Words(words) if !words.contains(&value) => {
            let fault = format!("`{value}` is not one of {}", words.join(", "));
            let done = match annotation.key {
                "linkerd.io/inject" => "so nothing is injected here".to_owned(),
                "config.linkerd.io/default-inbound-policy" => {
                    "so the cluster's default policy holds".to_owned()
                }
                _ => kept,
            };
            let near = nearest(value, words).map(|near| format!("did you mean `{near}`? "));
            Some((fault, near.unwrap_or_default() + &done))
        }
        Form::Ports => Ports::of(value).err().map(|fault| (fault, bad_ports(annotation.key))),
        Form::Count if value.parse::<u32>().is_err() => {
            Some((format!("`{value}` is no whole number"), kept))
        }
        Form::Duration => units::duration_ns(value, DurationForm::Go)
            .err()
            .map(|hint| (format!("`{value}` is no duration ({hint})"), kept)),
        Form::Bool if boolean(value).is_none() => {
            Some((format!("`{value}` is neither true nor false"), kept))
        }
        Form::Quantity if units::quantity_milli(value).is_none() => {
            Some((format!("`{value}` is no quantity"), kept))
        }
        _ => None,
    }
}

fn bad_ports(key: &str) -> String {
    let done = match key {
        "config.linkerd.io/opaque-ports" => {
            "the policy controller takes the whole list for empty: not even the default ports are \
             opaque any more"
        }
        "config.linkerd.io/proxy-require-identity-inbound-ports" => {
            "the policy controller takes the whole list for empty: clients without identity may call"
        }
        _ => "linkerd-init refuses it: the pod does not start",
    };
    done.to_owned()
}

/// A boolean as Go's `strconv.ParseBool` reads it.
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The policy that an annotation names, if it names one.
pub fn default_policy(annotations: &Annotations<'_>) -> Option<(DefaultPolicy, At)> {
    let annotation = annotations.get("config.linkerd.io/default-inbound-policy")?;
    Some((DefaultPolicy::of(annotation.value)?, annotation.at))
}

/// The ports that an annotation lists; one that does not parse lists none.
pub fn ports(annotations: &Annotations<'_>, key: &str) -> Option<(Ports, At)> {
    let annotation = annotations.get(key)?;
    Some((Ports::of(annotation.value).unwrap_or_default(), annotation.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;

    fn warnings(bearer: Bearer, annotations: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n{annotations}"
        );
        let manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let Manifests { sources, objects, mut findings } = manifests;
        let annotations = Annotations::of(objects[0].node.get("metadata"));
        check(&annotations, bearer, "Service", &sources, &mut findings);
        let mut lines: Vec<_> = findings.warnings.iter().map(ToString::to_string).collect();
        lines.extend(findings.ignored_lines());
        lines
    }

    #[test]
    fn misspelt_and_misplaced_annotations_are_told() {
        let cases = [
            (
                Bearer::Pod,
                "config.linkerd.io/skip-outbound-port: \"25\"",
                "a.yaml:6:5: Linkerd has no annotation `config.linkerd.io/skip-outbound-port`\n  hint: did you mean `config.linkerd.io/skip-outbound-ports`?",
            ),
            (
                Bearer::Pod,
                "timeout.linkerd.io/request: 1s",
                "a.yaml:6:5: `timeout.linkerd.io/request` on a Service is read by nobody\n  hint: it counts on a Service, an HTTPRoute or GRPCRoute, an EgressNetwork",
            ),
            (
                Bearer::Pod,
                "linkerd.io/inject: \"true\"",
                "a.yaml:6:24: `linkerd.io/inject`: `true` is not one of enabled, disabled, ingress\n  hint: so nothing is injected here",
            ),
            (
                Bearer::Service,
                "config.linkerd.io/opaque-ports: redis",
                "a.yaml:6:37: `config.linkerd.io/opaque-ports`: `redis` is no port\n  hint: the policy controller takes the whole list for empty: not even the default ports are opaque any more",
            ),
            (
                Bearer::Namespace,
                "config.linkerd.io/default-inbound-policy: all-authenticatd",
                "a.yaml:6:47: `config.linkerd.io/default-inbound-policy`: `all-authenticatd` is not one of all-unauthenticated, all-authenticated, cluster-unauthenticated, cluster-authenticated, deny, audit\n  hint: did you mean `all-authenticated`? so the cluster's default policy holds",
            ),
            (
                Bearer::Pod,
                "config.linkerd.io/proxy-cpu-limit: lots",
                "a.yaml:6:40: `config.linkerd.io/proxy-cpu-limit`: `lots` is no quantity\n  hint: Linkerd logs a line and keeps the default",
            ),
            (
                Bearer::Pod,
                "config.linkerd.io/skip-subnets: 10.0.0.0/8",
                "a.yaml:6: ignored annotation config.linkerd.io/skip-subnets: which source networks pass by",
            ),
        ];
        for (bearer, line, expected) in cases {
            assert_eq!(warnings(bearer, &format!("    {line}\n")), [expected]);
        }
    }

    #[test]
    fn good_ones_and_extensions_are_not_told() {
        let lines = "    linkerd.io/inject: enabled\n    viz.linkerd.io/tap-enabled: \"true\"\n    \
                     config.linkerd.io/proxy-log-level: debug\n    example.com/x: y\n";
        assert_eq!(warnings(Bearer::Pod, lines), [""; 0]);
    }
}
