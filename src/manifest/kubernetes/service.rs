//! Services: a stable name with ports, and which pods are behind it.
//!
//! Source: core/v1 Service; Istio "Protocol selection" (port names `<protocol>[-<suffix>]` and
//! appProtocol); Kubernetes' standard appProtocols `kubernetes.io/{h2c,ws,wss}` (KEP-3726).
//! Left out: node ports, load balancers' addresses and IP families (listed when they are set).

use crate::manifest::object::{Labels, Object};
use crate::manifest::reader::{IntOrText, Reader, Word};
use crate::manifest::selector;
use crate::manifest::source::At;
use serde::Serialize;

/// A service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations (Linkerd's policies are there).
    pub annotations: Labels,
    /// How it is reached.
    pub kind: ServiceKind,
    /// Whether `clusterIP: None` says that clients see the pods themselves.
    pub is_headless: bool,
    /// Labels of its pods; none if its endpoints are written by someone.
    pub selector: Option<Labels>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// The DNS name that it stands for, if it is an `ExternalName`.
    pub external_name: Option<String>,
    /// Whether pods that are not ready are endpoints too.
    pub publishes_not_ready: bool,
    /// Where its name is.
    pub at: At,
}

/// How a service is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum ServiceKind {
    /// In the cluster.
    ClusterIp,
    /// Also by a port of each node.
    NodePort,
    /// Also by a load balancer.
    LoadBalancer,
    /// Not at all: a DNS alias.
    ExternalName,
}

/// One port of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// The pods' port.
    pub target: Target,
    /// Whether it is UDP or SCTP, which a mesh passes by.
    pub is_tcp: bool,
    /// What is spoken, by its appProtocol or its name.
    pub protocol: Protocol,
    /// `appProtocol` as it stands.
    pub app_protocol: Option<Word>,
    /// Where the port is.
    pub at: At,
}

/// A port of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// By number.
    Number(u16),
    /// By the name of a container's port.
    Name(String),
}

/// What is spoken on a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC.
    Grpc,
    /// WebSocket over HTTP/1.1.
    WebSocket,
    /// TLS that the proxy does not open (HTTPS, `tls`).
    Tls,
    /// Opaque bytes.
    Tcp,
    /// UDP.
    Udp,
    /// Not told: a mesh looks at the first bytes.
    Unknown,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// The port with this name.
    pub fn port_named(&self, name: &str) -> Option<&Port> {
        self.ports.iter().find(|port| port.name == name)
    }

    /// Whether its selector means pods with these labels in this namespace.
    pub fn selects(&self, namespace: &str, labels: &Labels) -> bool {
        let fits = |wanted: &Labels| !wanted.is_empty() && selector::contains(labels, wanted);
        self.namespace == namespace && self.selector.as_ref().is_some_and(fits)
    }

    /// `name.namespace.svc.cluster.local`.
    pub fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.namespace)
    }
}

impl Protocol {
    /// Whether requests are seen one by one.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2 | Self::Grpc | Self::WebSocket)
    }

    /// What a port speaks, by its appProtocol, else by its name up to the first `-`.
    pub fn of(app_protocol: Option<&str>, name: &str) -> Self {
        let by_name = name.split('-').next().unwrap_or("");
        let by_name = if name.starts_with("grpc-web") { "grpc-web" } else { by_name };
        let word = app_protocol.unwrap_or(by_name).to_ascii_lowercase();
        match word.as_str() {
            "http" => Self::Http1,
            "http2" | "h2c" | "kubernetes.io/h2c" => Self::Http2,
            "grpc" | "grpc-web" => Self::Grpc,
            "kubernetes.io/ws" => Self::WebSocket,
            "https" | "tls" | "kubernetes.io/wss" => Self::Tls,
            "tcp" | "mongo" | "mysql" | "redis" | "linkerd.io/opaque" => Self::Tcp,
            "udp" => Self::Udp,
            _ => Self::Unknown,
        }
    }
}

/// Reads a Service.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Service {
    let mut service = Service {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        labels: object.labels.clone(),
        annotations: object.annotations.clone(),
        kind: ServiceKind::ClusterIp,
        is_headless: false,
        selector: None,
        ports: Vec::new(),
        external_name: None,
        publishes_not_ready: false,
        at: object.name_at,
    };
    reader.map("spec", |spec| read_spec(&mut service, spec));
    service
}

