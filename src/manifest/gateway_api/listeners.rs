//! The status of gateways and their listeners: conflicts, protocols, certificates, kinds.
//!
//! Source: Gateway API `ListenerConditionType` (Accepted, Conflicted, `ResolvedRefs`, Programmed) and
//! `GatewayConditionType`; listeners of one port are distinct by hostname (HTTP, HTTPS, TLS).
//! Left out: whether a certificate's Secret exists, since Secrets are rarely among manifests.

use crate::manifest::gateway_api::GatewayApi;
use crate::manifest::gateway_api::attach::{Bound, Condition};
use crate::manifest::gateway_api::gateway::{Gateway, Listener, Protocol};
use crate::manifest::gateway_api::grant::{self, Kind};
use crate::manifest::kinds::GATEWAY_API;
use serde::Serialize;
use std::collections::BTreeSet;

/// The status of a gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GatewayStatus {
    /// `namespace/name`.
    pub gateway: String,
    /// Whether its settings make sense.
    pub accepted: Condition,
    /// Whether it serves anything.
    pub programmed: Condition,
    /// Its listeners.
    pub listeners: Vec<ListenerStatus>,
    #[serde(skip)]
    index: usize,
}

/// The status of a listener.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Whether its settings make sense.
    pub accepted: Condition,
    /// Whether another listener stands in its way; `True` is bad.
    pub conflicted: Condition,
    /// Whether its certificates and kinds are right.
    pub resolved_refs: Condition,
    /// Whether it serves requests.
    pub programmed: Condition,
    /// How many routes are bound to it.
    pub attached_routes: u32,
    /// Kinds of routes that it takes.
    pub supported_kinds: Vec<String>,
}

impl GatewayStatus {
    /// Whether a listener serves requests.
    pub fn serves(&self, listener: usize) -> bool {
        self.listeners.get(listener).is_some_and(|listener| listener.programmed.status)
    }

    /// Counts the routes that are bound to each listener.
    pub fn count_routes(&mut self, bound: &[Bound]) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let own = bound.iter().filter(|b| b.gateway == self.index && b.listener == index);
            let routes: BTreeSet<_> = own.map(|bound| bound.route).collect();
            listener.attached_routes = u32::try_from(routes.len()).unwrap_or(u32::MAX);
        }
    }
}

/// The status of a gateway, routes not yet counted.
pub fn status(gateway: &Gateway, api: &GatewayApi) -> GatewayStatus {
    let listeners: Vec<ListenerStatus> =
        (0..gateway.listeners.len()).map(|index| listener_status(gateway, index, api)).collect();
    let serving = listeners.iter().filter(|listener| listener.programmed.status).count();
    let accepted = if serving == listeners.len() {
        Condition::yes("Accepted")
    } else if serving > 0 {
        Condition {
            message: "some listeners are not valid".into(),
            ..Condition::yes("ListenersNotValid")
        }
    } else {
        Condition::no("ListenersNotValid", "no listener is valid")
    };
    let programmed = if serving > 0 {
        Condition::yes("Programmed")
    } else {
        Condition::no("Invalid", "no listener is valid")
    };
    let named =
        |other: &&Gateway| other.namespace == gateway.namespace && other.name == gateway.name;
    let index = api.gateways.iter().position(|other| named(&other)).unwrap_or(0);
    let gateway = format!("{}/{}", gateway.namespace, gateway.name);
    GatewayStatus { gateway, accepted, programmed, listeners, index }
}

fn listener_status(gateway: &Gateway, index: usize, api: &GatewayApi) -> ListenerStatus {
    let listener = &gateway.listeners[index];
    let conflict = gateway
        .listeners
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index)
        .find_map(|(_, other)| conflict(listener, other));
    let accepted = match (&listener.protocol, &conflict) {
        (Protocol::Other(word), _) => {
            Condition::no("UnsupportedProtocol", format!("`{word}` is not known"))
        }
        (_, Some((reason, what))) => Condition::no(reason, what.clone()),
        _ => Condition::yes("Accepted"),
    };
    let conflicted = match conflict {
        Some((reason, what)) => Condition { message: what, ..Condition::yes(reason) },
        None => Condition::no("NoConflicts", ""),
    };
    let supported_kinds = supported(listener);
    let (resolved_refs, usable) = references(gateway, listener, &supported_kinds, api);
    let programmed = if accepted.status && usable {
        Condition::yes("Programmed")
    } else {
        Condition::no("Invalid", "the listener is not valid")
    };
    ListenerStatus {
        name: listener.name.clone(),
        accepted,
        conflicted,
        resolved_refs,
        programmed,
        attached_routes: 0,
        supported_kinds,
    }
}

fn supported(listener: &Listener) -> Vec<String> {
    let kinds = listener.protocol_kinds().iter();
    kinds.filter(|kind| listener.takes(kind)).map(|kind| (*kind).to_owned()).collect()
}

/// Two listeners of one port must differ in their hosts and agree in what comes first on the wire.
fn conflict(one: &Listener, other: &Listener) -> Option<(&'static str, String)> {
    if one.port != other.port {
        return None;
    }
    let family = |listener: &Listener| match listener.protocol {
        Protocol::Https | Protocol::Tls => "TLS".to_owned(),
        _ => listener.protocol.word().to_owned(),
    };
    if family(one) != family(other) {
        if one.protocol == Protocol::Udp || other.protocol == Protocol::Udp {
            return None;
        }
        let what =
            format!("port {} speaks {} in `{}`", one.port, other.protocol.word(), other.name);
        return Some(("ProtocolConflict", what));
    }
    let same = one.hostname.eq_ignore_ascii_case(&other.hostname);
    let what = || format!("`{}` has the same port and hostname", other.name);
    same.then(|| ("HostnameConflict", what()))
}

/// Whether kinds and certificates are right, and whether the listener can serve all the same.
fn references(
    gateway: &Gateway,
    listener: &Listener,
    supported: &[String],
    api: &GatewayApi,
) -> (Condition, bool) {
    let needs = listener.protocol == Protocol::Https || listener.protocol == Protocol::Tls;
    let tls = listener.tls.as_ref();
    if needs && !tls.is_some_and(|tls| tls.is_passthrough || tls.has_options) {
        let certificates = tls.map_or(&[][..], |tls| &tls.certificates);
        if certificates.is_empty() {
            let what =
                format!("a listener that speaks {} needs a certificate", listener.protocol.word());
            return (Condition::no("InvalidCertificateRef", what), false);
        }
        let from = Kind { group: GATEWAY_API, kind: "Gateway", namespace: &gateway.namespace };
        for certificate in certificates {
            if !matches!(certificate.group.as_str(), "" | "core") || certificate.kind != "Secret" {
                let what = format!("{} is no Secret", certificate.name);
                return (Condition::no("InvalidCertificateRef", what), false);
            }
            let to = Kind { group: "", kind: "Secret", namespace: &certificate.namespace };
            if !grant::is_permitted(&api.grants, from, to, &certificate.name) {
                let what = format!("no ReferenceGrant lets the gateway use {}", certificate.name);
                return (Condition::no("RefNotPermitted", what), false);
            }
        }
    }
    if supported.len() < listener.kinds.len() {
        let what = "some kinds do not fit the listener's protocol";
        return (Condition::no("InvalidRouteKinds", what), !supported.is_empty());
    }
    (Condition::yes("ResolvedRefs"), true)
}
