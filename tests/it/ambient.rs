//! Goal: when an ambient mesh works without istiod, and when not: certificates by account and node, pods that no
//! ztunnel has heard of, streams by node.
//! Method: small meshes from a cold start, where everything is renewed at one instant, with istiod away.
//!
//! Source: ztunnel `src/identity/manager.rs`, `src/tls/certificate.rs`, `src/proxy.rs`; istio#56452, #54889.

use crate::support::{count, run, run_with, try_plan};
use crate::swarm::obey;
use meshsim::kernel::stream::{Stream, below};
use meshsim::observe::run::Run;
use meshsim::vocabulary::cause::CauseKind;
use meshsim::vocabulary::metric::Gauge;
use std::fmt::Write as _;

/// `front` calls `back`, each of six pods on three nodes, twice a second on connections that last a minute.
fn mesh(release: &str, duration: &str, mesh: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1m\"\nstart = \"cold\"\n[mesh]\n\
         profile = \"istio-ambient@{release}\"\nconnections.churn = \"60/h\"\n{mesh}\n\
         [[node]]\nname = \"node\"\ncount = 3\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 6\ntime = \"1ms\"\n\
         [[service]]\nname = \"back\"\n[[service.workload]]\nreplicas = 6\ntime = \"1ms\"\n\
         [[traffic]]\nid = \"calls\"\nfrom = \"front\"\nto = \"back\"\narrivals = {{ poisson = \"2rps\" }}\n\
         {more}\n"
    )
}

fn event(id: &str, at: &str, does: &str, target: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"{does}\"\ntarget = \"{target}\"\n{more}\n"
    )
}

/// The minute of the first failure.
fn first_failure(run: &Run) -> Option<usize> {
    run.series.iter().position(|row| row.requests.ok != row.requests.total)
}

fn most(run: &Run, gauge: Gauge) -> f64 {
    run.series.iter().map(|row| row.gauges[gauge as usize]).fold(0.0, f64::max)
}

#[test]
fn a_certificate_belongs_to_an_account_and_a_node_and_is_renewed_at_exactly_half_of_its_life() {
    // Six of them, for twelve pods. Dated back by 2 min: half of 24 h 2 min is 11 h 59 min after the issue.
    let issued = |duration: &str| {
        let run = run(&mesh("1.28", duration, "", ""));
        assert!((most(&run, Gauge::Proxies) - 3.0).abs() < 0.5, "a ztunnel a node");
        run.control_plane.certificates_issued
    };
    assert_eq!(issued("11h59m"), 6);
    assert_eq!(issued("11h59m1s"), 12);
    // More pods ask for none: ztunnel has theirs.
    let more = event("more", "10m", "scale", "service:front", "replicas = 12");
    let more = run(&mesh("1.28", "1h", "", &more));
    assert_eq!((more.control_plane.certificates_issued, more.control_plane.pods_created), (6, 6));
    assert_eq!(first_failure(&more), None);
    // A node may be without a pod of the account for a moment; who comes then waits for a new certificate.
    let rolled =
        run(&mesh("1.28", "1h", "", &event("roll", "10m", "rollout", "service:front", "")));
    assert_eq!(first_failure(&rolled), None);
    assert!(rolled.control_plane.certificates_issued <= 9);
}

#[test]
fn the_outage_of_an_old_ztunnel_begins_with_the_first_renewal_and_that_of_a_new_one_with_the_expiry()
 {
    let down = event("down", "1h", "fail", "istiod", "");
    // 11 h 59 min, and at most a few minutes until a connection is opened again.
    let old = run(&mesh("1.27", "26h", "", &down));
    let begin = first_failure(&old).expect("certificates are dropped");
    assert!((719..725).contains(&begin), "minute {begin}");
    assert!(old.causes.iter().any(|cause| cause.kind == CauseKind::CertificateMissing));
    assert_eq!(old.control_plane.certificates_expired, 0);
    let new = run(&mesh("1.28", "26h", "", &down));
    let begin = first_failure(&new).expect("certificates expire");
    assert!((1_440..1_446).contains(&begin), "minute {begin}");
    assert_eq!(new.control_plane.certificates_expired, 6);
    // The old one kept by hand does as the new one.
    let kept = run_with(
        &mesh("1.27", "26h", "", &down),
        &["mesh.ztunnel.keep_valid_on_failure=true", "mesh.cert.clamp_to_signer=true"],
    );
    assert_eq!(kept.digest, new.digest);
}

#[test]
fn a_failed_renewal_is_tried_again_at_most_three_minutes_later() {
    // 150 s and a fifth: the waits of six accounts lie within 120 s and 180 s.
    let down = event("down", "1h", "fail", "istiod", "for = \"15h\"");
    let run = run(&mesh("1.28", "17h", "", &down));
    assert_eq!(first_failure(&run), None);
    let counts = &run.control_plane;
    assert_eq!(counts.certificates_issued, 12);
    // From 11 h 59 min to 16 h: 14,460 s, eight waits of 255 s in all and then one of 150 s each.
    let tries = counts.certificate_requests_failed as f64 / 6.0;
    assert!((95.0..112.0).contains(&tries), "{tries} tries each");
}

