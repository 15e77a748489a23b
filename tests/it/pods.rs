//! Pods, probes, webhooks and controllers of Kubernetes, as they fail.
//!
//! Each test is a small cluster with one thing wrong, and the time at which that shows.

use crate::support::{run, run_with, try_plan};
use crate::tree::{files_of, read};
use meshsim::observe::run::Run;
use meshsim::vocabulary::cause::CauseKind;
use meshsim::vocabulary::fact::FactKind;
use meshsim::vocabulary::metric::Gauge;

/// One service of so many pods, with traffic and an interval of a second.
fn mesh(mesh: &str, workload: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "30m"
interval = "1s"
[mesh]
ingress.replicas = 1
{mesh}
[[node]]
name = "n"
count = 2
[[service]]
name = "web"
[[service.workload]]
workers = 4
time = "5ms"
{workload}
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = {{ constant = "10rps" }}
{more}
"#
    )
}

fn event(id: &str, text: &str) -> String {
    format!("[[event]]\nid = \"{id}\"\n{text}\n")
}

/// Seconds at which a gauge first was so, from `from` on.
fn first(run: &Run, gauge: Gauge, from: u64, is_so: impl Fn(f64) -> bool) -> Option<u64> {
    let at = |row: &meshsim::observe::run::SeriesRow| row.time.ns() / 1_000_000_000;
    let rows = run.series.iter().filter(|row| from <= at(row));
    rows.filter(|row| is_so(row.gauges[gauge as usize])).map(at).next()
}

/// A gauge that counts pods or proxies, at a second.
fn at(run: &Run, gauge: Gauge, second: u64) -> u32 {
    let row = run.series.iter().find(|row| row.time.ns() / 1_000_000_000 == second);
    whole(row.expect("a row").gauges[gauge as usize])
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(count: f64) -> u32 {
    count.round() as u32
}

/// Seconds of the facts of a kind.
fn facts(run: &Run, kind: FactKind) -> Vec<(u64, String)> {
    let lines = run.log.iter().filter(|line| line.kind == kind);
    lines.map(|line| (line.time.ns() / 1_000_000_000, line.detail.clone())).collect()
}

#[test]
fn a_proxy_that_gets_no_certificate_starts_again_every_ten_minutes() {
    let events =
        event("grow", "at = \"1m\"\ndo = \"scale\"\ntarget = \"service:web\"\nreplicas = 2")
            + &event("down", "at = \"59s\"\nfor = \"25m\"\ndo = \"fail\"\ntarget = \"istiod/ca\"");
    let loops = run(&mesh("", "replicas = 1", &events));
    let restarts = facts(&loops, FactKind::ContainerRestarted);
    let times: Vec<u64> = restarts.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [662, 1262], "started at 62 s: {restarts:?}");
    assert_eq!(first(&loops, Gauge::PodsCrashLooping, 0, |pods| 0.0 < pods), None);
    let none = run(&mesh("pod.startup_failures = 0", "replicas = 1", &events));
    assert_eq!(facts(&none, FactKind::ContainerRestarted), []);
}

#[test]
fn an_app_that_is_held_back_has_a_proxy_that_starts_again_each_minute_then_backs_off() {
    let events =
        event("grow", "at = \"1m\"\ndo = \"scale\"\ntarget = \"service:web\"\nreplicas = 2")
            + &event("down", "at = \"59s\"\nfor = \"25m\"\ndo = \"fail\"\ntarget = \"istiod/ca\"");
    let run = run(&mesh("pod.hold_app = true", "replicas = 1", &events));
    let times: Vec<u64> =
        facts(&run, FactKind::ContainerRestarted).iter().map(|(time, _)| *time).collect();
    // 60 s each, and between them 0, 10, 20, 40 … s.
    assert_eq!(times[..5], [122, 182, 252, 332, 432]);
}

#[test]
fn an_app_that_crashes_backs_off_up_to_five_minutes_and_its_pod_is_no_endpoint() {
    let crash =
        event("bad", "at = \"1m\"\nfor = \"20m\"\ndo = \"crash_loop\"\ntarget = \"pod:web-0\"");
    let run = run(&mesh("", "replicas = 2", &crash));
    let times: Vec<u64> =
        facts(&run, FactKind::ContainerRestarted).iter().map(|(time, _)| *time).collect();
    assert_eq!(times[..7], [60, 60, 70, 90, 130, 210, 370], "0, 10, 20, 40, 80, 160, 300 s");
    assert_eq!(at(&run, Gauge::PodsCrashLooping, 300), 1);
    // The event ends at 21 min; the app is there when its wait is over.
    let back = first(&run, Gauge::PodsMissing, 1260, |pods| pods < 0.5).expect("it comes back");
    assert!((1260..=1580).contains(&back), "{back}");
}

