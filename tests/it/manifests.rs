//! `meshsim route` and `meshsim lint` on the manifests that ship, from stdin, and for programs.

use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn meshsim(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    command.args(words.split_whitespace()).current_dir(crate::tree::root());
    command
}

fn run(words: &str) -> Output {
    meshsim(words).output().expect("meshsim ends")
}

fn json(words: &str) -> Value {
    let output = run(words);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words}: {error}"))
}

/// The shop in one of three meshes.
fn shop(mesh: &str) -> String {
    format!("scenarios/manifests/shop.yaml scenarios/manifests/shop-{mesh}.yaml")
}

fn shares(route: &Value) -> Vec<(f64, String)> {
    let destinations = route["route"]["destinations"].as_array().expect("destinations");
    let share = |to: &Value| {
        let workloads = to["workloads"].as_array().expect("workloads");
        (to["share"].as_f64().expect("a share"), workloads[0].as_str().expect("a name").to_owned())
    };
    destinations.iter().map(share).collect()
}

#[test]
fn the_shop_splits_its_requests_alike_in_all_three_meshes() {
    let (v1, v2) = ("cart-v1".to_owned(), "cart-v2".to_owned());
    for mesh in ["istio", "linkerd", "gateway-api"] {
        let asked = format!(
            "route --format json --manifests {} --from shop/web --url http://cart/items",
            shop(mesh)
        );
        let route = json(&asked);
        assert_eq!(route["mesh"], mesh);
        assert_eq!(route["problems"], Value::Array(Vec::new()), "{mesh}");
        assert_eq!(shares(&route), [(0.9, v1.clone()), (0.1, v2.clone())], "{mesh}");
        assert_eq!(route["route"]["timeout_ns"], 2_000_000_000_u64, "{mesh}");
        assert!(route["route"]["rule"]["line"].as_u64().is_some_and(|line| 1 < line), "{mesh}");
        let tester = Command::new(env!("CARGO_BIN_EXE_meshsim"))
            .args(asked.split_whitespace())
            .args(["-H", "x-tester: yes"])
            .current_dir(crate::tree::root())
            .output()
            .expect("meshsim ends");
        let tester = serde_json::from_slice(&tester.stdout).expect("JSON");
        assert_eq!(shares(&tester), [(1.0, v2.clone())], "{mesh}");
    }
}

#[test]
fn only_cart_may_ask_stock() {
    for mesh in ["istio", "linkerd"] {
        for (from, status) in [("web", Value::from(403)), ("cart-v1", Value::Null)] {
            let route = json(&format!(
                "route --format json --manifests {} --from shop/{from} --url http://stock/",
                shop(mesh)
            ));
            let failure = &route["route"]["destinations"][0]["failure"];
            assert_eq!(failure["status"], status, "{mesh}, {from}: {failure}");
        }
    }
}

#[test]
fn another_mesh_may_be_asked_for() {
    let route = json(&format!(
        "route --format json --mesh linkerd --manifests {} --from shop/web --url http://cart/",
        shop("istio")
    ));
    assert_eq!(route["mesh"], "linkerd");
    assert_eq!(route["route"]["rule"], Value::Null);
}

#[test]
fn gateways_are_asked_by_name_or_by_their_pods() {
    for who in ["edge", "shop/edge", "istio-system/istio-ingressgateway"] {
        let route = json(&format!(
            "route --format json --manifests {} --from gateway:{who} --url http://shop.example.com/",
            shop("istio")
        ));
        assert_eq!(route["route"]["destinations"][0]["service"], "web", "{who}");
    }
}

