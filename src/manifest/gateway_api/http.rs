//! `HTTPRoutes` and `GRPCRoutes`: one model, since a gRPC method is an HTTP path.
//!
//! Source: Gateway API `httproute_types.go`, `grpcroute_types.go`; retries GEP-1731, timeouts GEP-1742,
//! session persistence GEP-1619 (listed as ignored).
//! Left out: retry budgets (experimental), session persistence.

use crate::manifest::gateway_api::backend::{self, BackendRef};
use crate::manifest::gateway_api::filter::{self, Action, Filter};
use crate::manifest::gateway_api::matching::{self, Match, PathMatch};
use crate::manifest::gateway_api::parent::{self, ParentRef};
use crate::manifest::object::Object;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::route::apply::PathChange;
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};

/// An `HTTPRoute` or `GRPCRoute`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRoute {
    /// Which of the two.
    pub is_grpc: bool,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was made; the older of two equal matches wins.
    pub created: Option<String>,
    /// What it is bound to.
    pub parents: Vec<ParentRef>,
    /// The hosts that it is for; empty for all of its listeners'.
    pub hostnames: Vec<Word>,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Where its name is.
    pub at: At,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Option<String>,
    /// Its alternatives, at least one.
    pub matches: Vec<Match>,
    /// Its filters.
    pub filters: Vec<Filter>,
    /// Its backends; none if the field is absent.
    pub backends: Option<Vec<BackendRef>>,
    /// Limit for the whole request in nanoseconds; 0 for no limit.
    pub request_timeout_ns: Option<u64>,
    /// Limit for each try in nanoseconds; 0 for no limit.
    pub backend_timeout_ns: Option<u64>,
    /// Retries.
    pub retry: Option<Retry>,
    /// Where it is.
    pub at: At,
}

/// Retries of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Answers that are tried again.
    pub codes: Vec<u16>,
    /// Retries after the first try; the implementation's choice if not told.
    pub attempts: Option<u32>,
    /// Shortest wait between tries, in nanoseconds.
    pub backoff_ns: Option<u64>,
    /// Where they are.
    pub at: At,
}

impl HttpRoute {
    /// Its kind.
    pub fn kind(&self) -> &'static str {
        if self.is_grpc { "GRPCRoute" } else { "HTTPRoute" }
    }

    /// `HTTPRoute namespace/name`.
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind(), self.namespace, self.name)
    }
}

impl Rule {
    /// Its own name, or its index.
    pub fn title(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("rules[{index}]"))
    }
}

/// Reads a route of either kind.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> HttpRoute {
    let mut route = HttpRoute {
        is_grpc: object.id.kind == "GRPCRoute",
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        created: object.created.clone(),
        parents: Vec::new(),
        hostnames: Vec::new(),
        rules: Vec::new(),
        at: object.name_at,
    };
    reader.map("spec", |spec| {
        for (name, most) in [("parentRefs", 32), ("hostnames", 16), ("rules", 16)] {
            spec.at_most(name, most);
        }
        route.parents = parent::read(spec, &route.namespace);
        spec.ignore(&["useDefaultGateways"], "default gateways (experimental)");
        route.hostnames = spec.words("hostnames");
        for host in &route.hostnames {
            check_hostname(spec, host);
        }
        let (is_grpc, namespace) = (route.is_grpc, route.namespace.clone());
        let rules = spec.list_if("rules", |rule| read_rule(rule, &namespace, is_grpc));
        // The API server fills in one rule that matches everything where none is given.
        route.rules = rules.unwrap_or_else(|| vec![empty_rule(spec.at())]);
    });
    route
}

fn check_hostname(spec: &mut Reader<'_, '_>, host: &Word) {
    let text = host.text.strip_prefix("*.").unwrap_or(&host.text);
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !text.split('.').all(label) {
        let hint = "a DNS name such as shop.example.com or *.example.com, without port or scheme";
        spec.problem(host.at, format!("`{}` is no host name", host.text), hint);
    }
}

fn empty_rule(at: At) -> Rule {
    Rule {
        name: None,
        matches: vec![Match::any(at)],
        filters: Vec::new(),
        backends: None,
        request_timeout_ns: None,
        backend_timeout_ns: None,
        retry: None,
        at,
    }
}

fn read_rule(reader: &mut Reader<'_, '_>, namespace: &str, is_grpc: bool) -> Rule {
    let at = reader.at();
    let mut rule = empty_rule(at);
    rule.name = reader.text("name");
    let read_match = if is_grpc { matching::read_grpc } else { matching::read_http };
    for (name, most) in [("matches", 64), ("filters", 16), ("backendRefs", 16)] {
        reader.at_most(name, most);
    }
    let matches = reader.list("matches", read_match);
    if !matches.is_empty() {
        rule.matches = matches;
    }
    rule.filters = filter::read(reader, namespace);
    rule.backends = backend::read(reader, namespace);
    if !is_grpc {
        reader.map("timeouts", |timeouts| {
            rule.request_timeout_ns = timeouts.duration_ns("request", DurationForm::Gep2257);
            rule.backend_timeout_ns = timeouts.duration_ns("backendRequest", DurationForm::Gep2257);
            check_timeouts(timeouts, &rule);
        });
        rule.retry = reader.map("retry", read_retry);
    }
    reader.ignore(&["sessionPersistence"], "sticky sessions of the Gateway API");
    check_prefixes(reader, &rule);
    rule
}

fn check_timeouts(reader: &mut Reader<'_, '_>, rule: &Rule) {
    let (request, backend) = (rule.request_timeout_ns, rule.backend_timeout_ns);
    if let (Some(request @ 1..), Some(backend)) = (request, backend)
        && backend > request
    {
        let at = reader.at_field("backendRequest");
        let what = "backendRequest is longer than request";
        reader.problem(at, what, "the API server refuses this: a try ends with its request");
    }
}

/// Replacing a prefix needs one match, of a prefix.
fn check_prefixes(reader: &mut Reader<'_, '_>, rule: &Rule) {
    let backends = rule.backends.iter().flatten();
    let filters = rule.filters.iter().chain(backends.flat_map(|backend| &backend.filters));
    for filter in filters {
        let change = match &filter.action {
            Action::Redirect(redirect) => redirect.path.as_ref(),
            Action::Rewrite { path, .. } => path.as_ref(),
            _ => None,
        };
        let prefixes = rule.matches.iter().all(|m| matches!(m.path, PathMatch::Prefix(_)));
        if matches!(change, Some(PathChange::Prefix(_))) && (!prefixes || rule.matches.len() != 1) {
            let what = "ReplacePrefixMatch needs exactly one match, of type PathPrefix";
            reader.problem(filter.at, what, "the API server refuses this");
        }
    }
}

fn read_retry(reader: &mut Reader<'_, '_>) -> Retry {
    let at = reader.at();
    let codes = reader.raw("codes").map_or(&[][..], |node| node.items());
    let mut known = Vec::new();
    for node in codes {
        let code = match node.value {
            crate::manifest::node::Value::Int(code @ 400..=599) => u16::try_from(code).ok(),
            _ => None,
        };
        if code.is_none() {
            reader.problem(node.at, "a code that is retried is from 400 to 599", "");
        }
        known.extend(code);
    }
    let attempts = reader.count("attempts");
    let backoff = reader.word("backoff").and_then(|word| {
        let parsed = units::duration_ns(&word.text, DurationForm::Gep2257);
        if let Err(hint) = &parsed {
            reader.problem(word.at, format!("`{}` is no duration", word.text), hint);
        }
        parsed.ok()
    });
    Retry { codes: known, attempts, backoff_ns: backoff, at }
}
