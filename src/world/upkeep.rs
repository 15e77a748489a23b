//! Events that a mesh has without a request, before a run: certificates renewed, streams that come
//! back, pods replaced and told of, endpoints checked, gauges read.
//!
//! A certificate's renewal is two events; an outage of the authority leaves one failed try of each
//! certificate that comes due, and its expiry if it lasts that long. A stream that comes back is
//! asked for, admitted and pushed to; those that a replica refuses try again after their back-off.
//!
//! Source: `world::{renewal, streams, pods, timeline}` for what is scheduled.
//! Left out: streams that end of age because replicas are no longer alike, replicas that are killed or
//! autoscaled, full pushes; how pushes merge in a queue; networks that are cut; conditions that are never met.

use super::ages::{age_law, has_room};
use super::checks::checked_by;
use super::timeline::gauge_period;
use crate::kernel::time::{Duration, Time};
use crate::model::control::slots::auto_slots;
use crate::plan::assertion::Assertion;
use crate::plan::timeline::{Action, ControlPart, TimelineEvent, Trigger};
use crate::plan::universe::{ClusterId, Role, Workload, WorkloadId};
use crate::plan::{Plan, Start};

/// Of a pod with a proxy that is replaced: created, started, ready, its certificate, its stream
/// (two) and first push, told of twice; SIGTERM and the end of the old one.
const EVENTS_PER_POD: f64 = 11.0;
/// Of one without.
const EVENTS_PER_PLAIN_POD: f64 = 6.0;
/// Pushes to all proxies that changes of one moment make, at the most: pods are found ready within
/// a second, and a push waits for some quiet.
const PUSHES_MAX: f64 = 5.0;
/// Of a stream that ended of age: it ends, is asked for, admitted, pushed to.
const EVENTS_PER_AGED_STREAM: f64 = 4.0;
/// Of an event that repeats, what is looked at.
const TIMES_MAX: u32 = 1_000;

/// Away from, until, in seconds; the share of the replicas.
struct Outage {
    from_s: f64,
    to_s: f64,
    share: f64,
}

/// The events of a run without those of requests and connections.
pub(super) fn events(plan: &Plan) -> f64 {
    let istiod = &plan.parameters.istiod;
    let has_control = plan.has_mesh() && istiod.present && 0 < istiod.replicas;
    let proxies = if has_control { proxies(plan) } else { 0.0 };
    let control = if has_control {
        proxies * renewals(plan)
            + streams(plan, proxies)
            + EVENTS_PER_AGED_STREAM * aged_streams(plan)
    } else {
        0.0
    };
    readings(plan) + control + changes(plan, proxies) + cuts(plan) + checks(plan)
}

/// Begins and ends of events.
pub(super) fn cuts(plan: &Plan) -> f64 {
    let of = |event: &TimelineEvent| {
        let ends = if event.lasts.is_some() { 2.0 } else { 1.0 };
        ends * times(plan, event) as f64
    };
    plan.timeline.iter().map(of).sum()
}

/// Begins and ends of active health checks, of clusters with traffic.
fn checks(plan: &Plan) -> f64 {
    let universe = &plan.universe;
    let replicas = |id: &WorkloadId| f64::from(universe.workloads[id.index()].replicas);
    let of = |id: &ClusterId| {
        let cluster = &universe.clusters[id.index()];
        let check = cluster.policy.health_check.as_ref()?;
        let wait_s = check.interval.as_s() + check.interval_jitter.as_s() / 2.0;
        let endpoints: f64 = cluster.workloads.iter().map(replicas).sum();
        Some(2.0 * endpoints * plan.duration.as_s() / wait_s.max(1e-3))
    };
    let by = universe.workloads.iter().zip(checked_by(plan));
    let by = by.filter(|(one, _)| one.meshed && plan.has_mesh() || one.role != Role::App);
    by.map(|(one, clusters)| f64::from(one.replicas) * clusters.iter().filter_map(of).sum::<f64>())
        .sum()
}

/// How often an event begins.
pub(super) fn times(plan: &Plan, event: &TimelineEvent) -> u64 {
    match event.trigger {
        Trigger::At { first, every: Some(every), times } => {
            let left = (Time::ZERO + plan.duration).saturating_since(first);
            u64::from(times).min(left.ns().div_ceil(every.ns().max(1)))
        }
        Trigger::At { .. } | Trigger::When { .. } => 1,
    }
}

/// Pods with a proxy.
fn proxies(plan: &Plan) -> f64 {
    let meshed = plan.universe.workloads.iter().filter(|one| one.meshed);
    meshed.map(|one| f64::from(one.replicas)).sum()
}

/// Rows and readings of gauges.
fn readings(plan: &Plan) -> f64 {
    let per = |period: Duration| plan.duration.as_s() / period.as_s().max(1e-9);
    let reads = |one: &Assertion| one.expect.metric.gauge().is_some();
    let gauges = plan.assertions.iter().any(reads);
    per(plan.interval) + if gauges { per(gauge_period(plan.duration)) } else { 0.0 }
}

/// When an event begins, in seconds.
fn begins(plan: &Plan, event: &TimelineEvent) -> Vec<f64> {
    let (first, every, times) = match &event.trigger {
        Trigger::At { first, every, times } => (*first, *every, *times),
        Trigger::When { not_before, .. } => (*not_before, None, 1),
    };
    let times = if every.is_some() { times.min(TIMES_MAX) } else { 1 };
    let every_s = every.map_or(0.0, Duration::as_s);
    let all = (0..times).map(|n| first.as_s() + f64::from(n) * every_s);
    all.take_while(|at| *at < plan.duration.as_s()).collect()
}

