//! Who may call: `AuthorizationPolicy`, `ServerAuthorization` and what they refer to.
//!
//! An authorization lets clients in that are in one of its networks and, if it asks for identities,
//! have one of them. Several authorizations are alternatives. One that refers to something that does
//! not exist lets nobody in.
//! Source: linkerd2 `policy-controller/k8s/index/src/inbound/index.rs` (`client_authzs`,
//! `policy_client_authz`), `inbound/server_authorization.rs`, `authentication/meshtls.rs`,
//! `policy-controller/src/admission.rs` (what is refused).
//! Left out: policies for external workloads' own identities beyond matching the strings.

use crate::manifest::linkerd::network::Network;
use crate::manifest::linkerd::settings::Settings;
use crate::manifest::object::{Labels, Object};
use crate::manifest::reader::Reader;
use crate::manifest::selector::Selector;
use crate::manifest::source::At;

/// A reference to an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Its group; empty for core.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace, if told.
    pub namespace: Option<String>,
    /// Where its name is.
    pub at: At,
    /// Where its kind is.
    pub kind_at: At,
}

/// An `AuthorizationPolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it protects: a Server, a route or the namespace.
    pub target: Reference,
    /// What a client needs, all of it.
    pub required: Vec<Reference>,
    /// Where its name is.
    pub at: At,
}

/// A `ServerAuthorization`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerAuthorization {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Server by name, or Servers by labels.
    pub server: Result<String, Selector>,
    /// Whom it lets in; none if it says nothing of clients and is dropped.
    pub clients: Option<Clients>,
    /// Where its name is.
    pub at: At,
}

/// Which clients are let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clients {
    /// Where they are; empty for the cluster's networks.
    pub networks: Vec<Network>,
    /// What they prove.
    pub proof: Proof,
}

/// What a client proves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Nothing.
    None,
    /// Mesh TLS of any identity, or of none.
    Tls,
    /// One of these identities: names, or `*` with a suffix.
    Identities(Vec<String>),
}

/// A `MeshTLSAuthentication`: identities as written, and references to accounts and namespaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeshTls {
    /// Its namespace.
    pub namespace: String,
    /// All that it names, as identities.
    pub identities: Vec<String>,
    /// Where its name is.
    pub at: At,
}

/// A `NetworkAuthentication`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Networks {
    /// The networks.
    pub networks: Vec<Network>,
    /// Where its name is.
    pub at: At,
}

impl Reference {
    /// Whether it means a kind; group and kind count without case, and core has three spellings.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        let own = if self.group.eq_ignore_ascii_case("core") { "" } else { &self.group };
        own.eq_ignore_ascii_case(group) && self.kind.eq_ignore_ascii_case(kind)
    }

    /// Reads the map that the reader stands on.
    pub fn read(reader: &mut Reader<'_, '_>) -> Option<Self> {
        let (at, kind_at) = (reader.at_field("name"), reader.at_field("kind"));
        let group = reader.text("group").unwrap_or_default();
        let kind = reader.needed_text("kind");
        let name = reader.needed_text("name");
        let namespace = reader.text("namespace");
        Some(Self { group, kind: kind?, name: name?, namespace, at, kind_at })
    }

    /// Its kind with its group, as Linkerd writes it.
    pub fn canonical(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }
}

/// The group of Linkerd's policies.
pub const POLICY: &str = "policy.linkerd.io";

/// Reads an `AuthorizationPolicy`; none if it has no target.
pub fn read_policy(object: &Object, reader: &mut Reader<'_, '_>) -> Option<Policy> {
    let policy = reader.map("spec", |spec| {
        let target = spec.map("targetRef", |target| {
            target.pass(&["namespace"]);
            Reference::read(target)
        });
        if target.is_none() {
            spec.missing("targetRef");
        }
        if !spec.has("requiredAuthenticationRefs") {
            spec.missing("requiredAuthenticationRefs");
        }
        let required = spec.list("requiredAuthenticationRefs", Reference::read);
        let required: Vec<Reference> = required.into_iter().flatten().collect();
        let target = target.flatten()?;
        check_target(&target, object, spec);
        check_required(&required, spec);
        Some((target, required))
    });
    let (target, required) = policy.flatten()?;
    let (namespace, name) = (object.id.namespace.clone(), object.id.name.clone());
    Some(Policy { namespace, name, target, required, at: object.name_at })
}

const REFUSED: &str = "Linkerd's admission webhook refuses this";

