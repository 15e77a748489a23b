//! `Server`: a port of some pods, and who may call it if nobody else says so.
//!
//! Source: linkerd2 `policy-controller/k8s/api/src/policy/server.rs`, `inbound/server.rs`,
//! `inbound/index.rs` (`reindex_servers`); docs `2-edge/reference/authorization-policy`.
//! Left out: `externalWorkloadSelector` (workloads outside of Kubernetes; listed as ignored). Where two
//! Servers select one port, Linkerd takes the first of a randomly ordered map and logs the other; here
//! it is the first by name, and [`crate::manifest::lint`] says so.

use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::settings::DefaultPolicy;
use crate::manifest::object::{Labels, Object};
use crate::manifest::reader::{IntOrText, Reader};
use crate::manifest::selector::Selector;
use crate::manifest::source::At;

/// A Server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels (`ServerAuthorizations` select by them).
    pub labels: Labels,
    /// Which pods; none if it selects external workloads only.
    pub pods: Option<Selector>,
    /// Which port of them.
    pub port: IntOrText,
    /// What is spoken there.
    pub protocol: ProxyProtocol,
    /// Who may call beside those that are authorized; `deny` if not told.
    pub access: DefaultPolicy,
    /// Where its name is.
    pub at: At,
}

/// What a Server says is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyProtocol {
    /// To be found out.
    Unknown,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
    /// Opaque bytes.
    Opaque,
    /// TLS of the app.
    Tls,
}

impl Server {
    /// The ports of a workload's pods that it selects; a port by number need not be declared.
    pub fn ports(&self, workload: &Workload) -> Vec<u16> {
        let is_selected = self.namespace == workload.namespace
            && self.pods.as_ref().is_some_and(|pods| pods.matches(&workload.labels));
        if !is_selected {
            return Vec::new();
        }
        match &self.port {
            IntOrText::Int(number) => u16::try_from(*number).into_iter().collect(),
            // The injected proxy's own port has a name, too.
            IntOrText::Text(name) if name == "linkerd-admin" => vec![4191],
            IntOrText::Text(name) => {
                let ports = workload.containers.iter().flat_map(|container| &container.ports);
                ports.filter(|(known, _)| known == name).map(|(_, number)| *number).collect()
            }
        }
    }
}

/// Reads a Server of version v1beta1 to v1beta3.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Server {
    let mut server = Server {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        labels: object.labels.clone(),
        pods: None,
        port: IntOrText::Int(0),
        protocol: ProxyProtocol::Unknown,
        access: DefaultPolicy::Deny,
        at: object.name_at,
    };
    let is_there = reader.map("spec", |spec| {
        server.pods = spec.map("podSelector", Selector::read);
        if object.version != "v1beta1" {
            let why = "workloads outside of Kubernetes";
            spec.ignore(&["externalWorkloadSelector"], why);
        }
        if server.pods.is_none() && !spec.has("externalWorkloadSelector") {
            spec.missing("podSelector");
        }
        if let Some(port) = spec.int_or_text("port") {
            if matches!(port, IntOrText::Int(number) if !(1..=65535).contains(&number)) {
                let at = spec.at_field("port");
                spec.problem(at, "`Server.spec.port` must be a port or a port's name", "");
            }
            server.port = port;
        }
        if !spec.has("port") {
            spec.missing("port");
        }
        let protocols = [
            ("unknown", ProxyProtocol::Unknown),
            ("HTTP/1", ProxyProtocol::Http1),
            ("HTTP/2", ProxyProtocol::Http2),
            ("gRPC", ProxyProtocol::Grpc),
            ("opaque", ProxyProtocol::Opaque),
            ("TLS", ProxyProtocol::Tls),
        ];
        if let Some(protocol) = spec.one_of("proxyProtocol", &protocols) {
            server.protocol = protocol;
        }
        // Older versions have no such field: the API server drops it.
        if object.version == "v1beta3"
            && let Some(access) = spec.one_of("accessPolicy", &DefaultPolicy::WORDS)
        {
            server.access = access;
        }
    });
    if is_there.is_none() {
        reader.missing("spec");
    }
    server
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;
    use crate::manifest::reader;

    fn server(version: &str, spec: &str) -> (Server, Vec<String>) {
        let text = format!(
            "apiVersion: policy.linkerd.io/{version}\nkind: Server\n\
             metadata: {{name: web, namespace: shop}}\nspec: {{{spec}}}\n"
        );
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        let server = reader::object(&objects[0], &sources, &mut findings, |r| read(&objects[0], r));
        let all = findings.problems.iter().chain(&findings.warnings);
        (server, all.map(ToString::to_string).collect())
    }

    #[test]
    fn access_policy_counts_from_v1beta3_on() {
        let spec = "podSelector: {}, port: http, accessPolicy: all-unauthenticated";
        let (new, told) = server("v1beta3", spec);
        assert_eq!((new.access, told.len()), (DefaultPolicy::AllUnauthenticated, 0));
        let (old, told) = server("v1beta1", spec);
        assert_eq!(old.access, DefaultPolicy::Deny);
        assert!(told[0].contains("has no field `accessPolicy`"), "{told:?}");
    }

    #[test]
    fn what_is_missing_or_misspelt_is_told() {
        let cases = [
            ("podSelector: {}", "has no `port`"),
            ("port: 80", "has no `podSelector`"),
            ("podSelector: {}, port: 0", "must be a port"),
            ("podSelector: {}, port: 80, proxyProtocol: HTTP1", "did you mean `HTTP/1`?"),
            ("podSelector: {}, port: 80, accessPolicy: allow", "has no value `allow`"),
        ];
        for (spec, expected) in cases {
            let (_, told) = server("v1beta3", spec);
            assert!(told.iter().any(|line| line.contains(expected)), "{spec}: {told:?}");
        }
    }
}
