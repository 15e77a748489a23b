//! Destination rules and service entries: TLS without a check, subsets and hosts of nothing, conflicts.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/destinationrule/{ca-certificates,subset,
//! workloadselector}.go`, `serviceentry/{protocoladdresses,conflictingserviceentries}.go`.
//! Left out: certificates of the system's own store (`ENABLE_…VERIFY_CERTS`).

use crate::manifest::istio::destination_rule::{DestinationRule, Subset};
use crate::manifest::istio::host;
use crate::manifest::istio::meta::Head;
use crate::manifest::istio::registry::{From, Known};
use crate::manifest::istio::traffic_policy::{ClientTls, TlsMode};
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::lint::{Lint, named};
use crate::manifest::object::Labels;
use crate::manifest::selector::contains;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    unchecked_certificates(lint);
    selected_pods(lint);
    entry_addresses(lint);
    entry_conflicts(lint);
}

const CERTIFICATES: &str = "destinationrule.CaCertificateAnalyzer";

fn unchecked_certificates(lint: &mut Lint<'_>) {
    for rule in &lint.istio.destination_rules {
        let unchecked = |tls: &&ClientTls| {
            let by_secret = tls.credential_name.is_some() && rule.workload_selector.is_some();
            matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual)
                && tls.ca_certificates.is_none()
                && !by_secret
        };
        let Some(policy) = &rule.policy else { continue };
        let host = rule.host.as_ref().map_or("", |word| word.text.as_str());
        let told = |tls: &ClientTls, port: &str| {
            format!(
                "DestinationRule {} has TLS mode set to {} but no caCertificates are set to \
                 validate server identity for host: {host}{port}",
                rule.head.full(),
                tls.mode.word()
            )
        };
        let object = named("DestinationRule", &rule.head);
        if let Some(tls) = policy.tls.as_ref().filter(unchecked) {
            lint.report("IST0128", CERTIFICATES, object.clone(), tls.at, told(tls, ""));
        }
        for (number, part) in &policy.ports {
            if let Some(tls) = part.tls.as_ref().filter(unchecked) {
                let what = told(tls, &format!(" at port {number}"));
                lint.report("IST0129", CERTIFICATES, object.clone(), tls.at, what);
            }
        }
    }
}

const PODS: &str = "destinationrule.PodNotSelectedAnalyzer";

/// Labels that a pod has from its node.
const TOPOLOGY: &str = "topology.kubernetes.io/";

fn selected_pods(lint: &mut Lint<'_>) {
    for rule in &lint.istio.destination_rules {
        let Some(word) = &rule.host else { continue };
        let own = &rule.head.namespace;
        let full = host::full(&word.text, own);
        let known: Vec<&Known> = if full.starts_with('*') {
            lint.registry.iter().filter(|known| host::within(&known.host, &full)).collect()
        } else {
            let wide = lint.registry.wildcards().filter(|known| host::within(&full, &known.host));
            lint.registry.named(&full).chain(wide).collect()
        };
        let object = named("DestinationRule", &rule.head);
        if known.is_empty() {
            let what = format!(
                "The host {} defined in the DestinationRule does not match any services in the \
                 mesh.",
                word.text
            );
            lint.report("IST0174", PODS, object, word.at, what);
            continue;
        }
        let services =
            known.iter().filter_map(|known| lint.cluster.service(&known.namespace, &known.name));
        let pods: Vec<&Workload> = if rule.subsets.is_empty() {
            Vec::new()
        } else {
            services.flat_map(|service| lint.cluster.workloads_of(service)).collect()
        };
        let entry = known.iter().any(|known| known.origin != From::Kubernetes);
        let missing: Vec<&Subset> = if entry {
            Vec::new()
        } else {
            rule.subsets.iter().filter(|subset| !selects(&pods, subset)).collect()
        };
        report_missing(lint, rule, &missing);
    }
}

fn report_missing(lint: &mut Lint<'_>, rule: &DestinationRule, missing: &[&Subset]) {
    for subset in missing {
        let object = named("DestinationRule", &rule.head);
        let what = format!(
            "The Subset {} defined in the DestinationRule does not select any pods. Which may \
             lead to 503 UH (NoHealthyUpstream).",
            subset.name
        );
        lint.report("IST0173", PODS, object, subset.at, what);
    }
}

/// Whether a subset has pods; labels of nodes are taken to be there unless they are empty.
fn selects(pods: &[&Workload], subset: &Subset) -> bool {
    let on_node = |(key, value): (&String, &String)| key.starts_with(TOPOLOGY) && !value.is_empty();
    let own: Labels = subset
        .labels
        .iter()
        .filter(|pair| !on_node(*pair))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    pods.iter().any(|workload| contains(&workload.labels, &own))
}

fn entry_addresses(lint: &mut Lint<'_>) {
    if lint.istio.mesh.dns_auto_allocate {
        return;
    }
    for entry in &lint.istio.service_entries {
        if !entry.addresses.is_empty() || allocated(lint, &entry.head) {
            continue;
        }
        let open = |protocol: &str| {
            matches!(protocol.to_ascii_uppercase().as_str(), "" | "TCP" | "TLS_TCP")
        };
        for port in entry.ports.iter().filter(|port| open(&port.protocol)) {
            let what = format!(
                "ServiceEntry addresses are required for the protocol of port {}.",
                port.number
            );
            let object = named("ServiceEntry", &entry.head);
            lint.report("IST0134", "serviceentry.ProtocolAddressesAnalyzer", object, port.at, what);
        }
    }
}

/// Whether the control plane has given the entry addresses.
fn allocated(lint: &Lint<'_>, head: &Head) -> bool {
    let object = lint.objects.iter().find(|object| {
        object.id.kind == "ServiceEntry"
            && object.id.name == head.name
            && object.id.namespace == head.namespace
    });
    let status = object.and_then(|object| object.node.get("status")?.get("addresses"));
    status.is_some_and(|addresses| !addresses.items().is_empty())
}

/// Entries of one host that give one port two protocols, where somebody sees both.
fn entry_conflicts(lint: &mut Lint<'_>) {
    let entries = &lint.istio.service_entries;
    for entry in entries {
        let meets = |other: &&crate::manifest::istio::service_entry::ServiceEntry| {
            let same_scope = other.head.namespace == entry.head.namespace;
            let public = entry.export_to.is_public() || other.export_to.is_public();
            other.head != entry.head
                && (same_scope || public)
                && entry.hosts.iter().any(|host| other.hosts.iter().any(|o| o.text == host.text))
        };
        let conflict = entries.iter().filter(meets).find_map(|other| {
            let port = entry.ports.iter().find(|port| {
                other.ports.iter().any(|o| {
                    o.number == port.number && !o.protocol.eq_ignore_ascii_case(&port.protocol)
                })
            })?;
            Some((other.head.full(), port))
        });
        if let Some((other, port)) = conflict {
            let what = format!(
                "port {} has protocol {} here and another one in ServiceEntry {other}",
                port.number, port.protocol
            );
            let object = named("ServiceEntry", &entry.head);
            let rule = "serviceentry.ConflictingServiceEntriesAnalyzer";
            lint.report("IST0177", rule, object, port.at, what);
        }
    }
}
