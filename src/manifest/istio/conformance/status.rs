//! The conditions that Istio writes on routes and listeners, against those of the Gateway API's resolver here.
//!
//! For each parent of each route `Accepted` and `ResolvedRefs` must agree in status and reason; for each
//! listener of a gateway the number of routes and the statuses of `ResolvedRefs` and `Conflicted`.
//! Source: istio/istio `pilot/pkg/config/kube/gateway/testdata/*.status.yaml.golden`.
//! The services that are there are those that the result names and those of routes whose references Istio
//! calls resolved, without those that it calls missing: the data has no list of them.
//! Left out: a gateway's own conditions (Istio waits for addresses of its own deployments), conditions of
//! classes and policies, and messages.

use crate::manifest::gateway_api::GatewayApi;
use crate::manifest::gateway_api::attach::{Condition, ParentStatus};
use crate::manifest::gateway_api::conformance::Verdict;
use crate::manifest::gateway_api::gateway::Protocol;
use crate::manifest::gateway_api::table::Tables;
use crate::manifest::istio::Istio;
use crate::manifest::istio::conformance::gateway::{self, Services};
use crate::manifest::istio::conformance::{Case, case, stem};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::{Manifests, Object};
use crate::manifest::source::Piece;
use crate::manifest::yaml;

/// Judges each object of Istio's status (`conditions`) of a file (`input`).
pub fn judge(file: &str, input: &[u8], made: &[u8], conditions: &[u8]) -> Vec<Case> {
    let mut golden = Manifests::read([("golden.yaml", made)]);
    let istio = Istio::of(&mut golden, &Cluster::default());
    let text = String::from_utf8_lossy(conditions);
    let objects = yaml::parse(0, Piece { text: &text, lines_before: 0 }).documents;
    let mut services = gateway::services(&istio);
    correct(&mut services, input, &objects);
    let services = gateway::written_down(&services, input);
    let mut manifests = Manifests::read([(file, input), ("services.yaml", services.as_bytes())]);
    let cluster = Cluster::of(&mut manifests);
    let api = GatewayApi::of(&mut manifests);
    let tables = Tables::of(&api, &cluster);
    let setup = Setup { objects: &manifests.objects, api: &api, tables: &tables };
    objects.iter().filter_map(|object| setup.one(stem(file), object)).collect()
}

/// Adds the services of routes all of whose references Istio calls resolved, and takes away those that it
/// calls missing.
fn correct(services: &mut Services, input: &[u8], conditions: &[Node]) {
    let own = Manifests::read([("input.yaml", input)]);
    for object in own.objects.iter().filter(|object| ROUTES.contains(&object.id.kind.as_str())) {
        let said = conditions.iter().find(|said| key(said).is_some_and(|key| key == id(object)));
        let lines = said.map(expected).unwrap_or_default();
        let mut refs = lines.iter().filter(|line| line.starts_with("Resolved"));
        let (resolved, missing) = (
            refs.all(|line| line.ends_with("True ResolvedRefs")),
            lines.iter().any(|line| line.ends_with("BackendNotFound")),
        );
        for to in backends(&object.node) {
            let Some(name) = to.get("name").and_then(Node::text) else { continue };
            let namespace = to.get("namespace").and_then(Node::text);
            let namespace = namespace.unwrap_or(&object.id.namespace);
            let key = (namespace.to_owned(), name.to_owned());
            let port = match to.get("port").map(|port| &port.value) {
                Some(Value::Int(port)) => u16::try_from(*port).unwrap_or(80),
                _ => 80,
            };
            if missing {
                services.remove(&key);
            } else if resolved && said.is_some() {
                services.entry(key).or_default().insert(port);
            }
        }
    }
}

const ROUTES: [&str; 4] = ["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"];

/// Kind, namespace and name.
fn id(object: &Object) -> (String, String) {
    (object.id.kind.clone(), format!("{}/{}", object.id.namespace, object.id.name))
}

/// The same of an object of the data.
fn key(object: &Node) -> Option<(String, String)> {
    let meta = object.get("metadata")?;
    let namespace = meta.get("namespace").and_then(Node::text).unwrap_or_default();
    let name = meta.get("name").and_then(Node::text)?;
    Some((object.get("kind")?.text()?.to_owned(), format!("{namespace}/{name}")))
}

fn items<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    node.get(name).map_or(&[][..], Node::items)
}

/// All references to backends of a route's rules.
fn backends(route: &Node) -> Vec<&Node> {
    let rules = route.get("spec").map_or(&[][..], |spec| items(spec, "rules"));
    rules.iter().flat_map(|rule| items(rule, "backendRefs")).collect()
}

/// What Istio says of each parent of a route.
fn expected(object: &Node) -> Vec<String> {
    let parents = object.get("status").map_or(&[][..], |status| items(status, "parents"));
    let own = parents.iter().filter(|parent| {
        parent.get("controllerName").and_then(Node::text) == Some("istio.io/gateway-controller")
    });
    let mut all = Vec::new();
    for parent in own {
        for wanted in ["Accepted", "ResolvedRefs"] {
            let text = |one: &Node, key: &str| one.get(key).and_then(Node::text).map(str::to_owned);
            let mut conditions = items(parent, "conditions").iter();
            let found = conditions.find(|one| text(one, "type").as_deref() == Some(wanted));
            let line = found.and_then(|found| {
                Some(format!("{wanted} {} {}", text(found, "status")?, text(found, "reason")?))
            });
            all.extend(line);
        }
    }
    all.sort();
    all
}

