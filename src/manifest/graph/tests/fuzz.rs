//! Broken and odd input ends in an answer, never in a panic; many spans are read in linear time.

use super::{Written, draft, render};
use crate::manifest::graph::apply::apply;
use crate::manifest::graph::{hints, isotope, traces};
use crate::manifest::loaded::Loaded;

const LINES: &str = "a 1 - gw client 0 1000 node_id=router~x
a 2 1 web.shop server 20 900 component=proxy http.status_code=503
a 3 2 web server 50 800 http.method=GET http.target=/page?x=1
a 5 4 web client 150 400 peer.service=cart
a 8 5 cart server 210 280 error=true
a 9 8 cart producer 210 280
a a 9 mail consumer 210 280";

/// Numbers from a seed (SplitMix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap()
    }
}

/// Changes some bytes, cuts and doubles pieces.
fn changed(text: &str, draws: &mut Draws) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let pieces: [&[u8]; 8] =
        [b"null", b"{", b"]", b"\"", b"-1", b"99999999999999999999", b"\xFF", b"\n"];
    for _ in 0..=draws.below(3) {
        let at = draws.below(bytes.len());
        match draws.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.splice(at..at, pieces[draws.below(8)].iter().copied()).for_each(drop),
            2 => bytes[at..].reverse(),
            _ => {
                let end = (at + draws.below(40)).min(bytes.len());
                bytes.splice(at..end, pieces[draws.below(8)].iter().copied()).for_each(drop);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn broken_traces_do_not_panic() {
    let mut draws = Draws(7);
    let loaded = Loaded::default();
    for format in [Written::Jaeger, Written::Otlp, Written::Zipkin] {
        let whole = render(LINES, format);
        let mut read = 0;
        for at in (0..whole.len()).step_by(7) {
            let _ = traces::read("t.json", &whole.as_bytes()[..at]);
        }
        for _ in 0..1500 {
            let bytes = changed(&whole, &mut draws);
            if let Ok(graph) = traces::read("t.json", &bytes) {
                read += 1;
                apply(&[graph], &mut draft(&loaded, &["shop/web: web", "shop/cart: cart-v1"]));
            }
        }
        assert!(20 < read, "{format:?}: {read}");
    }
}

#[test]
fn broken_graphs_and_hints_do_not_panic() {
    let mut draws = Draws(11);
    let hint = "services:\n  web: {time: {p50: 4ms, p99: 20ms}, workers: 8, errors: 1%, calls: [cart, {to: web, probability: 50%}]}\ntraffic:\n- {to: web, rate: 100rps, from: ingress, path: /}\n";
    let graph = "defaults: {numReplicas: 2}\nservices:\n- name: web\n  isEntrypoint: true\n  script:\n  - sleep: 1ms\n  - [{call: cart}, {call: {service: web}}]\n- {name: cart, errorRate: 1%}\n";
    for _ in 0..1500 {
        let (hint, graph) = (changed(hint, &mut draws), changed(graph, &mut draws));
        let mut loaded = Loaded::default();
        let (sources, findings) = (&mut loaded.manifests.sources, &mut loaded.manifests.findings);
        let graphs = [
            isotope::read("g.yaml", &graph, sources, findings),
            hints::read("h.yaml", &hint, sources, findings),
        ];
        apply(&graphs, &mut draft(&loaded, &["shop/web: web", "shop/cart: cart-v1"]));
        apply(&graphs, &mut draft(&loaded, &[]));
    }
}

/// A hundred thousand spans in one trace, one below the other and one beside the other, and traces of ten.
#[test]
fn many_spans_take_linear_time() {
    let mut deep = String::new();
    let mut wide = "a 1 - web server 0 1000000\n".to_owned();
    let mut many = String::new();
    for n in 1..20_000_u64 {
        let parent = if n == 1 { "-".to_owned() } else { format!("{:x}", n - 1) };
        let kind = if n % 2 == 0 { "client" } else { "server" };
        deep += &format!("a {n:x} {parent} s{} {kind} {n} {}\n", n / 2 % 9, 1_000_000 - 2 * n);
        wide += &format!("a {:x} 1 web client {n} 10 peer.service=p{}\n", n + 1, n % 7);
        many += &format!(
            "{:x} {n:x} {} s{} server {n} 10\n",
            n / 10,
            if n % 10 == 0 { "-" } else { &parent },
            n % 10
        );
    }
    for lines in [deep, wide, many] {
        let graph = traces::read("t.json", render(&lines, Written::Zipkin).as_bytes()).unwrap();
        assert!(!graph.calls.is_empty());
    }
}
