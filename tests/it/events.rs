//! Goal: an event takes back what it did, all of that and nothing else, however it meets others; and once it is
//! over it is the reason of nothing. What the mesh looks like meanwhile, in the words of `kubectl`.
//! Method: small meshes by the second, and the mesh at many instants (`status_at`).
//!
//! Source: `plan::timeline`; `kubectl get pods`; grpc-go's `MaxConnectionAge` by Istio's chart.

use crate::support::{plan_with, play, run};
use meshsim::kernel::time::{Duration, Time};
use meshsim::observe::mesh_status::{MeshStatus, ProxyStatus};
use meshsim::observe::run::Run;
use meshsim::vocabulary::cause::CauseKind;
use meshsim::vocabulary::metric::Gauge;
use meshsim::world::options::Options;

/// Four pods of `web` on two nodes, called twice a second.
fn mesh(duration: &str, workload: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1s\"\n\
         [mesh]\nprofile = \"istio-sidecar@1.28\"\n[[node]]\nname = \"node\"\ncount = 2\n\
         [[service]]\nname = \"web\"\n[[service.workload]]\nreplicas = 4\ntime = \"1ms\"\nstart_time = \"1s\"\n\
         {workload}\n\
         [[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"web\"\narrivals = {{ poisson = \"2rps\" }}\n{more}\n"
    )
}

fn event(id: &str, at: &str, does: &str, target: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"{does}\"\ntarget = \"{target}\"\n{more}\n"
    )
}

fn gauge(run: &Run, gauge: Gauge, from_s: usize, to_s: usize) -> (f64, f64) {
    let values = run.series[from_s..to_s].iter().map(|row| row.gauges[gauge as usize]);
    values.fold((f64::INFINITY, 0.0), |(low, high), one| (one.min(low), one.max(high)))
}

fn at(text: &str, s: u64) -> MeshStatus {
    let status_at = Some(Time::ZERO + Duration::from_s(s));
    let run = play(&plan_with(text, &[]), Options { status_at, ..Options::default() });
    run.status.expect("it was asked for")
}

fn words(status: &MeshStatus, of: &str) -> Vec<&'static str> {
    status.proxies.iter().filter(|one| one.name.starts_with(of)).map(|one| one.pod).collect()
}

fn ready(status: &MeshStatus, of: &str) -> Vec<(u32, u32)> {
    let all = status.proxies.iter().filter(|one| one.name.starts_with(of));
    all.map(|one| one.containers).collect()
}

#[test]
fn a_pod_that_two_events_have_crashed_is_back_when_the_last_of_them_ends() {
    // The longer one first, and last.
    for (first, second) in [("60s", "10s"), ("10s", "60s")] {
        let both =
            event("a", "10s", "fail", "service:web", &format!("share = 0.5\nfor = \"{first}\""))
                + &event(
                    "b",
                    "15s",
                    "fail",
                    "service:web",
                    &format!("share = 0.5\nfor = \"{second}\""),
                );
        let run = run(&mesh("100s", "", &both));
        assert_eq!(gauge(&run, Gauge::PodsMissing, 16, 69), (2.0, 2.0), "{first} and {second}");
        assert!(gauge(&run, Gauge::PodsMissing, 85, 100).1 < 0.5, "{first} and {second}");
    }
}

#[test]
fn an_app_that_two_events_have_crashed_is_back_when_the_last_of_them_ends() {
    for (first, second) in [("60s", "10s"), ("10s", "60s")] {
        let of = |length: &str| format!("part = \"app\"\nfor = \"{length}\"");
        let both = event("a", "10s", "fail", "service:web", &of(first))
            + &event("b", "15s", "fail", "service:web", &of(second));
        let run = run(&mesh("100s", "", &both));
        assert_eq!(good(&run, 30, 69), 0, "{first} and {second}");
        assert!(20 < good(&run, 76, 100), "{first} and {second}");
    }
}

#[test]
fn apps_that_two_events_have_in_a_crash_loop_stay_in_it_until_the_last_of_them_ends() {
    for (first, second) in [("120s", "5s"), ("5s", "120s")] {
        let of = |length: &str| format!("for = \"{length}\"");
        let both = event("a", "10s", "crash_loop", "service:web", &of(first))
            + &event("b", "12s", "crash_loop", "service:web", &of(second));
        let run = run(&mesh("400s", "", &both));
        assert_eq!(gauge(&run, Gauge::PodsMissing, 13, 130), (4.0, 4.0), "{first} and {second}");
        assert!(gauge(&run, Gauge::PodsMissing, 350, 400).1 < 0.5, "{first} and {second}");
    }
}

