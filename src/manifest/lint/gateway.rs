//! Gateways: pods and ports behind them, certificates, and two that claim the same.
//!
//! The default gateway of an installation (`istio: ingressgateway`, ports 80, 443, 15021 in the root
//! namespace) is taken to be there even if it is not among the manifests.
//! Source: istio/istio `pkg/config/analysis/analyzers/gateway`.
//! Left out: the dates and signatures of certificates in secrets.

use crate::manifest::istio::gateway::{Gateway, Server};
use crate::manifest::istio::host;
use crate::manifest::kubernetes::service::Target;
use crate::manifest::lint::{Lint, named};
use crate::manifest::node::Node;
use crate::manifest::object::{Labels, Object};
use crate::manifest::selector::contains;
use std::collections::BTreeMap;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    ports(lint);
    conflicts(lint);
    duplicate_certificates(lint);
    secrets(lint);
}

const PORTS: &str = "gateway.IngressGatewayPortAnalyzer";

/// Ports of the installation's own gateway.
const DEFAULT_PORTS: [u16; 3] = [80, 443, 15021];

fn is_default(selector: &Labels) -> bool {
    selector.len() == 1 && selector.get("istio").is_some_and(|value| value == "ingressgateway")
}

fn told(selector: &Labels) -> String {
    let pairs: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

fn ports(lint: &mut Lint<'_>) {
    for gateway in &lint.istio.gateways {
        if gateway.selector.is_empty() {
            continue;
        }
        let pods: Vec<_> = lint
            .cluster
            .workloads
            .iter()
            .filter(|pod| contains(&pod.labels, &gateway.selector))
            .collect();
        let mut served: Vec<u16> = Vec::new();
        let default = is_default(&gateway.selector);
        if default {
            served.extend(DEFAULT_PORTS);
        }
        for service in lint.cluster.services.values() {
            let Some(wanted) = service.selector.as_ref() else { continue };
            let behind = pods
                .iter()
                .any(|pod| pod.namespace == service.namespace && contains(&pod.labels, wanted));
            if behind {
                for port in &service.ports {
                    served.push(port.number);
                    if let Target::Number(number) = port.target {
                        served.push(number);
                    }
                }
            }
        }
        let object = named("Gateway", &gateway.head);
        if pods.is_empty() && !default {
            let what = format!("Referenced selector not found: \"{}\"", told(&gateway.selector));
            lint.report("IST0101", PORTS, object, gateway.selector_at, what);
            continue;
        }
        for server in gateway.servers.iter().filter(|server| server.port > 0) {
            if !served.contains(&server.port) {
                let what = format!(
                    "The gateway is listening on a target port (port {}) that is not defined in \
                     the Service associated with its workload instances (Pod selector {})",
                    server.port,
                    told(&gateway.selector)
                );
                lint.report("IST0162", PORTS, object.clone(), server.port_at, what);
            }
        }
    }
}

/// Gateways of the same pods and port whose hosts meet.
fn conflicts(lint: &mut Lint<'_>) {
    let mut claims: BTreeMap<u16, Vec<(&Gateway, &Server)>> = BTreeMap::new();
    for gateway in &lint.istio.gateways {
        for server in gateway.servers.iter().filter(|server| server.port > 0) {
            claims.entry(server.port).or_default().push((gateway, server));
        }
    }
    for (port, servers) in claims {
        for (gateway, server) in &servers {
            let meets = |(other, theirs): &&(&Gateway, &Server)| {
                other.head != gateway.head
                    && (contains(&other.selector, &gateway.selector)
                        || contains(&gateway.selector, &other.selector))
                    && server.hosts.iter().any(|own| {
                        theirs.hosts.iter().any(|word| host::overlap(&own.text, &word.text))
                    })
            };
            let names: Vec<String> =
                servers.iter().filter(meets).map(|(other, _)| other.head.full()).collect();
            if names.is_empty() {
                continue;
            }
            let hosts: Vec<&str> = server.hosts.iter().map(|word| word.text.as_str()).collect();
            let what = format!(
                "Conflict with gateways {} (workload selector {}, port {port}, hosts {})",
                names.join(","),
                told(&gateway.selector),
                hosts.join(",")
            );
            let object = named("Gateway", &gateway.head);
            lint.report("IST0145", "gateway.ConflictingGatewayAnalyzer", object, server.at, what);
        }
    }
}

/// The certificates that a gateway's servers name, by secret or by file.
fn certificates(gateway: &Gateway) -> Vec<(String, crate::manifest::source::At)> {
    let all = gateway.servers.iter().filter_map(|server| server.tls.as_ref());
    let named = all.filter_map(|tls| {
        let word = tls.credential.as_ref().or(tls.server_certificate.as_ref())?;
        Some((word.text.clone(), word.at))
    });
    named.collect()
}

fn duplicate_certificates(lint: &mut Lint<'_>) {
    for gateway in &lint.istio.gateways {
        for (certificate, at) in certificates(gateway) {
            let wide = |other: &&Gateway| {
                other.head != gateway.head && contains(&other.selector, &gateway.selector)
            };
            let others = lint.istio.gateways.iter().filter(wide);
            let same = others
                .filter(|other| certificates(other).iter().any(|(name, _)| *name == certificate));
            let names: Vec<String> = same.map(|other| other.head.full()).collect();
            if !names.is_empty() {
                let what = format!(
                    "Duplicate certificate `{certificate}` in multiple gateways {}, {} may cause \
                     404s if clients re-use HTTP2 connections.",
                    gateway.head.full(),
                    names.join(", ")
                );
                let object = named("Gateway", &gateway.head);
                lint.report("IST0138", "gateway.CertificateAnalyzer", object, at, what);
                break;
            }
        }
    }
}

const SECRETS: &str = "gateway.SecretAnalyzer";

fn secrets(lint: &mut Lint<'_>) {
    for gateway in &lint.istio.gateways {
        let mut pods = lint.cluster.workloads.iter();
        let pod = pods.find(|pod| contains(&pod.labels, &gateway.selector));
        let namespace = match pod {
            Some(pod) => Some(pod.namespace.clone()),
            None if is_default(&gateway.selector) => Some(lint.istio.mesh.root_namespace.clone()),
            None => None,
        };
        let credentials = gateway
            .servers
            .iter()
            .filter_map(|server| server.tls.as_ref().and_then(|tls| tls.credential.as_ref()));
        for word in credentials {
            let object = named("Gateway", &gateway.head);
            let Some(namespace) = &namespace else {
                let what =
                    format!("Referenced selector not found: \"{}\"", told(&gateway.selector));
                lint.report("IST0101", SECRETS, object, gateway.selector_at, what);
                continue;
            };
            let secret = lint.objects.iter().find(|object| {
                object.is("", "Secret")
                    && object.id.namespace == *namespace
                    && object.id.name == word.text
            });
            match secret {
                None => {
                    let what = format!("Referenced credentialName not found: \"{}\"", word.text);
                    lint.report("IST0101", SECRETS, object, word.at, what);
                }
                Some(secret) if !is_usable(secret) => {
                    let what = format!(
                        "The credential `{}` referenced by the Gateway {} is invalid",
                        word.text,
                        gateway.head.full()
                    );
                    lint.report("IST0161", SECRETS, object, word.at, what);
                }
                Some(_) => {}
            }
        }
    }
}

/// Whether a secret has a certificate and a key in PEM, under the names that Istio reads.
fn is_usable(secret: &Object) -> bool {
    let data = ["data", "stringData"].into_iter().filter_map(|name| secret.node.get(name));
    let all: Vec<_> = data.flat_map(Node::entries).collect();
    let find = |names: [&str; 2], mark: &str| {
        all.iter().any(|entry| {
            let text = entry.value.text().unwrap_or("");
            let pem = text.contains(mark) || starts_with_pem(text);
            names.contains(&entry.key.as_str()) && pem
        })
    };
    let certificate = find(["tls.crt", "cert"], "-----BEGIN CERTIFICATE");
    let key = find(["tls.key", "key"], "-----BEGIN");
    certificate && key
}

/// `-----BEGIN ` in base64.
fn starts_with_pem(text: &str) -> bool {
    text.trim_start().starts_with("LS0tLS1CRUdJTi")
}
