//! Overload of proxies: what is refused while too much is under way, and what becomes of connections.
//!
//! Source: Envoy's triggers and actions; see `model::proxy::filter::overload` and `world::overload`.

use crate::support::{assert_share, count, ledger, plan_with, play, run};
use meshsim::observe::run::Run;
use meshsim::world::options::Options;

/// A hundred requests a second that take a second each, through a gateway and a sidecar of which one has
/// this policy.
fn loaded(at: &str, overload: &str) -> Run {
    run(&format!(
        r#"
[scenario]
duration = "42s"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
[[service]]
name = "server"
[[service.workload]]
workers = 1000
time = "1s"
[[filter]]
at = "{at}"
overload = {{ {overload} }}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "100rps" }}
[[event]]
id = "no-more"
at = "40010ms"
do = "traffic"
target = "traffic:users"
factor = 0
"#
    ))
}

#[test]
fn a_threshold_refuses_all_until_the_next_look() {
    for at in ["ingress", "server"] {
        // A second of all and a second of none: when it is looked, either 100 or nobody is there.
        let run = loaded(at, "max_active_requests = 50, threshold = \"100%\"");
        let refused = count(&run, "users", "server", "503 -");
        assert!((1_800..=2_100).contains(&refused), "{at}: {}", ledger(&run, "users", "server"));
        let spacious = loaded(at, "max_active_requests = 110, threshold = \"100%\"");
        assert_eq!(ledger(&spacious, "users", "server"), "200 -: 4000", "{at}");
    }
}

#[test]
fn a_scaled_trigger_settles_where_both_agree() {
    // With 75 of 200 under way a quarter is refused, and three quarters are 75.
    let scaled = "max_active_requests = 200, refresh_interval = \"50ms\", \
                  scaling_threshold = \"25%\", saturation_threshold = \"75%\"";
    for at in ["ingress", "server"] {
        let run = loaded(at, scaled);
        assert_share(at, count(&run, "users", "server", "503 -"), 4_000, 0.25, 4.0);
    }
}

#[test]
fn what_is_refused_passes_no_filter_and_is_logged_as_overload() {
    let run = run(r#"
[scenario]
duration = "5s"
[mesh]
profile = "none"
[[service]]
name = "server"
[[service.workload]]
time = "1ms"
[[filter]]
at = "ingress"
fault = { abort = 418 }
[[filter]]
at = "ingress"
overload = { max_active_requests = 1, threshold = 0 }
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = { constant = "10rps" }
"#);
    let details: Vec<_> = run.outcomes.iter().map(|row| row.outcome.details.text()).collect();
    assert_eq!(details, ["overload"]);
    assert_eq!(ledger(&run, "users", "server").split(':').next(), Some("503 -"));
}

/// Requests from a gateway of one worker to a server whose sidecar has this filter.
fn relieved(service: &str, time: &str, filter: &str, rate: u32, rest: &str) -> Run {
    let text = format!(
        r#"
[scenario]
duration = "40s"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
proxy.workers = 1
[[service]]
name = "server"
{service}
[[service.workload]]
workers = 1000
time = "{time}"
[[filter]]
{filter}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "{rate}rps" }}
{rest}
"#
    );
    play(&plan_with(&text, &[]), Options { access_log: true, ..Options::default() })
}

/// Connections that the gateway opened to the server.
fn opened(run: &Run) -> u64 {
    let log = run.access_log.as_ref().expect("it was asked for");
    log.counters.values().map(|one| one.connections).sum()
}

const CLEAR: &str = "tls = \"disable\"\npeer_authentication = \"permissive\"";
const PATIENT: &str = "connections = { connect_timeout = \"60s\" }";
const ONCE: &str = "retries = { attempts = 0 }";

