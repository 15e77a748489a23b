//! Load: what clients send, as sources of traffic.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: what `gaps` lists; connections of clients, which cost nothing.

use super::super::schema::config::{Config, Load};
use super::super::schema::words::{LoadKind, Malformed, Phase};
use super::host::sleep;
use super::{Ids, at, ms, number};
use crate::kernel::time::{Duration, Time};
use crate::plan::client::{Backoff, Client, Jitter};
use crate::plan::traffic::{Arrivals, Traffic};
use crate::plan::universe::{ClassId, Defect, RequestClass, ServiceId};
use std::collections::BTreeMap;

/// From an answer to the same client's next request, where it does not wait on purpose: 300 requests
/// of 3 clients, of which 297 were refused at once, took the time of 3 answers of 20 ms (family e04).
const TURNAROUND: Duration = Duration::from_us(100);
/// A burst follows what other loads send at its instant: they go on as they would without it.
const BURST_FOLLOWS: Duration = Duration::from_us(1);
/// How long requests may still take after the last one was sent.
const LINGER: Duration = Duration::from_s(120);
/// How long a client that waits for answers may take with all its requests.
const CLOSED_LOOP: Duration = Duration::from_s(600);

/// The header with the size of a request's body.
pub(super) const CONTENT_LENGTH: &str = "content-length";
/// Bytes of all headers that Envoy takes by default (`max_request_headers_kb`).
const HEADERS_MAX: u64 = 60 * 1024;

/// Classes of all requests, in order.
pub(super) fn classes(config: &Config) -> Vec<RequestClass> {
    let mut classes: Vec<RequestClass> = config.load.iter().flat_map(in_turn).collect();
    classes.sort();
    classes.dedup();
    classes
}

/// The classes of a load's requests: one for all, or one each where a header counts them.
fn in_turn(load: &Load) -> Vec<RequestClass> {
    let count = if load.header_sequence.is_empty() { 1 } else { load.count };
    (0..count).map(|number| class(load, number)).collect()
}

/// The class of a load's request of this number, from 0.
fn class(load: &Load, number: u64) -> RequestClass {
    let header = |(name, value): (&String, &String)| (name.to_lowercase(), value.clone());
    let counted = |(name, value): (&String, &String)| {
        (name.to_lowercase(), value.replace("{i}", &number.to_string()))
    };
    let mut headers: Vec<(String, String)> =
        (load.headers.iter().map(header)).chain(load.header_sequence.iter().map(counted)).collect();
    let sized = |(name, length): (&String, &u64)| (name.to_lowercase(), format!("{length} bytes"));
    headers.extend(load.header_bytes.iter().map(sized));
    if load.new_connection_each == Some(true) {
        headers.push(("connection".to_owned(), "close".to_owned()));
    }
    headers.sort();
    // What the body's size decides is decided by what its header says.
    let has_length = headers.iter().any(|(name, _)| name == CONTENT_LENGTH);
    if let Some(bytes) = load.body_bytes.filter(|bytes| *bytes != 0 && !has_length) {
        headers.push((CONTENT_LENGTH.to_owned(), bytes.to_string()));
        headers.sort();
    }
    RequestClass {
        method: load.method.map_or("GET", |method| method.text()).to_owned(),
        path: load.path.clone().unwrap_or_else(|| "/".to_owned()),
        headers,
        defect: defect(load),
    }
}

/// What is wrong with the requests of a load. Envoy's limit is on all headers together.
fn defect(load: &Load) -> Option<Defect> {
    let bytes: u64 =
        load.header_bytes.iter().map(|(name, length)| name.len() as u64 + length).sum();
    match load.malformed {
        Some(Malformed::MissingHost) => Some(Defect::MissingHost),
        None if HEADERS_MAX < bytes => Some(Defect::HeadersTooLarge),
        None => None,
    }
}

