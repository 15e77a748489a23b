//! Overload of proxies: what is refused while too much is under way.
//!
//! Source: Envoy's triggers; see `model::proxy::filter::overload`.

use crate::support::{assert_share, count, ledger, run};
use meshsim::observe::run::Run;

/// A hundred requests a second that take a second each, through a gateway and a sidecar of which one has
/// this policy.
fn loaded(at: &str, overload: &str) -> Run {
    run(&format!(
        r#"
[scenario]
duration = "42s"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
[[service]]
name = "server"
[[service.workload]]
workers = 1000
time = "1s"
[[filter]]
at = "{at}"
overload = {{ {overload} }}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "100rps" }}
[[event]]
id = "no-more"
at = "40010ms"
do = "traffic"
target = "traffic:users"
factor = 0
"#
    ))
}

#[test]
fn a_threshold_refuses_all_until_the_next_look() {
    for at in ["ingress", "server"] {
        // A second of all and a second of none: when it is looked, either 100 or nobody is there.
        let run = loaded(at, "max_active_requests = 50, threshold = \"100%\"");
        let refused = count(&run, "users", "server", "503 -");
        assert!((1_800..=2_100).contains(&refused), "{at}: {}", ledger(&run, "users", "server"));
        let spacious = loaded(at, "max_active_requests = 110, threshold = \"100%\"");
        assert_eq!(ledger(&spacious, "users", "server"), "200 -: 4000", "{at}");
    }
}

#[test]
fn a_scaled_trigger_settles_where_both_agree() {
    // With 75 of 200 under way a quarter is refused, and three quarters are 75.
    let scaled = "max_active_requests = 200, refresh_interval = \"50ms\", \
                  scaling_threshold = \"25%\", saturation_threshold = \"75%\"";
    for at in ["ingress", "server"] {
        let run = loaded(at, scaled);
        assert_share(at, count(&run, "users", "server", "503 -"), 4_000, 0.25, 4.0);
    }
}

#[test]
fn what_is_refused_passes_no_filter_and_is_logged_as_overload() {
    let run = run(r#"
[scenario]
duration = "5s"
[mesh]
profile = "none"
[[service]]
name = "server"
[[service.workload]]
time = "1ms"
[[filter]]
at = "ingress"
fault = { abort = 418 }
[[filter]]
at = "ingress"
overload = { max_active_requests = 1, threshold = 0 }
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = { constant = "10rps" }
"#);
    let details: Vec<_> = run.outcomes.iter().map(|row| row.outcome.details.text()).collect();
    assert_eq!(details, ["overload"]);
    assert_eq!(ledger(&run, "users", "server").split(':').next(), Some("503 -"));
}