#[test]
fn an_app_that_dials_at_its_start_needs_a_native_sidecar_or_a_hold() {
    let grow = event("grow", "at = \"1m\"\ndo = \"scale\"\ntarget = \"service:web\"\nreplicas = 2");
    let restarts = |mesh_keys: &str| {
        let run = run(&mesh(mesh_keys, "replicas = 1\ndials_at_start = true", &grow));
        assert_eq!(at(&run, Gauge::PodsMissing, 200), 0);
        facts(&run, FactKind::ContainerRestarted).len()
    };
    assert!(0 < restarts(""), "its calls are refused until the proxy is there");
    assert_eq!(restarts("pod.hold_app = true"), 0);
    assert_eq!(restarts("kubernetes.minor = 33"), 0);
    assert!(0 < restarts("kubernetes.minor = 33\npod.native_sidecars = \"off\""));
}

#[test]
fn a_hung_app_is_no_endpoint_after_20_to_31_s_and_liveness_starts_it_again() {
    let freeze =
        event("hang", "at = \"1m\"\nfor = \"5m\"\ndo = \"freeze\"\ntarget = \"pod:web-0\"");
    let ready = run(&mesh("", "replicas = 2\nreadiness = {}", &freeze));
    let gone = first(&ready, Gauge::PodsMissing, 60, |pods| 0.5 < pods).expect("it fails");
    assert!((80..=92).contains(&gone), "{gone}");
    let back = first(&ready, Gauge::PodsMissing, 360, |pods| pods < 0.5).expect("it is back");
    assert!((360..=371).contains(&back), "{back}");
    let live = run(&mesh("", "replicas = 2\nliveness = {}", &freeze));
    let restarts = facts(&live, FactKind::ContainerRestarted);
    assert_eq!(restarts.len(), 1, "{restarts:?}");
    assert!((80..=92).contains(&restarts[0].0), "{restarts:?}");
    let plain = run(&mesh("", "replicas = 2", &freeze));
    assert_eq!(first(&plain, Gauge::PodsMissing, 60, |pods| 0.5 < pods), None);
}

#[test]
fn failing_and_overloaded_apps_fail_their_probes() {
    let errors = event(
        "bad",
        "at = \"1m\"\nfor = \"5m\"\ndo = \"errors\"\ntarget = \"service:web\"\nshare = 1.0",
    );
    let run_ = run(&mesh("", "replicas = 2\nreadiness = {}", &errors));
    assert_eq!(at(&run_, Gauge::PodsMissing, 120), 2);
    // Ten requests a second of 4 s each on four workers: the queue grows, and with it the wait.
    let slow = event(
        "slow",
        "at = \"1m\"\nfor = \"5m\"\ndo = \"slow\"\ntarget = \"service:web\"\nfactor = 150",
    );
    let overload = run(&mesh("", "replicas = 1\nreadiness = { timeout = \"1s\" }", &slow));
    let gone = first(&overload, Gauge::PodsMissing, 60, |pods| 0.5 < pods);
    assert!(gone.is_some_and(|gone| gone < 120), "{gone:?}: a probe of 750 ms waits in line");
}

#[test]
fn strict_refuses_probes_that_are_not_rewritten() {
    let of = |keys: &str| {
        let run = run(&mesh(keys, "replicas = 1\nreadiness = {}", ""));
        at(&run, Gauge::PodsMissing, 60)
    };
    assert_eq!(of("peer_authentication = \"strict\""), 0);
    assert_eq!(of("peer_authentication = \"strict\"\npod.rewrite_probes = false"), 1);
    assert_eq!(of("pod.rewrite_probes = false"), 0);
}

#[test]
fn a_budget_lets_one_pod_go_at_a_time() {
    let drain = event("up", "at = \"1m\"\nfor = \"10m\"\ndo = \"drain\"\ntarget = \"node:n-0\"");
    let missing = |pdb: &str| {
        let run = run(&mesh("", &format!("replicas = 4\nstart_time = \"20s\"\n{pdb}"), &drain));
        let most = run.series.iter().map(|row| whole(row.gauges[Gauge::PodsMissing as usize]));
        assert_eq!(at(&run, Gauge::PodsMissing, 300), 0, "all are on the other node");
        most.max()
    };
    // A gateway's pod goes, too.
    assert_eq!(missing("pdb = { max_unavailable = 1 }"), Some(2));
    assert_eq!(missing("pdb = { min_available = 3 }"), Some(2));
    assert_eq!(missing("pdb = { min_available_share = 0.75 }"), Some(2));
    assert_eq!(missing(""), Some(3));
}

