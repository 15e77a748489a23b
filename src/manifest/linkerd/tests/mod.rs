//! Where requests go, rule by rule: each case is a few lines of manifests, a request, and an answer.

use crate::manifest::kubernetes::Cluster;
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::outbound;
use crate::manifest::linkerd::settings::Settings;
use crate::manifest::object::Manifests;
use crate::manifest::route::request::Request;
use crate::manifest::route::text::percent;
use crate::manifest::route::{Origin, Query, Route};

mod broken;
mod docs;
mod inbound;
mod rules;
mod samples;

/// Manifests that were read.
pub(crate) struct Mesh {
    /// The texts and findings.
    pub(crate) manifests: Manifests,
    /// Kubernetes' objects.
    pub(crate) cluster: Cluster,
    /// Linkerd's.
    pub(crate) linkerd: Linkerd,
}

impl Mesh {
    /// Reads texts.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(name, text)| (*name, text.as_bytes()));
        let mut manifests = Manifests::read(files);
        let cluster = Cluster::of(&mut manifests);
        let Manifests { sources, objects, findings } = &mut manifests;
        let linkerd = Linkerd::read(objects, &cluster, Settings::default(), sources, findings);
        Self { manifests, cluster, linkerd }
    }

    /// The answer to `METHOD URL name=value…` from `namespace/workload`.
    pub(crate) fn ask(&self, from: &str, request: &str) -> Route {
        let (namespace, workload) = from.split_once('/').unwrap_or((from, ""));
        let workload = Some(workload.to_owned()).filter(|workload| !workload.is_empty());
        let mut words = request.split(' ');
        let (method, url) = (words.next().unwrap(), words.next().unwrap());
        let headers: Vec<_> = words
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let request = Request::to(method, url, &headers).unwrap();
        let namespace = namespace.to_owned();
        let from = Origin::Mesh { namespace, workload, labels: std::collections::BTreeMap::new() };
        let query = Query { from, request };
        outbound::route(&self.linkerd, &self.cluster, &self.manifests.sources, &query)
    }

    /// Problems and warnings, a line each.
    pub(crate) fn told(&self) -> Vec<String> {
        let findings = &self.manifests.findings;
        let all = findings.problems.iter().chain(&findings.warnings);
        all.map(ToString::to_string).collect()
    }
}

/// `90% web:80, 10% web-v2:80 (500)`, or the status of a direct answer.
pub(crate) fn short(route: &Route) -> String {
    if let Some(direct) = &route.direct {
        return direct.location.as_ref().map_or_else(
            || direct.status.to_string(),
            |location| format!("{} {}", direct.status, location.url),
        );
    }
    let destinations = route.destinations.iter().map(|to| {
        let failure = to.failure.as_ref().map(|direct| format!(" ({})", direct.status));
        let (share, service, port) = (percent(to.share), &to.service, to.port);
        format!("{share} {service}:{port}{}", failure.unwrap_or_default())
    });
    destinations.collect::<Vec<_>>().join(", ")
}

/// A namespace with a proxy in each pod: clients, and services `web`, `v1`, `v2` with their pods.
pub(crate) fn shop() -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {linkerd.io/inject: enabled}}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: bank, annotations: {linkerd.io/inject: enabled}}\n---\n",
    );
    for (namespace, name) in
        [("shop", "web"), ("shop", "v1"), ("shop", "v2"), ("bank", "v1"), ("bank", "client")]
    {
        text += &deployment(namespace, name, 1);
        text += &service(namespace, name, "");
    }
    text
}

/// A Deployment whose pods have the label `app` and listen at port 8080.
pub(crate) fn deployment(namespace: &str, name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
         metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]}}\n---\n"
    )
}

/// A Service of such a Deployment, with port 80 and more fields of its metadata.
pub(crate) fn service(namespace: &str, name: &str, metadata: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}{metadata}}}\n\
         spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n"
    )
}

/// An `HTTPRoute` of `web` in a namespace.
pub(crate) fn route(api: &str, namespace: &str, name: &str, rules: &str) -> String {
    format!(
        "apiVersion: {api}\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         parentRefs: [{{group: core, kind: Service, name: web, namespace: shop, port: 80}}]\n  \
         rules:\n{rules}---\n"
    )
}

/// Says that a test found no inputs.
#[expect(clippy::print_stderr, reason = "a note for people who run the tests")]
fn skipped() {
    eprintln!("skipped: no linkerd-samples here");
}

/// Linkerd's own group.
pub(crate) const OWN: &str = "policy.linkerd.io/v1beta3";
/// The Gateway API's.
pub(crate) const GATEWAY: &str = "gateway.networking.k8s.io/v1";
