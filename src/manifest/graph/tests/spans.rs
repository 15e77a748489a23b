//! Spans into graphs, with answers computed by hand.

use super::{Written, render};
use crate::manifest::graph::{Call, Graph, Mode, Work, traces};

/// The graph of a table of spans; that of all formats, which must be the same.
fn graph(lines: &str) -> Graph {
    let all = [Written::Jaeger, Written::Otlp, Written::Zipkin];
    let [jaeger, otlp, zipkin] = all.map(|format| {
        let text = render(lines, format);
        traces::read("t.json", text.as_bytes())
            .unwrap_or_else(|problem| panic!("{problem}\n{text}"))
    });
    assert_eq!(jaeger, otlp);
    assert_eq!(jaeger, zipkin);
    jaeger
}

fn work(graph: &Graph, name: &str) -> Work {
    graph.nodes[name].work.as_ref().unwrap().value
}

fn told(call: &Call) -> String {
    let mode = if call.mode == Mode::Parallel { " beside" } else { "" };
    let path = call.path.as_deref().unwrap_or("");
    let after = if call.after_ns.is_some() { " ;" } else { "" };
    let required = if call.required { "" } else { " optional" };
    format!("{} > {} {}{path}{mode}{required}{after}", call.from, call.to, call.probability)
}

fn calls(graph: &Graph) -> Vec<String> {
    graph.calls.iter().map(told).collect()
}

fn notes(graph: &Graph) -> Vec<&str> {
    graph.notes.iter().map(|note| note.what.as_str()).collect()
}

#[test]
fn own_time_is_what_is_left_without_the_calls() {
    // web works 100 µs, of which it waits from 10 to 50 and from 40 to 70: 40 are its own.
    let graph = graph(
        "a 1 - web server 0 100
         a 2 1 web client 10 40
         a 3 2 cart server 15 30
         a 4 1 web client 40 30
         a 5 4 stock server 45 20",
    );
    assert_eq!(work(&graph, "web"), Work::Constant(40_000));
    assert_eq!(work(&graph, "cart"), Work::Constant(30_000));
    assert_eq!(calls(&graph), ["web > cart 1 beside", "web > stock 1 beside"]);
    assert_eq!(graph.entries.len(), 1);
    assert_eq!((graph.entries[0].to.as_str(), graph.entries[0].rate_per_s), ("web", None));
    assert_eq!(graph.notes, []);
}

#[test]
fn sidecars_are_not_counted_beside_their_apps() {
    // A gateway, then at each service the proxy's server span, the app's, and on the way out the app's
    // client span and the proxy's.
    let graph = graph(
        "a 1 - istio-ingressgateway.istio-system client 0 1000 node_id=router~10.0.0.1~gw
         a 2 1 web.shop server 20 900 component=proxy
         a 3 2 web server 50 800 http.method=GET http.target=/page?x=1
         a 4 3 web internal 100 500
         a 5 4 web client 150 400
         a 6 5 web.shop client 170 360 component=proxy upstream_cluster=outbound|80||cart.shop.svc.cluster.local
         a 7 6 cart.shop server 200 300 component=proxy
         a 8 7 cart server 210 280",
    );
    assert_eq!(calls(&graph), ["web.shop > cart.shop 1"]);
    assert_eq!(work(&graph, "web.shop"), Work::Constant(400_000), "800 without its client's 400");
    assert_eq!(work(&graph, "cart.shop"), Work::Constant(280_000));
    assert!(graph.nodes["istio-ingressgateway.istio-system"].is_gateway);
    assert_eq!((graph.entries.len(), graph.entries[0].to.as_str()), (1, "web.shop"));
    assert_eq!(graph.entries[0].from, None);
}

