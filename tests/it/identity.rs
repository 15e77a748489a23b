//! Goal: who signs, who trusts whom, whose clock is wrong, and what becomes of handshakes then.
//! Method: the decision table is played through scenario text and compared with the part that holds it;
//! the rest are small meshes with an authority, a clock or a node that an event changes.
//!
//! Source: `model::identity::handshake` (measured on Envoy 1.40, family e08); Istio as each test says.

use crate::support::{assert_share, count, ledger, run, run_with, try_plan};
use meshsim::model::identity::handshake::handshake;
use meshsim::model::identity::handshake::{Client, HandshakeResult, Meeting, Plaintext, Server};
use meshsim::model::identity::verification::Flaw;
use meshsim::observe::run::{LogLine, Run};
use meshsim::plan::tls::TlsVersion;
use meshsim::vocabulary::cause::CauseKind;
use meshsim::vocabulary::fact::FactKind;
use meshsim::vocabulary::metric::Gauge;

/// `front` calls `server` ten times a second, each time on a new connection.
fn scenario(mesh: &str, front: &str, server: &str, workload: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "350ms"
[mesh]
profile = "istio-sidecar@1.30"
ca = "root"
trust = ["root", "dead"]
{mesh}
[[ca]]
name = "root"
[[ca]]
name = "dead"
remaining = "0s"
[[ca]]
name = "stranger"
[[service]]
name = "server"
connections = {{ max_requests = 1 }}
{server}
[[service.workload]]
time = "1ms"
{workload}
[[service]]
name = "front"
[[service.workload]]
time = "1ms"
{front}
[[traffic]]
id = "calls"
from = "front"
to = "server"
arrivals = {{ constant = "10rps" }}
{more}
"#
    )
}

const STATES: [&str; 7] =
    ["good", "expired", "root-expired", "early", "other-name", "other-ca", "no-secret"];

/// The key of a certificate that is in such a state, and what its peer finds.
fn certificate(state: &str, is_client: bool) -> (String, Option<Flaw>) {
    let (inside, flaw) = match state {
        "expired" => ("not_after = \"0s\"", Some(Flaw::Expired)),
        "root-expired" => ("ca = \"dead\"", Some(Flaw::IssuerExpired)),
        "early" => ("not_before = \"1h\"", Some(Flaw::NotYetValid)),
        "other-name" if is_client => ("san = \"spiffe://other/ns/a/sa/b\"", Some(Flaw::WrongName)),
        "other-name" => ("san = \"thief\"", Some(Flaw::WrongName)),
        "other-ca" => ("ca = \"stranger\"", Some(Flaw::UnknownIssuer)),
        "no-secret" => ("none = true", None),
        _ => return (String::new(), None),
    };
    (format!("certificate = {{ {inside} }}"), flaw)
}

/// What a run shows of a result.
fn shown(result: HandshakeResult) -> &'static str {
    match result {
        HandshakeResult::Plaintext | HandshakeResult::Established => "200 -: 3",
        HandshakeResult::Failed { .. } => "503 URX,UF: 3",
        HandshakeResult::Rejected { .. } => "503 UC: 3",
    }
}

fn check(text: &str, meeting: Meeting) {
    let result = handshake(meeting);
    let run = run(text);
    assert_eq!(ledger(&run, "front", "server"), shown(result), "{meeting:?}\n{text}");
    if let HandshakeResult::Failed { details, .. } = result {
        assert!(run.outcomes.iter().all(|row| row.outcome.details == details), "{meeting:?}");
    }
}

