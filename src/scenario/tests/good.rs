//! Files that read, and what they become.

use super::super::{TEMPLATES, load, template};
use super::{NORMATIVE, files, good, print, read_with};
use crate::kernel::distribution::Distribution;
use crate::kernel::time::{Duration, Time};
use crate::plan::Start;
use crate::plan::assertion::WindowBase;
use crate::plan::parameter::Value as _;
use crate::plan::policy::{RetryLimit, RetryOn};
use crate::plan::route::Destination;
use crate::plan::timeline::{Action, ControlPart, PodSet, Trigger};
use crate::plan::traffic::Arrivals;
use crate::plan::universe::{Discipline, NodeId, Role, Step, WorkloadId};

/// Uses most of the keys.
pub(super) const RICH: &str = include_str!("rich.toml");

#[test]
fn the_normative_example_reads() {
    let loaded = good(NORMATIVE);
    let plan = &loaded.plan;
    assert_eq!(plan.name, "s");
    assert_eq!(plan.claim, "Nothing fails for eleven hours; then certificates run out.");
    assert_eq!((plan.seed, plan.start), (1, Start::Stationary));
    assert_eq!(plan.duration, Duration::from_s(36 * 3600));
    assert_eq!(plan.interval, Duration::from_s(300));
    assert_eq!(plan.profile, "istio-sidecar@1.28");
    let names: Vec<_> = plan.universe.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["ingress", "productpage", "ratings", "reviews-v2"]);
    let ingress = &plan.universe.workloads[0];
    assert_eq!((ingress.role, ingress.replicas), (Role::Gateway, 2));
    let clusters: Vec<_> = plan.universe.clusters.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(clusters, ["productpage", "ratings", "reviews", "reviews/v2"]);
    let reviews = &plan.universe.workloads[3];
    assert_eq!((reviews.station.workers, reviews.station.queue), (8, Some(100)));
    assert_eq!(reviews.program.len(), 2);
    let action = Action::FailControlPlane { part: ControlPart::All, share: 1.0 };
    assert_eq!(plan.timeline[0].action, action);
    assert_eq!(plan.timeline[0].label, "istiod fails");
    assert_eq!(plan.timeline[0].lasts, Some(Duration::from_s(30 * 3600)));
    assert_eq!(plan.assertions[0].window.base, WindowBase::During(0));
    assert_eq!(plan.assertions[0].window.to, Some(Time::from_ns(11 * 3_600 * 1_000_000_000)));
    let [variant] = &loaded.variants[..] else { panic!("one variant") };
    assert_eq!(variant.variant.as_deref(), Some("quiet-connections"));
    // The churn is 0 by default: nothing changes, and the digest says so.
    assert_eq!(variant.digest(), plan.digest());
}

/// `leaf` is three services and `front` two, each of which calls two of the three at once and works
/// a while when both have answered.
#[test]
fn a_counted_service_is_many_and_its_callers_have_members_of_their_own() {
    let text = r#"
scenario = { duration = "1h" }
traffic = [{ id = "t", from = "ingress", to = "front", arrivals = { poisson = "1rps" } }]
[[service]]
name = "leaf"
count = 3
workload = [{ time = "1ms" }]
[[service]]
name = "front"
count = 2
[[service.workload]]
time = "1ms"
calls = [{ to = "leaf", fanout = 2, mode = "parallel", after = "2ms" }, { to = "leaf-1" }]
[[event]]
id = "again"
at = "1m"
do = "restart"
target = "service:leaf"
[[event]]
id = "more"
at = "2m"
do = "traffic"
target = "traffic:t"
factor = 2.0
"#;
    let plan = good(text).plan;
    let names: Vec<_> = plan.universe.services.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["front-0", "front-1", "leaf-0", "leaf-1", "leaf-2"]);
    let ids: Vec<_> = plan.traffic.iter().map(|one| (one.id.as_str(), one.to.index())).collect();
    assert_eq!(ids, [("t-0", 0), ("t-1", 1)]);
    for front in &plan.universe.workloads[0..2] {
        let [Step::Work(_), Step::Calls(both), Step::Work(_), Step::Calls(one)] =
            &front.program[..]
        else {
            panic!("{:?}", front.program)
        };
        assert!(both.len() == 2 && both[0].to != both[1].to, "{both:?}");
        assert_eq!(one[0].to.index(), 3);
    }
    let leaves = vec![WorkloadId(3), WorkloadId(4), WorkloadId(5)];
    assert_eq!(plan.timeline[0].action, Action::RestartPods(PodSet::Of(leaves, 1.0)));
    let doubled = Action::ScaleTraffic { traffic: vec![0, 1], factor: 2.0 };
    assert_eq!(plan.timeline[1].action, doubled);
}

