//! `HTTPRouteGroup` and `TrafficTarget`: which routes which accounts may call.
//!
//! Fields of a match are all required, matches are alternatives. A service account that is the
//! destination of some target takes only what its targets allow.
//! Source: smi-spec `apis/traffic-specs/v1alpha4`, `apis/traffic-access/v1alpha3`.
//! Left out: enforcement: of the meshes simulated here none reads `TrafficTargets` (Linkerd never did);
//! [`crate::manifest::lint`] says so. [`TrafficTarget::allows`] tells what the specification means.

use crate::manifest::kubernetes::Name;
use crate::manifest::node::Value;
use crate::manifest::object::Object;
use crate::manifest::pattern::Pattern;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;
use std::collections::BTreeMap;

/// A group of routes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteGroup {
    /// Its routes by name.
    pub matches: Vec<RouteMatch>,
    /// Where its name is.
    pub at: At,
}

/// One route of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteMatch {
    /// Its name.
    pub name: String,
    /// The whole path; none for any.
    pub path: Option<Pattern>,
    /// The methods; empty for any.
    pub methods: Vec<String>,
    /// Headers with the whole value of each.
    pub headers: Vec<(String, Pattern)>,
}

/// Who may call a service account's pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrafficTarget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The account that is called.
    pub destination: Name,
    /// The accounts that may call.
    pub sources: Vec<Name>,
    /// What they may call; empty for nothing.
    pub rules: Vec<Rule>,
    /// Where its name is.
    pub at: At,
}

/// Routes of one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// `HTTPRouteGroup` or `TCPRoute`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Some of its routes; empty for all.
    pub matches: Vec<String>,
    /// Where it is.
    pub at: At,
}

impl RouteMatch {
    /// Whether a request is one of the route; the path is without its query.
    pub fn matches(&self, method: &str, path: &str, headers: &[(String, String)]) -> bool {
        let has = |(name, value): &(String, Pattern)| {
            let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.is_some_and(|(_, own)| value.matches(own))
        };
        self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
            && (self.methods.is_empty() || self.methods.iter().any(|m| m == "*" || m == method))
            && self.headers.iter().all(has)
    }
}

impl TrafficTarget {
    /// Whether a request of a source account is one that the target allows.
    pub fn allows(
        &self,
        source: &Name,
        groups: &BTreeMap<Name, RouteGroup>,
        method: &str,
        path: &str,
        headers: &[(String, String)],
    ) -> bool {
        let fits = |rule: &Rule| {
            if rule.kind == "TCPRoute" {
                return true;
            }
            let group = groups.get(&(self.namespace.clone(), rule.name.clone()));
            let routes = group.map(|group| group.matches.as_slice()).unwrap_or_default();
            routes.iter().any(|route| {
                (rule.matches.is_empty() || rule.matches.contains(&route.name))
                    && route.matches(method, path, headers)
            })
        };
        self.sources.contains(source) && self.rules.iter().any(fits)
    }
}

/// Reads an `HTTPRouteGroup`; the first two versions have no `spec`.
pub fn read_group(object: &Object, reader: &mut Reader<'_, '_>) -> RouteGroup {
    let matches = if matches!(object.version.as_str(), "v1alpha1" | "v1alpha2") {
        reader.list("matches", read_match)
    } else {
        reader.map("spec", |spec| spec.list("matches", read_match)).unwrap_or_default()
    };
    RouteGroup { matches: matches.into_iter().flatten().collect(), at: object.name_at }
}

fn read_match(reader: &mut Reader<'_, '_>) -> Option<RouteMatch> {
    let name = reader.needed_text("name");
    let path = reader.word("pathRegex").map(|word| (regex(&word.text), word));
    let path = match path {
        Some((None, word)) => {
            reader.problem(word.at, format!("`{}` is no regex", word.text), "");
            return None;
        }
        path => path.and_then(|(regex, _)| regex),
    };
    let methods = reader.texts("methods");
    let mut headers = Vec::new();
    // A map, or a list of maps as the examples of v1alpha3 have it.
    let node = reader.raw("headers");
    let maps = match node.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().collect(),
        Some(_) => node.into_iter().collect(),
        None => Vec::new(),
    };
    for entry in maps.iter().flat_map(|map| map.entries()) {
        match entry.value.text().and_then(regex) {
            Some(value) => headers.push((entry.key.clone(), value)),
            None => reader.problem(entry.value.at, "a header's value must be a regex", ""),
        }
    }
    Some(RouteMatch { name: name?, path, methods, headers })
}

fn regex(text: &str) -> Option<Pattern> {
    Pattern::new(text).ok()
}

