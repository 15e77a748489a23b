//! The world against rules that were measured on real Envoys and read in Istio's and Kubernetes'
//! sources: a small scenario each, and what must come out, exactly or as a binomial share.
//!
//! Source: measurements of Envoy 1.40, by family (e02 retries, e04 breakers, …); the
//! parameters' own sources for Istio and Kubernetes.

use crate::support::{assert_share, count, ledger, run, run_with};
use meshsim::observe::run::Run;
use meshsim::vocabulary::metric::Gauge;

/// One gateway proxy with one worker in front of `server`, one request at a time unless said
/// otherwise, endpoints frozen by an istiod that is away.
fn mesh(duration: &str, service: &str, workload: &str, arrivals: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "{duration}"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
proxy.workers = 1
[[service]]
name = "server"
{service}
[[service.workload]]
version = "v1"
{workload}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {arrivals}
{more}
"#
    )
}

const ISTIOD_AWAY: &str = r#"
[[event]]
id = "istiod-away"
at = "100ms"
do = "fail"
target = "istiod"
"#;

fn fails(id: &str, target: &str, at: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"fail\"\ntarget = \"{target}\"\n{more}\n"
    )
}

fn users(run: &Run) -> String {
    ledger(run, "users", "server")
}

fn gauge(run: &Run, gauge: Gauge) -> Vec<f64> {
    run.series.iter().map(|row| row.gauges[gauge as usize]).collect()
}

// === retries (e02) ===

#[test]
fn failures_follow_p_to_the_number_of_tries() {
    for retries in 0..=3_u32 {
        let service = format!("retries = {{ attempts = {retries}, on = [\"5xx\"] }}");
        let workload = "workers = 100\ntime = \"1ms\"\nerrors = { share = 0.5, status = 503 }";
        let run = run(&mesh("40s", &service, workload, "{ constant = \"200rps\" }", ""));
        let ended = if retries == 0 { "503 -" } else { "503 URX" };
        let failed = count(&run, "users", "server", ended);
        assert_eq!(failed, run.requests.failed(), "{}", users(&run));
        let share = 0.5_f64 / f64::from(1 << retries);
        assert_share("failures", failed, run.requests.total, share, 4.0);
    }
}

#[test]
fn istios_default_set_leaves_an_apps_503_alone_and_before_1_24_it_did_not() {
    let workload = "time = \"1ms\"\nerrors = { share = 1.0, status = 503 }";
    let text = mesh("5s", "", workload, "{ constant = \"20rps\" }", "");
    let today = run(&text);
    assert_eq!((users(&today).as_str(), today.attempts.retries), ("503 -: 99", 0));
    let before = run(&text.replace("@1.28", "@1.20"));
    assert_eq!(users(&before), "503 URX: 99");
    assert_eq!(before.attempts.retries, 2 * before.attempts.calls);
}

// === timeouts (e03) ===

#[test]
fn a_route_timeout_is_504_ut_and_never_retried() {
    let service = "timeout = \"50ms\"\nretries = { attempts = 2, on = [\"5xx\", \"reset\"] }";
    let workload = "workers = 100\ntime = \"200ms\"";
    let run = run(&mesh("5s", service, workload, "{ constant = \"20rps\" }", ""));
    assert_eq!((users(&run).as_str(), run.attempts.retries), ("504 UT: 98", 0));
    let p50 = run.latency.quantile(0.5).unwrap();
    assert!((50_000_000..51_000_000).contains(&p50), "{p50}");
}

#[test]
fn a_per_try_timeout_is_504_ut_and_retried_by_5xx_but_not_by_istios_default_set() {
    let workload = "workers = 100\ntime = \"200ms\"";
    let with = |on: &str| {
        let service = format!("retries = {{ attempts = 2, per_try_timeout = \"20ms\"{on} }}");
        run(&mesh("5s", &service, workload, "{ constant = \"20rps\" }", ""))
    };
    let retried = with(", on = [\"5xx\"]");
    assert!(users(&retried).starts_with("504 URX,UT: "), "{}", users(&retried));
    assert!(2 * (retried.attempts.calls - 2) <= retried.attempts.retries);
    let default = with("");
    assert!(users(&default).starts_with("504 UT: "), "{}", users(&default));
    assert_eq!(default.attempts.retries, 0);
}

