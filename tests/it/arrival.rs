//! Configuration as it arrives: clusters, endpoints, listeners and routes, when they come, in which order,
//! and what proxies make of them.
//!
//! Source: Envoy's xDS; Istio's order of pushes; measured on Envoy 1.40 (families e09, e11, e13).

use crate::support::{count, ledger, run, try_plan};
use meshsim::observe::run::Run;
use meshsim::vocabulary::fact::FactKind;

/// A gateway before a server of two versions, 20 requests a second for 10 s.
fn text(mesh: &str, service: &str, events: &str) -> String {
    format!(
        r#"
[scenario]
duration = "12s"
[mesh]
ingress.replicas = 1
{mesh}
[[service]]
name = "server"
balancer = "round_robin"
retries = {{ attempts = 0 }}
{service}
[[service.workload]]
version = "v1"
time = "1ms"
[[service.workload]]
version = "v2"
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "20rps" }}
[[event]]
id = "no-more"
at = "10010ms"
do = "traffic"
target = "traffic:users"
factor = 0
{events}
"#
    )
}

const NONE: &str = "profile = \"none\"";

fn event(id: &str, at: &str, until: &str, rest: &str) -> String {
    format!("[[event]]\nid = \"{id}\"\nat = \"{at}\"\nuntil = \"{until}\"\n{rest}\n")
}

fn played(mesh: &str, events: &str) -> Run {
    run(&text(mesh, "", events))
}

fn ended(mesh: &str, events: &str) -> String {
    ledger(&played(mesh, events), "users", "server")
}

fn of_users(run: &Run, ended: &str) -> u64 {
    count(run, "users", "server", ended)
}

/// Requests of one second are 20; pushes take a part of a second.
fn about(seconds: u64, count: u64) -> bool {
    (20 * seconds).abs_diff(count) <= 8
}

const REMOVED: &str = "do = \"cluster\"\ntarget = \"service:server\"\nremoved = true";

// === clusters ===

#[test]
fn a_removed_cluster_is_missing_until_it_is_told_again() {
    let removed = event("gone", "2s", "4s", REMOVED);
    // Without a control plane, what is told counts after the delay of the watch.
    let plain = played(NONE, &removed);
    let meshed = played("", &removed);
    for run in [&plain, &meshed] {
        assert!(about(2, of_users(run, "503 NC")), "{}", ledger(run, "users", "server"));
        assert_eq!(of_users(run, "503 NC") + of_users(run, "200 -"), 200);
    }
    // Only the cluster of one version: the routes name that of the whole service.
    let other = REMOVED.replace("service:server", "service:server/v2");
    assert_eq!(ended("", &event("gone", "2s", "4s", &other)), "200 -: 200");
}

#[test]
fn what_is_told_while_istiod_is_away_does_not_arrive() {
    let removed = event("gone", "2s", "4s", REMOVED);
    let away = event("away", "1s", "5s", "do = \"fail\"\ntarget = \"istiod\"");
    assert_eq!(ended("", &format!("{away}{removed}")), "200 -: 200");
    let removed = event("gone", "2s", "9s", REMOVED);
    // istiod's webhook would have to look at it, and is away: the API server refuses it.
    assert_eq!(ended("", &format!("{away}{removed}")), "200 -: 200");
    // Without validation it arrives afterwards, if it still holds.
    let trusting = "webhook.validation_policy = \"ignore\"";
    let late = played(trusting, &format!("{away}{removed}"));
    let missing = of_users(&late, "503 NC");
    assert!(0 < missing && missing < 70, "{missing} of 140");
}

#[test]
fn a_request_under_way_outlives_its_cluster() {
    let slow = text(NONE, "", &event("gone", "2s", "4s", REMOVED))
        .replace("time = \"1ms\"", "time = \"300ms\"\nworkers = 100");
    let run = run(&slow);
    assert!(about(2, of_users(&run, "503 NC")));
    assert_eq!(of_users(&run, "503 NC") + of_users(&run, "200 -"), 200, "nothing else");
}

