//! Goal: leaves of a Linkerd mesh are issued, renewed, refused and ended as its proxy and its identity do.
//! Method: small meshes whose issuer, anchor, controller or clock an event changes; counts and facts at the
//! instants that the reference names.
//!
//! Source: linkerd2-proxy certify.rs; linkerd2 pkg/identity/service.go, pkg/tls/ca.go; issues as each test says.

use crate::support::{plan_with, run, run_with, try_plan};
use meshsim::kernel::time::{Duration, Time};
use meshsim::observe::run::{LogLine, Run};
use meshsim::vocabulary::fact::FactKind;
use meshsim::vocabulary::metric::Gauge;

/// `web` calls `api`; leaves are issued at time zero.
fn mesh(keys: &str, replicas: u32, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "30h"
start = "cold"
[mesh]
profile = "linkerd@edge-26.8"
network.same_node = "0s"
{keys}
[[node]]
name = "one"
[[service]]
name = "api"
[[service.workload]]
replicas = {replicas}
time = "1ms"
[[service]]
name = "idle"
meshed = false
[[service.workload]]
time = "1ms"
[[traffic]]
id = "calls"
from = "idle"
to = "idle"
arrivals = {{ constant = "1/h" }}
{more}
"#
    )
}

/// An anchor that lives so long, and the issuer under it.
fn authorities(anchor: &str, issuer: &str) -> String {
    format!(
        "[[ca]]\nname = \"anchor\"\nremaining = \"{anchor}\"\n[[ca]]\nname = \"issuer\"\n\
         issuer = \"anchor\"\nremaining = \"{issuer}\"\n"
    )
}

const CA: &str = "ca = \"issuer\"";

fn lines(run: &Run, kind: FactKind) -> Vec<&LogLine> {
    run.log.iter().filter(|line| line.kind == kind).collect()
}

/// Failed requests until a second.
fn failed_by(text: &str, second: f64) -> u64 {
    let duration = format!("scenario.duration=\"{}ms\"", (second * 1000.0).round());
    run_with(text, &[&duration]).control_plane.certificate_requests_failed
}

/// Asserts that the tries fail at these seconds, each within one.
fn fail_at(text: &str, seconds: &[f64]) {
    for (before, second) in seconds.iter().enumerate() {
        let before = u64::try_from(before).expect("few");
        let shown = [second - 1.0, second + 1.0].map(|at| failed_by(text, at));
        assert_eq!(shown, [before, before + 1], "the try at {second} s");
    }
}

/// The anchor is over: identity refuses each request at once, and what is left of the leaf decides when the next
/// is made (certify.rs:188-203).
#[test]
fn refused_renewals_come_closer_to_the_end() {
    let text = mesh(CA, 1, &authorities("1h", "900h"));
    fail_at(&text, &[60_494.0, 78_642.0, 84_087.0, 85_720.0, 86_210.0, 86_357.0, 86_401.0]);
    let run = run(&text);
    let ends = lines(&run, FactKind::CertificateExpired);
    assert_eq!(
        ends.iter().map(|line| line.time).collect::<Vec<_>>(),
        [Time::from_ns(86_420_000_000_000)]
    );
    // Then every ten seconds.
    let more = failed_by(&text, 100_000.0) - failed_by(&text, 90_000.0);
    assert_eq!(more, 1000);
}

/// Nobody is to be had: each try fails after the client's 30 s.
#[test]
fn black_holed_renewals_are_later_by_the_failfast() {
    let down =
        "[[event]]\nid = \"down\"\nat = \"1h\"\ndo = \"fail\"\ntarget = \"linkerd/identity\"\n";
    let text = mesh("", 1, down);
    // From 0 on: + 0.7 of what is left then, + 30 s until it has failed.
    let (mut at, mut all) = (60_494.0, Vec::new());
    for _ in 0..6 {
        let failed = at + 30.0;
        all.push(failed);
        at = failed + f64::max(0.7 * (86_420.0 - failed), 10.0);
    }
    assert!((all[1] - 30.0 - 78_651.0).abs() < 1.0, "{all:?}");
    fail_at(&text, &all);
    let more = failed_by(&text, 100_000.0) - failed_by(&text, 90_000.0);
    assert_eq!(more, 250, "one every 40 s");
}

