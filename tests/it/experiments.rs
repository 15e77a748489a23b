//! Published experiments on retries and metastable failures, played again: the order of outcomes, and
//! their figures within three standard deviations.
//!
//! A figure that others printed is a mean over so many runs of theirs. Ours is one over so many seeds;
//! the deviation between runs is taken from ours, so that |ours − theirs| may be at most
//! 3 · s · √(1/theirs + 1/ours), and half of the last digit that was printed.
//!
//! Source: with each test.
//! Left out: clients that send one request after the other with back-off between requests.

use crate::support::plan_with;
use meshsim::kernel::stream::{Stream, uniform};
use meshsim::kernel::time::{Duration, Time};
use meshsim::model::client::backoff;
use meshsim::observe::run::{Run, SeriesRow};
use meshsim::plan::Plan;
use meshsim::plan::client::{Backoff, Jitter};
use meshsim::plan::traffic::{Arrivals, Traffic};
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

/// One run of a scenario for each seed.
fn runs(text: &str, sets: &[&str], seeds: u64) -> Vec<Run> {
    let plan = plan_with(text, sets);
    (1..=seeds).map(|seed| simulate(&plan, seed, Options::default(), &mut |_| Go::On)).collect()
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, libm::sqrt(squares / (count - 1.0)))
}

/// What is compared, and what is wrong with it.
#[derive(Default)]
struct Table {
    text: String,
    failures: u32,
}

impl Table {
    /// A figure of which others printed the mean over `their_runs`, with `half_digit` of rounding.
    fn compare(&mut self, name: &str, ours: &[f64], theirs: f64, their_runs: u32, half_digit: f64) {
        let (mean, deviation) = moments(ours);
        let runs = 1.0 / f64::from(their_runs) + 1.0 / ours.len() as f64;
        let allowed = 3.0 * deviation * libm::sqrt(runs) + half_digit;
        let holds = (mean - theirs).abs() <= allowed;
        self.line(holds, &format!("{name:44} {theirs:10.4} {mean:10.4} ± {allowed:.4}"));
    }

    /// A share of runs, beside theirs, by the binomial deviation of both.
    fn share(&mut self, name: &str, ours: u64, of: u64, theirs: u64, of_theirs: u64) {
        let (own, other) = (ours as f64 / of as f64, theirs as f64 / of_theirs as f64);
        let pooled = (ours + theirs) as f64 / (of + of_theirs) as f64;
        let each = 1.0 / of as f64 + 1.0 / of_theirs as f64;
        let allowed = 3.0 * libm::sqrt(pooled * (1.0 - pooled) * each);
        let holds = (own - other).abs() <= allowed;
        self.line(holds, &format!("{name:44} {other:10.4} {own:10.4} ± {allowed:.4}"));
    }

    fn must(&mut self, holds: bool, what: &str) {
        self.line(holds, what);
    }

    fn line(&mut self, holds: bool, text: &str) {
        self.failures += u32::from(!holds);
        let word = if holds { "ok" } else { "FAIL" };
        writeln!(self.text, "{word:4} {text}").expect("a string takes all");
    }

    fn judge(self) {
        assert_eq!(
            self.failures, 0,
            "what was printed / what we have ± what is allowed:\n{}",
            self.text
        );
    }
}

/// Requests answered in a stretch of the run, in a second.
fn goodput(run: &Run, from_s: usize, to_s: usize) -> f64 {
    let rows = &run.series[from_s..to_s];
    rows.iter().map(|row| row.requests.ok).sum::<u64>() as f64 / (to_s - from_s) as f64
}

// === 3.1: the fluid example ===

/// A database that answers 300 requests a second, in 100 ms; its clients wait a second and ask once
/// more.
fn database(rate: u32, event: &str) -> String {
    format!(
        r#"
[scenario]
duration = "600s"
interval = "1s"
[mesh]
profile = "none"
retry.attempts = 0
[[service]]
name = "database"
protocol = "http2"
connections = {{ max_streams = 1000000 }}
[[service.workload]]
workers = 30
time = "100ms"
[[traffic]]
id = "users"
from = "ingress"
to = "database"
arrivals = {{ poisson = "{rate}rps" }}
client = {{ timeout = "1s", attempts = 1 }}
{event}
"#
    )
}