#[test]
fn a_pod_without_a_node_is_pending_until_there_is_one() {
    let fail = event("down", "at = \"1m\"\nfor = \"10m\"\ndo = \"fail\"\ntarget = \"node:n-0\"");
    let run = run(&mesh("", "replicas = 2\nnodes = [\"n-0\"]", &fail));
    assert_eq!(at(&run, Gauge::PodsPending, 420), 2, "50 s and 300 s after the failure");
    let told = facts(&run, FactKind::PodPending);
    assert_eq!(told[0].1, "0/1 nodes are available: 1 down, 0 cordoned or not ready");
    assert_eq!(at(&run, Gauge::PodsMissing, 680), 0);
}

#[test]
fn an_autoscaler_follows_the_load_up_at_once_and_down_after_five_minutes() {
    let more = event(
        "rush",
        "at = \"2m\"\nfor = \"5m\"\ndo = \"traffic\"\ntarget = \"traffic:users\"\nfactor = 20",
    );
    let hpa = "replicas = 2\nhpa = { min = 2, max = 20, utilization = \"50%\" }\nshutdown = { pre_stop = \"5s\" }";
    let text = mesh("", hpa, &more).replace("time = \"5ms\"", "time = \"40ms\"");
    let run = run(&text);
    // 200 rps × 40 ms = 8 workers: at 50 % four pods of four; and the gateway.
    assert_eq!(at(&run, Gauge::PodsReady, 200), 5);
    assert_eq!(at(&run, Gauge::PodsReady, 415), 5);
    let down = first(&run, Gauge::PodsReady, 420, |pods| pods < 3.5).expect("it goes down");
    assert!((715..=760).contains(&down), "{down}");
}

#[test]
fn a_webhook_holds_refuses_or_lets_in() {
    let grow = event("grow", "at = \"2m\"\ndo = \"scale\"\ntarget = \"service:web\"\nreplicas = 2");
    let ready = |keys: &str, what: &str| {
        let text = mesh(keys, "replicas = 1\nstart_time = \"1s\"", &(event("e", what) + &grow));
        let run = run(&text);
        let log = facts(&run, FactKind::PodRefused);
        let back = first(&run, Gauge::PodsMissing, 121, |pods| pods < 0.5);
        (back, log.first().map(|(_, why)| why.clone()), at(&run, Gauge::Proxies, 1700))
    };
    let cut = "at = \"1m\"\ndo = \"cut\"\ntarget = \"istiod/injector\"";
    let (back, why, _) = ready("", cut);
    assert_eq!(
        (back, why.as_deref()),
        (None, Some("failed calling webhook: context deadline exceeded"))
    );
    let (back, why, proxies) = ready("webhook.failure_policy = \"ignore\"", cut);
    assert!(back.is_some_and(|at| (130..140).contains(&at)), "after 10 s: {back:?}");
    assert_eq!((why, proxies), (None, 2), "the gateway and the old pod");
    let slow = |s: u32| {
        format!("at = \"1m\"\ndo = \"slow\"\ntarget = \"istiod/injector\"\ndelay = \"{s}s\"")
    };
    let (back, why, proxies) = ready("", &slow(9));
    assert!(back.is_some_and(|at| (130..140).contains(&at)), "{back:?}");
    assert_eq!((why, proxies), (None, 3));
    assert_eq!(ready("", &slow(10)).0, None);
    let (back, why, _) =
        ready("webhook.certificate_remaining = \"90s\"", "at = \"1m\"\ndo = \"note\"");
    assert_eq!(
        (back, why.as_deref()),
        (None, Some("failed calling webhook: x509: certificate has expired"))
    );
}

#[test]
fn a_pod_that_is_not_injected_asks_nobody() {
    let events = event("down", "at = \"1m\"\ndo = \"fail\"\ntarget = \"istiod\"")
        + &event("grow", "at = \"2m\"\ndo = \"scale\"\ntarget = \"service:web\"\nreplicas = 3");
    let run = run(&mesh("", "replicas = 1\ninject = false", &events));
    assert_eq!(at(&run, Gauge::PodsMissing, 140), 0);
    assert_eq!(at(&run, Gauge::Proxies, 140), 1, "the gateway's");
}

#[test]
fn istiod_waits_for_itself_until_the_webhook_is_set_to_ignore() {
    let events = event("boot", "at = \"1m\"\nfor = \"1m\"\ndo = \"fail\"\ntarget = \"istiod\"")
        + &event(
            "fix",
            "at = \"10m\"\ndo = \"webhook\"\ntarget = \"istiod/injector\"\npolicy = \"ignore\"",
        );
    let text = mesh("webhook.matches_istiod = true", "replicas = 1", &events);
    let locked = run(&text);
    assert_eq!(
        first(&locked, Gauge::ProxiesConnected, 61, |proxies| 0.5 < proxies).map(|s| 600 < s),
        Some(true)
    );
    let free = run_with(&text, &["mesh.webhook.matches_istiod=false"]);
    assert_eq!(
        first(&free, Gauge::ProxiesConnected, 61, |proxies| 0.5 < proxies).map(|s| s < 200),
        Some(true)
    );
}

