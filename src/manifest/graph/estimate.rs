//! Numbers out of visits: how long services work, whom they call with which probability, how they fail.
//!
//! Work is lognormal by its median and 99 % quantile where there are enough spans, else constant. The k-th
//! call of a request to one service by one method and path is a call of its own; its probability is the
//! share of the caller's requests that make it. It is parallel if it overlaps another one in most requests
//! that have both. A failure is the service's own if no call of it failed; a call is not required if its
//! caller mostly succeeds without it.
//! Source: nearest-rank quantiles; the definitions above.
//! Left out: sampling of traces (rates are those of the traces in the file); work between calls (it is all
//! before the first); dependence of calls on each other.

use super::span::{Kind, NONE, Spans};
use super::visit::{Begin, Made, Visit};
use super::visits::Visits;
use super::{Call, Entry, Errors, Graph, Mode, Said, Work, decimal, rate_text};
use crate::manifest::draft::value::Origin;
use std::collections::{BTreeMap, BTreeSet};

/// From so many spans on their quantiles are taken.
const SAMPLES_MIN: usize = 20;
/// Requests beyond which a rate is taken from the time between them.
const REQUESTS_MIN: u64 = 10;
/// Paths of one service that are told apart for one caller; more are taken for one with changing parts.
const PATHS_MAX: usize = 8;
/// Calls to one service of one request that are told apart.
const CALLS_MAX: u32 = 32;
/// From so many failed calls on it counts how their caller fared.
const FAILURES_MIN: u64 = 3;
/// Overlaps of less than this in ns are the clock's.
const OVERLAP_NS: u64 = 1_000;

/// Which call of a request: to whom, by which method and path, and the how-many-th.
type Slot = (u32, u32, u32, u32);

#[derive(Default)]
struct OfService {
    samples: Vec<u64>,
    requests: u64,
    failures: u64,
    statuses: BTreeMap<u16, u64>,
    slots: BTreeMap<Slot, OfSlot>,
    is_gateway: bool,
    /// What callers saw, where nobody saw the service itself.
    seen: Vec<u64>,
    beyond: u64,
}

#[derive(Default)]
struct OfSlot {
    count: u64,
    /// Requests in which there was another call, and in which they overlapped.
    beside: u64,
    overlapped: u64,
    start_ns: u128,
    end_ns: u128,
    failed: u64,
    passed_over: u64,
}

/// Paths by caller and callee, as far as they are few.
type Paths = BTreeMap<(u32, u32), BTreeSet<(u32, u32)>>;

/// Where requests come in: from whom, to whom, method, path.
type Door = (u32, u32, u32, u32);

/// The graph that visits show.
pub fn graph(name: &str, spans: &Spans, visits: &Visits) -> Graph {
    let mut all: BTreeMap<u32, OfService> = BTreeMap::new();
    let mut doors: BTreeMap<Door, u64> = BTreeMap::new();
    let paths = paths(visits);
    let mut covered = (u64::MAX, 0);
    for visit in &visits.list {
        let calls = &visits.calls[visit.calls.clone()];
        let node = all.entry(visit.service).or_default();
        node.is_gateway |= visit.is_gateway;
        if let Some(own_ns) = visit.own_ns {
            node.visit(visit, own_ns, calls, &paths);
        }
        for call in calls.iter().filter(|call| call.is_one_sided) {
            let seen = &mut all.entry(call.to).or_default().seen;
            seen.push(call.end_ns.saturating_sub(call.start_ns));
        }
        if visit.begin == Begin::Root || visit.begin == Begin::Message {
            covered = (covered.0.min(visit.start_ns), covered.1.max(visit.start_ns));
            for door in doors_of(visit, calls, &paths) {
                *doors.entry(door).or_default() += 1;
            }
        }
    }
    let mut graph = Graph { name: name.to_owned(), ..Graph::default() };
    let called = |number: u32| spans.services.get(number).unwrap_or("?").to_owned();
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    for (number, node) in &mut all {
        node.tell(&mut graph, &called(*number), file, spans);
    }
    entries(&mut graph, &doors, covered, file, spans);
    notes(&mut graph, spans, visits);
    for (number, node) in all.iter().filter(|(_, node)| 0 < node.beyond) {
        let from = called(*number);
        let what =
            format!("`{from}` made {} calls beyond the {CALLS_MAX}th to one service", node.beyond);
        graph.note(what, "these are left out");
    }
    graph
}

fn paths(visits: &Visits) -> Paths {
    let mut paths = Paths::new();
    let mut add = |from: u32, to: u32, method: u32, path: u32| {
        let known = paths.entry((from, to)).or_default();
        if known.len() <= PATHS_MAX {
            known.insert((method, path));
        }
    };
    for visit in &visits.list {
        for call in &visits.calls[visit.calls.clone()] {
            add(visit.service, call.to, call.method, call.path);
        }
        if visit.begin == Begin::Root {
            add(NONE, visit.service, visit.method, visit.path);
        }
    }
    paths
}

