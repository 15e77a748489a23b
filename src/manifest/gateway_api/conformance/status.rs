//! Tests without cases, judged by the conditions of their routes and gateways.
//!
//! What a test wants is in its description: "should set a `ResolvedRefs` status False with reason
//! `InvalidKind`", "should fail to attach". Where it says nothing of the kind, all must be well.
//! Source: upstream `conformance/tests/*.go`, field `Description`.
//! Left out: `observedGeneration`, which needs a history.

use crate::manifest::gateway_api::attach::Condition;
use crate::manifest::gateway_api::conformance::setup::Setup;
use crate::manifest::gateway_api::conformance::{Judged, Verdict, values};

/// Words of conditions that a description may name.
const CONDITIONS: [&str; 5] = ["Accepted", "ResolvedRefs", "Programmed", "Conflicted", "Ready"];

/// What a description wants.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wanted {
    /// All is well.
    Well,
    /// A condition has this status and reason.
    Condition { name: Option<&'static str>, status: bool, reason: Option<String> },
}

/// A condition with its name and owner.
struct Named {
    owner: String,
    name: &'static str,
    condition: Condition,
}

/// Judges a test by its conditions.
pub fn judge(setup: &Setup<'_>) -> Judged {
    let description = values::text(setup.test, "description").unwrap_or("");
    let conditions = conditions(setup);
    if conditions.is_empty() {
        return (Verdict::NotModelled, "the test has no routes or gateways of its own".to_owned());
    }
    let found = |named: &Named| {
        let (name, condition) = (named.name, &named.condition);
        format!("{} of {} is {} ({})", name, named.owner, condition.status, condition.reason)
    };
    let judged = match wanted(description) {
        Wanted::Well => {
            // "A Gateway … should" says nothing of the routes that are bound to it.
            let of_routes = |named: &Named| named.owner.contains("Route ");
            let about_routes =
                !description.starts_with("A Gateway") || conditions.iter().all(of_routes);
            let wanted = conditions.iter().filter(|named| about_routes || !of_routes(named));
            let names: Vec<String> = wanted.clone().take(4).map(found).collect();
            let bad = wanted.clone().find(|named| !is_well(named));
            bad.map_or((Verdict::Pass, names.join(", ")), |bad| {
                let why = "the description does not say which conditions the test wants";
                (Verdict::NotModelled, format!("{why}; {}: {}", found(bad), bad.condition.message))
            })
        }
        Wanted::Condition { name, status, reason } => {
            let fits = |named: &&Named| {
                let has_status = match name {
                    Some(name) => name == named.name && named.condition.status == status,
                    None => is_well(named) == status,
                };
                has_status && reason.as_ref().is_none_or(|reason| *reason == named.condition.reason)
            };
            let all: Vec<String> = conditions.iter().map(found).collect();
            let none = format!("no condition is as described: {}", all.join(", "));
            let fitting = conditions.iter().find(fits);
            fitting.map_or((Verdict::Fail, none), |named| (Verdict::Pass, found(named)))
        }
    };
    match (judged.0, setup.not_modelled()) {
        (Verdict::Fail, Some(why)) => (Verdict::NotModelled, why.to_owned()),
        _ => judged,
    }
}

fn is_well(named: &Named) -> bool {
    named.condition.status != (named.name == "Conflicted")
}

fn conditions(setup: &Setup<'_>) -> Vec<Named> {
    let attached = &setup.tables.attached;
    let mut all = Vec::new();
    let places = setup.api.routes.iter().map(|route| route.at);
    let places = places.chain(setup.api.layer4.iter().map(|route| route.at));
    for (status, at) in attached.routes.iter().zip(places) {
        if !setup.is_own(at) {
            continue;
        }
        for parent in &status.parents {
            let owner = status.route.clone();
            let accepted = parent.accepted.clone();
            all.push(Named { owner: owner.clone(), name: "Accepted", condition: accepted });
            let refs = parent.resolved_refs.clone();
            all.push(Named { owner, name: "ResolvedRefs", condition: refs });
        }
    }
    for (status, gateway) in attached.gateways.iter().zip(&setup.api.gateways) {
        if !setup.is_own(gateway.at) {
            continue;
        }
        let owner = format!("Gateway {}", status.gateway);
        let mut push = |owner: &String, name, condition: &Condition| {
            all.push(Named { owner: owner.clone(), name, condition: condition.clone() });
        };
        push(&owner, "Accepted", &status.accepted);
        push(&owner, "Programmed", &status.programmed);
        for listener in &status.listeners {
            let owner = format!("listener {}/{}", status.gateway, listener.name);
            push(&owner, "Accepted", &listener.accepted);
            push(&owner, "Conflicted", &listener.conflicted);
            push(&owner, "ResolvedRefs", &listener.resolved_refs);
            push(&owner, "Programmed", &listener.programmed);
        }
    }
    all
}

fn wanted(description: &str) -> Wanted {
    let words: Vec<&str> = description
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let name = CONDITIONS.into_iter().find(|name| words.contains(name));
    let after = |word: &str| {
        let at = words.iter().position(|known| known.eq_ignore_ascii_case(word))?;
        words.get(at + 1).map(|word| (*word).to_owned())
    };
    let has = |word: &str| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    let is_reason = |word: &String| word.starts_with(|first: char| first.is_ascii_uppercase());
    let reason = after("reason").filter(is_reason);
    let fails =
        ["fail to attach", "not be accepted", "should fail", "should not attach", "rejected"]
            .iter()
            .any(|phrase| description.contains(phrase));
    if name.is_some() && has("False") || reason.is_some() && !has("True") {
        return Wanted::Condition { name, status: false, reason };
    }
    if name.is_some() && has("True") {
        return Wanted::Condition { name, status: true, reason };
    }
    if fails {
        return Wanted::Condition { name, status: false, reason };
    }
    Wanted::Well
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_say_what_they_want() {
        let kind = "A single HTTPRoute should set a ResolvedRefs status False with reason \
                    InvalidKind when attempting to bind to a Gateway";
        assert_eq!(
            wanted(kind),
            Wanted::Condition {
                name: Some("ResolvedRefs"),
                status: false,
                reason: Some("InvalidKind".into()),
            }
        );
        let fails = "A single HTTPRoute should fail to attach to a Gateway in another namespace";
        assert_eq!(wanted(fails), Wanted::Condition { name: None, status: false, reason: None });
        assert_eq!(wanted("An HTTPRoute should be functional"), Wanted::Well);
    }
}