#[test]
fn two_spans_a_proxy_are_still_one_visit() {
    // Envoy with spawn_upstream_span: in and out of each proxy. App spans at web only.
    let graph = graph(
        "a 1 - web.shop server 0 1000 component=proxy upstream_cluster=inbound|80||
         a 2 1 web.shop client 10 980 component=proxy upstream_cluster=inbound|80||
         a 3 2 web server 20 960
         a 4 3 web client 100 500
         a 5 4 web.shop server 110 480 component=proxy upstream_cluster=outbound|80||cart.shop.svc.cluster.local
         a 6 5 web.shop client 120 460 component=proxy upstream_cluster=outbound|80||cart.shop.svc.cluster.local
         a 7 6 cart.shop server 130 440 component=proxy upstream_cluster=inbound|80||
         a 8 7 cart.shop client 140 420 component=proxy upstream_cluster=inbound|80||",
    );
    assert_eq!(calls(&graph), ["web.shop > cart.shop 1"]);
    assert_eq!(work(&graph, "web.shop"), Work::Constant(460_000));
    assert_eq!(work(&graph, "cart.shop"), Work::Constant(440_000));
    assert_eq!(graph.notes, []);
}

#[test]
fn linkerds_proxies_are_passed_over() {
    let graph = graph(
        "a 1 - linkerd-proxy server 0 1000
         a 2 1 web server 20 900
         a 3 2 web client 100 500
         a 4 3 linkerd-proxy client 110 480
         a 5 4 linkerd-proxy server 120 460
         a 6 5 cart server 130 440",
    );
    assert_eq!(calls(&graph), ["web > cart 1"]);
    assert_eq!(
        (work(&graph, "web"), work(&graph, "cart")),
        (Work::Constant(400_000), Work::Constant(440_000))
    );
    assert_eq!(graph.entries.len(), 1);
    assert_eq!(notes(&graph), ["t.json: 3 spans are of Linkerd's proxies, which say not whose"]);
}

#[test]
fn each_further_call_of_a_request_has_its_own_probability() {
    // Two of four requests call once, one twice, one not at all.
    let mut lines = String::new();
    for (trace, count) in [("a", 1), ("b", 1), ("c", 2), ("d", 0)] {
        lines += &format!("{trace} 1 - web server 0 1000\n");
        for call in 0..count {
            let (id, start) = (10 + call, 100 + 200 * call);
            lines += &format!(
                "{trace} {id} 1 web client {start} 100 http.method=GET http.url=http://cart:80/c\n"
            );
            lines += &format!("{trace} {id}f {id} cart server {start} 90\n");
        }
    }
    assert_eq!(calls(&graph(&lines)), ["web > cart 0.75/c", "web > cart 0.25/c"]);
}

#[test]
fn groups_of_parallel_calls_stay_apart() {
    // a and b together, then c and d together, then e.
    let graph = graph(
        "a 1 - web server 0 1000
         a 2 1 web client 10 100 peer.service=a
         a 3 1 web client 12 100 peer.service=b
         a 4 1 web client 200 100 peer.service=c
         a 5 1 web client 210 100 peer.service=d
         a 6 1 web client 400 100 peer.service=e",
    );
    let expected = [
        "web > a 1 beside",
        "web > b 1 beside ;",
        "web > c 1 beside",
        "web > d 1 beside",
        "web > e 1",
    ];
    assert_eq!(calls(&graph), expected);
    assert!(graph.nodes["e"].is_outside);
    assert_eq!(work(&graph, "e"), Work::Constant(100_000), "what its caller waits for");
    assert_eq!(work(&graph, "web"), Work::Constant((1000 - 102 - 110 - 100) * 1000));
}

#[test]
fn quantiles_are_taken_from_enough_spans() {
    let spans = |count: u64| {
        let line = |n: u64| format!("{n:x} 1 - web server {} {n}\n", n * 100_000);
        graph(&(1..=count).map(line).collect::<String>())
    };
    // Of 1 to 100 µs the 50th and the 99th by rank; 100 requests within 9.9 s.
    let many = spans(100);
    assert_eq!(work(&many, "web"), Work::Lognormal(50_000, 99_000));
    assert_eq!(many.entries[0].rate_per_s, Some(100.0 / 9.9));
    assert_eq!(work(&spans(9), "web"), Work::Constant(5_000), "the mean of few");
}