#[test]
fn every_row_of_the_decision_table_can_be_written_in_a_scenario() {
    let versions = [("1.2", Some(TlsVersion::Tls12)), ("1.3", Some(TlsVersion::Tls13)), ("", None)];
    let modes = [
        ("peer_authentication = \"permissive\"", Some((true, Plaintext::Taken))),
        ("peer_authentication = \"strict\"", Some((true, Plaintext::Unmatched))),
        ("peer_authentication = \"disable\"", None),
        ("server_tls = \"mutual\"", Some((true, Plaintext::Misread))),
        ("server_tls = \"optional_mutual\"", Some((false, Plaintext::Misread))),
        ("server_tls = \"simple\"", Some((false, Plaintext::Misread))),
    ];
    let clients = STATES.into_iter().chain(["anonymous", "h1", "h2"]);
    let mut played = 0;
    for client in clients {
        for (server, (word, version)) in
            STATES.into_iter().flat_map(|server| versions.map(|version| (server, version)))
        {
            for (mode, takes) in modes {
                let (ours, found) = certificate(client, true);
                let (theirs, flaw) = certificate(server, false);
                let asks = match client {
                    "h1" => "tls = \"disable\"",
                    "h2" => "tls = \"disable\"\nprotocol = \"http2\"",
                    "anonymous" => "tls = \"simple\"",
                    _ => "tls = \"istio_mutual\"",
                };
                let is_unasked = mode.contains("\"simple\"");
                let meeting = Meeting {
                    client: match client {
                        "h1" | "h2" => Client::Plaintext { is_h2: client == "h2" },
                        "anonymous" => Client::Anonymous,
                        "no-secret" => Client::NoSecret,
                        _ => Client::Certified(found.filter(|_| !is_unasked)),
                    },
                    server: match takes {
                        None => Server::Plaintext,
                        Some(_) if server == "no-secret" => Server::NoSecret,
                        // Without Istio's ALPN it comes to the filter chain for plaintext.
                        Some((_, Plaintext::Taken)) if client == "anonymous" => Server::Plaintext,
                        Some((requires_client, plaintext)) => {
                            Server::Tls { flaw, requires_client, plaintext }
                        }
                    },
                    version,
                    resumed: false,
                };
                let (speaks, takes) = match word {
                    "" => ("tls_maximum_version = \"1.2\"", "tls_minimum_version = \"1.3\""),
                    "1.2" => ("tls_maximum_version = \"1.2\"", ""),
                    _ => ("", "tls_minimum_version = \"1.3\""),
                };
                let server = format!("{mode}\n{asks}");
                let (front, workload) = (format!("{ours}\n{speaks}"), format!("{theirs}\n{takes}"));
                check(&scenario("", &front, &server, &workload, ""), meeting);
                played += 1;
            }
        }
    }
    assert_eq!(played, 10 * 7 * 3 * 6);
}

#[test]
fn a_ticket_hides_a_certificate_that_has_ended_from_its_server_only() {
    // One endpoint, so that each connection redeems the ticket of the one before it.
    for (version, on, of_client) in [
        ("1.2", true, "200 -: 9"),
        ("1.3", true, "200 -: 9"),
        ("1.2", false, "200 -: 4, 503 URX,UF: 5"),
        ("1.3", false, "200 -: 4, 503 UC: 5"),
    ] {
        let mesh = format!("cert.session_resumption = {on}");
        let speaks = format!("tls_maximum_version = \"{version}\"");
        let sets = ["scenario.duration=990ms"];
        let ends = "certificate = { not_after = \"450ms\" }";
        let text = scenario(&mesh, &format!("{ends}\n{speaks}"), "", "", "");
        let run = run_with(&text, &sets);
        assert_eq!(ledger(&run, "front", "server"), of_client, "{version}, resumption {on}");
        let text = scenario(&mesh, &speaks, "", ends, "");
        let run = run_with(&text, &sets);
        let seen = ledger(&run, "front", "server");
        assert_eq!(seen, "200 -: 4, 503 URX,UF: 5", "{version}, resumption {on}");
        // A clock that falls behind is as a certificate of the future: a redeemed ticket hides it, too.
        let behind = "[[event]]\nid = \"clock\"\nat = \"450ms\"\ndo = \"clock\"\n\
                      target = \"service:server\"\nbehind = \"48h\"\n";
        let run = run_with(&scenario(&mesh, &speaks, "", "", behind), &sets);
        let seen = ledger(&run, "front", "server");
        assert_eq!(seen, of_client, "{version}, resumption {on}, behind");
    }
}

#[test]
fn another_secret_is_another_context_that_knows_no_sessions() {
    let secret = |certificate: &str| {
        let head = "[[event]]\nid = \"secret\"\nat = \"250ms\"\nfor = \"440ms\"\ndo = \"secret\"";
        format!("{head}\ntarget = \"service:front\"\ncertificate = {{ {certificate} }}\n")
    };
    for (certificate, seen) in [
        ("not_after = \"1ms\"", "200 -: 5, 503 UC: 4"),
        ("san = \"spiffe://other/ns/a/sa/b\"", "200 -: 5, 503 UC: 4"),
        ("ca = \"stranger\"", "200 -: 5, 503 UC: 4"),
        ("none = true", "200 -: 5, 503 URX,UF: 4"),
        ("key = \"p256\"", "200 -: 9"),
    ] {
        let text = scenario("", "", "", "", &secret(certificate));
        let run = run_with(&text, &["scenario.duration=990ms"]);
        assert_eq!(ledger(&run, "front", "server"), seen, "{certificate}");
        ends_at_what_was_injected(&run, certificate);
    }
}