/// An outage shorter than the client's patience is not noticed; a longer one costs five hours.
#[test]
fn a_short_outage_at_the_renewal_is_waited_out() {
    let down = |lasts: &str| {
        let event = "id = \"down\"\nat = \"60484s\"\ndo = \"fail\"\ntarget = \"linkerd/identity\"";
        mesh("", 1, &format!("[[event]]\n{event}\nfor = \"{lasts}\"\n"))
    };
    let issued = |text: &str| -> Vec<f64> {
        lines(&run(text), FactKind::CertificateIssued).iter().map(|line| line.time.as_s()).collect()
    };
    let short = issued(&down("20s"));
    // It tries to connect after 0.1, 0.3, 0.7 … 12.7 s.
    assert!((short[0] - 60_506.7).abs() < 0.1, "{short:?}");
    assert_eq!(failed_by(&down("20s"), 80_000.0), 0);
    let long = issued(&down("41s"));
    assert!((long[0] - 78_651.0).abs() < 1.0, "{long:?}");
}

#[test]
fn all_leaves_end_with_the_issuer_at_one_instant() {
    let text = mesh(CA, 20, &authorities("900h", "26h")).replace("start = \"cold\"\n", "");
    let run = run(&text);
    let ends = lines(&run, FactKind::CertificateExpired);
    assert_eq!(ends.len(), 20);
    assert!(ends.iter().all(|line| line.time == Time::ZERO + Duration::from_s(26 * 3600)));
    // Without the clamp of 2020 (linkerd2#3880) a leaf says more, and is worth no more.
    let old = run_with(&text, &["mesh.linkerd_identity.clamp_to_issuer=false"]);
    let ends = lines(&old, FactKind::CertificateExpired);
    assert!(ends.iter().all(|line| line.time == Time::ZERO + Duration::from_s(26 * 3600)));
}

/// Nobody looks at the dates of an anchor but identity (linkerd2#9256).
#[test]
fn an_anchor_that_is_over_is_felt_within_a_day() {
    let text = mesh(CA, 40, &authorities("2h", "900h")).replace("start = \"cold\"\n", "");
    let run = run(&text);
    let expired = |at: u64| {
        let mut rows =
            run.series.iter().filter(|row| row.time <= Time::ZERO + Duration::from_s(at));
        rows.next_back().map_or(0.0, |row| row.gauges[Gauge::CertificatesExpired as usize])
    };
    assert!(expired(9 * 3600) < 0.5, "{}", expired(9 * 3600));
    assert!((2.0..38.0).contains(&expired(18 * 3600)), "{}", expired(18 * 3600));
    assert!((expired(27 * 3600) - 40.0).abs() < 0.5, "{}", expired(27 * 3600));
    let said = lines(&run, FactKind::CertificateRequestFailed);
    assert!(said.iter().all(|line| line.detail.starts_with("IssuerValidationFailed")));
}

/// A secret is read within 90 s by each replica; one that misses it (linkerd2#15109) reads it when it starts.
#[test]
fn a_reload_takes_a_kubelets_time_and_may_be_missed() {
    let more = authorities("900h", "20h")
        + "[[ca]]\nname = \"next\"\nissuer = \"anchor\"\nremaining = \"800h\"\n"
        + "[[event]]\nid = \"rotate\"\nat = \"1h\"\ndo = \"ca\"\ntarget = \"linkerd/identity\"\nca = \"next\"\n";
    let text = mesh("ca = \"issuer\"\nlinkerd_control.replicas = 3", 12, &more);
    let all = run(&text);
    let read = lines(&all, FactKind::IssuerUpdated);
    assert_eq!(read.len(), 3);
    let late: Vec<f64> = read.iter().map(|line| line.time.as_s() - 3600.0).collect();
    assert!(late.iter().all(|one| (0.0..=90.0).contains(one)), "{late:?}");
    assert_eq!(all.control_plane.certificates_expired, 0);
    // All replicas have missed it: a share so small that it means one of three, and that one starts again later.
    let missed =
        run_with(&text, &["event.rotate.share=\"34%\"", "mesh.linkerd_control.replicas=2"]);
    assert_eq!(lines(&missed, FactKind::IssuerUpdated).len(), 1);
    let again = format!(
        "{more}[[event]]\nid = \"restart\"\nat = \"2h\"\nfor = \"10s\"\ndo = \"fail\"\ntarget = \"linkerd/identity\"\n"
    );
    let text = mesh("ca = \"issuer\"\nlinkerd_control.replicas = 2", 12, &again);
    let restarted = run_with(&text, &["event.rotate.share=\"34%\""]);
    assert_eq!(lines(&restarted, FactKind::IssuerUpdated).len(), 2);
}

