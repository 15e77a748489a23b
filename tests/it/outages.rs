//! Where parts of the control plane, of Kubernetes and of identity meet.

use crate::support::{plan_with, play, run};
use meshsim::observe::run::Run;
use meshsim::report::text::classes;
use meshsim::vocabulary::fact::FactKind;
use meshsim::vocabulary::metric::Gauge;
use meshsim::world::options::Options;

/// Six pods on two nodes, and what a test adds.
fn mesh(duration: &str, settings: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "{duration}"
interval = "10s"
[mesh]
profile = "istio-sidecar@1.28"
{settings}
[[node]]
name = "a"
[[node]]
name = "b"
[[service]]
name = "api"
[[service.workload]]
replicas = 6
workers = 4
time = "2ms"
rollout = {{ max_surge = "100%" }}
[[traffic]]
id = "users"
from = "ingress"
to = "api"
arrivals = {{ poisson = "2rps" }}
{more}
"#
    )
}

fn event(id: &str, at: &str, lasts: &str, rest: &str) -> String {
    let lasts = if lasts.is_empty() { String::new() } else { format!("for = \"{lasts}\"\n") };
    format!("[[event]]\nid = \"{id}\"\nat = \"{at}\"\n{lasts}{rest}\n")
}

/// A gauge at an instant, to the interval, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and seconds")]
fn gauge(run: &Run, gauge: Gauge, at_s: u64) -> u64 {
    let row = run.series.iter().rfind(|row| row.time.as_s() <= at_s as f64).expect("a row");
    row.gauges[gauge as usize] as u64
}

fn facts(run: &Run, kind: FactKind) -> Vec<(f64, String)> {
    let of = run.log.iter().filter(|line| line.kind == kind);
    of.map(|line| (line.time.as_s(), line.detail.clone())).collect()
}

#[test]
fn replicas_that_an_autoscaler_may_add_sign_with_the_mesh_s_authority() {
    let cas = "[[ca]]\nname = \"a-root\"\n[[ca]]\nname = \"inter\"\nissuer = \"a-root\"\n";
    let ca = event("x", "1m", "", "do = \"ca\"\ntarget = \"istiod\"\nca = \"inter\"");
    let settings = "ca = \"inter\"\nistiod.replicas_max = 3";
    let run = run(&mesh("3m", settings, &format!("{cas}{ca}")));
    assert_eq!(run.requests.failed(), 0);
}

#[test]
fn a_replica_that_an_autoscaler_adds_serves_when_it_has_its_caches() {
    // A push a second to 6 proxies takes 3 ms of CPU; a request of 5 m makes that too much.
    let settings = "istiod.replicas_max = 3\nistiod.cpu_request = 1\nistiod.cache_sync = \"40s\"\n\
                    xds.push_time = \"50ms\"";
    let push = "[[event]]\nid = \"push\"\nat = \"10s\"\nevery = \"1s\"\ndo = \"push\"\n\
                target = \"istiod\"\n";
    let restart =
        event("again", "50s", "", "do = \"restart\"\ntarget = \"service:api\"\nshare = 0.5");
    let run = run(&mesh("4m", settings, &format!("{push}{restart}")));
    assert!(2 <= gauge(&run, Gauge::IstiodReady, 230), "it was never added");
    let empty = run.outcomes.iter().filter(|row| row.outcome.status == 404).count();
    assert_eq!(empty, 0, "{:?}", run.outcomes);
}

#[test]
fn a_webhook_that_answers_while_the_api_server_is_away_does_not_end_creations() {
    let fail = |id, at, lasts, target| {
        event(id, at, lasts, &format!("do = \"fail\"\ntarget = \"{target}\""))
    };
    let more = [
        fail("no-injector", "1m", "3m", "istiod/injector"),
        event("more", "2m", "", "do = \"scale\"\ntarget = \"service:api\"\nreplicas = 8"),
        event("slow", "3m", "30m", "do = \"slow\"\ntarget = \"istiod/injector\"\ndelay = \"9s\""),
        // Creations are tried again within some minutes: the API server is away most of the time.
        "[[event]]\nid = \"api\"\nat = \"4m2s\"\nfor = \"8s\"\nevery = \"10s\"\ntimes = 60\n\
         do = \"fail\"\ntarget = \"api_server\"\n"
            .to_owned(),
    ];
    let run = run(&mesh("40m", "", &more.concat()));
    assert_eq!(gauge(&run, Gauge::PodsMissing, 2390), 0);
}

#[test]
fn without_a_valid_root_no_stream_outlives_its_age() {
    let settings = "cert.signer_remaining = \"2h\"\nroot.check = \"0s\"";
    let run = run(&mesh("3h", settings, ""));
    assert_eq!(gauge(&run, Gauge::ProxiesConnected, 7_100), 8);
    // 33 min 10 s at most after the end.
    assert_eq!(gauge(&run, Gauge::ProxiesConnected, 7_200 + 2_000), 0);
}

#[test]
fn a_replica_that_failed_signs_nothing_that_it_had_in_hand() {
    let settings = "istiod.csr_time = \"20s\"\nistiod.cpu = 1";
    let restart = event("again", "1m", "", "do = \"restart\"\ntarget = \"service:api\"");
    let down = event("down", "70s", "10m", "do = \"fail\"\ntarget = \"istiod\"");
    let run = run(&mesh("5m", settings, &format!("{restart}{down}")));
    let issued = facts(&run, FactKind::CertificateIssued);
    // One every 20 s: some have their answer before, others wait for theirs.
    assert!(!facts(&run, FactKind::CertificateRequestFailed).is_empty());
    assert!(issued.iter().all(|(at, _)| *at < 70.1), "{issued:?}");
}

