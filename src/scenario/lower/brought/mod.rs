//! What manifests bring at a time: states are lowered one by one, and where they differ an event says so.
//!
//! The plan of the first state is that of the run; what only others have is in it, without pods and untold.
//! Each event that changes manifests becomes what the control plane and Kubernetes do then: other routes,
//! definitions of clusters, endpoints, replicas, templates. `values` says what is compared, `rest` what
//! cannot change in a run and is told.
//!
//! Source: ours; what each kind of change does is `plan::timeline`'s.
//! Left out: what `rest` lists.

mod filters;
mod rest;
mod values;

use super::super::context::{Context, Fault};
use super::super::document::Node;
use super::super::states::{Begin, Brought, State, States};
use super::{Heading, id, lower_beside};
use crate::plan::Plan;
use crate::plan::balancing::EndpointSettings;
use crate::plan::filter::{Filter, FilterMask};
use crate::plan::problem::Problem;
use crate::plan::route::{Mirror, RouteTable};
use crate::plan::timeline::Action;
use crate::plan::tls::ServerTls;
use crate::plan::universe::{Cluster, ClusterId, RouteId, ServiceId, WorkloadId};
use std::collections::BTreeMap;
use values::{Definition, Ids, Routes, Thing, Told, Values};

/// Lowers all states; the plan is that of the first, and its events bring the others.
pub(crate) fn lower_states(context: &mut Context<'_>, states: &States, heading: &Heading) -> Plan {
    let roots: Vec<&Node> = states.list.iter().map(|state| &state.root).collect();
    let mut plans: Vec<Plan> =
        roots.iter().map(|root| lower_beside(context, root, &roots, heading.clone())).collect();
    let mut plan = plans[0].clone();
    if !context.is_clean() {
        return plan;
    }
    if let Some(event) = unlike(&plans, states) {
        let what = "the manifests of this event bring other names than the mesh has";
        let hint = "waypoints and gateways come with the first manifests";
        context.report(Fault::new(states.events[event].at, what).hint(hint));
        return plan;
    }
    adopt(&mut plan, states, &plans);
    plans[0] = plan;
    Filling::new(plans, states).fill(context)
}

/// The event that brings services, workloads or classes of requests which the first state has not, if there is one.
fn unlike(plans: &[Plan], states: &States) -> Option<usize> {
    let names = |plan: &Plan| -> Vec<String> {
        let services = plan.universe.services.iter().map(|one| one.name.clone());
        services.chain(plan.universe.workloads.iter().map(|one| one.name.clone())).collect()
    };
    let first = names(&plans[0]);
    let is_like =
        |plan: &Plan| names(plan) == first && plan.universe.classes == plans[0].universe.classes;
    let place = plans.iter().position(|plan| !is_like(plan))?;
    states.begins.iter().find(|begin| begin.to == place).map(|begin| begin.event)
}

/// Workloads that only come later are as they are when they come, but for their pods.
fn adopt(plan: &mut Plan, states: &States, plans: &[Plan]) {
    for index in 0..plan.universe.workloads.len() {
        let workload = WorkloadId(id(index));
        let is_missing = |state: &State| is_missing(state, plan, workload);
        if !is_missing(&states.list[0]) {
            continue;
        }
        let Some(place) = states.list.iter().position(|state| !is_missing(state)) else {
            continue;
        };
        let from = &plans[place];
        plan.universe.workloads[index].clone_from(&from.universe.workloads[index]);
        plan.universe.workloads[index].replicas = 0;
        copy_of(&mut plan.pods, &from.pods, workload);
        copy_of(&mut plan.scopes, &from.scopes, workload);
        copy_of(&mut plan.endpoints, &from.endpoints, workload);
        copy_of(&mut plan.tls.servers, &from.tls.servers, workload);
    }
}

fn copy_of<T: Clone>(
    to: &mut BTreeMap<WorkloadId, T>,
    from: &BTreeMap<WorkloadId, T>,
    key: WorkloadId,
) {
    match from.get(&key) {
        Some(value) => drop(to.insert(key, value.clone())),
        None => drop(to.remove(&key)),
    }
}

/// Whether a workload is in a state for the sake of others only.
fn is_missing(state: &State, plan: &Plan, workload: WorkloadId) -> bool {
    let one = &plan.universe.workloads[workload.index()];
    state.missing.workloads.contains(&(one.app.clone(), one.version.clone()))
}

/// The making of what events do.
struct Filling<'s> {
    plan: Plan,
    states: &'s States,
    plans: Vec<Plan>,
    /// What each state says.
    values: Vec<Values>,
    /// What each event tells.
    told: Vec<Values>,
    /// Definitions that events have made, by the cluster for which they stand.
    made: BTreeMap<ClusterId, Vec<ClusterId>>,
}

