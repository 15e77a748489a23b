//! `AuthorizationPolicy`: which requests a server lets in.
//!
//! Source: Istio API `security/v1beta1/authorization_policy.proto` with the rules of its CRD; istio/istio
//! `pkg/config/security/security.go` (attribute names), `pilot/pkg/security/authz/model`.
//! Left out: dry-run policies, path templates (`{*}`) beyond whole segments, `experimental.envoy.filters`
//! attributes (a condition on one never holds).

use crate::manifest::istio::authentication::targets;
use crate::manifest::istio::check;
use crate::manifest::istio::meta::Head;
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// Which requests a server lets in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuthorizationPolicy {
    /// Who it is.
    pub head: Head,
    /// Labels of its pods; none or empty: the namespace, or in the root namespace the mesh.
    pub selector: Option<Labels>,
    /// Services and gateways that it is attached to, as (kind, name).
    pub targets: Vec<(String, String)>,
    /// What happens to requests that match.
    pub action: Action,
    /// Who decides, if the action is `Custom`.
    pub provider: Option<String>,
    /// The rules, of which one must match; none given: nothing matches.
    pub rules: Vec<Rule>,
}

/// What happens to requests that match.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Action {
    /// They are let in, others are not.
    #[default]
    Allow,
    /// They are refused.
    Deny,
    /// They are noted.
    Audit,
    /// Somebody else decides.
    Custom,
}

/// One rule: a source, an operation and all conditions must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// Where it stands.
    pub at: At,
    /// Sources, of which one must match; empty: any.
    pub from: Vec<Source>,
    /// Operations, of which one must match; empty: any.
    pub to: Vec<Operation>,
    /// Conditions, which all must hold.
    pub when: Vec<Condition>,
}

/// Values that are wanted, and values that are not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Values {
    /// One of them must match; empty: any.
    pub any: Vec<Word>,
    /// None of them may match.
    pub not: Vec<Word>,
}

/// Who asks; all fields must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// Identities (`cluster.local/ns/…/sa/…`).
    pub principals: Values,
    /// Identities of tokens (`issuer/subject`).
    pub request_principals: Values,
    /// Namespaces.
    pub namespaces: Values,
    /// Service accounts, `namespace/name` or `name` in the policy's namespace.
    pub accounts: Values,
    /// Addresses of the peer.
    pub ip_blocks: Values,
    /// Addresses of the original client.
    pub remote_ip_blocks: Values,
    /// Trust domains.
    pub trust_domains: Values,
}

/// What is asked; all fields must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Operation {
    /// Hosts.
    pub hosts: Values,
    /// Ports of the pod.
    pub ports: Values,
    /// Methods.
    pub methods: Values,
    /// Paths.
    pub paths: Values,
}

/// A condition on an attribute.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Condition {
    /// Where it stands.
    pub at: At,
    /// The attribute.
    pub key: String,
    /// Its values.
    pub values: Values,
}

impl Values {
    fn read(reader: &mut Reader<'_, '_>, any: &'static str, not: &'static str) -> Self {
        let values = Self { any: reader.words(any), not: reader.words(not) };
        for word in values.any.iter().chain(&values.not) {
            if word.text.is_empty() {
                reader.problem(
                    word.at,
                    format!("`{}.{any}` has an empty value", reader.path()),
                    "",
                );
            }
        }
        values
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.not.is_empty()
    }

    /// Whether a value fits, compared by `same(pattern, value)`; an absent value fits no pattern.
    pub fn fits(&self, value: Option<&str>, same: impl Fn(&str, &str) -> bool) -> bool {
        let found = |word: &Word| value.is_some_and(|value| same(&word.text, value));
        (self.any.is_empty() || self.any.iter().any(found)) && !self.not.iter().any(found)
    }
}

impl Source {
    fn is_empty(&self) -> bool {
        let all = [
            &self.principals,
            &self.request_principals,
            &self.namespaces,
            &self.accounts,
            &self.ip_blocks,
            &self.remote_ip_blocks,
            &self.trust_domains,
        ];
        all.iter().all(|values| values.is_empty())
    }
}

/// Whether a pattern (`a`, `a*`, `*a`, `*`) matches a value; `*` needs some value.
pub fn pattern_fits(pattern: &str, value: &str) -> bool {
    if pattern == "*" {
        return !value.is_empty();
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => value.ends_with(end),
        (None, Some(start)) => value.starts_with(start),
        (None, None) => value == pattern,
    }
}

