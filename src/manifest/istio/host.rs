//! Host names with wildcards, and what a short name means.
//!
//! `*` is every host, `*.a.com` every host that ends in `.a.com`. Of several names that match, the
//! longest exact one, then the longest wildcard wins. A short name (`reviews`) means the service of that
//! name in the namespace of the object that says it.
//! Source: istio/istio `pkg/config/host/name.go` (`Matches`, `SubsetOf`), `names.go` (order),
//! `pilot/pkg/model/push_context.go` (`ResolveShortnameToFQDN`).
//! Left out: domain suffixes other than the one given.

/// The domain suffix of the cluster, unless it is set otherwise.
pub const DOMAIN: &str = "cluster.local";

/// Whether two names can mean the same host: the wider one may be either.
pub fn overlap(one: &str, other: &str) -> bool {
    let (a, b) = (one.strip_prefix('*'), other.strip_prefix('*'));
    match (a, b) {
        (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
        (Some(a), None) => other.len() >= a.len() && other.ends_with(a),
        (None, Some(b)) => one.len() >= b.len() && one.ends_with(b),
        (None, None) => one.eq_ignore_ascii_case(other),
    }
}

/// Whether every host that `narrow` means is meant by `wide`, too.
pub fn within(narrow: &str, wide: &str) -> bool {
    match (narrow.strip_prefix('*'), wide.strip_prefix('*')) {
        (Some(narrow), Some(wide)) => narrow.ends_with(wide),
        (Some(_), None) => false,
        (None, Some(wide)) => narrow.ends_with(wide),
        (None, None) => narrow.eq_ignore_ascii_case(wide),
    }
}

/// How specific a name is: greater wins. Exact names before wildcards, then the longer.
pub fn rank(name: &str) -> (bool, usize) {
    (!name.starts_with('*'), name.len())
}

/// The most specific of some names that covers a host.
pub fn most_specific<'a>(host: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.filter(|name| within(host, name)).max_by_key(|name| rank(name))
}

/// What a host in an object of a namespace means: a name without a dot is a service beside it.
pub fn full(name: &str, namespace: &str) -> String {
    if name.contains('.') || name.starts_with('*') {
        name.to_owned()
    } else {
        service(name, namespace)
    }
}

/// Whether what a host in an object of a namespace means covers a full name.
pub fn covers(name: &str, namespace: &str, wanted: &str) -> bool {
    if name.contains('.') || name.starts_with('*') {
        return within(wanted, name);
    }
    let rest = wanted.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name));
    let rest = rest.and_then(|_| wanted[name.len()..].strip_prefix('.'));
    let own = rest.and_then(|rest| rest.get(..namespace.len()));
    own.is_some_and(|own| own.eq_ignore_ascii_case(namespace))
        && within(wanted, &service(name, namespace))
}

/// The full host of a Kubernetes service.
pub fn service(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.{DOMAIN}")
}

/// Whether a name that a client asks for (`reviews`, `reviews.shop`, `reviews.shop.svc`) is this
/// service's, seen from the client's namespace.
pub fn alias_of(asked: &str, host: &str, client_namespace: &str) -> bool {
    if asked.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(rest) = host.strip_suffix(&format!(".svc.{DOMAIN}")) else { return false };
    let asked = asked.strip_suffix('.').unwrap_or(asked);
    let Some((name, namespace)) = rest.rsplit_once('.') else { return false };
    (asked == name && namespace == client_namespace)
        || asked == rest
        || asked.strip_suffix(".svc") == Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_istio() {
        assert!(overlap("*", "foo.com") && overlap("*.com", "*.foo.com"));
        assert!(overlap("foo.com", "*.com") && !overlap("foo.com", "bar.com"));
        assert!(!overlap("*.foo.com", "foo.com") && !overlap("*.a.com", "*.b.com"));
        assert!(within("*.foo.com", "*.com") && !within("*.com", "*.foo.com"));
        assert!(within("a.foo.com", "*") && !within("*.foo.com", "a.foo.com"));
    }

    #[test]
    fn the_most_specific_name_wins() {
        let names = ["*", "*.com", "*.foo.com", "a.foo.com"];
        let best = |host| most_specific(host, names.into_iter());
        assert_eq!(best("a.foo.com"), Some("a.foo.com"));
        assert_eq!(best("b.foo.com"), Some("*.foo.com"));
        assert_eq!(best("b.com"), Some("*.com"));
        assert_eq!(best("x"), Some("*"));
    }

    #[test]
    fn short_names_belong_to_the_objects_namespace() {
        assert_eq!(full("reviews", "shop"), "reviews.shop.svc.cluster.local");
        assert_eq!(full("reviews.shop", "x"), "reviews.shop");
        assert_eq!(full("*", "x"), "*");
        let host = "reviews.shop.svc.cluster.local";
        assert!(alias_of("reviews", host, "shop") && !alias_of("reviews", host, "other"));
        assert!(alias_of("reviews.shop", host, "x") && alias_of("reviews.shop.svc", host, "x"));
        assert!(!alias_of("reviews.shop.svc.x", host, "shop"));
    }
}