/// The bundle is in a pod's environment: a new one is for those who are created after it.
#[test]
fn an_issuer_of_another_anchor_is_skipped_until_identity_starts_and_refused_by_old_pods() {
    let more = authorities("900h", "900h")
        + "[[ca]]\nname = \"other\"\n[[ca]]\nname = \"next\"\nissuer = \"other\"\nremaining = \"800h\"\n"
        + "[[event]]\nid = \"bundle\"\nat = \"1h\"\ndo = \"trust\"\ntrust = [\"other\"]\n"
        + "[[event]]\nid = \"rotate\"\nat = \"2h\"\ndo = \"ca\"\ntarget = \"linkerd/identity\"\nca = \"next\"\n";
    let text = mesh(CA, 3, &more);
    let kept = run(&text);
    assert_eq!(lines(&kept, FactKind::AuthorityRejected).len(), 1);
    assert!(lines(&kept, FactKind::AuthorityRejected)[0].detail.starts_with("IssuerUpdateSkipped"));
    assert_eq!(kept.control_plane.certificates_expired, 0);
    let taken = run_with(&text, &["event.rotate.restart=true"]);
    assert_eq!(lines(&taken, FactKind::AuthorityRejected).len(), 0);
    // Those who run trust the old one alone: they do not even connect to identity.
    assert_eq!(taken.control_plane.certificates_expired, 3);
    let rolled = format!(
        "{text}[[event]]\nid = \"roll\"\nat = \"3h\"\ndo = \"rollout\"\ntarget = \"service:api\"\n"
    );
    let rolled = run_with(&rolled, &["event.rotate.restart=true"]);
    assert_eq!(rolled.control_plane.certificates_expired, 0);
    assert_eq!(lines(&rolled, FactKind::RolloutFinished).len(), 1);
}

/// A pod is ready with its first certificate; a native sidecar is started again after 120 s without.
#[test]
fn pods_that_start_without_identity_are_not_ready() {
    let more = "[[event]]\nid = \"down\"\nat = \"1h\"\nfor = \"10m\"\ndo = \"fail\"\ntarget = \"linkerd/identity\"\n\
                [[event]]\nid = \"grow\"\nat = \"1h1m\"\ndo = \"scale\"\ntarget = \"service:api\"\nreplicas = 2\n";
    let run = run_with(&mesh("", 1, more), &["scenario.duration=\"2h\""]);
    let again = lines(&run, FactKind::ContainerRestarted);
    assert!(
        again[0].detail.starts_with("linkerd-proxy: startup probe failed"),
        "{}",
        again[0].detail
    );
    assert!((3780.0 - again[0].time.as_s()).abs() < 10.0, "{}", again[0].time);
    let ready = lines(&run, FactKind::PodReady);
    assert_eq!(ready.len(), 1);
    assert!(4200.0 < ready[0].time.as_s());
    // No proxy of an older chart is started again by its probe, but by linkerd-await after 2 m.
    let text = mesh("linkerd_proxy.native_sidecar = false", 1, more);
    let old = run_with(&text, &["scenario.duration=\"2h\""]);
    let again = lines(&old, FactKind::ContainerRestarted);
    assert!(again[0].detail.starts_with("linkerd-proxy: linkerd-await failed"));
}

/// A warning for sixty days, and an exit status that says nothing until it is too late (linkerd2#9612).
#[test]
fn linkerd_check_warns_and_then_fails() {
    let text = mesh(CA, 1, &authorities("9000h", "1450h"));
    let run = run_with(&text, &["scenario.duration=\"1460h\"", "scenario.interval=\"10h\""]);
    let said: Vec<(f64, &str)> = lines(&run, FactKind::CheckFound)
        .iter()
        .map(|line| (line.time.as_s() / 3600.0, line.detail.as_str()))
        .collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        (said[0].0 - 10.0).abs() < 0.001 && said[0].1.contains("a warning, the exit status is 0")
    );
    assert!((said[1].0 - 1450.0).abs() < 0.001 && said[1].1.contains("the exit status is 1"));
}

