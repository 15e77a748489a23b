//! An endpoint for a try: chosen by the balancer, made at its first use.
//!
//! Source: Envoy's load balancers and retry host predicates; `model::proxy::balancer`.
//! Left out: endpoints that are not all alike: `balance`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::balance::Known;
use super::client::purpose;
use super::config::Config;
use super::memory::Memory;
use super::routing::rule;
use super::state::{Attempt, Call, Connection, Host, NONE, Upstream};
use crate::kernel::slab::Id;
use crate::kernel::stream::Draws;
use crate::kernel::time::Time;
use crate::model::proxy::balancer;
use crate::model::proxy::outlier::Health;
use crate::model::proxy::pool::Pool;
use crate::plan::Plan;

/// An endpoint's state, at its first use: it is the nth of all, or of those not left out.
#[cold]
pub(super) fn make_host(
    config: &mut Config,
    memory: &mut Memory,
    upstream: &mut Upstream,
    all: bool,
    nth: usize,
) -> u32 {
    let place = if all { nth } else { upstream.place_of_usable(nth) };
    let pod = config.endpoints(upstream.cluster, upstream.version)[place];
    let host = Host {
        pod,
        is_member: true,
        is_left_out: false,
        active: 0,
        health: Health::default(),
        pools: upstream.turns.iter().map(|_| Pool::default()).collect(),
    };
    let slot = if let Some(slot) = upstream.free_hosts.pop() {
        upstream.hosts[slot as usize] = host;
        slot
    } else {
        upstream.hosts.push(host);
        u32::try_from(upstream.hosts.len() - 1).expect("few endpoints")
    };
    upstream.members[place] = slot;
    let pools = upstream.turns.len() * size_of::<Pool<Id<Connection>, Id<Attempt>>>();
    memory.grow(size_of::<Host>() + pools);
    if upstream.left_out != 0 {
        upstream.list_usable();
    }
    slot
}

/// What the balancer chose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pick {
    /// This endpoint.
    Host(u32),
    /// One that was never used: the nth of all, or of those not left out.
    New { all: bool, nth: usize },
    /// There is none.
    None,
}

impl Upstream<'_> {
    /// Whether a call has tried an endpoint, by its host slot.
    fn has_tried(&self, call: &Call, host: u32) -> bool {
        call.tried.contains(&host)
            || self.tried_before.get(&call.key.0).is_some_and(|before| before.contains(&host))
    }

    /// A call goes on to one more endpoint than it remembers.
    #[cold]
    pub(super) fn remember_try(&mut self, call: &Call, host: u32) {
        self.tried_before.entry(call.key.0).or_default().push(host);
    }
}

/// An endpoint for a call's try `number` (from 0), by the balancer; a retry keeps away from those
/// already tried, if the policy says so.
#[inline(always)]
pub(super) fn pick_endpoint(
    plan: &Plan,
    now: Time,
    call: &Call,
    upstream: &mut Upstream,
    number: u16,
    draws: Draws,
) -> Pick {
    match pick(plan, now, call, upstream, draws, 0) {
        Pick::Host(host) if number != 0 && upstream.has_tried(call, host) => {
            pick_another(plan, now, call, upstream, draws, host)
        }
        first => first,
    }
}

/// Further picks for a retry whose first pick was tried already: the last, if all were.
#[cold]
fn pick_another(
    plan: &Plan,
    now: Time,
    call: &Call,
    upstream: &mut Upstream,
    draws: Draws,
    first: u32,
) -> Pick {
    let retry = &rule(plan, call).retry;
    let more = if retry.previous_hosts { retry.host_attempts } else { 0 };
    let mut last = Pick::Host(first);
    for turn in 1..=more {
        last = pick(plan, now, call, upstream, draws, turn);
        if !matches!(last, Pick::Host(host) if upstream.has_tried(call, host)) {
            break;
        }
    }
    last
}

#[inline(always)]
fn pick(
    plan: &Plan,
    now: Time,
    call: &Call,
    upstream: &mut Upstream,
    draws: Draws,
    turn: u32,
) -> Pick {
    if !upstream.is_plain {
        return pick_uneven(plan, now, call, upstream, draws, turn);
    }
    let candidates = &upstream.members;
    if candidates.is_empty() {
        return Pick::None;
    }
    let draw = draws.draw(purpose::ENDPOINT + turn);
    let place = &mut upstream.turns[call.worker as usize];
    let balancer = upstream.policy.balancer;
    let nth = balancer::pick(balancer, candidates.len(), place, draw, |nth| {
        // One that was never used has nothing to do.
        upstream.hosts.get(candidates[nth] as usize).map_or(0, |host| host.active)
    });
    match candidates[nth] {
        NONE => Pick::New { all: true, nth },
        host => Pick::Host(host),
    }
}

/// Somebody is left out, or endpoints are not all alike.
#[cold]
#[inline(never)]
fn pick_uneven(
    plan: &Plan,
    now: Time,
    call: &Call,
    upstream: &mut Upstream,
    draws: Draws,
    turn: u32,
) -> Pick {
    let policy = upstream.policy;
    let Upstream { hosts, members, usable, left_out, turns, balance, tried_before, panics, .. } =
        upstream;
    let active = |slot: u32| hosts.get(slot as usize).map_or(0, |host| host.active);
    if let Some(balance) = balance {
        let active = |place: usize| active(members[place]);
        let known = Known { members, tried_before };
        let picked = balance.pick(plan, now, call, (draws, turn), known, active);
        *panics += u32::from(picked.is_some_and(|nth| balance.panics(nth)));
        return match picked {
            None => Pick::None,
            Some(nth) if members[nth] == NONE => Pick::New { all: true, nth },
            Some(nth) => Pick::Host(members[nth]),
        };
    }
    let count = members.len() - *left_out as usize;
    // Enough are there if 1.4 times their share is all of the load.
    let is_panic = 140 * count < 100 * members.len()
        && (count as f64) < policy.panic_threshold * members.len() as f64;
    *panics += u32::from(is_panic);
    let all = is_panic || count == members.len();
    let candidates = if all { members } else { usable };
    if candidates.is_empty() {
        return Pick::None;
    }
    let draw = draws.draw(purpose::ENDPOINT + turn);
    let place = &mut turns[call.worker as usize];
    let nth = balancer::pick(policy.balancer, candidates.len(), place, draw, |nth| {
        active(candidates[nth])
    });
    match candidates[nth] {
        NONE => Pick::New { all, nth },
        host => Pick::Host(host),
    }
}