#[test]
fn a_node_that_sleeps_has_no_kubelet_that_looks() {
    let live =
        mesh("12m", "", &event("sleep", "1m", "4m", "do = \"suspend\"\ntarget = \"node:a\""));
    let live = live.replace("time = \"2ms\"", "time = \"2ms\"\nliveness = {}");
    let run = run(&live);
    assert!(facts(&run, FactKind::ContainerRestarted).is_empty());
    // It is silent, so its pods are no endpoints after the grace period.
    assert!(gauge(&run, Gauge::PodsReady, 180) < gauge(&run, Gauge::PodsReady, 50));
    assert_eq!(gauge(&run, Gauge::PodsReady, 710), gauge(&run, Gauge::PodsReady, 50));
}

#[test]
fn a_pod_that_restarted_while_its_node_slept_gets_its_certificate_when_it_wakes() {
    let more = [
        event("sleep", "1m", "9m", "do = \"suspend\"\ntarget = \"node:a\""),
        event("down", "2m", "4m", "do = \"fail\"\ntarget = \"istiod\""),
        event("again", "3m", "", "do = \"restart\"\ntarget = \"service:api\""),
    ];
    let settings = "pod.startup_failures = 0\nkubernetes.node_grace = \"1h\"";
    let run = run(&mesh("15m", settings, &more.concat()));
    assert_eq!(gauge(&run, Gauge::PodsReady, 890), gauge(&run, Gauge::PodsReady, 50));
}

#[test]
fn a_share_is_of_the_replicas_that_there_are() {
    let settings = "istiod.replicas = 2\nistiod.replicas_min = 2\nistiod.replicas_max = 5";
    let half = event("half", "1m", "2m", "do = \"fail\"\ntarget = \"istiod\"\nshare = 0.5");
    let run = run(&mesh("5m", settings, &half));
    assert_eq!(gauge(&run, Gauge::IstiodReady, 100), 1);
    assert_eq!(gauge(&run, Gauge::IstiodReady, 290), 2);
}

#[test]
fn pushes_into_a_cut_give_their_slots_back() {
    let settings = "xds.push_slots = 1";
    let cut = event("cut", "10s", "", "do = \"cut\"\ntarget = \"link:a<->b\"");
    let write = event("write", "12s", "", "do = \"push\"\ntarget = \"istiod\"");
    let plan = plan_with(&mesh("3m", settings, &format!("{cut}{write}")), &[]);
    let at = Some(meshsim::kernel::time::Time::from_ns(150_000_000_000));
    let run = play(&plan, Options { status_at: at, ..Options::default() });
    let status = run.status.expect("it was asked for");
    let near = status.proxies.iter().filter(|one| one.node == "a" && one.is_meshed);
    for one in near {
        assert_eq!(one.stale_since, None, "{}", one.name);
    }
}

#[test]
fn an_event_elsewhere_is_no_reason() {
    let more = [
        "[[service]]\nname = \"other\"\n[[service.workload]]\ntime = \"1ms\"\n".to_owned(),
        event("crash", "20s", "", "do = \"crash_loop\"\ntarget = \"service:other\""),
    ];
    let text = mesh("2m", "", &more.concat());
    let text = text.replace("name = \"api\"\n", "name = \"api\"\ntimeout = \"1ms\"\n");
    let run = run(&text);
    let classes = classes(&run);
    assert!(!classes.is_empty());
    for class in classes {
        let root = run.causes.root(class.row.cause.expect("a cause"));
        assert!(root.what.contains("`timeout` of `api`"), "{}", root.what);
    }
}

#[test]
fn a_change_that_was_refused_is_no_reason() {
    let more = [
        event("down", "10s", "", "do = \"fail\"\ntarget = \"istiod\""),
        event(
            "route",
            "20s",
            "",
            "do = \"endpoints\"\ntarget = \"service:api\"\nhealth = \"unhealthy\"",
        ),
    ];
    let text = mesh("2m", "", &more.concat());
    let text = text.replace("name = \"api\"\n", "name = \"api\"\ntimeout = \"1ms\"\n");
    let run = run(&text);
    assert_eq!(run.control_plane.changes_rejected, 1);
    let classes = classes(&run);
    assert!(!classes.is_empty());
    for class in classes {
        let root = run.causes.root(class.row.cause.expect("a cause"));
        assert!(!root.what.starts_with("route"), "{}", root.what);
    }
}

#[test]
fn istiod_that_kills_itself_with_a_push_and_is_back_at_once_goes_on() {
    let settings = "kubernetes.restart_backoff = \"0s\"\nistiod.waits_for_caches = false\n\
                    istiod.memory_limit = \"130MiB\"\nistiod.memory_per_connecting_proxy = \"20MiB\"";
    let push = "[[event]]\nid = \"push\"\nat = \"10s\"\nevery = \"200ms\"\ntimes = 100\n\
                do = \"push\"\ntarget = \"istiod\"\n";
    let run = run(&mesh("1m", settings, push));
    assert!(run.control_plane.replicas_killed != 0);
}

#[test]
fn istiod_may_be_slower_than_time_is_long() {
    let slow = event("slow", "10s", "", "do = \"slow\"\ntarget = \"istiod\"\nfactor = 1e9");
    let write = "[[event]]\nid = \"write\"\nat = \"20s\"\nevery = \"1s\"\ntimes = 60\ndo = \"push\"\n\
                 target = \"istiod\"\n";
    let run = run(&mesh("3m", "", &format!("{slow}{write}")));
    assert!(60 < gauge(&run, Gauge::ConfigStaleness, 170));
}