#[test]
fn a_key_decides_what_a_handshake_costs_each_side() {
    let mean_us = |front: &str, workload: &str| {
        let run = run(&scenario("cert.session_resumption = false", front, "", workload, ""));
        run.latency.mean_ns() / 1e3
    };
    let key = |kind: &str| format!("certificate = {{ key = \"{kind}\" }}");
    let [rsa, p256] = [key("rsa2048"), key("p256")];
    let both = mean_us(&rsa, &rsa);
    // 0.88 ms and 0.38 ms a side.
    assert!((both - mean_us("", "") < 1.0), "Istio's are RSA 2048");
    let (one, none) = (mean_us(&p256, &rsa), mean_us(&p256, &p256));
    assert!((both - one - 500.0).abs() < 60.0, "{both} and {one}");
    assert!((one - none - 500.0).abs() < 60.0, "{one} and {none}");
}

/// Each class of failed requests that has a cause ends at an event; there is one that has.
fn ends_at_what_was_injected(run: &Run, what: &str) {
    let failed = run.outcomes.iter().filter(|row| row.outcome.status == 503 && row.cause.is_some());
    for row in failed {
        let chain = run.causes.chain(row.cause.expect("a cause"));
        let root = run.causes.get(*chain.last().expect("itself"));
        assert_eq!(root.kind, CauseKind::Injected, "{what}: {}", root.what);
    }
    let is_bare = |row: &&meshsim::observe::run::OutcomeRow| {
        row.outcome.status == 503 && row.cause.is_none() && row.outcome.flags.to_string() != "-"
    };
    let bare = run.outcomes.iter().find(is_bare);
    assert!(bare.is_none(), "{what}: {:?} has no cause", bare.map(|row| row.outcome));
}

fn gauge(run: &Run, gauge: Gauge) -> Vec<f64> {
    run.series.iter().map(|row| row.gauges[gauge as usize]).collect()
}

/// A hundred proxies without traffic.
fn proxies(mesh: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"30h\"\ninterval = \"15m\"\n[mesh]\n\
         profile = \"istio-sidecar@1.30\"\n{mesh}\n\
         [[service]]\nname = \"web\"\n[[service.workload]]\nreplicas = 100\ntime = \"1ms\"\n{more}"
    )
}

const CHAIN: &str = "ca = \"first\"\n[[ca]]\nname = \"root\"\n[[ca]]\nname = \"first\"\n\
                     issuer = \"root\"\nremaining = \"20h\"\n";

#[test]
fn an_intermediate_takes_all_leaves_with_it_at_one_instant() {
    for clamp in [true, false] {
        let run = run(&proxies(&format!("cert.clamp_to_signer = {clamp}\n{CHAIN}"), ""));
        let share = gauge(&run, Gauge::CertificatesExpiredShare);
        // Rows end at 15 min, 30 min, …: the 79th at 19 h 45 min.
        assert!(share[..79].iter().all(|one| *one < 1e-9), "clamp {clamp}");
        assert!(share[80..].iter().all(|one| (one - 1.0).abs() < 1e-9), "clamp {clamp}");
        let is_end = |line: &&LogLine| line.kind == FactKind::CertificateExpired && line.more == 0;
        let lines = run.log.iter().filter(is_end);
        assert!(
            lines.map(|line| line.time.ns()).all(|at| at == 72_000_000_000_000),
            "clamp {clamp}"
        );
        let kinds: Vec<_> = run.causes.iter().map(|cause| cause.kind).collect();
        assert!(kinds.contains(&CauseKind::SignerExpired), "{kinds:?}");
    }
}