impl<'s> Filling<'s> {
    fn new(plans: Vec<Plan>, states: &'s States) -> Self {
        let mut plan = plans[0].clone();
        let mut ids = Ids::of(&plan);
        for (other, state) in plans.iter().zip(&states.list).skip(1) {
            ids.add_missing(&mut plan, other, state);
        }
        let values: Vec<Values> = plans
            .iter()
            .zip(&states.list)
            .enumerate()
            .map(|(place, (one, state))| values::of(one, state, &ids, place == 0))
            .collect();
        // What nobody has heard of at the start.
        for (thing, told) in &values[0] {
            match (thing, told) {
                (Thing::Cluster(cluster), Told::Cluster(None)) => {
                    plan.absent.insert(*cluster);
                }
                (Thing::Routes(service), Told::Routes(routes)) if routes.table.rules.is_empty() => {
                    let place = plan.universe.services[service.index()].route;
                    plan.universe.routes[place.index()] = routes.table.clone();
                }
                _ => {}
            }
        }
        unite_filters(&mut plan, &values);
        let told = states.events.iter().map(|_| Values::new()).collect();
        Self { plan, states, plans, values, told, made: BTreeMap::new() }
    }

    fn fill(mut self, context: &mut Context<'_>) -> Plan {
        for begin in &self.states.begins {
            let active = &self.states.list[begin.from].active;
            let new = self.values[begin.to].iter();
            let new = new.filter(|(thing, told)| self.in_force(active, **thing) != Some(told));
            self.told[begin.event] = new.map(|(thing, told)| (*thing, told.clone())).collect();
        }
        self.check(context);
        for begin in &self.states.begins {
            let Begin { event, .. } = *begin;
            let actions = self.actions(event);
            let Brought { place, label, .. } = &self.states.events[event];
            let does_nothing = actions.is_empty();
            let one = &mut self.plan.timeline[*place];
            one.label.clone_from(label);
            one.action = Action::All(actions);
            self.warn(context, *begin, does_nothing);
        }
        self.list_endpoints_of_definitions();
        self.plan
    }

    /// What is told of a thing while events are in force: by the last that says something, else as at the start.
    fn in_force(&self, active: &[usize], thing: Thing) -> Option<&Told> {
        let last = active.iter().rev().find_map(|event| self.told[*event].get(&thing));
        last.or_else(|| self.values[0].get(&thing))
    }

    /// What events leave behind when others end is what the state says; else the plan cannot say it.
    fn check(&self, context: &mut Context<'_>) {
        for (state, values) in self.states.list.iter().zip(&self.values) {
            let odd = values
                .iter()
                .find(|(thing, told)| self.in_force(&state.active, **thing) != Some(told));
            let Some((thing, _)) = odd else { continue };
            let of = |event: &usize| self.told[*event].contains_key(thing);
            let Some(event) = state.active.iter().rev().find(|event| of(event)) else { continue };
            let what = format!(
                "{} changes {}, which another event has changed before and takes back while this one lasts",
                self.states.events[*event].label,
                thing.words(&self.plan)
            );
            let hint = "let this one end first, or let the other one last";
            context.report(Fault::new(self.states.events[*event].at, what).hint(hint));
            return;
        }
    }