/// A clock behind the skew takes no leaf (linkerd2#3980).
#[test]
fn a_clock_that_is_behind_takes_no_leaf() {
    let behind = |by: &str| {
        format!(
            "[[event]]\nid = \"clock\"\nat = \"1h\"\ndo = \"clock\"\ntarget = \"node:one\"\nbehind = \"{by}\"\n"
        )
    };
    let failed = |by: &str| failed_by(&mesh("", 1, &behind(by)), 70_000.0);
    assert_eq!((failed("15s"), failed("30s")), (0, 1));
}

#[test]
fn what_an_istio_mesh_says_means_nothing_here_and_the_other_way_about() {
    let event = |target: &str, does: &str| {
        format!("[[event]]\nid = \"e\"\nat = \"1h\"\ndo = \"{does}\"\ntarget = \"{target}\"\n")
    };
    for (profile, target, does, hint) in [
        ("linkerd", "istiod", "fail", "it has `linkerd`"),
        ("linkerd", "istiod/ca", "fail", "it has `linkerd/identity`"),
        ("linkerd", "istiod/eds", "fail", "it has `linkerd/destination`"),
        ("linkerd", "linkerd", "push", "it acts on istiod"),
        ("linkerd", "linkerd/policies", "fail", "did you mean `linkerd/policy`?"),
        ("istio-sidecar", "linkerd", "fail", "it has `istiod`"),
        ("istio-sidecar", "linkerd/proxy-injector", "fail", "it has `istiod/injector`"),
        ("istio-sidecar", "linkerd/policy", "fail", "it has nothing like it"),
    ] {
        let text = mesh("", 1, &event(target, does)).replace("linkerd@edge-26.8", profile);
        let problems = try_plan(&text, &[]).expect_err(target);
        assert!(problems.contains(hint), "{target} in {profile}: {problems}");
    }
    for (key, what) in [
        ("linkerd_identity.refresh_ratio = 0.0", "above 0, at most 1"),
        ("linkerd_identity.lifetime = \"0s\"", "a certificate of no life"),
        ("linkerd_identity.min_refresh = \"0s\"", "at least 1ms"),
        ("linkerd_identity.max_refresh = \"1s\"", "not below min_refresh"),
        ("linkerd_control.stream_idle = \"10ms\"", "at least 1s"),
        ("linkerd_control.backoff_min = \"2m\"", "not above the longest"),
        ("linkerd_control.backoff_min = \"0s\"", "never waits"),
        ("linkerd_outbound.backoff_min = \"0s\"", "never waits"),
        ("linkerd_outbound.backoff_min = \"2m\"", "not above the longest"),
    ] {
        let problems = try_plan(&mesh(key, 1, ""), &[]).expect_err(key);
        assert!(problems.contains(what), "{key}: {problems}");
    }
    // What follows from Linkerd's own cannot be set beside it.
    let plan = plan_with(&mesh("cert.ttl = \"1h\"", 1, ""), &[]);
    assert_eq!(plan.parameters.cert.ttl, Duration::from_s(86_400));
}

fn gauge_at(run: &Run, gauge: Gauge, second: u64) -> f64 {
    let at = Time::ZERO + Duration::from_s(second);
    let row = run.series.iter().rfind(|row| row.time <= at).expect("a row");
    row.gauges[gauge as usize]
}

/// What `linkerd check` says at a second: 0 nothing, 1 a warning, 2 an error.
fn level_at(run: &Run, second: u64) -> u8 {
    let level = gauge_at(run, Gauge::LinkerdCheck, second);
    (0..3).find(|one| (f64::from(*one) - level).abs() < 0.5).expect("a level")
}

