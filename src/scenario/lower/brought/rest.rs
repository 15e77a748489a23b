//! What of a state cannot change in a run: it is told, and stays what it is at the start.
//!
//! Source: ours.
//! Left out: nothing that the plan has, but labels, which act by what they select.

use super::super::super::schema::parameters;
use super::super::super::states::State;
use super::super::id;
use super::filters::may_change;
use crate::plan::Plan;
use crate::plan::universe::{ServiceId, WorkloadId};
use std::collections::BTreeMap;

/// What changes from a state to the next, in words, sorted.
pub(super) fn changes(from: (&Plan, &State), to: (&Plan, &State)) -> Vec<String> {
    let (old, new) = (of(from.0, from.1), of(to.0, to.1));
    let changed = |(name, said): (&String, &String)| {
        let before = old.get(name)?;
        (before != said).then(|| name.clone())
    };
    new.iter().filter_map(changed).collect()
}

/// Each part of a plan that no event changes, as text.
fn of(plan: &Plan, state: &State) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let mut say = |name: String, text: String| drop(parts.insert(name, text));
    for row in parameters() {
        say(format!("mesh.{}", row.name), plan.parameter(row.name).unwrap_or_default());
    }
    say("the list of nodes".to_owned(), format!("{:?}", plan.universe.nodes));
    say("the list of authorities".to_owned(), format!("{:?}", plan.identity));
    for (index, one) in plan.universe.workloads.iter().enumerate() {
        let key = (one.app.clone(), one.version.clone());
        if state.missing.workloads.contains(&key) {
            continue;
        }
        let workload = WorkloadId(id(index));
        let name = &one.name;
        let filters = one.filters.iter().chain(&one.inbound);
        let fixed: Vec<_> = filters.filter(|filter| !may_change(filter)).collect();
        say(format!("the list of filters of {name}"), format!("{fixed:?}"));
        let known = format!("{:?}", plan.scopes.get(&workload));
        say(format!("the list of services that {name} knows"), known);
        let rules = format!("{:?}", plan.pods.get(&workload));
        say(format!("what Kubernetes does for the pods of {name}"), rules);
        say(format!("the sidecar of {name}"), format!("{}", one.meshed));
        let proxy = plan.proxy_workers.get(&workload);
        say(format!("the number of worker threads of the proxy of {name}"), format!("{proxy:?}"));
        let pod = (&one.rollout, &one.start_time, &one.shutdown, &one.nodes);
        say(format!("how pods of {name} start, end and are placed"), format!("{pod:?}"));
        let app = (&one.station, &one.program, &one.errors, &one.behaviour);
        say(format!("the app of {name}"), format!("{app:?}"));
    }
    for (index, one) in plan.universe.services.iter().enumerate() {
        if state.missing.services.contains(&one.name) {
            continue;
        }
        say(format!("the protocol of {}", one.name), format!("{:?}", one.protocol));
        let service = ServiceId(id(index));
        if let Some(rules) = plan.linkerd_rules.services.get(&service) {
            let text = format!("{:?}", (&rules.accrual, &rules.retry, &rules.profile));
            say(format!("what {} asks of the proxies of its clients", one.name), text);
        }
        if plan.linkerd.is_some() {
            let wire = plan.linkerd_rules.wires.get(&service);
            say(format!("how {} is spoken to", one.name), format!("{wire:?}"));
        }
    }
    parts
}