#[test]
fn connections_above_the_limit_are_accepted_and_closed() {
    // Each of five connections serves one request in 1.1 s, of eleven that come: in the clear they are up before they are closed (UC),
    // with TLS they never were (UF, a connect failure, which the default policy tries again).
    let ends = |service: &str, limit: &str| {
        relieved(
            service,
            "1s",
            &format!("at = \"server\"\nconnection_limit = {{ {limit} }}"),
            10,
            "",
        )
    };
    for limit in ["max_connections = 5", "global_downstream_max_connections = 5"] {
        let clear = ends(CLEAR, limit);
        let (ok, cut) =
            (count(&clear, "users", "server", "200 -"), count(&clear, "users", "server", "503 UC"));
        assert!((170..=185).contains(&ok) && (210..=225).contains(&cut), "{ok} {cut}");
        let tls = ends(ONCE, limit);
        let (ok, cut) =
            (count(&tls, "users", "server", "200 -"), count(&tls, "users", "server", "503 UF"));
        assert!((170..=185).contains(&ok) && (210..=225).contains(&cut), "{ok} {cut}");
        assert_eq!(count(&tls, "users", "server", "503 UC"), 0);
    }
    // The lesser limit holds, whichever of the two it is: over HTTP/2 of as many connections as a request at a time
    // takes, and no fewer.
    for (listener, process) in [(5, 9), (9, 5)] {
        let limits =
            format!("max_connections = {listener}, global_downstream_max_connections = {process}");
        let of = |most: u32| {
            let each =
                format!("protocol = \"http2\"\nconnections = {{ max_streams = {most} }}\n{ONCE}");
            ends(&each, &limits)
        };
        let h2 = of(1);
        let (ok, cut) =
            (count(&h2, "users", "server", "200 -"), count(&h2, "users", "server", "503 UF"));
        assert!((170..=185).contains(&ok) && (210..=225).contains(&cut), "{ok} {cut}");
        // Three streams on each: four connections carry all eleven.
        let shared = of(3);
        assert_eq!(ledger(&shared, "users", "server").split(',').count(), 1);
        assert!(count(&shared, "users", "server", "200 -") > 385);
    }
}

#[test]
fn a_gateway_limits_the_connections_of_its_clients() {
    let limit = "at = \"ingress\"\nconnection_limit = { max_connections = 5 }";
    let run = relieved("", "1s", limit, 10, "");
    let (ok, cut) =
        (count(&run, "users", "server", "200 -"), count(&run, "users", "server", "503 UC"));
    assert!((170..=185).contains(&ok) && (210..=225).contains(&cut), "{ok} {cut}");
    // Its proxy has served nobody of them, and knows nothing of their requests.
    let logged = run.access_log.as_ref().expect("it was asked for").calls.len();
    assert!((170..=190).contains(&logged), "{logged}");
}

#[test]
fn a_scaled_action_rejects_a_share_of_the_connections() {
    // Each of 20 requests a second takes a second on a connection of its own; u · 20 of them are under way. What is
    // closed is s = (u - low) / (high - low), and what is let in is u = 1 - s.
    let each = format!("{CLEAR}\nconnections = {{ max_requests = 1 }}");
    for (low, high) in [(0.25, 0.75), (0.5, 1.0), (0.0, 0.5)] {
        let filter = format!(
            "at = \"server\"\noverload = {{ action = \"reject_incoming_connections\", \
             max_active_connections = 20, refresh_interval = \"50ms\", \
             scaling_threshold = {low:?}, saturation_threshold = {high:?} }}"
        );
        let run = relieved(&each, "1s", &filter, 20, "");
        let share = (1.0 - low) / (1.0 + high - low);
        let what = format!("from {low} to {high}");
        assert_share(&what, count(&run, "users", "server", "503 UC"), 800, share, 4.0);
    }
}

