//! Objects as people name them: `kind/namespace/name`.
//!
//! Source: `kubectl get TYPE/NAME`: kinds without regard to case, in the singular or plural or by their short
//! names, with their group behind a dot where two kinds have one name.
//! Left out: versions in names.

use super::Trouble;
use crate::manifest::object::{Id, Object, nearest};

/// Short names of kinds.
const SHORT: &[(&str, &str)] = &[
    ("ns", "namespace"),
    ("po", "pod"),
    ("svc", "service"),
    ("ep", "endpoints"),
    ("sa", "serviceaccount"),
    ("cm", "configmap"),
    ("deploy", "deployment"),
    ("sts", "statefulset"),
    ("ds", "daemonset"),
    ("rs", "replicaset"),
    ("hpa", "horizontalpodautoscaler"),
    ("pdb", "poddisruptionbudget"),
    ("vs", "virtualservice"),
    ("dr", "destinationrule"),
    ("gw", "gateway"),
    ("se", "serviceentry"),
    ("we", "workloadentry"),
    ("pa", "peerauthentication"),
    ("ap", "authorizationpolicy"),
    ("ra", "requestauthentication"),
    ("sp", "serviceprofile"),
    ("ts", "trafficsplit"),
];

/// At most so many names are told.
const TOLD_MAX: usize = 8;

/// The object that `kind/name` or `kind/namespace/name` means.
pub fn find(objects: &[Object], text: &str) -> Result<Id, Trouble> {
    let parts: Vec<&str> = text.split('/').collect();
    let (kind, namespace, name) = match parts[..] {
        [kind, name] => (kind, None, name),
        [kind, namespace, name] => (kind, Some(namespace), name),
        _ => {
            let what = format!("`{text}` names no object");
            return Err(Trouble::new(
                what,
                "kind/namespace/name, as in \"virtualservice/shop/cart\"",
            ));
        }
    };
    let (kind, group) = match kind.split_once('.') {
        Some((kind, group)) => (kind.to_lowercase(), Some(group)),
        None => (kind.to_lowercase(), None),
    };
    let long = SHORT.iter().find(|(short, _)| *short == kind).map(|(_, long)| *long);
    let fits = |id: &Id| {
        let own = id.kind.to_lowercase();
        let is_kind =
            [Some(kind.as_str()), long].contains(&Some(own.as_str())) || plural(&own) == kind;
        is_kind && group.is_none_or(|group| id.group == group)
    };
    let of_kind: Vec<&Id> = objects.iter().map(|one| &one.id).filter(|id| fits(id)).collect();
    let named = of_kind
        .iter()
        .filter(|id| id.name == name && namespace.is_none_or(|one| id.namespace == one));
    let found: Vec<&Id> = named.copied().collect();
    match found[..] {
        [one] => Ok(one.clone()),
        [] => Err(missing(objects, text, &of_kind, long.unwrap_or(&kind))),
        [first, second, ..] => {
            let hint = if first.group == second.group {
                format!(
                    "`{kind}/{}/{name}` or `{kind}/{}/{name}`",
                    first.namespace, second.namespace
                )
            } else {
                format!("`{kind}.{}/…` or `{kind}.{}/…`", first.group, second.group)
            };
            Err(Trouble::new(format!("`{text}` names {} objects", found.len()), hint))
        }
    }
}

fn missing(objects: &[Object], text: &str, of_kind: &[&Id], kind: &str) -> Trouble {
    let what = format!("there is no `{text}` at that time");
    let names: Vec<String> = of_kind.iter().map(|id| written(id)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let hint = match nearest(text, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => {
            let mut kinds: Vec<String> =
                objects.iter().map(|one| one.id.kind.to_lowercase()).collect();
            kinds.sort();
            kinds.dedup();
            let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
            match nearest(kind, &kinds) {
                Some(near) => format!("did you mean the kind `{near}`?"),
                None => format!("there is no `{kind}` among the manifests"),
            }
        }
        None => format!("there are {}", names[..names.len().min(TOLD_MAX)].join(", ")),
    };
    Trouble::new(what, hint)
}

/// `virtualservice/shop/cart`.
pub fn written(id: &Id) -> String {
    let kind = id.kind.to_lowercase();
    match id.namespace.as_str() {
        "" => format!("{kind}/{}", id.name),
        namespace => format!("{kind}/{namespace}/{}", id.name),
    }
}

/// As Kubernetes makes plurals of kinds.
fn plural(kind: &str) -> String {
    match kind.as_bytes() {
        [.., b's'] if kind == "endpoints" => kind.to_owned(),
        [.., b's' | b'x'] | [.., b'c' | b's', b'h'] => format!("{kind}es"),
        [rest @ .., b'y'] if !matches!(rest.last(), Some(b'a' | b'e' | b'i' | b'o' | b'u')) => {
            format!("{}ies", &kind[..kind.len() - 1])
        }
        _ => format!("{kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;

    const OBJECTS: &str = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cart, namespace: shop}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cart, namespace: test}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: deny, namespace: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
";

    #[test]
    fn objects_are_found_as_kubectl_finds_them() {
        let set = Manifests::read([("a.yaml", OBJECTS.as_bytes())]);
        let found = |text: &str| find(&set.objects, text).map(|id| id.to_string());
        let web = Ok("Deployment shop/web".to_owned());
        for text in ["deployment/shop/web", "Deployments/web", "deploy/web", "deployment.apps/web"]
        {
            assert_eq!(found(text), web);
        }
        assert_eq!(found("ns/shop"), Ok("Namespace shop".to_owned()));
        assert!(found("authorizationpolicies/deny").is_ok());
        assert!(found("gateway.networking.istio.io/edge").is_ok());
        let told = |text: &str| {
            let trouble = find(&set.objects, text).expect_err(text);
            format!("{} — {}", trouble.what, trouble.hint)
        };
        assert!(told("deployment/cart").contains("2 objects — `deployment/shop/cart` or"));
        assert!(told("gateway/edge").contains("`gateway.networking.istio.io/…` or"));
        assert!(told("deployment/shop/wbe").contains("did you mean `deployment/shop/web`?"));
        assert!(told("deploymnt/shop/web").contains("did you mean the kind `deployment`?"));
        assert!(told("virtualservice/x").contains("there is no `virtualservice` among"));
        assert!(told("cart").contains("kind/namespace/name"));
    }
}
