//! The scenario of a large mesh as text, in the manner of the other templates.
//!
//! Source: docs/scenarios.md.
//! Left out: keys that keep their defaults.

use super::load::{P99_OVER_P50, PODS_PER_NODE, Sizes, ZONES, digits};
use super::{Call, Large, Role, Service};
use std::fmt::Write as _;

/// Columns of a line.
const WIDTH: usize = 100;
/// A request may take so many times as long as the slowest entry does on average. Ours: sums of
/// several lognormal times have a p99 of two or three means.
const P99_OVER_MEAN: f64 = 6.0;

/// The whole file.
pub(super) fn scenario(
    wanted: &Large,
    services: &[Service],
    rates: &[f64],
    sizes: &Sizes,
) -> String {
    let mut order: Vec<&Service> = services.iter().collect();
    order.sort_by_key(|service| (service.role as u8, &service.name));
    let rolled = rolled(&order);
    let mut text = head(wanted, services, sizes);
    text += &mesh(sizes);
    for service in &order {
        text += &table(service, services, service.name == rolled.name);
    }
    for (service, rate) in services.iter().zip(rates) {
        let name = &service.name;
        let _ = write!(
            text,
            "[[traffic]]\nid = \"users-of-{name}\"\nfrom = \"ingress\"\nto = \"{name}\"\n\
             arrivals = {{ poisson = \"{rate}rps\" }}\n\n"
        );
    }
    text + &timeline(rolled, sizes)
}

/// The service that is rolled: the most called of those in the middle, if there are any.
fn rolled<'a>(order: &[&'a Service]) -> &'a Service {
    let middle = order.iter().find(|service| service.role == Role::Middle);
    middle.unwrap_or(&order[0])
}

fn head(wanted: &Large, services: &[Service], sizes: &Sizes) -> String {
    let Large { services: count, pods, depth, rps, seed } = wanted;
    let of = |role| services.iter().filter(|service| service.role == role).count();
    let share = |part: usize| match percent_of(part, services.len(), 2) {
        None => "none".to_owned(),
        Some(percent) => format!("{percent} %"),
    };
    let [entries, middles, leaves] = [Role::Entry, Role::Middle, Role::Leaf].map(of).map(share);
    let (calls, busy) = (counted(sizes.calls, "call"), digits(100.0 * sizes.utilization, 2));
    let each = digits(f64::from(*pods) / f64::from(*count), 3);
    let one = services.iter().filter(|one| one.role != Role::Entry).count();
    let callers = callers(services);
    let tree = callers.iter().filter(|count| (1..=2).contains(*count)).count();
    let tree = match percent_of(tree, one, 3) {
        _ if one == 0 => "nobody is called".to_owned(),
        None => "none of the called has one or two".to_owned(),
        Some(percent) => format!("{percent} % of the called have one or two"),
    };
    let mut visits: Vec<f64> = services.iter().map(|service| service.visits).collect();
    visits.sort_by(f64::total_cmp);
    let top: f64 = visits.iter().rev().take(10).sum::<f64>() / sizes.calls;
    let top = digits(100.0 * top, 2);
    format!(
        "# {} in {} {} every request through a rollout and five minutes \
         without istiod.
#
# meshsim new large --services {count} --pods {pods} --depth {depth} --rps {rps} --seed {seed}
#
# A request from outside makes {calls} on average, its own included; the longest chain has
# {depth}. The busiest workers are busy {busy} % of their time. What is assumed, and from where:
#
# - services: {entries} are entries, {middles} call and are called, {leaves} are leaves; published
#   are 13 %, 48 % and 39 % of 67,760 services (arXiv 2504.13141)
# - callers: {tree}, a few are called by most; \"like a tree\" with
#   hot spots (Luo et al., SoCC 2021)
# - calls: the ten most called get {top} % of all; 58 %, with 13 calls below a request and graphs
#   wider than deep, are published (Google's fleet, Seemakhupt et al., SOSP 2023)
# - pods: {each} a service, in the middle more, with the square root of the calls (ours); published
#   are 28: 16 an entry, 41 in the middle, 17 a leaf (arXiv 2504.13141)
# - work: lognormal (Brooker 2020), of milliseconds (SOSP 2023), p99 = {P99_OVER_P50} x p50 (3.9 in LiveWyer 2024)
# - workers: ours, so many that at most half are busy; they wait for the answers to their calls

",
        plural(*count, "service"),
        plural(*pods, "pod"),
        if *count == 1 { "answers" } else { "answer" },
    )
}

