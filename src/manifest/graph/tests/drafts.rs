//! Graphs into drafts: golden texts, names, mistakes of a person, what is asked.

use super::{Written, draft, golden, render, toml};
use crate::manifest::draft::Draft;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::graph::apply::apply;
use crate::manifest::graph::names::Index;
use crate::manifest::graph::{Graph, hints, isotope, rate_text, share_text, traces};
use crate::manifest::loaded::Loaded;

const SHOP: [&str; 4] =
    ["shop/web: web-v1", "shop/cart: cart-v1 cart-v2", "shop/stock: stock", "other/stock: stock"];

/// What becomes of a draft, with the notes and problems.
fn told(mut draft: Draft<'_>, graphs: &[Graph]) -> String {
    let notes = apply(graphs, &mut draft);
    let mut text = toml(&draft);
    for note in notes {
        text += &format!("note: {note}\n");
    }
    for problem in &draft.findings.problems {
        text += &format!("problem: {problem}\n");
    }
    text
}

/// Hints and a graph of isotope, read as manifests are.
fn by_hand(loaded: &mut Loaded, hints: &str, graph: &str) -> Vec<Graph> {
    let Loaded { manifests, .. } = loaded;
    let (sources, findings) = (&mut manifests.sources, &mut manifests.findings);
    let mut graphs = Vec::new();
    if !graph.is_empty() {
        graphs.push(isotope::read("graph.yaml", graph.as_bytes(), sources, findings));
    }
    if !hints.is_empty() {
        graphs.push(hints::read("hints.yaml", hints.as_bytes(), sources, findings));
    }
    graphs
}

/// Thirty requests: all go to the cart, by turns to its versions; a third asks for the stock.
fn shop() -> Graph {
    let mut lines = String::new();
    for n in 0..30_u64 {
        let at = n * 1_000_000;
        lines += &format!("{n:x} 1 - gw client {at} 9000 node_id=router~x\n");
        lines += &format!(
            "{n:x} 2 1 web.shop server {} {} http.method=POST http.target=/buy?x={n}\n",
            at + 100,
            5000 + 10 * n
        );
        lines += &format!(
            "{n:x} 3 2 web.shop client {} 1000 http.method=GET http.target=/cart\n",
            at + 200
        );
        lines += &format!("{n:x} 4 3 cart-v{} server {} {}\n", 1 + n % 2, at + 300, 500 + n);
        if n % 3 == 0 {
            lines +=
                &format!("{n:x} 5 4 cart-v{} client {} 100 db.system=redis\n", 1 + n % 2, at + 320);
            lines += &format!("{n:x} 6 2 web.shop client {} 400\n", at + 2000);
            lines +=
                &format!("{n:x} 7 6 stock.shop server {} 300 http.status_code=503\n", at + 2050);
        }
    }
    traces::read("dir/t.json", render(&lines, Written::Otlp).as_bytes()).unwrap()
}

#[test]
fn traces_fill_a_draft() {
    let loaded = Loaded::default();
    let mut shop_draft = draft(&loaded, &SHOP);
    let host = shop_draft.service("shop.example.com", None);
    let (mut route, mut rule, mut weights) = (Table::new(), Table::new(), Table::new());
    rule.set("prefix", Value::text("/buy"));
    weights.set("web/v1", Value::integer(100));
    route.set("match", rule).set("weights", weights);
    host.routes.push(route);
    golden("traces", &told(shop_draft, &[shop()]));
}

#[test]
fn a_person_is_believed_more_than_traces() {
    let hints = "
services:
  cart:
    time: {p50: 4ms, p99: 20ms}
    workers: 8
    errors: 1%
    calls: [stock.shop, {to: redis, probability: 50%, mode: parallel, required: false, path: /x, after: 2ms}]
  web: {time: 7ms, errors: {share: 0.5, status: 503}}
traffic:
- {to: web, rate: 100rps, path: /buy, method: POST}
- {to: cart, rate: 30/min, from: web}
- {to: cart, from: ingress}
";
    let mut loaded = Loaded::default();
    let mut graphs = vec![shop()];
    graphs.extend(by_hand(&mut loaded, hints, ""));
    assert_eq!(loaded.manifests.findings.problems, []);
    golden("hints", &told(draft(&loaded, &SHOP), &graphs));
}

