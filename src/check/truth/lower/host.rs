//! Hosts: what they answer, from when to when.
//!
//! A host that is stopped is an app that is down. Another status than 200 is a share of errors of 1,
//! or, beside a share of errors, the status of the other answers.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: what `gaps` lists; the sizes of bodies.

use super::super::schema::config::{Behaviour, Config, Host};
use super::super::schema::step::Verb;
use super::super::schema::words::HostKind;
use super::{Ids, bare_workload, endpoint, event, ms};
use crate::kernel::distribution::Distribution;
use crate::kernel::time::Duration;
use crate::plan::behaviour::{Behaviour as Plan, Port, Reply};
use crate::plan::health_check::CheckReply;
use crate::plan::timeline::{Action, PodSet, TimelineEvent};
use crate::plan::universe::{Errors, Role, Step, Workload};
use std::collections::BTreeMap;

/// How late the timer of a host is at most.
const LATE_MAX_MS: f64 = 1.2;

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
    /// Not what it does at first.
    is_change: bool,
}

/// Lowers all hosts.
pub(super) fn hosts<'c>(config: &'c Config, ids: &Ids) -> Hosts<'c> {
    let (mut workloads, mut timeline) = (BTreeMap::new(), Vec::new());
    for host in &config.hosts {
        let mut workload = bare_workload(&host.name, Role::App);
        let first = &host.behaviour;
        workload.program = vec![Step::Work(Distribution::Constant(sleep(delay_ms(first))))];
        (workload.errors, workload.behaviour) = (errors(first), behaviour(first));
        let connect_delay = endpoint::connect_delay(config, &host.name);
        workload.behaviour.connect_delay = connect_delay;
        workloads.insert(host.name.as_str(), workload);
        for stretch in stretches(config, host).iter().filter(|one| one.is_change) {
            let id = ids.workload(&host.name);
            let action = match stretch.behaviour {
                Some(new) => Action::Behave {
                    workloads: vec![id],
                    behaviour: Plan { connect_delay, ..behaviour(new) },
                    errors: Some(errors(new)),
                    work: Some(sleep(delay_ms(new))),
                },
                None => Action::FailApps(PodSet::One(id, 0)),
            };
            let lasts = stretch.until_s.map(|until| Duration::from_s_f64(until - stretch.from_s));
            let name = format!("{} from {} s", host.name, stretch.from_s);
            timeline.push(event(name, stretch.from_s, lasts, action));
        }
    }
    Hosts { workloads, timeline }
}

/// What a host does, stretch by stretch.
fn stretches<'c>(config: &'c Config, host: &'c Host) -> Vec<Stretch<'c>> {
    let mut behaviour = &host.behaviour;
    let first =
        Stretch { from_s: 0.0, until_s: None, behaviour: Some(behaviour), is_change: false };
    let mut stretches = vec![first];
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
        let is_change = next.is_none_or(|next| *next != host.behaviour);
        stretches.push(Stretch { from_s: step.at_s, until_s: None, behaviour: next, is_change });
    }
    stretches
}

/// How a host's port, answers and connections behave.
fn behaviour(host: &Behaviour) -> Plan {
    let later = ms(host.body_delay_ms.unwrap_or(0.0));
    let (port, reply) = match host.kind {
        HostKind::Respond | HostKind::RespondAndClose => (Port::Listens, Reply::Whole),
        HostKind::SlowBody => (Port::Listens, Reply::SlowBody(later)),
        HostKind::HeadersThenReset => (Port::Listens, Reply::HeadersThenReset(later)),
        HostKind::ResetBeforeHeaders | HostKind::FinBeforeHeaders => (Port::Listens, Reply::Closes),
        HostKind::Hang => (Port::Listens, Reply::Never),
        HostKind::Refuse => (Port::Refuses, Reply::Whole),
        HostKind::Blackhole => (Port::Swallows, Reply::Whole),
    };
    let closes = host.kind == HostKind::RespondAndClose;
    let check = CheckReply {
        status: host.health_check_status,
        delay: host.health_check_delay_ms.map(sleep),
    };
    Plan {
        port,
        reply,
        has_body: host.body_bytes.is_some_and(|bytes| bytes != 0),
        closes,
        idle_close: ms(host.idle_close_ms.unwrap_or(0.0)),
        check: (check != CheckReply::default()).then_some(check),
        // Without a share of errors another status is that of all answers.
        status: host.status.filter(|status| *status != 200 && 0.0 < error_share(host)),
        ..Plan::default()
    }
}

/// How long a sleep takes. Hosts and clients slept by timers of whole milliseconds, which fire
/// late: 20 ms took 21.1 to 21.4 (families e04 and e10, what a queue of one admits at 60, 100 and 200 rps), 50 ms
/// took 51 (family e12). Short sleeps were not as late: 1, 2 and 5 ms ended within the next millisecond, proxy
/// and all, in 96 of 100 requests (families e04, e07 and e09), 10 ms took 10.8.
pub(super) fn sleep(delay_ms: f64) -> Duration {
    if 0.0 < delay_ms {
        ms(delay_ms + (0.4 + 0.04 * delay_ms).min(LATE_MAX_MS))
    } else {
        Duration::ZERO
    }
}

fn delay_ms(behaviour: &Behaviour) -> f64 {
    behaviour.delay_ms.unwrap_or(0.0)
}

fn error_share(behaviour: &Behaviour) -> f64 {
    behaviour.error_p.unwrap_or(0.0)
}

/// Statuses other than 200 are errors: a share of the answers, or all of them.
fn errors(behaviour: &Behaviour) -> Errors {
    let status = behaviour.status.unwrap_or(200);
    match error_share(behaviour) {
        share if 0.0 < share => {
            Errors { share, status: behaviour.error_status.unwrap_or(500).into() }
        }
        _ if status != 200 => Errors { share: 1.0, status: status.into() },
        _ => Errors { share: 0.0, status: 500.into() },
    }
}
