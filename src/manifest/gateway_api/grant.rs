//! Permissions to refer into another namespace, and TLS to backends.
//!
//! Source: Gateway API `referencegrant_types.go` (a grant lives in the namespace that is referred to;
//! without a name it is for all objects of the kind), `backendtlspolicy_types.go`.
//! Left out: what certificates hold.

use crate::manifest::object::Object;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;

/// A `ReferenceGrant`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The namespace that may be referred to.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who may refer: group, kind, namespace.
    pub from: Vec<(String, String, String)>,
    /// To what: group, kind, name if it is one object only.
    pub to: Vec<(String, String, Option<String>)>,
    /// Where its name is.
    pub at: At,
}

/// A `BackendTLSPolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendTls {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Services that it is for, with the port's name if it is for one port.
    pub targets: Vec<(String, Option<String>)>,
    /// The server name that is sent and checked.
    pub hostname: String,
    /// Where its name is.
    pub at: At,
}

/// One end of a reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind<'a> {
    /// Its group.
    pub group: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
}

/// Whether an object may refer to another, which needs a grant if the namespaces differ.
pub fn is_permitted(grants: &[Grant], from: Kind<'_>, to: Kind<'_>, name: &str) -> bool {
    let fits_from = |(group, kind, namespace): &(String, String, String)| {
        group == from.group && kind == from.kind && namespace == from.namespace
    };
    let fits_to = |(group, kind, only): &(String, String, Option<String>)| {
        group == to.group && kind == to.kind && only.as_ref().is_none_or(|only| only == name)
    };
    from.namespace == to.namespace
        || grants.iter().any(|grant| {
            grant.namespace == to.namespace
                && grant.from.iter().any(fits_from)
                && grant.to.iter().any(fits_to)
        })
}

/// Reads a `ReferenceGrant`.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Grant {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    reader.map("spec", |spec| {
        for name in ["from", "to"] {
            if !spec.has(name) {
                spec.missing(name);
            }
        }
        from = spec.list("from", |entry| {
            let group = entry.text("group").unwrap_or_default();
            Some((group, entry.needed_text("kind")?, entry.needed_text("namespace")?))
        });
        to = spec.list("to", |entry| {
            let (group, name) = (entry.text("group").unwrap_or_default(), entry.text("name"));
            let name = name.filter(|name| !name.is_empty());
            Some((group, entry.needed_text("kind")?, name))
        });
    });
    Grant {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        from: from.into_iter().flatten().collect(),
        to: to.into_iter().flatten().collect(),
        at: object.name_at,
    }
}

/// Reads a `BackendTLSPolicy`.
pub fn read_backend_tls(object: &Object, reader: &mut Reader<'_, '_>) -> BackendTls {
    let mut policy = BackendTls {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        targets: Vec::new(),
        hostname: String::new(),
        at: object.name_at,
    };
    reader.map("spec", |spec| {
        let targets = spec.list("targetRefs", |target| {
            target.pass(&["group", "kind"]);
            let section = target.text("sectionName");
            Some((target.needed_text("name")?, section))
        });
        policy.targets = targets.into_iter().flatten().collect();
        spec.map("validation", |validation| {
            policy.hostname = validation.needed_text("hostname").unwrap_or_default();
            let why = "what a backend's certificate must hold";
            let names = ["caCertificateRefs", "wellKnownCACertificates", "subjectAltNames"];
            validation.ignore(&names, why);
        });
        spec.ignore(&["options"], "TLS options");
    });
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_for_one_direction_and_may_be_for_one_name() {
        let grant = Grant {
            namespace: "b".into(),
            name: "g".into(),
            from: vec![("x".into(), "HTTPRoute".into(), "a".into())],
            to: vec![(String::new(), "Service".into(), Some("web".into()))],
            at: At::default(),
        };
        let from = Kind { group: "x", kind: "HTTPRoute", namespace: "a" };
        let to = Kind { group: "", kind: "Service", namespace: "b" };
        let grants = [grant];
        assert!(is_permitted(&grants, from, to, "web"));
        assert!(!is_permitted(&grants, from, to, "other"));
        assert!(!is_permitted(&grants, Kind { namespace: "c", ..from }, to, "web"));
        assert!(!is_permitted(&grants, Kind { kind: "GRPCRoute", ..from }, to, "web"));
        assert!(is_permitted(&[], from, Kind { namespace: "a", ..to }, "web"));
    }
}