/// Goal: with one retry, load below half of the capacity heals itself, load above it does not, and
/// nothing shows which of the two it is until something happens. Method: ten seconds in which nothing
/// is answered, at 280, 160, 140 of 300 requests a second; the same load without them.
///
/// Source: Bronson, Aghayev, Charapko & Zhu, "Metastable Failures in Distributed Systems", `HotOS` 2021.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn a_load_above_half_of_the_capacity_never_recovers_with_one_retry() {
    const OUTAGE: &str = "[[event]]\nid = \"outage\"\nat = \"20s\"\nfor = \"10s\"\ndo = \"freeze\"\ntarget = \"service:database\"\n";
    let mut table = Table::default();
    for (rate, event, recovers) in [
        (280, "", true),
        (280, OUTAGE, false),
        (160, OUTAGE, false),
        (140, OUTAGE, true),
        (100, OUTAGE, true),
    ] {
        let at_end: Vec<f64> = runs(&database(rate, event), &[], 5)
            .iter()
            .map(|run| goodput(run, 500, 600) / f64::from(rate))
            .collect();
        let holds = at_end.iter().all(|share| if recovers { 0.95 < *share } else { *share < 0.2 });
        let trigger = if event.is_empty() { "no trigger" } else { "ten seconds" };
        table.must(holds, &format!("{rate} rps, {trigger}: {at_end:.3?}, recovers: {recovers}"));
    }
    table.judge();
}

// === 3.2: a collapse ===

/// One server whose latency grows with what it has in hand, and clients who ask three times.
const COLLAPSE: &str = r#"
[scenario]
duration = "80s"
interval = "1s"
[mesh]
profile = "none"
ingress.replicas = 1
retry.attempts = 0
[[node]]
name = "clients"
[[node]]
name = "servers"
[[link]]
from = "clients"
to = "servers"
delay = { exponential = "100ms" }
[[service]]
name = "server"
protocol = "http2"
connections = { max_streams = 1000000 }
[[service.workload]]
nodes = ["servers"]
workers = 1000000
time = "1s"
time_per_request = "10ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = { poisson = { steps = [["0s", "40rps"], ["20s", "80rps"], ["25s", "40rps"]] } }
client = { timeout = "3s", attempts = 2 }
"#;
const BACKOFF: &str = "traffic.users.client.backoff_base=20s";
const RAMP: &str = r#"traffic.users.arrivals={ poisson = { ramp = [["0s", "40rps"], ["25s", "80rps"], ["75s", "0rps"]] } }"#;

/// Goal: a spike of five seconds leaves some runs collapsed for good and others whole, as often as
/// printed; back-off with jitter heals all. Method: 200 seeds beside 40.
///
/// Source: `mbrooker/simulator_example` at bbfe394, `simple_collapse_sim`, spike.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn a_spike_collapses_seven_runs_of_ten_and_none_with_backoff() {
    const SEEDS: u64 = 200;
    const WHAT: [&str; 3] = ["answers", "retries", "timeouts"];
    let mut table = Table::default();
    let at_once = [
        (5, 20, [39.9, 0.0, 0.0]),
        (20, 25, [51.5, 0.38, 0.38]),
        (25, 30, [32.5, 35.5, 35.5]),
        (30, 40, [15.4, 56.8, 79.3]),
        (40, 80, [12.1, 56.6, 85.0]),
    ];
    // Retries are counted when they are sent; there, when they were decided.
    let later = [(5, 20, [39.9]), (20, 25, [51.5]), (25, 30, [36.2]), (30, 40, [48.6])];
    let later = later.map(|(from, to, [ok])| (from, to, [ok, f64::NAN, f64::NAN]));
    for (name, sets, collapsed, figures) in
        [("at once", &[][..], 28, &at_once[..]), ("back-off", &[BACKOFF], 0, &later)]
    {
        let runs = runs(COLLAPSE, sets, SEEDS);
        for &(from, to, theirs) in figures {
            let rate = |count: &dyn Fn(&SeriesRow) -> u64| -> Vec<f64> {
                let sum = |run: &Run| run.series[from..to].iter().map(count).sum::<u64>();
                runs.iter().map(|run| sum(run) as f64 / (to - from) as f64).collect()
            };
            let ours = [
                rate(&|row| row.requests.ok),
                rate(&|row| row.retries),
                rate(&|row| row.retries + row.requests.failed()),
            ];
            for ((what, ours), theirs) in WHAT.iter().zip(ours).zip(theirs) {
                if !theirs.is_nan() {
                    let name = format!("{name}, {from}–{to} s: {what} a second");
                    table.compare(&name, &ours, theirs, 40, 0.05);
                }
            }
        }
        let ends = runs.iter().map(|run| goodput(run, 70, 80) / 40.0);
        let ends: Vec<f64> = ends.collect();
        let down = ends.iter().filter(|end| **end < 0.1).count() as u64;
        let up = ends.iter().filter(|end| 0.8 < **end).count() as u64;
        table.share(&format!("{name}: collapsed at the end"), down, SEEDS, collapsed, 40);
        table.must(down + up == SEEDS, &format!("{name}: {down} down, {up} up, none between"));
    }
    table.judge();
}