/// Sources of traffic, one a load, in their order.
pub(super) fn traffic(config: &Config, ids: &Ids, classes: &[RequestClass]) -> Vec<Traffic> {
    let id = |class: &RequestClass| ClassId(number(classes.binary_search(class).unwrap_or(0)));
    let turns = |load: &Load| -> Vec<ClassId> {
        if load.header_sequence.is_empty() {
            Vec::new()
        } else {
            in_turn(load).iter().map(id).collect()
        }
    };
    let source = |(index, load): (usize, &Load)| Traffic {
        id: format!("load-{index:03}"),
        from: ids.workload(&config.entry),
        external: true,
        to: ids.services.get(&config.entry).copied().unwrap_or(ServiceId(0)),
        class: id(&class(load, 0)),
        turns: turns(load),
        arrivals: arrivals(load),
    };
    let those = config.load.iter().enumerate().filter(|_| gets_in(config));
    those.map(source).collect()
}

/// Whether the clients get in, who speak plain HTTP/1.1. A listener with TLS takes their first bytes for a
/// handshake, fails it (`HTTP_REQUEST`) and closes the connection: there is no request, and nothing is
/// logged.
fn gets_in(config: &Config) -> bool {
    let mut entry = config.proxies.iter().filter(|proxy| proxy.name == config.entry);
    entry.all(|proxy| proxy.listener.tls.is_none())
}

/// Clients that leave, by place of their source.
pub(super) fn clients(config: &Config) -> BTreeMap<u32, Client> {
    let client = |(index, load): (u32, &Load)| {
        let client = Client {
            count: 1,
            timeout: ms(load.abort_after_ms?),
            attempts: 0,
            backoff: Backoff { jitter: Jitter::None, base: Duration::ZERO, max: Duration::ZERO },
            bucket: None,
            breaker: None,
        };
        Some((index, client))
    };
    (0..).zip(&config.load).filter(|_| gets_in(config)).filter_map(client).collect()
}

fn arrivals(load: &Load) -> Arrivals {
    let from = at(load.at_s);
    let shared = |users: u32, think_ms: Option<f64>| {
        let think = sleep(think_ms.unwrap_or(0.0)) + TURNAROUND;
        Arrivals::Shared { from, users, think, requests: load.count }
    };
    match load.kind {
        LoadKind::OpenLoop => {
            let rate = load.rate_rps.unwrap_or(1.0);
            Arrivals::Replay((0..load.count).map(|i| at(load.at_s + i as f64 / rate)).collect())
        }
        LoadKind::Burst => {
            Arrivals::Replay((0..load.count).map(|_| from + BURST_FOLLOWS).collect())
        }
        LoadKind::ClosedLoop => shared(load.concurrency.unwrap_or(1), load.think_ms),
        LoadKind::Sequential => shared(1, load.gap_ms),
    }
}

/// The warm-up, in which nothing is observed, and the whole length of the run.
pub(super) fn clock(config: &Config) -> (Duration, Duration) {
    let is_warmup = |load: &&Load| load.phase == Some(Phase::Warmup);
    let observed = config.load.iter().filter(|load| !is_warmup(load)).map(|load| load.at_s);
    let has_warmup = config.load.iter().any(|load| is_warmup(&load));
    let first = observed.fold(f64::INFINITY, f64::min);
    let warmup = if has_warmup && first.is_finite() { first } else { 0.0 };
    let end = |load: &Load| -> Time {
        let from = at(load.at_s);
        match load.kind {
            LoadKind::OpenLoop => {
                let length = load.count as f64 / load.rate_rps.unwrap_or(1.0);
                from + Duration::from_s_f64(length) + LINGER
            }
            LoadKind::Burst => from + LINGER,
            LoadKind::ClosedLoop | LoadKind::Sequential => from + CLOSED_LOOP,
        }
    };
    let end = config.load.iter().map(end).max().unwrap_or(Time::ZERO + LINGER);
    (Duration::from_s_f64(warmup), end.since(Time::ZERO))
}
