//! Goal: who speaks TLS with whom in a mesh, and what both sides see when they do not agree.
//! Method: a client with and one without a sidecar call a service; the words of the scenario change.
//!
//! Source: Istio's `PeerAuthentication` and `DestinationRule`; measured on Envoy 1.40 (family e08).

use crate::support::{ledger, run};
use meshsim::observe::run::Run;

/// `meshed` and `bare` call `server`, whose table has `service`; `mesh` stands in the mesh's.
fn scenario(mesh: &str, service: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "2s"
[mesh]
profile = "istio-sidecar@1.28"
proxy.workers = 1
{mesh}
[[service]]
name = "server"
{service}
[[service.workload]]
version = "v1"
time = "1ms"
[[service]]
name = "meshed"
[[service.workload]]
time = "1ms"
[[service]]
name = "bare"
meshed = false
[[service.workload]]
time = "1ms"
[[traffic]]
id = "inside"
from = "meshed"
to = "server"
arrivals = {{ constant = "20rps" }}
[[traffic]]
id = "outside"
from = "bare"
to = "server"
arrivals = {{ constant = "20rps" }}
{more}
"#
    )
}

/// What the clients with and without a sidecar see.
fn seen(run: &Run) -> [String; 2] {
    [ledger(run, "meshed", "server"), ledger(run, "bare", "server")]
}

#[test]
fn who_speaks_tls_with_whom() {
    let (strict, disable) =
        ("peer_authentication = \"strict\"", "peer_authentication = \"disable\"");
    let off = "meshed = false";
    let (plain, mutual) = ("tls = \"disable\"", "tls = \"istio_mutual\"");
    let (ok, cut, garbled) = ("200 -: 39", "503 UC: 39", "503 URX,UF: 38");
    for (mesh, service, meshed, bare) in [
        ("", String::new(), ok, ok),
        // Mutual TLS only: whoever has no sidecar is cut off, and does not learn why.
        ("", strict.to_owned(), ok, cut),
        (strict, String::new(), ok, cut),
        (strict, "peer_authentication = \"permissive\"".to_owned(), ok, ok),
        // Automatic mTLS looks at what the endpoint takes.
        ("", disable.to_owned(), ok, ok),
        ("", off.to_owned(), ok, ok),
        // A DestinationRule does not look, and takes precedence.
        ("", plain.to_owned(), ok, ok),
        ("", format!("{plain}\n{strict}"), cut, cut),
        ("", mutual.to_owned(), ok, ok),
        ("", format!("{mutual}\n{strict}"), ok, cut),
        ("", format!("{mutual}\n{disable}"), garbled, ok),
        ("", format!("{mutual}\n{off}"), garbled, ok),
    ] {
        let run = run(&scenario(mesh, &service, ""));
        assert_eq!(seen(&run), [meshed, bare], "mesh: {mesh}\nservice: {service}");
    }
}

#[test]
fn mutual_tls_that_is_demanded_cuts_off_who_has_no_sidecar_also_on_open_connections() {
    let event = |target: &str| {
        let head = "[[event]]\nid = \"strict\"\nat = \"1s\"\nfor = \"500ms\"";
        scenario(
            "",
            "",
            &format!("{head}\ndo = \"peer_authentication\"\nmode = \"strict\"\n{target}"),
        )
    };
    let on_service = run(&event("target = \"service:server\""));
    let on_mesh = run(&event(""));
    for run in [&on_service, &on_mesh] {
        // Ten requests in half a second; the connections that are open are closed without a loss.
        assert_eq!(seen(run), ["200 -: 39", "200 -: 29, 503 UC: 10"]);
    }
}