    /// What an event does.
    fn actions(&mut self, event: usize) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut accepts: BTreeMap<String, (ServerTls, Vec<WorkloadId>)> = BTreeMap::new();
        let mut templates = Vec::new();
        let told = self.told[event].clone();
        let name = self.plan.timeline[self.states.events[event].place].id.clone();
        for (thing, told) in told {
            match (thing, told) {
                (Thing::Replicas(workload), Told::Count(replicas)) => {
                    actions.push(Action::Scale { workload, replicas });
                }
                (Thing::Template(workload), _) => templates.push(workload),
                (Thing::Endpoints(cluster), Told::Workloads(workloads)) => {
                    actions.push(Action::SetEndpoints { cluster, workloads });
                }
                (Thing::Cluster(cluster), Told::Cluster(definition)) => {
                    let definition = definition.map(|one| self.define(cluster, &one, &name));
                    actions.push(Action::DefineCluster { cluster, definition });
                }
                (Thing::Routes(service), Told::Routes(routes)) => {
                    let route = self.route(service, *routes, &name);
                    actions.push(Action::SetRoutes { service, route });
                }
                (Thing::Settings(workload), Told::Settings(settings)) => {
                    actions.push(describe(workload, &settings));
                }
                (Thing::Filters(workload), Told::Filters(sent, received)) => {
                    let filters = mask(&self.plan, workload, &sent, &received);
                    actions.push(Action::SetFilters { workload, filters });
                }
                (Thing::Accepts(workload), Told::Accepts(mode)) => {
                    let same = accepts.entry(format!("{mode:?}"));
                    same.or_insert_with(|| (mode, Vec::new())).1.push(workload);
                }
                (Thing::Server(service), Told::Server(server)) => {
                    let server = Some(server);
                    actions.push(Action::SetServer { service, server, rate_limit: None });
                }
                (Thing::Limit(service), Told::Limit(limit)) => {
                    let rate_limit = Some(limit);
                    actions.push(Action::SetServer { service, server: None, rate_limit });
                }
                _ => {}
            }
        }
        for (_, (mode, workloads)) in accepts {
            actions.push(Action::PeerAuthentication { workloads, mode });
        }
        if !templates.is_empty() {
            actions.push(Action::SetTemplate(templates));
        }
        actions
    }

    /// A cluster that stands for another one: itself, one that an event has made before, or a new one.
    fn define(&mut self, cluster: ClusterId, definition: &Definition, event: &str) -> ClusterId {
        let made = self.made.get(&cluster).into_iter().flatten();
        let all = std::iter::once(&cluster).chain(made);
        let says = |one: &&ClusterId| Definition::of(&self.plan, **one) == *definition;
        if let Some(same) = all.copied().find(|one| says(&one)) {
            return same;
        }
        let Cluster { name, service, workloads, .. } =
            self.plan.universe.clusters[cluster.index()].clone();
        let new = ClusterId(id(self.plan.universe.clusters.len()));
        let policy = definition.policy.clone();
        let name = format!("{name} ({event})");
        self.plan.universe.clusters.push(Cluster { name, service, workloads, policy });
        if let Some(tls) = &definition.tls {
            self.plan.tls.clients.insert(new, tls.clone());
        }
        self.made.entry(cluster).or_default().push(new);
        new
    }

    /// A route table that says the same, made if there is none.
    fn route(&mut self, service: ServiceId, routes: Routes, event: &str) -> RouteId {
        let first = self.plan.universe.services[service.index()].route;
        if self.values[0].get(&Thing::Routes(service))
            == Some(&Told::Routes(Box::new(routes.clone())))
        {
            return first;
        }
        let Routes { mut table, copies, is_of_profile } = routes;
        let begin = self.plan.universe.routes.len();
        for rule in &mut table.rules {
            for Mirror { route, .. } in &mut rule.mirrors {
                *route = RouteId(id(begin + route.index()));
            }
        }
        self.plan.universe.routes.extend(copies);
        let route = RouteId(id(self.plan.universe.routes.len()));
        self.plan.universe.routes.push(RouteTable { name: event.to_owned(), ..table });
        if is_of_profile {
            self.plan.linkerd_rules.profiles.insert(route);
        }
        route
    }

    /// What stands for a cluster has its endpoints.
    fn list_endpoints_of_definitions(&mut self) {
        for Brought { place, .. } in &self.states.events {
            let Action::All(parts) = &mut self.plan.timeline[*place].action else { continue };
            let more: Vec<Action> = parts
                .iter()
                .filter_map(|part| match part {
                    Action::SetEndpoints { cluster, workloads } => {
                        Some((self.made.get(cluster)?, workloads))
                    }
                    _ => None,
                })
                .flat_map(|(made, workloads)| {
                    made.iter().map(|cluster| Action::SetEndpoints {
                        cluster: *cluster,
                        workloads: workloads.clone(),
                    })
                })
                .collect();
            parts.extend(more);
        }
    }

    /// What an event changes in the manifests and not in the run.
    fn warn(&self, context: &mut Context<'_>, begin: Begin, does_nothing: bool) {
        let event = &self.states.events[begin.event];
        let mut say = |what: String, hint: &str| match &event.object {
            Some(place) => {
                let problem = Problem::new(what).at(place.clone()).hint(hint);
                context.foreign.warnings.push(problem);
            }
            None => context.warn(Fault::new(event.at, what).hint(hint)),
        };
        if !event.changes {
            let what = format!("{}: nothing changes", event.label);
            return say(what, "each object says at that time what it says here");
        }
        let rests = rest::changes(
            (&self.plans[begin.from], &self.states.list[begin.from]),
            (&self.plans[begin.to], &self.states.list[begin.to]),
        );
        for what in &rests {
            let what = format!("{}: {what} changes, but not in this run", event.label);
            say(what, "it stays what it is at the start");
        }
        if does_nothing && rests.is_empty() {
            let what = format!("{}: nothing that is simulated changes", event.label);
            say(what, "the event is a mark on the plots");
        }
    }
}

/// Gives workloads the filters of all states, where these differ, and says which there are first.
fn unite_filters(plan: &mut Plan, values: &[Values]) {
    for (thing, first) in &values[0] {
        let (Thing::Filters(workload), Told::Filters(sent, received)) = (thing, first) else {
            continue;
        };
        let others = values.iter().filter_map(|one| one.get(thing)).filter(|one| *one != first);
        let mut is_changed = false;
        for other in others {
            let Told::Filters(sent, received) = other else { continue };
            let one = &mut plan.universe.workloads[workload.index()];
            filters::add(&mut one.filters, sent);
            filters::add(&mut one.inbound, received);
            is_changed = true;
        }
        if is_changed {
            let mask = mask(plan, *workload, sent, received);
            plan.first_filters.insert(*workload, mask);
        }
    }
}

fn mask(plan: &Plan, workload: WorkloadId, sent: &[Filter], received: &[Filter]) -> FilterMask {
    let one = &plan.universe.workloads[workload.index()];
    FilterMask {
        sent: filters::mask(&one.filters, sent),
        received: filters::mask(&one.inbound, received),
    }
}

fn describe(workload: WorkloadId, settings: &EndpointSettings) -> Action {
    Action::DescribeEndpoints {
        workloads: vec![workload],
        weight: Some(settings.weight),
        priority: Some(settings.priority),
        health: Some(settings.health),
    }
}
