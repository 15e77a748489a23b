//! Goal: the parts of Linkerd's control plane fail apart, and what its proxies have from them stays.
//! Method: small meshes with three replicas of each controller, of which events take a share.
//!
//! Source: linkerd2-proxy tonic-stream, proxy/resolve; linkerd2 values.yaml; issues as each test says.

use crate::support::{plan_with, play, run_with};
use meshsim::check::assert::judge;
use meshsim::check::judgement::Verdict;
use meshsim::kernel::time::{Duration, Time};
use meshsim::observe::run::{LogLine, Run};
use meshsim::vocabulary::fact::FactKind;
use meshsim::vocabulary::metric::Gauge;
use meshsim::world::options::Options;

fn mesh(keys: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "2h"
interval = "10s"
[mesh]
profile = "linkerd@edge-26.8"
linkerd_control.replicas = 3
{keys}
[[node]]
name = "one"
[[node]]
name = "two"
[[node]]
name = "three"
[[service]]
name = "web"
[[service.workload]]
replicas = 30
time = "1ms"
calls = [{{ to = "api" }}]
[[service]]
name = "api"
[[service.workload]]
replicas = 6
time = "1ms"
[[traffic]]
id = "calls"
from = "ingress"
to = "web"
arrivals = {{ constant = "1rps" }}
{more}
"#
    )
}

fn event(id: &str, at: &str, lasts: &str, does: &str, rest: &str) -> String {
    let lasts = if lasts.is_empty() { String::new() } else { format!("for = \"{lasts}\"\n") };
    format!("[[event]]\nid = \"{id}\"\nat = \"{at}\"\n{lasts}do = \"{does}\"\n{rest}\n")
}

fn lines(run: &Run, kind: FactKind) -> Vec<&LogLine> {
    run.log.iter().filter(|line| line.kind == kind).collect()
}