// === breakers and pools (e04, e14) ===

#[test]
fn an_overflow_of_ones_own_breaker_is_503_uo_and_not_retried() {
    let service =
        "circuit_breaker = { max_requests = 1 }\nretries = { attempts = 2, on = [\"5xx\"] }";
    let workload = "workers = 100\ntime = \"95ms\"";
    let run = run(&mesh("10s", service, workload, "{ constant = \"100rps\" }", ""));
    assert_eq!(run.attempts.retries, 0, "{}", users(&run));
    let refused = count(&run, "users", "server", "503 UO");
    assert_eq!(refused, run.requests.failed());
    // One in ten gets in: each holds the slot while nine more come.
    assert!((880..=900).contains(&refused), "{}", users(&run));
}

#[test]
fn of_a_cold_burst_of_three_one_connection_with_one_waiting_place_admits_one() {
    let service = "circuit_breaker = { max_connections = 1, max_pending = 1 }";
    let burst = "{ closed = { users = 3, think = \"1s\" } }";
    let run = run(&mesh("1500ms", service, "workers = 10\ntime = \"30ms\"", burst, ""));
    assert_eq!(users(&run), "200 -: 1, 503 UO: 2");
}

#[test]
fn a_cold_http1_pool_opens_a_connection_for_each_who_waits_and_http2_one() {
    let burst = "{ closed = { users = 5, think = \"1s\" } }";
    for (protocol, connections) in [("http1", 5.0), ("http2", 1.0)] {
        let service = format!("protocol = \"{protocol}\"");
        let text = mesh("1500ms", &service, "workers = 10\ntime = \"30ms\"", burst, "");
        let run = run(&text.replace("[mesh]", "interval = \"100ms\"\n[mesh]"));
        assert_eq!(gauge(&run, Gauge::Connections).last(), Some(&connections), "{protocol}");
        assert_eq!(users(&run), "200 -: 5");
    }
}

// === the table of failures (e06) ===

#[test]
fn no_endpoint_is_uh_and_a_version_that_nobody_defined_is_nc() {
    let constant = "{ constant = \"100rps\" }";
    let none = run(&mesh("5s", "", "replicas = 0\ntime = \"1ms\"", constant, ""));
    assert_eq!(users(&none), "503 UH: 499");
    assert_eq!(none.attempts.retries, 0, "no host is not retried");
    let route = "[[service.route]]\nweights = { v1 = 75, v9 = 25 }";
    let some = run(&mesh("40s", route, "workers = 9\ntime = \"1ms\"", constant, ""));
    let missing = count(&some, "users", "server", "503 NC");
    assert_share("NC", missing, some.requests.total, 0.25, 4.0);
    assert_eq!(missing, some.requests.failed(), "{}", users(&some));
}

// === balancing (e07, e12) ===

#[test]
fn round_robin_meets_a_dead_host_of_three_in_half_and_of_two_in_all_requests() {
    for (replicas, share) in [(3, 0.5), (2, 1.0)] {
        let workload = format!("replicas = {replicas}\ntime = \"1ms\"");
        let dead = ISTIOD_AWAY.to_owned() + &fails("dead", "pod:server-v1-0", "1s", "");
        let text =
            mesh("21s", "balancer = \"round_robin\"", &workload, "{ constant = \"10rps\" }", &dead);
        let run = run(&text.replace("[mesh]", "warmup = \"2s\"\n[mesh]"));
        assert_eq!(run.requests.failed(), 0, "{}", users(&run));
        let expected = share * run.attempts.calls as f64;
        let retries = run.attempts.retries as f64;
        assert!((retries - expected).abs() <= 1.0, "{retries} retries of {expected}");
    }
}

