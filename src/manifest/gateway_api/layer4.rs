//! `TCPRoutes` and `TLSRoutes`: whole connections to weighted backends.
//!
//! Source: Gateway API `tcproute_types.go`, `tlsroute_types.go` (a `TLSRoute` matches the server name of the
//! TLS hello against its hostnames).
//! Left out: nothing of these kinds.

use crate::manifest::gateway_api::backend::{self, BackendRef};
use crate::manifest::gateway_api::parent::{self, ParentRef};
use crate::manifest::object::Object;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// A `TCPRoute` or `TLSRoute`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer4Route {
    /// Which of the two.
    pub is_tls: bool,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<String>,
    /// What it is bound to.
    pub parents: Vec<ParentRef>,
    /// Server names that a `TLSRoute` is for.
    pub hostnames: Vec<Word>,
    /// Its rules; the first one counts.
    pub rules: Vec<Layer4Rule>,
    /// Where its name is.
    pub at: At,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer4Rule {
    /// Its name.
    pub name: Option<String>,
    /// Its backends.
    pub backends: Vec<BackendRef>,
    /// Where it is.
    pub at: At,
}

impl Layer4Route {
    /// Its kind.
    pub fn kind(&self) -> &'static str {
        if self.is_tls { "TLSRoute" } else { "TCPRoute" }
    }

    /// `TLSRoute namespace/name`.
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind(), self.namespace, self.name)
    }
}

/// Reads a route of either kind.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Layer4Route {
    let mut route = Layer4Route {
        is_tls: object.id.kind == "TLSRoute",
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        created: object.created.clone(),
        parents: Vec::new(),
        hostnames: Vec::new(),
        rules: Vec::new(),
        at: object.name_at,
    };
    reader.map("spec", |spec| {
        route.parents = parent::read(spec, &route.namespace);
        spec.ignore(&["useDefaultGateways"], "default gateways (experimental)");
        if route.is_tls {
            route.hostnames = spec.words("hostnames");
        }
        route.rules = spec.list("rules", |rule| Layer4Rule {
            name: rule.text("name"),
            backends: backend::read(rule, &route.namespace).unwrap_or_default(),
            at: rule.at(),
        });
    });
    route
}