/// Ends of rows, and a gauge there.
fn gauge(run: &Run, gauge: Gauge, from_s: u64, to_s: u64) -> Vec<f64> {
    let within = |at: Time| {
        Time::ZERO + Duration::from_s(from_s) <= at && at <= Time::ZERO + Duration::from_s(to_s)
    };
    run.series.iter().filter(|row| within(row.time)).map(|row| row.gauges[gauge as usize]).collect()
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// No debounce, no throttle: what changes is with every proxy after the watch and the way.
#[test]
fn a_change_of_endpoints_arrives_at_once() {
    let scale = event("grow", "30m", "", "scale", "target = \"service:api\"\nreplicas = 8");
    let run = run_with(&mesh("", &scale), &[]);
    let took = run.control_plane.convergence_max;
    // The controllers' watch is 500 ms late; the rest is the network's.
    assert!(Duration::from_ms(500) <= took && took < Duration::from_ms(600), "{took}");
}

#[test]
fn destination_that_is_away_leaves_proxies_what_they_have() {
    let down = event("down", "30m", "10m", "fail", "target = \"linkerd/destination\"")
        + &event("grow", "35m", "", "scale", "target = \"service:api\"\nreplicas = 8");
    let run = run_with(&mesh("", &down), &[]);
    assert!(most(&gauge(&run, Gauge::ProxiesConnected, 1810, 2390)) < 0.5);
    // Identity and the injector are up: new pods are ready, and nobody hears of them for five minutes.
    assert!(most(&gauge(&run, Gauge::ConfigStaleness, 2330, 2400)) > 200.0);
    // Back at 40 m: the back-off is 60 s at the most.
    let connected = gauge(&run, Gauge::ProxiesConnected, 2470, 7000);
    assert!(connected.iter().all(|one| *one > 37.0), "{connected:?}");
    assert!(most(&gauge(&run, Gauge::ConfigStaleness, 2480, 7000)) < 2.0);
    assert_eq!(run.control_plane.certificate_requests_failed, 0);
}

#[test]
fn parts_fail_apart() {
    for target in ["linkerd/policy", "linkerd/identity", "linkerd/proxy-injector"] {
        let down = event("down", "30m", "10m", "fail", &format!("target = \"{target}\""));
        let run = run_with(&mesh("", &down), &[]);
        let connected = gauge(&run, Gauge::ProxiesConnected, 1810, 2390);
        assert!(connected.iter().all(|one| *one > 35.0), "{target}: {connected:?}");
    }
    let down = event("down", "30m", "10m", "fail", "target = \"linkerd\"");
    let run = run_with(&mesh("", &down), &[]);
    assert!(most(&gauge(&run, Gauge::ProxiesConnected, 1810, 2390)) < 0.5);
}

/// One of three replicas sends nothing more (linkerd2#11480): streams that have limits leave it.
#[test]
fn a_stuck_replica_is_left_after_five_minutes_of_silence() {
    let stuck =
        event("stuck", "30m", "1h", "freeze", "target = \"linkerd/destination\"\nshare = \"33%\"")
            + &event("grow", "31m", "", "scale", "target = \"service:api\"\nreplicas = 8");
    let now = run_with(&mesh("", &stuck), &[]);
    let stale = gauge(&now, Gauge::ConfigStaleness, 1880, 5400);
    assert!(most(&stale) > 100.0 && most(&stale) < 320.0, "{}", most(&stale));
    assert!(most(&gauge(&now, Gauge::ConfigStaleness, 2220, 5400)) < 10.0);
    // Without limits until somebody starts it again.
    let keys = "linkerd_control.stream_idle = \"0s\"\nlinkerd_control.stream_lifetime = \"0s\"\n\
                linkerd_control.stream_initial = \"0s\"";
    let old = run_with(&mesh(keys, &stuck), &[]);
    assert!(most(&gauge(&old, Gauge::ConfigStaleness, 5000, 5400)) > 3000.0);
    assert!(most(&gauge(&old, Gauge::ConfigStaleness, 5420, 7000)) < 2.0, "thawed");
}

/// A stream lives an hour to the second, however busy, and five minutes in silence.
#[test]
fn streams_end_of_silence_and_of_age() {
    // Slow links to one replica are not calm: ages are played one by one.
    let part =
        event("part", "1s", "2h", "fail", "target = \"linkerd/destination\"\nshare = \"33%\"");
    let run = run_with(&mesh("", &part), &[]);
    let opened = run.control_plane.streams_opened as f64;
    // 38 proxies, 7200 s: 24 streams each, of five minutes and a tenth of a second.
    assert!((opened / (38.0 * 24.0) - 1.0).abs() < 0.06, "{opened}");
    let busy = event("b", "1m", "", "scale", "target = \"service:api\"\nreplicas = 7")
        .replace("at = \"1m\"", "at = \"1m\"\nevery = \"4m\"\ntimes = 29");
    let flap = part.clone()
        + &busy
        + &busy
            .replace("\"b\"", "\"c\"")
            .replace("at = \"1m\"", "at = \"3m\"")
            .replace("= 7", "= 6");
    let run = run_with(&mesh("", &flap), &[]);
    let opened = run.control_plane.streams_opened as f64;
    assert!(opened < 38.0 * 6.0, "{opened}");
}

#[test]
fn without_an_injector_pods_are_unmeshed_or_refused() {
    let more = event("down", "30m", "10m", "fail", "target = \"linkerd/proxy-injector\"")
        + &event("grow", "31m", "", "scale", "target = \"service:api\"\nreplicas = 8");
    let ignore = run_with(&mesh("", &more), &[]);
    let proxies = gauge(&ignore, Gauge::Proxies, 1700, 7000);
    assert!(proxies.iter().all(|one| (one - proxies[0]).abs() < 0.5), "{proxies:?}");
    assert!(most(&gauge(&ignore, Gauge::PodsMissing, 2000, 7000)) < 0.5);
    let fail = run_with(&mesh("webhook.failure_policy = \"fail\"", &more), &[]);
    assert!((most(&gauge(&fail, Gauge::PodsMissing, 1900, 2390)) - 2.0).abs() < 0.5);
    assert!(lines(&fail, FactKind::PodRefused)[0].detail.contains("linkerd-proxy-injector"));
    let later = gauge(&fail, Gauge::Proxies, 3700, 7000);
    assert!(later.iter().all(|one| *one > proxies[0] + 1.5), "{later:?}");
}

/// A node goes with a replica of each controller (linkerd2#4674): pings find out within 13 s.
#[test]
fn a_lost_node_is_noticed_by_pings() {
    let down = event("lost", "30m", "", "fail", "target = \"node:one\"");
    let run = run_with(&mesh("", &down), &[]);
    let lost: Vec<f64> =
        lines(&run, FactKind::ProxyDisconnected).iter().map(|line| line.time.as_s()).collect();
    let within = |from: f64, to: f64| lost.iter().filter(|at| from < **at && **at <= to).count();
    assert!(5 <= within(1800.1, 1813.0), "{lost:?}");
    // Nobody is left there: what is lost later has come to its age.
    assert!(within(1813.0, 1840.0) <= 4, "{lost:?}");
}

/// Nothing that a mesh of Linkerd tells speaks of istiod.
#[test]
fn nobody_speaks_of_istiod() {
    let all = event("down", "20m", "10m", "fail", "target = \"linkerd\"")
        + &event(
            "stuck",
            "35m",
            "20m",
            "freeze",
            "target = \"linkerd/destination\"\nshare = \"33%\"",
        )
        + &event("api", "40m", "10m", "fail", "target = \"api_server\"")
        + &event("grow", "21m", "", "scale", "target = \"service:api\"\nreplicas = 8")
        + &event("clock", "60m", "5m", "clock", "target = \"linkerd\"\nbehind = \"10m\"");
    let keys = "linkerd_identity.lifetime = \"15m\"\nlinkerd_identity.min_refresh = \"1s\"";
    let run = play(&plan_with(&mesh(keys, &all), &[]), Options::default());
    for line in &run.log {
        let text = format!("{} {}", line.subject, line.detail);
        assert!(!text.contains("istio"), "{text}");
    }
    for cause in run.causes.iter() {
        assert!(!cause.what.contains("istio"), "{}", cause.what);
    }
    for one in &run.occurrences {
        assert!(!one.label.contains("istio"), "{}", one.label);
    }
}

/// The n-th replica of identity stands beside the (n + 1)-th of destination: a node takes different numbers.
#[test]
fn a_node_takes_different_replicas_of_each_controller() {
    // Nodes are numbered in the order of their names: destination stands on `one`, identity on `three`.
    let lost = |node: &str| {
        let down = event("lost", "30m", "", "fail", &format!("target = \"node:{node}\""));
        let keys = "linkerd_control.replicas = 1\nlinkerd_identity.lifetime = \"30m\"";
        let mesh = mesh(keys, &down).replace("linkerd_control.replicas = 3\n", "");
        let run = run_with(&mesh, &[]);
        (
            run.control_plane.certificate_requests_failed != 0,
            most(&gauge(&run, Gauge::ProxiesConnected, 1900, 2100)) < 0.5,
        )
    };
    let all = ["one", "three", "two"].map(lost);
    assert_eq!(all, [(false, true), (true, false), (false, false)]);
}

/// Identity fails twice at once, and with all the rest: it reads its secret when the last of these is over.
#[test]
fn identity_reads_its_secret_when_the_last_of_its_failures_ends() {
    let authorities = "[[ca]]\nname = \"anchor\"\n[[ca]]\nname = \"issuer\"\nissuer = \"anchor\"\n\
                       [[ca]]\nname = \"next\"\nissuer = \"anchor\"\n";
    let more = authorities.to_owned()
        + &event("one", "20m", "10m", "fail", "target = \"linkerd/identity\"")
        + &event("two", "25m", "15m", "fail", "target = \"linkerd/identity\"")
        + &event(
            "rotate",
            "26m",
            "",
            "ca",
            "target = \"linkerd/identity\"\nca = \"next\"\ndropped_by = 3",
        );
    let run = run_with(&mesh("ca = \"issuer\"", &more), &[]);
    let read: Vec<f64> =
        lines(&run, FactKind::IssuerUpdated).iter().map(|line| line.time.as_s()).collect();
    assert_eq!(read, [2400.0; 3]);
}

/// `web` opens a connection for each call, so that its destination is forgotten between two of them.
fn rare(release: &str, more: &str) -> String {
    mesh("", more)
        .replace("linkerd@edge-26.8", &format!("linkerd@{release}"))
        .replace(
            "calls = [{ to = \"api\" }]",
            "calls = [{ to = \"api\", app_connection = \"per-request\" }]",
        )
        .replace("1rps", "1/m")
}

/// A lookup of the outage waits for two back-offs: that of the client's connection, and its own.
#[test]
fn lookups_are_answered_when_their_client_has_come_back() {
    // Over within the client's patience: whoever waits goes through as soon as it has connected.
    let short = event("down", "30m", "20s", "fail", "target = \"linkerd\"");
    let run = run_with(&rare("edge-26.8", &short), &[]);
    let within =
        |run: &Run, limit: f64| run.latency.quantile(1.0).expect("requests") as f64 / 1e9 < limit;
    assert!(within(&run, 27.0), "{:?}", run.latency.quantile(1.0));
    // Ten minutes: its lookups fail after 30 s and again and again, at most a minute apart.
    let long = event("down", "30m", "10m", "fail", "target = \"linkerd\"");
    let run = run_with(&rare("edge-26.8", &long), &[]);
    let longest = run.latency.quantile(1.0).expect("requests") as f64 / 1e9;
    assert!((600.0..725.0).contains(&longest), "{longest}");
    assert_eq!(run.requests.failed(), 0, "nobody gives up today");
    // Who asks within a minute of the return waits, too: its client is not back yet.
    let after = (run.series.iter())
        .find(|row| row.time == Time::ZERO + Duration::from_s(2410))
        .expect("a row");
    assert!(after.gauges[Gauge::RequestsInFlight as usize] > 0.5, "nobody is back at once");
}

/// Away again before a lookup was answered: it waits on, and is not answered by nobody.
#[test]
fn a_lookup_whose_controller_goes_again_waits_on() {
    let more = event("one", "30m", "10m", "fail", "target = \"linkerd\"")
        + &event("two", "40m12s", "10m", "fail", "target = \"linkerd\"");
    let run = run_with(&rare("edge-26.8", &more), &[]);
    let flying = gauge(&run, Gauge::RequestsInFlight, 2560, 2600);
    // Were the old ones answered by nobody, only those of these three minutes would be left.
    assert!(flying.iter().all(|one| *one > 5.5), "{flying:?}");
    assert_eq!(run.requests.failed(), 0);
    // Before 2.13 they are reset after 3 s, whatever comes then.
    let old = run_with(&rare("2.12", &more), &[]);
    assert!(old.requests.failed() >= 15, "{}", old.requests.failed());
    let longest = old.latency.quantile(1.0).expect("requests") as f64 / 1e9;
    assert!(longest < 3.1, "{longest}");
}

/// What went while a stream was lost is gone with the first update of the next one, which replaces all.
#[test]
fn the_first_update_of_a_new_stream_takes_away_what_went_meanwhile() {
    let more = event("down", "30m", "10m", "fail", "target = \"linkerd/destination\"")
        + &event("shrink", "35m", "", "scale", "target = \"service:api\"\nreplicas = 1");
    let text = mesh("", &more).replace("1rps", "20rps");
    let plan = plan_with(&text, &[]);
    // What proxies of `web` know of `api`: endpoints, and such as are ready.
    let known = |second: u64| -> Vec<(u32, u32)> {
        let status_at = Some(Time::ZERO + Duration::from_s(second));
        let run = play(&plan, Options { status_at, ..Options::default() });
        let proxies = run.status.expect("a look").proxies;
        let all = proxies.iter().filter_map(|one| one.linkerd.as_ref());
        let destinations = all.flat_map(|own| &own.destinations);
        destinations.filter(|one| one.name == "api").filter_map(|one| one.endpoints).collect()
    };
    let before = known(1790);
    assert!(before.len() > 20 && before.iter().all(|one| *one == (6, 6)), "{before:?}");
    let meanwhile = known(2390);
    assert!(meanwhile.iter().all(|one| *one == (6, 1)), "{meanwhile:?}");
    let after = known(2470);
    assert!(after.iter().all(|one| *one == (1, 1)), "{after:?}");
}

/// Gauges are called as their controllers are, and say what `linkerd check` would.
#[test]
fn gauges_and_tables_are_called_as_the_controllers_are() {
    let more = event("down", "30m", "10m", "fail", "target = \"linkerd/identity\"")
        + "[[assert]]\nname = \"identity is away\"\nduring = \"down\"\nexpect = \"max(identity_ready) == 0\"\n\
           [[assert]]\nname = \"destination is not\"\nexpect = \"min(destination_ready) == 3\"\n\
           [[assert]]\nname = \"check is content\"\nexpect = \"linkerd_check == 0\"\n";
    let plan = plan_with(&mesh("", &more), &[]);
    let run = play(&plan, Options::default());
    let verdicts = judge(&plan, &run);
    assert!(verdicts.iter().all(|one| one.verdict == Verdict::Pass), "{verdicts:?}");
    let files = crate::support::files(&run);
    let text = |name: &str| {
        let found = files.iter().find(|(one, _)| *one == name).expect(name);
        String::from_utf8(found.1.clone()).expect("text")
    };
    assert!(text("destination.csv").contains("linkerd-destination-2,1,"));
    let head = text("series.csv");
    let head = head.lines().next().expect("a head").to_owned();
    assert!(head.contains("destination_streams_max") && head.contains("linkerd_check"), "{head}");
    assert!(!head.contains("istiod"), "{head}");
}