/// Requests that succeed in the seconds `from_s..to_s`.
fn good(run: &Run, from_s: usize, to_s: usize) -> u64 {
    run.series[from_s..to_s].iter().map(|row| row.requests.ok).sum()
}

#[test]
fn an_app_that_events_of_different_kinds_keep_away_is_back_when_the_last_of_them_ends() {
    let fail = |at: &str, length: &str| {
        let more = format!("part = \"app\"\nfor = \"{length}\"");
        event("app", at, "fail", "service:web", &more)
    };
    let crash = |at: &str, length: &str| {
        event("loop", at, "crash_loop", "service:web", &format!("for = \"{length}\""))
    };
    // The loop outlives the failure: what would be there at 30 s exits, and is tried at 40 s, 60 s and 100 s.
    let run_ = run(&mesh("140s", "", &(fail("10s", "20s") + &crash("15s", "80s"))));
    assert_eq!(good(&run_, 12, 95), 0);
    assert!(4 < run_.control_plane.container_restarts, "{}", run_.control_plane.container_restarts);
    assert!(20 < good(&run_, 110, 140));
    // The failure outlives the loop.
    let run_ = run(&mesh("140s", "", &(crash("10s", "10s") + &fail("15s", "80s"))));
    assert_eq!(good(&run_, 12, 95), 0);
    assert!(20 < good(&run_, 100, 140));
    // All of the pods, within it: they come back without their apps.
    let pods = event("pods", "15s", "fail", "service:web", "for = \"10s\"");
    let run_ = run(&mesh("140s", "", &(fail("10s", "85s") + &pods)));
    assert_eq!(good(&run_, 12, 95), 0);
    assert!(gauge(&run_, Gauge::PodsMissing, 40, 95).1 < 0.5, "but pods they are");
    assert!(20 < good(&run_, 100, 140));
    // And around it.
    let pods = event("pods", "10s", "fail", "service:web", "for = \"85s\"");
    let run_ = run(&mesh("140s", "", &(pods + &fail("15s", "20s") + &crash("16s", "10s"))));
    assert_eq!(good(&run_, 12, 95), 0);
    assert!(20 < good(&run_, 105, 140));
}

#[test]
fn neither_power_nor_a_kubelet_brings_an_app_back_that_an_event_keeps_away() {
    let app = |more: &str| {
        let all = format!("part = \"app\"\nfor = \"60s\"\n{more}");
        event("app", "10s", "fail", "service:web", &all)
    };
    for node in ["node-0", "node-1"] {
        let power = event("power", "15s", "fail", &format!("node:{node}"), "for = \"10s\"");
        let run = run(&mesh("100s", "", &(app("") + &power)));
        assert_eq!(good(&run, 12, 69), 0, "{node}");
        assert!(20 < good(&run, 80, 100), "{node}");
    }
    // The end of the failure is no power: on the node without it nothing starts.
    let dark = event("power", "15s", "fail", "node:node-1", "");
    let text = mesh("100s", "nodes = [\"node-1\"]", &(app("") + &dark));
    assert_eq!(good(&run(&text), 12, 100), 0);
    // Liveness starts the container again and again, in vain.
    let live = run(&mesh("300s", "liveness = {}", &app("")));
    assert_eq!(good(&live, 12, 69), 0);
    assert!(3 < live.control_plane.container_restarts);
    assert!(20 < good(&live, 200, 300));
    let dead = at(&mesh("300s", "", &app("")), 20);
    assert_eq!(words(&dead, "web"), ["Error"; 4]);
    assert_eq!(ready(&dead, "web"), [(1, 2); 4]);
}

#[test]
fn power_brings_no_pod_back_that_an_event_keeps_away() {
    let both = event("away", "10s", "fail", "pod:web-0", "for = \"60s\"")
        + &event("power", "15s", "fail", "node:node-0", "for = \"10s\"");
    let run = run(&mesh("100s", "", &both));
    // Both of the node's and of the gateway's come back, but for this one.
    assert_eq!(gauge(&run, Gauge::PodsMissing, 40, 69), (1.0, 1.0));
    assert!(gauge(&run, Gauge::PodsMissing, 85, 100).1 < 0.5);
}

