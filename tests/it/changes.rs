//! What a route changes of requests, and what that decides further on.
//!
//! Source: Istio's `HTTPRewrite` and `Headers`; Envoy's router chooses the first endpoint before it changes
//! the request (`Filter::decodeHeaders`: the pool, then `finalizeRequestHeaders`).

use crate::support::{ledger, plan_with, run};

/// Users before a server whose sidecar denies what bears `x-odd`; 20 requests a second for 3 s.
fn guarded(traffic: &str, route: &str) -> String {
    let run = run(&format!(
        r#"
[scenario]
duration = "5s"
[[service]]
name = "server"
[[service.workload]]
time = "1ms"
[[service.route]]
{route}
[[filter]]
at = "server"
rbac = {{ action = "deny", policy = [{{ name = "odd", header = "x-odd" }}] }}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "20rps" }}
{traffic}
[[event]]
id = "no-more"
at = "3010ms"
do = "traffic"
target = "traffic:users"
factor = 0
"#
    ));
    ledger(&run, "users", "server")
}

#[test]
fn filters_of_the_next_sidecar_see_the_headers_that_a_route_makes() {
    let odd = "headers = { x-odd = \"1\" }";
    assert_eq!((guarded("", ""), guarded(odd, "")), ("200 -: 60".into(), "403 -: 60".into()));
    assert_eq!(guarded("", "headers = { set = { X-Odd = \"1\" } }"), "403 -: 60");
    assert_eq!(guarded("", "headers = { add = { x-odd = \"1\" } }"), "403 -: 60");
    assert_eq!(guarded(odd, "headers = { remove = [\"X-Odd\"] }"), "200 -: 60");
    // Only by the rule that is followed.
    let other = "match = { path = \"/other\" }\nheaders = { remove = [\"x-odd\"] }\n\
                 [[service.route]]\nname = \"rest\"";
    assert_eq!(guarded(odd, other), "403 -: 60");
}

/// A server of two pods, one of which fails, by a hash of the user; the route makes another user of it.
fn hashed(user: &str, becomes: Option<&str>, attempts: u32) -> String {
    let route = becomes.map_or(String::new(), |user| {
        format!("[[service.route]]\nheaders = {{ set = {{ x-user = \"{user}\" }} }}")
    });
    let run = run(&format!(
        r#"
[scenario]
duration = "5s"
[mesh]
profile = "none"
ingress.replicas = 1
[[service]]
name = "server"
hash_on = {{ header = "x-user" }}
circuit_breaker = {{ max_retries = 1000 }}
retries = {{ attempts = {attempts}, on = ["5xx"] }}
[[service.workload]]
version = "v1"
time = "1ms"
errors = {{ share = 1.0, status = 500 }}
[[service.workload]]
version = "v2"
time = "1ms"
{route}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
headers = {{ x-user = "{user}" }}
arrivals = {{ constant = "20rps" }}
[[event]]
id = "no-more"
at = "3010ms"
do = "traffic"
target = "traffic:users"
factor = 0
"#
    ));
    ledger(&run, "users", "server")
}

#[test]
fn the_first_try_is_hashed_before_the_change_and_retries_after_it() {
    let users: Vec<String> = (0..16).map(|number| format!("user-{number}")).collect();
    let of = |ends: &str| {
        users.iter().find(|user| hashed(user, None, 0) == ends).expect("each pod has some of 16")
    };
    let (bad, good) = (of("500 -: 60"), of("200 -: 60"));
    assert_eq!(hashed(bad, Some(good), 0), "500 -: 60");
    assert_eq!(hashed(good, Some(bad), 0), "200 -: 60");
    assert_eq!(hashed(bad, None, 1), "500 URX: 60");
    assert_eq!(hashed(bad, Some(good), 1), "200 -: 60");
}

