//! The same scenario is the same run: twice, blind, reordered, in every build; and what has
//! nothing to do with a request does not move its numbers.

use crate::support::{files, plan_with, play, run, run_with};
use meshsim::observe::run::Run;
use meshsim::world::options::Options;
use std::fmt::Write as _;

/// Certificates, retries, outlier detection, an outage, a rollout, a canary by condition.
const CONTROL: &str = r#"
[scenario]
duration = "60s"
warmup = "2s"
[mesh]
profile = "istio-sidecar@1.28"
cert.ttl = "20s"
connections.churn = "12/m"
kubernetes.watch_delay = "100ms"
[[node]]
name = "n"
zone = "a"
count = 2
[[node]]
name = "m"
zone = "b"
count = 2
[[service]]
name = "web"
retries = { attempts = 2, on = ["5xx"] }
[[service.workload]]
replicas = 3
workers = 4
time = { exponential = "3ms" }
calls = [
  { to = "reviews", mode = "parallel" },
  { to = "cart", mode = "parallel", required = false, holds_worker = false },
  { to = "cart", probability = "30%", after = "1ms" },
]
[[service]]
name = "reviews"
protocol = "http2"
outlier_detection = { consecutive_5xx = 3, max_ejection_share = "50%", base_ejection = "2s", interval = "1s" }
[[service.route]]
name = "rest"
weights = { v1 = 9, v2 = 1 }
[[service.workload]]
version = "v1"
replicas = 3
workers = 4
time = { lognormal = { p50 = "4ms", p99 = "40ms" } }
[[service.workload]]
version = "v2"
replicas = 2
discipline = "ps"
time = { exponential = "5ms" }
errors = "10%"
[[service]]
name = "cart"
circuit_breaker = { max_requests = 20, max_pending = 5 }
[[service.workload]]
replicas = 2
workers = 8
queue = 10
time = { erlang = { stages = 2, mean = "3ms" } }
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = { ramp = [["0s", "50rps"], ["30s", "150rps"]] } }
[[traffic]]
id = "batch"
from = "web"
to = "cart"
arrivals = { closed = { users = 5, think = { exponential = "100ms" } } }
[[event]]
id = "istiod-away"
at = "5s"
for = "25s"
do = "fail"
target = "istiod"
[[event]]
id = "roll"
at = "10s"
do = "rollout"
target = "service:cart"
[[event]]
id = "canary"
when = "success_rate >= 50% for 2s"
not_before = "32s"
do = "route"
target = "service:reviews"
route = "rest"
weights = { v1 = 1, v2 = 1 }
[[event]]
id = "rush"
at = "40s"
for = "5s"
do = "traffic"
target = "traffic:users"
factor = 3
"#;

/// Cuts, loss, dead nodes, frozen and crashing pods.
const FAULTS: &str = r#"
[scenario]
duration = "60s"
start = "cold"
[mesh]
profile = "istio-sidecar@1.28"
kubernetes.node_grace = "2s"
kubernetes.eviction_after = "3s"
network.give_up = "6s"
[[node]]
name = "n"
zone = "a"
count = 2
[[node]]
name = "m"
zone = "b"
count = 2
[[link]]
from = "zone:a"
to = "zone:b"
delay = { exponential = "1ms" }
loss = "1%"
[[service]]
name = "web"
timeout = "500ms"
retries = { attempts = 2, on = ["5xx", "reset"], per_try_timeout = "100ms" }
[[service.workload]]
replicas = 4
workers = 4
time = { exponential = "2ms" }
calls = [{ to = "data" }]
[[service]]
name = "data"
retries = { attempts = 1, on = ["reset", "connect-failure"], budget = { share = "25%" } }
connections = { max_requests = 50, idle_timeout = "2s" }
[[service.workload]]
replicas = 4
discipline = "ps"
workers = 2
time = { exponential = "4ms" }
shutdown = { pre_stop = "500ms", graceful = false }
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = "150rps" }
[[event]]
id = "cut"
at = "5s"
for = "4s"
do = "cut"
target = "zone:b"
[[event]]
id = "node"
at = "15s"
for = "12s"
do = "fail"
target = "node:n-0"
[[event]]
id = "freeze"
at = "32s"
for = "2s"
do = "freeze"
target = "pod:data-1"
[[event]]
id = "crash"
at = "36s"
for = "3s"
every = "6s"
times = 3
do = "fail"
target = "service:data"
share = "50%"
[[event]]
id = "apps"
at = "55s"
for = "2s"
do = "fail"
part = "app"
target = "service:web"
share = "25%"
"#;

