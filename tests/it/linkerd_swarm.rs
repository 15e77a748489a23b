//! Random meshes of Linkerd: keys, authorities and events are drawn, and only laws are checked.
//!
//! `MESHSIM_SWARM=FROM..TO` plays other seeds.

use crate::swarm::{obey, seeds};
use meshsim::kernel::stream::{Stream, below};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Each is there or not.
const KEYS: [(&str, &[&str]); 20] = [
    ("linkerd_control.replicas", &["1", "2", "3"]),
    ("linkerd_control.failfast", &["\"0s\"", "\"1s\"", "\"30s\""]),
    ("linkerd_control.stream_idle", &["\"0s\"", "\"5s\"", "\"30s\""]),
    ("linkerd_control.stream_lifetime", &["\"0s\"", "\"10s\"", "\"1m\""]),
    ("linkerd_control.stream_initial", &["\"0s\"", "\"1s\"", "\"3s\""]),
    ("linkerd_control.backoff_max", &["\"100ms\"", "\"2s\""]),
    ("linkerd_identity.lifetime", &["\"20s\"", "\"1m\"", "\"24h\""]),
    ("linkerd_identity.clock_skew", &["\"0s\"", "\"20s\""]),
    ("linkerd_identity.min_refresh", &["\"100ms\"", "\"10s\""]),
    ("linkerd_identity.clamp_to_issuer", &["false"]),
    ("linkerd_identity.boot_warning", &["\"0s\"", "\"1s\""]),
    ("linkerd_identity.check_clock_skew", &["\"10s\""]),
    ("linkerd_identity.authority_lifetime", &["\"40s\"", "\"365d\""]),
    ("linkerd_inbound.default_policy", &["\"deny\"", "\"all-authenticated\""]),
    ("linkerd_proxy.native_sidecar", &["false"]),
    ("linkerd_proxy.await_ready", &["false"]),
    ("linkerd_connection.ping_interval", &["\"0s\"", "\"1s\""]),
    ("webhook.failure_policy", &["\"fail\"", "\"ignore\""]),
    ("sa_token.sync", &["\"1s\"", "\"10s\""]),
    ("pod.startup_failures", &["5"]),
];

const EVENTS: [&str; 31] = [
    "do = \"fail\"\ntarget = \"linkerd\"",
    "do = \"fail\"\ntarget = \"control_plane\"",
    "do = \"fail\"\ntarget = \"linkerd\"\nshare = \"34%\"",
    "do = \"fail\"\ntarget = \"linkerd/destination\"",
    "do = \"fail\"\ntarget = \"linkerd/destination\"\nshare = \"34%\"",
    "do = \"fail\"\ntarget = \"linkerd/identity\"",
    "do = \"fail\"\ntarget = \"linkerd/identity\"\nshare = \"50%\"",
    "do = \"fail\"\ntarget = \"linkerd/policy\"",
    "do = \"fail\"\ntarget = \"linkerd/proxy-injector\"",
    "do = \"freeze\"\ntarget = \"linkerd/destination\"",
    "do = \"freeze\"\ntarget = \"linkerd/destination\"\nshare = \"34%\"",
    "do = \"cut\"\ntarget = \"linkerd/proxy-injector\"",
    "do = \"ca\"\ntarget = \"linkerd/identity\"\nca = \"next\"",
    "do = \"ca\"\ntarget = \"linkerd/identity\"\nca = \"next\"\ndropped_by = 1",
    "do = \"ca\"\ntarget = \"linkerd/identity\"\nca = \"stranger\"",
    "do = \"ca\"\ntarget = \"linkerd/identity\"\nca = \"stranger\"\nrestart = true",
    "do = \"trust\"\ntrust = [\"anchor\", \"other\"]",
    "do = \"trust\"\ntrust = [\"other\"]",
    "do = \"server\"\ntarget = \"service:api\"\nserver = { access_policy = \"deny\" }",
    "do = \"server\"\ntarget = \"service:api\"\nserver = { clients = [\"web\"] }\nlocal_rate_limit = { total = 2 }",
    "do = \"server\"\ntarget = \"service:web\"\nremoved = true",
    "do = \"server\"\ntarget = \"service:web\"\nserver = { access_policy = \"all-authenticated\" }",
    "do = \"clock\"\ntarget = \"linkerd\"\nshare = \"50%\"\nahead = \"30s\"",
    "do = \"clock\"\ntarget = \"node:one\"\nbehind = \"30s\"",
    "do = \"suspend\"\ntarget = \"node:two\"",
    "do = \"fail\"\ntarget = \"node:two\"",
    "do = \"cut\"\ntarget = \"link:one<->two\"",
    "do = \"rollout\"\ntarget = \"service:api\"",
    "do = \"scale\"\ntarget = \"service:api\"\nreplicas = 4",
    "do = \"restart\"\ntarget = \"service:web\"",
    "do = \"fail\"\ntarget = \"api_server\"",
];

