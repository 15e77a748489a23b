//! The cases: what is simulated, what is measured in it, and what theory says.
//!
//! The unit of time is 10 ms, the mean service time of one server; what is not named otherwise is
//! a mean. There is no mesh and the links
//! take no time, so that a client counts all that is under way: least request is exact.
//!
//! Source: per row; `theory`, `chains` and `meanfield` compute the values.
//! Left out: quantiles, but for one; loads above 0.9.

use super::chains::{Chain, Choice};
use super::{meanfield, theory};
use crate::observe::run::Run;

/// One plan, simulated once for each seed, and all that is measured in it.
pub(super) struct Case {
    /// The law of the arrivals, as a scenario file names it.
    pub process: &'static str,
    /// Services, as a scenario file has them; requests go to `server`.
    pub services: String,
    /// How many root requests a replication has, about.
    pub requests: f64,
    /// Root requests per unit of time.
    pub arrivals: f64,
    /// Units of time before anything is counted: at least ten times as long as the slowest part
    /// of the case needs to forget that it began empty, 1/(1 − √load)² (380 at load 0.9).
    pub warmup: f64,
    /// The greatest standard error that is allowed, as a share of the value: 0.5 %, at load 0.9 2 %.
    pub standard_error_max: f64,
    /// What is measured.
    pub measures: Vec<Measure>,
}

/// One number of a run beside its exact value.
pub(super) struct Measure {
    pub name: &'static str,
    pub source: &'static str,
    pub theory: f64,
    pub of: fn(&Run) -> f64,
}

/// The unit of time in seconds.
pub(super) const UNIT_S: f64 = 0.01;
const UNIT_NS: f64 = UNIT_S * 1e9;
const SHARP: f64 = 0.005;
const SHARP_AT_HIGH_LOAD: f64 = 0.02;

/// All cases.
pub(super) fn all() -> Vec<Case> {
    let groups = [single_servers(), several_servers(), balanced(), networks(), retries()];
    groups.into_iter().flatten().collect()
}

// === what is measured ===

fn units(ns: f64) -> f64 {
    ns / UNIT_NS
}

fn wait(run: &Run) -> f64 {
    units(run.stations[0].wait.mean_ns())
}

fn sojourn(run: &Run) -> f64 {
    units(run.stations[0].sojourn.mean_ns())
}

fn latency(run: &Run) -> f64 {
    units(run.latency.mean_ns())
}

/// Of the answers only: those turned away took no time.
fn latency_ok(run: &Run) -> f64 {
    units(run.latency_ok.mean_ns())
}

/// The middle of its cell, which is 0.1 % wide.
fn p99(run: &Run) -> f64 {
    let highest = run.stations[0].sojourn.quantile(0.99).unwrap_or(0);
    let cells = run.stations[0].sojourn.iter();
    let lowest = cells.map(|(low, high, _)| (high, low)).find(|(high, _)| *high == highest);
    units(f64::midpoint(lowest.map_or(0.0, |(_, low)| low as f64), highest as f64))
}

fn failed_share(run: &Run) -> f64 {
    run.requests.failed() as f64 / run.requests.total as f64
}

fn success(run: &Run) -> f64 {
    run.requests.success_rate().unwrap_or(0.0)
}

fn amplification(run: &Run) -> f64 {
    run.attempts.amplification()
}

/// Share of the attempts that version v2 got.
fn canary_share(run: &Run) -> f64 {
    let all: u64 = run.services.iter().map(|row| row.requests.total).sum();
    let of = run.services.iter().filter(|row| row.version == "v2");
    of.map(|row| row.requests.total).sum::<u64>() as f64 / all as f64
}

/// Attempts at the last service for each root request.
fn bottom_attempts(run: &Run) -> f64 {
    let bottom = run.services.iter().find(|row| row.name == "layer-5");
    bottom.map_or(0, |row| row.requests.total) as f64 / run.requests.total as f64
}

// === how cases are written ===

/// A service `server` whose workload has `setting`, with `more` of the service's own keys.
fn server(more: &str, setting: &str) -> String {
    format!("[[service]]\nname = \"server\"\n{more}\n[[service.workload]]\n{setting}\n")
}