/// Without a mesh.
const PLAIN: &str = r#"
[scenario]
duration = "30s"
[mesh]
profile = "none"
[[service]]
name = "web"
[[service.workload]]
replicas = 2
workers = 4
time = { exponential = "3ms" }
calls = [{ to = "data", holds_worker = false }]
[[service]]
name = "data"
[[service.workload]]
workers = 2
time = { hyperexponential = [{ share = 0.9, mean = "1ms" }, { share = "10%", mean = "10ms" }] }
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = "200rps" }
[[event]]
id = "scale"
at = "10s"
do = "scale"
target = "service:data"
replicas = 3
[[event]]
id = "slow"
at = "20s"
for = "3s"
do = "slow"
target = "service:web"
factor = 4
"#;

const ALL: [(&str, &str); 3] = [("control", CONTROL), ("faults", FAULTS), ("plain", PLAIN)];

/// Everything that a run says but the digest of its plan, which knows more than what happens.
fn numbers(run: &Run) -> Vec<(&'static str, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let plan_digest = format!("{:032x}", run.plan_digest);
    let list = files(run).into_iter();
    list.map(|(name, bytes)| (name, text(&bytes).replace(&plan_digest, "plan"))).collect()
}

#[test]
fn twice_gives_the_same_bytes() {
    for (name, text) in ALL {
        let (one, other) = (run(text), run(text));
        assert!(1000 < one.requests.total, "{name} has little to say");
        assert_eq!(files(&one), files(&other), "{name}");
        assert_eq!((one.digest, one.events), (other.digest, other.events), "{name}");
    }
}

#[test]
fn recorders_change_nothing() {
    for (name, text) in ALL {
        let plan = plan_with(text, &[]);
        let blind = play(&plan, Options { recorders: false, ..Options::default() });
        assert_eq!(play(&plan, Options::default()).digest, blind.digest, "{name}");
        let logged = play(&plan, Options { access_log: true, ..Options::default() });
        assert_eq!(logged.digest, blind.digest, "{name}");
        let log = logged.access_log.expect("it was asked for");
        let roots = log.calls.iter().filter(|call| call.traffic.is_some());
        assert!(logged.requests.total <= roots.count() as u64, "{name}");
        let odd = log.calls.iter().find(|call| call.tries.len() != call.attempts as usize);
        assert_eq!(odd, None, "{name}: each attempt is a try");
    }
}

/// Blocks of a scenario: each top table with the tables below it.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        let is_top = line.starts_with('[') && !line.starts_with("[[service.");
        if is_top {
            blocks.push(String::new());
        }
        let block = blocks.last_mut().expect("one at least");
        let _ = writeln!(block, "{line}");
    }
    blocks
}

#[test]
fn the_order_of_tables_means_nothing() {
    for (name, text) in ALL {
        let mut turned = blocks(text);
        turned.reverse();
        let (one, other) = (run(text), run(&turned.concat()));
        assert_eq!(one.digest, other.digest, "{name}");
        assert_eq!(numbers(&one), numbers(&other), "{name}");
    }
}

/// A service that nobody calls, whose name sorts before, between or after the others.
fn idle(name: &str, meshed: bool) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nmeshed = {meshed}\n[[service.workload]]\nreplicas = 3\ntime = \"1ms\"\n"
    )
}