/// Method and path as they are told apart: if there are many, the first stands for all.
fn shown(paths: &Paths, from: u32, to: u32, method: u32, path: u32) -> (u32, u32) {
    match paths.get(&(from, to)) {
        Some(known) if PATHS_MAX < known.len() => known
            .iter()
            .find(|one| one.0 == method)
            .or(known.first())
            .copied()
            .unwrap_or((NONE, NONE)),
        _ => (method, path),
    }
}

fn doors_of(visit: &Visit, calls: &[Made], paths: &Paths) -> Vec<Door> {
    if visit.begin == Begin::Root && visit.kind == Kind::Server && !visit.is_gateway {
        let (method, path) = shown(paths, NONE, visit.service, visit.method, visit.path);
        return vec![(NONE, visit.service, method, path)];
    }
    let from = if visit.is_gateway { NONE } else { visit.service };
    let all = calls.iter().map(|call| {
        let (method, path) = shown(paths, visit.service, call.to, call.method, call.path);
        (from, call.to, method, path)
    });
    all.collect()
}

impl OfService {
    fn visit(&mut self, visit: &Visit, own_ns: u64, calls: &[Made], paths: &Paths) {
        self.samples.push(own_ns);
        self.requests += 1;
        let is_passed_on = calls.iter().any(|call| call.is_failure);
        if visit.is_failure && !visit.is_by_mesh && !is_passed_on {
            self.failures += 1;
            *self.statuses.entry(visit.status).or_default() += 1;
        }
        let overlaps = overlaps(calls);
        let mut before: Vec<(u32, u32, u32)> = Vec::with_capacity(calls.len());
        for (call, overlaps) in calls.iter().zip(overlaps) {
            let (method, path) = shown(paths, visit.service, call.to, call.method, call.path);
            let key = (call.to, method, path);
            let earlier = before.iter().rev().take(CALLS_MAX as usize * 8);
            let rank = earlier.filter(|other| **other == key).count();
            before.push(key);
            let rank = u32::try_from(rank).unwrap_or(u32::MAX);
            if CALLS_MAX <= rank {
                self.beyond += 1;
                continue;
            }
            let slot = self.slots.entry((call.to, method, path, rank)).or_default();
            slot.count += 1;
            slot.beside += u64::from(1 < calls.len());
            slot.overlapped += u64::from(overlaps);
            slot.start_ns += u128::from(call.start_ns.saturating_sub(visit.start_ns));
            slot.end_ns += u128::from(call.end_ns.saturating_sub(visit.start_ns));
            slot.failed += u64::from(call.is_failure);
            slot.passed_over += u64::from(call.is_failure && !visit.is_failure);
        }
    }

    /// Writes what is known of a service into the graph.
    fn tell(&mut self, graph: &mut Graph, name: &str, file: &str, spans: &Spans) {
        let node = graph.node(name);
        node.is_gateway = self.is_gateway;
        node.is_outside = self.samples.is_empty() && !self.seen.is_empty();
        let samples = if node.is_outside { &mut self.seen } else { &mut self.samples };
        if samples.is_empty() {
            return;
        }
        let side = if node.is_outside { " seen by its callers" } else { "" };
        node.work = Some(work(samples, side, file));
        node.says_calls = !node.is_outside;
        let requests = self.requests;
        if 0 < self.failures {
            let share = self.failures as f64 / requests as f64;
            let most =
                self.statuses.iter().max_by_key(|(status, count)| (**count, u16::MAX - **status));
            let status = most.map(|(status, _)| *status).filter(|status| 400 <= *status);
            let why =
                format!("{} of {requests} spans in {file} failed by themselves", self.failures);
            node.errors = Some(Said::assumed(Errors { share, status }, why));
        }
        let mut slots: Vec<(&Slot, &OfSlot)> = self.slots.iter().collect();
        slots.sort_by_key(|(slot, of)| (of.start_ns / u128::from(of.count.max(1)), **slot));
        let mut group_end: Option<u128> = None;
        for (slot, of) in slots {
            let count = u128::from(of.count.max(1));
            let (start, end) = (of.start_ns / count, of.end_ns / count);
            let is_parallel = 0 < of.beside && of.beside < 2 * of.overlapped;
            let ends_before = group_end.is_some_and(|group_end| group_end <= start);
            if let Some(last) = graph.calls.last_mut().filter(|_| is_parallel && ends_before) {
                last.after_ns = Some(0);
            }
            group_end = match group_end {
                Some(known) if is_parallel && !ends_before => Some(known.max(end)),
                _ => is_parallel.then_some(end),
            };
            graph.calls.push(call(name, slot, of, requests, file, spans));
        }
    }
}