#[test]
fn own_failures_are_told_from_those_passed_on() {
    let mut lines = String::new();
    for trace in 1..=10 {
        // The first five calls fail: web passes the first on, and is fine without the others.
        let (fails, passed_on) = (trace <= 5, trace == 1);
        let own = trace == 10;
        let status = if passed_on || own { 500 } else { 200 };
        lines += &format!("{trace:x} 1 - web server 0 100 http.status_code={status}\n");
        let status = if fails { 503 } else { 404 };
        lines += &format!("{trace:x} 2 1 web client 10 50 http.status_code={status}\n");
        lines += &format!("{trace:x} 3 2 cart server 20 30 http.status_code={status} error=true\n");
    }
    let graph = graph(&lines);
    let errors = |name: &str| graph.nodes[name].errors.as_ref().map(|said| said.value);
    assert_eq!(errors("web").map(|e| (e.share, e.status)), Some((0.1, Some(500))));
    assert_eq!(errors("cart").map(|e| (e.share, e.status)), Some((0.5, Some(503))));
    assert_eq!(calls(&graph), ["web > cart 1 optional"]);
}

#[test]
fn what_a_mesh_answers_is_not_the_apps_failure() {
    let graph = graph(
        "a 1 - web.shop server 0 100 component=proxy http.status_code=503 response_flags=UF
         b 1 - web.shop server 0 100 component=proxy http.status_code=200 response_flags=-",
    );
    assert_eq!(graph.nodes["web.shop"].errors, None);
}

#[test]
fn clocks_that_differ_do_not_matter() {
    // Without client spans: cart's clock is 5 ms late, it is moved into the middle of its caller.
    let moved = graph("a 1 - web server 0 100\na 2 1 cart server 5000 40");
    assert_eq!(work(&moved, "web"), Work::Constant(60_000));
    assert_eq!(notes(&moved), ["t.json: 1 spans do not fit into their caller's"]);
    // With client spans only one clock counts.
    let lines = "a 1 - web server 0 100\na 2 1 web client 10 60\na 3 2 cart server 5000 40";
    assert_eq!(work(&graph(lines), "web"), Work::Constant(40_000));
    assert_eq!(graph(lines).notes, []);
}

#[test]
fn odd_spans_are_counted_and_named() {
    let graph = graph(
        "a 1 - web server 0 100
         a 1 - web server 0 100
         a 8 9 cart server 0 10
         b 5 6 web server 0 100
         b 6 5 cart server 0 100
         c 1 - jobs internal 0 100
         c 2 1 jobs client 0 50
         d 1 - web server 0 90
         d 2 1 web producer 10 5
         d 3 2 mail consumer 1000 30
         d 4 3 mail client 1010 10 db.system=redis",
    );
    let expected = [
        "t.json: 1 spans are there twice",
        "t.json: 2 spans have parents that go round",
        "t.json: 1 spans have a parent that is not in the file",
        "t.json: 1 calls say not whom they call",
        "1 messages from `web` to `mail`",
    ];
    assert_eq!(notes(&graph), expected);
    // A message is no call; what it leads to is called by who gets it.
    assert_eq!(calls(&graph), [""; 0]);
    let doors: Vec<_> = graph.entries.iter().map(|e| (e.from.as_deref(), e.to.as_str())).collect();
    assert_eq!(doors, [(Some("mail"), "redis"), (None, "web")]);
}

#[test]
fn without_kinds_a_change_of_service_is_a_call() {
    let graph =
        graph("a 1 - web internal 0 100\na 2 1 web internal 5 80\na 3 2 cart internal 10 60");
    assert_eq!(calls(&graph), ["web > cart 1"]);
    assert_eq!(
        (work(&graph, "web"), work(&graph, "cart")),
        (Work::Constant(40_000), Work::Constant(60_000))
    );
    assert_eq!(graph.entries[0].to, "web");
}