/// When a part of istiod is away, in order.
fn outages(plan: &Plan, wanted: ControlPart) -> Vec<Outage> {
    let end_s = plan.duration.as_s();
    let mut outages = Vec::new();
    for event in &plan.timeline {
        let Action::FailControlPlane { part, share } = event.action else { continue };
        if part == ControlPart::All || part == wanted {
            let lasts_s = event.lasts.map_or(end_s, Duration::as_s);
            let of = |from_s: f64| Outage { from_s, to_s: (from_s + lasts_s).min(end_s), share };
            outages.extend(begins(plan, event).into_iter().map(of));
        }
    }
    outages.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
    outages
}

/// Events of one certificate and those after it.
fn renewals(plan: &Plan) -> f64 {
    let cert = &plan.parameters.cert;
    let life_s = cert.ttl.as_s();
    let until_renewal_s = (life_s * (1.0 - cert.grace_ratio)).max(1e-9);
    let left_s = life_s - until_renewal_s;
    let end_s = plan.duration.as_s();
    // An authority that is past its end signs no more.
    let signed_s = plan.signer_end().map_or(end_s, |end| end_s.min(end.as_s()));
    let (mut events, mut from_s) = (0.0, 0.0);
    // The share of certificates that were issued at `from_s`; the others have any age.
    let mut new = if plan.start == Start::Cold { 1.0 } else { 0.0 };
    let between = |new: f64, from_s: f64, to_s: f64| {
        let lives = (to_s - from_s).max(0.0) / until_renewal_s;
        2.0 * (new * libm::floor(lives) + (1.0 - new) * lives)
    };
    for outage in outages(plan, ControlPart::Ca).iter().filter(|one| 1.0 <= one.share) {
        let (away_s, back_s) = (outage.from_s.clamp(from_s, signed_s), outage.to_s.min(signed_s));
        if back_s <= away_s {
            continue;
        }
        events += between(new, from_s, away_s);
        let due = ((back_s - away_s) / until_renewal_s).min(1.0);
        let expired = ((back_s - away_s - left_s) / until_renewal_s).clamp(0.0, 1.0);
        let renewed = if back_s < end_s { 2.0 * due } else { 0.0 };
        events += due + expired + renewed;
        (from_s, new) = (back_s, due);
    }
    let refused = ((end_s - signed_s) / until_renewal_s).min(1.0);
    events + between(new, from_s, signed_s) + 2.0 * refused
}

/// Streams that end of age and come back one by one, since the replicas have no room to park them.
pub(super) fn aged_streams(plan: &Plan) -> f64 {
    let (parameters, proxies) = (&plan.parameters, proxies(plan));
    let replicas = f64::from(parameters.istiod.replicas);
    let law = age_law(parameters).filter(|_| plan.has_mesh() && parameters.istiod.present);
    let crowded = law.filter(|law| !has_room(parameters, law, proxies, replicas));
    crowded.map_or(0.0, |law| proxies * plan.duration.as_s() / law.mean_s())
}

/// Events of the streams that outages take away.
fn streams(plan: &Plan, proxies: f64) -> f64 {
    let (istiod, xds) = (&plan.parameters.istiod, &plan.parameters.xds);
    let replicas = f64::from(istiod.replicas);
    let rate = f64::from(auto_slots(xds.stream_rate, istiod.cpu));
    // Full jitter: half of the longest interval on average.
    let back_off_s = (plan.parameters.envoy_stream_backoff.max.as_s() / 2.0).max(1e-3);
    let of = |outage: Outage| {
        let away = libm::ceil(replicas * outage.share).min(replicas);
        let is_back = outage.to_s < plan.duration.as_s();
        let serving = if away < replicas { replicas - away } else { replicas };
        if replicas <= away && !is_back {
            return 0.0;
        }
        let lost = proxies * away / replicas;
        let wait_s = lost / (serving * rate) / 2.0;
        lost * (3.0 + wait_s / back_off_s)
    };
    outages(plan, ControlPart::Xds).into_iter().map(of).sum()
}

/// Events of pods that come and go, and of telling everybody.
fn changes(plan: &Plan, proxies: f64) -> f64 {
    let workload = |id: &WorkloadId| &plan.universe.workloads[id.index()];
    let replicas = |one: &Workload| f64::from(one.replicas);
    let mut events = 0.0;
    let parts =
        plan.timeline.iter().flat_map(|event| event.actions().iter().map(move |one| (event, one)));
    for (event, action) in parts {
        // Pods, and waves of them.
        let (pods, waves) = match action {
            Action::Rollout(ids) | Action::SetTemplate(ids) => {
                let waves = |one: &Workload| {
                    let at_once = one.rollout.max_surge + one.rollout.max_unavailable;
                    libm::ceil(1.0 / at_once.max(1e-3)).min(replicas(one))
                };
                let most = ids.iter().map(|id| waves(workload(id))).fold(1.0, f64::max);
                (ids.iter().map(|id| replicas(workload(id))).sum::<f64>(), most)
            }
            Action::Scale { workload: id, replicas: wanted } => {
                ((f64::from(*wanted) - replicas(workload(id))).abs(), 1.0)
            }
            _ => continue,
        };
        let (own, told) = match proxies {
            0.0 => (EVENTS_PER_PLAIN_POD, 0.0),
            // Of those that leave, and of those that are ready.
            _ => (EVENTS_PER_POD, 2.0 * waves * (pods / waves).min(PUSHES_MAX)),
        };
        events += times(plan, event) as f64 * (pods * own + proxies * told);
    }
    events
}