/// Goal: back-off does not save an open system from load that it cannot carry. Method: a ramp to twice
/// the load, 6 seeds.
///
/// Source: as above, ramp.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn a_ramp_ends_without_goodput_with_and_without_backoff() {
    let mut table = Table::default();
    for (name, sets) in [("at once", &[RAMP][..]), ("back-off", &[RAMP, BACKOFF])] {
        let ends: Vec<f64> =
            runs(COLLAPSE, sets, 6).iter().map(|run| goodput(run, 70, 80)).collect();
        table.must(
            ends.iter().all(|end| *end < 1.0),
            &format!("{name}: {ends:?} a second at the end"),
        );
    }
    table.judge();
}

/// Goal: in the healthy state, latency is what it must be. Method: by Little's law and PASTA, work is
/// S = 1 + 0.01 · (λ S + 1): who arrives finds all the others, and counts itself; and two ways of 0.1 s.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn latency_in_the_healthy_state_is_that_of_the_mean_field() {
    let mut table = Table::default();
    for rate in [20.0, 40.0] {
        let arrivals = format!("traffic.users.arrivals={{ poisson = \"{rate}rps\" }}");
        let sets = [arrivals.as_str(), "scenario.duration=600s", "scenario.warmup=50s"];
        let runs = runs(COLLAPSE, &sets, 10);
        let mean: Vec<f64> = runs.iter().map(|run| run.latency.mean_ns() / 1e9).collect();
        let latency = 1.01 / (1.0 - 0.01 * rate) + 0.2;
        table.compare(&format!("latency at {rate} rps, s"), &mean, latency, u32::MAX, 0.0);
    }
    table.judge();
}

// === 3.3: what may be sent again ===

fn strategies(client: &str, clients: u32, rate: u32, share: f64) -> String {
    // There, each client's first request comes at once.
    let rate = rate + clients / 10;
    let client = client.replace("CLIENTS", &clients.to_string());
    let client = if client.is_empty() { client } else { format!("client = {{ {client} }}") };
    format!(
        r#"
[scenario]
duration = "12s"
[mesh]
profile = "none"
ingress.replicas = 1
retry.attempts = 0
network.same_node = "0s"
[[node]]
name = "clients"
[[node]]
name = "servers"
[[link]]
from = "clients"
to = "servers"
delay = {{ exponential = "10ms" }}
[[service]]
name = "server"
protocol = "http2"
connections = {{ max_streams = 1000000 }}
[[service.workload]]
nodes = ["servers"]
workers = 1000000
time = "1ns"
errors = {share}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ poisson = {{ steps = [["0s", "{rate}rps"], ["10s", "0rps"]] }} }}
{client}
"#
    )
}

const THREE: &str = "attempts = 3";
/// That program takes a token only where more than one is there: a bucket a hair below 5.
const ADAPTIVE: &str =
    "attempts = 1000, bucket = { size = 4.999, deposit = 0.1, cost = 1 }, clients = CLIENTS";
const BREAKER: &str = "attempts = 3, breaker = { share = \"10%\" }, clients = CLIENTS";

fn successes(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.requests.ok as f64 / run.requests.total as f64).collect()
}

fn loads(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.attempts.total as f64 / run.attempts.calls as f64).collect()
}

