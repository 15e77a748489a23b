//! Targets: what an event acts on.
//!
//! `control_plane`, `istiod`, `istiod/ca`, `istiod/eds`, `linkerd`, `linkerd/identity`, `ingress`, `pod:NAME`, `service:NAME`, `service:NAME/VERSION`, `node:NAME`,
//! `zone:NAME`, `api_server`, `kubelet:NODE`, `link:A->B`, `link:A<->B`, `traffic:ID`.
//!
//! Source: docs/scenarios.md.
//! Left out: sets of names, patterns.

use crate::plan::discovery::XdsType;
use crate::plan::timeline::ControlPart;

/// A target as it is written; names are looked up later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target<'t> {
    Control(ControlPart),
    /// What istiod sends of one type.
    Type(XdsType),
    /// The gateway.
    Ingress,
    Pod(&'t str),
    Service(&'t str),
    /// Kubernetes' API server.
    ApiServer,
    /// The kubelet of a node.
    Kubelet(&'t str),
    Node(&'t str),
    Zone(&'t str),
    Link {
        from: &'t str,
        to: &'t str,
        both: bool,
    },
    Traffic(&'t str),
}

const CONTROL: [(&str, ControlPart); 9] = [
    ("istiod", ControlPart::All),
    ("istiod/ca", ControlPart::Ca),
    ("istiod/xds", ControlPart::Xds),
    ("istiod/injector", ControlPart::Injector),
    ("linkerd", ControlPart::All),
    ("linkerd/destination", ControlPart::Xds),
    ("linkerd/identity", ControlPart::Ca),
    ("linkerd/policy", ControlPart::Policy),
    ("linkerd/proxy-injector", ControlPart::Injector),
];

/// The whole control plane of whatever mesh it is, so that variants differ in their profile alone.
pub(crate) const CONTROL_PLANE: &str = "control_plane";

/// How targets are written.
pub(crate) const FORMS: [&str; 22] = [
    CONTROL_PLANE,
    "istiod",
    "istiod/ca",
    "istiod/xds",
    "istiod/injector",
    "istiod/cds",
    "istiod/eds",
    "istiod/lds",
    "istiod/rds",
    "linkerd",
    "linkerd/destination",
    "linkerd/identity",
    "linkerd/policy",
    "linkerd/proxy-injector",
    "ingress",
    "pod:NAME",
    "service:NAME",
    "node:NAME",
    "zone:NAME",
    "link:A->B",
    "api_server",
    "kubelet:NODE",
];

/// Reads a target.
pub(crate) fn target(text: &str) -> Option<Target<'_>> {
    if let Some((_, part)) = CONTROL.iter().find(|(name, _)| *name == text) {
        return Some(Target::Control(*part));
    }
    if text == "ingress" {
        return Some(Target::Ingress);
    }
    if text == "api_server" {
        return Some(Target::ApiServer);
    }
    if let Some(kind) = text.strip_prefix("istiod/") {
        return XdsType::named(kind).map(Target::Type);
    }
    let (kind, name) = text.split_once(':')?;
    let name = name.trim();
    if name.is_empty() {
        return None;
    }
    match kind.trim() {
        "pod" => Some(Target::Pod(name)),
        "service" => Some(Target::Service(name)),
        "node" => Some(Target::Node(name)),
        "kubelet" => Some(Target::Kubelet(name)),
        "zone" => Some(Target::Zone(name)),
        "traffic" => Some(Target::Traffic(name)),
        "link" => {
            let (from, to, both) = match name.split_once("<->") {
                Some((from, to)) => (from, to, true),
                None => name.split_once("->").map(|(from, to)| (from, to, false))?,
            };
            let (from, to) = (from.trim(), to.trim());
            (!from.is_empty() && !to.is_empty()).then_some(Target::Link { from, to, both })
        }
        _ => None,
    }
}

impl Target<'_> {
    /// What kind of thing it is, in words.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Control(ControlPart::Policy) => "the policy controller",
            Self::Control(_) => "istiod",
            Self::Type(_) => "a type of configuration",
            Self::Ingress => "the gateway",
            Self::Pod(_) => "a pod",
            Self::Service(_) => "a service",
            Self::ApiServer => "the API server",
            Self::Kubelet(_) => "a kubelet",
            Self::Node(_) => "a node",
            Self::Zone(_) => "a zone",
            Self::Link { .. } => "a link",
            Self::Traffic(_) => "traffic",
        }
    }
}