fn check_target(target: &Reference, object: &Object, spec: &mut Reader<'_, '_>) {
    if target.is("", "Namespace") {
        if target.name != object.id.namespace {
            let what = format!("it cannot target another namespace (`{}`)", target.name);
            spec.problem(target.at, what, REFUSED);
        }
        return;
    }
    let kinds = [
        (POLICY, "Server"),
        (POLICY, "HTTPRoute"),
        ("gateway.networking.k8s.io", "HTTPRoute"),
        ("gateway.networking.k8s.io", "GRPCRoute"),
    ];
    if !kinds.iter().any(|(group, kind)| target.is(group, kind)) {
        let what = format!("`{}` is no target for an AuthorizationPolicy", target.canonical());
        let hint = "a Server or HTTPRoute of policy.linkerd.io, an HTTPRoute or GRPCRoute of \
                    gateway.networking.k8s.io, or the Namespace";
        spec.problem(target.kind_at, what, hint);
    }
}

fn check_required(required: &[Reference], spec: &mut Reader<'_, '_>) {
    let mut counts = [0_usize; 3];
    let kinds = [
        (POLICY, "MeshTLSAuthentication"),
        ("", "ServiceAccount"),
        (POLICY, "NetworkAuthentication"),
    ];
    for reference in required {
        if let Some(index) = kinds.iter().position(|(group, kind)| reference.is(group, kind)) {
            counts[index] += 1;
            continue;
        }
        let what = format!("`{}` is no authentication", reference.canonical());
        let hint = "a MeshTLSAuthentication or NetworkAuthentication of policy.linkerd.io, or a \
                    ServiceAccount";
        spec.problem(reference.kind_at, what, hint);
    }
    if counts[0] + counts[1] > 1 || counts[2] > 1 {
        let at = spec.at_field("requiredAuthenticationRefs");
        let what = "at most one MeshTLSAuthentication or ServiceAccount, and one \
                    NetworkAuthentication, may be required";
        spec.problem(at, what, REFUSED);
    }
}

/// Reads a `ServerAuthorization`.
pub fn read_server_authorization(
    object: &Object,
    settings: &Settings,
    reader: &mut Reader<'_, '_>,
) -> ServerAuthorization {
    let namespace = object.id.namespace.clone();
    let mut server = Err(Selector::default());
    let mut clients = None;
    reader.map("spec", |spec| {
        let selected = spec.map("server", |server| {
            let selector = server.map("selector", Selector::read);
            match server.text("name") {
                Some(name) => Ok(name),
                None => Err(selector.unwrap_or_default()),
            }
        });
        match selected {
            Some(selected) => server = selected,
            None => spec.missing("server"),
        }
        clients = spec.map("client", |client| read_clients(client, &namespace, settings)).flatten();
        if clients.is_none() {
            let what = "it authorizes no client";
            spec.warning(spec.at_field("client"), what, "Linkerd ignores the whole object");
        }
    });
    ServerAuthorization {
        namespace,
        name: object.id.name.clone(),
        server,
        clients,
        at: object.name_at,
    }
}

fn read_clients(
    client: &mut Reader<'_, '_>,
    namespace: &str,
    settings: &Settings,
) -> Option<Clients> {
    let networks = client.list("networks", Network::read).into_iter().flatten().collect();
    let unauthenticated = client.bool("unauthenticated").unwrap_or(false);
    let tls = client.map("meshTLS", |tls| {
        let any = tls.bool("unauthenticatedTLS").unwrap_or(false);
        let mut identities = tls.texts("identities");
        identities.extend(tls.list("serviceAccounts", |account| {
            let name = account.needed_text("name").unwrap_or_default();
            let namespace = account.text("namespace").unwrap_or_else(|| namespace.to_owned());
            settings.identity(&namespace, &name)
        }));
        (any, identities, tls.at())
    });
    if unauthenticated {
        if let Some((.., at)) = tls {
            client.problem(at, "`unauthenticated` and `meshTLS` exclude each other", REFUSED);
        }
        return Some(Clients { networks, proof: Proof::None });
    }
    let (any, identities, at) = tls?;
    if any && !identities.is_empty() {
        client.problem(at, "`unauthenticatedTLS` and identities exclude each other", REFUSED);
    }
    match (any, identities.is_empty()) {
        (true, _) => Some(Clients { networks, proof: Proof::Tls }),
        (false, true) => None,
        (false, false) => Some(Clients { networks, proof: Proof::Identities(identities) }),
    }
}

/// Reads a `MeshTLSAuthentication`.
pub fn read_mesh_tls(object: &Object, settings: &Settings, reader: &mut Reader<'_, '_>) -> MeshTls {
    let namespace = object.id.namespace.clone();
    let identities = reader.map("spec", |spec| {
        let mut identities = spec.texts("identities");
        let references = spec.list("identityRefs", Reference::read);
        for reference in references.into_iter().flatten() {
            if reference.is("", "ServiceAccount") {
                let of = reference.namespace.as_deref().unwrap_or(&namespace);
                identities.push(settings.identity(of, &reference.name));
            } else if reference.is("", "Namespace") {
                if reference.namespace.is_some() {
                    spec.problem(reference.at, "a Namespace is in no namespace", REFUSED);
                }
                identities.push(settings.namespace_identity(&reference.name));
            } else {
                let what = format!("`{}` has no identity", reference.canonical());
                spec.problem(reference.kind_at, what, "a ServiceAccount or a Namespace");
            }
        }
        if identities.is_empty() {
            spec.warning(spec.at(), "it names no identity", "Linkerd ignores the whole object");
        }
        identities
    });
    MeshTls { namespace, identities: identities.unwrap_or_default(), at: object.name_at }
}

