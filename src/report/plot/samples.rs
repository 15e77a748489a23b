//! Runs that never ran, for looking at pictures and for their tests.
//!
//! Source: ours; the shapes are those of shipped scenarios.
//! Left out: the world; nothing here was simulated.

use crate::kernel::digest::Rung;
use crate::kernel::histogram::Histogram;
use crate::kernel::stream::{Stream, below, uniform};
use crate::kernel::time::{Duration, Time};
use crate::observe::control_plane::ControlPlaneCounts;
use crate::observe::run::{
    Attempts, Occurrence, Partial, Phase, Run, SeriesRow, Tally, Topology, TopologyEdge,
    TopologyNode,
};
use crate::vocabulary::cause::Causes;
use crate::vocabulary::metric::Gauge;

/// At a second of the run: requests a second, share that fails, median latency in ms, spread.
type Load = (f64, f64, f64, f64);

fn at(s: u64) -> Time {
    Time::ZERO + Duration::from_s(s)
}

fn event(event: u32, id: &str, label: &str, from: u64, to: Option<u64>) -> Occurrence {
    let (id, label) = (id.to_owned(), label.to_owned());
    Occurrence { event, id, label, from: at(from), to: to.map(at) }
}

fn bare(scenario: &str, claim: &str, duration_s: u64, interval_s: u64) -> Run {
    Run {
        scenario: scenario.to_owned(),
        variant: None,
        claim: claim.to_owned(),
        profile: "istio-sidecar@1.28".to_owned(),
        seed: 7,
        duration: Duration::from_s(duration_s),
        warmup: Duration::ZERO,
        interval: Duration::from_s(interval_s),
        parameters: Vec::new(),
        plan_digest: 0,
        digest: 0,
        ladder: Vec::<Rung>::new(),
        kind_names: Vec::new(),
        events: 0,
        stale_events: 0,
        partial: None,
        sampled: None,
        note: None,
        requests: Tally::default(),
        latency: Histogram::new(),
        latency_ok: Histogram::new(),
        phases: Vec::new(),
        traffic: Vec::new(),
        services: Vec::new(),
        outcomes: Vec::new(),
        attempts: Attempts::default(),
        control_plane: ControlPlaneCounts::default(),
        series: Vec::new(),
        replicas: Vec::new(),
        occurrences: Vec::new(),
        log: Vec::new(),
        probes: Vec::new(),
        topology: Topology::default(),
        stations: Vec::new(),
        mesh_cost: None,
        linkerd: None,
        causes: Causes::default(),
        access_log: None,
        status: None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up numbers")]
/// Fills series, phases and histograms; `phases` are (name, from), `gauges` the state at a time.
fn filled(
    mut run: Run,
    phases: &[(&str, u64)],
    load: impl Fn(f64) -> Load,
    gauges: impl Fn(f64, &mut [f64; Gauge::ALL.len()]),
) -> Run {
    let mut stream = Stream::new(1, "sample", "load");
    let end = run.partial.map_or(run.duration.as_s(), |partial| partial.at.as_s());
    for (index, (name, from)) in phases.iter().enumerate() {
        let to = phases.get(index + 1).map_or(Time::ZERO + run.duration, |next| at(next.1));
        let (name, requests, latency) = ((*name).to_owned(), Tally::default(), Histogram::new());
        run.phases.push(Phase { name, from: at(*from), to, requests, latency, estimates: None });
    }
    let mut time = Time::ZERO;
    while time.as_s() < end {
        let mut row = SeriesRow {
            time,
            recorded: run.interval,
            requests: Tally::default(),
            p50_ns: None,
            p90_ns: None,
            p99_ns: None,
            attempts: 0,
            retries: 0,
            cells: Vec::new(),
            gauges: [0.0; Gauge::ALL.len()],
        };
        gauges(time.as_s(), &mut row.gauges);
        let mut latency = Histogram::new();
        let (rate, failing, median_ms, spread) = load(time.as_s());
        let mean = rate * run.interval.as_s();
        let counted = run.warmup.as_s() <= time.as_s();
        let requests = (mean + (uniform(stream.next_u64()) - 0.5) * 2.0 * libm::sqrt(mean)).round();
        for _ in 0..if counted { requests.max(0.0) as u64 } else { 0 } {
            let ns = median_ms * 1e6 * libm::exp(spread * normal(&mut stream));
            let ok = failing <= uniform(stream.next_u64());
            let ns = if ok { ns } else { ns * 0.2 } as u64;
            row.requests.count(ok);
            latency.record(ns);
            let phase = run.phases.iter().rposition(|phase| phase.from <= time).unwrap_or(0);
            run.phases[phase].requests.count(ok);
            run.phases[phase].latency.record(ns);
        }
        for (low, _, count) in latency.iter() {
            let cell = (libm::log2(low.max(1) as f64) * 8.0) as u16;
            match row.cells.last_mut() {
                Some((same, sum)) if *same == cell => *sum += count,
                _ => row.cells.push((cell, count)),
            }
        }
        [row.p50_ns, row.p90_ns, row.p99_ns] = [0.5, 0.9, 0.99].map(|q| latency.quantile(q));
        run.requests.total += row.requests.total;
        run.requests.ok += row.requests.ok;
        run.latency.merge(&latency);
        run.series.push(row);
        time += run.interval;
    }
    run
}

fn normal(stream: &mut Stream) -> f64 {
    let (u, v) = (uniform(stream.next_u64()).max(1e-300), uniform(stream.next_u64()));
    libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
}

fn node(name: &str, kind: &'static str, versions: &[(&str, u32, u32)]) -> TopologyNode {
    let versions = versions.iter().map(|it| (it.0.to_owned(), it.1, it.2)).collect();
    TopologyNode { name: name.to_owned(), kind, versions }
}

fn edge(from: usize, to: usize, total: u64, ok: u64) -> TopologyEdge {
    TopologyEdge { from, to, requests: Tally { total, ok } }
}

fn bookinfo() -> Topology {
    Topology {
        nodes: vec![
            node("details", "service", &[("v1", 2, 2)]),
            node("ingress", "gateway", &[("", 2, 2)]),
            node("productpage", "service", &[("v1", 3, 3)]),
            node("ratings", "service", &[("v1", 2, 3)]),
            node("reviews", "service", &[("v1", 3, 3), ("v2", 1, 3), ("v3", 0, 3)]),
            node("users", "source", &[]),
        ],
        edges: vec![
            edge(1, 2, 3_610_000, 2_500_000),
            edge(2, 0, 3_605_112, 3_605_112),
            edge(2, 4, 3_605_112, 2_630_001),
            edge(4, 3, 2_100_000, 2_099_100),
            edge(5, 1, 3_610_000, 2_500_000),
        ],
    }
}

/// A day and a half in which certificates run out after eleven hours.
pub(super) fn outage() -> Run {
    let claim = "Nothing fails for eleven hours; then certificates run out, one pod after another, \
                 and no request between services gets through until istiod is back.";
    let mut run = bare("control-plane-outage", claim, 129_600, 200);
    run.occurrences = vec![event(0, "istiod-down", "istiod fails", 3_600, Some(111_600))];
    run.topology = bookinfo();
    let hours = |s: f64| s / 3_600.0;
    let expired = |s: f64| ((hours(s) - 11.0) / 13.0).clamp(0.0, 1.0);
    let gone = move |s: f64| {
        if hours(s) < 31.0 { expired(s) } else { (1.0 - (hours(s) - 31.0) * 12.0).max(0.0) }
    };
    let phases =
        [("before istiod-down", 0), ("during istiod-down", 3_600), ("after istiod-down", 111_600)];
    filled(
        run,
        &phases,
        |s| (2.0, gone(s) * 0.97, 12.0 + 3.0 * libm::sin(hours(s) / 4.0), 0.45 + gone(s) * 0.4),
        |s, gauges| {
            let down = (1.0..31.0).contains(&hours(s));
            gauges[Gauge::Proxies as usize] = 240.0;
            gauges[Gauge::ProxiesConnected as usize] =
                if down { (240.0 - (hours(s) - 1.0) * 500.0).max(0.0) } else { 240.0 };
            gauges[Gauge::CertificatesExpired as usize] = (240.0 * gone(s)).floor();
            gauges[Gauge::CertificatesValid as usize] = 240.0 - (240.0 * gone(s)).floor();
            gauges[Gauge::ConfigStaleness as usize] =
                if down { (s - 7_200.0).max(0.0) } else { 0.0 };
        },
    )
}

/// Ten minutes of a canary with conditional events.
pub(super) fn canary() -> Run {
    let claim =
        "A canary at 10 % that fails one request in fifty is rolled back by its own metrics.";
    let mut run = bare("canary/rollback", claim, 600, 1);
    run.variant = Some("slow-metrics".to_owned());
    run.warmup = Duration::from_s(30);
    run.occurrences = vec![
        event(0, "rollout", "reviews v3 is rolled out", 60, None),
        event(1, "canary", "reviews: 10 % to v3", 120, Some(330)),
        event(2, "rollback", "reviews: all to v2, because success_rate < 99.9 %", 330, None),
    ];
    run.topology = bookinfo();
    let phases = [
        ("before rollout", 0),
        ("after rollout", 60),
        ("during canary", 120),
        ("during rollback", 330),
    ];
    filled(
        run,
        &phases,
        |s| {
            let canary = (120.0..330.0).contains(&s);
            (200.0, if canary { 0.002 } else { 0.0 }, if canary { 9.0 } else { 8.0 }, 0.35)
        },
        |s, gauges| {
            gauges[Gauge::Proxies as usize] = 14.0;
            gauges[Gauge::ProxiesConnected as usize] = 14.0;
            gauges[Gauge::CertificatesValid as usize] = 14.0;
            gauges[Gauge::ConfigStaleness as usize] =
                if (120.0..121.0).contains(&s) { 0.4 } else { 0.0 };
        },
    )
}

/// A queue without a mesh.
pub(super) fn queue() -> Run {
    let mut run = bare("mm1", "One server at 80 %: the mean sojourn is 50 ms.", 3_600, 5);
    run.warmup = Duration::from_s(300);
    run.topology.nodes =
        vec![node("clients", "source", &[]), node("server", "service", &[("", 1, 1)])];
    run.topology.edges = vec![edge(0, 1, 262_144, 262_144)];
    filled(run, &[("whole run", 300)], |_| (80.0, 0.0, 35.0, 0.9), |_, _| ())
}

/// No request at all.
pub(super) fn empty() -> Run {
    let mut run = bare("empty", "", 60, 1);
    run.occurrences = vec![event(0, "nothing", "a mark", 20, None)];
    filled(run, &[("whole run", 0)], |_| (0.0, 0.0, 1.0, 0.1), |_, _| ())
}

/// Less than nothing: no series, no time.
pub(super) fn void() -> Run {
    bare("", "", 0, 0)
}

/// Twenty overlapping events, one of which repeats; ended early; gaps between windows.
pub(super) fn crowded() -> Run {
    let mut run = bare("crowded", "Many things go wrong at once.", 600, 1);
    run.partial = Some(Partial { why: "max-events", at: at(540) });
    for n in 0..19_u32 {
        let from = 40 + u64::from(n) * 17;
        let label =
            ["a node loses power", "packets are lost", "apps are slow", "a note"][n as usize % 4];
        run.occurrences.push(event(n, &format!("fault-{n}"), label, from, Some(from + 220)));
    }
    for n in 0..6 {
        run.occurrences.push(event(19, "burst", "traffic × 3", 60 + n * 80, Some(70 + n * 80)));
    }
    run.occurrences.sort_by_key(|occurrence| occurrence.from);
    run.topology = bookinfo();
    let names: Vec<String> =
        (0..25).map(|n| format!("during fault-{n} + fault-{}", n + 1)).collect();
    let phases: Vec<(&str, u64)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), n as u64 * 20)).collect();
    filled(
        run,
        &phases,
        |s| (if s % 60.0 < 12.0 { 0.0 } else { 60.0 }, 0.03, 20.0 + s / 10.0, 0.6),
        |_, _| (),
    )
}