/// Goal: success and load of four ways to send again, as printed. Method: 100 clients of 10 requests a
/// second, 10 s, 20 seeds beside 5.
///
/// Source: Brooker, "Fixing retries with token buckets and circuit breakers", 2022;
/// `mbrooker/simulator_example`, `retry_sim`.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn budgets_of_clients_bound_the_load_that_retries_make() {
    const FIGURES: [(f64, [(f64, f64); 4]); 7] = [
        (0.01, [(0.990, 1.0), (1.0, 1.011), (1.0, 1.011), (0.9987, 1.009)]),
        (0.05, [(0.952, 1.0), (1.0, 1.055), (0.9998, 1.054), (0.9856, 1.038)]),
        (0.1, [(0.902, 1.0), (0.9998, 1.113), (0.9921, 1.102), (0.9263, 1.032)]),
        (0.2, [(0.801, 1.0), (0.9981, 1.252), (0.9093, 1.134), (0.8021, 1.004)]),
        (0.3, [(0.700, 1.0), (0.9907, 1.422), (0.7976, 1.139), (0.7019, 1.001)]),
        (0.4, [(0.599, 1.0), (0.9751, 1.619), (0.6876, 1.141), (0.598, 1.0)]),
        (0.5, [(0.498, 1.0), (0.9370, 1.868), (0.5723, 1.142), (0.497, 1.0)]),
    ];
    let ways = [("none", ""), ("three", THREE), ("adaptive", ADAPTIVE), ("breaker", BREAKER)];
    let mut table = Table::default();
    for (share, figures) in FIGURES {
        for ((name, client), (success, load)) in ways.iter().zip(figures) {
            let runs = runs(&strategies(client, 100, 1000, share), &[], 20);
            let name = |what: &str| format!("{name}, {share} fail: {what}");
            table.compare(&name("success"), &successes(&runs), success, 5, 0.0005);
            table.compare(&name("load"), &loads(&runs), load, 5, 0.0005);
        }
    }
    table.judge();
}

/// Each client a source of its own: its first request comes at once, the others by its own Poisson
/// process, for ten seconds.
fn one_by_one(client: &str, clients: u32, rate: u32, share: f64, seed: u64) -> Plan {
    let plan = plan_with(&strategies(client, 1, rate, share), &[]);
    let policy = plan.clients[&0].clone();
    let per_s = f64::from(rate) / f64::from(clients);
    let source = |index: u32| {
        let id = format!("client-{index:04}");
        let mut stream = Stream::new(seed, "experiment", &id);
        let (mut times, mut now) = (Vec::new(), 0.0);
        while now < 10.0 {
            times.push(Time::ZERO + Duration::from_s_f64(now));
            now -= libm::log(1.0 - uniform(stream.next_u64())) / per_s;
        }
        Traffic { id, arrivals: Arrivals::Replay(times), ..plan.traffic[0].clone() }
    };
    Plan {
        traffic: (0..clients).map(source).collect(),
        clients: (0..clients).map(|index| (index, policy.clone())).collect(),
        ..plan.clone()
    }
}

/// Goal: the more clients share a load, the less their own budgets bound it. Method: 100 requests a
/// second of 10, 100 and 1000 clients, 40 seeds beside 5.
///
/// Source: as above.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn budgets_of_many_clients_that_send_little_bound_little() {
    let mut table = Table::default();
    for (clients, load, success) in
        [(10, 1.143, 0.9815), (100, 1.455, 0.9561), (1000, 1.913, 0.9514)]
    {
        let runs = |client: &str, share: f64| -> Vec<Run> {
            let plan = |seed| one_by_one(client, clients, 100, share, seed);
            let run = |seed| simulate(&plan(seed), seed, Options::default(), &mut |_| Go::On);
            (1..=40).map(run).collect()
        };
        let adaptive = loads(&runs(ADAPTIVE, 0.5));
        table.compare(&format!("adaptive, {clients} clients: load"), &adaptive, load, 5, 0.0005);
        let breaker = successes(&runs(BREAKER, 0.05));
        let name = format!("breaker, {clients} clients: success");
        table.compare(&name, &breaker, success, 5, 0.00005);
    }
    table.judge();
}

// === 3.4: back-off alone ===

/// What a client's message is about, and the row as it has read it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Read,
    HasRead(u64),
    Write(u64),
    Refused,
}

