//! Role-based access control by the headers of a request and the service that it comes from.
//!
//! Source: Envoy RBAC filter docs; measured on Envoy 1.40 (family e11): 403 without a flag, and the
//! policy that matched in the details, `none` for none.
//! Left out: permissions, namespaces, addresses, shadow rules.

use crate::plan::filter::{Principal, Rbac};

/// Whether a request with these headers may pass; `source` is the service that its client's
/// certificate names.
#[must_use]
pub fn may_pass(rbac: &Rbac, headers: &[(String, String)], source: Option<&str>) -> bool {
    let matches = |principal: &Principal| match principal {
        Principal::Any => true,
        Principal::Source(name) => source == Some(name),
        Principal::HeaderPresent(name) => headers.iter().any(|(header, _)| header == name),
    };
    rbac.policies.iter().any(|policy| matches(&policy.principal)) == rbac.allows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::filter::RbacPolicy;

    fn rbac(allows: bool, principal: Principal) -> Rbac {
        Rbac { allows, policies: vec![RbacPolicy { name: "p".to_owned(), principal }] }
    }

    #[test]
    fn allow_needs_a_match_and_deny_needs_none() {
        let bearer = vec![("x-role".to_owned(), "admin".to_owned())];
        let has = |name: &str| Principal::HeaderPresent(name.to_owned());
        assert!(may_pass(&rbac(true, has("x-role")), &bearer, None));
        assert!(!may_pass(&rbac(true, has("x-role")), &[], None));
        assert!(!may_pass(&rbac(false, has("x-role")), &bearer, None));
        assert!(may_pass(&rbac(false, has("x-role")), &[], None));
        assert!(!may_pass(&rbac(false, Principal::Any), &[], None));
        assert!(!may_pass(&Rbac { allows: true, policies: Vec::new() }, &bearer, None));
    }

    #[test]
    fn a_source_is_known_by_its_certificate_only() {
        let of = |name: &str| Principal::Source(name.to_owned());
        assert!(may_pass(&rbac(true, of("cart")), &[], Some("cart")));
        assert!(!may_pass(&rbac(true, of("cart")), &[], Some("shop")));
        assert!(!may_pass(&rbac(true, of("cart")), &[], None));
        assert!(may_pass(&rbac(false, of("cart")), &[], None));
    }
}
