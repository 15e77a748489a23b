//! `HTTPLocalRateLimitPolicy`: how many requests a second each pod of a Server takes.
//!
//! A request takes from the total first, then from its client's override if there is one, else from its
//! client's own share; clients without identity share one. Each refusal is a 429.
//! Source: linkerd2 `inbound/ratelimit_policy.rs`, `policy-controller/src/admission.rs`; linkerd2-proxy
//! `linkerd/proxy/server-policy/src/local_rate_limit.rs`.
//! Left out: nothing of this kind.

use crate::manifest::linkerd::authorization::{POLICY, Reference};
use crate::manifest::linkerd::settings::Settings;
use crate::manifest::object::Object;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;
use serde::Serialize;

/// A rate limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Server in its namespace.
    pub server: String,
    /// For all clients together.
    pub total: Option<Rate>,
    /// For each client.
    pub identity: Option<Rate>,
    /// For clients with these identities.
    pub overrides: Vec<(Vec<String>, Rate)>,
    /// When it was made; of two for one Server the older counts.
    pub created: Option<String>,
    /// Where its name is.
    pub at: At,
}

/// Requests a second (also the burst).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Rate {
    /// Requests a second.
    pub per_second: u32,
    /// Where it is.
    #[serde(skip)]
    pub at: At,
}

impl RateLimit {
    /// What a client may send for itself, beside the total.
    pub fn for_client(&self, identity: Option<&str>) -> Option<Rate> {
        let own = self.overrides.iter().find(|(identities, _)| {
            identity.is_some_and(|identity| identities.iter().any(|known| known == identity))
        });
        own.map(|(_, rate)| *rate).or(self.identity)
    }
}

/// Reads an `HTTPLocalRateLimitPolicy`; none if it targets no Server.
pub fn read(
    object: &Object,
    settings: &Settings,
    reader: &mut Reader<'_, '_>,
) -> Option<RateLimit> {
    let namespace = object.id.namespace.clone();
    let limit = reader.map("spec", |spec| {
        let target = spec.map("targetRef", Reference::read).flatten();
        if !spec.has("targetRef") {
            spec.missing("targetRef");
        }
        let total = spec.map("total", read_rate).flatten();
        let identity = spec.map("identity", read_rate).flatten();
        let overrides = spec.list("overrides", |over| {
            let rate = read_rate(over);
            let clients =
                over.list("clientRefs", |client| read_client(client, &namespace, settings));
            if !over.has("clientRefs") {
                over.missing("clientRefs");
            }
            Some((clients.into_iter().flatten().collect::<Vec<_>>(), rate?))
        });
        let overrides: Vec<_> = overrides.into_iter().flatten().collect();
        if let Some(total) = total {
            let parts = identity.iter().chain(overrides.iter().map(|(_, rate)| rate));
            for part in parts.filter(|part| part.per_second > total.per_second) {
                let (part_rate, all) = (part.per_second, total.per_second);
                let what =
                    format!("{part_rate} requests a second are more than the total of {all}");
                spec.problem(part.at, what, "Linkerd's admission webhook refuses this");
            }
        }
        let target = target?;
        if !target.is(POLICY, "Server") {
            let what = format!("`{}` has no rate limit, only a Server has", target.canonical());
            spec.problem(target.kind_at, what, "Linkerd's admission webhook refuses this");
            return None;
        }
        Some((target.name, total, identity, overrides))
    });
    let (server, total, identity, overrides) = limit.flatten()?;
    let (name, at) = (object.id.name.clone(), object.name_at);
    let created = object.created.clone();
    Some(RateLimit {
        namespace: object.id.namespace.clone(),
        name,
        server,
        total,
        identity,
        overrides,
        created,
        at,
    })
}

fn read_rate(reader: &mut Reader<'_, '_>) -> Option<Rate> {
    let field = "requestsPerSecond";
    if !reader.has(field) {
        reader.missing(field);
    }
    let at = reader.at_field(field);
    let per_second = reader.int(field, 1..=i64::from(u32::MAX))?;
    Some(Rate { per_second: u32::try_from(per_second).ok()?, at })
}

fn read_client(
    client: &mut Reader<'_, '_>,
    namespace: &str,
    settings: &Settings,
) -> Option<String> {
    let reference = Reference::read(client)?;
    if !reference.is("", "ServiceAccount") {
        let what = format!("`{}` is no client, only a ServiceAccount is", reference.canonical());
        client.problem(reference.kind_at, what, "Linkerd's admission webhook refuses this");
        return None;
    }
    let namespace = reference.namespace.as_deref().unwrap_or(namespace);
    Some(settings.identity(namespace, &reference.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;
    use crate::manifest::reader;

    fn limit(spec: &str) -> (Option<RateLimit>, String) {
        let text = format!(
            "apiVersion: policy.linkerd.io/v1alpha1\nkind: HTTPLocalRateLimitPolicy\n\
             metadata: {{name: a, namespace: shop}}\nspec:\n  \
             targetRef: {{group: policy.linkerd.io, kind: Server, name: web}}\n{spec}"
        );
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        let settings = Settings::default();
        let limit = reader::object(&objects[0], &sources, &mut findings, |r| {
            read(&objects[0], &settings, r)
        });
        let told = findings.problems.iter().map(|problem| problem.what.clone());
        (limit, told.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn overrides_win_over_the_share_of_each_client() {
        let (limit, told) = limit(
            "  total: {requestsPerSecond: 100}\n  identity: {requestsPerSecond: 20}\n  overrides:\n  \
             - {requestsPerSecond: 25, clientRefs: [{kind: ServiceAccount, name: vip}]}\n",
        );
        let (limit, settings) = (limit.unwrap(), Settings::default());
        assert_eq!(told, "");
        let vip = settings.identity("shop", "vip");
        let rate = |identity: Option<&str>| limit.for_client(identity).map(|rate| rate.per_second);
        assert_eq!(
            (rate(Some(&vip)), rate(Some("other")), rate(None)),
            (Some(25), Some(20), Some(20))
        );
    }

    #[test]
    fn parts_are_not_above_the_total() {
        let told = |spec: &str| limit(spec).1;
        assert_eq!(
            told("  total: {requestsPerSecond: 10}\n  identity: {requestsPerSecond: 20}\n"),
            "20 requests a second are more than the total of 10"
        );
        assert!(told("  total: {requestsPerSecond: 0}\n").contains("must be from 1"));
        assert!(told("  total: {}\n").contains("has no `requestsPerSecond`"));
    }
}
