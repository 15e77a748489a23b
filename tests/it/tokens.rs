//! Service-account tokens, their reviews, istiod's own certificate: who is refused from when on, and
//! what heals it.
//!
//! Method: small meshes without traffic, whose gauges and counts are compared with what the kubelet's
//! rule, renewal theory and a token bucket say.

use crate::support::run;
use meshsim::observe::run::Run;
use meshsim::vocabulary::cause::CauseKind;
use meshsim::vocabulary::fact::FactKind;
use meshsim::vocabulary::metric::Gauge;

/// So many proxies on two nodes, and nobody who calls them.
fn quiet(duration: &str, interval: &str, replicas: u32, mesh: &str, events: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"{interval}\"\n[mesh]\nprofile = \"istio-sidecar@1.28\"\n{mesh}\n\
         [[node]]\nname = \"n\"\ncount = 2\n[[service]]\nname = \"server\"\n[[service.workload]]\nreplicas = {replicas}\ntime = \"1ms\"\n{events}"
    )
}

fn event(target: &str, at: &str, more: &str) -> String {
    let does = if more.contains("do =") { "" } else { "do = \"fail\"\n" };
    format!("[[event]]\nid = \"e\"\nat = \"{at}\"\n{does}target = \"{target}\"\n{more}\n")
}

fn gauge(run: &Run, gauge: Gauge) -> Vec<f64> {
    run.series.iter().map(|row| row.gauges[gauge as usize]).collect()
}

fn all(values: &[f64], wanted: f64) -> bool {
    values.iter().all(|one| (one - wanted).abs() < 1e-9)
}

/// Seconds of the journal's lines of a kind.
fn seconds(run: &Run, kind: FactKind) -> Vec<f64> {
    let lines = run.log.iter().filter(|line| line.kind == kind && line.more == 0);
    lines.map(|line| line.time.ns() as f64 / 1e9).collect()
}

// === rotation ===

#[test]
fn tokens_of_an_outage_of_the_api_server_end_between_2_h_24_min_and_12_h() {
    let away = event("api_server", "1h", "for = \"14h\"");
    let run = run(&quiet("16h", "1m", 200, "", &away));
    let expired = gauge(&run, Gauge::TokensExpired);
    assert!(all(&expired[..203], 0.0), "none within 2 h 24 min");
    assert!(all(&expired[781..899], 200.0), "all after 12 h");
    // Ages are uniform on [0, 9.6 h): after d hours the share is (d − 2.4) / 9.6.
    for hour in [4_u8, 6, 8, 10] {
        let share = (f64::from(hour) - 2.4) / 9.6;
        let found = expired[60 + 60 * usize::from(hour)] / 200.0;
        let error = libm::sqrt(share * (1.0 - share) / 200.0);
        assert!((found - share).abs() < 4.0 * error, "after {hour} h: {found}, not {share}");
    }
    assert!(all(&expired[902..], 0.0), "kubelets look within 90 s");
    // Without reviews no stream is opened: the last is closed at 33 min 10 s.
    let connected = gauge(&run, Gauge::ProxiesConnected);
    assert!(all(&connected[94..899], 0.0));
    assert!(connected[903..].iter().all(|one| 195.5 < *one), "but for some between two streams");
    let root = run.causes.iter().find(|one| one.kind == CauseKind::RenewalFailed).expect("some");
    let root = run.causes.get(root.because.expect("it has a reason"));
    assert_eq!(root.kind, CauseKind::Injected);
}

#[test]
fn a_short_outage_of_the_api_server_is_no_matter_of_tokens() {
    let away = event("api_server", "1h", "for = \"2h\"");
    let run = run(&quiet("4h", "1m", 50, "", &away));
    assert!(all(&gauge(&run, Gauge::TokensExpired), 0.0));
    assert!(seconds(&run, FactKind::TokenExpired).is_empty());
    assert!(all(&gauge(&run, Gauge::ProxiesConnected)[183..], 50.0));
}

#[test]
fn nothing_of_tokens_is_simulated_in_calm() {
    let digest = |keys: &str| run(&quiet("40h", "1h", 50, keys, "")).digest;
    let usual = digest("");
    assert_eq!(usual, digest("sa_token.ttl = \"20m\"\nsa_token.rotate_at = 0.5"));
    assert_ne!(usual, digest("sa_token.cached = true"));
}