#[test]
fn a_changed_cluster_has_its_new_policy_and_new_connections() {
    let change = |what: &str| {
        let rest = "do = \"cluster\"\ntarget = \"service:server\"\ncluster = ";
        event("changed", "2s", "4s", &format!("{rest}{{ {what} }}"))
    };
    let dropped = played("", &change("drop_overload = 1.0"));
    assert!(about(2, of_users(&dropped, "503 DO")), "{}", ledger(&dropped, "users", "server"));
    // The number of handshakes tells that no connection of the old one is used; no request is lost.
    let plain = played("", "");
    let changed = played("", &change("panic_threshold = 0.1"));
    assert_eq!(ledger(&changed, "users", "server"), "200 -: 200");
    let handshakes = |run: &Run| run.control_plane.handshakes;
    assert_eq!(3 * handshakes(&plain), handshakes(&changed), "once more there, and once back");
}

/// Events may change clusters before others, later in the file, name them.
#[test]
fn the_order_of_events_in_the_file_does_not_matter() {
    let change = |id: &str, version: &str| {
        event(
            id,
            "2s",
            "9s",
            &format!(
                "do = \"cluster\"\ntarget = \"service:server{version}\"\ncluster = {{ circuit_breaker = {{ max_requests = 100 }} }}"
            ),
        )
    };
    let route = event(
        "v2",
        "1s",
        "9s",
        "do = \"route\"\ntarget = \"service:server\"\nweights = { v2 = 1 }",
    );
    let changes = [change("all", ""), change("one", "/v1"), change("two", "/v2")].concat();
    let (before, after) =
        (ended("", &format!("{route}{changes}")), ended("", &format!("{changes}{route}")));
    assert_eq!((before.as_str(), after.as_str()), ("200 -: 200", "200 -: 200"));
}

#[test]
fn a_share_of_requests_is_dropped_as_the_service_says() {
    let run = run(&text("", "drop_overload = 0.5", ""));
    let dropped = of_users(&run, "503 DO");
    assert!((70..130).contains(&dropped), "{dropped} of 200");
}

// === endpoints ===

#[test]
fn eds_lists_who_gets_requests_and_an_empty_list_leaves_nobody() {
    let list = |list: &str| {
        let rest = format!("do = \"endpoints\"\ntarget = \"service:server\"\nlist = {list}");
        played("", &event("told", "2s", "4s", &rest))
    };
    let none = list("[]");
    assert!(about(2, of_users(&none, "503 UH")), "{}", ledger(&none, "users", "server"));
    assert_eq!(of_users(&none, "503 UH") + of_users(&none, "200 -"), 200);
    let one = list("[\"v1\"]");
    assert_eq!(ledger(&one, "users", "server"), "200 -: 200");
    let version = |run: &Run, version: &str| -> u64 {
        let rows = run.outcomes.iter().filter(|row| row.version == version);
        rows.map(|row| row.count).sum()
    };
    // Half of 160, and all of 40.
    assert!(version(&one, "v1").abs_diff(120) <= 8, "{}", version(&one, "v1"));
    // A changed cluster has the list, too.
    let changed = event(
        "changed",
        "1s",
        "5s",
        "do = \"cluster\"\ntarget = \"service:server\"\ncluster = { protocol = \"http2\" }",
    );
    let rest = "do = \"endpoints\"\ntarget = \"service:server\"\nlist = []";
    let both = played("", &format!("{changed}{}", event("told", "2s", "4s", rest)));
    assert!(about(2, of_users(&both, "503 UH")), "{}", ledger(&both, "users", "server"));
}

// === what is rejected ===

#[test]
fn a_proxy_keeps_what_it_accepted_last() {
    let rejected = "do = \"cluster\"\ntarget = \"service:server\"\nrejected = true";
    let run = played("", &event("bad", "2s", "4s", rejected));
    assert_eq!(ledger(&run, "users", "server"), "200 -: 200");
    let lines = run.log.iter();
    let rejections = lines.filter(|line| line.kind == FactKind::UpdateRejected).count();
    assert!(3 <= rejections, "{rejections}: the gateway and the sidecars");
}