/// Clients that each write a row once, if nobody else did since they read it; each message takes
/// |N(10, 2)| ms. The time until all have written, in ms, and the writes tried.
fn writers(clients: u32, jitter: Option<Jitter>, seed: u64) -> (f64, f64) {
    let mut stream = Stream::new(seed, "experiment", "writers");
    let mut delay = move || {
        let (one, other) = (uniform(stream.next_u64()), uniform(stream.next_u64()));
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - one));
        let normal = radius * libm::cos(std::f64::consts::TAU * other);
        Duration::from_ns_f64((10.0 + 2.0 * normal).abs() * 1e6).ns()
    };
    let mut waits = Stream::new(seed, "experiment", "waits");
    // That program doubles before the first wait, but where the wait before counts.
    let base = if jitter == Some(Jitter::Decorrelated) { 5 } else { 10 };
    let base = if jitter.is_none() { 0 } else { base };
    let backoff = Backoff {
        jitter: jitter.unwrap_or(Jitter::None),
        base: Duration::from_ms(base),
        max: Duration::from_ms(2000),
    };
    let mut last = vec![(0_u32, Duration::ZERO); clients as usize];
    let mut queue: BinaryHeap<Reverse<(u64, u32, Message)>> =
        (0..clients).map(|client| Reverse((delay(), client, Message::Read))).collect();
    let (mut version, mut writes, mut end) = (0, 0_u64, 0);
    while let Some(Reverse((now, client, message))) = queue.pop() {
        end = end.max(now);
        let next = match message {
            Message::Read => (now + delay(), Message::HasRead(version)),
            Message::HasRead(row) => (now + delay(), Message::Write(row)),
            Message::Write(row) => {
                writes += 1;
                if row == version {
                    version += 1;
                    // Its answer is the last thing that may happen.
                    end = end.max(now + delay());
                    continue;
                }
                (now + delay(), Message::Refused)
            }
            Message::Refused => {
                let (number, before) = &mut last[client as usize];
                *number += 1;
                *before = backoff::wait(&backoff, *number, *before, waits.next_u64());
                (now + delay() + before.ns(), Message::Read)
            }
        };
        queue.push(Reverse((next.0, client, next.1)));
    }
    (end as f64 / 1e6, writes as f64)
}

/// Goal: time and calls of five ways to back off, as printed; jitter more than halves the calls.
/// Method: 100 repetitions beside 100.
///
/// Source: Brooker, "Exponential Backoff And Jitter", 2015; aws-arch-backoff-simulator at 66cb169.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn backoff_with_jitter_halves_the_calls_of_backoff_without() {
    const WAYS: [(&str, Option<Jitter>); 5] = [
        ("none", None),
        ("exponential", Some(Jitter::None)),
        ("equal", Some(Jitter::Equal)),
        ("full", Some(Jitter::Full)),
        ("decorrelated", Some(Jitter::Decorrelated)),
    ];
    const FIGURES: [(u32, [(f64, f64); 5]); 4] = [
        (10, [(377.0, 50.5), (3433.0, 50.4), (730.0, 42.6), (459.0, 38.6), (422.0, 37.3)]),
        (
            50,
            [(1139.0, 688.0), (36543.0, 624.0), (4286.0, 347.0), (2929.0, 332.0), (2232.0, 374.0)],
        ),
        (
            100,
            [
                (2031.0, 2427.0),
                (63309.0, 1852.0),
                (6644.0, 812.0),
                (4910.0, 798.0),
                (4617.0, 1002.0),
            ],
        ),
        (
            190,
            [
                (3523.0, 7999.0),
                (101_602.0, 5177.0),
                (9438.0, 1758.0),
                (7356.0, 1772.0),
                (7913.0, 2437.0),
            ],
        ),
    ];
    let mut table = Table::default();
    for (clients, figures) in FIGURES {
        let mut calls_of = Vec::new();
        for ((name, jitter), (time, calls)) in WAYS.into_iter().zip(figures) {
            let all: Vec<(f64, f64)> =
                (1..=100).map(|seed| writers(clients, jitter, seed)).collect();
            let (times, writes): (Vec<f64>, Vec<f64>) = all.into_iter().unzip();
            let name = |what: &str| format!("{clients} clients, {name}: {what}");
            table.compare(&name("ms"), &times, time, 100, 0.5);
            let half_digit = if calls < 100.0 { 0.05 } else { 0.5 };
            table.compare(&name("calls"), &writes, calls, 100, half_digit);
            calls_of.push(moments(&writes).0);
        }
        if clients == 100 {
            let halves = calls_of[2..4].iter().all(|jittered| 2.0 * jittered < calls_of[1]);
            table.must(halves, "equal and full jitter more than halve the calls");
        }
    }
    table.judge();
}

// === 3.5: the best of two, by loads of a while ago ===

