//! Goal: the parts of Linkerd's control plane fail apart, and what its proxies have from them stays.
//! Method: small meshes with three replicas of each controller, of which events take a share.
//!
//! Source: linkerd2-proxy tonic-stream, proxy/resolve; linkerd2 values.yaml; issues as each test says.

use crate::support::{plan_with, play, run_with};
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