/// Reads a `TrafficTarget`; the first version has no `spec` and calls its rules `specs`.
pub fn read_target(object: &Object, reader: &mut Reader<'_, '_>) -> Option<TrafficTarget> {
    let (destination, sources, rules) = if object.version == "v1alpha1" {
        read_body(object, "specs", reader)
    } else {
        reader.map("spec", |spec| read_body(object, "rules", spec)).unwrap_or_default()
    };
    let (namespace, name) = (object.id.namespace.clone(), object.id.name.clone());
    let destination = destination?;
    Some(TrafficTarget { namespace, name, destination, sources, rules, at: object.name_at })
}

type Body = (Option<Name>, Vec<Name>, Vec<Rule>);

fn read_body(object: &Object, rules: &'static str, reader: &mut Reader<'_, '_>) -> Body {
    let account = |reader: &mut Reader<'_, '_>| {
        reader.pass(&["port"]);
        reader.one_of("kind", &[("ServiceAccount", ())]);
        let namespace = reader.text("namespace").unwrap_or_else(|| object.id.namespace.clone());
        Some((namespace, reader.needed_text("name")?))
    };
    let destination = reader.map("destination", account).flatten();
    if !reader.has("destination") {
        reader.missing("destination");
    }
    let sources = reader.list("sources", account).into_iter().flatten().collect();
    let rules = reader.list(rules, |rule| {
        let kinds = [
            ("HTTPRouteGroup", "HTTPRouteGroup"),
            ("TCPRoute", "TCPRoute"),
            ("UDPRoute", "UDPRoute"),
        ];
        let kind = rule.one_of("kind", &kinds);
        let name = rule.needed_text("name");
        let matches = rule.texts("matches");
        Some(Rule { kind: kind?.to_owned(), name: name?, matches, at: rule.at() })
    });
    (destination, sources, rules.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use crate::manifest::object::Manifests;
    use crate::manifest::smi::Smi;

    const GROUP: &str = "
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec:
  matches:
  - {name: metrics, pathRegex: /metrics, methods: [GET]}
  - name: health
    pathRegex: '/ping.*'
    methods: ['*']
    headers: {x-debug: '1'}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: t, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: web}
  rules: [{kind: HTTPRouteGroup, name: routes, matches: [metrics]}]
  sources: [{kind: ServiceAccount, name: prometheus, namespace: monitoring}]
";

    fn read(text: &str) -> (Smi, Vec<String>) {
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        let smi = Smi::read(&objects, &sources, &mut findings);
        let all = findings.problems.iter().chain(&findings.warnings);
        (smi, all.map(ToString::to_string).collect())
    }

    #[test]
    fn targets_allow_some_routes_to_some_accounts() {
        let (smi, told) = read(GROUP);
        assert_eq!(told, [""; 0]);
        let prometheus = ("monitoring".to_owned(), "prometheus".to_owned());
        let web = ("shop".to_owned(), "web".to_owned());
        let cases = [
            (&prometheus, "GET", "/metrics", true),
            (&prometheus, "GET", "/metrics/x", false),
            (&prometheus, "POST", "/metrics", false),
            (&prometheus, "GET", "/ping", false),
            (&web, "GET", "/metrics", false),
        ];
        for (source, method, path, expected) in cases {
            let is_allowed = smi.targets[0].allows(source, &smi.groups, method, path, &[]);
            assert_eq!(is_allowed, expected, "{source:?} {method} {path}");
        }
        let health = &smi.groups.values().next().unwrap().matches[1];
        let debug = [("X-Debug".to_owned(), "1".to_owned())];
        assert!(health.matches("PUT", "/ping/a", &debug) && !health.matches("PUT", "/ping", &[]));
    }

    #[test]
    fn old_versions_have_no_spec() {
        let old = "apiVersion: specs.smi-spec.io/v1alpha1\nkind: HTTPRouteGroup\n\
                   metadata: {name: g}\nmatches: [{name: a, pathRegex: /a, methods: [GET]}]\n---\n\
                   apiVersion: access.smi-spec.io/v1alpha1\nkind: TrafficTarget\n\
                   metadata: {name: t}\ndestination: {kind: ServiceAccount, name: a}\n\
                   specs: [{kind: TCPRoute, name: any}]\nsources: [{kind: ServiceAccount, name: b}]\n";
        let (smi, told) = read(old);
        assert_eq!(told, [""; 0]);
        assert_eq!(smi.groups.values().next().unwrap().matches.len(), 1);
        let b = ("default".to_owned(), "b".to_owned());
        assert!(smi.targets[0].allows(&b, &smi.groups, "GET", "/", &[]));
    }
}