#[test]
fn a_server_may_share_its_clients_id() {
    let text = r#"[
      {"traceId":"a","id":"1","kind":"SERVER","timestamp":1000,"duration":100,"localEndpoint":{"serviceName":"web"}},
      {"traceId":"a","id":"2","parentId":"1","kind":"CLIENT","timestamp":1010,"duration":50,"localEndpoint":{"serviceName":"web"}},
      {"traceId":"a","id":"2","parentId":"1","kind":"SERVER","shared":true,"timestamp":1020,"duration":30,"localEndpoint":{"serviceName":"cart"}},
      {"traceId":"a","id":"3","parentId":"2","kind":"CLIENT","timestamp":1025,"duration":10,"localEndpoint":{"serviceName":"cart"},"remoteEndpoint":{"serviceName":"redis"}}]"#;
    let graph = traces::read("z.json", text.as_bytes()).unwrap();
    assert_eq!(calls(&graph), ["web > cart 1", "cart > redis 1"]);
    assert_eq!(
        (work(&graph, "web"), work(&graph, "cart")),
        (Work::Constant(50_000), Work::Constant(20_000))
    );
    let listed = traces::read("z.json", format!("[{text}]").as_bytes()).unwrap();
    assert_eq!(listed.calls, graph.calls, "a list of traces");
}

#[test]
fn processes_and_namespaces_are_read() {
    let jaeger = r#"{"data":[{"traceID":"ab","spans":[
      {"traceID":"ab","spanID":"01","operationName":"x","startTime":1000,"duration":7,"processID":"p1",
       "tags":[{"key":"http.status_code","type":"int64","value":500},{"key":"span.kind","value":"server"}],"logs":[{"timestamp":1}]},
      {"traceID":"ab","spanID":"02","references":[{"refType":"FOLLOWS_FROM","spanID":"01"}],"startTime":1000,"duration":7,"processID":"p2"}],
      "processes":{"p1":{"serviceName":"web","tags":[{"key":"k8s.namespace.name","value":"shop"}]},"p2":{"serviceName":"mail"}}}],"total":0}"#;
    let graph = traces::read("j.json", jaeger.as_bytes()).unwrap();
    assert_eq!(
        graph.nodes["web.shop"].errors.as_ref().map(|said| said.value.status),
        Some(Some(500))
    );
    assert_eq!(notes(&graph), ["1 messages from `web.shop` to `mail`"]);
}

#[test]
fn a_trace_may_be_in_several_files_of_several_formats() {
    let client = render("a 1 - web server 0 100\na 2 1 web client 10 60", Written::Jaeger);
    let server = render("a 3 2 cart server 20 40", Written::Otlp);
    let files = [("dir/c.json", client.as_bytes()), ("s.json", server.as_bytes())];
    let graph = traces::read_all(files).unwrap();
    assert_eq!(calls(&graph), ["web > cart 1"]);
    assert_eq!(graph.name, "dir/c.json and 1 more");
    let broken = traces::read_all([("a", &b"["[..]), ("b", b"{}"), files[0]]).unwrap_err();
    assert_eq!(broken.len(), 2);
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let told = |text: &str| traces::read("t.json", text.as_bytes()).unwrap_err().to_string();
    let cases = [
        "",
        "<html>",
        "{}",
        "[]",
        "{\"data\": []}",
        "{\"data\": null, \"errors\": [1]}",
        "{\"x\": 1}",
        "{\"data\": [\n  {\"spans\": [{]}\n]}",
        "[\n{\"traceId\":\"a\"",
        "[1]",
        "{\"data\": 7}",
        "{\"resourceSpans\": [{}]}\n{\"resourceSpans\": {}}",
        "[{\"traceId\":\"a\",\"id\":\"b\"}]",
    ];
    let mut text = String::new();
    for case in cases {
        text += &format!("{}\n  {}\n", case.replace('\n', "\\n"), told(case));
    }
    let utf16 = traces::read("t.json", b"\xFF\xFE[\0]\0").unwrap_err();
    text += &format!("UTF-16\n  {utf16}\n");
    super::golden("broken", &text);
}