/// What the requests of the others look like.
fn requests(run: &Run) -> Vec<(&'static str, String)> {
    let all = numbers(run).into_iter();
    all.filter(|(name, _)| matches!(*name, "outcomes.csv" | "latency.hgrm" | "latency.hlog"))
        .collect()
}

#[test]
fn an_idle_service_outside_the_mesh_moves_no_request() {
    for (name, text) in ALL {
        let alone = run(text);
        for other in ["aaa", "middle", "zzz"] {
            let more = run(&(text.to_owned() + &idle(other, false)));
            assert_eq!(requests(&alone), requests(&more), "{name} with {other}");
            assert_eq!(alone.attempts, more.attempts, "{name} with {other}");
            // Where its own pods are evicted, they make pods and pushes of their own.
            if name != "faults" {
                assert_eq!(alone.control_plane, more.control_plane, "{name} with {other}");
            }
        }
    }
}

#[test]
fn an_idle_service_in_the_mesh_takes_no_draw_of_another() {
    // Its proxies have certificates and streams of their own, and share the work of istiod: what
    // may move is when a push or a certificate is ready, so only a calm scenario stays equal.
    let calm = CONTROL.split("[[event]]").next().expect("a beginning");
    let alone = run(calm);
    for other in ["aaa", "zzz"] {
        let more = run(&(calm.to_owned() + &idle(other, true)));
        assert_eq!(requests(&alone), requests(&more), "with {other}");
    }
}

#[test]
fn retries_leave_arrivals_and_first_attempts_as_they_were() {
    // Enough workers that nobody waits for another's retry.
    let text = r#"
[scenario]
duration = "30s"
interval = "100ms"
[mesh]
profile = "istio-sidecar@1.28"
proxy.client_telemetry = "0s"
proxy.server_telemetry = "0s"
[[service]]
name = "web"
balancer = "random"
retries = { attempts = 0, on = ["5xx"] }
[[service.route]]
weights = { v1 = 1, v2 = 1 }
[[service.workload]]
version = "v1"
workers = 1000
time = { exponential = "5ms" }
errors = "20%"
[[service.workload]]
version = "v2"
workers = 1000
time = { exponential = "5ms" }
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = "100rps" }
"#;
    let without = run(text);
    let with = run_with(text, &["service.web.retries.attempts=2"]);
    assert_eq!(with.attempts.calls, without.attempts.calls);
    assert!(0 < with.attempts.retries && without.attempts.retries == 0);
    // Same split, call by call; whoever fails first and is not retried would have been retried.
    let of_version = |run: &Run, version: &str| -> u64 {
        run.outcomes.iter().filter(|row| row.version == version).map(|row| row.count).sum()
    };
    for version in ["v1", "v2"] {
        assert_eq!(of_version(&with, version), of_version(&without, version), "{version}");
    }
    // v1 answered each first attempt with the same result: every failure of the one run is a first
    // retry of the other, and retries beyond those are second ones.
    let failed_first = without.requests.failed();
    let served: u64 = with.services.iter().map(|row| row.requests.total).sum();
    assert_eq!(served, with.attempts.calls + with.attempts.retries);
    let failed_tries: u64 = with.services.iter().map(|row| row.requests.failed()).sum();
    let second = failed_tries - failed_first;
    assert_eq!(with.attempts.retries, failed_first + second - with.requests.failed());
}

#[test]
fn every_build_gives_the_committed_digests() {
    let mut list = String::new();
    for (name, text) in ALL {
        let run = run(text);
        let _ = writeln!(list, "{name} {:032x} {} events", run.digest, run.events);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/digests.txt");
    if crate::tree::blesses() {
        std::fs::write(path, &list).expect("the golden file is written");
    }
    let golden = std::fs::read_to_string(path).expect("the golden file");
    assert_eq!(list, golden, "MESHSIM_BLESS=1 writes the file anew");
}