impl Case {
    /// Poisson arrivals; `load` is that of the busiest station.
    fn poisson(services: &str, arrivals: f64, load: f64, requests: f64) -> Self {
        let root = 1.0 - libm::sqrt(load);
        Self {
            process: "poisson",
            services: services.to_owned(),
            requests,
            arrivals,
            warmup: 10.0 / (root * root),
            standard_error_max: if load < 0.9 { SHARP } else { SHARP_AT_HIGH_LOAD },
            measures: Vec::new(),
        }
    }

    /// The same with one more number to measure.
    fn with(
        mut self,
        name: &'static str,
        source: &'static str,
        theory: f64,
        of: fn(&Run) -> f64,
    ) -> Self {
        self.measures.push(Measure { name, source, theory, of });
        self
    }
}

const EXPONENTIAL: &str = "time = { exponential = \"10ms\" }";
const KLEINROCK: &str = "Kleinrock, Queueing Systems I (1975)";
const SHARED: &str = "Kleinrock, Queueing Systems II (1976)";
const POLLACZEK: &str = "Pollaczek (1930), Khinchine (1932)";
const ERLANG: &str = "Erlang (1917)";
const GROSS: &str = "Gross and Harris, Fundamentals of Queueing Theory";
const MITZENMACHER: &str = "Mitzenmacher (2001); Gast and Van Houdt (2018)";
const CHAIN: &str = "the Markov chain, solved";
const JACKSON: &str = "Jackson (1957)";

// === one server ===

fn single_servers() -> Vec<Case> {
    use theory::{dm1_wait, mg1_wait, mm1_quantile, mm1_sojourn, shared_sojourn};
    let mm1 = server("", EXPONENTIAL);
    let constant = server("", "time = \"10ms\"");
    let lognormal = |cv: &str, more: &str| {
        server("", &format!("time = {{ lognormal = {{ mean = \"10ms\", cv = {cv} }} }}\n{more}"))
    };
    let (narrow, wide) = (lognormal("0.5", ""), lognormal("1.0", ""));
    let shared = lognormal("1.5", "discipline = \"ps\"");
    vec![
        Case::poisson(&mm1, 0.8, 0.8, 5e6).with(
            "M/M/1, load 0.8: sojourn",
            KLEINROCK,
            mm1_sojourn(0.8),
            sojourn,
        ),
        Case::poisson(&mm1, 0.9, 0.9, 2.5e6).with(
            "M/M/1, load 0.9: sojourn",
            KLEINROCK,
            mm1_sojourn(0.9),
            sojourn,
        ),
        Case::poisson(&mm1, 0.5, 0.5, 2e6).with(
            "M/M/1, load 0.5: p99 of the sojourn",
            KLEINROCK,
            mm1_quantile(0.5, 0.99),
            p99,
        ),
        Case::poisson(&constant, 0.8, 0.8, 3.5e6).with(
            "M/D/1, load 0.8: wait",
            POLLACZEK,
            mg1_wait(0.8, 0.0),
            wait,
        ),
        Case::poisson(&narrow, 0.8, 0.8, 5e6).with(
            "M/G/1, lognormal cv 0.5, load 0.8: wait",
            POLLACZEK,
            mg1_wait(0.8, 0.25),
            wait,
        ),
        Case::poisson(&wide, 0.5, 0.5, 4e6).with(
            "M/G/1, lognormal cv 1, load 0.5: wait",
            POLLACZEK,
            mg1_wait(0.5, 1.0),
            wait,
        ),
        Case::poisson(&shared, 0.8, 0.8, 7e6).with(
            "M/G/1-PS, lognormal cv 1.5, load 0.8: sojourn",
            SHARED,
            shared_sojourn(0.8),
            sojourn,
        ),
        Case { process: "constant", ..Case::poisson(&mm1, 0.8, 0.8, 3e6) }.with(
            "D/M/1, load 0.8: wait",
            KLEINROCK,
            dm1_wait(0.8),
            wait,
        ),
    ]
}