#[test]
fn a_new_proxy_has_nothing_to_keep() {
    let weights = "do = \"route\"\ntarget = \"service:server\"\nweights = { v1 = 1 }";
    let restart = "[[event]]\nid = \"again\"\nat = \"3s\"\ndo = \"restart\"\n\
                   target = \"pod:ingress-0\"\n";
    let longer = |rest: &str| {
        let events = format!("{}{restart}", event("bad", "2s", "40s", rest));
        run(&text("", "", &events).replace("\"12s\"", "\"60s\"").replace("10010ms", "50010ms"))
    };
    let right = longer(weights);
    assert_eq!(of_users(&right, "404 NR"), 0, "{}", ledger(&right, "users", "server"));
    let wrong = longer(&format!("{weights}\nrejected = true"));
    let lost = of_users(&wrong, "404 NR");
    assert!((100..800).contains(&lost), "{}", ledger(&wrong, "users", "server"));
    // Without a cluster that it could accept it does not get ready at all.
    let bad = "do = \"cluster\"\ntarget = \"service:server\"\nrejected = true";
    let waits = longer(bad);
    let ready = |run: &Run| {
        let lines = run.log.iter();
        let again =
            lines.filter(|line| line.kind == FactKind::PodReady && line.subject == "ingress-0");
        again.map(|line| line.time.as_s()).next_back().unwrap_or(0.0)
    };
    assert!(ready(&right) < 30.0 && 40.0 < ready(&waits), "{} {}", ready(&right), ready(&waits));
}

// === type after type ===

/// A version whose cluster is added at the moment in which the routes begin to name it.
fn new_version(mesh: &str) -> Run {
    let absent = "do = \"cluster\"\ntarget = \"service:server/v2\"\nremoved = true";
    let route = "do = \"route\"\ntarget = \"service:server\"\nweights = { v2 = 1 }";
    played(
        mesh,
        &format!("{}{}", event("absent", "0s", "5s", absent), event("to-v2", "5s", "12s", route)),
    )
}

