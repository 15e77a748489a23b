//! Manifests as a whole, ready for questions: what the command line and scenarios start from.
//!
//! Source: `design/contract.md`, the commands `route` and `lint`.
//! Left out: which mesh is meant where the rules of several are there; that is [`crate::manifest::meshes`].

use crate::manifest::gateway_api::resolve::{self, Differences, Rules};
use crate::manifest::gateway_api::table::Tables;
use crate::manifest::gateway_api::{GatewayApi, notes};
use crate::manifest::istio::mesh::Release;
use crate::manifest::istio::{self, Istio};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::{Linkerd, outbound};
use crate::manifest::lint::calls::Calls;
use crate::manifest::lint::{self, Finding};
use crate::manifest::object::{Labels, Manifests, nearest};
use crate::manifest::route::{Origin, Query, Route};
use crate::manifest::selector::contains;
use crate::plan::problem::Problem;

/// Everything that was read.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loaded {
    /// Texts, objects and findings.
    pub manifests: Manifests,
    /// Kubernetes' kinds.
    pub cluster: Cluster,
    /// The Gateway API's.
    pub gateway_api: GatewayApi,
    /// Its rules, bound and sorted.
    pub tables: Tables,
    /// Istio's kinds.
    pub istio: Istio,
    /// Linkerd's kinds, and SMI's.
    pub linkerd: Linkerd,
}

impl Loaded {
    /// Reads texts, given as (name, bytes) in the order in which they would be applied.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self::of(Manifests::read(files))
    }

    /// The same of texts that were read, or of objects that changes have made.
    pub fn of(mut manifests: Manifests) -> Self {
        let cluster = Cluster::of(&mut manifests);
        let gateway_api = GatewayApi::of(&mut manifests);
        let istio = Istio::of(&mut manifests, &cluster);
        let linkerd = Linkerd::of(&mut manifests, &cluster);
        let tables = Tables::of(&gateway_api, &cluster);
        let Manifests { sources, findings, .. } = &mut manifests;
        notes::add(&gateway_api, &cluster, &tables, sources, findings);
        Self { manifests, cluster, gateway_api, tables, istio, linkerd }
    }

    /// Where a request goes by the Gateway API's rules.
    pub fn route(&self, query: &Query, differences: Differences) -> Route {
        let rules = Rules {
            api: &self.gateway_api,
            cluster: &self.cluster,
            tables: &self.tables,
            sources: &self.manifests.sources,
            differences,
        };
        resolve::route(&rules, query)
    }

    /// Where a request goes by Istio's own rules, with the defaults of a release.
    pub fn istio_route(&self, query: &Query, release: Release) -> Route {
        istio::route(&self.istio, &self.cluster, &self.manifests.sources, query, release)
    }

    /// Where a request goes by Linkerd's own rules.
    pub fn linkerd_route(&self, query: &Query) -> Route {
        outbound::route(&self.linkerd, &self.cluster, &self.manifests.sources, query)
    }

    /// What is wrong or risky, by place. Istio's own findings only where Istio is in use.
    pub fn lint(&self) -> Vec<Finding> {
        self.lint_with(&Calls::new(), None)
    }

    /// The same, and what only shows when it is known who calls whom, and how long an outage of the
    /// control plane shall be survived (in nanoseconds).
    pub fn lint_with(&self, calls: &Calls, outage_ns: Option<u64>) -> Vec<Finding> {
        let Manifests { sources, objects, .. } = &self.manifests;
        let mut findings = lint::istio(objects, &self.cluster, &self.istio, sources);
        if !self.uses_istio() {
            findings.retain(|finding| !finding.code.starts_with("IST"));
        }
        findings.extend(lint::linkerd::linkerd(&self.cluster, &self.linkerd, sources));
        findings.extend(lint::asked(self, calls, outage_ns));
        findings.sort_by(|a, b| (&a.place, a.code, &a.what).cmp(&(&b.place, b.code, &b.what)));
        findings.dedup();
        findings
    }

    /// Who is meant by `--from`: `gateway:NAMESPACE/NAME` (a Gateway, or Istio's gateway
    /// pods by their workload), `NAMESPACE/WORKLOAD`, or a namespace alone.
    pub fn origin(&self, who: &str) -> Result<Origin, Problem> {
        if let Some(gateway) = who.strip_prefix("gateway:") {
            return self.gateway_origin(gateway);
        }
        let Some((namespace, name)) = who.split_once('/') else {
            return self.namespace_origin(who);
        };
        let own = self.cluster.workloads.iter().filter(|workload| workload.namespace == namespace);
        let Some(workload) = own.clone().find(|workload| workload.name == name) else {
            let known: Vec<&str> = own.map(|workload| workload.name.as_str()).collect();
            let what = format!("there is no workload `{name}` in the namespace `{namespace}`");
            return Err(Problem::new(what).hint(meant(name, &known)));
        };
        Ok(Origin::Mesh {
            namespace: namespace.to_owned(),
            workload: Some(name.to_owned()),
            labels: workload.labels.clone(),
        })
    }

    fn gateway_origin(&self, who: &str) -> Result<Origin, Problem> {
        let specified = self.gateway_api.gateways.iter();
        let specified = specified.map(|one| (one.namespace.as_str(), one.name.as_str()));
        let istio = self.istio.gateways.iter();
        let istio = istio.map(|one| (one.head.namespace.as_str(), one.head.name.as_str()));
        let pods = self.cluster.workloads.iter().filter(|pod| self.is_behind_gateway(pod));
        let pods = pods.map(|pod| (pod.namespace.as_str(), pod.name.as_str()));
        let all: Vec<(&str, &str)> = specified.chain(istio).chain(pods).collect();
        let named = who.split_once('/').filter(|name| all.contains(name));
        let found = named.or_else(|| all.iter().copied().find(|(_, name)| *name == who));
        if let Some((namespace, name)) = found {
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            return Ok(Origin::Gateway { namespace, name, sni: None });
        }
        let known: Vec<String> =
            all.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        Err(Problem::new(format!("there is no Gateway `{who}`")).hint(meant(who, &known)))
    }

    /// Whether these are the pods of one of Istio's gateways.
    fn is_behind_gateway(&self, pod: &Workload) -> bool {
        let mut all = self.istio.gateways.iter();
        all.any(|gateway| !gateway.selector.is_empty() && contains(&pod.labels, &gateway.selector))
    }

    fn namespace_origin(&self, who: &str) -> Result<Origin, Problem> {
        let mut known: Vec<&str> = self.cluster.namespaces.keys().map(String::as_str).collect();
        known.extend(self.cluster.services.keys().map(|(namespace, _)| namespace.as_str()));
        known.sort_unstable();
        known.dedup();
        if !known.contains(&who) {
            let what = format!("there is no namespace `{who}` in the manifests");
            return Err(Problem::new(what).hint(meant(who, &known)));
        }
        let namespace = who.to_owned();
        Ok(Origin::Mesh { namespace, workload: None, labels: Labels::new() })
    }
}