#[test]
fn what_is_not_simulated_is_told_to_people_and_programs() {
    let manifests = shop("istio");
    let told = json(&format!("lint --format json --manifests {manifests}"));
    let kinds = told["not_modelled"].as_object().expect("a map");
    let name =
        "EnvoyFilter shop/small-answers: INSERT_BEFORE HTTP_FILTER in SIDECAR_INBOUND (compressor)";
    let filter = &kinds[name];
    assert_eq!(kinds.len(), 1, "each is named once");
    assert_eq!(
        (&filter["file"], &filter["count"]),
        (&"scenarios/manifests/shop-istio.yaml".into(), &1.into())
    );
    let codes: Vec<&str> = told["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|finding| finding["code"].as_str())
        .collect();
    assert!(codes.contains(&"MSH0101"), "{codes:?}");
    let people = run(&format!("lint --manifests {manifests}"));
    let talk = String::from_utf8_lossy(&people.stderr).into_owned();
    assert!(talk.contains("Not simulated:\n"), "{talk}");
    assert_eq!(run(&format!("lint --quiet --manifests {manifests}")).stderr, b"");
}

#[test]
fn sarif_has_what_code_scanners_need() {
    let log = json(&format!("lint --format sarif --manifests {}", shop("istio")));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "meshsim");
    let results = run["results"].as_array().expect("results");
    assert!(results.iter().any(|one| one["ruleId"] == "MSH0101" && one["level"] == "warning"));
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["region"]["startLine"].as_u64().is_some_and(|line| 0 < line), "{result}");
        assert!(place["artifactLocation"]["uri"].is_string(), "{result}");
        assert!(result["message"]["text"].is_string(), "{result}");
    }
}