/// What `linkerd check` says is a gauge: it reads the secret and the bundle, not what replicas have read.
#[test]
fn linkerd_check_is_content_again_after_a_rotation() {
    let more = authorities("9000h", "20h")
        + "[[ca]]\nname = \"next\"\nissuer = \"anchor\"\nremaining = \"8000h\"\n"
        + "[[event]]\nid = \"rotate\"\nat = \"10h\"\ndo = \"ca\"\ntarget = \"linkerd/identity\"\nca = \"next\"\n";
    let text = mesh(CA, 1, &more);
    let level = |run: &Run, hour: u64| level_at(run, hour * 3600);
    let rotated = run(&text);
    assert_eq!([9, 11, 21].map(|hour| level(&rotated, hour)), [1, 0, 0]);
    // All replicas miss it, and nobody hears of that from here.
    let missed = run_with(&text, &["event.rotate.dropped_by=1"]);
    assert_eq!([9, 11, 21].map(|hour| level(&missed, hour)), [1, 0, 0]);
    assert!(missed.control_plane.certificates_expired > 0);
    let never = run_with(&text, &["event.rotate.at=\"29h\""]);
    assert_eq!([9, 19, 21].map(|hour| level(&never, hour)), [1, 1, 2]);
    assert_eq!(lines(&never, FactKind::CheckFound).len(), 2);
    // An issuer of an anchor that is not in the bundle.
    let other = more.replace("name = \"next\"\nissuer = \"anchor\"", "name = \"next\"");
    let other = run(&mesh(CA, 1, &other));
    assert_eq!([9, 11].map(|hour| level(&other, hour)), [1, 2]);
    let said = lines(&other, FactKind::CheckFound);
    assert!(said.iter().any(|line| line.detail.contains("not issued by a trust anchor")));
}

/// A warning, whose exit status is 0, for clocks that differ by more than 310 s.
#[test]
fn linkerd_check_warns_of_clocks() {
    let text = |behind: &str| {
        let event = "id = \"c\"\nat = \"1h\"\nfor = \"1h\"\ndo = \"clock\"\ntarget = \"node:one\"";
        mesh("", 1, &format!("[[event]]\n{event}\nbehind = \"{behind}\"\n"))
    };
    let levels = |behind: &str| {
        let run = run(&text(behind));
        let said = lines(&run, FactKind::CheckFound).len();
        (said, [3000, 5400, 8000].map(|at| level_at(&run, at)))
    };
    assert_eq!(levels("310s"), (0, [0, 0, 0]));
    assert_eq!(levels("311s"), (1, [0, 1, 0]));
}

/// A proxy that waits for its first certificate says so after 15 s, and so does the next one in its place.
#[test]
fn a_proxy_without_a_certificate_says_that_it_waits() {
    let more = "[[event]]\nid = \"down\"\nat = \"1h\"\nfor = \"10m\"\ndo = \"fail\"\ntarget = \"linkerd/identity\"\n\
                [[event]]\nid = \"grow\"\nat = \"1h1m\"\ndo = \"scale\"\ntarget = \"service:api\"\nreplicas = 2\n";
    let text = mesh("", 1, more);
    let waits = |sets: &[&str]| -> Vec<f64> {
        let run = run_with(&text, &[&["scenario.duration=\"2h\""], sets].concat());
        let said = lines(&run, FactKind::WaitsForCertificate);
        said.iter().map(|line| line.time.as_s()).collect()
    };
    let usual = waits(&[]);
    assert!(usual.len() >= 4 && (3675.0..3690.0).contains(&usual[0]), "{usual:?}");
    assert!(
        (usual[1] - usual[0] - 120.0).abs() < 5.0,
        "after the startup probe's 120 s: {usual:?}"
    );
    assert!(waits(&["mesh.linkerd_identity.boot_warning=\"200s\""]).is_empty());
    // Nobody waits so long where identity is there.
    assert!(waits(&["event.down.at=\"1h30m\""]).is_empty());
}

/// The CLI makes anchors and issuers of a year.
#[test]
fn anchors_and_issuers_live_a_year_if_nothing_is_said() {
    let authorities = "[[ca]]\nname = \"anchor\"\n[[ca]]\nname = \"issuer\"\nissuer = \"anchor\"\n";
    let plan = plan_with(&mesh(CA, 1, authorities), &[]);
    let day = Duration::from_s(86_400);
    assert!(plan.identity.authorities.iter().all(|one| one.remaining == day * 365));
    let short = plan_with(
        &mesh("linkerd_identity.authority_lifetime = \"30d\"", 1, ""),
        &["scenario.duration=\"31d\"", "scenario.interval=\"1h\""],
    );
    assert_eq!(short.parameters.cert.signer_remaining, day * 30);
    let run = crate::support::play(&short, meshsim::world::options::Options::default());
    assert!(gauge_at(&run, Gauge::LinkerdCheck, 86_400) > 0.5, "a warning of sixty days");
    assert!(gauge_at(&run, Gauge::CertificatesExpired, 30 * 86_400 + 7200) > 0.5);
}
