//! Steps that change proxies and what they are told; those that change hosts stand in `host`, those that
//! change clusters and their endpoints in `discovery`.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: what `gaps` lists.

use super::super::schema::config::Config;
use super::super::schema::step::{Step, Verb};
use super::{Ids, endpoint, event, number, route, tls};
use crate::kernel::time::Duration;
use crate::plan::timeline::{Action, DrainStrategy, Listening, PodSet, TimelineEvent};
use crate::plan::universe::{RouteId, ServiceId, Universe};

/// The timeline of all steps; new route tables go into the universe.
pub(super) fn timeline(config: &Config, ids: &Ids, universe: &mut Universe) -> Vec<TimelineEvent> {
    let mut events = Vec::new();
    let differing = endpoint::differing(config);
    for (index, step) in config.steps.iter().enumerate() {
        let mut add = |lasts: Option<Duration>, action: Action| {
            let id = format!("step {index}: {} {}", step.word, step.target);
            events.push(event(id, step.at_s, lasts, action));
        };
        match &step.verb {
            Verb::EdsSetHealth(endpoints) => {
                // Of those that differ, `discovery` tells it.
                let same = endpoints.iter().filter(|one| !differing.contains(one.host.as_str()));
                for one in same {
                    let said = endpoint::of(one);
                    add(
                        None,
                        Action::DescribeEndpoints {
                            workloads: vec![ids.workload(&one.host)],
                            weight: one.weight,
                            priority: one.priority,
                            health: Some(said.health),
                        },
                    );
                }
            }
            Verb::RdsSwitch(routes) => {
                let Some(proxy) = config.proxies.iter().find(|one| one.name == config.entry) else {
                    continue;
                };
                let table = route::table(proxy, routes, ids, &universe.classes);
                universe.routes.push(table);
                let route = RouteId(number(universe.routes.len() - 1));
                let service = ids.services.get(&config.entry).copied().unwrap_or(ServiceId(0));
                add(None, Action::SetRoutes { service, route });
            }
            Verb::LdsUpdate(_) | Verb::LdsRemove => {
                if let Some(action) = listener(config, ids, universe, &step.verb) {
                    add(None, action);
                }
            }
            Verb::ProxyDrain | Verb::ProxyHealthcheckFail => {
                let pods = PodSet::One(ids.workload(&step.target), 0);
                let is_drain = matches!(step.verb, Verb::ProxyDrain);
                let drain = is_drain.then(|| drain_time(config, &step.target));
                let strategy = DrainStrategy::Gradual;
                add(None, Action::DrainProxies { pods, drain, strategy });
            }
            Verb::ProxyFreeze => {
                let resumed = config.steps[index..].iter().find(|later| resumes(later, step));
                let frozen = resumed.map(|later| Duration::from_s_f64(later.at_s - step.at_s));
                let pods = PodSet::One(ids.workload(&step.target), 0);
                add(frozen, Action::FreezePods(pods));
            }
            // Without a drain, SIGTERM ends it as fast as SIGKILL does. The entry is no endpoint: it goes as
            // the pod of a gateway does, with the connections of its clients.
            Verb::ProxyKill | Verb::ProxySigterm => {
                let pods = PodSet::One(ids.workload(&step.target), 0);
                let is_entry = step.target == config.entry;
                add(None, if is_entry { Action::FailPods(pods) } else { Action::FailApps(pods) });
            }
            Verb::CertRotate { .. } => {
                if let Some(action) = tls::rotation(config, ids, step) {
                    add(None, action);
                }
            }
            // An invalid update changes nothing; the others are hosts', ends or gaps.
            _ => {}
        }
    }
    events
}

/// What LDS does to the listener of the entry.
fn listener(config: &Config, ids: &Ids, universe: &mut Universe, verb: &Verb) -> Option<Action> {
    let proxy = config.proxies.iter().find(|one| one.name == config.entry)?;
    let listening = match verb {
        Verb::LdsUpdate(routes) => {
            universe.routes.push(route::table(proxy, routes, ids, &universe.classes));
            Listening::Routes(RouteId(number(universe.routes.len() - 1)))
        }
        _ => Listening::Gone,
    };
    let drain = drain_time(config, &proxy.name);
    let (workload, strategy) = (ids.workload(&proxy.name), DrainStrategy::Gradual);
    Some(Action::SetListener { workload, listening, drain, strategy })
}

/// How long a proxy drains: Envoy's `--drain-time-s` is 600 by default.
fn drain_time(config: &Config, proxy: &str) -> Duration {
    let proxy = config.proxies.iter().find(|one| one.name == proxy);
    Duration::from_s_f64(proxy.and_then(|one| one.drain_time_s).unwrap_or(600.0))
}

fn resumes(later: &Step, freeze: &Step) -> bool {
    matches!(later.verb, Verb::ProxyResume) && later.target == freeze.target
}