#[test]
fn configuration_is_rejected_while_istiod_is_away_and_never_comes() {
    let route = "[[service.workload]]\nversion = \"v2\"\ntime = \"5ms\"\n[[service.route]]\nname = \"all\"\nweights = { v1 = 1, v2 = 0 }\n";
    let events = event("down", "at = \"1m\"\nfor = \"5m\"\ndo = \"fail\"\ntarget = \"istiod\"")
        + &event(
            "move",
            "at = \"2m\"\ndo = \"route\"\ntarget = \"service:web\"\nweights = { v1 = 0, v2 = 1 }",
        );
    let text = mesh("", &format!("version = \"v1\"\n{route}"), &events);
    let v2 = |run: &Run| {
        let rows =
            run.outcomes.iter().filter(|row| row.version == "v2" && row.outcome.status == 200);
        rows.map(|row| row.count).sum::<u64>()
    };
    let fails = run(&text);
    assert_eq!((v2(&fails), facts(&fails, FactKind::ConfigRejected).len()), (0, 1));
    let ignores = run_with(&text, &["mesh.webhook.validation_policy=ignore"]);
    assert!(0 < v2(&ignores), "it arrives when istiod is back");
}

#[test]
fn without_the_api_server_nothing_is_created_or_told() {
    let events = event("api", "at = \"1m\"\nfor = \"5m\"\ndo = \"fail\"\ntarget = \"api_server\"")
        + &event("crash", "at = \"2m\"\nfor = \"10s\"\ndo = \"fail\"\ntarget = \"pod:web-0\"")
        + &event("grow", "at = \"3m\"\ndo = \"scale\"\ntarget = \"service:web\"\nreplicas = 5");
    let run = run(&mesh("", "replicas = 2", &events));
    let rejected = facts(&run, FactKind::ConfigRejected);
    assert_eq!(rejected, [(180, "the API server is away".to_owned())]);
    // The kubelet starts the pod again by itself, but istiod can review no token for its certificate.
    assert_eq!(at(&run, Gauge::PodsMissing, 150), 1);
    assert_eq!(at(&run, Gauge::PodsNotReady, 150), 1);
    assert_eq!(at(&run, Gauge::PodsMissing, 480), 0);
    assert_eq!(at(&run, Gauge::PodsReady, 600), 3, "with the gateway");
}

#[test]
fn a_node_without_its_kubelet_loses_its_endpoints_though_its_pods_run() {
    let fail = event("lost", "at = \"1m\"\nfor = \"4m\"\ndo = \"fail\"\ntarget = \"kubelet:n-1\"");
    let run = run(&mesh("", "replicas = 2", &fail));
    assert_eq!(at(&run, Gauge::PodsReady, 100), 3);
    let lost = first(&run, Gauge::PodsNotReady, 60, |pods| 0.5 < pods);
    assert!(lost.is_some_and(|at| (110..=112).contains(&at)), "{lost:?}");
    assert_eq!(at(&run, Gauge::PodsReady, 310), 3);
    assert_eq!(run.requests.ok, run.requests.total, "they run on");
}

#[test]
fn what_is_wrong_is_said() {
    let problems = |workload: &str, more: &str| {
        try_plan(&mesh("", workload, more), &[]).expect_err("something is wrong")
    };
    assert!(problems("readiness = { period = \"0s\" }", "").contains("`period` is zero"));
    assert!(problems("hpa = { min = 5, max = 2 }", "").contains("at least 5 and at most 2"));
    assert!(problems("pdb = {}", "").contains("a budget says one thing"));
}

#[test]
fn what_fails_in_the_shipped_scenarios_is_traced_to_what_they_inject() {
    let mut failures = 0;
    for path in files_of("scenarios/pods", ".toml") {
        let run = run(&read(&path));
        for row in run.outcomes.iter().filter(|row| !row.outcome.is_ok()) {
            let cause =
                row.cause.unwrap_or_else(|| panic!("{path}: {:?} has no cause", row.outcome));
            let root = *run.causes.chain(cause).last().expect("itself at least");
            assert_eq!(run.causes.get(root).kind, CauseKind::Injected, "{path}");
            failures += row.count;
        }
    }
    assert!(10_000 < failures, "{failures}");
}
