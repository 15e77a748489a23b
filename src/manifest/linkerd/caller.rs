//! Who sends a request: the workload, its proxy and its identity; and what its names mean.
//!
//! Source: Kubernetes DNS (`name`, `name.namespace`, `….svc`, `….svc.cluster.local`; a plain name is
//! looked for in the client's own namespace); Linkerd identities (`account.namespace.serviceaccount…`).
//! Left out: search domains beyond the cluster's; `hostAliases`. A workload that is not told counts as
//! a meshed one with the service account `default`, at an address of the cluster.

use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::inbound::Client;
use crate::manifest::linkerd::inject::Proxy;
use crate::manifest::linkerd::outbound::Asked;
use crate::manifest::route::Origin;
use crate::manifest::route::request::Request;
use std::net::{IpAddr, Ipv4Addr};

/// An address of the cluster's networks, for clients whose address is not known.
const SOME_POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 42, 0, 10));

/// The sender of a request.
#[derive(Clone, Debug)]
pub struct Caller<'a> {
    /// Its namespace.
    pub namespace: String,
    /// Its workload, if it was found.
    pub workload: Option<&'a Workload>,
    /// Its proxy, if the workload was found.
    pub proxy: Option<&'a Proxy>,
    /// What servers see of it.
    pub client: Client,
    /// The name that was asked for and not found.
    unknown: Option<String>,
}

impl<'a> Caller<'a> {
    /// The sender that a question names.
    pub fn of(linkerd: &'a Linkerd, cluster: &'a Cluster, origin: &Origin) -> Self {
        let (namespace, name, labels) = match origin {
            Origin::Mesh { namespace, workload, labels } => {
                (namespace, workload.clone(), labels.clone())
            }
            // Linkerd has no gateway of its own: an ingress controller is a client like any other.
            Origin::Gateway { namespace, name, .. } => {
                (namespace, Some(name.clone()), std::collections::BTreeMap::new())
            }
        };
        let fits = |workload: &&Workload| {
            workload.namespace == *namespace
                && match &name {
                    Some(name) => workload.name == *name,
                    None => !labels.is_empty() && workload.labels == labels,
                }
        };
        let workload = cluster.workloads.iter().find(fits);
        let proxy = workload.and_then(|workload| linkerd.proxy(workload));
        let is_meshed = proxy.is_none_or(|proxy| proxy.is_injected);
        let account = workload.map_or("default", |workload| workload.service_account.as_str());
        let identity = is_meshed.then(|| linkerd.settings.identity(namespace, account));
        let unknown = name.filter(|_| workload.is_none());
        let client = Client { identity, address: SOME_POD };
        Self { namespace: namespace.clone(), workload, proxy, client, unknown }
    }

    /// Why its proxy does not see connections to a port, if it does not.
    pub fn bypass(&self, port: u16) -> Option<String> {
        let proxy = self.proxy?;
        if !proxy.is_injected {
            return Some("without a proxy no rule of the mesh counts".to_owned());
        }
        proxy
            .skip_outbound
            .0
            .contains(port)
            .then(|| format!("the client skips its proxy for port {port} (skip-outbound-ports)"))
    }

    /// The host that counts in ingress mode: the one that `l5d-dst-override` or Host names. Otherwise
    /// the address that is connected to decides, whatever Host says.
    pub fn named_host(&self, request: &Request) -> Option<String> {
        self.proxy.filter(|proxy| proxy.is_ingress)?;
        let told = request.headers.get("l5d-dst-override");
        let host = told.as_deref().map(|told| told.split(':').next().unwrap_or(told));
        Some(host.unwrap_or(&request.authority).to_owned())
    }

    /// What servers see of a connection to a port: without the proxy there is no identity.
    pub fn client_at(&self, port: u16) -> Client {
        match self.bypass(port) {
            Some(_) => Client { identity: None, address: self.client.address },
            None => self.client.clone(),
        }
    }

    /// What was assumed of the sender.
    pub fn why(&self, asked: &Asked<'_>) -> Vec<String> {
        if let (Some(workload), Some(proxy)) = (self.workload, self.proxy) {
            let place = proxy.at.map_or(String::new(), |at| format!(" at {}", asked.place(at)));
            let (kind, name) = (workload.kind.word(), &workload.name);
            let has = if proxy.is_injected { "has" } else { "has no" };
            return vec![format!(
                "{kind} {}/{name} {has} proxy: {}{place}",
                self.namespace, proxy.why
            )];
        }
        let who = self.unknown.as_ref().map_or_else(
            || "a client".to_owned(),
            |name| format!("{name}, which is not in the manifests,"),
        );
        let namespace = &self.namespace;
        vec![format!("{who} in {namespace} is taken for a meshed one with the account default")]
    }

    /// Namespace and name of the service that a host name means in the cluster; none for others.
    pub fn service_name(
        &self,
        linkerd: &Linkerd,
        cluster: &Cluster,
        host: &str,
    ) -> Option<(String, String)> {
        let host = host.trim_end_matches('.');
        let domain = format!(".{}", linkerd.settings.cluster_domain);
        let cut = host.strip_suffix(domain.as_str()).unwrap_or(host);
        let short = cut.strip_suffix(".svc").unwrap_or(cut);
        let is_cluster = short.len() < host.len();
        let (name, namespace) = match short.split_once('.') {
            None => (short, self.namespace.as_str()),
            Some((name, namespace)) if !namespace.contains('.') => (name, namespace),
            Some(_) => return None,
        };
        let is_plain = !short.contains('.') && host.parse::<IpAddr>().is_err();
        let is_known = cluster.service(namespace, name).is_some();
        (is_known || is_cluster || is_plain).then(|| (namespace.to_owned(), name.to_owned()))
    }
}