#[test]
fn agents_that_keep_their_token_are_refused_from_exactly_12_h_on() {
    let run = run(&quiet("38h", "15m", 100, "sa_token.cached = true", ""));
    let ends = seconds(&run, FactKind::TokenExpired);
    assert!(!ends.is_empty() && all(&ends, 43_200.0), "{ends:?}");
    let failed = seconds(&run, FactKind::CertificateRequestFailed);
    assert!(failed.iter().all(|at| 43_200.0 <= *at), "renewals before it succeed");
    // Who was renewed last before it holds out for a day: clamp((t − 24 h) / 12 h).
    let expired = gauge(&run, Gauge::CertificatesExpiredShare);
    for (row, found) in expired.iter().enumerate() {
        let share = ((row as f64 / 4.0 - 24.0) / 12.0).clamp(0.0, 1.0);
        assert!((found - share).abs() < 0.07, "at {} min: {found}, not {share}", row * 15);
    }
    assert!(all(&gauge(&run, Gauge::ProxiesConnected)[52..], 0.0));
    assert!(run.causes.iter().any(|one| one.kind == CauseKind::TokenExpired));
}

#[test]
fn a_kubelet_that_forgets_its_tokens_harms_its_own_pods_until_they_are_new() {
    let forget = event("kubelet:n-0", "1h", "part = \"tokens\"\nshare = 0.5");
    let roll =
        "[[event]]\nid = \"roll\"\nat = \"20h\"\ndo = \"rollout\"\ntarget = \"service:server\"\n";
    let run = run(&quiet("36h", "15m", 40, "", &(forget + roll)));
    let expired = gauge(&run, Gauge::TokensExpired);
    assert!(all(&expired[53..80], 10.0), "half of the 20 pods of the node: {expired:?}");
    assert!(all(&expired[82..], 0.0), "new pods have new tokens: {expired:?}");
    assert!(gauge(&run, Gauge::ProxiesConnected)[56..80].iter().all(|one| *one < 30.5));
}

// === what is refused is tried again ===

#[test]
fn who_is_not_authenticated_has_one_try_a_burst() {
    // All certificates are due within five minutes; then, for two hours, a try every 15 s on average
    // instead of five every 16.5 s.
    let failed = |target: &str| {
        let text = quiet("130m", "1m", 100, "cert.ttl = \"10m\"", &event(target, "0s", ""));
        run(&text).control_plane.certificate_requests_failed as f64 / 100.0
    };
    let (once, five) = (failed("api_server"), failed("istiod/ca"));
    // From 2.5 min on average: 127.5 min of cycles, and a few short ones at the begin.
    assert!((once - 127.5 * 60.0 / 15.0).abs() < 12.0, "{once}");
    assert!((five - 5.0 * 127.5 * 60.0 / 16.5).abs() < 40.0, "{five}");
}

#[test]
fn after_a_return_of_istiod_a_certificate_takes_9_1_s_on_average_and_at_most_a_cycle() {
    // All are over at the return; at 1,000 pods in one second's rows the wait is the area under the
    // share of those who still wait. Renewal theory: E[g²] / 2 E[g] = 9.1 s for the next try.
    let events = event("istiod/ca", "0s", "until = \"660s\"");
    let run = run(&quiet("720s", "1s", 1000, "cert.ttl = \"10m\"", &events));
    let expired = gauge(&run, Gauge::CertificatesExpiredShare);
    let after = &expired[660..];
    assert!((after[0] - 1.0).abs() < 1e-9, "all are over at its return");
    let mean = after.iter().sum::<f64>() - 0.5;
    // The residual's second moment is E[g³] / 3 E[g] = 30⁴/4/30 / 3 / 16.5.
    let square = 30.0 * 30.0 * 30.0 / 4.0 / 3.0 / 16.5;
    let error = libm::sqrt((square - 9.1 * 9.1) / 1000.0);
    assert!((mean - 9.1).abs() < 4.0 * error + 0.1, "{mean} s, error {error}; 0.1 s of signing");
    // 30 s, no burst since the first try succeeds, and the signing of those who come together.
    assert!(all(&after[32..], 0.0), "{after:?}");
}

#[test]
fn six_hundred_pods_wait_for_their_reviews_at_client_gos_old_rate() {
    // istio#27945: 1 to 24 s for a cluster of 600 pods. Streams and certificates: 1,200 reviews, burst 40,
    // 20 a second, for pods that come back at one time.
    let restart = event("service:server", "1m", "do = \"restart\"");
    let issued = |keys: &str| {
        let text = quiet("5m", "1s", 600, &format!("istiod.cpu = 16\n{keys}"), &restart);
        let ready = gauge(&run(&text), Gauge::PodsReady);
        ready.iter().skip(62).position(|one| 599.5 < *one).expect("all get ready")
    };
    let (fast, slow) = (
        issued("istiod.token_review_qps = 0"),
        issued("istiod.token_review_qps = 20\nistiod.token_review_burst = 40"),
    );
    assert!(fast < 20 && (45..75).contains(&slow), "{fast} s and {slow} s");
}