#[test]
fn every_template_reads() {
    for (name, _) in TEMPLATES {
        let text = template(name).expect("a listed template");
        let loaded = good(text);
        assert_ne!(loaded.plan.claim, loaded.plan.name, "{name} makes a claim");
    }
    assert_eq!(template("nothing"), None);
}

#[test]
fn the_rich_example_becomes_what_it_says() {
    let plan = good(RICH).plan;
    assert_eq!(plan.universe.zones, ["a", "b"]);
    assert_eq!(plan.universe.nodes.len(), 3);
    let reviews = plan.universe.clusters.iter().find(|c| c.name == "reviews/v1").expect("v1");
    let budget = RetryLimit::Budget { share: 0.25, min_concurrency: 3 };
    assert_eq!(reviews.policy.breaker.retries, budget);
    assert!(reviews.policy.outlier.is_some());
    assert_eq!(reviews.policy.merge_window, Duration::from_s(2));
    let service = plan.universe.services.iter().find(|s| s.name == "reviews").expect("reviews");
    let table = &plan.universe.routes[service.route.index()];
    assert_eq!(table.rules.len(), 2);
    assert_eq!(table.rules[0].retry.on, RetryOn::FIVE_XX.with(RetryOn::RESET));
    assert_eq!(table.rules[0].retry.backoff_max, Duration::from_ms(100), "10 × the base");
    assert!(
        matches!(&table.rules[1].split[1].0, Destination::Missing(name) if name == "reviews/v9")
    );
    let web = plan.universe.workloads.iter().find(|w| w.name == "web").expect("web");
    assert_eq!(web.station.discipline, Discipline::ProcessorSharing);
    assert_eq!(&web.nodes[..], [NodeId(0), NodeId(1)]);
    let shape: Vec<usize> = web
        .program
        .iter()
        .map(|step| match step {
            Step::Work(_) => 0,
            Step::Calls(calls) => calls.len(),
            Step::Forward(_) | Step::Onward(_) => panic!("no proxy"),
        })
        .collect();
    assert_eq!(shape, [0, 2, 0, 1], "work, a parallel group, work after it, one call");
    let Arrivals::OpenLoop { rate, .. } = &plan.traffic[1].arrivals else { panic!("open loop") };
    assert_eq!(rate.iter().map(|p| p.ramp).collect::<Vec<_>>(), [true, false]);
    let labels: Vec<_> = plan.timeline.iter().map(|e| e.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "50 % of reviews v1 fails",
            "node n-0 fails",
            "the link n-0 -> b is cut",
            "zone a gets 5ms slower and loses 1 %",
            "v1 serves 50 %, v2 serves 50 % of reviews",
            "reviews v2 scales to 5 pods",
            "web is 2.5 times as slow",
            "traffic users times 3",
            "lunch",
            "pod reviews-v1-1 freezes",
            "the app of reviews fails",
            "10 % of web's answers are 503",
        ]
    );
    assert!(matches!(&plan.timeline[0].trigger, Trigger::At { times: 3, .. }));
    assert!(matches!(&plan.timeline[4].trigger, Trigger::When { .. }));
    assert!(matches!(&plan.timeline[9].action, Action::FreezePods(PodSet::One(WorkloadId(1), 1))));
}

/// The file with its nodes, links, services and traffic in reverse.
fn turned(text: &str) -> String {
    let mut blocks: Vec<String> = vec![String::new()];
    for line in text.lines() {
        let line_begins_block = line.starts_with('[') && !line.starts_with("[[service.");
        if line_begins_block {
            blocks.push(String::new());
        }
        let block = blocks.last_mut().expect("never empty");
        block.push_str(line);
        block.push('\n');
    }
    let kinds = ["[[node]]", "[[link]]", "[[service]]", "[[traffic]]"];
    let turns = |block: &String| kinds.iter().any(|kind| block.starts_with(kind));
    let (turning, staying): (Vec<_>, Vec<_>) = blocks.into_iter().partition(turns);
    staying.into_iter().chain(turning.into_iter().rev()).collect()
}

#[test]
fn an_order_of_tables_shows_nowhere() {
    for text in [NORMATIVE, RICH, template("canary").expect("a template")] {
        let turned = turned(text);
        assert_ne!(turned, text);
        assert_eq!(good(&turned).plan, good(text).plan);
    }
}

