//! What the status conditions say, as warnings with a place: routes that are bound to nothing, references
//! that lead nowhere, listeners that serve nobody.
//!
//! Source: as in [`crate::manifest::gateway_api::attach`] and [`crate::manifest::gateway_api::listeners`].
//! Left out: nothing of these conditions.

use crate::manifest::findings::Findings;
use crate::manifest::gateway_api::backend::{BackendRef, Referrer};
use crate::manifest::gateway_api::filter::{Action, Filter};
use crate::manifest::gateway_api::parent::{ParentKind, ParentRef};
use crate::manifest::gateway_api::table::Tables;
use crate::manifest::gateway_api::{GatewayApi, attach};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::source::Sources;

/// Adds a warning for each condition that is not well.
pub fn add(
    api: &GatewayApi,
    cluster: &Cluster,
    tables: &Tables,
    sources: &Sources,
    findings: &mut Findings,
) {
    for status in &tables.attached.routes {
        for parent in status.parents.iter().filter(|parent| !parent.accepted.status) {
            let (route, to, why) = (&status.route, &parent.parent, &parent.accepted);
            let what = format!("{route} is not bound to {to}: {}", why.message);
            findings.warning(sources, parent.at, what, &format!("reason {}", why.reason));
        }
    }
    for route in &api.routes {
        let from = referrer(route.kind(), &route.namespace, &route.parents);
        for rule in &route.rules {
            let backends = rule.backends.iter().flatten();
            let filters = backends.clone().flat_map(|backend| &backend.filters);
            let mirrors = rule.filters.iter().chain(filters).filter_map(mirror);
            backends.chain(mirrors).for_each(|to| {
                reference(to, from, api, cluster, sources, findings);
            });
        }
    }
    for route in &api.layer4 {
        let from = referrer(route.kind(), &route.namespace, &route.parents);
        for to in route.rules.iter().flat_map(|rule| &rule.backends) {
            reference(to, from, api, cluster, sources, findings);
        }
    }
    for (status, gateway) in tables.attached.gateways.iter().zip(&api.gateways) {
        for (status, listener) in status.listeners.iter().zip(&gateway.listeners) {
            let conditions = [&status.accepted, &status.resolved_refs];
            for condition in conditions.into_iter().filter(|condition| !condition.status) {
                let serves = if status.programmed.status { "" } else { " and serves nobody" };
                let what = format!(
                    "the listener `{}` is not valid{serves}: {}",
                    status.name, condition.message
                );
                let hint = format!("reason {}", condition.reason);
                findings.warning(sources, listener.at, what, &hint);
            }
        }
    }
}

/// A route of the mesh needs no grants; one that is for a gateway, too, does.
fn referrer<'a>(kind: &'a str, namespace: &'a str, parents: &[ParentRef]) -> Referrer<'a> {
    let is_mesh = !parents.is_empty() && parents.iter().all(|p| p.kind == ParentKind::Service);
    Referrer { kind, namespace, is_mesh }
}

fn mirror(filter: &Filter) -> Option<&BackendRef> {
    match &filter.action {
        Action::Mirror(mirror) => Some(&mirror.backend),
        _ => None,
    }
}

fn reference(
    to: &BackendRef,
    from: Referrer<'_>,
    api: &GatewayApi,
    cluster: &Cluster,
    sources: &Sources,
    findings: &mut Findings,
) {
    let Err(broken) = to.resolve(cluster, &api.grants, from) else { return };
    let port = to.port.map_or(String::new(), |port| format!(":{port}"));
    let name = format!("{} {}/{}{port}", to.kind, to.namespace, to.name);
    let what = format!("{name}: {}; its share of the requests gets 500", attach::told(broken));
    findings.warning(sources, to.at, what, &format!("reason {}", broken.word()));
}

#[cfg(test)]
mod tests {
    use crate::manifest::loaded::Loaded;

    #[test]
    fn conditions_are_told_where_they_arise() {
        let normative = include_str!("../tests/normative.yaml");
        assert_eq!(Loaded::read([("m", normative.as_bytes())]).manifests.findings.warnings, []);
        let cases = [
            (
                "- name: edge\n  host",
                "- name: edgy\n  host",
                "m:85:11: HTTPRoute shop/web is not bound",
            ),
            (
                "- name: web\n      port: 80",
                "- name: wbe\n      port: 80",
                "m:100:13: Service shop/wbe:80",
            ),
            (
                "protocol: HTTP",
                "protocol: HTTPS",
                "m:71:5: the listener `http` is not valid and serves",
            ),
        ];
        for (old, new, expected) in cases {
            assert!(normative.contains(old), "{old}");
            let text = normative.replacen(old, new, 1);
            let loaded = Loaded::read([("m", text.as_bytes())]);
            let told: Vec<String> =
                loaded.manifests.findings.warnings.iter().map(ToString::to_string).collect();
            assert!(told[0].starts_with(expected), "{told:?}");
        }
    }
}