// === several workers, and limits that turn requests away ===

fn several_servers() -> Vec<Case> {
    use theory::{loss, mmc_wait, mmck};
    let workers = |count: u32| server("", &format!("workers = {count}\n{EXPONENTIAL}"));
    let limited = |workers: u32, queue: u32| {
        server("", &format!("workers = {workers}\nqueue = {queue}\n{EXPONENTIAL}"))
    };
    let breaker = server("circuit_breaker = { max_requests = 10 }", EXPONENTIAL);
    let (one, two) = (mmck(1, 10, 0.9), mmck(2, 10, 1.8));
    vec![
        Case::poisson(&workers(5), 4.0, 0.8, 4e6).with(
            "M/M/5, load 0.8: sojourn",
            ERLANG,
            1.0 + mmc_wait(5, 0.8),
            sojourn,
        ),
        Case::poisson(&workers(10), 9.0, 0.9, 3e6).with(
            "M/M/10, load 0.9: wait",
            ERLANG,
            mmc_wait(10, 0.9),
            wait,
        ),
        Case::poisson(&breaker, 0.9, 0.9, 1.5e6)
            .with("M/M/1/10 by max_requests, offered 0.9: share of 503", GROSS, one.0, failed_share)
            .with(
                "M/M/1/10 by max_requests, offered 0.9: latency of 200",
                GROSS,
                one.1,
                latency_ok,
            ),
        Case::poisson(&limited(2, 8), 1.8, 0.9, 1.5e6)
            .with("M/M/2/10 by queue = 8, offered 1.8: share of 503", GROSS, two.0, failed_share)
            .with("M/M/2/10 by queue = 8, offered 1.8: sojourn", GROSS, two.1, sojourn),
        Case::poisson(&limited(4, 0), 3.0, 0.75, 1e6).with(
            "M/M/4/4 by queue = 0, offered 3: share of 503",
            ERLANG,
            loss(4, 3.0),
            failed_share,
        ),
    ]
}

// === balancers ===

fn balanced() -> Vec<Case> {
    use theory::{mm1_sojourn, round_robin_sojourn};
    let pods = |balancer: &str, replicas: u32| {
        let setting = format!("replicas = {replicas}\n{EXPONENTIAL}");
        server(&format!("balancer = \"{balancer}\""), &setting)
    };
    let chain =
        |choice| Chain { servers: 10, load: 0.7, choice, window: 7, requests_max: 50 }.sojourn();
    let (repeated, distinct) = (chain(Choice::TwoWithReplacement), chain(Choice::TwoDistinct));
    let choice = Choice::Shortest;
    let shortest = Chain { servers: 2, load: 0.9, choice, window: 25, requests_max: 300 };
    // A thousand average each other: the flow is within 10^-6 of its rest after 200 units.
    let many = Case::poisson(&pods("least_request", 1000), 900.0, 0.9, 3e6);
    let many = Case { warmup: 200.0, standard_error_max: SHARP, ..many };
    vec![
        Case::poisson(&pods("random", 10), 8.0, 0.8, 4e6).with(
            "random of 10, load 0.8: sojourn",
            KLEINROCK,
            mm1_sojourn(0.8),
            sojourn,
        ),
        Case::poisson(&pods("round_robin", 10), 7.0, 0.7, 1.3e6).with(
            "round robin of 10 = E10/M/1, load 0.7: sojourn",
            KLEINROCK,
            round_robin_sojourn(10, 0.7),
            sojourn,
        ),
        Case::poisson(&pods("round_robin", 2), 1.8, 0.9, 2.2e6).with(
            "round robin of 2 = E2/M/1, load 0.9: sojourn",
            KLEINROCK,
            round_robin_sojourn(2, 0.9),
            sojourn,
        ),
        many.with(
            "two choices of 1000, load 0.9: sojourn",
            MITZENMACHER,
            meanfield::sojourn(1000, 0.9),
            sojourn,
        ),
        Case::poisson(&pods("least_request", 10), 7.0, 0.7, 1.5e6).with(
            "two choices of 10 with replacement, load 0.7: sojourn",
            CHAIN,
            repeated,
            sojourn,
        ),
        Case::poisson(&pods("least_request_distinct", 10), 7.0, 0.7, 1.5e6).with(
            "two different choices of 10, load 0.7: sojourn",
            CHAIN,
            distinct,
            sojourn,
        ),
        Case::poisson(&pods("least_request_full_scan", 2), 1.8, 0.9, 2e6).with(
            "shortest of 2 queues, load 0.9: sojourn",
            CHAIN,
            shortest.sojourn(),
            sojourn,
        ),
    ]
}