fn read_spec(service: &mut Service, spec: &mut Reader<'_, '_>) {
    let kinds = [
        ("ClusterIP", ServiceKind::ClusterIp),
        ("NodePort", ServiceKind::NodePort),
        ("LoadBalancer", ServiceKind::LoadBalancer),
        ("ExternalName", ServiceKind::ExternalName),
    ];
    service.kind = spec.one_of("type", &kinds).unwrap_or(ServiceKind::ClusterIp);
    service.is_headless = spec.text("clusterIP").as_deref() == Some("None");
    if spec.has("selector") {
        service.selector = Some(spec.labels("selector")).filter(|labels| !labels.is_empty());
    }
    spec.pass(&["selector"]);
    service.external_name = spec.text("externalName");
    service.publishes_not_ready = spec.bool("publishNotReadyAddresses").unwrap_or(false);
    service.ports = spec.list("ports", read_port).into_iter().flatten().collect();
    if service.kind == ServiceKind::ExternalName && service.external_name.is_none() {
        spec.missing("externalName");
    }
    for (index, port) in service.ports.iter().enumerate() {
        if service.ports[..index].iter().any(|other| same_port(other, port)) {
            let what = format!("port {} is given twice", port.number);
            spec.problem(port.at, what, "each port needs its own number and name");
        }
    }
    let affinity = "kube-proxy's choice by client address; meshes balance requests themselves";
    spec.ignore_unless("sessionAffinity", "None", affinity);
    spec.ignore_unless("internalTrafficPolicy", "Cluster", "which endpoints are near");
    spec.ignore_unless("externalTrafficPolicy", "Cluster", "which nodes take outside traffic");
    spec.ignore(&["trafficDistribution"], "which endpoints are near");
    spec.pass(&[
        "sessionAffinityConfig",
        "clusterIPs",
        "ipFamilies",
        "ipFamilyPolicy",
        "loadBalancerIP",
        "loadBalancerSourceRanges",
        "loadBalancerClass",
        "allocateLoadBalancerNodePorts",
        "healthCheckNodePort",
        "externalIPs",
    ]);
}

fn same_port(one: &Port, other: &Port) -> bool {
    one.is_tcp == other.is_tcp && one.number == other.number
        || (!one.name.is_empty() && one.name == other.name)
}

fn read_port(reader: &mut Reader<'_, '_>) -> Option<Port> {
    let name = reader.text("name").unwrap_or_default();
    let transports = [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Udp)];
    let transport = reader.one_of("protocol", &transports).unwrap_or(Protocol::Tcp);
    let app_protocol = reader.word("appProtocol");
    let is_there = reader.has("port");
    let number = reader.port("port");
    if !is_there {
        reader.missing("port");
    }
    let target = read_target(reader);
    reader.pass(&["nodePort"]);
    let number = number?;
    let app = app_protocol.as_ref().map(|word| word.text.as_str());
    let is_tcp = transport == Protocol::Tcp;
    let protocol = if is_tcp { Protocol::of(app, &name) } else { Protocol::Udp };
    let target = target.unwrap_or(Target::Number(number));
    Some(Port { name, number, target, is_tcp, protocol, app_protocol, at: reader.at() })
}

fn read_target(reader: &mut Reader<'_, '_>) -> Option<Target> {
    match reader.int_or_text("targetPort")? {
        IntOrText::Int(0) => None,
        IntOrText::Int(number) => {
            let port = u16::try_from(number).ok().map(Target::Number);
            if port.is_none() {
                let at = reader.at_field("targetPort");
                reader.problem(at, format!("{number} is no port"), "from 1 to 65535");
            }
            port
        }
        IntOrText::Text(name) => {
            if name.parse::<u16>().is_ok() {
                let at = reader.at_field("targetPort");
                let what = format!("targetPort \"{name}\" is the name of a port, not its number");
                reader.warning(at, what, "take the quotes away");
            }
            Some(Target::Name(name))
        }
    }
}
