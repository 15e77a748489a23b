//! Hosts: what they answer, from when to when.
//!
//! A host that refuses is an app that is down; one that is a black hole stands on a node of its own
//! whose links are cut. Another delay is a slower app, another status a share of errors of 1.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: what `gaps` lists; the sizes of bodies.

use super::super::schema::config::{Behaviour, Config, Host};
use super::super::schema::step::Verb;
use super::super::schema::words::HostKind;
use super::{Ids, bare_workload, event, ms, number};
use crate::kernel::distribution::Distribution;
use crate::kernel::time::Duration;
use crate::plan::timeline::{Action, PodSet, TimelineEvent};
use crate::plan::universe::{Errors, NodeId, Role, Step, Workload, WorkloadId};
use std::collections::BTreeMap;

/// How late the timer of a host is.
const LATE: Duration = Duration::from_us(1_200);

/// All hosts, and what happens to them.
pub(super) struct Hosts<'c> {
    pub(super) workloads: BTreeMap<&'c str, Workload>,
    pub(super) timeline: Vec<TimelineEvent>,
}

/// A stretch of time in which a host does one thing.
struct Stretch<'c> {
    from_s: f64,
    until_s: Option<f64>,
    /// None: it is stopped.
    behaviour: Option<&'c Behaviour>,
}

/// Hosts that are a black hole at some time, in name order.
pub(super) fn cut_off(config: &Config) -> Vec<&str> {
    let is_cut = |host: &&Host| {
        stretches(config, host)
            .iter()
            .any(|one| one.behaviour.is_some_and(|behaviour| behaviour.kind == HostKind::Blackhole))
    };
    let mut names: Vec<&str> =
        config.hosts.iter().filter(is_cut).map(|host| host.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Lowers all hosts.
pub(super) fn hosts<'c>(config: &'c Config, ids: &Ids) -> Hosts<'c> {
    let cut_off = cut_off(config);
    let (mut workloads, mut timeline) = (BTreeMap::new(), Vec::new());
    for host in &config.hosts {
        let stretches = stretches(config, host);
        let answers: Vec<&Behaviour> =
            stretches.iter().filter_map(|one| one.behaviour.filter(|one| answers(one))).collect();
        let longest = answers.iter().map(|one| delay_ms(one)).fold(0.0, f64::max);
        let mut workload = bare_workload(&host.name, Role::App);
        workload.program = vec![Step::Work(Distribution::Constant(work(longest)))];
        if let Some(first) = answers.first() {
            workload.errors = errors(first);
        }
        let node = cut_off.iter().position(|name| *name == host.name);
        let node = NodeId(node.map_or(0, |place| number(place) + 1));
        workload.nodes = vec![node].into();
        let all = All { id: ids.workload(&host.name), node, longest, usual: workload.errors };
        for stretch in &stretches {
            all.events(&host.name, stretch, &mut timeline);
        }
        workloads.insert(host.name.as_str(), workload);
    }
    Hosts { workloads, timeline }
}

/// What a host's stretches have in common.
struct All {
    id: WorkloadId,
    node: NodeId,
    longest: f64,
    usual: Errors,
}

impl All {
    fn events(&self, name: &str, stretch: &Stretch<'_>, timeline: &mut Vec<TimelineEvent>) {
        let workloads = || vec![self.id];
        let mut actions: Vec<(&str, Action)> = Vec::new();
        match stretch.behaviour {
            Some(behaviour) if answers(behaviour) => {
                let delay = delay_ms(behaviour);
                if delay < self.longest {
                    let factor = work(delay).as_s() / work(self.longest).as_s();
                    actions.push(("delay", Action::SlowApps { workloads: workloads(), factor }));
                }
                let errors = errors(behaviour);
                if errors != self.usual {
                    let Errors { share, status } = errors;
                    let action = Action::AppErrors { workloads: workloads(), share, status };
                    actions.push(("status", action));
                }
            }
            Some(behaviour) if behaviour.kind == HostKind::Blackhole => {
                let (from, to) = (vec![NodeId(0)], vec![self.node]);
                actions.push(("black hole", Action::CutLinks { from, to, both: true }));
            }
            _ => actions.push(("refuses", Action::FailApps(PodSet::One(self.id, 0)))),
        }
        let lasts = stretch.until_s.map(|until| Duration::from_s_f64(until - stretch.from_s));
        for (what, action) in actions {
            let id = format!("{name} {what} from {} s", stretch.from_s);
            timeline.push(event(id, stretch.from_s, lasts, action));
        }
    }
}

/// What a host does, stretch by stretch.
fn stretches<'c>(config: &'c Config, host: &'c Host) -> Vec<Stretch<'c>> {
    let mut behaviour = &host.behaviour;
    let mut stretches = vec![Stretch { from_s: 0.0, until_s: None, behaviour: Some(behaviour) }];
    for step in config.steps.iter().filter(|step| step.target == host.name) {
        let next = match &step.verb {
            Verb::HostStop(_) => None,
            Verb::HostStart => Some(behaviour),
            Verb::HostBehaviour(new) => {
                behaviour = new;
                Some(behaviour)
            }
            _ => continue,
        };
        if let Some(last) = stretches.last_mut() {
            last.until_s = Some(step.at_s);
        }
        stretches.push(Stretch { from_s: step.at_s, until_s: None, behaviour: next });
    }
    stretches
}

fn answers(behaviour: &Behaviour) -> bool {
    behaviour.kind == HostKind::Respond
}

/// The time until an answer. The measured hosts slept by timers of whole milliseconds, which fire
/// late: 20 ms took 21.1 to 21.4 (families e04 and e10, what a queue of one admits at 60, 100 and 200 rps), 50 ms
/// took 51 (family e12).
fn work(delay_ms: f64) -> Duration {
    if 0.0 < delay_ms { ms(delay_ms) + LATE } else { Duration::ZERO }
}

fn delay_ms(behaviour: &Behaviour) -> f64 {
    behaviour.delay_ms.unwrap_or(0.0)
}

/// Statuses other than 200 are errors: a share of the answers, or all of them.
fn errors(behaviour: &Behaviour) -> Errors {
    let status = behaviour.status.unwrap_or(200);
    match behaviour.error_p {
        Some(share) if 0.0 < share => {
            Errors { share, status: behaviour.error_status.unwrap_or(500) }
        }
        _ if status != 200 => Errors { share: 1.0, status },
        _ => Errors { share: 0.0, status: 500 },
    }
}