#[test]
fn mistakes_in_hints_are_told_with_their_places() {
    let hints = "
services:
  crat: {time: 4ms}
  cart:
    tiem: 4ms
    time: {p50: 20ms, p99: 4ms}
    workers: 0
    errors: 101%
    calls: [stokc, {too: web}, {to: web, mode: paralel, probability: half}]
  web: {time: {p50: 3ms}, calls: web}
  stock: {time: 4}
traffic:
- {to: webb, rate: 100}
- {rate: 100rps}
- {to: web, from: cat}
servces: {}
";
    let mut loaded = Loaded::default();
    let graphs = by_hand(&mut loaded, hints, "");
    let mut text = String::new();
    for problem in
        loaded.manifests.findings.problems.iter().chain(&loaded.manifests.findings.warnings)
    {
        text += &format!("{problem}\n");
    }
    let mut draft = draft(&loaded, &SHOP);
    apply(&graphs, &mut draft);
    for problem in &draft.findings.problems {
        text += &format!("{problem}\n");
    }
    golden("hints_broken", &text);
}

const ISOTOPE: &str = "
apiVersion: v1alpha1
kind: MockServiceGraph
defaults:
  type: grpc
  requestSize: 1 KB
  responseSize: 16 KB
  numReplicas: 2
services:
- name: a
  isEntrypoint: true
  errorRate: 0.01%
  script:
  - sleep: 100ms
- name: b
  type: grpc
  numReplicas: 5
- name: c
  script:
  - call:
      service: a
      size: 10K
      probability: 25
  - call: b
- name: d
  isEntrypoint: true
  script:
  - sleep: 1ms
  - sleep: 2ms
  - - call: a
    - call: c
  - - call: b
    - call: b
    - sleep: 3ms
  - sleep: 10ms
  - call: b
";

#[test]
fn isotope_alone_makes_a_draft() {
    let mut loaded = Loaded::default();
    let graphs = by_hand(&mut loaded, "", ISOTOPE);
    assert_eq!(loaded.manifests.findings.problems, []);
    assert_eq!(loaded.manifests.findings.warnings, []);
    golden("isotope", &told(draft(&loaded, &[]), &graphs));
}

#[test]
fn mistakes_in_isotope_are_told() {
    let graph = "
defaults: {numReplica: 1}
services:
- name: a
  script:
  - {sleep: 10}
  - {cal: b}
  - call: {service: nowhere}
- {script: []}
- {name: a, errorRate: 200}
";
    let mut loaded = Loaded::default();
    let graphs = by_hand(&mut loaded, "", graph);
    by_hand(&mut loaded, "", "kind: Service\n");
    let mut text = String::new();
    for problem in
        loaded.manifests.findings.problems.iter().chain(&loaded.manifests.findings.warnings)
    {
        text += &format!("{problem}\n");
    }
    text += &told(draft(&loaded, &[]), &graphs);
    golden("isotope_broken", &text);
}