#[test]
fn least_request_gives_five_ninths_to_the_one_of_three_that_fails_fast() {
    let dead = fails("dead", "pod:server-v1-0", "100ms", "part = \"app\"");
    let workload = "replicas = 3\nworkers = 1000\ntime = \"100ms\"";
    let text = mesh("11s", "", workload, "{ poisson = \"1000rps\" }", &dead);
    // Its sidecar answers at once; with tries of its own it is not that fast.
    let mesh = "warmup = \"1s\"\n[mesh]\nretry.inbound_attempts = 0";
    let run = run(&text.replace("[mesh]", mesh));
    let failed = count(&run, "users", "server", "503 -");
    assert_eq!(failed, run.requests.failed(), "{}", users(&run));
    assert_share("black hole", failed, run.requests.total, 5.0 / 9.0, 4.0);
}

// === outlier detection (e05) ===

#[test]
fn ten_percent_of_three_hosts_is_nobody_and_a_hundred_is_somebody() {
    let dead = fails("dead", "pod:server-v1-0", "100ms", "part = \"app\"");
    let ejected = |service: &str| {
        let workload = "replicas = 3\nworkers = 9\ntime = \"1ms\"";
        let run = run(&mesh("20s", service, workload, "{ constant = \"100rps\" }", &dead));
        gauge(&run, Gauge::Ejected).into_iter().fold(0.0, f64::max)
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 0.5, "{a} ejected, not {b}");
    close(ejected("outlier_detection = true"), 0.0);
    close(ejected("outlier_detection = { max_ejection_share = \"100%\" }"), 1.0);
}

// === pods and proxies that die (e13) ===

#[test]
fn a_killed_pod_loses_exactly_its_requests_in_flight() {
    let dead = ISTIOD_AWAY.to_owned() + &fails("dead", "pod:server-v1-0", "2s", "");
    let workload = "replicas = 2\nworkers = 100\ntime = \"50ms\"";
    let constant = "{ constant = \"100rps\" }";
    let run = run(&mesh("6s", "balancer = \"round_robin\"", workload, constant, &dead));
    // 50 rps for 50 ms: two or three are in it; whoever comes later is refused and tried again.
    let lost = count(&run, "users", "server", "503 UC");
    assert!((2..=3).contains(&lost), "{}", users(&run));
    assert_eq!(lost, run.requests.failed(), "{}", users(&run));
    // At least every second of 400, and each of them if retries never overlapped.
    assert!((200..=400).contains(&run.attempts.retries), "{} retries", run.attempts.retries);
}

#[test]
fn a_dead_app_behind_a_live_sidecar_is_a_plain_503_that_is_not_retried() {
    let dead = fails("dead", "pod:server-v1-0", "1s", "part = \"app\"");
    let workload = "replicas = 2\nworkers = 100\ntime = \"50ms\"";
    let constant = "{ constant = \"100rps\" }";
    let text = mesh("6s", "balancer = \"round_robin\"", workload, constant, &dead);
    let run = run(&text.replace("[mesh]", "warmup = \"900ms\"\n[mesh]"));
    assert_eq!(run.attempts.retries, 0);
    // Those that were in the app when it died see no flag either: the proxy answers for it.
    let failed = count(&run, "users", "server", "503 -");
    assert_eq!(failed, run.requests.failed(), "{}", users(&run));
    assert!((245..=255).contains(&failed), "{}", users(&run));
}

