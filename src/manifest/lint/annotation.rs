//! Istio's annotations: unknown, on the wrong kind, with a wrong value, deprecated.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/annotations`; istio/api
//! `annotation/annotations.gen.go` (its names and kinds).
//! Left out: values beyond booleans, numbers, ports and address ranges; alpha stages (`IST0136`).

use crate::manifest::lint::Lint;
use crate::manifest::node::{Entry, Node};
use crate::manifest::object::Object;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    annotations(lint);
}

/// An annotation: its name, the kinds that it is for, whether it is deprecated, what its value is.
type Annotation = (&'static str, &'static [&'static str], bool, Form);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    Bool,
    Number,
    Port,
    Ports,
    Subnets,
}

const POD: &[&str] = &["Pod"];
const SERVICE: &[&str] = &["Service"];

/// Annotations of Istio, as far as they are known here.
const ANNOTATIONS: &[Annotation] = &[
    ("alpha.istio.io/canonical-serviceaccounts", SERVICE, true, Form::Any),
    ("alpha.istio.io/kubernetes-serviceaccounts", SERVICE, true, Form::Any),
    ("ambient.istio.io/bypass-inbound-capture", POD, false, Form::Bool),
    ("ambient.istio.io/redirection", POD, false, Form::Any),
    ("gateway.istio.io/controller-version", &["Any"], false, Form::Any),
    ("inject.istio.io/templates", POD, false, Form::Any),
    ("install.operator.istio.io/chart-owner", &["Any"], true, Form::Any),
    ("install.operator.istio.io/owner-generation", &["Any"], true, Form::Any),
    ("istio.io/dry-run", &["AuthorizationPolicy"], false, Form::Bool),
    ("istio.io/reroute-virtual-interfaces", POD, false, Form::Any),
    ("istio.io/rev", POD, false, Form::Any),
    ("kubernetes.io/ingress.class", &["Ingress"], false, Form::Any),
    ("networking.istio.io/exportTo", SERVICE, false, Form::Any),
    ("networking.istio.io/traffic-distribution", SERVICE, false, Form::Any),
    ("prometheus.istio.io/merge-metrics", POD, false, Form::Bool),
    ("proxy.istio.io/config", POD, false, Form::Any),
    ("proxy.istio.io/overrides", POD, false, Form::Any),
    ("readiness.status.sidecar.istio.io/applicationPorts", POD, false, Form::Ports),
    ("readiness.status.sidecar.istio.io/failureThreshold", POD, false, Form::Number),
    ("readiness.status.sidecar.istio.io/initialDelaySeconds", POD, false, Form::Number),
    ("readiness.status.sidecar.istio.io/periodSeconds", POD, false, Form::Number),
    ("sidecar.istio.io/agentLogLevel", POD, false, Form::Any),
    ("sidecar.istio.io/bootstrapOverride", POD, false, Form::Any),
    ("sidecar.istio.io/componentLogLevel", POD, false, Form::Any),
    ("sidecar.istio.io/controlPlaneAuthPolicy", POD, true, Form::Any),
    ("sidecar.istio.io/discoveryAddress", POD, true, Form::Any),
    ("sidecar.istio.io/enableCoreDump", POD, false, Form::Bool),
    ("sidecar.istio.io/extraStatTags", POD, false, Form::Any),
    ("sidecar.istio.io/inject", POD, false, Form::Any),
    ("sidecar.istio.io/interceptionMode", POD, false, Form::Any),
    ("sidecar.istio.io/logLevel", POD, false, Form::Any),
    ("sidecar.istio.io/nativeSidecar", POD, false, Form::Bool),
    ("sidecar.istio.io/proxyCPU", POD, false, Form::Any),
    ("sidecar.istio.io/proxyCPULimit", POD, false, Form::Any),
    ("sidecar.istio.io/proxyImage", POD, false, Form::Any),
    ("sidecar.istio.io/proxyImageType", POD, false, Form::Any),
    ("sidecar.istio.io/proxyMemory", POD, false, Form::Any),
    ("sidecar.istio.io/proxyMemoryLimit", POD, false, Form::Any),
    ("sidecar.istio.io/rewriteAppHTTPProbers", POD, false, Form::Bool),
    ("sidecar.istio.io/statsCompression", POD, false, Form::Bool),
    ("sidecar.istio.io/statsHistogramBuckets", POD, false, Form::Any),
    ("sidecar.istio.io/statsInclusionPrefixes", POD, true, Form::Any),
    ("sidecar.istio.io/statsInclusionRegexps", POD, true, Form::Any),
    ("sidecar.istio.io/statsInclusionSuffixes", POD, true, Form::Any),
    ("sidecar.istio.io/status", POD, false, Form::Any),
    ("sidecar.istio.io/userVolume", POD, false, Form::Any),
    ("sidecar.istio.io/userVolumeMount", POD, false, Form::Any),
    ("status.sidecar.istio.io/port", POD, false, Form::Port),
    ("topology.istio.io/controlPlaneClusters", &["Namespace"], false, Form::Any),
    ("traffic.istio.io/nodeSelector", SERVICE, false, Form::Any),
    ("traffic.sidecar.istio.io/excludeInboundPorts", POD, false, Form::Ports),
    ("traffic.sidecar.istio.io/excludeInterfaces", POD, false, Form::Any),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", POD, false, Form::Subnets),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", POD, false, Form::Ports),
    ("traffic.sidecar.istio.io/includeInboundPorts", POD, false, Form::Ports),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", POD, false, Form::Subnets),
    ("traffic.sidecar.istio.io/includeOutboundPorts", POD, false, Form::Ports),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", POD, true, Form::Any),
];