/// Reads a `NetworkAuthentication`.
pub fn read_networks(object: &Object, reader: &mut Reader<'_, '_>) -> Networks {
    let networks = reader.map("spec", |spec| {
        let networks = spec.list("networks", Network::read);
        if networks.is_empty() {
            spec.problem(spec.at_field("networks"), "it needs at least one network", REFUSED);
        }
        networks.into_iter().flatten().collect()
    });
    Networks { networks: networks.unwrap_or_default(), at: object.name_at }
}

impl ServerAuthorization {
    /// Whether it is for a Server of its namespace.
    pub fn selects(&self, name: &str, labels: &Labels) -> bool {
        match &self.server {
            Ok(own) => own == name,
            Err(selector) => selector.matches(labels),
        }
    }
}

impl Proof {
    /// Whether a client proves it: none for one without mesh TLS.
    pub fn is_given(&self, identity: Option<&str>) -> bool {
        match self {
            Self::None => true,
            Self::Tls => identity.is_some(),
            Self::Identities(wanted) => {
                identity.is_some_and(|own| wanted.iter().any(|wanted| is_identity(own, wanted)))
            }
        }
    }
}

/// Whether an identity is the wanted one: `*` is any, `*.suffix` any below.
fn is_identity(identity: &str, wanted: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => identity.len() > suffix.len() && identity.ends_with(suffix),
        None => identity == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;
    use crate::manifest::reader;

    fn problems<T>(
        kind: &str,
        spec: &str,
        read: impl Fn(&Object, &mut Reader<'_, '_>) -> T,
    ) -> String {
        let text = format!(
            "apiVersion: policy.linkerd.io/v1\nkind: {kind}\n\
             metadata: {{name: a, namespace: shop}}\nspec: {{{spec}}}\n"
        );
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        reader::object(&objects[0], &sources, &mut findings, |r| read(&objects[0], r));
        let all = findings.problems.iter().chain(&findings.warnings);
        all.map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_admission_refuses_is_a_problem() {
        let server = "targetRef: {group: policy.linkerd.io, kind: Server, name: s}";
        let account = "{kind: ServiceAccount, name: x}";
        let cases = [
            (format!("{server}, requiredAuthenticationRefs: [{account}]"), ""),
            (
                format!("{server}, requiredAuthenticationRefs: [{account}, {account}]"),
                "at most one MeshTLSAuthentication or ServiceAccount, and one \
                 NetworkAuthentication, may be required",
            ),
            (
                "targetRef: {kind: namespace, name: other}, requiredAuthenticationRefs: []".into(),
                "it cannot target another namespace (`other`)",
            ),
            (
                "targetRef: {group: apps, kind: Deployment, name: d}, requiredAuthenticationRefs: []"
                    .into(),
                "`Deployment.apps` is no target for an AuthorizationPolicy",
            ),
            (
                format!("{server}, requiredAuthenticationRefs: [{{kind: Secret, name: x}}]"),
                "`Secret` is no authentication",
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(problems("AuthorizationPolicy", &spec, read_policy), expected, "{spec}");
        }
        let networks = [
            ("networks: []", "it needs at least one network"),
            (
                "networks: [{cidr: 10.0.0.0/8, except: [10.0.0.0/7]}]",
                "`10.0.0.0/7` takes all of `10.0.0.0/8` away",
            ),
            (
                "networks: [{cidr: 10.0.0.0/8, except: [11.0.0.0/9]}]",
                "`10.0.0.0/8` does not include its exception `11.0.0.0/9`",
            ),
            ("networks: [{cidr: 10.0.0.0/8, except: [10.1.0.1]}]", ""),
        ];
        for (spec, expected) in networks {
            assert_eq!(problems("NetworkAuthentication", spec, read_networks), expected);
        }
    }

    #[test]
    fn identities_match_by_suffix() {
        let all = Proof::Identities(vec!["*".into()]);
        assert!(all.is_given(Some("a.b")) && !all.is_given(None));
        let settings = Settings::default();
        let shop = Proof::Identities(vec![settings.namespace_identity("shop")]);
        assert!(shop.is_given(Some(&settings.identity("shop", "web"))));
        assert!(!shop.is_given(Some(&settings.identity("bank", "web"))));
        assert!(Proof::Tls.is_given(Some("x")) && !Proof::Tls.is_given(None));
    }
}
