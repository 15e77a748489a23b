//! istiod as a queueing system: how long things take, and what breaks it.
//!
//! Source: istio pilot/pkg/xds; grpc-go; the reference of each row stands beside its parameter.

use crate::support::{count, run, run_with, try_plan};
use meshsim::observe::control_plane::ReplicaRow;
use meshsim::observe::run::Run;
use meshsim::vocabulary::metric::Gauge;

/// So many proxies of one service, and what happens.
fn mesh(duration: &str, proxies: u32, mesh: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1s\"\n[mesh]\n\
         profile = \"istio-sidecar@1.28\"\n{mesh}\n[[service]]\nname = \"app\"\n\
         [[service.workload]]\nreplicas = {proxies}\ntime = \"5ms\"\n{more}\n"
    )
}

fn event(id: &str, at: &str, does: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"{does}\"\ntarget = \"istiod\"\n{more}\n"
    )
}

fn gauge(run: &Run, gauge: Gauge, from_s: usize, to_s: usize) -> Vec<f64> {
    run.series[from_s..to_s].iter().map(|row| row.gauges[gauge as usize]).collect()
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

#[test]
fn a_replica_that_came_back_fills_as_ages_run_out_and_no_stream_gets_older() {
    // One of two is away for a minute; 33 min 10 s, a back-off and a stream later none of the
    // others' streams is older than its return.
    let outage = event("away", "60s", "fail", "for = \"60s\"\nshare = 0.5");
    let run = run(&mesh("45m", 200, "istiod.replicas = 2", &outage));
    let least_of = |from, to| least(&gauge(&run, Gauge::IstiodStreamsMin, from, to));
    assert!(least_of(180, 1_000) < 60.0, "most streams stay for half an hour");
    // Binomial(200, 1/2): 100 ± 7.
    assert!(70.0 < least_of(2_200, 2_690), "{}", least_of(2_200, 2_690));
    // Ages that have no limit: it stays as it is.
    let text = mesh("45m", 200, "istiod.replicas = 2\nxds.max_connection_age = 0", &outage);
    let kept = crate::support::run(&text);
    assert!(most(&gauge(&kept, Gauge::IstiodStreamsMin, 200, 2_690)) < 60.0);
}

#[test]
fn in_calm_streams_end_of_age_without_events() {
    let text = mesh("10h", 100, "istiod.replicas = 2", "");
    let with = run(&text);
    let without = run_with(&text, &["mesh.xds.max_connection_age=0s"]);
    assert_eq!(with.digest, without.digest);
    // 100 proxies, 36,000 s, a stream each 1,810.25 s: 1,989 ± 7.
    let opened = with.control_plane.streams_opened;
    assert!((1_930..2_050).contains(&opened), "{opened}");
    assert_eq!(without.control_plane.streams_opened, 0);
}

#[test]
fn five_thousand_proxies_come_back_as_fast_as_streams_are_let_in() {
    let run = run(&mesh(
        "6m",
        5_000,
        "istiod.replicas = 2",
        &event("away", "60s", "fail", "for = \"20s\""),
    ));
    // Back from 83 s on, 50 a second: 100 s, and the back-offs of those that were refused.
    let connected = gauge(&run, Gauge::ProxiesConnected, 0, 359);
    let all = connected.iter().skip(90).position(|count| *count >= 5_000.0).expect("all come back");
    assert!((93..=140).contains(&(90 + all - 83)), "{}", 90 + all - 83);
}

#[test]
fn an_isolated_change_takes_the_quiet_time_and_a_push() {
    let text =
        mesh("60s", 2, "kubernetes.watch_delay = \"0s\"", &event("write", "30s", "push", ""));
    let took = run(&text).control_plane.convergence_max.as_s();
    // 100 ms of quiet, 20 ms for the context, 20 ms a proxy on two cores, and the way.
    assert!((0.140..0.145).contains(&took), "{took}");
}

#[test]
fn pushes_and_signatures_queue_for_the_same_cores() {
    // A core that is slow by 100: a full push takes 2 s, of 20 proxies on two cores 20 s.
    let slow = event("slow", "10s", "slow", "factor = 100");
    let write = event("write", "20s", "push", "");
    let run = run(&mesh("80s", 20, "", &format!("{slow}{write}")));
    let took = run.control_plane.convergence_max.as_s();
    assert!((20.0..26.0).contains(&took), "{took}");
    // One after the other: half of them have it after half of the time.
    let p50 = run.control_plane.convergence_p50.as_s();
    assert!((0.4..0.6).contains(&(p50 / took)), "{p50} of {took}");
    assert!(1.9 < most(&gauge(&run, Gauge::IstiodCpu, 25, 35)));
    assert!(15.0 < most(&gauge(&run, Gauge::IstiodPushQueue, 22, 26)));
}

/// Azure's table: 15,000 sidecars, of which 31.2 a second are replaced, keep one istiod of 16 cores at
/// 15 of them. A quarter of the mesh, with the same changes, needs a quarter: it is what the time of a
/// change is fitted to. What changes twice before a push costs once.
#[test]
fn churn_keeps_as_many_cores_busy_as_was_published() {
    let istiod = "istiod.cpu = 16\nxds.max_connection_age = \"0s\"";
    let busy = |services: u32, every: &str, lasts: &str| {
        let churn = format!(
            "[[service]]\nname = \"churned\"\ncount = {services}\n[[service.workload]]\n\
             time = \"5ms\"\n[[event]]\nid = \"churn\"\nat = \"10s\"\n\
             every = \"{every}\"\nfor = \"{lasts}\"\ntimes = 2000\ndo = \"endpoints\"\n\
             target = \"service:churned\"\nweight = 2"
        );
        let text = mesh("60s", 3_750 - services, istiod, &churn).replace("\"1s\"", "\"10ms\"");
        // A push each ten seconds: three whole rounds.
        let cores = gauge(&run(&text), Gauge::IstiodCpu, 2_500, 5_500);
        cores.iter().sum::<f64>() / cores.len() as f64
    };
    let mean = busy(312, "20s", "10s");
    assert!((mean / (15.0 / 4.0) - 1.0).abs() < 0.2, "{mean} cores");
    // One service, 62 times a second: 0.526 ms for each of 3,750 proxies in ten seconds.
    let mean = busy(1, "32ms", "16ms");
    let expected = 3_750.0 * (0.526e-3 / 10.0 + 0.0001);
    assert!((mean / expected - 1.0).abs() < 0.25, "{mean} cores, not {expected}");
}

#[test]
fn each_replica_has_its_rows() {
    let outage = event("away", "60s", "fail", "for = \"60s\"\nshare = 0.5");
    let run = run(&mesh("5m", 200, "istiod.replicas = 2", &outage));
    let at = |s: u64, replica: u32| {
        let time = meshsim::kernel::time::Time::ZERO + meshsim::kernel::time::Duration::from_s(s);
        let is_it = |row: &&ReplicaRow| row.time == time && row.replica == replica;
        *run.replicas.iter().find(is_it).expect("a row a second")
    };
    assert_eq!(run.replicas.len(), 600);
    let (away, other) = (at(100, 0), at(100, 1));
    assert!(!away.is_ready && away.streams == 0 && away.memory == 0, "{away:?}");
    assert!(other.is_ready && other.streams == 200, "{other:?}");
    for row in &run.replicas {
        let cores = row.cpu - f64::from(row.streams) * 0.0001;
        assert!((cores - cores.round()).abs() < 1e-9, "whole cores, and what streams take");
    }
    let streams = |s| f64::from(at(s, 0).streams.max(at(s, 1).streams));
    assert_eq!(gauge(&run, Gauge::IstiodStreamsMax, 150, 151), [streams(150)]);
}

#[test]
fn full_pushes_stay_full_while_more_are_written() {
    // To 200 proxies, 2 s of two cores each: there is always one under way.
    let writes = event("writes", "10s", "push", "every = \"250ms\"\ntimes = 80");
    let run = run(&mesh("60s", 200, "", &writes));
    let cpu = gauge(&run, Gauge::IstiodCpu, 13, 28);
    assert!(1.8 < cpu.iter().sum::<f64>() / cpu.len() as f64, "{cpu:?}");
}

#[test]
fn a_replica_beyond_its_memory_is_killed_and_waits_longer_each_time() {
    let istiod = "istiod.memory_limit = \"150MiB\"\nistiod.memory_per_proxy = \"1MiB\"\n\
                  istiod.memory_per_connecting_proxy = \"0MiB\"";
    let run = run(&mesh("20m", 100, istiod, &event("away", "60s", "fail", "for = \"10s\"")));
    assert!(3 < run.control_plane.replicas_killed, "{}", run.control_plane.replicas_killed);
    assert!(most(&gauge(&run, Gauge::IstiodMemory, 70, 1_190)) <= 151.0);
    let ready = gauge(&run, Gauge::IstiodReady, 700, 1_190);
    assert!(ready.iter().sum::<f64>() < 60.0, "it is mostly away by then");
}

#[test]
fn a_replica_that_is_blind_gives_its_old_view_to_whoever_connects() {
    let traffic = "[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"app\"\n\
                   arrivals = { constant = \"20rps\" }\n";
    let blind = event("blind", "10s", "freeze", "for = \"100s\"");
    let roll =
        "[[event]]\nid = \"roll\"\nat = \"20s\"\ndo = \"rollout\"\ntarget = \"service:app\"\n";
    let run = run(&mesh("150s", 3, "", &format!("{traffic}{blind}{roll}")));
    let failed: Vec<u64> = run.series.iter().map(|row| row.requests.failed()).collect();
    assert_eq!(failed[..20].iter().sum::<u64>(), 0);
    assert!(500 < failed[70..109].iter().sum::<u64>(), "{failed:?}");
    assert_eq!(failed[115..149].iter().sum::<u64>(), 0, "it sees again");
}

#[test]
fn a_replica_without_caches_tells_of_an_empty_mesh_unless_it_waits() {
    let traffic = "[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"app\"\n\
                   arrivals = { constant = \"20rps\" }\n";
    let away = event("away", "10s", "fail", "for = \"5s\"");
    let text = mesh("60s", 3, "istiod.cache_sync = \"10s\"", &format!("{traffic}{away}"));
    let empty = run_with(&text, &["mesh.istiod.waits_for_caches=false"]);
    assert!(100 < count(&empty, "users", "app", "404 NR"), "{:?}", empty.outcomes);
    assert_eq!(empty.series[28..59].iter().map(|row| row.requests.failed()).sum::<u64>(), 0);
    assert_eq!(run(&text).requests.failed(), 0);
}

#[test]
fn a_stream_into_a_cut_is_given_up_when_its_keepalive_has_no_answer() {
    let nodes = "[[node]]\nname = \"a\"\nzone = \"z\"\n[[node]]\nname = \"b\"\nzone = \"y\"\n";
    let cut = "[[event]]\nid = \"cut\"\nat = \"10s\"\ndo = \"cut\"\ntarget = \"link:a<->b\"\n";
    let text = mesh("90s", 20, "", &format!("{nodes}{cut}"));
    let run = run(&text);
    let connected = gauge(&run, Gauge::ProxiesConnected, 0, 89);
    let (before, after) = (connected[9], connected[52]);
    assert!(after < before, "{connected:?}");
    assert!(connected[10..19].iter().all(|count| *count >= before), "10 s at the least");
    assert!(after < connected[30] && connected[30] < before, "the next ping is anywhere in 30 s");
    let at_once = run_with(&text, &["mesh.xds.keepalive_time=0s"]);
    assert!(gauge(&at_once, Gauge::ProxiesConnected, 11, 12)[0] <= after);
}

#[test]
fn the_autoscaler_adds_replicas_under_load_and_takes_them_away() {
    let writes = event("writes", "60s", "push", "every = \"1s\"\ntimes = 60");
    let run = run(&mesh("12m", 300, "istiod.replicas_max = 4", &writes));
    assert!((most(&gauge(&run, Gauge::IstiodReady, 0, 60)) - 1.0).abs() < 0.1);
    assert!((most(&gauge(&run, Gauge::IstiodReady, 60, 200)) - 4.0).abs() < 0.1);
    assert!((most(&gauge(&run, Gauge::IstiodReady, 600, 719)) - 1.0).abs() < 0.1);
    assert!(295.0 < least(&gauge(&run, Gauge::ProxiesConnected, 600, 719)), "streams came back");
}

#[test]
fn what_istiod_cannot_be_is_said() {
    let said =
        |mesh_keys: &str| try_plan(&mesh("1m", 1, mesh_keys, ""), &[]).expect_err("is wrong");
    for (keys, what) in [
        ("istiod.memory_limit = \"50MiB\"", "needs 100MiB without any proxy"),
        ("istiod.replicas_max = 2\nistiod.replicas = 3", "begins with 3 replicas"),
        ("istiod.replicas_max = 2\nistiod.replicas_min = 0", "between 0 and 2 replicas"),
        ("istiod.replicas_max = 2\nistiod.cpu_request = 0", "aims at no CPU"),
        ("xds.max_connection_age = \"1ms\"", "streams that end after"),
    ] {
        assert!(said(keys).contains(what), "{keys}: {}", said(keys));
    }
}
