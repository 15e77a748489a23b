//! `Sidecar`: what the proxies of a namespace or of some pods can see.
//!
//! Source: Istio API `networking/v1/sidecar.proto`; istio/istio `pilot/pkg/model/sidecar.go`
//! (which one counts: a selector's, then the namespace's, then the root namespace's; the oldest first;
//! a host is seen if an egress listener has its namespace and host).
//! Left out: `ingress` listeners, `inboundConnectionPool`, `bind` and capture modes of egress listeners.

use crate::manifest::istio::check;
use crate::manifest::istio::host;
use crate::manifest::istio::meta::Head;
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// What proxies can see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sidecar {
    /// Who it is.
    pub head: Head,
    /// Labels of its pods; none: all of the namespace.
    pub workload_selector: Option<Labels>,
    /// What can be seen; none: as without a `Sidecar`.
    pub egress: Option<Vec<Egress>>,
    /// Whether unknown hosts are reached; none: the mesh's setting.
    pub allow_any: Option<bool>,
}

/// A group of visible hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Egress {
    /// Where it stands.
    pub at: At,
    /// The port for which it counts; none: all.
    pub port: Option<u16>,
    /// The hosts, as `namespace/host`.
    pub hosts: Vec<Word>,
}

impl Sidecar {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let not_simulated = "listeners of the server's side are not simulated";
        reader.ignore(&["ingress", "inboundConnectionPool"], not_simulated);
        let modes = [("REGISTRY_ONLY", false), ("ALLOW_ANY", true)];
        let allow_any = reader.map("outboundTrafficPolicy", |policy| {
            policy.ignore(&["egressProxy"], "a deprecated field");
            policy.one_of("mode", &modes)
        });
        let workload_selector = check::selector_labels(reader, "workloadSelector", "labels");
        let egress = reader.list_if("egress", Egress::read);
        let many = egress
            .as_ref()
            .is_some_and(|list| list.iter().filter(|listener| listener.port.is_none()).count() > 1);
        if many {
            let what = "only one egress listener may have no port";
            reader.problem(reader.at_field("egress"), what, "put the hosts into one");
        }
        Self { head, workload_selector, egress, allow_any: allow_any.flatten() }
    }

    /// The egress listener by which a host of a namespace is seen on a port; the Sidecar's own place
    /// if it restricts nothing.
    pub fn sees(&self, namespace: &str, name: &str, port: Option<u16>) -> Option<At> {
        let Some(egress) = &self.egress else { return Some(self.head.at) };
        let own = &self.head.namespace;
        let exact = egress.iter().filter(|listener| listener.port.is_some());
        let exact = exact.filter(|listener| port.is_none() || listener.port == port);
        let all = egress.iter().filter(|listener| listener.port.is_none());
        exact.chain(all).find_map(|listener| {
            let fits = |word: &&Word| {
                let (wanted, hosts) = word.text.split_once('/').unwrap_or(("*", &word.text));
                let namespace_fits = match wanted {
                    "*" => true,
                    "." => namespace == own,
                    "~" => false,
                    other => namespace == other,
                };
                namespace_fits && (hosts == "*" || host::overlap(name, hosts))
            };
            listener.hosts.iter().find(fits).map(|word| word.at)
        })
    }
}

impl Egress {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        reader.ignore(&["bind", "captureMode", "localhost"], "addresses of listeners");
        let port = reader.map("port", |port| {
            port.pass(&["name", "protocol", "targetPort"]);
            port.port("number")
        });
        let hosts = reader.words("hosts");
        if hosts.is_empty() {
            reader.missing("hosts");
        }
        for word in &hosts {
            let fits = word.text.split_once('/').is_some_and(|(namespace, host)| {
                (matches!(namespace, "*" | "." | "~") || check::is_label(namespace))
                    && check::is_wildcard_domain(host)
            });
            if !fits {
                let what = format!("`{}` must be namespace/host", word.text);
                reader.problem(word.at, what, "such as ./*, */*, istio-system/*, shop/a.com");
            }
        }
        Self { at: reader.at(), port: port.flatten(), hosts }
    }
}
