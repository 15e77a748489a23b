//! `ServiceEntry`, `WorkloadEntry` and `WorkloadGroup`: what is outside of Kubernetes.
//!
//! Source: Istio API `networking/v1/{service_entry,workload_entry,workload_group}.proto` with the rules
//! of their CRDs; istio/istio `pkg/config/validation/validation.go` (`ValidateServiceEntry`).
//! Left out: the networks of multi-cluster meshes, automatically allocated addresses.

use crate::manifest::istio::check::{self, Subnet};
use crate::manifest::istio::meta::{ExportTo, Head};
use crate::manifest::kubernetes::service::Protocol;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// Hosts that are added to the mesh's registry.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ServiceEntry {
    /// Who it is.
    pub head: Head,
    /// The hosts.
    pub hosts: Vec<Word>,
    /// Their virtual addresses.
    pub addresses: Vec<Word>,
    /// Their ports.
    pub ports: Vec<EntryPort>,
    /// Where `ports` stands.
    pub ports_at: At,
    /// Whether they belong to the mesh (and so speak its mutual TLS).
    pub in_mesh: bool,
    /// How their endpoints are found.
    pub resolution: Resolution,
    /// Endpoints that are written down.
    pub endpoints: Vec<WorkloadEntry>,
    /// Labels of pods and workload entries that are endpoints.
    pub workload_selector: Option<Labels>,
    /// Who sees it.
    pub export_to: ExportTo,
}

/// One port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntryPort {
    /// Where it stands.
    pub at: At,
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// The protocol as written.
    pub protocol: String,
    /// The endpoints' port.
    pub target: Option<u16>,
}

/// How endpoints are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Resolution {
    /// The address that the client asked for.
    #[default]
    None,
    /// As written down.
    Static,
    /// By DNS, all addresses.
    Dns,
    /// By DNS, the first address.
    DnsRoundRobin,
}

/// A workload without a pod.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkloadEntry {
    /// Who it is; without a name if it stands in a service entry.
    pub head: Head,
    /// Where it stands.
    pub at: At,
    /// Its address: an IP, a host name, or a socket.
    pub address: String,
    /// Its ports by name.
    pub ports: Vec<(String, u16)>,
    /// Its labels.
    pub labels: Labels,
    /// Where it is.
    pub locality: Option<String>,
    /// Its share.
    pub weight: u32,
    /// Its identity.
    pub service_account: Option<String>,
}

impl EntryPort {
    /// What is spoken, by the written protocol, else by the port's name.
    pub fn spoken(&self) -> Protocol {
        let protocol = self.protocol.to_ascii_lowercase();
        let written = if protocol.is_empty() { None } else { Some(protocol.as_str()) };
        Protocol::of(written, &self.name)
    }
}

const PROTOCOLS: [&str; 12] = [
    "HTTP",
    "HTTPS",
    "HTTP2",
    "GRPC",
    "GRPC-WEB",
    "TCP",
    "TLS",
    "MONGO",
    "MYSQL",
    "REDIS",
    "UDP",
    "HTTP_PROXY",
];