fn scenario(seed: u64) -> String {
    let mut draws = Stream::new(seed, "linkerd swarm", "author");
    let mut of = |n: usize| below(draws.next_u64(), n);
    let start = ["stationary", "cold"][of(2)];
    let releases = ["2.10", "2.12", "2.13", "2.14", "edge-26.8"];
    let mut text = format!(
        "[scenario]\nduration = \"{}s\"\nstart = \"{start}\"\n[mesh]\nprofile = \"linkerd@{}\"\n",
        110 + of(110),
        releases[of(releases.len())]
    );
    let has_authorities = of(3) != 0;
    for (key, values) in KEYS {
        if of(3) == 0 {
            let _ = writeln!(text, "{key} = {}", values[of(values.len())]);
        }
    }
    if has_authorities {
        let (anchor, issuer) = (["30s", "1h"][of(2)], ["15s", "50s", "900h"][of(3)]);
        let _ = write!(
            text,
            "ca = \"issuer\"\n[[ca]]\nname = \"anchor\"\nremaining = \"{anchor}\"\n\
             [[ca]]\nname = \"issuer\"\nissuer = \"anchor\"\nremaining = \"{issuer}\"\n\
             [[ca]]\nname = \"next\"\nissuer = \"anchor\"\n\
             [[ca]]\nname = \"other\"\n[[ca]]\nname = \"stranger\"\nissuer = \"other\"\n"
        );
    }
    text.push_str(
        "[[node]]\nname = \"one\"\n[[node]]\nname = \"two\"\n[[node]]\nname = \"three\"\n\
         [[service]]\nname = \"web\"\n[[service.workload]]\nreplicas = 3\ntime = \"2ms\"\n\
         calls = [{ to = \"api\", app_connection = \"APP\" }]\n[[service]]\nname = \"api\"\n[[service.workload]]\nreplicas = 2\n\
         time = \"1ms\"\n[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"web\"\n\
         arrivals = { poisson = \"3rps\" }\n",
    );
    text = text.replace("\"APP\"", ["\"keep\"", "\"per-request\""][of(2)]);
    for number in 0..of(7) {
        let event = EVENTS[of(EVENTS.len())];
        let is_of_authorities = event.contains("do = \"ca\"") || event.contains("do = \"trust\"");
        if is_of_authorities && !has_authorities {
            continue;
        }
        let _ = write!(text, "[[event]]\nid = \"e{number}\"\nat = \"{}s\"\n", 1 + of(100));
        if of(3) != 0 && !event.contains("rollout") && !event.contains("restart\"") {
            let _ = writeln!(text, "for = \"{}s\"", 1 + of(60));
        }
        let _ = writeln!(text, "{event}");
    }
    text
}

#[test]
fn random_meshes_of_linkerd_obey_the_laws() {
    for seed in seeds() {
        let text = scenario(seed);
        let played = catch_unwind(AssertUnwindSafe(|| obey(&text)));
        assert!(played.is_ok(), "seed {seed} broke a law:\n{text}");
    }
}