#[test]
fn a_table_in_a_setting_adds_to_what_is_there() {
    let dotted = NORMATIVE.replace(
        "\"mesh.connections.churn\" = \"0\"",
        "mesh.connections.churn = \"1/h\", service.reviews.v2.workers = 2",
    );
    let [variant] = &good(&dotted).variants[..] else { panic!("one variant") };
    assert_eq!(variant.profile, "istio-sidecar@1.28");
    assert_eq!(variant.universe.workloads[3].station.workers, 2);
    assert_eq!(variant.parameters.connections.churn.text(), "0.0002777777777777778rps");
}

#[test]
fn settings_reach_what_they_name() {
    let sets = [
        "service.reviews.v2.replicas=5",
        "service.ratings.time=7ms",
        "traffic.users.arrivals.poisson=50rps",
        "mesh.cert.ttl=12h",
        "event.istiod-down.for=1h",
        "service.productpage.workload[0].calls[0].probability=0.5",
        "service.reviews.v2.time={ exponential = \"3ms\" }",
        "scenario.seed=9",
    ];
    let loaded = read_with(NORMATIVE, &sets).unwrap_or_else(|p| panic!("{}", print(&p)));
    let plan = &loaded.plan;
    assert_eq!(plan.universe.workloads[3].replicas, 5);
    assert_eq!(plan.seed, 9);
    assert_eq!(plan.parameters.cert.ttl, Duration::from_s(12 * 3600));
    assert_eq!(plan.timeline[0].lasts, Some(Duration::from_s(3600)));
    let exponential = Distribution::Exponential { mean: Duration::from_ms(3) };
    assert_eq!(plan.universe.workloads[3].program[0], Step::Work(exponential));
    let origin = |key: &str| loaded.origins.iter().find(|origin| origin.key == key);
    assert_eq!(origin("mesh.cert.ttl").expect("given").from, "--set mesh.cert.ttl=12h");
    assert_eq!(origin("service.reviews.v2.workers").expect("given").from, "s.toml:11");
}

#[test]
fn origins_tell_default_profile_and_line() {
    let loaded = good(&NORMATIVE.replace("1.28", "1.20"));
    let origin = |key: &str| {
        let found = loaded.origins.iter().find(|origin| origin.key == key);
        found.unwrap_or_else(|| panic!("{key}")).clone()
    };
    assert_eq!(origin("scenario.duration").from, "s.toml:3");
    assert_eq!(origin("mesh.cert.grace_jitter").from, "profile istio-sidecar@1.20");
    assert_eq!(origin("mesh.cert.ttl").from, "default");
    assert!(origin("mesh.cert.ttl").source.contains("options.go"));
    assert_eq!(origin("scenario.interval").value, "5m");
    assert_eq!(origin("service.reviews.timeout").from, "mesh.route.timeout");
    assert_eq!(origin("service.ratings.replicas").from, "default");
}

#[test]
fn a_base_is_laid_under() {
    let child = "# Shorter.\n[scenario]\nbase = \"base/all.toml\"\nduration = \"2h\"\n\
                 [[service]]\nname = \"reviews\"\n[[service.workload]]\nversion = \"v2\"\nreplicas = 7\n";
    let files =
        files(&[("x/scenarios/deep/c.toml", child), ("x/scenarios/deep/base/all.toml", NORMATIVE)]);
    let loaded = load(&files, "x/scenarios/deep/c.toml", &[], Some(3))
        .unwrap_or_else(|problems| panic!("{}", print(&problems)));
    assert_eq!(loaded.plan.name, "deep/c");
    assert_eq!((loaded.plan.claim.as_str(), loaded.plan.seed), ("Shorter.", 3));
    assert_eq!(loaded.plan.duration, Duration::from_s(7200));
    let reviews = loaded.plan.universe.workloads.iter().find(|w| w.name == "reviews-v2");
    assert_eq!(reviews.map(|w| (w.replicas, w.station.workers)), Some((7, 8)));
    assert_eq!(loaded.sources.len(), 2);
}