#[test]
fn an_event_that_is_refused_the_second_time_ends_the_first_time_all_the_same() {
    // At 20 s the second begins, and is refused, before the first ends.
    let more = "for = \"10s\"\nevery = \"10s\"\ntimes = 2\nreplicas = 8";
    let both = event("grow", "10s", "scale", "service:web", more)
        + &event("no-api", "18s", "fail", "api_server", "for = \"4s\"");
    let run = run(&mesh("40s", "", &both));
    assert_eq!(run.control_plane.changes_rejected, 1);
    let pods = |s: usize| gauge(&run, Gauge::PodsReady, s, s + 1).0;
    // Two of the gateway, eight of web, then four.
    assert_eq!((pods(17), pods(25), pods(38)), (10.0, 6.0, 6.0));
}

#[test]
fn a_drain_that_is_over_is_not_why_pods_are_deleted_later() {
    // Busy for a minute, then idle; the autoscaler takes pods away five minutes later.
    let workload = "hpa = { min = 1, max = 4, utilization = 0.5 }\nworkers = 1\nshutdown = { pre_stop = \"25s\" }";
    let drain = event("drain", "20s", "drain", "node:node-0", "for = \"20s\"");
    let text = mesh(
        "420s",
        workload,
        &(drain + &event("idle", "60s", "traffic", "traffic:users", "factor = 0")),
    )
    .replace("time = \"1ms\"", "time = \"100ms\"")
    .replace("2rps", "30rps");
    let terminating = |s: u64| -> Vec<ProxyStatus> {
        let all = at(&text, s).proxies.into_iter();
        all.filter(|one| one.name.starts_with("web") && one.pod == "Terminating").collect()
    };
    let drained = terminating(24);
    assert!(!drained.is_empty() && drained.iter().all(|one| one.cause.is_some()), "{drained:?}");
    let later: Vec<ProxyStatus> = (0..8).flat_map(|nth| terminating(330 + 10 * nth)).collect();
    assert!(!later.is_empty());
    assert!(later.iter().all(|one| one.cause.is_none()), "{later:?}");
}

#[test]
fn an_outage_that_is_over_is_not_why_istiod_needs_too_much_memory_later() {
    // 100 MiB and 1.5 MiB for each of six proxies; a hundred more are too many.
    let killed = |more: &str| {
        let text = mesh("600s", "", more).replace(
            "profile = \"istio-sidecar@1.28\"",
            "profile = \"istio-sidecar@1.28\"\nistiod.memory_limit = \"150MiB\"",
        );
        let run = run(&text);
        assert!(0 < run.control_plane.replicas_killed);
        let of_memory = |cause: &&meshsim::vocabulary::cause::Cause| {
            cause.kind == CauseKind::Unreachable && cause.what.contains("memory")
        };
        let first = run.causes.iter().find(of_memory).expect("a cause");
        first.because.map(|root| run.causes.get(root).what.clone())
    };
    let down = event("down", "10s", "fail", "istiod", "for = \"20s\"");
    let grow = |at: &str| event("grow", at, "scale", "service:web", "replicas = 104");
    assert_eq!(killed(&(down.clone() + &grow("300s"))), None);
    // But of those who come back while it was away, it is.
    assert!(killed(&(down + &grow("31s"))).is_some_and(|what| what.contains("istiod fails")));
}

