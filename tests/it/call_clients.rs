//! Clients that apps have for their calls, in a whole world: counts against what the settings say.
//!
//! Source: `world/app_sends.rs`; measured on Envoy 1.40 (family e06) for what proxies log.

use crate::support::{count, ledger, plan_with, play, run, run_with, try_plan};
use meshsim::check::assert::judge;
use meshsim::check::judgement::Verdict;
use meshsim::observe::run::Run;
use meshsim::world::options::Options;
use std::fmt::Write as _;

/// Ten users a second for ten seconds, 99 in all; a shop that calls stock, which fails, and then
/// prices. Proxies send nothing again, so that all sends are the shop's.
const MESH: &str = r#"
[scenario]
duration = "60s"
interval = "1s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "shop"
retries = { attempts = 0 }
[[service.workload]]
workers = 1000
time = "1ms"
calls = [{ to = "stock", required = false }, { to = "prices" }]
client = { attempts = 2 }
[[service]]
name = "stock"
retries = { attempts = 0 }
[[service.workload]]
workers = 1000
time = "1ms"
errors = "100%"
[[service]]
name = "prices"
[[service.workload]]
workers = 1000
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "shop"
arrivals = { constant = { steps = [["0s", "10rps"], ["10s", "0rps"]] } }
"#;

/// Stock takes a second and does not fail.
const SLOW: [&str; 2] = ["service.stock.time=1s", "service.stock.errors=0"];

/// Requests that an app has had, and the longest stay in milliseconds.
fn sojourns(run: &Run, workload: &str) -> (u64, u64) {
    let row = run.stations.iter().find(|row| row.workload == workload).expect("a station");
    (row.sojourn.count(), row.sojourn.max_ns() / 1_000_000)
}

fn event(id: &str, at: &str, what: &str) -> String {
    format!("[[event]]\nid = \"{id}\"\nat = \"{at}\"\n{what}\n")
}

#[test]
fn what_fails_is_sent_again_and_is_one_call() {
    for attempts in [1, 2, 5] {
        let run = run_with(MESH, &[&format!("service.shop.client.attempts={attempts}")]);
        assert_eq!(ledger(&run, "users", "shop"), "200 -: 99");
        assert_eq!(ledger(&run, "shop", "stock"), "500 -: 99");
        assert_eq!(ledger(&run, "shop", "prices"), "200 -: 99");
        assert_eq!(sojourns(&run, "stock").0, 99 * (1 + attempts));
        assert_eq!(sojourns(&run, "prices").0, 99, "what is well is sent once");
        let counts = run.attempts;
        assert_eq!((counts.calls, counts.total), (3 * 99, (3 + attempts) * 99));
        assert_eq!(counts.retries, attempts * 99);
        assert_eq!(run.series.iter().map(|row| row.retries).sum::<u64>(), attempts * 99);
    }
}

#[test]
fn a_request_waits_for_the_last_send_of_its_calls() {
    let client = r#"service.shop.client={ attempts = 2, backoff_base = "100ms", jitter = "none" }"#;
    for mode in ["sequential", "parallel"] {
        let calls = format!(
            r#"service.shop.calls=[{{ to = "stock", mode = "{mode}", required = false }}, {{ to = "prices", mode = "{mode}" }}]"#
        );
        let run = run_with(MESH, &[client, &calls]);
        assert_eq!(ledger(&run, "users", "shop"), "200 -: 99");
        assert_eq!((sojourns(&run, "stock").0, sojourns(&run, "prices").0), (3 * 99, 99));
        // Waits of 100 and 200 ms, and some hops.
        let (_, longest) = sojourns(&run, "shop");
        assert!((300..330).contains(&longest), "{mode}: {longest} ms at the shop");
    }
}