#[test]
fn a_pod_that_an_event_took_down_comes_back_whatever_its_set_means_by_then() {
    // Half of three, so two, fail; the third goes with its node and is not replaced. Half of the
    // two that are left is one: the other stayed down for ever, since the set was asked anew when
    // the event ended.
    let places = "[[node]]\nname = \"a\"\n[[node]]\nname = \"b\"\n[[node]]\nname = \"c\"\n";
    let events = fails("injector", "istiod/injector", "500ms", "")
        + &fails("half", "service:server", "1s", "share = 0.5\nfor = \"20s\"")
        + &fails("node", "node:c", "2s", "");
    let mesh = "kubernetes.node_grace = \"1s\"\nkubernetes.eviction_after = \"1s\"";
    let run = run(&quiet("60s", "1s", 3, mesh, &(places.to_owned() + &events)));
    let ready = gauge(&run, Gauge::PodsReady);
    assert!((ready.last().unwrap() - 2.0).abs() < 1e-9, "{ready:?}");
}

#[test]
fn a_cut_link_takes_the_connect_timeout_and_a_dead_pod_is_refused_at_once() {
    let places = "[[node]]\nname = \"a\"\n[[node]]\nname = \"b\"\n[[service]]\nname = \"client\"\n[[service.workload]]\nnodes = [\"a\"]\ntime = \"1ms\"\n[[traffic]]\nid = \"calls\"\nfrom = \"client\"\nto = \"server\"\narrivals = { constant = \"2/m\" }\n";
    let workload = "nodes = [\"b\"]\ntime = \"1ms\"";
    let latency_ms = |event: &str| {
        let events = places.to_owned() + event;
        let text = mesh(
            "10m",
            "retries = { attempts = 0 }",
            workload,
            "{ closed = { users = 1, think = \"1h\" } }",
            &events,
        );
        let run = run(&text);
        let failed = count(&run, "client", "server", "503 UF");
        assert_eq!(failed, run.requests.total, "{}", ledger(&run, "client", "server"));
        assert!(15 < failed);
        run.latency.mean_ns() / 1e6
    };
    let cut = "[[event]]\nid = \"cut\"\nat = \"0s\"\ndo = \"cut\"\ntarget = \"link:a<->b\"\n";
    // One at a time: whoever else waited for a connection to this endpoint would fail with it.
    let black_hole = latency_ms(cut);
    assert!((10_000.0..10_001.0).contains(&black_hole), "{black_hole} ms");
    let dead = "[[event]]\nid = \"away\"\nat = \"0s\"\ndo = \"fail\"\ntarget = \"istiod\"\n"
        .to_owned()
        + &fails("dead", "pod:server-v1-0", "1ms", "");
    let refused = latency_ms(&dead);
    assert!(refused < 2.0, "{refused} ms");
}

// === certificates (e08) ===

/// `client` calls `server` with a new connection for each request; certificates last 20 s, the CA
/// is away from 9 s on, and whom `restart` names has a certificate younger by 7 s.
fn expiring(restart: &str, connections: &str) -> String {
    format!(
        r#"
[scenario]
duration = "26s"
warmup = "21s"
start = "cold"
[mesh]
profile = "istio-sidecar@1.28"
cert.ttl = "20s"
cert.session_resumption = false
[[service]]
name = "server"
{connections}
[[service.workload]]
time = "1ms"
[[service]]
name = "client"
[[service.workload]]
time = "1ms"
[[traffic]]
id = "calls"
from = "client"
to = "server"
arrivals = {{ constant = "20rps" }}
[[event]]
id = "restart"
at = "5s"
do = "restart"
target = "service:{restart}"
[[event]]
id = "ca-away"
at = "9s"
do = "fail"
target = "istiod/ca"
"#
    )
}

#[test]
fn an_expired_server_is_urx_uf_and_an_expired_client_is_uc() {
    let each = "connections = { max_requests = 1 }";
    let server = run(&expiring("client", each));
    assert_eq!(ledger(&server, "client", "server"), "503 URX,UF: 100");
    let client = run(&expiring("server", each));
    assert_eq!(ledger(&client, "client", "server"), "503 UC: 100");
    assert_eq!(client.attempts.retries, 0);
}