/// A number with three digits and what it counts.
fn counted(number: f64, word: &str) -> String {
    let number = digits(number, 3).to_string();
    let end = if number == "1" { "" } else { "s" };
    format!("{number} {word}{end}")
}

fn plural(count: u32, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// A share with so many digits, at least 0.1; none for nothing.
fn percent_of(part: usize, of: usize, figures: u32) -> Option<f64> {
    let percent = 100.0 * part as f64 / of.max(1) as f64;
    (part != 0).then(|| digits(percent.max(0.1), figures))
}

/// How many call each.
fn callers(services: &[Service]) -> Vec<u32> {
    let mut callers = vec![0; services.len()];
    for call in services.iter().flat_map(|service| &service.calls) {
        callers[call.to] += 1;
    }
    callers
}

fn mesh(sizes: &Sizes) -> String {
    let Sizes { gateways, istiods, nodes_per_zone, .. } = sizes;
    let mut text = format!(
        "[scenario]
duration = \"15m\"
warmup = \"1m\"

[mesh]
profile = \"istio-sidecar@1.28\"
istiod.replicas = {istiods}{}# 2000 sidecars a core (Istio's performance page), 2 cores each
ingress.replicas = {gateways}{}# 0.2 cores for 1000 rps (Istio 1.24), at most 0.8 of 2 busy

",
        pad(18 + istiods.to_string().len()),
        pad(19 + gateways.to_string().len()),
    );
    for (zone, place) in ZONES.iter().zip(0..) {
        let why = format!(
            "{}# {PODS_PER_NODE} pods a node: ours",
            pad(8 + nodes_per_zone.to_string().len())
        );
        let why = if place == 0 { why.as_str() } else { "" };
        let _ = write!(
            text,
            "[[node]]\nname = \"node-{zone}\"\nzone = \"{zone}\"\ncount = {nodes_per_zone}{why}\n\n"
        );
    }
    text
}

/// Spaces up to where comments begin.
fn pad(used: usize) -> String {
    " ".repeat(31_usize.saturating_sub(used).max(2))
}

fn table(service: &Service, services: &[Service], is_rolled: bool) -> String {
    let Service { name, replicas, workers, p50_us, .. } = service;
    let ms = |us: u32| f64::from(us) / 1e3;
    let mut text = format!(
        "[[service]]\nname = \"{name}\"\n[[service.workload]]\nreplicas = {replicas}\n\
         workers = {workers}\ntime = {{ lognormal = {{ p50 = \"{}ms\", p99 = \"{}ms\" }} }}\n",
        ms(*p50_us),
        ms(P99_OVER_P50 * p50_us),
    );
    if is_rolled {
        // A large control plane tells of a change late: watch 0.5 s, debounce 10 s at most, push.
        text += "shutdown = { pre_stop = \"20s\" }  # until every caller knows that it goes\n";
    }
    let calls = &service.calls;
    let mode = if service.is_parallel && 1 < calls.len() { ", mode = \"parallel\"" } else { "" };
    let call = |Call { to, probability, .. }: &Call| {
        let share = if *probability < 1.0 {
            format!(", probability = {probability}")
        } else {
            String::new()
        };
        format!("{{ to = \"{}\"{share}{mode} }}", services[*to].name)
    };
    let calls: Vec<String> = calls.iter().map(call).collect();
    let line = format!("calls = [{}]\n", calls.join(", "));
    if line.len() <= WIDTH {
        text += if calls.is_empty() { "" } else { &line };
    } else {
        let _ = write!(text, "calls = [\n  {},\n]\n", calls.join(",\n  "));
    }
    text + "\n"
}

fn timeline(rolled: &Service, sizes: &Sizes) -> String {
    let bound = digits(P99_OVER_MEAN * sizes.latency_ms, 1);
    format!(
        "[[event]]
id = \"roll\"
at = \"2m\"
do = \"rollout\"
target = \"service:{}\"

[[event]]
id = \"istiod-down\"
at = \"6m\"
for = \"5m\"
do = \"fail\"
target = \"istiod\"

[[assert]]
name = \"the rollout loses no request\"
before = \"istiod-down\"
expect = \"success_rate == 100%\"

[[assert]]
name = \"nobody misses istiod\"
from = \"6m\"
expect = \"success_rate == 100%\"

[[assert]]
name = \"nothing is overloaded\"
expect = \"p99 < {bound}ms\"
",
        rolled.name
    )
}