#[test]
fn a_route_that_arrives_before_its_cluster_leads_nowhere() {
    let missing = |order: &str| {
        let run = new_version(&format!("discovery = {{ order = [{order}], gap = \"1s\" }}"));
        assert_eq!(of_users(&run, "503 NC") + of_users(&run, "200 -"), 200);
        of_users(&run, "503 NC")
    };
    // Istio's order makes before it breaks.
    assert_eq!(missing(r#""cds", "eds", "lds", "rds""#), 0);
    // Two types later, the cluster is known; it is used when EDS has told of it, a type later.
    assert!((18..=22).contains(&missing(r#""lds", "rds", "cds", "eds""#).div_euclid(2)));
    assert!((18..=22).contains(&missing(r#""rds", "eds", "cds", "lds""#).div_euclid(2)));
    assert_eq!(ledger(&new_version(""), "users", "server"), "200 -: 200");
}

#[test]
fn a_changed_cluster_warms_until_eds_tells_of_it() {
    let change = "do = \"cluster\"\ntarget = \"service:server\"\ncluster = { drop_overload = 1.0 }";
    let changed = event("changed", "2s", "12s", change);
    let silent = event("silent", "1s", "6s", "do = \"fail\"\ntarget = \"istiod/eds\"");
    // The old one serves on for four seconds more.
    let warms = played("", &format!("{silent}{changed}"));
    assert!(about(4, of_users(&warms, "503 DO")), "{}", ledger(&warms, "users", "server"));
    assert_eq!(of_users(&warms, "503 DO") + of_users(&warms, "200 -"), 200);
}

#[test]
fn a_cluster_is_used_without_endpoints_when_the_fetch_takes_too_long() {
    let silent = event("silent", "1s", "6s", "do = \"fail\"\ntarget = \"istiod/eds\"");
    let timeout = "discovery = { initial_fetch_timeout = \"1500ms\" }";
    // Changed at 2 s, told at 2.6 s: the old one serves until 4.1 s, then nobody until 6 s.
    let change =
        "do = \"cluster\"\ntarget = \"service:server\"\ncluster = { protocol = \"http2\" }";
    let changed = event("changed", "2s", "12s", change);
    let run = played(timeout, &format!("{silent}{changed}"));
    let nobody = of_users(&run, "503 UH");
    assert!((36..=39).contains(&nobody), "{}", ledger(&run, "users", "server"));
    assert_eq!(nobody + of_users(&run, "200 -"), 200);
    // Without a limit nothing is lost.
    assert_eq!(ended("", &format!("{silent}{changed}")), "200 -: 200");
    // A new cluster: there is none from the beginning until the timeout.
    let absent = event("absent", "0s", "2s", REMOVED);
    let run = played(timeout, &format!("{absent}{silent}"));
    let (none, nobody) = (of_users(&run, "503 NC"), of_users(&run, "503 UH"));
    assert!((80..=84).contains(&none) && (36..=39).contains(&nobody), "{none} NC, {nobody} UH");
    let forever = played("", &format!("{absent}{silent}"));
    assert!(about(6, of_users(&forever, "503 NC")), "{}", ledger(&forever, "users", "server"));
}

#[test]
fn a_stream_that_is_lost_in_a_push_leaves_what_has_come() {
    // CDS takes the cluster away; the routes that do without it never come.
    let gone = "do = \"cluster\"\ntarget = \"service:server/v2\"\nremoved = true";
    let route = "do = \"route\"\ntarget = \"service:server\"\nweights = { v1 = 1 }";
    let to_v2 = "[[service.route]]\nweights = { v2 = 1 }";
    let away = event("away", "3500ms", "12s", "do = \"fail\"\ntarget = \"istiod\"");
    let both =
        format!("{}{}", event("gone", "2s", "12s", gone), event("to-v1", "2s", "12s", route));
    let of = |events: &str| run(&text("discovery = { gap = \"1s\" }", to_v2, events));
    let whole = of(&both);
    assert!(about(3, of_users(&whole, "503 NC")), "{}", ledger(&whole, "users", "server"));
    let torn = of(&format!("{both}{away}"));
    // From 2.6 s to the end.
    let lost = of_users(&torn, "503 NC");
    assert!((146..=150).contains(&lost), "{}", ledger(&torn, "users", "server"));
}

// === listeners and drains ===

#[test]
fn a_listener_that_is_replaced_loses_nothing_and_one_that_is_gone_everything() {
    let replaced = "do = \"listener\"\ntarget = \"ingress\"";
    for mesh in ["", NONE] {
        assert_eq!(ended(mesh, &event("lds", "2s", "4s", replaced)), "200 -: 200");
        let removed = format!("{replaced}\nremoved = true\nstrategy = \"immediate\"");
        let gone = played(mesh, &event("lds", "2s", "4s", &removed));
        assert!(about(2, 200 - of_users(&gone, "200 -")), "{}", ledger(&gone, "users", "server"));
        // Clients that keep their connections are served until the drain's end.
        let kept =
            format!("{replaced}\nremoved = true\nstrategy = \"gradual\"\ndrain_time = \"100s\"");
        let kept = played(mesh, &event("lds", "2s", "4s", &kept));
        let lost = 200 - of_users(&kept, "200 -");
        assert!(lost < 20, "{}", ledger(&kept, "users", "server"));
    }
    // What the gateway rejects changes nothing.
    let rejected = format!("{replaced}\nrejected = true");
    assert_eq!(ended("", &event("lds", "2s", "4s", &rejected)), "200 -: 200");
}

#[test]
fn over_http2_a_drain_loses_nothing_that_a_crash_loses() {
    // Ten requests are under way at any time, five at each server.
    let of = |event: &str| {
        let text = text("", "protocol = \"http2\"", event)
            .replace("time = \"1ms\"", "time = \"500ms\"\nworkers = 100");
        run(&text)
    };
    let drained = "do = \"drain\"\ntarget = \"service:server/v1\"\ndrain_time = \"30s\"";
    let drained = of(&event("end", "2s", "5s", drained));
    assert_eq!(ledger(&drained, "users", "server"), "200 -: 200");
    let crashed = of(&event("end", "2s", "5s", "do = \"fail\"\ntarget = \"service:server/v1\""));
    let cut = of_users(&crashed, "503 UC");
    assert!((3..=7).contains(&cut), "{}", ledger(&crashed, "users", "server"));
}

#[test]
fn a_drain_loses_nothing_and_ends_with_a_port_that_refuses() {
    let drain = "do = \"drain\"\ntarget = \"service:server/v1\"\ndrain_time = ";
    // Longer than the event: nothing is refused.
    let long = event("drain", "2s", "5s", &format!("{drain}\"30s\""));
    assert_eq!(ended("", &long), "200 -: 200");
    // Two seconds of refused connections, at one of two endpoints.
    let short = played("", &event("drain", "2s", "5s", &format!("{drain}\"1s\"")));
    assert!(about(1, of_users(&short, "503 UF")), "{}", ledger(&short, "users", "server"));
    assert_eq!(of_users(&short, "503 UF") + of_users(&short, "200 -"), 200);
}

#[test]
fn what_is_under_way_at_the_end_of_a_drain_is_cut() {
    let of = |drain: &str| {
        let rest = format!("do = \"listener\"\ntarget = \"ingress\"\n{drain}");
        let text = text(NONE, "", &event("lds", "2s", "11s", &rest))
            .replace("time = \"1ms\"", "time = \"500ms\"\nworkers = 100");
        run(&text)
    };
    // Ten are under way, of which two have an answer within 100 ms. Who is told to close its connection
    // opens another; an idle one is told nothing, and is used once more.
    let cut = |strategy: &str| {
        let run = of(&format!("drain_time = \"100ms\"\nstrategy = \"{strategy}\""));
        assert_eq!(of_users(&run, "0 DC") + of_users(&run, "200 -"), 200);
        of_users(&run, "0 DC")
    };
    assert_eq!((cut("immediate"), cut("gradual")), (9, 10));
    let enough = of("drain_time = \"1s\"\nstrategy = \"immediate\"");
    assert_eq!(ledger(&enough, "users", "server"), "200 -: 200");
}

#[test]
fn a_goaway_takes_the_delay_of_the_link_and_what_comes_meanwhile_is_served() {
    let of =
        |event: &str| run(&text("network.same_node = \"300ms\"", "protocol = \"http2\"", event));
    let plain = of("");
    let drain = "do = \"drain\"\ntarget = \"service:server/v1\"\ndrain_time = \"30s\"";
    // The drain is taken back before its client hears of it: what left meanwhile closes connections.
    let brief = of(&event("drain", "4s", "4250ms", drain));
    assert_eq!(ledger(&brief, "users", "server"), ledger(&plain, "users", "server"));
    let more = brief.control_plane.handshakes - plain.control_plane.handshakes;
    assert!((1..=2).contains(&more), "{more}: a connection of each worker, at most");
    // Each connection of a long one, again and again.
    let long = of(&event("drain", "4s", "8s", drain));
    assert_eq!(ledger(&long, "users", "server"), ledger(&plain, "users", "server"));
    assert!(brief.control_plane.handshakes + 2 < long.control_plane.handshakes);
}

#[test]
fn what_comes_after_the_last_goaway_is_refused_and_safe_to_try_again() {
    // Over a link of 6 s the first GOAWAY arrives when the last one has been sent for a second: whatever reaches
    // the server 5 s after the first answer of its drain is refused.
    let drain = "do = \"drain\"\ntarget = \"service:server/v1\"\ndrain_time = \"100s\"";
    let drain = event("drain", "80s", "170s", drain);
    let service = "protocol = \"http2\"\nconnections = { connect_timeout = \"90s\" }";
    let slow = text("network.same_node = \"6s\"", service, &drain)
        .replace("duration = \"12s\"", "duration = \"200s\"")
        .replace("at = \"10010ms\"", "at = \"120010ms\"");
    let once = run(&slow);
    let refused = of_users(&once, "503 UR");
    assert!(0 < refused, "{}", ledger(&once, "users", "server"));
    assert_eq!(refused + of_users(&once, "200 -"), once.requests.total);
    let safe = "retries = { attempts = 3, on = [\"refused-stream\"] }";
    let again = run(&slow.replace("retries = { attempts = 0 }", safe));
    assert_eq!(of_users(&again, "200 -"), again.requests.total);
}

#[test]
fn a_refused_stream_retires_a_connection_of_whose_goaway_its_client_has_not_heard() {
    // One way takes 300 ms, and work 400 ms from 2 s on: clients that wait for 900 ms leave while their answers are on
    // the way, and with them what tells of the drain at 3 s. The last GOAWAY is sent at 8 s: the stream that
    // arrives next is refused, and with it those that were sent within the 300 ms before, three.
    let refused = |drain: &str| {
        let run = run(&format!(
            r#"
[scenario]
duration = "22s"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
proxy.workers = 1
network.same_node = "300ms"
retry.attempts = 0
[[service]]
name = "server"
protocol = "http2"
[[service.workload]]
workers = 100
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "10rps" }}
client = {{ timeout = "900ms" }}
[[event]]
id = "no-more"
at = "20010ms"
do = "traffic"
target = "traffic:users"
factor = 0
[[event]]
id = "slow"
at = "2s"
until = "10s"
do = "slow"
target = "service:server"
factor = 400
{drain}
"#
        ));
        (of_users(&run, "503 UR"), ledger(&run, "users", "server"))
    };
    let drain = event("drain", "3s", "3500ms", "do = \"drain\"\ntarget = \"service:server\"");
    let (none, calm) = refused("");
    let (some, told) = refused(&drain);
    assert_eq!(none, 0, "{calm}");
    assert!((3..=4).contains(&some), "{told}");
}

#[test]
fn a_proxy_that_fails_its_health_check_closes_each_connection_after_its_answer() {
    let fails = "do = \"fail_health_check\"\ntarget = \"service:server/v1\"";
    let plain = played("", "");
    let run = played("", &event("unwell", "2s", "5s", fails));
    assert_eq!(ledger(&run, "users", "server"), "200 -: 200");
    // Half of 60 requests each open a connection.
    let more = run.control_plane.handshakes - plain.control_plane.handshakes;
    assert!((26..=34).contains(&more), "{more}");
}

#[test]
fn what_nobody_tells_is_refused() {
    let problem = |mesh: &str, rest: &str| {
        try_plan(&text(mesh, "", &event("odd", "1s", "2s", rest)), &[]).expect_err("a mistake")
    };
    let rejected = "do = \"cluster\"\ntarget = \"service:server\"\nrejected = true";
    assert!(problem(NONE, rejected).contains("nobody tells what could be rejected"));
    let withheld = "do = \"fail\"\ntarget = \"istiod/eds\"";
    assert!(problem(NONE, withheld).contains("has no istiod"));
}

/// A cluster that is used without endpoints has no more to choose from than it was told.
#[test]
fn a_cluster_without_endpoints_is_left_and_met_again() {
    let silent = event("silent", "1s", "9s", "do = \"fail\"\ntarget = \"istiod/eds\"");
    let timeout = "discovery = { initial_fetch_timeout = \"500ms\" }";
    let service = "balancer = \"least_request\"\nhealth_checks = true";
    let change =
        "do = \"cluster\"\ntarget = \"service:server\"\ncluster = { protocol = \"http2\" }";
    let both = format!("{}{}", event("one", "2s", "4s", change), event("two", "6s", "8s", change));
    let text = text(timeout, "", &format!("{silent}{both}"))
        .replace("balancer = \"round_robin\"", service);
    let run = run(&text);
    // From 3.1 s on, until EDS tells of the cluster that it is in the end.
    let nobody = of_users(&run, "503 UH");
    assert!((114..=120).contains(&nobody), "{}", ledger(&run, "users", "server"));
    assert_eq!(nobody + of_users(&run, "200 -"), 200);
}

/// Without a control plane a gateway that starts again finds its listener as it is by now.
#[test]
fn a_gateway_that_starts_again_without_istiod_keeps_its_listener() {
    let gone = event("gone", "2s", "9s", "do = \"listener\"\ntarget = \"ingress\"\nremoved = true");
    let again =
        "[[event]]\nid = \"again\"\nat = \"3s\"\ndo = \"restart\"\ntarget = \"pod:ingress-0\"\n";
    let (kept, both) = (played(NONE, &gone), played(NONE, &format!("{gone}{again}")));
    let good = |run: &Run| of_users(run, "200 -");
    // Connections from before are drained; who starts again has none, and no door until the end.
    assert!(about(4, good(&both)) && good(&both) < good(&kept), "{} {}", good(&kept), good(&both));
}