#[test]
fn stdin_is_read_beside_files() {
    let mut child = meshsim("lint --format json --manifests - scenarios/manifests/shop.yaml")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("meshsim starts");
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("meshsim ends");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["objects"], 10);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_closed_pipe_ends_lint_quietly() {
    for words in [
        "lint --quiet --manifests scenarios/manifests/shop.yaml",
        "lint -q --format sarif --manifests scenarios/manifests/shop.yaml",
    ] {
        let mut child = meshsim(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("meshsim starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("meshsim ends");
        assert_eq!(output.status.code(), Some(0), "{words}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words}");
    }
}

/// The codes that lint finds with some more words.
fn codes(words: &str) -> Vec<String> {
    let told = json(&format!("lint --format json --manifests {} {words}", shop("istio")));
    let found = told["findings"].as_array().expect("findings");
    found.iter().filter_map(|one| one["code"].as_str()).map(str::to_owned).collect()
}

/// Who calls whom, in the three forms in which it may be told: web asks cart, cart asks stock.
fn graphs(folder: &std::path::Path) -> [String; 3] {
    let hints = "services: {web: {calls: [cart]}, cart: {calls: [stock]}}\n";
    let isotope = "services:\n- {name: web, isEntrypoint: true, script: [{call: cart}]}\n\
                   - {name: cart, script: [{call: stock}]}\n- {name: stock}\n";
    let span = |id: u32, of: u32, from: u32, long: u32| {
        let above = format!(r#"{{"refType":"CHILD_OF","traceID":"a","spanID":"{of}"}}"#);
        let above = if of == 0 { String::new() } else { above };
        format!(
            r#"{{"traceID":"a","spanID":"{id}","operationName":"GET /","references":[{above}],
            "startTime":{from},"duration":{long},"processID":"p{id}","tags":[]}}"#
        )
    };
    let spans = [span(1, 0, 1000, 9000), span(2, 1, 2000, 7000), span(3, 2, 3000, 5000)].join(",");
    let processes =
        r#"{"p1":{"serviceName":"web"},"p2":{"serviceName":"cart"},"p3":{"serviceName":"stock"}}"#;
    let jaeger =
        format!(r#"{{"data":[{{"traceID":"a","spans":[{spans}],"processes":{processes}}}]}}"#);
    [("--hints", hints), ("--isotope", isotope), ("--traces", &*jaeger)].map(|(option, text)| {
        let file = folder.join(&option[2..]);
        std::fs::write(&file, text).expect("a file");
        format!("{option} {}", file.display())
    })
}

#[test]
fn lint_finds_more_when_it_is_told_who_calls_whom() {
    let plain = codes("");
    assert!(!plain.iter().any(|code| code == "MSH0109"), "{plain:?}");
    let folder = tempfile::tempdir().expect("a folder");
    for told in graphs(folder.path()) {
        let found = codes(&told);
        assert!(found.iter().any(|code| code == "MSH0109"), "{told}: {found:?}");
    }
    let log = json(&format!(
        "lint --format sarif --manifests {} --hints scenarios/hints/shop.yaml --outage 12h",
        shop("istio")
    ));
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules");
    for code in ["MSH0109", "MSH0111"] {
        assert!(rules.iter().any(|rule| rule["id"] == code), "{code}: {rules:?}");
    }
}

#[test]
fn lint_asks_whether_certificates_survive_an_outage() {
    let has = |words: &str| codes(words).iter().any(|code| code == "MSH0111");
    assert!(!has("") && !has("--outage 11h") && has("--outage 12h"));
    let wrong = run("lint --manifests scenarios/manifests/shop.yaml --outage soon");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_mistake_in_hints_is_told_by_lint_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hints.yaml");
    std::fs::write(&file, "services:\n  web: {calls: [crat]}\n").expect("a file");
    let words = format!("lint --manifests {} --hints {}", shop("istio"), file.display());
    let output = run(&words);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(talk.contains("hints.yaml:2:17") && talk.contains("did you mean `cart`?"), "{talk}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn filters_of_a_gateway_go_where_no_traffic_comes_from_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                  metadata: {name: closed, namespace: istio-system}\n\
                  spec: {action: DENY, selector: {matchLabels: {istio: ingressgateway}}, rules: [{}]}\n";
    std::fs::write(folder.path().join("closed.yaml"), policy).expect("a file");
    let root = crate::tree::root();
    let manifests = format!(
        "[[manifests]]\npath = [\"{0}/shop.yaml\", \"{0}/shop-istio.yaml\", \"closed.yaml\"]\n",
        root.join("scenarios/manifests").display()
    );
    let planned = |from: &str, to: &str, more: &str| {
        let head = "# Nothing.\n[scenario]\nduration = \"1m\"\n";
        let traffic = format!(
            "[[traffic]]\nid = \"users\"\nfrom = \"{from}\"\nto = \"{to}\"\narrivals = {{ constant = \"1rps\" }}\n"
        );
        let file = folder.path().join("s.toml");
        std::fs::write(&file, format!("{head}{manifests}{traffic}{more}")).expect("a file");
        let output = run(&format!("plan {}", file.display()));
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), talk)
    };
    let (status, plan, talk) = planned("ingress", "web", "");
    assert_eq!(status, Some(0), "{talk}");
    assert!(plan.contains("closed.yaml:"), "{plan}");
    let (status, plan, talk) = planned("web", "cart", "");
    assert_eq!(status, Some(0), "{talk}");
    assert!(!plan.contains("closed.yaml:"), "{plan}");
    let own = "[[filter]]\nat = \"ingress\"\nlocal_rate_limit = { max_tokens = 5, fill_interval = \"1s\" }\n";
    let (status, _, talk) = planned("web", "cart", own);
    assert_eq!(status, Some(2), "{talk}");
}

#[test]
fn import_says_how_to_get_a_mesh_and_what_it_assumes_of_proxies() {
    let import = |words: &str| {
        let output = run(&format!("import --manifests scenarios/manifests/shop.yaml {words}"));
        let (out, talk) = (output.stdout, output.stderr);
        (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&talk).into_owned())
    };
    let (text, talk) = import("");
    assert!(text.contains("profile = \"none\"") && talk.contains("--mesh istio"), "{talk}");
    let (text, talk) = import("--mesh istio");
    assert!(text.contains("istio-sidecar@"), "{text}");
    assert!(talk.contains("no namespace asks for proxies"), "{talk}");
    let (_, talk) = import("scenarios/manifests/shop-istio.yaml");
    assert!(!talk.contains("no namespace asks for proxies"), "{talk}");
}