#[test]
fn a_share_of_reviews_that_fails_makes_streams_and_certificates_late_but_not_lost() {
    let fail = event("api_server", "1h", "for = \"2h\"\ndo = \"errors\"\nshare = 0.9");
    let run = run(&quiet("4h", "1m", 200, "cert.ttl = \"2h\"", &fail));
    let connected = gauge(&run, Gauge::ProxiesConnected);
    assert!(all(&connected[..60], 200.0) && all(&connected[182..], 200.0));
    let least = connected[60..180].iter().copied().fold(f64::MAX, f64::min);
    assert!((170.0..199.5).contains(&least), "{least}");
    assert!(100 < run.control_plane.certificate_requests_failed);
    assert!(all(&gauge(&run, Gauge::CertificatesExpired), 0.0), "half of their life is left");
    let none = event("api_server", "1h", "for = \"2h\"\ndo = \"errors\"");
    let none = crate::support::run(&quiet("4h", "1m", 200, "", &none));
    assert!(all(&gauge(&none, Gauge::ProxiesConnected)[94..179], 0.0), "all of them fail");
}

// === istiod's own certificate ===

#[test]
fn istiods_own_certificate_ends_and_is_new_after_a_restart() {
    let keys = "istiod.certificate_remaining = \"2h\"";
    let restart = event("istiod", "4h", "for = \"10s\"");
    let run = run(&quiet("6h", "1m", 50, keys, &restart));
    let connected = gauge(&run, Gauge::ProxiesConnected);
    assert!(all(&connected[..119], 50.0), "{connected:?}");
    assert!(all(&connected[154..239], 0.0), "the oldest stream ends 33 min later");
    assert!(all(&connected[243..], 50.0), "a restart makes a new one");
    let cause = run.causes.iter().find(|one| one.kind == CauseKind::ServingCertificateExpired);
    assert_eq!(cause.expect("it is said").because, None);
}

#[test]
fn another_root_brings_istiod_another_certificate() {
    // istiod renews its self-signed root in the second hour, and its own certificate with it.
    let keys = |check: &str| {
        format!(
            "istiod.certificate_remaining = \"3h\"\ncert.signer_remaining = \"20h\"\nroot.check = \"{check}\""
        )
    };
    let connected = |check: &str| {
        let run = run(&quiet("5h", "5m", 20, &keys(check), ""));
        *gauge(&run, Gauge::ProxiesConnected).last().expect("rows")
    };
    assert!(all(&[connected("1h")], 20.0));
    assert!(all(&[connected("0s")], 0.0));
}

#[test]
fn the_webhooks_end_with_the_earlier_of_both_certificates() {
    let grow = "[[event]]\nid = \"grow\"\nat = \"30m\"\ndo = \"scale\"\ntarget = \"service:server\"\nreplicas = 4\n";
    let missing = |keys: &str| {
        let run = run(&quiet("1h", "1m", 2, keys, grow));
        *gauge(&run, Gauge::PodsMissing).last().expect("rows")
    };
    assert!(all(&[missing("istiod.certificate_remaining = \"20m\"")], 2.0));
    assert!(all(&[missing("webhook.certificate_remaining = \"20m\"")], 2.0));
    assert!(all(&[missing("")], 0.0));
}

#[test]
fn shipped_scenarios_go_back_to_what_they_inject() {
    for (name, natural) in [
        ("token-expiry", CauseKind::Injected),
        ("token-expiry-12h", CauseKind::TokenExpired),
        ("stuck-token", CauseKind::Injected),
        ("istiod-certificate-expired", CauseKind::ServingCertificateExpired),
    ] {
        let path = format!("{}/scenarios/identity/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let run = run(&std::fs::read_to_string(path).expect("it ships"));
        let mut seen = 0;
        for row in run.outcomes.iter().filter(|row| row.outcome.status == 503) {
            // An app that passes a failure on has none.
            let Some(cause) = row.cause else { continue };
            let chain = run.causes.chain(cause);
            let root = run.causes.get(*chain.last().expect("itself"));
            assert_eq!(root.kind, natural, "{name}: {}", root.what);
            seen += row.count;
        }
        assert!(100 < seen, "{name}: {seen}");
    }
}