/// Goal: with fresh loads the least loaded of all is best; with loads of a while ago the better of two
/// is; with very old ones, chance. Method: ten servers that each take 8 s for a request, one request a
/// second, mean latency over 40 hours, the difference beyond three deviations.
///
/// Source: Brooker, "The power of two random choices", 2012 (the order and where it changes).
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn the_better_of_two_wins_where_loads_are_old_and_chance_where_they_are_very_old() {
    const TEXT: &str = r#"
[scenario]
duration = "40h"
warmup = "1h"
[mesh]
profile = "none"
ingress.replicas = 1
retry.attempts = 0
route.timeout = "0s"
[[service]]
name = "server"
protocol = "http2"
balancer = "random"
connections = { max_streams = 1000000 }
[[service.workload]]
replicas = 10
time = "8s"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = { poisson = "1rps" }
"#;
    let mean = |balancer: &str, refresh: u32| -> Vec<f64> {
        let balancer = format!("service.server.balancer={balancer}");
        let refresh = format!("service.server.load_refresh={refresh}s");
        let sets = [balancer.as_str(), refresh.as_str()];
        let sets = if balancer.ends_with("random") { &sets[..1] } else { &sets };
        runs(TEXT, sets, 8).iter().map(|run| run.latency.mean_ns() / 1e9).collect()
    };
    let mut table = Table::default();
    let chance = mean("random", 0);
    for (refresh, winner) in [
        (0, "all"),
        (10, "two"),
        (20, "two"),
        (40, "two"),
        (60, "two"),
        (80, "chance"),
        (160, "chance"),
    ] {
        let ways = [
            ("all", mean("least_request_full_scan", refresh)),
            ("two", mean("least_request_distinct", refresh)),
            ("chance", chance.clone()),
        ];
        let (_, best) = ways.iter().find(|(name, _)| *name == winner).expect("one of them");
        let holds = ways.iter().filter(|(name, _)| *name != winner).all(|(_, other)| {
            // The same seeds: the same requests.
            let differences: Vec<f64> = other.iter().zip(best).map(|(a, b)| a - b).collect();
            let (mean, deviation) = moments(&differences);
            3.0 * deviation / libm::sqrt(differences.len() as f64) < mean
        });
        let shown: Vec<String> =
            ways.iter().map(|(name, all)| format!("{name} {:.2} s", moments(all).0)).collect();
        table.must(holds, &format!("read every {refresh} s, {winner} wins: {}", shown.join(", ")));
    }
    table.judge();
}

// === 3.6: how deep, how long, at which load ===

/// A database with a capacity of `per_s` requests a second, of which `share` is left for `lasts`
/// seconds; clients wait 3 s and send four times more.
fn cut(rate: u32, per_s: u64, share: f64, lasts: u32) -> String {
    format!(
        r#"
[scenario]
duration = "120s"
interval = "1s"
[mesh]
profile = "none"
ingress.replicas = 1
retry.attempts = 0
route.timeout = "0s"
[[service]]
name = "database"
protocol = "http2"
connections = {{ max_streams = 10000000 }}
[[service.workload]]
workers = 2
time = "{}us"
[[traffic]]
id = "users"
from = "ingress"
to = "database"
arrivals = {{ poisson = "{rate}rps" }}
client = {{ timeout = "3s", attempts = 4 }}
[[event]]
id = "cut"
at = "60s"
for = "{lasts}s"
do = "slow"
target = "service:database"
factor = {}
"#,
        2_000_000 / per_s,
        1.0 / share
    )
}

/// Goal: a cut to 0.20 of the capacity for ten seconds traps it; one second less, a cut to 0.225, or a
/// quarter less load do not. Method: the capacity is set once, all else as printed; 10 seeds each.
///
/// Source: Huang et al., "Metastable Failures in the Wild", OSDI 2022, and its artefact
/// lexiangh/Metastability at d66be9f: two CPUs cut to 0.40 or 0.45 for 10 or 9 s, pauses of 75 or 100 µs
/// between requests.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow in debug; scripts/test runs it in release")]
fn a_cut_traps_only_if_it_is_deep_and_long_and_the_load_is_high() {
    const CAPACITY: u64 = 1055;
    const SEEDS: u64 = 10;
    let mut table = Table::default();
    for (rate, share, lasts, trapped) in
        [(400, 0.225, 10, 0), (400, 0.20, 10, SEEDS), (400, 0.20, 9, 0), (300, 0.20, 10, 0)]
    {
        let runs = runs(&cut(rate, CAPACITY, share, lasts), &[], SEEDS);
        let is_down = |run: &&Run| goodput(run, 100, 120) < 0.1 * f64::from(rate);
        let down = runs.iter().filter(is_down).count() as u64;
        let what = format!("{rate} rps, {share} of it for {lasts} s: {down} of {SEEDS} trapped");
        table.must(down == trapped, &what);
    }
    table.judge();
}