/// Goal: retries of apps multiply. Method: three apps in a row, each of which sends three times; the last
/// calls a leaf that fails. Then the sidecar in front of the leaf tries twice.
#[test]
fn three_apps_in_a_row_that_send_three_times_make_twenty_seven() {
    let mut text = String::from("[scenario]\nduration = \"30s\"\n");
    for (name, app) in [
        ("a", "calls = [{ to = \"b\" }]\nclient = { attempts = 2 }"),
        ("b", "calls = [{ to = \"c\" }]\nclient = { attempts = 2 }"),
        ("c", "calls = [{ to = \"leaf\" }]\nclient = { attempts = 2 }"),
        ("leaf", "errors = \"100%\""),
    ] {
        let _ = write!(
            text,
            "[[service]]\nname = \"{name}\"\nretries = {{ attempts = 0 }}\n[[service.workload]]\n\
             workers = 1000\ntime = \"1ms\"\n{app}\n"
        );
    }
    text += "[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"a\"\n\
             arrivals = { constant = { steps = [[\"0s\", \"10rps\"], [\"10s\", \"0rps\"]] } }\n\
             [[assert]]\nname = \"to the leaf\"\nwhere = { source = \"c\", destination = \"leaf\" }\n\
             expect = \"retry_ratio == 3\"\n";
    for profile in ["istio-sidecar@1.28", "none"] {
        let plan = plan_with(&text, &[&format!("mesh.profile={profile}")]);
        let run = play(&plan, Options::default());
        assert!(judge(&plan, &run).iter().all(|one| one.verdict == Verdict::Pass));
        assert_eq!(ledger(&run, "users", "a"), "500 -: 99");
        let had = ["a", "b", "c", "leaf"].map(|name| sojourns(&run, name).0 / 99);
        assert_eq!(had, [1, 3, 9, 27], "{profile}");
        // Calls and attempts of users, a, b and c.
        assert_eq!(run.attempts.calls, (1 + 1 + 3 + 9) * 99);
        assert_eq!(run.attempts.total, (1 + 3 + 9 + 27) * 99);
        assert_eq!(run.series.iter().map(|row| row.retries).sum::<u64>(), (2 + 6 + 18) * 99);
    }
    let retries = r#"service.leaf.retries={ attempts = 1, on = "5xx" }"#;
    let run = run_with(&text, &[retries]);
    assert_eq!(sojourns(&run, "leaf").0, 54 * 99, "those of proxies multiply with them");
    assert_eq!(run.attempts.total, (1 + 3 + 9 + 54) * 99);
}

#[test]
fn who_takes_too_long_is_left_and_works_on() {
    let client = r#"service.shop.client={ timeout = "200ms", attempts = 2 }"#;
    for (profile, protocol, ended) in [
        ("istio-sidecar@1.28", "http1", "0 DC: 99"),
        ("istio-sidecar@1.28", "http2", "0 DR: 99"),
        ("none", "http1", "0 DC: 99"),
    ] {
        let profile = format!("mesh.profile={profile}");
        let protocol = format!("service.stock.protocol={protocol}");
        let run = run_with(MESH, &[&SLOW[..], &[client, &profile, &protocol]].concat());
        assert_eq!(ledger(&run, "shop", "stock"), ended);
        assert_eq!(ledger(&run, "users", "shop"), "200 -: 99");
        let (_, longest) = sojourns(&run, "shop");
        assert!((600..620).contains(&longest), "three times 200 ms, not {longest} ms");
        let (stocks, longest) = sojourns(&run, "stock");
        assert_eq!(stocks, 3 * 99, "work for nobody");
        assert!((1000..=1001).contains(&longest), "{longest} ms at the stock");
    }
}

#[test]
fn who_is_left_and_passes_that_on_leaves_its_own_calls() {
    let chain = r#"service.stock.calls=[{ to = "prices" }]"#;
    let client = r#"service.shop.client={ timeout = "200ms", attempts = 1 }"#;
    let only = r#"service.shop.calls=[{ to = "stock" }]"#;
    let sets = [only, client, chain, "service.stock.errors=0", "service.prices.time=1s"];
    let stays = run_with(MESH, &sets);
    assert_eq!(ledger(&stays, "users", "shop"), "500 -: 99", "a required call that is left fails");
    assert_eq!(ledger(&stays, "stock", "prices"), "200 -: 198");
    let cancels = run_with(MESH, &[&sets[..], &["service.stock.cancels_calls=true"]].concat());
    assert_eq!(ledger(&cancels, "stock", "prices"), "0 DC: 198");
}