impl ServiceEntry {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let words = [
            ("NONE", Resolution::None),
            ("STATIC", Resolution::Static),
            ("DNS", Resolution::Dns),
            ("DNS_ROUND_ROBIN", Resolution::DnsRoundRobin),
            ("DYNAMIC_DNS", Resolution::Dns),
        ];
        let hosts = reader.words("hosts");
        if hosts.is_empty() {
            reader.missing("hosts");
        }
        let selector_given = reader.has("workloadSelector");
        if selector_given && reader.has("endpoints") {
            let what = "only one of WorkloadSelector or Endpoints can be set";
            reader.problem(reader.at_field("endpoints"), what, "keep one of them");
        }
        let places = [("MESH_EXTERNAL", false), ("MESH_INTERNAL", true)];
        reader.ignore(&["subjectAltNames"], "names in certificates of outside hosts");
        let entry = Self {
            addresses: addresses(reader),
            ports_at: reader.at_field("ports"),
            ports: reader.list("ports", EntryPort::read),
            in_mesh: reader.one_of("location", &places).unwrap_or(false),
            resolution: reader.one_of("resolution", &words).unwrap_or_default(),
            endpoints: reader.list("endpoints", |one| WorkloadEntry::read(one, Head::default())),
            workload_selector: check::selector_labels(reader, "workloadSelector", "labels"),
            export_to: ExportTo::read(reader, &head.namespace),
            hosts,
            head,
        };
        entry.check(reader);
        entry
    }

    fn check(&self, reader: &mut Reader<'_, '_>) {
        for host in &self.hosts {
            if host.text == "*" {
                let hint = "name the hosts, or `*.domain`";
                reader.problem(host.at, "hostname cannot be wildcard", hint);
            } else {
                check::host(reader, host, true);
            }
        }
        for address in &self.addresses {
            let plain = address.text.parse::<std::net::IpAddr>().is_ok();
            match Subnet::parse(&address.text) {
                Some(_) if plain => {}
                Some(_)
                    if matches!(self.resolution, Resolution::Dns | Resolution::DnsRoundRobin) =>
                {
                    let what = "CIDR addresses are allowed only for NONE/STATIC resolution types";
                    reader.problem(address.at, what, "resolution: STATIC");
                }
                Some(_) => {}
                // Go refuses leading zeros here as well, but the schema does not look.
                None => reader.warning(address.at, format!("`{}` is no address", address.text), ""),
            }
        }
        for (index, port) in self.ports.iter().enumerate() {
            let before = &self.ports[..index];
            if before.iter().any(|other| other.number == port.number && port.number != 0) {
                let what = format!("port number cannot be duplicated: {}", port.number);
                reader.problem(port.at, what, "");
            }
            if !port.name.is_empty() && before.iter().any(|other| other.name == port.name) {
                let what = format!("Duplicate value: port name `{}`", port.name);
                reader.problem(port.at, what, "");
            }
        }
        if self.resolution == Resolution::None && !self.endpoints.is_empty() {
            let what = "NONE mode cannot set endpoints";
            reader.problem(reader.at_field("endpoints"), what, "resolution: STATIC");
        }
        if self.resolution == Resolution::DnsRoundRobin && self.endpoints.len() > 1 {
            let what = "DNS_ROUND_ROBIN mode cannot have multiple endpoints";
            reader.problem(reader.at_field("endpoints"), what, "resolution: DNS");
        }
        if self.resolution == Resolution::Static {
            for endpoint in &self.endpoints {
                let socket = endpoint.address.starts_with("unix://");
                if !socket && endpoint.address.parse::<std::net::IpAddr>().is_err() {
                    let what = format!("STATIC endpoint `{}` is no address", endpoint.address);
                    reader.warning(endpoint.at, what, "resolution: DNS for host names");
                }
            }
        }
    }
}

/// A plain `fd00::` in `[…]` is a string to Kubernetes, but YAML 1.2 reads a key without a value.
fn addresses(reader: &mut Reader<'_, '_>) -> Vec<Word> {
    let Some(tree) = reader.raw("addresses") else { return Vec::new() };
    let keys = tree.items().iter().any(|item| !item.entries().is_empty());
    if !keys {
        return reader.words("addresses");
    }
    let one = |item: &Node| {
        let text = match item.entries() {
            [only] if only.value.is_null() => format!("{}:", only.key),
            _ => item.text()?.to_owned(),
        };
        Some(Word { text, at: item.at })
    };
    tree.items().iter().filter_map(one).collect()
}

impl EntryPort {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        let port = Self {
            at: reader.at(),
            number: reader.port("number").unwrap_or(0),
            name: reader.text("name").unwrap_or_default(),
            protocol: reader.text("protocol").unwrap_or_default(),
            target: reader.port("targetPort"),
        };
        if !reader.has("number") {
            reader.missing("number");
        }
        if port.name.is_empty() {
            reader.missing("name");
        }
        let upper = port.protocol.to_ascii_uppercase();
        if !port.protocol.is_empty() && !PROTOCOLS.contains(&upper.as_str()) {
            let what = format!("`{}` is no protocol", port.protocol);
            reader.warning(reader.at_field("protocol"), what, "it counts as TCP");
        }
        port
    }
}

