//! Linkerd's control plane: the values of the chart with which it was installed.
//!
//! The `ConfigMap` `linkerd-config` holds the values with which the chart was installed; what of them has a parameter
//! becomes one of `[mesh]`, unless an object of the control plane has said it ([`super::control_plane`]).
//! Source: linkerd2 `charts/linkerd-control-plane/values.yaml`, `values-ha.yaml`; docs/linkerd-parameters.md.
//! Left out: certificates (`linkerd-identity-trust-roots`, `linkerd-identity-issuer`): their dates are in PEM, which is
//! not read here; names and networks of the installation, which were read as the chart's own.

use super::linkerd::Part;
use super::linkerd_proxies::{COMPONENT, is_set};
use crate::manifest::draft::value::Value;
use crate::manifest::linkerd::settings::DefaultPolicy;
use crate::manifest::node::{self, Node};
use crate::manifest::source::Piece;
use crate::manifest::units::{self, DurationForm};
use crate::manifest::yaml;

/// A value of the chart: its path, group and name of the parameter, how it is read.
type Known = (&'static str, &'static str, &'static str, fn(&Node) -> Option<Value>);

const VALUES: &[Known] = &[
    ("identity.issuer.issuanceLifetime", "linkerd_identity", "lifetime", duration),
    ("identity.issuer.clockSkewAllowance", "linkerd_identity", "clock_skew", duration),
    ("controllerReplicas", "linkerd_control", "replicas", count),
    ("proxy.outboundConnectTimeout", "linkerd_outbound", "connect_timeout", duration),
    ("proxy.inboundConnectTimeout", "linkerd_inbound", "connect_timeout", duration),
    ("proxy.outboundDiscoveryCacheUnusedTimeout", "linkerd_outbound", "discovery_idle", duration),
    ("proxy.defaultInboundPolicy", "linkerd_inbound", "default_policy", policy),
    ("proxy.control.streams.initialTimeout", "linkerd_control", "stream_initial", duration),
    ("proxy.control.streams.idleTimeout", "linkerd_control", "stream_idle", duration),
    ("proxy.control.streams.lifetime", "linkerd_control", "stream_lifetime", duration),
    ("proxy.await", "linkerd_proxy", "await_ready", flag),
    ("proxy.nativeSidecar", "linkerd_proxy", "native_sidecar", flag),
    ("proxy.cores", "proxy", "workers", count),
    ("proxy.resources.cpu.limit", "proxy", "workers", cores),
    ("webhookFailurePolicy", "webhook", "failure_policy", failure_policy),
];

/// Values of the chart that were read as if they were its own defaults.
const USUAL: &[(&str, &str)] = &[
    ("clusterDomain", "cluster.local"),
    ("identityTrustDomain", "cluster.local"),
    ("proxy.opaquePorts", "25,587,3306,4444,5432,6379,9300,11211"),
];

fn text(node: &Node) -> Option<&str> {
    node.text().filter(|text| !text.is_empty())
}

fn duration(node: &Node) -> Option<Value> {
    units::duration_ns(text(node)?, DurationForm::Go).ok().map(Value::duration)
}

fn count(node: &Node) -> Option<Value> {
    match node.value {
        node::Value::Int(count) if 0 < count => Some(Value::integer(count)),
        _ => None,
    }
}

fn cores(node: &Node) -> Option<Value> {
    let milli = match &node.value {
        node::Value::Int(cores) => units::quantity_milli(&cores.to_string())?,
        _ => units::quantity_milli(text(node)?)?,
    };
    let workers = milli.div_ceil(1_000).clamp(1, 64);
    i64::try_from(workers).ok().map(Value::integer)
}

fn flag(node: &Node) -> Option<Value> {
    match node.value {
        node::Value::Bool(flag) => Some(Value::bool(flag)),
        _ => None,
    }
}

fn policy(node: &Node) -> Option<Value> {
    DefaultPolicy::of(text(node)?).map(|policy| Value::text(policy.word()))
}

fn failure_policy(node: &Node) -> Option<Value> {
    match text(node)? {
        "Fail" => Some(Value::text("fail")),
        "Ignore" => Some(Value::text("ignore")),
        _ => None,
    }
}

fn at_path<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    path.split('.').try_fold(node, |node, key| node.get(key))
}

impl Part<'_, '_> {
    /// Parameters that the chart's values say, and no object of the control plane.
    pub(super) fn control_plane(&mut self) {
        self.values();
        let known = ["destination", "identity", "proxy-injector"];
        let own = self.loaded.cluster.workloads.iter();
        let own = own.filter(|one| {
            let component = one.labels.get(COMPONENT);
            component.is_some_and(|word| known.contains(&word.as_str()))
        });
        let most = own.clone().map(|one| one.replicas).max();
        for fewer in own.filter(|one| Some(one.replicas) != most) {
            let why = "all controllers have as many replicas as the one with most";
            let at = fewer.replicas_at.unwrap_or(fewer.at);
            self.draft.ignore("Deployment.spec.replicas", at, why);
        }
    }

    /// The values of the chart.
    fn values(&mut self) {
        let namespace = self.loaded.linkerd.settings.namespace.clone();
        let own = (namespace, "linkerd-config".to_owned());
        let object = self.object("", "ConfigMap", &own);
        let node = object.and_then(|object| object.node.get("data")?.get("values"));
        let Some((node, text)) = node.and_then(|node| Some((node, node.text()?))) else { return };
        // The block starts in the line after its `|`, so places point into the file itself.
        let piece = Piece { text, lines_before: node.at.line.saturating_sub(1) };
        let parsed = yaml::parse(node.at.source, piece);
        let Some(values) = parsed.documents.first().filter(|_| parsed.faults.is_empty()) else {
            let why = "it is no YAML; the chart's own values are taken";
            return self.draft.ignore("ConfigMap.data.values", node.at, why);
        };
        for (path, group, name, read) in VALUES {
            let Some(node) = at_path(values, path).filter(|node| !is_empty(node)) else { continue };
            match read(node) {
                Some(value) if !is_set(&self.draft.settings, group, name) => {
                    self.draft.settings.below(group).set(*name, value.at(node.at));
                    self.mark("", "ConfigMap", &own.0, &own.1);
                }
                Some(_) => {}
                None => {
                    let why = "a value that is not read; the chart's own is taken";
                    self.draft.ignore(format!("linkerd-config.{path}"), node.at, why);
                }
            }
        }
        for (path, usual) in USUAL {
            let Some(node) = at_path(values, path) else { continue };
            if node.text().is_some_and(|text| text != *usual && !text.is_empty()) {
                let why = "the manifests were read with the chart's own value";
                self.draft.ignore(format!("linkerd-config.{path}"), node.at, why);
            }
        }
    }
}

fn is_empty(node: &Node) -> bool {
    node.text() == Some("")
}