/// The nearest name, or all of them if they are few.
fn meant(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are none in the manifests".to_owned(),
        None => format!("there are {}", known[..known.len().min(8)].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::route::request::Request;

    #[test]
    fn who_asks_is_found_or_told() {
        let text = include_str!("tests/normative.yaml");
        let loaded = Loaded::read([("m.yaml", text.as_bytes())]);
        let told = |who: &str| loaded.origin(who).unwrap_err().to_string();
        assert!(told("shop/wbe").contains("did you mean `web`?"));
        assert!(told("shopp").contains("did you mean `shop`?"));
        assert!(told("gateway:shop/edgy").contains("did you mean `shop/edge`?"));
        let from = loaded.origin("gateway:edge").unwrap();
        let request = Request::to("GET", "http://shop.example.com/cart/1", &[]).unwrap();
        let route = loaded.route(&Query { from, request }, Differences::SPECIFIED);
        assert_eq!(route.destinations[0].service, "web");
        assert_eq!(route.destinations[0].request.headers.get("X-Shop").as_deref(), Some("cart"));
        assert_eq!(route.destinations[0].workloads, ["web"]);
        assert!(matches!(loaded.origin("shop/web"), Ok(Origin::Mesh { workload: Some(_), .. })));
        let inside = Query {
            from: loaded.origin("shop").unwrap(),
            request: Request::to("GET", "http://web/", &[]).unwrap(),
        };
        assert_eq!(loaded.route(&inside, Differences::SPECIFIED).destinations.len(), 1);
    }
}