#[test]
fn the_expired_share_grows_from_the_twelfth_hour_of_an_outage_to_the_last() {
    // Source: leaves of a day, renewed at half of it, ages spread: clamp((d − 12) / 12).
    let outage = "[[event]]\nid = \"down\"\nat = \"0s\"\ndo = \"fail\"\ntarget = \"istiod/ca\"\n";
    let run = run(&proxies("cert.grace_jitter = 0", outage));
    let share = gauge(&run, Gauge::CertificatesExpiredShare);
    for (hours, row) in [(11.0, 43), (13.0, 51), (16.0, 63), (18.0, 71), (21.0, 83), (25.0, 99)] {
        let expected = f64::clamp((hours - 12.0) / 12.0, 0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let expired = (share[row] * 100.0 + 0.5) as u64;
        assert_share(&format!("at {hours} h"), expired, 100, expected, 3.0);
    }
}

#[test]
fn another_authority_in_time_keeps_certificates_alive_and_a_late_one_revives_them() {
    let second = |at: &str| {
        format!(
            "[[ca]]\nname = \"second\"\nissuer = \"root\"\n[[event]]\nid = \"second\"\nat = \"{at}\"\n\
             do = \"ca\"\ntarget = \"istiod\"\nca = \"second\"\n"
        )
    };
    let in_time = run(&proxies(CHAIN, &second("5h")));
    assert!(gauge(&in_time, Gauge::CertificatesExpired).into_iter().all(|one| one < 0.5));
    let late = gauge(&run(&proxies(CHAIN, &second("22h"))), Gauge::CertificatesExpired);
    assert!((late[80..87]).iter().all(|one| (one - 100.0).abs() < 0.5), "{late:?}");
    assert!(late[89..].iter().all(|one| *one < 0.5), "{late:?}");
}

#[test]
fn istiod_keeps_its_authority_if_the_new_ones_root_is_not_known() {
    // Source: istio pilot/pkg/bootstrap/istio_ca.go:323-470.
    let authorities = "[[ca]]\nname = \"old\"\n[[ca]]\nname = \"new\"\n[[ca]]\nname = \"twin\"\n\
                       key = \"old\"\n[[ca]]\nname = \"old-of-key\"\nkey = \"old\"\n";
    let event = |name: &str, more: &str| {
        format!(
            "{authorities}[[event]]\nid = \"switch\"\nat = \"1h\"\ndo = \"ca\"\ntarget = \"istiod\"\n\
             ca = \"{name}\"\n{more}\n"
        )
    };
    for (mesh, name, more, rejected) in [
        ("ca = \"old\"", "new", "", true),
        ("ca = \"old\"\ntrust = [\"old\"]", "new", "", true),
        ("ca = \"old\"\ntrust = [\"old\", \"new\"]", "new", "", false),
        ("ca = \"old\"", "new", "restart = true", false),
        ("ca = \"old-of-key\"", "twin", "", false),
    ] {
        let run = run(&proxies(mesh, &event(name, more)));
        let lines = run.log.iter().filter(|line| line.kind == FactKind::AuthorityRejected);
        assert_eq!(lines.count(), usize::from(rejected), "{mesh}: {name} {more}");
    }
}

#[test]
fn a_self_signed_root_renews_itself_unless_istiod_is_away() {
    let renewed = |mesh: &str, more: &str| {
        let usual = "cert.signer_remaining = \"26h\"\n";
        let usual = if mesh.contains("remaining") { "" } else { usual };
        let run = run(&proxies(&format!("{usual}{mesh}"), more));
        let lines = run.log.iter().filter(|line| line.kind == FactKind::RootRenewed);
        let expired = gauge(&run, Gauge::CertificatesExpiredShare).pop().unwrap_or(0.0);
        (lines.count(), expired, run)
    };
    let (count, expired, _) = renewed("", "");
    assert_eq!((count, expired < 1e-9), (1, true));
    // Three replicas, one new root: the others take it at their own looks.
    assert_eq!(renewed("istiod.replicas = 3", "").0, 1);
    let (count, expired, run) = renewed("root.check = \"0s\"", "");
    assert_eq!((count, expired > 0.999), (0, true), "switched off");
    let is_root = |kind| kind == CauseKind::RootExpired;
    let root = run.causes.iter().find(|cause| is_root(cause.kind)).expect("it says so in words");
    assert_eq!(root.because, None);
    // Not due: more than a fifth is left.
    assert_eq!(renewed("root.ttl = \"100h\"\ncert.signer_remaining = \"60h\"", "").0, 0);
    let down = "[[event]]\nid = \"down\"\nat = \"0s\"\ndo = \"fail\"\ntarget = \"istiod\"\n";
    let (count, expired, _) = renewed("", down);
    assert_eq!((count, expired > 0.999), (0, true), "nobody is there to do it");
}

#[test]
fn a_bundle_comes_with_a_push_and_not_without() {
    // The overlap is told while xDS is away: the proxies do not hear of it.
    let text = |xds: &str| {
        format!(
            "[scenario]\nduration = \"3h\"\n[mesh]\nprofile = \"istio-sidecar@1.30\"\nca = \"old\"\n\
             trust = [\"old\"]\ncert.ttl = \"2h\"\nretry.attempts = 0\n[[ca]]\nname = \"old\"\n[[ca]]\nname = \"new\"\n\
             [[service]]\nname = \"server\"\nconnections = {{ max_requests = 1 }}\n\
             [[service.workload]]\nreplicas = 8\ntime = \"1ms\"\n\
             [[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"server\"\n\
             arrivals = {{ constant = \"1rps\" }}\n{xds}\
             [[event]]\nid = \"overlap\"\nat = \"10m\"\ndo = \"trust\"\ntrust = [\"old\", \"new\"]\n\
             [[event]]\nid = \"switch\"\nat = \"20m\"\ndo = \"ca\"\ntarget = \"istiod\"\nca = \"new\"\n"
        )
    };
    let away = "[[event]]\nid = \"xds\"\nat = \"5m\"\nfor = \"30m\"\ndo = \"fail\"\n\
                target = \"istiod/xds\"\n";
    assert_eq!(run(&text("")).requests.failed(), 0);
    let run = run(&text(away));
    assert!(0 < run.requests.failed());
    ends_at_what_was_injected(&run, "overlap that nobody heard of");
}

#[test]
fn a_root_that_is_past_its_end_closes_istiod_too() {
    let down = "[[event]]\nid = \"bounce\"\nat = \"25h\"\nfor = \"1m\"\ndo = \"fail\"\n\
                target = \"istiod/xds\"\n";
    let run = run(&proxies("root.check = \"0s\"\ncert.signer_remaining = \"20h\"", down));
    let connected = gauge(&run, Gauge::ProxiesConnected);
    // Quarters of an hour.
    assert!(connected[..80].iter().all(|one| 99.5 < *one), "they go on to the end of the root");
    assert!(connected[83..].iter().all(|one| *one < 0.5), "and end of age: new ones are refused");
}

#[test]
fn what_shipped_scenarios_show_goes_back_to_what_they_inject() {
    for (name, natural) in [
        ("ca-rotation", None),
        ("clock-skew", None),
        ("wrong-ca-replica", None),
        ("suspended-node", None),
        ("root-expiry", Some(CauseKind::RootExpired)),
        ("intermediate-expiry", Some(CauseKind::SignerExpired)),
    ] {
        let path = format!("{}/scenarios/identity/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("it ships");
        let sets: &[&str] = match name {
            "ca-rotation" => &["event.overlap.trust=[\"old\"]", "event.switch.restart=true"],
            _ => &[],
        };
        let run = run_with(&text, sets);
        let mut seen = 0;
        for row in run.outcomes.iter().filter(|row| row.outcome.status == 503) {
            let Some(cause) = row.cause else {
                // An app that passes a failure on.
                assert_eq!(row.outcome.flags.to_string(), "-", "{name}: {:?}", row.outcome);
                continue;
            };
            let chain = run.causes.chain(cause);
            let root = run.causes.get(*chain.last().expect("itself"));
            let expected = natural.unwrap_or(CauseKind::Injected);
            assert!(
                root.kind == expected || root.kind == CauseKind::Injected,
                "{name}: {} ({:?})",
                root.what,
                root.kind
            );
            seen += row.count;
        }
        assert!(100 < seen, "{name}: {seen}");
    }
}

#[test]
fn what_cannot_be_is_said_with_its_reason() {
    let refused = |mesh: &str, more: &str, said: &str| {
        let problems = try_plan(&proxies(mesh, more), &[]).expect_err(said);
        assert!(problems.contains(said), "{said}: {problems}");
    };
    let two = "[[ca]]\nname = \"a\"\n[[ca]]\nname = \"b\"\n";
    refused("", two, "nothing says which signs");
    refused("ca = \"c\"", two, "there is no ca `c`");
    let circle = "[[ca]]\nname = \"a\"\nissuer = \"b\"\n[[ca]]\nname = \"b\"\nissuer = \"a\"\n";
    refused("ca = \"a\"", circle, "is among those that signed it");
    refused(
        "ca = \"a\"\ntrust = [\"b\"]",
        &two.replace("\"b\"\n", "\"b\"\nissuer = \"a\"\n"),
        "is no root",
    );
    refused("cert.ttl = \"0s\"", "", "a certificate of no life");
    refused("", "[[ca]]\nname = \"a\"\nremaining = \"0s\"\n", "past its end at the start");
    let clock = "[[event]]\nid = \"c\"\nat = \"1h\"\ndo = \"clock\"\ntarget = \"service:web\"\n";
    refused("", clock, "needs one of `ahead` and `behind`");
    assert_eq!(count(&run(&proxies("", "")), "users", "web", "200 -"), 0);
}