#[test]
fn a_rewrite_leads_from_class_to_class() {
    let plan = plan_with(
        r#"
[scenario]
duration = "1s"
[[service]]
name = "server"
[[service.workload]]
time = "1ms"
[[service.route]]
match = [{ prefix = "/api/" }, { prefix = "/old/" }]
rewrite = { prefix = "/", authority = "shop" }
[[service.route]]
name = "rest"
rewrite = { path = "/lost" }
[[traffic]]
id = "one"
from = "ingress"
to = "server"
path = "/old/cart?user=1"
arrivals = { constant = "1rps" }
[[traffic]]
id = "two"
from = "ingress"
to = "server"
path = "/cart"
arrivals = { constant = "1rps" }
"#,
        &[],
    );
    let becomes = |number: usize| {
        let class = plan.traffic[number].class;
        let rule = plan.universe.routes[0].rule(class).expect("a rule");
        let class = &plan.universe.classes[rule.onward(class).index()];
        let host = class.headers.iter().find(|(name, _)| name == "host");
        (class.path.clone(), host.map(|(_, value)| value.clone()))
    };
    assert_eq!(becomes(0), ("/cart?user=1".into(), Some("shop".into())));
    assert_eq!(becomes(1), ("/lost".into(), None));
}

#[test]
fn a_header_names_the_cluster_of_a_request_or_nobody_does() {
    let source = |id: &str, path: &str, headers: &str| {
        format!(
            "[[traffic]]\nid = \"{id}\"\nfrom = \"ingress\"\nto = \"server\"\npath = \"{path}\"\n\
             headers = {{ {headers} }}\narrivals = {{ constant = \"10rps\" }}\n"
        )
    };
    let text = [
        "[scenario]\nduration = \"5s\"\n[mesh]\nprofile = \"istio-sidecar@1.28\"\n".to_owned(),
        "[[service]]\nname = \"server\"\n[[service.workload]]\nversion = \"v1\"\ntime = \"1ms\"\n"
            .to_owned(),
        "[[service.workload]]\nversion = \"v2\"\ntime = \"1ms\"\n".to_owned(),
        "[[service.route]]\nmatch = { prefix = \"/a\" }\ncluster_header = \"X-Cluster\"\n"
            .to_owned(),
        "[[service.route]]\n[[service]]\nname = \"other\"\n[[service.workload]]\ntime = \"1ms\"\n"
            .to_owned(),
        source("second", "/a", "x-cluster = \"server/v2\""),
        source("elsewhere", "/a", "x-cluster = \"other\""),
        source("unknown", "/a", "x-cluster = \"nobody\""),
        source("without", "/a", ""),
        source("unmatched", "/b", "x-cluster = \"nobody\""),
    ];
    let run = run(&text.concat());
    let ends = |id: &str| ledger(&run, id, "server").split(':').next().unwrap_or("").to_owned();
    assert_eq!(["second", "elsewhere", "unmatched"].map(ends), ["200 -", "200 -", "200 -"]);
    assert_eq!(["unknown", "without"].map(ends), ["503 NC", "503 NC"]);
    let versions = |id: &str| {
        let rows = run.outcomes.iter().filter(|row| row.source == id);
        rows.map(|row| row.version.as_str()).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(
        versions("second").into_iter().eq(["v2"]) && versions("elsewhere").into_iter().eq([""])
    );
    assert!(versions("unmatched").into_iter().eq(["v1", "v2"]));
}

/// The copies that each rule has for the values of its header stand behind all rules.
#[test]
fn two_rules_with_one_header_keep_apart() {
    let text = "[scenario]\nduration = \"5s\"\n[mesh]\nprofile = \"istio-sidecar@1.28\"\n\
                [[service]]\nname = \"server\"\n[[service.workload]]\nversion = \"v1\"\ntime = \"50ms\"\n\
                [[service.route]]\nmatch = { prefix = \"/a\" }\ncluster_header = \"x\"\ntimeout = \"10ms\"\n\
                [[service.route]]\ncluster_header = \"x\"\n\
                [[traffic]]\nid = \"a\"\nfrom = \"ingress\"\nto = \"server\"\npath = \"/a\"\n\
                headers = { x = \"server/v1\" }\narrivals = { constant = \"1rps\" }\n\
                [[traffic]]\nid = \"b\"\nfrom = \"ingress\"\nto = \"server\"\npath = \"/b\"\n\
                headers = { x = \"server/v1\" }\narrivals = { constant = \"1rps\" }\n";
    let run = run(text);
    let ends = |id: &str| ledger(&run, id, "server").split(':').next().unwrap_or("").to_owned();
    assert_eq!(["a", "b"].map(ends), ["504 UT", "200 -"]);
}