// === several services ===

/// A call does not hold its worker: a request is a token that visits one station after the other.
const TANDEM: &str = "
[[service]]
name = \"server\"
[[service.workload]]
time = { exponential = \"12500us\" }
calls = [{ to = \"second\", holds_worker = false }]
[[service]]
name = \"second\"
[[service.workload]]
time = { exponential = \"10ms\" }
calls = [{ to = \"third\", holds_worker = false }]
[[service]]
name = \"third\"
[[service.workload]]
time = { exponential = \"16666667ns\" }
";

const CANARY: &str = "
[[service]]
name = \"server\"
[[service.route]]
weights = { v1 = 90, v2 = 10 }
[[service.workload]]
version = \"v1\"
workers = 100
time = \"10ms\"
[[service.workload]]
version = \"v2\"
workers = 100
time = \"10ms\"
";

fn networks() -> Vec<Case> {
    let tandem = theory::tandem_sojourn(0.5, &[0.8, 1.0, 0.6]);
    vec![
        Case::poisson(TANDEM, 0.5, 0.84, 3e6).with(
            "three in a row, loads 5/8, 1/2, 5/6: latency",
            JACKSON,
            tandem,
            latency,
        ),
        Case::poisson(CANARY, 10.0, 0.1, 1.5e6).with(
            "canary of weight 10 in 100: its share",
            "binomial",
            0.1,
            canary_share,
        ),
    ]
}

// === retries ===

fn retries() -> Vec<Case> {
    let retrying = |attempts: u32, share: &str, workers: u32| {
        server(
            &format!("retries = {{ attempts = {attempts}, on = \"5xx\", backoff_base = \"1ns\" }}"),
            &format!("workers = {workers}\n{EXPONENTIAL}\nerrors = \"{share}\""),
        )
    };
    let stack: String = (1..=5).map(layer).collect();
    let (load, success_share) = (theory::amplification(0.3, 3), theory::success(0.3, 3));
    let (feedback, stacked) = (theory::feedback_sojourn(0.5, 0.25), theory::stacked_attempts(5, 3));
    vec![
        Case::poisson(&retrying(3, "30%", 100), 10.0, 0.2, 1e6)
            .with(
                "3 retries, 30 % fail: attempts per request",
                "geometric sum",
                load,
                amplification,
            )
            .with("3 retries, 30 % fail: success", "geometric sum", success_share, success),
        Case::poisson(&retrying(60, "25%", 1), 0.5, 0.67, 1.6e6).with(
            "retries load the server, 25 % fail, arrivals 0.5: latency",
            JACKSON,
            feedback,
            latency,
        ),
        Case { process: "constant", warmup: 0.0, ..Case::poisson(&stack, 0.01, 0.1, 300.0) }.with(
            "5 layers of 3 attempts, the last fails: attempts there",
            "3^5",
            stacked,
            bottom_attempts,
        ),
    ]
}

/// A service that calls the next; the fifth fails always.
fn layer(layer: u32) -> String {
    let name = |layer: u32| if layer == 1 { "server".to_owned() } else { format!("layer-{layer}") };
    let rest = match layer {
        5 => "errors = \"100%\"".to_owned(),
        _ => format!("calls = [{{ to = \"{}\" }}]", name(layer + 1)),
    };
    let (name, retries) = (name(layer), "retries = { attempts = 2, on = \"5xx\" }");
    format!(
        "[[service]]\nname = \"{name}\"\n{retries}\n\
         [[service.workload]]\nworkers = 1000\ntime = \"10ms\"\n{rest}\n"
    )
}
