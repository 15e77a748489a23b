//! What a route is bound to: a Gateway's listener or, for the mesh, a Service.
//!
//! Source: Gateway API `ParentReference` (group defaults to the Gateway API's, kind to Gateway, the
//! namespace to the route's own; `sectionName` and `port` narrow it).
//! Left out: other parents, which other controllers own.

use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;

/// A reference to a parent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParentRef {
    /// What it is.
    pub kind: ParentKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The listener, or the service's port by name.
    pub section: Option<String>,
    /// The listener's or the service's port.
    pub port: Option<u16>,
    /// Where it is.
    pub at: At,
}

/// What a parent is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParentKind {
    /// A Gateway.
    Gateway,
    /// A Service: the mesh's rules.
    Service,
    /// Anything else: group and kind.
    Other(String, String),
}

/// Reads `parentRefs` of a route in this namespace.
pub fn read(reader: &mut Reader<'_, '_>, namespace: &str) -> Vec<ParentRef> {
    let parents = reader.list("parentRefs", |parent| {
        let group = parent.text("group").unwrap_or_else(|| GATEWAY_API.to_owned());
        let kind = parent.text("kind").unwrap_or_else(|| "Gateway".to_owned());
        let kind = match (group.as_str(), kind.as_str()) {
            (GATEWAY_API, "Gateway") => ParentKind::Gateway,
            ("" | "core", "Service") => ParentKind::Service,
            (GATEWAY_API, "Service") => {
                let hint = "a Service is in the core group: add group: \"\"";
                parent.warning(parent.at_field("kind"), "there is no Service in this group", hint);
                ParentKind::Other(group, kind)
            }
            _ => ParentKind::Other(group, kind),
        };
        let parent_namespace = parent.text("namespace");
        let (section, port) = (parent.text("sectionName"), parent.port("port"));
        let at = parent.at_field("name");
        let name = parent.needed_text("name")?;
        let namespace = parent_namespace.unwrap_or_else(|| namespace.to_owned());
        Some(ParentRef { kind, namespace, name, section, port, at })
    });
    parents.into_iter().flatten().collect()
}