#[test]
fn a_client_that_waits_long_enough_changes_nothing() {
    let well = "service.stock.errors=0";
    let with = run_with(MESH, &[well, r#"service.shop.client={ timeout = "30s", attempts = 3 }"#]);
    let none =
        "service.shop.calls=[{ to = \"stock\", client = {} }, { to = \"prices\", client = {} }]";
    let without = run_with(MESH, &[well, none]);
    assert_eq!(with.digest, without.digest, "the timers of clients are cancelled");
    assert_eq!(with.latency.sum_ns(), without.latency.sum_ns());
}

#[test]
fn a_call_has_a_client_of_its_own_or_that_of_all() {
    let fails = "service.prices.errors=100%";
    let calls = |stock: &str| {
        format!(
            r#"service.shop.calls=[{{ to = "stock", required = false{stock} }}, {{ to = "prices" }}]"#
        )
    };
    let had = |stock: &str| {
        let run = run_with(MESH, &[fails, &calls(stock)]);
        (sojourns(&run, "stock").0, sojourns(&run, "prices").0)
    };
    assert_eq!(had(""), (3 * 99, 3 * 99));
    assert_eq!(had(", client = { attempts = 4 }"), (5 * 99, 3 * 99));
    assert_eq!(had(", client = {}"), (99, 3 * 99));
}

/// Goal: a bucket is a process's. Method: buckets that nothing fills, so that the sends after the first
/// ones count them: one a pod, shared by its requests and calls; one more for a call with its own.
#[test]
fn a_bucket_belongs_to_a_pod_and_to_the_calls_that_share_it() {
    let fails = "service.prices.errors=100%";
    let bucket = "{ attempts = 3, bucket = { size = 5, deposit = 0 } }";
    let client = format!("service.shop.client={bucket}");
    let calls = r#"service.shop.calls=[{ to = "stock", required = false }, { to = "prices" }]"#;
    let own = format!(
        r#"service.shop.calls=[{{ to = "stock", required = false, client = {bucket} }}, {{ to = "prices" }}]"#
    );
    for (replicas, calls, buckets) in [(1, calls, 1), (2, calls, 2), (1, &own, 2), (2, &own, 4)] {
        let replicas = format!("service.shop.replicas={replicas}");
        let run = run_with(MESH, &[fails, &client, &replicas, calls]);
        let sends = sojourns(&run, "stock").0 + sojourns(&run, "prices").0;
        assert_eq!(sends, 2 * 99 + 5 * buckets, "{replicas}, {calls}");
    }
    let filled = "service.shop.client={ attempts = 3, bucket = { size = 5, deposit = 0.5 } }";
    // The deposits of 198 calls, and what was there at first.
    let run = run_with(MESH, &[fails, filled]);
    let sends = sojourns(&run, "stock").0 + sojourns(&run, "prices").0;
    assert!(sends.abs_diff(198 + 99 + 5) <= 3, "{sends} sends");
}

#[test]
fn a_breaker_stops_what_fails_in_its_pod() {
    let breaker = "service.shop.client={ attempts = 3, breaker = { share = \"10%\" } }";
    // Each pod's first call fails, which is more than a tenth of the calls so far.
    assert_eq!(sojourns(&run_with(MESH, &[breaker]), "stock").0, 99);
    // Fewer sends fail than there are calls: but for the first ones all of those are sent again.
    let wide = "service.shop.client={ attempts = 3, breaker = { share = \"100%\" } }";
    let half = run_with(MESH, &[wide, "service.stock.errors=30%"]);
    let sends = sojourns(&half, "stock").0;
    assert!((99 + 25..99 + 60).contains(&sends), "{sends} sends, about 99 / 0.7 expected");
}

/// Goal: what an app owes ends with it, and it begins anew. Method: long waits without chance, so that
/// the sends of requests before and after a restart of the shop can be counted.
#[test]
fn an_app_that_ends_owes_nothing_and_begins_with_a_full_bucket() {
    let client = r#"service.shop.client={ attempts = 3, backoff_base = "2s", jitter = "none" }"#;
    let restart = event("restart", "5s", "do = \"restart\"\ntarget = \"service:shop\"");
    let run = run_with(&format!("{MESH}{restart}"), &[client]);
    assert_eq!(run.requests.total, 99);
    // Those of 0.1 to 4.9 s were sent once, those up to 2.9 s once more; 6 s later is after the end.
    let after = count(&run, "shop", "stock", "500 -");
    assert!((20..50).contains(&after), "{}", ledger(&run, "shop", "stock"));
    assert_eq!(sojourns(&run, "stock").0, 49 + 29 + 4 * after);
    let bucket = "service.shop.client={ attempts = 3, bucket = { size = 5, deposit = 0 } }";
    let run = run_with(&format!("{MESH}{restart}"), &[bucket]);
    let calls = count(&run, "shop", "stock", "500 -");
    assert_eq!(sojourns(&run, "stock").0, calls + 2 * 5, "a bucket of each incarnation");
}

/// As above; only the app ends, and its sidecar answers for it.
#[test]
fn an_app_that_ends_under_its_sidecar_owes_nothing() {
    let client = r#"service.shop.client={ attempts = 3, backoff_base = "2s", jitter = "none" }"#;
    let fail = "for = \"1s\"\ndo = \"fail\"\ntarget = \"service:shop\"\npart = \"app\"";
    let run = run_with(&format!("{MESH}{}", event("fail", "5s", fail)), &[client]);
    let after = count(&run, "shop", "stock", "500 -");
    assert!((30..50).contains(&after), "{}", ledger(&run, "shop", "stock"));
    assert_eq!(sojourns(&run, "stock").0, 49 + 29 + 4 * after);
    // A send in flight ends with nobody to tell, and is sent once.
    let slow = [&SLOW[..], &[r#"service.shop.client={ timeout = "5s", attempts = 3 }"#]].concat();
    let run = run_with(&format!("{MESH}{}", event("fail", "5s", fail)), &slow);
    let had = sojourns(&run, "stock").0;
    assert_eq!(count(&run, "shop", "stock", "200 -"), had, "{}", ledger(&run, "shop", "stock"));
}

#[test]
fn a_request_that_is_left_leaves_its_sends_and_owes_none() {
    let leaves = "traffic.users.client={ timeout = \"200ms\" }";
    let cancels = "service.shop.cancels_calls=true";
    let in_flight = [&SLOW[..], &[leaves, cancels]].concat();
    let run = run_with(MESH, &in_flight);
    assert_eq!(ledger(&run, "users", "shop"), "0 DC: 99");
    assert_eq!(ledger(&run, "shop", "stock"), "0 DC: 99");
    assert_eq!(sojourns(&run, "stock").0, 99, "not sent again");
    let waits = r#"service.shop.client={ attempts = 2, backoff_base = "10s", jitter = "none" }"#;
    let run = run_with(MESH, &[waits, leaves, cancels]);
    assert_eq!(ledger(&run, "shop", "stock"), "500 -: 99", "as the send ended");
    assert_eq!(ledger(&run, "shop", "prices"), "");
    let (shops, longest) = sojourns(&run, "shop");
    assert_eq!((shops, sojourns(&run, "stock").0), (99, 99));
    assert!((195..=201).contains(&longest), "{longest} ms at the shop");
    let stays = run_with(MESH, &[waits, leaves]);
    assert_eq!(sojourns(&stays, "stock").0, 3 * 99, "for nobody");
}

#[test]
fn calls_at_once_all_end_with_their_request() {
    let calls = r#"service.shop.calls=[{ to = "stock", mode = "parallel" }, { to = "prices", mode = "parallel", client = { attempts = 1, backoff_base = "10s", jitter = "none" } }, { to = "stock", mode = "parallel", client = {} }]"#;
    let sets = [
        calls,
        "traffic.users.client={ timeout = \"200ms\" }",
        "service.shop.cancels_calls=true",
        "service.prices.errors=100%",
    ];
    let run = run_with(MESH, &[&SLOW[..], &sets].concat());
    assert_eq!(ledger(&run, "shop", "stock"), "0 DC: 198");
    assert_eq!(ledger(&run, "shop", "prices"), "500 -: 99");
    let (shops, longest) = sojourns(&run, "shop");
    assert_eq!((shops, sojourns(&run, "prices").0), (99, 99));
    assert!((195..=201).contains(&longest), "{longest} ms at the shop");
}

#[test]
fn an_app_that_stands_still_sends_when_it_goes_on() {
    let client = r#"service.shop.client={ attempts = 1, backoff_base = "2s", jitter = "none" }"#;
    let freeze =
        event("freeze", "9950ms", "for = \"5s\"\ndo = \"freeze\"\ntarget = \"service:shop\"");
    let with = run_with(&format!("{MESH}{freeze}"), &[client]);
    let without = run_with(MESH, &[client]);
    for run in [&with, &without] {
        assert_eq!(sojourns(run, "stock").0, 2 * 99);
    }
    // That of 8 s is to be sent again at 10 s, and is when the shop goes on, at 14.95 s.
    let (frozen, usual) = (sojourns(&with, "shop").1, sojourns(&without, "shop").1);
    assert!((2000..2020).contains(&usual), "{usual} ms");
    assert!((6950..6970).contains(&frozen), "{frozen} ms");
}

/// Goal: laws hold where pods end or stand still under calls with clients. Method: the shop and the stock
/// restart and freeze while requests are sent, left, waited for and sent again; the audit counts.
#[test]
fn books_are_kept_when_pods_end_or_freeze_under_such_calls() {
    let mut text = MESH.to_owned();
    for (id, at, what) in [
        ("a", "2s", "do = \"restart\"\ntarget = \"service:shop\""),
        ("b", "4s", "for = \"1s\"\ndo = \"freeze\"\ntarget = \"service:shop\""),
        ("c", "6s", "do = \"rollout\"\ntarget = \"service:shop\""),
        ("d", "7s", "do = \"restart\"\ntarget = \"service:stock\""),
        ("e", "8s", "for = \"1s\"\ndo = \"fail\"\ntarget = \"service:shop\"\npart = \"app\""),
    ] {
        text += &event(id, at, what);
    }
    let client =
        r#"service.shop.client={ timeout = "300ms", attempts = 5, backoff_base = "200ms" }"#;
    for profile in ["istio-sidecar@1.28", "none"] {
        for cancels in ["true", "false"] {
            let run = run_with(
                &text,
                &[
                    client,
                    "service.stock.time={ exponential = \"300ms\" }",
                    "service.stock.errors=30%",
                    "service.shop.replicas=2",
                    "traffic.users.client={ timeout = \"900ms\", attempts = 1 }",
                    &format!("mesh.profile={profile}"),
                    &format!("service.shop.cancels_calls={cancels}"),
                ],
            );
            assert_eq!(run.requests.total, 99);
            let retries: u64 = run.series.iter().map(|row| row.retries).sum();
            assert!(60 < retries, "{profile} {cancels}: {retries}");
        }
    }
}

#[test]
fn a_plan_without_such_clients_is_what_it_was() {
    let without = MESH.replace("client = { attempts = 2 }\n", "");
    let plain = plan_with(&without, &[]);
    assert!(plain.call_clients.is_empty());
    assert_ne!(plain.digest(), plan_with(MESH, &[]).digest());
    let sampled = "[sampling]\nevery = \"20s\"\nwindow = \"1s\"\n";
    let refused = try_plan(&format!("{MESH}{sampled}"), &[]).expect_err("a sampled run");
    assert!(refused.contains("a `client` in a sampled run"), "{refused}");
    run(&without);
}