impl WorkloadEntry {
    /// Reads `spec`, or an element of `endpoints`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let network = reader.text("network").is_some_and(|network| !network.is_empty());
        let entry = Self {
            head,
            at: reader.at(),
            address: reader.text("address").unwrap_or_default(),
            ports: named_ports(reader),
            labels: reader.labels("labels"),
            locality: reader.text("locality"),
            weight: reader.count("weight").unwrap_or(1),
            service_account: reader.text("serviceAccount"),
        };
        if entry.address.is_empty() && !network {
            reader.problem(reader.at(), "Address is required", "");
        }
        if let Some(path) = entry.address.strip_prefix("unix://") {
            let at = reader.at_field("address");
            if !(path.starts_with('/') || path.starts_with('@')) {
                reader.problem(at, "UDS must be an absolute path or abstract socket", "");
            }
            if path.ends_with('/') {
                reader.problem(at, "UDS may not be a dir", "");
            }
            if !entry.ports.is_empty() {
                reader.problem(reader.at_field("ports"), "UDS may not include ports", "");
            }
        }
        entry
    }
}

/// A map of port names to numbers.
fn named_ports(reader: &mut Reader<'_, '_>) -> Vec<(String, u16)> {
    let mut ports = Vec::new();
    let Some(tree) = reader.raw("ports") else { return ports };
    let path = reader.path().to_owned();
    for entry in tree.entries() {
        let name_fits = entry.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !name_fits || entry.key.is_empty() {
            let what = format!("`{path}.ports`: Invalid value `{}`: no name of a port", entry.key);
            reader.problem(entry.key_at, what, "letters, digits and dashes");
        }
        let number = match entry.value.value {
            Value::Int(number) => u16::try_from(number).ok().filter(|number| *number > 0),
            _ => None,
        };
        match number {
            Some(number) => ports.push((entry.key.clone(), number)),
            None => reader.problem(entry.value.at, "port must be between 1-65535", ""),
        }
    }
    ports
}

/// A template of workloads that register themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkloadGroup {
    /// Who it is.
    pub head: Head,
    /// Labels that its workloads get.
    pub labels: Labels,
    /// What its workloads have in common.
    pub template: WorkloadEntry,
}

impl WorkloadGroup {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let labels = reader.map("metadata", |metadata| {
            metadata.pass(&["annotations"]);
            metadata.labels("labels")
        });
        let template = reader.map("template", |template| {
            let at = template.at();
            template.pass(&["address", "network"]);
            WorkloadEntry {
                head: Head::default(),
                at,
                address: String::new(),
                ports: named_ports(template),
                labels: template.labels("labels"),
                locality: template.text("locality"),
                weight: template.count("weight").unwrap_or(1),
                service_account: template.text("serviceAccount"),
            }
        });
        if template.is_none() {
            reader.missing("template");
        }
        reader.map("probe", probe);
        Self { head, labels: labels.unwrap_or_default(), template: template.unwrap_or_default() }
    }
}

fn probe(reader: &mut Reader<'_, '_>) {
    for name in ["failureThreshold", "initialDelaySeconds", "periodSeconds", "successThreshold"] {
        reader.count(name);
    }
    reader.count("timeoutSeconds");
    reader.pass(&["exec", "grpc"]);
    reader.map("tcpSocket", |socket| {
        socket.pass(&["host"]);
        socket.port("port")
    });
    reader.map("httpGet", |get| {
        get.pass(&["host", "scheme", "path"]);
        get.port("port");
        get.list("httpHeaders", |header| {
            header.pass(&["value"]);
            let name = header.word("name")?;
            if !super::matching::is_header_name(&name.text) {
                let what = format!("`{}.name` should match ^[-_A-Za-z0-9]+$", header.path());
                header.problem(name.at, what, "the name of a header");
            }
            Some(())
        });
    });
}