#[test]
fn pods_are_in_the_states_that_kubernetes_has() {
    let text = |more: &str| mesh("400s", "nodes = [\"node-0\"]", more);
    let away = text(&event("away", "10s", "fail", "pod:web-0", "for = \"60s\""));
    assert_eq!(words(&at(&away, 20), "web"), ["CrashLoopBackOff", "Running", "Running", "Running"]);
    assert_eq!(ready(&at(&away, 20), "web"), [(0, 2), (2, 2), (2, 2), (2, 2)]);
    assert_eq!(words(&at(&away, 71), "web")[0], "ContainerCreating");
    let frozen = at(&text(&event("still", "10s", "freeze", "pod:web-0", "")), 20);
    assert_eq!(words(&frozen, "web"), ["Running"; 4]);
    assert_eq!(frozen.proxies.iter().filter(|one| one.is_frozen).count(), 1);
    let looping = text(&event("loop", "10s", "crash_loop", "service:web", ""));
    assert_eq!(words(&at(&looping, 60), "web"), ["CrashLoopBackOff"; 4]);
    assert_eq!(ready(&at(&looping, 60), "web"), [(1, 2); 4]);
    // Of a node without power Kubernetes hears after 50 s, and replaces its pods after 300 s more: nowhere.
    let dark = text(&event("dark", "10s", "fail", "node:node-0", ""));
    assert_eq!(words(&at(&dark, 30), "web"), ["Running"; 4]);
    // It says so in a condition of the pods; their containers are as the kubelet last told.
    assert_eq!(words(&at(&dark, 80), "web"), ["Running"; 4]);
    assert_eq!(ready(&at(&dark, 80), "web"), [(2, 2); 4]);
    assert_eq!(words(&at(&dark, 390), "web"), ["Pending"; 4]);
    let drained = text(&event("drain", "10s", "drain", "node:node-0", ""));
    assert!(words(&at(&drained, 12), "web").contains(&"Terminating"));
    let alone = text(
        &(event("down", "10s", "fail", "istiod/ca", "")
            + &event("roll", "20s", "rollout", "service:web", "")),
    );
    let waits = |text: &str| {
        let status = at(text, 60);
        let of = words(&status, "web").into_iter().zip(ready(&status, "web"));
        of.filter(|(_, ready)| *ready != (2, 2)).collect::<Vec<_>>()
    };
    let told = waits(&alone);
    assert!(!told.is_empty() && told.iter().all(|one| *one == ("Running", (1, 2))), "{told:?}");
    let set = |key: &str| alone.replace("@1.28\"", &format!("@1.28\"\n{key}"));
    let told = waits(&set("kubernetes.minor = 33"));
    assert!(!told.is_empty() && told.iter().all(|one| *one == ("Init:1/2", (0, 2))), "{told:?}");
    let told = waits(&set("pod.hold_app = true"));
    assert!(
        !told.is_empty() && told.iter().all(|one| *one == ("PodInitializing", (0, 2))),
        "{told:?}"
    );
}

#[test]
fn a_gateway_is_rolled_by_quarters_and_loses_nothing() {
    let roll = event("roll", "20s", "rollout", "ingress", "");
    let text = mesh("60s", "", &roll)
        .replace("@1.28\"", "@1.28\"\ningress.replicas = 8")
        .replace("2rps", "40rps");
    let run = run(&text);
    assert_eq!(run.requests.failed(), 0);
    assert_eq!(run.control_plane.pods_created, 8);
    let missing = gauge(&run, Gauge::PodsMissing, 20, 60).1;
    assert!((missing - 2.0).abs() < 0.5, "a quarter of eight: {missing}");
    let later = at(&text, 59);
    let names = later.proxies.iter().map(|one| one.name.as_str());
    let gateways: Vec<&str> = names.filter(|name| name.starts_with("ingress")).collect();
    assert_eq!(gateways.len(), 8);
    assert!(!gateways.contains(&"ingress-7") && gateways.contains(&"ingress-15"), "{gateways:?}");
}

/// The oldest stream at many instants of four hours, with the instants at which a proxy had none.
fn oldest(more: &str) -> (Duration, usize) {
    let text = mesh("4h", "", more)
        .replace("interval = \"1s\"", "interval = \"10m\"")
        .replace("replicas = 4", "replicas = 40")
        .replace("2rps", "0.2rps");
    let (mut oldest, mut alone) = (Duration::ZERO, 0);
    // Every 7 minutes, no part of half an hour, from the end of those that were there at the begin on.
    for nth in 0..28 {
        let status = at(&text, 2_000 + 420 * nth);
        for one in &status.proxies {
            match one.stream_age {
                Some(age) => oldest = oldest.max(age),
                None => alone += 1,
            }
        }
    }
    (oldest, alone)
}

#[test]
fn no_proxys_stream_is_older_than_33_minutes_and_the_grace() {
    let longest = Duration::from_s(33 * 60 + 10);
    // Parked: nobody's stream costs an event, and each is opened again all the same.
    let (parked, alone) = oldest("");
    assert!(parked <= longest, "{parked}");
    assert!(
        Duration::from_s(31 * 60) < parked,
        "of 42 proxies the oldest is nearly that: {parked}"
    );
    assert_eq!(alone, 0);
    // Not parked, one by one: istiod takes a thousandth longer for everything, and somebody writes.
    let storm = event("slow", "1s", "slow", "istiod", "factor = 1.001")
        + &event("writes", "5m", "push", "istiod", "every = \"5m\"\ntimes = 40");
    let (stepped, _) = oldest(&storm);
    assert!(stepped <= longest && Duration::from_s(31 * 60) < stepped, "{stepped}");
    // Nor after an outage in which all of them were lost at once.
    let outage = event("down", "40m", "fail", "istiod", "for = \"3m\"");
    let (after, alone) = oldest(&outage);
    assert!(after <= longest && alone <= 42, "{after} {alone}");
}