#[test]
fn a_pod_that_no_ztunnel_knows_is_ready_and_cut_off_after_five_seconds() {
    let story = event("down", "10m", "fail", "istiod/xds", "for = \"20m\"")
        + &event("more", "15m", "scale", "service:front", "replicas = 12");
    let run = run(&mesh("1.28", "40m", "", &story));
    assert_eq!(run.control_plane.pods_refused, 0);
    assert_eq!(first_failure(&run), Some(15));
    let failed = |from: usize, to: usize| -> (u64, u64) {
        let rows = &run.series[from..to];
        let sum = |of: fn(&meshsim::observe::run::SeriesRow) -> u64| rows.iter().map(of).sum();
        (sum(|row| row.requests.total - row.requests.ok), sum(|row| row.requests.total))
    };
    let (bad, all) = failed(16, 30);
    crate::support::assert_share("of the new half", bad, all, 0.5, 4.0);
    assert_eq!(failed(31, 40).0, 0, "known again");
    assert_eq!(bad + failed(15, 16).0 + failed(30, 31).0, count(&run, "front", "back", "503 UC"));
    // The pods' account has certificates on their nodes; it is not for want of these.
    assert!(run.causes.iter().any(|cause| cause.kind == CauseKind::StaleConfiguration));
}

#[test]
fn without_the_authority_a_new_account_on_a_node_fails_and_one_that_is_there_works() {
    let down = event("down", "10m", "fail", "istiod/ca", "");
    let there = event("more", "15m", "scale", "service:front", "replicas = 12");
    assert_eq!(first_failure(&run(&mesh("1.28", "30m", "", &(down.clone() + &there)))), None);
    // One pod, on the first node; then three, two of them where nobody has their account.
    let text = mesh(
        "1.28",
        "30m",
        "",
        &(down + &event("more", "15m", "scale", "service:back", "replicas = 3")),
    )
    .replace(
        "name = \"back\"\n[[service.workload]]\nreplicas = 6",
        "name = \"back\"\n[[service.workload]]\nreplicas = 1",
    );
    let new = run(&text);
    assert_eq!(first_failure(&new), Some(15));
    let (bad, all) = (count(&new, "front", "back", "503 UC"), new.requests.total / 2);
    crate::support::assert_share("two of three", bad, all, 2.0 / 3.0, 8.0);
}

#[test]
fn keys_that_need_a_proxy_for_http_are_refused_by_name() {
    let said = |more: &str, at: &str| {
        let text = mesh("1.28", "1m", "", more).replace("name = \"back\"", at);
        try_plan(&text, &[]).expect_err("no waypoint")
    };
    let keys = ["timeout = \"1s\"", "retries = { attempts = 1 }", "outlier_detection = true"];
    for key in keys {
        let said = said("", &format!("name = \"back\"\n{key}"));
        let name = key.split(' ').next().expect("a name");
        assert!(said.contains(&format!("`{name}` does nothing in an ambient mesh")), "{said}");
    }
    let text = mesh("1.28", "1m", "retry.attempts = 2\nistiod.present = false", "");
    let said = try_plan(&text, &[]).expect_err("nothing retries");
    assert!(said.contains("`retry.attempts` does nothing"), "{said}");
    assert!(said.contains("there is a ztunnel and no istiod"), "{said}");
}

#[test]
fn random_ambient_plans_obey_the_laws() {
    const EVENTS: [(&str, &str, &str); 20] = [
        ("fail", "service:back", "part = \"app\""),
        ("freeze", "service:back", ""),
        ("crash_loop", "service:front", ""),
        ("fail", "kubelet:node-1", ""),
        ("fail", "istiod", ""),
        ("fail", "istiod/ca", ""),
        ("fail", "istiod/xds", ""),
        ("fail", "istiod", "share = 0.5"),
        ("rollout", "service:front", ""),
        ("rollout", "service:back", ""),
        ("scale", "service:back", "replicas = 9"),
        ("scale", "service:front", "replicas = 1"),
        ("fail", "node:node-1", ""),
        ("fail", "service:back", "share = 0.5"),
        ("restart", "service:back", "share = 0.5"),
        ("suspend", "node:node-2", ""),
        ("cut", "link:node-0->node-1", ""),
        ("drain", "node:node-0", ""),
        ("fail", "api_server", ""),
        ("clock", "node:node-2", "behind = \"90s\""),
    ];
    for seed in 0..200_u64 {
        let mut draws = Stream::new(seed, "ambient plan", "");
        let mut pick = |n: usize| below(draws.next_u64(), n);
        let mut story = String::new();
        for number in 0..=pick(6) {
            let (does, target, more) = EVENTS[pick(EVENTS.len())];
            let at = format!("{}s", 20 + pick(600));
            let instant = matches!(does, "restart" | "rollout" | "drain");
            let length =
                if instant { String::new() } else { format!("for = \"{}s\"", 1 + pick(300)) };
            let scale = if does == "scale" { more.to_owned() } else { format!("{more}\n{length}") };
            let _ = write!(story, "{}", event(&format!("e{number}"), &at, does, target, &scale));
        }
        let release = ["1.24", "1.27", "1.28", "1.30"][pick(4)];
        let settings = format!(
            "cert.ttl = \"{}m\"\nistiod.replicas = {}\nxds.max_connection_age = \"{}s\"\n\
             kubernetes.node_grace = \"10s\"\nkubernetes.eviction_after = \"20s\"",
            4 + pick(20),
            1 + pick(2),
            60 + pick(600)
        );
        let text = mesh(release, "15m", &settings, &story);
        let text = if pick(2) == 0 { text.replace("start = \"cold\"\n", "") } else { text };
        let played = std::panic::catch_unwind(|| obey(&text));
        assert!(played.is_ok(), "seed {seed} broke a law:\n{text}");
    }
}
