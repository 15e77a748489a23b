//! Manifests at a time: `apply`, `delete` and `patch` as the run sees them.
//!
//! Source: Istio's and Kubernetes' documentation of what each object does; docs/scenarios.md (`[[event]]`).

use crate::support::{count, ledger, play};
use meshsim::check::assert::judge;
use meshsim::observe::run::Run;
use meshsim::plan::Plan;
use meshsim::plan::timeline::Action;
use meshsim::scenario::{self, Files, Loaded};
use meshsim::world::options::Options;
use std::collections::BTreeMap;

const SHOP: &str = include_str!("brought/shop.yaml");
const CANARY: &str = include_str!("brought/canary.yaml");
const STOCK: &str = include_str!("brought/stock.yaml");

/// The files of a test.
struct Folder(BTreeMap<&'static str, String>);

impl Files for Folder {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

const SCENARIO: &str = r#"# A shop whose manifests change.
[scenario]
duration = "10m"
[[manifests]]
path = "shop.yaml"
[[traffic]]
id = "users"
from = "ingress"
to = "cart"
arrivals = { constant = "20rps" }
"#;

fn try_load(text: &str, sets: &[&str]) -> Result<Loaded, String> {
    let text = format!("{SCENARIO}{text}");
    let folder = Folder(BTreeMap::from([
        ("s.toml", text),
        ("shop.yaml", SHOP.to_owned()),
        ("canary.yaml", CANARY.to_owned()),
        (
            "half.yaml",
            CANARY.replace("weight: 90", "weight: 50").replace("weight: 10", "weight: 50"),
        ),
        ("stock.yaml", STOCK.to_owned()),
    ]));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    scenario::load(&folder, "s.toml", &sets, None)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn loaded(text: &str) -> Loaded {
    try_load(text, &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn run_plan(plan: &Plan) -> Run {
    let run = play(plan, Options::default());
    for judgement in judge(plan, &run) {
        assert!(judgement.passes, "{judgement:?}\n{}", ledger(&run, "users", "cart"));
    }
    run
}

/// A run whose assertions hold.
fn run(text: &str) -> Run {
    run_plan(&loaded(text).plan)
}

fn event(id: &str, at: &str, what: &str) -> String {
    format!("[[event]]\nid = \"{id}\"\nat = \"{at}\"\n{what}\n")
}

fn expect(from: &str, to: &str, what: &str) -> String {
    format!(
        "[[assert]]\nname = \"{from} {what}\"\nfrom = \"{from}\"\nto = \"{to}\"\nexpect = \"{what}\"\n"
    )
}

fn apply(file: &str) -> String {
    format!("do = \"apply\"\nmanifests = \"{file}\"")
}

/// The parts of an event's action.
fn parts<'p>(plan: &'p Plan, event: &str) -> &'p [Action] {
    plan.timeline.iter().find(|one| one.id == event).map_or(&[], |one| one.actions())
}

const FEW: &str = "share(v2) > 8%";
const FEW_TOO: &str = "share(v2) < 12%";
const HALF: &str = "share(v2) > 46%";
const HALF_TOO: &str = "share(v2) < 54%";

#[test]
fn weights_are_what_was_applied_last_and_come_back_when_it_ends() {
    let text = [
        event("canary", "0s", &apply("canary.yaml")),
        event("half", "4m", &format!("{}\nfor = \"3m\"", apply("half.yaml"))),
        expect("10s", "4m", FEW),
        expect("10s", "4m", FEW_TOO),
        expect("4m5s", "7m", HALF),
        expect("4m5s", "7m", HALF_TOO),
        expect("7m5s", "10m", FEW),
        expect("7m5s", "10m", FEW_TOO),
    ];
    let loaded = loaded(&text.concat());
    assert_eq!(loaded.warnings, []);
    let run = run_plan(&loaded.plan);
    assert_eq!(ledger(&run, "users", "cart"), "200 -: 11999");
    let label = "apply VirtualService shop/cart, DestinationRule shop/cart";
    assert!(run.occurrences.iter().all(|one| one.label == label), "{:?}", run.occurrences);
    // The same objects but for the weights: the event tells routes, and no more.
    assert!(matches!(parts(&loaded.plan, "half"), [Action::SetRoutes { .. }]));
}

#[test]
fn a_variant_and_a_setting_move_what_is_applied() {
    let text = [event("canary", "5m", &apply("canary.yaml"))].concat()
        + "[[variant]]\nname = \"half\"\nset = { \"event.canary.manifests\" = \"half.yaml\" }\n";
    let loaded = loaded(&text);
    let shares = |plan: &Plan| {
        let run = play(plan, Options::default());
        let v2 = run.services.iter().find(|one| one.version == "v2");
        v2.map_or(0, |one| one.requests.total)
    };
    let (few, half) = (shares(&loaded.plan), shares(&loaded.variants[0]));
    // Before it is applied there are two pods of v1 and one of v2.
    assert!((2400..2800).contains(&few) && (4800..5200).contains(&half), "{few} {half}");
    let early = try_load(&text, &["event.canary.at=1m"]).expect("a good scenario").plan;
    assert!(shares(&early) < few, "{}", shares(&early));
}

#[test]
fn a_rule_that_is_deleted_before_the_routes_to_its_subsets_leaves_them_without_a_cluster() {
    let text = [
        event("canary", "0s", &apply("canary.yaml")),
        event("first", "4m", "do = \"delete\"\nobjects = [\"dr/shop/cart\"]"),
        event("second", "5m", "do = \"delete\"\nobjects = [\"virtualservice/shop/cart\"]"),
        expect("10s", "4m", "success_rate == 100%"),
        expect("4m5s", "5m", "count(flags=NC) > 1000"),
        expect("5m5s", "10m", "success_rate == 100%"),
    ];
    let run = run(&text.concat());
    let lost = count(&run, "users", "cart", "503 NC");
    assert!((1150..1250).contains(&lost), "{}", ledger(&run, "users", "cart"));
    // In the right order nothing is lost.
    let right = [
        event("canary", "0s", &apply("canary.yaml")),
        event("first", "4m", "do = \"delete\"\nobjects = [\"virtualservice/shop/cart\"]"),
        event("second", "5m", "do = \"delete\"\nobjects = [\"dr/shop/cart\"]"),
    ];
    assert_eq!(ledger(&self::run(&right.concat()), "users", "cart"), "200 -: 11999");
}

#[test]
fn a_service_that_is_applied_later_is_served_from_then_on() {
    let traffic = "[[traffic]]\nid = \"more\"\nfrom = \"ingress\"\nto = \"stock\"\n\
                   arrivals = { constant = \"10rps\" }\n\
                   [[service]]\nname = \"stock\"\n[[service.workload]]\ntime = \"1ms\"\n";
    let text = [
        traffic.to_owned(),
        event("stock", "5m", &format!("{}\nfor = \"2m\"", apply("stock.yaml"))),
    ]
    .concat();
    let loaded = loaded(&text);
    assert_eq!(loaded.warnings, []);
    let run = run_plan(&loaded.plan);
    let (ok, missing) =
        (count(&run, "more", "stock", "200 -"), count(&run, "more", "stock", "503 NC"));
    assert!((1050..=1200).contains(&ok), "{}", ledger(&run, "more", "stock"));
    assert!((4750..=4850).contains(&missing), "{}", ledger(&run, "more", "stock"));
    assert_eq!(ledger(&run, "users", "cart"), "200 -: 11999");
}

#[test]
fn replicas_and_templates_are_patched() {
    let patch = |what: &str| {
        format!("do = \"patch\"\nobject = \"deployment/shop/cart-v1\"\npatch = \"{what}\"")
    };
    let text = [
        event("more", "2m", &patch("{spec: {replicas: 4}}")),
        event(
            "image",
            "5m",
            &patch("{spec: {template: {spec: {containers: [{name: cart, image: 'cart:2'}]}}}}"),
        ),
    ]
    .concat();
    let loaded = loaded(&text);
    assert!(matches!(parts(&loaded.plan, "more"), [Action::Scale { replicas: 4, .. }]));
    assert!(matches!(parts(&loaded.plan, "image"), [Action::SetTemplate(one)] if one.len() == 1));
    assert_eq!(loaded.plan.timeline[1].label, "patch Deployment shop/cart-v1");
    let born = |run: &Run| run.control_plane.certificates_issued;
    let (all, none) = (run_plan(&loaded.plan), run(""));
    // Two pods more, and four in the place of four.
    assert_eq!(born(&all), born(&none) + 6);
    let back = text.replace("at = \"5m\"", "at = \"5m\"\nfor = \"2m\"");
    assert_eq!(born(&run(&back)), born(&none) + 10);
}

#[test]
fn mutual_tls_is_asked_for_from_a_time_on() {
    let strict = "do = \"apply\"\nmanifests = \"\"\"\napiVersion: security.istio.io/v1\n\
                  kind: PeerAuthentication\nmetadata: {name: all, namespace: shop}\n\
                  spec: {mtls: {mode: STRICT}}\n\"\"\"\nfor = \"2m\"";
    let plain = "[[service]]\nname = \"old\"\nmeshed = false\n[[service.workload]]\ntime = \"1ms\"\n\
                 [[traffic]]\nid = \"plain\"\nfrom = \"old\"\n\
                 to = \"cart\"\narrivals = { constant = \"10rps\" }\n";
    let text = [plain.to_owned(), event("strict", "5m", strict)].concat();
    let run = run(&text);
    let (ok, refused) = (count(&run, "old", "cart", "200 -"), ledger(&run, "old", "cart"));
    assert!((4750..4850).contains(&ok), "{refused}");
    assert_eq!(ledger(&run, "users", "cart"), "200 -: 11999");
}

#[test]
fn nothing_that_is_applied_arrives_while_istiod_is_away() {
    let text = [
        event("canary", "0s", &apply("canary.yaml")),
        event("down", "2m", "for = \"6m\"\ndo = \"fail\"\ntarget = \"istiod\""),
        event("half", "4m", &apply("half.yaml")),
        expect("10s", "8m", FEW),
        expect("10s", "8m", FEW_TOO),
        expect("8m30s", "10m", HALF),
        expect("4m", "7m59s", "max(config_staleness) > 200s"),
    ];
    let sets = ["mesh.webhook.validation_policy=ignore"];
    let plan = try_load(&text.concat(), &sets).unwrap_or_else(|problems| panic!("{problems}")).plan;
    run_plan(&plan);
}

#[test]
fn what_is_taken_back_out_of_turn_is_refused_where_it_would_be_wrong() {
    let weights = |first: u32| {
        format!(
            "do = \"patch\"\nobject = \"vs/shop/cart\"\ntype = \"json\"\npatch = \
             \"[{{op: replace, path: /spec/http/0/route/0/weight, value: {first}}}]\""
        )
    };
    let timeout = "do = \"patch\"\nobject = \"vs/shop/cart\"\ntype = \"json\"\npatch = \
                   \"[{op: replace, path: /spec/http/0/route/1/weight, value: 30}]\"";
    let text = [
        event("canary", "0s", &apply("canary.yaml")),
        event("one", "2m", &format!("{}\nuntil = \"6m\"", weights(50))),
        event("two", "4m", timeout),
    ];
    let problems = try_load(&text.concat(), &[]).expect_err("it is taken back out of turn");
    assert!(
        problems.contains("the routes of cart, which another event has changed before"),
        "{problems}"
    );
    // One that ends first, or changes something else, is fine.
    let text = text.concat();
    loaded(&text.replace("until = \"6m\"", ""));
    loaded(&text.replace("until = \"6m\"", "until = \"3m\""));
    let other =
        "do = \"patch\"\nobject = \"deployment/shop/cart-v1\"\npatch = \"{spec: {replicas: 3}}\"";
    loaded(&text.replace(timeout, other));
}

#[test]
fn a_condition_applies_what_the_manifests_of_the_start_become() {
    let when = format!(
        "[[event]]\nid = \"canary\"\nwhen = \"rate > 1rps for 1m\"\nnot_before = \"2m\"\n{}\n",
        apply("canary.yaml")
    );
    let run = run(&[when.clone(), expect("3m", "10m", FEW_TOO)].concat());
    assert_eq!(ledger(&run, "users", "cart"), "200 -: 11999");
    let two = [when, event("half", "4m", &apply("half.yaml"))].concat();
    let problems = try_load(&two, &[]).expect_err("a condition beside another one");
    assert!(problems.contains("`when` of an event that changes manifests"), "{problems}");
}

const NOBODY: &str = "do = \"apply\"\nmanifests = \"\"\"\napiVersion: security.istio.io/v1\n\
                      kind: AuthorizationPolicy\nmetadata: {name: nobody, namespace: shop}\n\
                      spec: {}\n\"\"\"\nfor = \"2m\"";

#[test]
fn a_policy_that_lets_nobody_in_holds_from_a_time_on() {
    let loaded = loaded(&event("nobody", "5m", NOBODY));
    assert_eq!(loaded.warnings, []);
    let run = run_plan(&loaded.plan);
    let refused = count(&run, "users", "cart", "403 -");
    assert!((2350..2450).contains(&refused), "{}", ledger(&run, "users", "cart"));
    assert_eq!(count(&run, "users", "cart", "200 -") + refused, 11_999);
}

#[test]
fn a_policy_arrives_with_a_push_at_proxies_that_know_few_services_too() {
    let egress = "[[service]]\nname = \"cart\"\negress = [\"web\"]\n";
    let down = "for = \"1m\"\ndo = \"fail\"\ntarget = \"istiod\"";
    let text = [
        egress.to_owned(),
        event("down", "4m30s", down),
        event("nobody", "5m", NOBODY),
        expect("0s", "5m30s", "success_rate == 100%"),
    ]
    .concat();
    let sets = ["mesh.webhook.validation_policy=ignore"];
    let plan = try_load(&text, &sets).unwrap_or_else(|problems| panic!("{problems}")).plan;
    let run = run_plan(&plan);
    let refused = count(&run, "users", "cart", "403 -");
    assert!((1500..1850).contains(&refused), "{}", ledger(&run, "users", "cart"));
}

#[test]
fn whatever_is_changed_when_obeys_the_laws_or_is_refused_for_its_order() {
    let parts = [
        apply("canary.yaml"),
        apply("half.yaml"),
        apply("stock.yaml"),
        NOBODY.replace("\nfor = \"2m\"", ""),
        "do = \"delete\"\nmanifests = \"canary.yaml\"".to_owned(),
        "do = \"delete\"\nobjects = [\"deployment/shop/cart-v2\"]".to_owned(),
        "do = \"delete\"\nobjects = [\"svc/cart\"]".to_owned(),
        "do = \"patch\"\nobject = \"deploy/cart-v1\"\npatch = \"{spec: {replicas: 0}}\"".to_owned(),
        "do = \"patch\"\nobject = \"deploy/web\"\npatch = \"{spec: {template: {spec: {x: 1}}}}\""
            .to_owned(),
    ];
    let (mut number, mut played) = (1_u64, 0);
    let mut draw = |below: u64| {
        number =
            number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) % below
    };
    for _ in 0..40 {
        let mut text = String::new();
        for place in 0..=draw(4) {
            let part = &parts[usize::try_from(draw(parts.len() as u64)).expect("small")];
            text += &event(&format!("e{place}"), &format!("{}s", draw(50)), part);
            if draw(2) == 0 {
                text = [text, format!("for = \"{}s\"\n", 1 + draw(40))].concat();
            }
        }
        match try_load(&text, &["scenario.duration=1m", "traffic.users.arrivals.constant=50rps"]) {
            Ok(loaded) => {
                played += 1;
                let run = play(&loaded.plan, Options::default());
                let total: u64 = run.outcomes.iter().map(|one| one.count).sum();
                assert!((2990..=3000).contains(&total), "{text}");
            }
            Err(problems) => {
                let is_known = ["at that time", "takes back while this one lasts"];
                assert!(
                    is_known.iter().any(|known| problems.contains(known)),
                    "{text}\n{problems}"
                );
            }
        }
    }
    assert!(10 < played, "{played}");
}