impl AuthorizationPolicy {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let actions = [
            ("ALLOW", Action::Allow),
            ("DENY", Action::Deny),
            ("AUDIT", Action::Audit),
            ("CUSTOM", Action::Custom),
        ];
        let policy = Self {
            targets: targets(reader),
            selector: check::selector_labels(reader, "selector", "matchLabels"),
            action: reader.one_of("action", &actions).unwrap_or_default(),
            provider: reader.map("provider", |provider| provider.text("name")).flatten(),
            rules: reader.list("rules", Rule::read),
            head,
        };
        if policy.action == Action::Custom {
            let named = policy.provider.as_ref().is_some_and(|name| !name.is_empty());
            if !named {
                reader.problem(
                    reader.at(),
                    "`provider.name` must not be empty",
                    "CUSTOM needs one",
                );
            }
        } else if policy.provider.is_some() {
            let what = "`provider` must not be with non CUSTOM action";
            reader.problem(reader.at_field("provider"), what, "");
        }
        if policy.action == Action::Deny && policy.rules.is_empty() {
            let what = "a DENY policy without rules denies nothing";
            reader.warning(reader.at(), what, "`rules: [{}]` denies everything");
        }
        policy
    }

    /// Whether it is for some pods or services only.
    pub fn is_for_pods(&self) -> bool {
        self.selector.as_ref().is_some_and(|selector| !selector.is_empty())
    }
}

impl Rule {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        for name in ["from", "to"] {
            let empty = reader.node().get(name).is_some_and(|node| node.items().is_empty());
            if empty {
                let what = format!(
                    "`{}.{name}` cannot be empty, must have at least 1 items",
                    reader.path()
                );
                reader.problem(reader.at_field(name), what, "leave it out");
            }
        }
        let from = reader.list("from", |from| from.map("source", source).unwrap_or_default());
        let to = reader.list("to", |to| to.map("operation", operation).unwrap_or_default());
        let when = reader.list("when", condition);
        Self { at: reader.at(), from, to, when }
    }
}

fn source(reader: &mut Reader<'_, '_>) -> Source {
    let accounts = reader.has("serviceAccounts") || reader.has("notServiceAccounts");
    let others = ["principals", "notPrincipals", "namespaces", "notNamespaces"];
    if accounts && others.iter().any(|name| reader.has(name)) {
        let what = "Cannot set serviceAccounts with namespaces or principals";
        reader.problem(reader.at_field("serviceAccounts"), what, "make two sources of it");
    }
    let source = Source {
        principals: Values::read(reader, "principals", "notPrincipals"),
        request_principals: Values::read(reader, "requestPrincipals", "notRequestPrincipals"),
        namespaces: Values::read(reader, "namespaces", "notNamespaces"),
        accounts: Values::read(reader, "serviceAccounts", "notServiceAccounts"),
        ip_blocks: Values::read(reader, "ipBlocks", "notIpBlocks"),
        remote_ip_blocks: Values::read(reader, "remoteIpBlocks", "notRemoteIpBlocks"),
        trust_domains: Values::read(reader, "trustDomains", "notTrustDomains"),
    };
    if source.is_empty() {
        let what = format!("`{}` must have at least one field", reader.path());
        reader.problem(reader.at(), what, "");
    }
    for values in [&source.ip_blocks, &source.remote_ip_blocks] {
        for word in values.any.iter().chain(&values.not) {
            if !check::is_subnet(&word.text) {
                reader.problem(word.at, format!("`{}` is no address range", word.text), "");
            }
        }
    }
    source
}

fn operation(reader: &mut Reader<'_, '_>) -> Operation {
    let operation = Operation {
        hosts: Values::read(reader, "hosts", "notHosts"),
        ports: Values::read(reader, "ports", "notPorts"),
        methods: Values::read(reader, "methods", "notMethods"),
        paths: Values::read(reader, "paths", "notPaths"),
    };
    let all = [&operation.hosts, &operation.ports, &operation.methods, &operation.paths];
    if all.iter().all(|values| values.is_empty()) {
        reader.problem(
            reader.at(),
            format!("`{}` must have at least one field", reader.path()),
            "",
        );
    }
    for word in operation.ports.any.iter().chain(&operation.ports.not) {
        if !word.text.parse::<u16>().is_ok_and(|port| port > 0) {
            reader.problem(word.at, format!("`{}` is no port", word.text), "1 to 65535");
        }
    }
    operation
}

/// Attributes without and with a key in brackets.
const ATTRIBUTES: [&str; 11] = [
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "destination.port",
];

fn condition(reader: &mut Reader<'_, '_>) -> Condition {
    let key = reader.word("key");
    let values = Values::read(reader, "values", "notValues");
    if values.is_empty() {
        let what = "at least one of values or notValues must be set for a condition";
        reader.problem(reader.at(), what, "");
    }
    let Some(key) = key else {
        reader.missing("key");
        return Condition { at: reader.at(), key: String::new(), values };
    };
    let bracketed = ["request.headers[", "request.auth.claims[", "experimental.envoy.filters."];
    let known = ATTRIBUTES.contains(&key.text.as_str())
        || key.text == "connection.sni"
        || bracketed.iter().any(|start| key.text.starts_with(start));
    if !known {
        let near = crate::manifest::object::nearest(&key.text, &ATTRIBUTES);
        let hint = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
        reader.problem(key.at, format!("unknown attribute `{}`", key.text), &hint);
    }
    if key.text.starts_with("experimental.") {
        reader.warning(key.at, format!("`{}` is not simulated", key.text), "it never holds here");
    }
    Condition { at: reader.at(), key: key.text, values }
}