/// What Istio says of a listener.
fn listener(said: &Node) -> String {
    let name = said.get("name").and_then(Node::text).unwrap_or_default();
    let routes = match said.get("attachedRoutes").map(|routes| &routes.value) {
        Some(Value::Int(routes)) => *routes,
        _ => 0,
    };
    let of = |wanted: &str| {
        let mut conditions = items(said, "conditions").iter();
        let found = conditions.find(|one| one.get("type").and_then(Node::text) == Some(wanted))?;
        found.get("status")?.text()
    };
    format!(
        "{name}: {routes} routes, ResolvedRefs {}, Conflicted {}",
        of("ResolvedRefs").unwrap_or("-"),
        of("Conflicted").unwrap_or("-")
    )
}

fn word(status: bool) -> &'static str {
    if status { "True" } else { "False" }
}

/// What is judged.
struct Setup<'a> {
    objects: &'a [Object],
    api: &'a GatewayApi,
    tables: &'a Tables,
}

impl Setup<'_> {
    fn one(&self, stem: &str, said: &Node) -> Option<Case> {
        let (kind, title) = key(said)?;
        let name = format!("status/{stem}/{kind}:{title}");
        if kind == "Gateway" {
            return Some(self.gateway(name, &title, said));
        }
        if !ROUTES.contains(&kind.as_str()) {
            let reason = format!("conditions of {kind} objects are not compared");
            return Some(case(name, Verdict::NotModelled, reason));
        }
        let own = self.objects.iter().find(|object| id(object) == (kind.clone(), title.clone()));
        if let Some(why) = own.and_then(|own| self.foreign(own)) {
            return Some(case(name, Verdict::NotModelled, why));
        }
        let full = format!("{kind} {title}");
        let routes = &self.tables.attached.routes;
        let Some(status) = routes.iter().find(|status| status.route == full) else {
            return Some(case(name, Verdict::Fail, "the route was not read"));
        };
        let line = |name: &str, condition: &Condition| {
            format!("{name} {} {}", word(condition.status), condition.reason)
        };
        let of = |parent: &ParentStatus| {
            [line("Accepted", &parent.accepted), line("ResolvedRefs", &parent.resolved_refs)]
        };
        let mut found: Vec<String> = status.parents.iter().flat_map(of).collect();
        found.sort();
        let expected = expected(said);
        if expected == found {
            return Some(case(name, Verdict::Pass, found.join(", ")));
        }
        let reason = format!("expected {}, got {}", expected.join(", "), found.join(", "));
        Some(case(name, Verdict::Fail, reason))
    }

    /// Listeners of a gateway: routes that are bound, and whether something stands in the way.
    fn gateway(&self, name: String, title: &str, said: &Node) -> Case {
        let mut all = self.tables.attached.gateways.iter();
        let Some(status) = all.find(|status| status.gateway == title) else {
            return case(name, Verdict::NotModelled, "a gateway of another controller");
        };
        let listeners = said.get("status").map_or(&[][..], |status| items(status, "listeners"));
        let expected: Vec<String> = listeners.iter().map(listener).collect();
        let found = status.listeners.iter().map(|listener| {
            format!(
                "{}: {} routes, ResolvedRefs {}, Conflicted {}",
                listener.name,
                listener.attached_routes,
                word(listener.resolved_refs.status),
                word(listener.conflicted.status)
            )
        });
        let found: Vec<String> = found.collect();
        if expected == found {
            return case(name, Verdict::Pass, found.join("; "));
        }
        let mut gateways = self.api.gateways.iter();
        let own = gateways.find(|own| format!("{}/{}", own.namespace, own.name) == title);
        let mut listeners = own.map_or(&[][..], |own| &own.listeners).iter();
        if listeners.any(|one| one.protocol == Protocol::Https && one.tls.is_none()) {
            let why =
                "an HTTPS listener without tls, which Istio takes and the Gateway API refuses";
            return case(name, Verdict::NotModelled, why);
        }
        let reason = format!("expected {}, got {}", expected.join("; "), found.join("; "));
        case(name, Verdict::Fail, reason)
    }

    /// Why a route refers to something that is not modelled.
    fn foreign(&self, route: &Object) -> Option<String> {
        let kind = |to: &Node, default: &str| {
            to.get("kind").and_then(Node::text).unwrap_or(default).to_owned()
        };
        let parents = route.node.get("spec").map_or(&[][..], |spec| items(spec, "parentRefs"));
        for parent in parents {
            let kind = kind(parent, "Gateway");
            if !["Gateway", "Service"].contains(&kind.as_str()) {
                return Some(format!("a {kind} as parent"));
            }
            let name = parent.get("name").and_then(Node::text).unwrap_or_default();
            if kind == "Gateway" && !self.api.gateways.iter().any(|one| one.name == name) {
                return Some("a gateway of another controller".to_owned());
            }
        }
        let kinds = backends(&route.node).into_iter().map(|to| kind(to, "Service"));
        let mut others = kinds.filter(|kind| kind != "Service");
        others.next().map(|kind| format!("a {kind} as backend"))
    }
}