#[test]
fn traces_alone_make_a_draft() {
    // A browser's load generator, a front end, a service of gRPC, a database that only its client tells of.
    let mut lines = String::new();
    for n in 0..20_u64 {
        let at = n * 500_000;
        lines +=
            &format!("{n:x} 1 - loader client {at} 9000 http.method=GET http.url=http://edge/x\n");
        lines += &format!("{n:x} 2 1 edge server {} 5000\n", at + 100);
        lines += &format!(
            "{n:x} 3 2 edge client {} 3000 rpc.service=shop.Cart rpc.method=Get\n",
            at + 500
        );
        lines += &format!(
            "{n:x} 4 3 CartService server {} {} rpc.service=shop.Cart rpc.method=Get rpc.grpc.status_code={}\n",
            at + 600,
            2000 + n,
            14 * (n % 2)
        );
        lines +=
            &format!("{n:x} 5 4 CartService client {} 100 server.address=db_1:5432\n", at + 700);
    }
    let graph = traces::read("t.json", render(&lines, Written::Jaeger).as_bytes()).unwrap();
    let loaded = Loaded::default();
    golden("alone", &told(draft(&loaded, &[]), std::slice::from_ref(&graph)));
    // Manifests that do not have the front end: what it calls is called from outside.
    golden("partly", &told(draft(&loaded, &["shop/cartservice: cartservice"]), &[graph]));
}

#[test]
fn a_host_outside_answers_as_traces_show() {
    let lines = "a 1 - web server 0 900\na 2 1 web client 10 70 server.address=api.example.com";
    let graph = traces::read("t.json", render(lines, Written::Otlp).as_bytes()).unwrap();
    let loaded = Loaded::default();
    let mut draft = draft(&loaded, &["shop/web: web"]);
    draft.service("api.example.com", None);
    let text = told(draft, &[graph]);
    assert!(text.contains("name = \"api.example.com\"\nmeshed = false"), "{text}");
    assert!(
        text.contains("time = \"70us\" # assumed: mean of 1 span seen by its callers"),
        "{text}"
    );
}

#[test]
fn without_a_graph_it_is_asked_for() {
    let loaded = Loaded::default();
    golden("nothing", &told(draft(&loaded, &["shop/web: web", "shop/cart: cart"]), &[]));
}

#[test]
fn calls_that_go_round_are_broken() {
    let hints = "services: {web: {calls: [cart]}, cart: {calls: [web]}, stock.shop: {calls: [{to: web, probability: 0.5}]}}";
    let mut loaded = Loaded::default();
    let graphs = by_hand(&mut loaded, hints, "");
    let text = told(draft(&loaded, &SHOP), &graphs);
    assert!(text.contains("note: calls from `cart` to `web` would go round without end"), "{text}");
    assert_eq!(text.matches("calls = [").count(), 2, "{text}");
}

#[test]
fn services_are_found_by_all_their_names() {
    let loaded = Loaded::default();
    let draft = draft(&loaded, &SHOP);
    let index = Index::of(&draft);
    let found = |name: &str| match index.find(name) {
        Ok(target) => format!("{} {:?}", target.service, target.version.flatten()),
        Err(unknown) => format!("? {}", unknown.hint),
    };
    for name in [
        "web",
        "Web",
        "web.shop",
        "web.shop.svc",
        "web.shop.svc.cluster.local:9080",
        "http://web/x",
        "web.otel-demo",
        "web.shop.",
    ] {
        assert_eq!(found(name), "web None", "{name}");
    }
    assert_eq!(found("cart-v2"), "cart Some(\"v2\")");
    assert_eq!(found("cart-v1.shop"), "cart Some(\"v1\")");
    assert_eq!(found("stock.other"), "stock.other None");
    assert_eq!(found("stock"), "? it may be stock.other or stock.shop");
    assert_eq!(found("webb"), "? did you mean `web`?");
    assert_eq!(found("payment"), "? ");
}

#[test]
fn numbers_are_written_shortly() {
    let shares = [1.0, 0.5, 1.0 / 3.0, 0.0001, 0.000_012_345].map(share_text);
    assert_eq!(shares, ["100%", "50%", "33.33%", "0.01%", "0.001234%"]);
    let rates = [100.0, 1.0 / 3.0, 12_345.6, 0.001].map(rate_text);
    assert_eq!(rates, ["100rps", "0.3333rps", "12346rps", "3.6/h"]);
}
