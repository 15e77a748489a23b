//! Ports that speak first, and a control plane that one node takes along.
//!
//! Source: docs `2-edge/features/protocol-detection` (server-first protocols), `2-edge/features/ha`;
//! linkerd2 `charts/linkerd-control-plane/values{,-ha}.yaml`.
//! Left out: anti-affinity and zones of the control plane; certificates' dates.

use crate::manifest::kubernetes::service::{Port, Service};
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::settings::Settings;
use crate::manifest::lint::linkerd::Lint;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    let cluster = lint.cluster;
    for service in cluster.services.values() {
        for port in &service.ports {
            server_first(lint, service, port);
            app_protocol(lint, service, port);
        }
    }
    control_plane(lint);
    injector(lint);
}

/// Protocols whose server speaks first: names of ports, and numbers that are their own.
const SERVER_FIRST: &[(&str, &[&str], &[u16])] = &[
    ("SMTP", &["smtp", "submission"], &[25, 587]),
    ("MySQL", &["mysql", "mariadb"], &[3306, 33060]),
    ("Galera", &["galera"], &[4444]),
    ("PostgreSQL", &["postgres", "postgresql", "pgsql"], &[5432]),
    ("Redis", &["redis"], &[6379]),
    ("Elasticsearch transport", &["transport"], &[9300]),
    ("Memcached", &["memcached", "memcache"], &[11211]),
    ("NATS", &["nats"], &[4222]),
    ("SSH", &["ssh"], &[22]),
    ("FTP", &["ftp"], &[21]),
    ("IMAP", &["imap"], &[143]),
    ("POP3", &["pop3"], &[110]),
];

fn server_first(lint: &mut Lint<'_>, service: &Service, port: &Port) {
    let meshed = lint.cluster.workloads_of(service).into_iter().any(|w| lint.linkerd.is_meshed(w));
    let used = meshed
        || lint
            .cluster
            .workloads
            .iter()
            .any(|w| w.namespace == service.namespace && lint.linkerd.is_meshed(w));
    if !used || !port.is_tcp || port.app_protocol.is_some() {
        return;
    }
    let name = port.name.to_ascii_lowercase();
    let is_named = |words: &[&str]| {
        words.iter().any(|word| name == *word || name.ends_with(&format!("-{word}")))
    };
    let speaks = |(_, words, numbers): &&(&str, &[&str], &[u16])| {
        numbers.contains(&port.number) || is_named(words)
    };
    let Some((protocol, ..)) = SERVER_FIRST.iter().find(speaks) else { return };
    if lint.linkerd.opaque(service, port.number).is_none() {
        let what = format!("port {} speaks {protocol} and is not opaque", port.number);
        lint.report("L5D020", object(service), port.at, what);
    }
}

fn object(service: &Service) -> String {
    format!("Service {}/{}", service.namespace, service.name)
}

fn app_protocol(lint: &mut Lint<'_>, service: &Service, port: &Port) {
    let Some(word) = &port.app_protocol else { return };
    let known = ["http", "kubernetes.io/h2c", "linkerd.io/tcp", "linkerd.io/opaque", "tcp"];
    if !known.contains(&word.text.to_ascii_lowercase().as_str()) {
        let what = format!("Linkerd does not know the appProtocol `{}`", word.text);
        lint.report("L5D029", object(service), word.at, what);
    }
}

const CONTROL_PLANE: &[&str] =
    &["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"];

fn control_plane(lint: &mut Lint<'_>) {
    let (cluster, settings) = (lint.cluster, &lint.linkerd.settings);
    for workload in &cluster.workloads {
        if workload.replicas < 2 && is_control_plane(settings, workload) {
            let what = format!("{} replica of {}", workload.replicas, workload.name);
            let object =
                format!("{} {}/{}", workload.kind.word(), workload.namespace, workload.name);
            lint.report("L5D019", object, workload.replicas_at.unwrap_or(workload.at), what);
        }
    }
}

fn is_control_plane(settings: &Settings, workload: &Workload) -> bool {
    workload.namespace == settings.namespace && CONTROL_PLANE.contains(&workload.name.as_str())
}

/// A webhook that fails closed with one pod behind it.
fn injector(lint: &mut Lint<'_>) {
    let cluster = lint.cluster;
    for webhook in cluster.webhooks.iter().filter(|webhook| webhook.fails_closed) {
        let Some((namespace, name)) = &webhook.service else { continue };
        if name != "linkerd-proxy-injector" {
            continue;
        }
        let behind: Vec<&Workload> = match cluster.service(namespace, name) {
            Some(service) => cluster.workloads_of(service),
            None => cluster
                .workloads
                .iter()
                .filter(|workload| workload.namespace == *namespace && workload.name == *name)
                .collect(),
        };
        let pods: u32 = behind.iter().map(|workload| workload.replicas).sum();
        if pods == 1 {
            let object = format!("webhook {}", webhook.name);
            lint.report("L5D018", object, webhook.at, "failurePolicy Fail with one pod behind it");
        }
    }
}