#[test]
fn open_connections_outlive_every_expiry() {
    for restart in ["client", "server"] {
        let run = run(&expiring(restart, ""));
        assert_eq!(run.requests.failed(), 0, "{}", ledger(&run, "client", "server"));
        assert!(0 < run.control_plane.certificates_expired);
    }
}

// === istiod away ===

/// No traffic: certificates only.
fn quiet(duration: &str, interval: &str, replicas: u32, mesh: &str, events: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"{interval}\"\n[mesh]\nprofile = \"istio-sidecar@1.28\"\n{mesh}\n[[service]]\nname = \"server\"\n[[service.workload]]\nreplicas = {replicas}\ntime = \"1ms\"\n{events}"
    )
}

#[test]
fn the_expired_share_of_an_outage_rises_linearly_from_12_to_24_hours() {
    // Ages are uniform up to the renewal at half of 24 h: after d hours the share of those with
    // less than d left is clamp((d − 12) / 12, 0, 1).
    let run = run(&quiet("30h", "1h", 400, "", &fails("away", "istiod", "0s", "")));
    for (hour, share) in gauge(&run, Gauge::CertificatesExpiredShare).into_iter().enumerate() {
        let expected = ((hour as f64 - 12.0) / 12.0).clamp(0.0, 1.0);
        assert!((share - expected).abs() <= 0.03, "after {hour} h: {share}, not {expected}");
    }
}

#[test]
fn after_the_return_of_the_authority_a_parked_proxy_waits_nine_seconds_on_average() {
    // Renewal theory, as computed in model::identity::retry: E[g²] / 2 E[g] = 9.1 s.
    let away = fails("away", "istiod/ca", "0s", "until = \"660s\"");
    let run = run(&quiet("720s", "1s", 1000, "cert.ttl = \"10m\"", &away));
    let expired = gauge(&run, Gauge::CertificatesExpiredShare);
    let after = &expired[660..];
    assert!((after[0] - 1.0).abs() < 1e-9, "all are expired at its return: {}", after[0]);
    // The mean of a wait is the area under the share of those who still wait.
    let mean = after.iter().sum::<f64>() - 0.5;
    assert!((8.4..9.8).contains(&mean), "{mean} s");
}

#[test]
fn without_its_webhook_a_mesh_refuses_pods_or_starts_them_naked() {
    let events = fails("away", "istiod", "1s", "")
        + "[[event]]\nid = \"more\"\nat = \"2s\"\ndo = \"scale\"\ntarget = \"service:server\"\nreplicas = 4\n";
    let text = quiet("60s", "1s", 2, "", &events);
    let fail = run(&text);
    assert_eq!(fail.control_plane.pods_created, 0);
    assert!(5 < fail.control_plane.pods_refused);
    let last = |run: &Run, of| gauge(run, of).last().copied().unwrap_or(0.0);
    assert!((last(&fail, Gauge::PodsMissing) - 2.0).abs() < 1e-9);
    let ignore = run_with(&text, &["mesh.webhook.failure_policy=\"ignore\""]);
    assert_eq!((ignore.control_plane.pods_created, ignore.control_plane.pods_refused), (2, 0));
    assert!((last(&ignore, Gauge::PodsReady) - 4.0).abs() < 1e-9);
    assert!((last(&ignore, Gauge::Proxies) - 2.0).abs() < 1e-9, "two have no sidecar");
}

#[test]
fn a_rolling_update_of_ten_pods_during_an_outage_stops_at_eight() {
    let events = fails("away", "istiod", "1s", "")
        + "[[event]]\nid = \"roll\"\nat = \"2s\"\ndo = \"rollout\"\ntarget = \"service:server\"\n";
    let run = run(&quiet("10m", "1s", 10, "", &events));
    let ready = gauge(&run, Gauge::PodsReady);
    assert!((ready.last().unwrap() - 8.0).abs() < 1e-9, "{ready:?}");
}