#[test]
fn a_listener_that_stands_still_lets_clients_wait() {
    // With five under way it stands still, on five connections: half of the requests wait until no more come,
    // and nobody is refused.
    let stop = "overload = { action = \"stop_accepting_connections\", max_active_requests = 5, \
                threshold = \"100%\", refresh_interval = \"100ms\" }";
    let end = "[[event]]\nid = \"no-more\"\nat = \"10010ms\"\ndo = \"traffic\"\n\
               target = \"traffic:users\"\nfactor = 0";
    for (at, service) in [("ingress", ""), ("server", PATIENT)] {
        let filter = format!("at = \"{at}\"\n{stop}");
        let run = relieved(service, "1s", &filter, 10, end);
        assert_eq!(ledger(&run, "users", "server"), "200 -: 100", "{at}");
        assert!(5_000_000_000 < run.latency.max_ns(), "{at}: {}", run.latency.max_ns());
    }
}

#[test]
fn without_keep_alive_each_request_has_its_own_connection() {
    let off = |most: u32, share: &str| {
        let filter = format!(
            "at = \"server\"\noverload = {{ action = \"disable_http_keepalive\", \
             max_active_requests = {most}, {share}, refresh_interval = \"20ms\" }}"
        );
        let run = relieved("", "50ms", &filter, 40, "");
        assert_eq!(ledger(&run, "users", "server").split(',').count(), 1);
        opened(&run)
    };
    let (kept, closed) = (off(1_000, "threshold = \"100%\""), off(4, "threshold = \"0%\""));
    assert!(kept < 20, "{kept}");
    assert!(1_590 < closed, "{closed}");
    // Two of four under way: half of the answers.
    let half = off(4, "scaling_threshold = \"0%\", saturation_threshold = \"100%\"");
    assert_share("half", half, 1_600, 0.5, 6.0);
}

/// Ten requests at once, each four seconds.
const BURSTS: &str = "[[event]]\nid = \"rest\"\nat = \"2s\"\nuntil = \"30s\"\ndo = \"traffic\"\n\
                      target = \"traffic:users\"\nfactor = 0";

#[test]
fn idle_connections_are_closed_sooner_under_pressure() {
    let reduced = |service: &str, most: u32| {
        let filter = format!(
            "at = \"server\"\noverload = {{ action = \"reduce_timeouts\", min_timeout = \"2s\", \
             max_active_connections = {most}, threshold = \"100%\" }}"
        );
        let run = relieved(service, "200ms", &filter, 10, BURSTS);
        assert_eq!(ledger(&run, "users", "server").split(',').count(), 1, "{service}");
        opened(&run)
    };
    for (service, most) in [("", 3), ("protocol = \"http2\"", 1)] {
        // What was open in the first two seconds is used again after the rest, or opened anew: a request is
        // under way for 200 ms and a bit of every 100 ms, on two connections or three, or on one over HTTP/2.
        let (kept, closed) = (reduced(service, 1_000), reduced(service, 1));
        assert!((1..=most).contains(&kept), "{service}: {kept}");
        assert_eq!(closed, 2 * kept, "{service}");
    }
}

#[test]
fn a_busy_proxy_refuses_by_an_average_of_its_cpu() {
    // A hundred requests of 5 ms are half of a worker: the average is above 40 % after 32 looks, since
    // 0.95^32 = 0.19, and stays there, as what is refused costs as much.
    let cpu = "at = \"server\"\noverload = { cpu_utilization = true, threshold = \"40%\" }";
    let slow = [
        "proxy.server_request = \"3ms\"",
        "proxy.server_response = \"2ms\"",
        "proxy.server_telemetry = \"0s\"",
    ];
    let text = format!(
        r#"
[scenario]
duration = "60s"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
proxy.workers = 1
{}
[[service]]
name = "server"
[[service.workload]]
workers = 1000
time = "1ms"
[[filter]]
{cpu}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "100rps" }}
"#,
        slow.join("\n")
    );
    let run = run(&text);
    let served = count(&run, "users", "server", "200 -");
    assert!((3_100..=3_400).contains(&served), "{}", ledger(&run, "users", "server"));
}