/// Whether a value has its form.
fn has_form(form: Form, value: &str) -> bool {
    let port = |text: &str| text.trim().parse::<u16>().is_ok();
    let list = |fits: &dyn Fn(&str) -> bool| {
        value.is_empty() || value == "*" || value.split(',').all(|part| fits(part.trim()))
    };
    match form {
        Form::Any => true,
        Form::Bool => matches!(value, "true" | "false" | "True" | "False" | "1" | "0" | "t" | "f"),
        Form::Number => value.parse::<u32>().is_ok(),
        Form::Port => port(value),
        Form::Ports => list(&port),
        Form::Subnets => list(&crate::manifest::istio::check::is_subnet),
    }
}

fn annotations(lint: &mut Lint<'_>) {
    let kinds = ["Service", "Pod", "Deployment", "Namespace"];
    for object in lint.objects.iter().filter(|object| kinds.contains(&object.id.kind.as_str())) {
        let own = object.node.get("metadata").and_then(|meta| meta.get("annotations"));
        judge(lint, object, &object.id.kind, own);
        let template = object.node.get("spec").and_then(|spec| spec.get("template"));
        let pods = template.and_then(|template| template.get("metadata")?.get("annotations"));
        judge(lint, object, "Pod", pods);
    }
}

fn judge(lint: &mut Lint<'_>, object: &Object, kind: &str, annotations: Option<&Node>) {
    const RULE: &str = "annotations.K8sAnalyzer";
    let entries: &[Entry] = annotations.map_or(&[], Node::entries);
    let istio = entries.iter().filter(|entry| {
        let owner = entry.key.split('/').next().unwrap_or("");
        owner.ends_with("istio.io") || entry.key == "kubernetes.io/ingress.class"
    });
    for entry in istio.filter(|entry| entry.key != "networking.istio.io/service-type") {
        let key = entry.key.as_str();
        let value = entry.value.text().unwrap_or("");
        let known = ANNOTATIONS.iter().find(|(name, ..)| *name == key);
        let Some((_, kinds, deprecated, form)) = known else {
            let what = format!("Unknown annotation: {key}");
            lint.report("IST0108", RULE, object.id.to_string(), entry.key_at, what);
            continue;
        };
        if !kinds.contains(&kind) && !kinds.contains(&"Any") {
            let what =
                format!("Misplaced annotation: {key} can only be applied to {}", kinds.join(", "));
            lint.report("IST0107", RULE, object.id.to_string(), entry.key_at, what);
        } else if !has_form(*form, value) {
            let what = format!("Invalid annotation {key}: `{value}`");
            lint.report("IST0125", RULE, object.id.to_string(), entry.value.at, what);
        }
        if *deprecated {
            let what = format!("Annotation \"{key}\" has been deprecated");
            lint.report("IST0135", RULE, object.id.to_string(), entry.key_at, what);
        }
    }
}