/// Envoy drains the pools of hosts that an EDS update removes. A proxy without requests used to keep
/// its connections to them until its next request, or until the pods were gone.
#[test]
fn an_idle_proxy_leaves_removed_endpoints_when_it_is_told_and_not_while_istiod_is_away() {
    let workload = "replicas = 4\ntime = \"1ms\"\nshutdown = { pre_stop = \"20s\" }";
    let scale = "[[event]]\nid = \"less\"\nat = \"10s\"\ndo = \"scale\"\ntarget = \"service:server\"\nreplicas = 1\n";
    let arrivals = "{ constant = { steps = [[\"0s\", \"50rps\"], [\"8s\", \"0rps\"]] } }";
    let text =
        mesh("20s", "", workload, arrivals, scale).replace("[mesh]", "interval = \"1s\"\n[mesh]");
    let open = |text: &str| {
        let open = gauge(&run(text), Gauge::Connections);
        [open[9], open[12], open[19]].map(|count| format!("{count:.0}"))
    };
    assert_eq!(open(&text), ["4", "1", "1"]);
    assert_eq!(open(&(text + ISTIOD_AWAY)), ["4", "4", "4"]);
}

/// `front` calls `server`; `other` is restarted at 10 s. Each has two pods, and nobody sees all.
fn scoped(front: &str, more: &str) -> Run {
    let service = |name: &str, egress: &str, calls: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\n{egress}\n\
             workload = [{{ replicas = 2, time = \"1ms\", calls = [{calls}] }}]\n"
        )
    };
    run(&format!(
        "[scenario]\nduration = \"60s\"\ninterval = \"1s\"\n{}{}{}\
         [[traffic]]\nid = \"users\"\nfrom = \"front\"\nto = \"server\"\n\
         arrivals = {{ constant = \"5rps\" }}\n\
         [[event]]\nid = \"again\"\nat = \"10s\"\ndo = \"restart\"\ntarget = \"service:other\"\n{more}",
        service("front", front, ""),
        service("server", "egress = []", ""),
        service("other", "egress = []", ""),
    ))
}

#[test]
fn a_change_outside_a_scope_is_neither_pushed_nor_missed() {
    let (narrow, wide, all) = ("egress = [\"server\"]", "egress = [\"server\", \"other\"]", "");
    let pushes = |front| scoped(front, "").control_plane.pushes;
    // The two that start again are pushed to; `front` only if it knows them.
    assert_eq!(pushes(narrow), 2);
    assert!(2 < pushes(wide));
    assert_eq!(pushes(wide), pushes(all));
    let staleness = |front| {
        let run = scoped(front, ISTIOD_AWAY);
        gauge(&run, Gauge::ConfigStaleness).into_iter().fold(0.0, f64::max)
    };
    assert!(staleness(narrow) <= 0.0, "{}", staleness(narrow));
    assert!(40.0 < staleness(wide), "{}", staleness(wide));
    assert!((staleness(wide) - staleness(all)).abs() < 1e-9);
}

// === the timeline ===

/// Two windows on one target overlap: each end takes back its own part only. They used to share
/// one value, and the first end took everything back.
#[test]
fn overlapping_windows_end_apart() {
    let run = run(r#"
[scenario]
duration = "8s"
interval = "1s"
[mesh]
profile = "none"
network = { same_node = "0s", same_zone = "0s" }
[[service]]
name = "server"
[[service.workload]]
workers = 9
time = "10ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = { constant = "10rps" }
[[event]]
id = "twice"
at = "1s"
for = "4s"
do = "slow"
target = "service:server"
factor = 2.0
[[event]]
id = "thrice"
at = "3s"
for = "4s"
do = "slow"
target = "service:server"
factor = 3.0
"#);
    let p50_ms = run.series.iter().map(|row| row.p50_ns.map(|ns| (ns as f64 / 1e6).round()));
    let expected = [10.0, 20.0, 20.0, 60.0, 60.0, 30.0, 30.0, 10.0].map(Some);
    assert_eq!(p50_ms.collect::<Vec<_>>(), expected);
}