#[test]
fn data_files_are_read_beside_the_scenario() {
    let text = NORMATIVE
        .replace("time = \"1ms\"", "time = { empirical = { csv = \"t.csv\" } }")
        .replace("{ poisson = \"100rps\" }", "{ replay = \"../r.csv\" }");
    let files = files(&[
        ("d/s.toml", &text),
        ("d/t.csv", "latency_ms\n1\n2.5\n3us\n"),
        ("r.csv", "0.5\n0.25\n1m\n"),
    ]);
    let loaded = load(&files, "d/s.toml", &[], None)
        .unwrap_or_else(|problems| panic!("{}", print(&problems)));
    let values = [Duration::from_ms(1), Duration::from_us(2500), Duration::from_us(3)].to_vec();
    let work = Step::Work(Distribution::Empirical { values });
    assert_eq!(loaded.plan.universe.workloads[2].program[0], work);
    let Arrivals::Replay(times) = &loaded.plan.traffic[0].arrivals else { panic!("a replay") };
    assert_eq!(times[0], Time::from_ns(250_000_000));
    assert_eq!(loaded.sources.len(), 3);
}

#[test]
fn a_cycle_that_ends_is_allowed() {
    let text = NORMATIVE.replace(
        "time = \"1ms\"",
        "time = \"1ms\"\ncalls = [{ to = \"reviews\", probability = 0.3 }]",
    );
    good(&text);
}

#[test]
fn clients_and_crowded_apps_read_with_their_defaults() {
    use crate::plan::client::{Backoff, Client, Jitter, RetryBreaker, RetryBucket};
    let client = r#"client = { timeout = "3s", attempts = 2, backoff_base = "1s", bucket = { size = 5 }, breaker = { share = "10%" }, clients = 100 }"#;
    let arrivals = "arrivals = { poisson = \"100rps\" }";
    let text = NORMATIVE
        .replace(arrivals, &format!("{arrivals}\n{client}"))
        .replace("workers = 8", "workers = 8\nproxy_workers = 4\ntime_per_request = \"1ms\"");
    let plan = good(&text).plan;
    assert_eq!([2, 3].map(|id| plan.proxy_workers(WorkloadId(id))), [2, 4]);
    let (s, ms) = (Duration::from_s, Duration::from_ms);
    let expected = Client {
        count: 100,
        timeout: s(3),
        attempts: 2,
        backoff: Backoff { jitter: Jitter::Full, base: s(1), max: s(10) },
        bucket: Some(RetryBucket { size: 5.0, deposit: 0.1, cost: 1.0 }),
        breaker: Some(RetryBreaker { share: 0.1, window: Duration::ZERO }),
    };
    assert_eq!(plan.clients.into_iter().collect::<Vec<_>>(), [(0, expected)]);
    assert_eq!(plan.crowding.into_iter().collect::<Vec<_>>(), [(WorkloadId(3), ms(1))]);
}

#[test]
fn clients_of_calls_are_those_of_the_workload_and_their_own() {
    let usual = r#"calls = [{ to = "ratings", probability = 1.0, mode = "sequential", holds_worker = true }]"#;
    let with = |keys: &str| good(&NORMATIVE.replace(usual, keys));
    let calls =
        |own: &str| format!("calls = [{{ to = \"ratings\" }}, {{ to = \"ratings\"{own} }}]\n");
    let shared = "client = { attempts = 2, bucket = { size = 5 } }";
    let plan = with(&(calls(", client = { timeout = \"1s\" }") + shared)).plan;
    let clients = &plan.call_clients[&WorkloadId(3)];
    let shared = clients.shared.as_ref().expect("that of the workload");
    assert_eq!((shared.attempts, shared.count, shared.is_plain()), (2, 1, false));
    assert_eq!(clients.own.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(clients.own[&1].timeout, Duration::from_s(1));
    let only = with(&calls(", client = { timeout = \"1s\" }")).plan;
    assert_eq!(only.call_clients[&WorkloadId(3)].shared, None);
    assert_ne!(only.digest(), with(&calls("")).plan.digest());
}

#[test]
fn apps_that_cancel_their_calls_are_listed_and_others_are_as_ever() {
    let with = |key: &str| NORMATIVE.replace("workers = 8", &format!("workers = 8\n{key}"));
    let cancels = good(&with("cancels_calls = true")).plan;
    assert_eq!(cancels.cancelling.iter().copied().collect::<Vec<_>>(), [WorkloadId(3)]);
    let (asks_not, plain) = (good(&with("cancels_calls = false")).plan, good(NORMATIVE).plan);
    assert_eq!(asks_not.digest(), plain.digest());
    assert_ne!(cancels.digest(), plain.digest());
    let knows = good(&with("deadlines = true")).plan;
    assert_eq!(knows.deadlines.iter().copied().collect::<Vec<_>>(), [WorkloadId(3)]);
    assert_ne!(knows.digest(), plain.digest());
    assert_ne!(knows.digest(), cancels.digest());
}
