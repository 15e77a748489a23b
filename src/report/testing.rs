//! A small run made by hand, and the files that the texts of it are compared with.
//!
//! `MESHSIM_BLESS=1 cargo test --lib report` writes the files anew.

use crate::check::judgement::{Judgement, Verdict};
use crate::kernel::digest::Rung;
use crate::kernel::histogram::Histogram;
use crate::kernel::time::{Duration, Time};
use crate::observe::control_plane::{ControlPlaneCounts, ReplicaRow};
use crate::observe::run::*;
use crate::vocabulary::cause::{Cause, CauseId, CauseKind, Causes};
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::flag::ResponseFlag;
use crate::vocabulary::metric::Gauge;
use crate::vocabulary::outcome::{Details, Outcome};
use std::path::Path;

/// Compares with `tests/it/report/<name>`, byte by byte.
pub(crate) fn same_as_file(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/report").join(name);
    if std::env::var_os("MESHSIM_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(file == text, "{} differs; it is now:\n{text}", path.display());
}

pub(crate) fn hours(hours: u64) -> Time {
    Time::ZERO + Duration::from_s(3_600 * hours)
}

/// A day and a half with an outage of the control plane, an interval an hour.
pub(crate) fn sample_run() -> Run {
    let series: Vec<_> = (0..36).map(series_row).collect();
    let phases = vec![
        phase("before istiod-down", 0, 1),
        phase("during istiod-down", 1, 31),
        phase("after istiod-down", 31, 36),
    ];
    let mut latency = Histogram::new();
    let mut requests = Tally::default();
    for phase in &phases {
        latency.merge(&phase.latency);
        requests.total += phase.requests.total;
        requests.ok += phase.requests.ok;
    }
    Run {
        scenario: "control-plane-outage".to_owned(),
        variant: None,
        claim: "Nothing fails for ten hours; then certificates run out.".to_owned(),
        profile: "istio-sidecar@1.28".to_owned(),
        seed: 7,
        duration: Duration::from_s(36 * 3_600),
        warmup: Duration::ZERO,
        interval: Duration::from_s(3_600),
        parameters: vec![("cert.ttl", "24h".to_owned()), ("cert.grace", "0.5".to_owned())],
        plan_digest: 0xabc,
        digest: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        ladder: vec![
            Rung { until: hours(18), digest: 1, events: vec![(0, 500), (2, 7)] },
            Rung { until: hours(36), digest: 2, events: vec![(0, 600)] },
        ],
        kind_names: vec!["arrival", "answer", "push"],
        events: 1_107,
        stale_events: 3,
        partial: None,
        sampled: None,
        note: None,
        requests,
        latency_ok: latency.clone(),
        latency,
        phases,
        traffic: vec![TrafficRow {
            id: "users".to_owned(),
            requests,
            first_failure: Some((hours(11), Outcome::failure(Details::AppCallFailed))),
        }],
        services: vec![service("productpage", "", 3_000), service("reviews", "v2", 2_000)],
        outcomes: outcomes(),
        attempts: Attempts { calls: 6_000, total: 6_300, retries: 300 },
        control_plane: control_plane(),
        series,
        replicas: (0..4).map(replica_row).collect(),
        occurrences: vec![Occurrence {
            event: 0,
            id: "istiod-down".to_owned(),
            label: "istiod fails".to_owned(),
            from: hours(1),
            to: Some(hours(31)),
        }],
        log: log(),
        probes: Vec::new(),
        topology: Topology::default(),
        stations: vec![station()],
        mesh_cost: None,
        linkerd: None,
        causes: causes(),
        access_log: None,
        status: None,
    }
}

/// One that held, one that did not in one of its windows, one without data.
pub(crate) fn sample_judgements() -> Vec<Judgement> {
    let held = Judgement {
        name: "reviews survives the first ten hours".to_owned(),
        verdict: Verdict::Pass,
        passes: true,
        expect: "success_rate >= 99.9%".to_owned(),
        measured: Some(1.0),
        threshold: 0.999,
        worst: None,
        first_violation: None,
    };
    let failed = Judgement {
        name: "the page stays fast".to_owned(),
        verdict: Verdict::Fail,
        passes: false,
        expect: "p99 < 250ms".to_owned(),
        measured: Some(0.3125),
        threshold: 0.25,
        worst: Some((hours(14), hours(15))),
        first_violation: Some(hours(13) + Duration::from_s(240)),
    };
    let no_data = Judgement {
        name: "ratings answers".to_owned(),
        verdict: Verdict::NoData,
        measured: None,
        ..failed.clone()
    };
    vec![held, failed, no_data]
}

/// Of a hundred requests in an hour.
fn ok_of_100(hour: u64) -> u64 {
    match hour {
        11 => 98,
        12 => 70,
        13 => 35,
        14..31 => 5,
        31 => 60,
        _ => 100,
    }
}

fn replica_row(n: u32) -> ReplicaRow {
    let (hour, replica) = (n / 2, n % 2);
    ReplicaRow {
        time: hours(u64::from(hour)),
        replica,
        is_ready: hour == 0,
        streams: if hour == 0 { 24 } else { 0 },
        push_queue: replica,
        cpu: 0.25,
        memory: 134_217_728,
        version: 1 + hour,
    }
}

fn series_row(hour: u64) -> SeriesRow {
    let mut gauges = [0.0; Gauge::ALL.len()];
    let expired = if (11..31).contains(&hour) { 2.0 * (hour - 10) as f64 } else { 0.0 };
    gauges[Gauge::Proxies as usize] = 48.0;
    gauges[Gauge::ProxiesConnected as usize] = if (2..31).contains(&hour) { 0.0 } else { 48.0 };
    gauges[Gauge::CertificatesValid as usize] = 48.0 - expired;
    gauges[Gauge::CertificatesExpired as usize] = expired;
    gauges[Gauge::CertificatesExpiredShare as usize] = expired / 48.0;
    gauges[Gauge::ConfigStaleness as usize] =
        if (3..31).contains(&hour) { (hour - 2) as f64 * 3_600.0 } else { 0.0 };
    // The last hour has no requests: its quantiles are empty.
    let total = if hour == 35 { 0 } else { 100 };
    let quantile = |ns: u64| (total != 0).then_some(ns);
    SeriesRow {
        time: hours(hour),
        recorded: Duration::from_s(3_600),
        requests: Tally { total, ok: ok_of_100(hour).min(total) },
        p50_ns: quantile(12_345_678),
        p90_ns: quantile(40_000_000),
        p99_ns: quantile(95_500_000),
        attempts: 2 * total,
        retries: total / 10,
        cells: Vec::new(),
        gauges,
    }
}

fn phase(name: &str, from: u64, to: u64) -> Phase {
    let (mut requests, mut latency) = (Tally::default(), Histogram::new());
    for hour in from..to {
        let row = series_row(hour);
        requests.total += row.requests.total;
        requests.ok += row.requests.ok;
        for n in 0..row.requests.total {
            latency.record(10_000_000 + n * n * 9_000 + hour);
        }
    }
    Phase {
        name: name.to_owned(),
        from: hours(from),
        to: hours(to),
        requests,
        latency,
        estimates: None,
    }
}

fn service(name: &str, version: &str, total: u64) -> ServiceRow {
    let mut latency = Histogram::new();
    latency.record_n(4_000_000, total);
    let requests = Tally { total, ok: total - 1 };
    ServiceRow { name: name.to_owned(), version: version.to_owned(), requests, latency }
}

fn outcomes() -> Vec<OutcomeRow> {
    let row = |source: &str, destination: &str, version: &str, outcome, count, cause| OutcomeRow {
        source: source.to_owned(),
        destination: destination.to_owned(),
        version: version.to_owned(),
        outcome,
        count,
        estimate: None,
        cause,
    };
    let expired = Outcome::failure(Details::ServerCertificateExpired).flagged(ResponseFlag::URX);
    let passed_on = Outcome::failure(Details::AppCallFailed);
    vec![
        row("productpage", "reviews", "v2", Outcome::answer(200), 1_668, None),
        row("productpage", "reviews", "v2", expired, 1_700, Some(CauseId(2))),
        row("productpage", "reviews", "v2", expired, 32, Some(CauseId(0))),
        row("users", "productpage", "", Outcome::answer(200), 1_668, None),
        row("users", "productpage", "", passed_on, 1_732, Some(CauseId(2))),
        row("users", "say \"hi\", all", "", Outcome::failure(Details::NoHealthyUpstream), 3, None),
    ]
}

fn causes() -> Causes {
    let mut causes = Causes::default();
    let mut add = |kind, at, what: &str, because| {
        causes.add(Cause { kind, at, what: what.to_owned(), because })
    };
    let minutes = |m: u64| Duration::from_s(60 * m);
    let root = add(CauseKind::Injected, hours(1), "istiod fails", None);
    let at = hours(10) + minutes(2);
    let failed = "the renewal of reviews-v2-0 failed";
    let renewal = add(CauseKind::RenewalFailed, at, failed, Some(root));
    let at = hours(13) + minutes(4);
    let expired = "the certificate of reviews-v2-0 expired";
    add(CauseKind::CertificateExpired, at, expired, Some(renewal));
    causes
}

fn control_plane() -> ControlPlaneCounts {
    ControlPlaneCounts {
        pushes: 96,
        certificates_issued: 51,
        certificate_requests_failed: 880,
        certificates_expired: 40,
        handshakes: 5_000,
        handshakes_failed: 2_100,
        streams_opened: 96,
        stream_attempts_failed: 4_000,
        pods_created: 48,
        pods_refused: 3,
        container_restarts: 0,
        changes_rejected: 0,
        convergence_p50: Duration::from_ms(140),
        convergence_p99: Duration::from_ms(900),
        convergence_max: Duration::from_ms(1_250),
        replicas_killed: 0,
    }
}

fn log() -> Vec<LogLine> {
    let line = |hour, kind, subject: &str, detail: &str, more| LogLine {
        time: hours(hour),
        kind,
        subject: subject.to_owned(),
        detail: detail.to_owned(),
        more,
    };
    vec![
        line(1, FactKind::EventBegan, "istiod-down", "istiod fails", 0),
        line(13, FactKind::CertificateExpired, "reviews-v2-0", "", 0),
        line(13, FactKind::HandshakeFailed, "", "", 17),
        line(31, FactKind::EventEnded, "istiod-down", "said \"done\"", 0),
    ]
}

fn station() -> StationRow {
    let mut sojourn = Histogram::new();
    sojourn.record_n(5_000_000, 10);
    StationRow {
        workload: "reviews-v2".to_owned(),
        pods: 3,
        workers: 24,
        busy: 6.0,
        present: 6.25,
        overflowed: 0,
        wait: Histogram::new(),
        sojourn,
    }
}
