//! Relations between runs: what a change of the scenario must do to its numbers, whatever they are.

use crate::support::{run, run_with};
use meshsim::observe::run::Run;

/// Every time of this scenario is multiplied by `scale`.
fn scaled(scale: u64) -> String {
    let ms = |length: u64| format!("\"{}ms\"", length * scale);
    let us = |length: u64| format!("\"{}us\"", length * scale);
    format!(
        r#"
[scenario]
duration = {duration}
warmup = {warmup}
[mesh]
profile = "none"
network.same_node = {link}
retry.backoff_base = {base}
retry.backoff_max = {max}
[[service]]
name = "web"
timeout = {timeout}
retries = {{ attempts = 2, on = ["5xx"], backoff_base = {base}, backoff_max = {max} }}
[[service.workload]]
replicas = 2
workers = 2
time = {{ exponential = {work} }}
errors = "5%"
calls = [{{ to = "data", mode = "parallel" }}, {{ to = "data", mode = "parallel" }}]
[[service]]
name = "data"
[[service.workload]]
workers = 4
discipline = "ps"
time = {{ lognormal = {{ p50 = {work}, p99 = {tail} }} }}
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = {{ poisson = "{rate}rps" }}
"#,
        duration = ms(60_000),
        warmup = ms(1_000),
        link = us(50),
        base = ms(20),
        max = ms(200),
        timeout = ms(300),
        work = ms(4),
        tail = ms(30),
        rate = 200.0 / scale as f64,
    )
}

#[test]
fn a_mesh_whose_times_are_all_twice_as_long_has_latencies_twice_as_long() {
    let (once, twice) = (run(&scaled(1)), run(&scaled(2)));
    // A back-off is drawn in whole milliseconds, and a gap or a service time rounded to whole
    // nanoseconds: an event may fall on the other side of the end, no more.
    assert!(once.requests.total.abs_diff(twice.requests.total) <= 2);
    for q in [0.1, 0.5, 0.9, 0.99, 0.999] {
        let (a, b) = (once.latency.quantile(q).unwrap(), twice.latency.quantile(q).unwrap());
        let ratio = b as f64 / a as f64;
        assert!((ratio - 2.0).abs() < 0.02, "q = {q}: {a} and {b}, ratio {ratio}");
    }
    let ratio = twice.latency.mean_ns() / once.latency.mean_ns();
    assert!((ratio - 2.0).abs() < 0.01, "{ratio}");
}

fn canary(weights: &str, retries: &str) -> String {
    format!(
        r#"
[scenario]
duration = "20s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "web"
{retries}
[[service.route]]
name = "rest"
weights = {weights}
[[service.workload]]
version = "v1"
replicas = 2
time = {{ exponential = "3ms" }}
errors = "10%"
[[service.workload]]
version = "v2"
time = {{ exponential = "3ms" }}
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = {{ poisson = "100rps" }}
"#
    )
}

/// What must be the same; the plan and its digest differ.
fn numbers(run: &Run) -> (u128, u64, u64, u64, Option<u64>) {
    let Run { digest, events, requests, latency, .. } = run;
    (*digest, *events, requests.total, requests.ok, latency.quantile(0.99))
}

#[test]
fn a_weight_of_zero_is_an_absent_version() {
    let zero = run(&canary("{ v1 = 3, v2 = 0 }", ""));
    let absent = run(&canary("{ v1 = 3 }", ""));
    assert_eq!(numbers(&zero), numbers(&absent));
}

#[test]
fn no_retries_are_no_policy() {
    let zero = run(&canary("{ v1 = 1, v2 = 1 }", "retries = { attempts = 0, on = [\"5xx\"] }"));
    let none = run_with(&canary("{ v1 = 1, v2 = 1 }", ""), &["mesh.retry.attempts=0"]);
    assert_eq!(numbers(&zero), numbers(&none));
    let conditions = run(&canary("{ v1 = 1, v2 = 1 }", "retries = { attempts = 9, on = [] }"));
    assert_eq!(numbers(&zero), numbers(&conditions));
}

#[test]
fn twice_the_servers_at_twice_the_load_are_as_busy() {
    let utilisation = |workers: u32, seed: u64| {
        let text = format!(
            "[scenario]\nduration = \"100s\"\nwarmup = \"5s\"\nseed = {seed}\n[mesh]\nprofile = \"none\"\n[[service]]\nname = \"s\"\n[[service.workload]]\nworkers = {workers}\ntime = {{ exponential = \"10ms\" }}\n[[traffic]]\nid = \"t\"\nfrom = \"ingress\"\nto = \"s\"\narrivals = {{ poisson = \"{}rps\" }}\n",
            workers * 70
        );
        let run = run(&text);
        run.stations[0].busy / f64::from(workers)
    };
    for workers in [1, 2, 4, 8] {
        let samples: Vec<f64> = (0..5).map(|seed| utilisation(workers, seed)).collect();
        let mean = samples.iter().sum::<f64>() / 5.0;
        let squares: f64 = samples.iter().map(|one| (one - mean) * (one - mean)).sum();
        let error = (squares / 4.0 / 5.0).sqrt();
        assert!((mean - 0.7).abs() < 4.0 * error, "{workers} workers: {mean} ± {error}");
    }
}