fn call(from: &str, slot: &Slot, of: &OfSlot, requests: u64, file: &str, spans: &Spans) -> Call {
    let why = format!("{} of {requests} requests in {file} make it", of.count);
    let to = spans.services.get(slot.0).unwrap_or("?");
    let mut call = Call::new(from, to, Origin::Assumed(why.into()));
    call.probability = of.count as f64 / requests.max(1) as f64;
    if 0 < of.beside && of.beside < 2 * of.overlapped {
        call.mode = Mode::Parallel;
    }
    call.required = of.failed < FAILURES_MIN || 2 * of.passed_over <= of.failed;
    call.method = spans.words.get(slot.1).map(str::to_owned);
    call.path = spans.words.get(slot.2).map(str::to_owned);
    call
}

/// Which of the calls, which are in the order of their begin, overlap another one.
fn overlaps(calls: &[Made]) -> Vec<bool> {
    let mut overlaps = vec![false; calls.len()];
    let mut longest = 0;
    for index in 1..calls.len() {
        let (last, call) = (&calls[longest], &calls[index]);
        let common = last.end_ns.min(call.end_ns).saturating_sub(call.start_ns);
        let shorter = (call.end_ns - call.start_ns).min(last.end_ns - last.start_ns);
        if OVERLAP_NS < common && shorter / 10 <= common {
            overlaps[longest] = true;
            overlaps[index] = true;
        }
        if last.end_ns < call.end_ns {
            longest = index;
        }
    }
    overlaps
}

/// A distribution of work that has the samples' quantiles. `side` says whose spans they are.
fn work(samples: &mut [u64], side: &str, file: &str) -> Said<Work> {
    samples.sort_unstable();
    let count = samples.len();
    let rank = |percent: usize| rounded(samples[(count * percent).div_ceil(100).max(1) - 1]);
    let (p50, p99) = (rank(50), rank(99));
    let spans = if count == 1 { "span" } else { "spans" };
    if count < SAMPLES_MIN || p50 == 0 || p50 == p99 {
        let sum: u128 = samples.iter().map(|ns| u128::from(*ns)).sum();
        let mean = rounded(u64::try_from(sum / count as u128).unwrap_or(u64::MAX)).max(1_000);
        let why = format!("mean of {count} {spans}{side} in {file}");
        return Said::assumed(Work::Constant(mean), why);
    }
    let why = format!("p50 and p99 of {count} {spans}{side} in {file}");
    Said::assumed(Work::Lognormal(p50, p99), why)
}

/// Whole µs.
fn rounded(ns: u64) -> u64 {
    ns.saturating_add(500) / 1_000 * 1_000
}

fn entries(
    graph: &mut Graph,
    doors: &BTreeMap<Door, u64>,
    covered: (u64, u64),
    file: &str,
    spans: &Spans,
) {
    let seconds = covered.1.saturating_sub(covered.0) as f64 / 1e9;
    for ((from, to, method, path), count) in doors {
        let knows = REQUESTS_MIN <= *count && 1.0 <= seconds;
        let rate_per_s = knows.then(|| *count as f64 / seconds);
        let why = match rate_per_s {
            Some(rate) => format!(
                "{count} requests in the {} s of {file}, {}: more if traces are sampled",
                decimal(seconds),
                rate_text(rate)
            ),
            None => format!("{count} requests in {file} are too few for a rate"),
        };
        graph.entries.push(Entry {
            to: spans.services.get(*to).unwrap_or("?").to_owned(),
            from: spans.services.get(*from).map(str::to_owned),
            origin: Origin::Assumed(why.into()),
            rate_per_s,
            path: spans.words.get(*path).map(str::to_owned),
            method: spans.words.get(*method).map(str::to_owned),
        });
    }
}

fn notes(graph: &mut Graph, spans: &Spans, visits: &Visits) {
    let mut note = |count: u64, what: &str, hint: &str| {
        if 0 < count {
            graph.note(format!("{}: {count} {what}", graph.name), hint);
        }
    };
    note(spans.unusable, "spans have no id, service or time", "they are left out");
    note(
        visits.passed,
        "spans are of Linkerd's proxies, which say not whose",
        "they are passed over",
    );
    note(visits.doubles, "spans are there twice", "they count once");
    note(visits.round, "spans have parents that go round", "they are left out");
    note(
        visits.orphans,
        "spans have a parent that is not in the file",
        "what they did counts, not that they were called",
    );
    note(visits.skewed, "spans do not fit into their caller's", "clocks differ: they were moved");
    note(
        visits.nameless,
        "calls say not whom they call",
        "their time counts as waiting of the caller",
    );
    note(visits.retries, "calls were tried again by a proxy", "a request is one call");
    let name = |number: u32| spans.services.get(number).unwrap_or("?");
    for ((from, to), count) in &visits.messages {
        let what = format!("{count} messages from `{}` to `{}`", name(*from), name(*to));
        graph.note(
            what,
            "nobody waits for a message: it is no call; what it leads to comes from there",
        );
    }
}