/// Names that attack and names that do not end.
pub(super) fn hostile() -> Run {
    let mut run = canary();
    let long = "a-very-long-name-".repeat(12);
    run.scenario = format!("<script>alert('x')</script>&\"{long}");
    run.claim = format!("]]> <!-- {long} \u{0} \u{202e} {long}{long} 日本語");
    run.occurrences[0].id = "</text><script>alert(1)</script>".to_owned();
    run.occurrences[1].label.clone_from(&long);
    run.phases[1].name = format!("after <b>&amp; {long}");
    for (n, node) in run.topology.nodes.iter_mut().enumerate() {
        node.name = format!("<script>{n}</script>{long}");
        for version in &mut node.versions {
            version.0 = format!("<i>\"'&{long}");
        }
    }
    run
}

/// More rows than a heatmap has columns.
pub(super) fn long_series() -> Run {
    let run = bare("long", "A long series.", 1_500, 1);
    filled(run, &[("whole run", 0)], |_| (20.0, 0.0001, 5.0, 0.5), |_, _| ())
}

/// A big mesh with cycles, long edges and a service that nobody calls.
pub(super) fn big_mesh() -> Run {
    let mut run = bare("big-mesh", "Forty services in six layers.", 600, 1);
    let mut stream = Stream::new(3, "sample", "mesh");
    let nodes = &mut run.topology.nodes;
    nodes.push(node("users", "source", &[]));
    nodes.push(node("ingress", "gateway", &[("", 3, 3)]));
    nodes.extend(
        (2..40).map(|n| node(&format!("service-{n:02}"), "service", &[("v1", 2 + n % 2, 3)])),
    );
    run.topology.edges.push(edge(0, 1, 1_000_000, 999_000));
    for to in 2..39_usize {
        for _ in 0..=to % 2 {
            let from = if to < 8 { 1 } else { 2 + below(stream.next_u64(), to - 2).min(to - 6) };
            let total = 1_000 + stream.next_u64() % 1_000_000;
            let failed = if to % 9 == 0 {
                total / 20
            } else if to % 7 == 0 {
                total / 3
            } else {
                0
            };
            if run.topology.edges.iter().all(|edge| (edge.from, edge.to) != (from, to)) {
                run.topology.edges.push(edge(from, to, total, total - failed));
            }
        }
    }
    run.topology.edges.extend([edge(30, 5, 5_000, 4_990), edge(12, 12, 900, 900)]);
    run
}

/// All of them, with names for files.
pub(super) fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("outage", outage()),
        ("canary", canary()),
        ("queue", queue()),
        ("empty", empty()),
        ("void", void()),
        ("crowded", crowded()),
        ("hostile", hostile()),
        ("big-mesh", big_mesh()),
    ]
}
