//! Random plans from a seed: the whole scenario is drawn, as text, and played. Only laws are
//! checked: no panic (each run ends with an audit that recounts everything), the same digest with
//! the recorders off, a sensible number of events.
//!
//! `MESHSIM_SWARM=FROM..TO` plays other seeds; a failure prints its scenario, which
//! `meshsim run` reproduces. Debug or the profile `checked` find more than release does.
//!
//! Source: `TigerBeetle`'s VOPR, which draws the configuration from the seed, too.

use crate::support::{play, try_plan};
use meshsim::kernel::stream::{Stream, below, uniform};
use meshsim::world::options::Options;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds of a plain test run: a quarter of a second each without optimisation. The profile
/// `checked` plays sixty a second.
const SEEDS: std::ops::Range<u64> = 0..60;

/// Seeds that once broke a law: a rare call made between windows outlived its pod (92), and without
/// recorders the first batch of a sampled run had the number of those that are never sampled (145).
const FOUND: [u64; 2] = [92, 145];

/// More events than this for a few requests is a loop that feeds itself.
const EVENTS_MAX: u64 = 3_000_000;

#[test]
fn random_plans_obey_the_laws() {
    let mut failures = Vec::new();
    for seed in seeds() {
        let text = Author::new(seed).scenario();
        if let Err(why) = catch_unwind(AssertUnwindSafe(|| obey(&text))) {
            let why = why
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            failures.push((seed, why.unwrap_or_default(), text));
        }
    }
    if let Some((_, _, text)) = failures.iter().min_by_key(|(_, _, text)| text.len()) {
        let list: String = failures.iter().fold(String::new(), |mut list, (seed, why, _)| {
            let _ = writeln!(list, "seed {seed}: {why}");
            list
        });
        panic!("{list}\n{} broke a law; the shortest scenario:\n{text}", failures.len());
    }
}

pub(crate) fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("MESHSIM_SWARM") else { return SEEDS.chain(FOUND).collect() };
    let (from, to) = text.split_once("..").expect("MESHSIM_SWARM=FROM..TO");
    let seed = |text: &str| text.parse().expect("a seed is a number");
    (seed(from)..seed(to)).collect()
}

pub(crate) fn obey(text: &str) {
    let plan = try_plan(text, &[]).unwrap_or_else(|why| panic!("an invalid scenario: {why}"));
    let options = Options { max_events: Some(EVENTS_MAX), ..Options::default() };
    let first = play(&plan, options);
    assert!(first.partial.is_none(), "more than {EVENTS_MAX} events: {:?}", first.partial);
    let blind = play(&plan, Options { recorders: false, ..options });
    assert_eq!(first.digest, blind.digest, "recorders change the run");
    let total: u64 = first.series.iter().map(|row| row.requests.total).sum();
    assert_eq!(total, first.requests.total, "requests of the rows, and in all");
}

/// Scenarios that `random` writes, of which it may be that not all read: those that do, more than one in `part`, obey.
pub(crate) fn random_ones_obey(usual: u64, part: u64, random: impl Fn(u64) -> String) {
    let most = std::env::var("MESHSIM_SWARM").map_or(usual, |_| 1000);
    let (mut played, mut failed) = (0, Vec::new());
    for seed in 0..most {
        let text = random(seed);
        if try_plan(&text, &[]).is_err() {
            continue;
        }
        played += 1;
        if catch_unwind(|| obey(&text)).is_err() {
            failed.push((seed, text));
        }
    }
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    let shortest = failed.iter().min_by_key(|(_, text)| text.len());
    assert!(failed.is_empty(), "{seeds:?}:\n{}", shortest.map_or("", |(_, text)| text));
    assert!(most / part < played, "{played} of {most} are valid");
}

/// Writes a scenario, drawing as it goes.
struct Author {
    draws: Stream,
    text: String,
    duration_s: f64,
    has_mesh: bool,
    zones: usize,
    nodes: usize,
    /// By service: its versions with their replicas.
    services: Vec<Vec<usize>>,
    sources: usize,
    has_routes: Vec<bool>,
}

impl Author {
    fn new(seed: u64) -> Self {
        Self {
            draws: Stream::new(seed, "swarm", "author"),
            text: String::new(),
            duration_s: 0.0,
            has_mesh: true,
            zones: 0,
            nodes: 0,
            services: Vec::new(),
            sources: 0,
            has_routes: Vec::new(),
        }
    }

    fn scenario(mut self) -> String {
        self.heading();
        self.places();
        let count = 1 + self.below(5);
        for _ in 0..count {
            let versions = 1 + self.below(3);
            let replicas = (0..versions).map(|_| *self.pick(&[1, 1, 2, 3, 5])).collect();
            self.services.push(replicas);
        }
        for service in 0..count {
            self.service(service);
        }
        self.traffic();
        for number in 0..self.below(9) {
            self.event(number);
        }
        // Drawn last, so that all else of a seed is as it was.
        self.sampling();
        self.overload();
        self.identity();
        self.text
    }

    // === draws ===

    fn below(&mut self, n: usize) -> usize {
        below(self.draws.next_u64(), n)
    }

    fn chance(&mut self, share: f64) -> bool {
        uniform(self.draws.next_u64()) < share
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * uniform(self.draws.next_u64())
    }

    fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// One of the settings, perhaps.
    fn maybe(&mut self, share: f64, key: &str, values: &[&str]) {
        if self.chance(share) {
            let value = *self.pick(values);
            self.line(&format!("{key} = {value}"));
        }
    }

    // === the parts of a scenario ===

    fn heading(&mut self) {
        self.duration_s = *self.pick(&[4.0, 8.0, 12.0, 30.0]);
        let seed = self.below(1000);
        self.line("# Drawn by tests/it/swarm.rs.\n[scenario]");
        self.line(&format!("duration = \"{}s\"\nseed = {seed}", self.duration_s));
        self.maybe(0.3, "start", &["\"cold\"", "\"stationary\""]);
        self.maybe(0.2, "warmup", &["\"1s\""]);
        self.maybe(0.3, "interval", &["\"100ms\"", "\"1s\""]);
        self.line("[mesh]");
        let profiles =
            ["istio-sidecar", "istio-sidecar@1.28", "istio-sidecar@1.24", "istio-sidecar@1.20"];
        self.has_mesh = !self.chance(0.2);
        let profile = if self.has_mesh { *self.pick(&profiles) } else { "none" };
        self.line(&format!("profile = \"{profile}\""));
        self.maybe(0.3, "retry.inbound_attempts", &["0", "1", "5"]);
        self.parameters();
    }

    /// What takes minutes in a cluster takes seconds here, so that it happens at all.
    fn parameters(&mut self) {
        self.maybe(0.6, "cert.ttl", &["\"2s\"", "\"5s\"", "\"20s\"", "\"1h\""]);
        self.maybe(0.3, "cert.session_resumption", &["false"]);
        self.maybe(0.2, "cert.signer_remaining", &["\"3s\"", "\"10s\""]);
        self.maybe(0.3, "cert.grace_ratio", &["0.5", "0.1", "0.9"]);
        self.maybe(0.5, "istiod.cache_sync", &["\"100ms\"", "\"1s\""]);
        self.maybe(0.4, "istiod.replicas", &["1", "2", "3"]);
        self.maybe(0.3, "kubernetes.watch_delay", &["\"0s\"", "\"50ms\""]);
        self.maybe(0.7, "kubernetes.node_grace", &["\"100ms\"", "\"1s\"", "\"3s\""]);
        self.maybe(0.7, "kubernetes.eviction_after", &["\"0s\"", "\"200ms\"", "\"2s\""]);
        self.maybe(0.6, "drain.termination", &["\"10ms\"", "\"300ms\"", "\"2s\""]);
        self.maybe(0.6, "pod.start_time", &["\"0s\"", "\"50ms\"", "\"500ms\""]);
        self.maybe(0.4, "pod.startup_period", &["\"100ms\"", "\"10ms\""]);
        self.maybe(0.5, "pod.grace_period", &["\"100ms\"", "\"1s\"", "\"3s\""]);
        self.maybe(0.6, "network.give_up", &["\"100ms\"", "\"1s\"", "\"4s\""]);
        self.maybe(0.3, "network.rto", &["\"10ms\"", "\"100ms\""]);
        self.maybe(0.3, "network.syn_rto", &["\"20ms\"", "\"300ms\""]);
        self.maybe(0.3, "network.same_node", &["\"0s\""]);
        self.maybe(0.3, "webhook.failure_policy", &["\"ignore\"", "\"fail\""]);
        self.maybe(0.3, "webhook.timeout", &["\"100ms\"", "\"1s\""]);
        self.maybe(0.1, "webhook.matches_istiod", &["true"]);
        self.maybe(0.2, "webhook.certificate_remaining", &["\"1s\"", "\"5s\""]);
        self.maybe(0.2, "istiod.certificate_remaining", &["\"1s\"", "\"5s\""]);
        self.maybe(0.3, "istiod.token_review_qps", &["0", "1", "10"]);
        self.maybe(0.3, "istiod.token_review_burst", &["1", "3"]);
        self.maybe(0.3, "istiod.token_review_time", &["\"10ms\"", "\"1s\""]);
        self.maybe(0.1, "sa_token.cached", &["true"]);
        self.maybe(0.5, "sa_token.rotate_at", &["0.001", "1.0", "0.5"]);
        self.maybe(0.5, "sa_token.ttl", &["\"1s\"", "\"4s\"", "\"10m\""]);
        self.maybe(0.5, "sa_token.sync", &["\"0s\"", "\"1s\""]);
        self.maybe(0.3, "pod.startup_failures", &["0", "2", "20"]);
        self.maybe(0.2, "pod.hold_app", &["true"]);
        self.maybe(0.3, "pod.hold_timeout", &["\"100ms\"", "\"1s\""]);
        self.maybe(0.3, "kubernetes.minor", &["33"]);
        self.maybe(0.4, "kubernetes.restart_backoff", &["\"0s\"", "\"100ms\"", "\"2s\""]);
        self.maybe(0.3, "kubernetes.eviction_retry", &["\"100ms\""]);
        self.maybe(0.2, "xds.debounce_after", &["\"0s\"", "\"10ms\""]);
        self.maybe(0.2, "xds.debounce_max", &["\"50ms\"", "\"1s\""]);
        self.maybe(0.2, "xds.push_slots", &["1", "2"]);
        self.maybe(0.2, "xds.stream_rate", &["1", "5"]);
        self.maybe(0.2, "xds.push_time", &["\"0s\"", "\"200ms\""]);
        self.maybe(0.2, "xds.push_init", &["\"0s\"", "\"500ms\""]);
        self.maybe(0.4, "xds.max_connection_age", &["\"1s\"", "\"3s\"", "\"0s\""]);
        self.maybe(0.3, "xds.age_grace", &["\"0s\"", "\"200ms\""]);
        self.maybe(0.3, "xds.keepalive_time", &["\"0s\"", "\"500ms\""]);
        self.maybe(0.3, "xds.keepalive_timeout", &["\"100ms\""]);
        self.maybe(0.2, "xds.full_push_time", &["\"0s\"", "\"300ms\""]);
        self.maybe(0.2, "istiod.cpu_per_proxy", &["0", "0.2"]);
        self.maybe(0.3, "istiod.replicas_max", &["3", "5"]);
        self.maybe(0.2, "istiod.memory_limit", &["\"105MiB\"", "\"130MiB\""]);
        self.maybe(0.2, "istiod.waits_for_caches", &["false"]);
        self.maybe(0.4, "ingress.replicas", &["1", "3"]);
        if self.has_mesh {
            self.maybe(0.3, "proxy.workers", &["1", "4"]);
            self.maybe(0.2, "proxy.loopback", &["\"10us\""]);
            self.maybe(0.1, "istiod.present", &["false"]);
        }
        self.maybe(0.3, "cluster.connect_timeout", &["\"50ms\"", "\"500ms\"", "\"2s\""]);
        if self.text.contains("istiod.present = false") {
            self.has_mesh = false;
        }
    }

    fn places(&mut self) {
        self.zones = 1 + self.below(2);
        for zone in 0..self.zones {
            for _ in 0..=self.below(3) {
                let node = self.nodes;
                self.line(&format!("[[node]]\nname = \"n{node}\"\nzone = \"z{zone}\""));
                self.nodes += 1;
            }
        }
        if self.chance(0.4) {
            let (from, to) = (self.below(self.nodes), self.below(self.nodes));
            self.line(&format!("[[link]]\nfrom = \"n{from}\"\nto = \"n{to}\""));
            self.maybe(
                0.6,
                "delay",
                &[
                    "\"1ms\"",
                    "\"0s\"",
                    "{ uniform = { low = \"1ms\", high = \"3ms\" } }",
                    "{ exponential = \"5ms\" }",
                ],
            );
            self.maybe(0.6, "loss", &["0.3", "0.01", "\"100%\"", "0.9"]);
            self.maybe(0.2, "both", &["false"]);
        }
    }

    fn service(&mut self, service: usize) {
        self.line(&format!("[[service]]\nname = \"s{service}\""));
        self.maybe(0.5, "protocol", &["\"http2\"", "\"http1\""]);
        self.maybe(0.15, "meshed", &["false"]);
        self.maybe(0.4, "timeout", &["\"10ms\"", "\"100ms\"", "\"1s\"", "\"5ms\""]);
        self.balancing();
        self.maybe(0.3, "panic_threshold", &["\"50%\"", "\"100%\""]);
        // Weights lead to `v9` now and then: one workload, or none.
        self.maybe(
            0.2,
            "subsets",
            &[
                "[{ name = \"v9\", labels = { version = \"v0\" } }]",
                "[{ name = \"v9\", labels = { track = \"none\" } }]",
            ],
        );
        self.maybe(0.5, "retries", &[
            "{ attempts = 0 }",
            "{ attempts = 1, on = [\"5xx\"] }",
            "{ attempts = 3, on = [\"5xx\", \"reset\"], per_try_timeout = \"20ms\" }",
            "{ attempts = 5, on = [\"gateway-error\", \"connect-failure\"], backoff_base = \"1ms\" }",
            "{ attempts = 2, on = [\"reset\"], per_try_timeout = \"3ms\", previous_hosts = false }",
            "{ attempts = 4, on = [\"5xx\"], budget = { share = \"10%\", min_concurrency = 1 } }",
            "{ attempts = 2, on = [\"retriable-status-codes\"], statuses = [503, 500] }",
            "{ attempts = 3, on = [\"5xx\"], per_try_timeout = \"2ms\", hedge_on_per_try_timeout = true }",
            "{ attempts = 9, on = [\"5xx\", \"reset\"], per_try_timeout = \"4ms\", backoff_base = \"1ms\", hedge_on_per_try_timeout = true }",
            "{ attempts = 3, on = [\"retriable-headers\", \"unavailable\"], retriable_headers = [{ name = \"retry-after\" }], previous_priorities = 1 }",
            "{ attempts = 6, on = [\"5xx\", \"internal\"], rate_limited_backoff = { reset_headers = [{ name = \"retry-after\" }] }, previous_priorities = 2, per_try_timeout = \"3ms\", hedge_on_per_try_timeout = true }",
        ]);
        self.maybe(
            0.3,
            "circuit_breaker",
            &[
                "{ max_connections = 1 }",
                "{ max_connections = 1, max_pending = 1 }",
                "{ max_pending = 0 }",
                "{ max_requests = 2, max_retries = 1 }",
                "{ max_requests = 0 }",
                "{ max_connections = 3, max_pending = 2, max_requests = 5, max_retries = 0 }",
            ],
        );
        self.maybe(0.4, "outlier_detection", &[
            "true",
            "{ consecutive_5xx = 1, max_ejection_share = \"100%\", base_ejection = \"200ms\", interval = \"100ms\" }",
            "{ consecutive_5xx = 0, consecutive_gateway = 2, max_ejection_share = \"50%\", base_ejection = \"1s\", interval = \"300ms\" }",
            "{ consecutive_5xx = 2, always_eject_one = true, base_ejection = \"100ms\", interval = \"1s\" }",
            "{ max_ejection_share = \"100%\", interval = \"200ms\", success_rate = { minimum_hosts = 2, request_volume = 3, stdev_factor = 0.5, enforcing = \"50%\" } }",
            "{ consecutive_5xx = 0, max_ejection_share = \"80%\", interval = \"100ms\", failure_percentage = { threshold = \"20%\", minimum_hosts = 1, request_volume = 2 }, max_ejection_jitter = \"300ms\" }",
            "{ consecutive_5xx = 1, enforcing_consecutive_5xx = \"30%\", split_local_origin = true, consecutive_local_origin = 1, max_ejection_share = \"100%\", base_ejection = \"100ms\", interval = \"50ms\" }",
        ]);
        self.maybe(
            0.5,
            "connections",
            &[
                "{ churn = \"5rps\" }",
                "{ idle_timeout = \"20ms\" }",
                "{ max_requests = 1 }",
                "{ max_requests = 3, churn = \"1rps\" }",
                "{ max_streams = 1 }",
                "{ max_streams = 2, idle_timeout = \"5ms\", churn = \"20rps\" }",
                "{ connect_timeout = \"1ms\" }",
                "{ connect_timeout = \"300us\", max_requests = 2 }",
                "{ max_duration = \"30ms\" }",
                "{ max_duration = \"1s\", churn = \"1rps\" }",
            ],
        );
        self.routes(service);
        for version in 0..self.services[service].len() {
            self.workload(service, version);
        }
    }

    fn balancing(&mut self) {
        let balancer = *self.pick(&[
            "least_request",
            "least_request_distinct",
            "least_request_full_scan",
            "random",
            "round_robin",
            "ring_hash",
            "maglev",
        ]);
        let is_given = self.chance(0.7);
        if is_given {
            self.line(&format!("balancer = \"{balancer}\""));
        }
        match balancer {
            "ring_hash" | "maglev" if is_given => {
                self.maybe(0.8, "hash_on", &["{ header = \"x-user\" }", "{ source = true }"]);
            }
            "round_robin" if is_given => {
                self.maybe(0.5, "slow_start", &["{ window = \"1s\", aggression = 2 }"]);
            }
            _ => {}
        }
        let zone = self.below(self.zones);
        let weighted = format!("{{ weights = {{ z{zone} = 3 }} }}");
        self.maybe(
            0.2,
            "locality",
            &["{ prefer_close = true }", &weighted, "{ zone_aware = { min_cluster_size = 2 } }"],
        );
    }

    fn weights(&mut self, service: usize) -> String {
        let versions = self.services[service].len();
        let cells: Vec<String> = (0..versions)
            .map(|version| format!("v{version} = {}", if version == 0 { 1 } else { self.below(4) }))
            .collect();
        let missing = if self.chance(0.2) { ", v9 = 1" } else { "" };
        format!("{{ {}{missing} }}", cells.join(", "))
    }

    fn routes(&mut self, service: usize) {
        let has = self.chance(0.4);
        self.has_routes.push(has);
        if !has {
            return;
        }
        if self.chance(0.4) {
            let weights = self.weights(service);
            self.line("[[service.route]]\nname = \"special\"");
            self.line(&format!("match = {{ prefix = \"/a\" }}\nweights = {weights}"));
            self.maybe(0.3, "timeout", &["\"7ms\""]);
            self.maybe(0.3, "retries", &["{ attempts = 1, on = [\"5xx\"] }"]);
        }
        let weights = self.weights(service);
        self.line(&format!("[[service.route]]\nname = \"rest\"\nweights = {weights}"));
        self.maybe(0.2, "match", &["{ prefix = \"/b\" }"]);
        self.maybe(
            0.2,
            "rewrite",
            &["{ path = \"/c\" }", "{ regex = \"/b|/a\", substitution = \"/\" }"],
        );
        self.maybe(0.2, "headers", &["{ remove = [\"x-user\"], set = { x-tenant = \"t\" } }"]);
        // Calls go to later services: copies to the last one make no circle.
        let last = self.services.len() - 1;
        let mirror = format!("{{ to = \"s{last}\", share = \"30%\" }}");
        self.maybe(0.3, "mirror", &[&mirror]);
    }

    fn workload(&mut self, service: usize, version: usize) {
        let replicas = self.services[service][version];
        self.line("[[service.workload]]");
        self.line(&format!("version = \"v{version}\"\nreplicas = {replicas}"));
        self.maybe(0.5, "workers", &["2", "8"]);
        self.maybe(0.15, "weight", &["2", "5"]);
        self.maybe(0.15, "priority", &["1", "7"]);
        self.maybe(0.1, "health", &["\"degraded\"", "\"draining\"", "\"unhealthy\""]);
        self.maybe(0.3, "queue", &["0", "1", "10"]);
        self.maybe(0.3, "discipline", &["\"ps\"", "\"ps\"\nproxy_shares_cores = true"]);
        let time = *self.pick(&[
            "\"1ms\"",
            "\"20ms\"",
            "{ exponential = \"5ms\" }",
            "{ lognormal = { p50 = \"3ms\", p99 = \"200ms\" } }",
            "{ exponential = \"100ms\" }",
        ]);
        self.line(&format!("time = {time}"));
        self.maybe(
            0.3,
            "behaviour",
            &[
                "{ reply = \"slow_body\", body_delay = \"3ms\" }",
                "{ reply = \"headers_then_reset\", body_delay = \"2ms\" }",
                "{ idle_close = \"10ms\" }",
                "{ idle_close = \"100ms\", body = true }",
                "{ reply = \"closes\" }",
                "{ connection_close = true, response_headers = { retry-after = \"1\" } }",
                "{ connect_delay = \"4ms\" }",
            ],
        );
        self.maybe(
            0.3,
            "errors",
            &[
                "\"30%\"",
                "{ share = 0.5, status = 503 }",
                "\"100%\"",
                "{ share = 0.5, status = 503, response_headers = { retry-after = \"1\" } }",
                "{ share = 0.3, status = 200, response_headers = { grpc-status = \"14\" } }",
            ],
        );
        self.maybe(0.3, "start_time", &["{ exponential = \"300ms\" }", "\"1s\""]);
        self.maybe(
            0.3,
            "rollout",
            &[
                "{ max_surge = \"100%\", max_unavailable = 0 }",
                "{ max_surge = 0, max_unavailable = \"100%\" }",
                "{ max_surge = \"50%\", max_unavailable = \"50%\" }",
            ],
        );
        self.maybe(
            0.4,
            "shutdown",
            &[
                "{ pre_stop = \"200ms\" }",
                "{ graceful = false }",
                "{ pre_stop = \"1s\", graceful = false, grace_period = \"500ms\" }",
                "{ grace_period = \"0s\" }",
            ],
        );
        if self.chance(0.3) {
            let node = self.below(self.nodes);
            self.line(&format!("nodes = [\"n{node}\"]"));
        }
        self.pod_rules();
        self.calls(service);
    }

    /// Probes, budgets, starts.
    fn pod_rules(&mut self) {
        self.maybe(
            0.2,
            "readiness",
            &[
                "{ period = \"300ms\", timeout = \"100ms\" }",
                "{ period = \"1s\", timeout = \"50ms\", failures = 1, initial_delay = \"200ms\" }",
            ],
        );
        self.maybe(
            0.2,
            "liveness",
            &[
                "{ period = \"200ms\", timeout = \"20ms\", failures = 2 }",
                "{ period = \"500ms\", timeout = \"500ms\" }",
            ],
        );
        self.maybe(
            0.3,
            "pdb",
            &[
                "{ max_unavailable = 1 }",
                "{ min_available_share = \"60%\" }",
                "{ min_available = 0 }",
            ],
        );
        self.maybe(0.1, "dials_at_start", &["true"]);
        self.maybe(0.1, "inject", &["false", "true"]);
    }

    fn calls(&mut self, service: usize) {
        let count = self.services.len();
        let mut calls = Vec::new();
        for to in service + 1..count {
            if !self.chance(0.5) {
                continue;
            }
            for _ in 0..=self.below(2) {
                calls.push(self.call(to, 1.0));
            }
        }
        // Now and then somebody calls back up: a cycle that ends by chance.
        if count <= 3 && self.chance(0.1) {
            let to = self.below(service + 1);
            calls.push(self.call(to, 0.03));
        }
        if !calls.is_empty() {
            self.line(&format!("calls = [{}]", calls.join(", ")));
        }
    }

    fn call(&mut self, to: usize, probability_max: f64) -> String {
        let mut call = format!("{{ to = \"s{to}\"");
        if probability_max < 1.0 || self.chance(0.3) {
            let probability = self.between(0.0, probability_max);
            let _ = write!(call, ", probability = {probability:.2}");
        }
        for (key, value, share) in [
            ("mode", "\"parallel\"", 0.4),
            ("holds_worker", "false", 0.4),
            ("required", "false", 0.3),
            ("path", "\"/a\"", 0.3),
            ("after", "\"1ms\"", 0.2),
        ] {
            if self.chance(share) {
                let _ = write!(call, ", {key} = {value}");
            }
        }
        call + " }"
    }

    fn traffic(&mut self) {
        self.sources = 1 + self.below(3);
        for source in 0..self.sources {
            let to = if source == 0 { 0 } else { self.below(self.services.len()) };
            self.line(&format!("[[traffic]]\nid = \"t{source}\"\nto = \"s{to}\""));
            let from = self.below(self.services.len());
            if self.chance(0.3) {
                let version = self.below(self.services[from].len());
                self.line(&format!("from = \"s{from}/v{version}\""));
            } else {
                self.line("from = \"ingress\"");
            }
            self.maybe(0.3, "path", &["\"/a/b\"", "\"/b\""]);
            self.maybe(0.4, "headers", &["{ x-user = \"u-{1..9}\" }", "{ x-user = \"anna\" }"]);
            let arrivals = *self.pick(&[
                "{ poisson = \"30rps\" }",
                "{ poisson = \"150rps\" }",
                "{ constant = \"100rps\" }",
                "{ closed = { users = 5, think = { exponential = \"50ms\" } } }",
                "{ closed = { users = 20, think = \"10ms\" } }",
                "{ poisson = { ramp = [[\"0s\", \"0rps\"], [\"3s\", \"200rps\"], [\"4s\", \"10rps\"]] } }",
                "{ constant = { steps = [[\"0s\", \"100rps\"], [\"1s\", \"0rps\"], [\"2s\", \"50rps\"]] } }",
            ]);
            self.line(&format!("arrivals = {arrivals}"));
        }
    }

    /// Half of the others have clients that leave and send again.
    fn clients(&mut self) {
        if self.chance(0.5) {
            let client = *self.pick(&[
                "{ timeout = \"20ms\" }",
                "{ timeout = \"100ms\", attempts = 2 }",
                "{ attempts = 3, backoff_base = \"5ms\", jitter = \"decorrelated\" }",
                "{ timeout = \"50ms\", attempts = 9, bucket = { size = 10 } }",
                "{ timeout = \"5ms\", attempts = 2, breaker = { share = 0.2, window = \"1s\" } }",
            ]);
            self.text =
                self.text.replace("arrivals = {", &format!("client = {client}\narrivals = {{"));
        }
    }

    /// Apps that leave their calls, send them again, or end them with their request.
    fn call_clients(&mut self) {
        let clients = [
            "{ timeout = \"15ms\" }",
            "{ timeout = \"40ms\", attempts = 2 }",
            "{ attempts = 3, backoff_base = \"30ms\", jitter = \"equal\" }",
            "{ timeout = \"8ms\", attempts = 4, backoff_base = \"1ms\", bucket = { size = 3 } }",
            "{ timeout = \"25ms\", attempts = 2, breaker = { share = 0.3, window = \"500ms\" } }",
        ];
        for line in std::mem::take(&mut self.text).lines() {
            if !line.starts_with("calls = [") {
                self.line(line);
                continue;
            }
            let own = if self.chance(0.3) { *self.pick(&clients) } else { "" };
            let call = format!("{{ client = {own}, to = ");
            self.line(&if own.is_empty() {
                line.to_owned()
            } else {
                line.replacen("{ to = ", &call, 1)
            });
            self.maybe(0.4, "client", &clients);
            self.maybe(0.4, "cancels_calls", &["true"]);
        }
    }

    /// A third of the plans are sampled, with windows and strata as short as their runs.
    fn sampling(&mut self) {
        if !self.chance(0.35) {
            self.clients();
            self.call_clients();
            if self.chance(0.3) {
                let hpa = "hpa = { max = 6, utilization = \"30%\" }\ntime = ";
                self.text = self.text.replacen("\ntime = ", &format!("\n{hpa}"), 1);
            }
            return;
        }
        let every = *self.pick(&["800ms", "1s", "1500ms"]);
        let window = *self.pick(&["100ms", "200ms"]);
        self.line(&format!("[sampling]\nevery = \"{every}\"\nwindow = \"{window}\""));
        self.maybe(1.0, "lead_in", &["\"0s\"", "\"20ms\"", "\"100ms\""]);
        self.maybe(1.0, "around_events", &["\"0s\"", "\"50ms\"", "\"300ms\""]);
        self.maybe(0.8, "full_below", &["\"0rps\"", "\"20rps\"", "\"0.1rps\""]);
    }

    /// Overloads and limits of connections, at a gateway and at sidecars, and proxies that drain.
    fn overload(&mut self) {
        let mut places = Vec::new();
        if self.text.contains("from = \"ingress\"") {
            places.push("ingress".to_owned());
        }
        let tables = self.text.split("[[service]]\n").skip(1).enumerate();
        let is_bare = |table: &str| {
            ["meshed", "inject"].iter().any(|key| table.contains(&format!("{key} = false")))
        };
        let meshed = tables.filter(|(_, table)| !is_bare(table));
        let meshed: Vec<_> = meshed.map(|(service, _)| format!("s{service}")).collect();
        if self.text.contains("istio-sidecar") {
            places.extend(meshed);
        }
        if places.is_empty() || !self.chance(0.5) {
            return;
        }
        for _ in 0..=self.below(3) {
            let at = self.pick(&places).clone();
            self.line(&format!("[[filter]]\nat = \"{at}\""));
            if self.chance(0.3) {
                let most = 1 + self.below(6);
                self.line(&format!("connection_limit = {{ max_connections = {most} }}"));
                continue;
            }
            let action = *self.pick(&[
                "stop_accepting_requests",
                "stop_accepting_connections",
                "reject_incoming_connections",
                "disable_http_keepalive",
                "reduce_timeouts\", min_timeout = \"70ms\", idle_timeout = \"2s",
            ]);
            let monitor = *self.pick(&[
                "max_active_requests = 3",
                "max_active_connections = 4",
                "cpu_utilization = true",
            ]);
            let trigger = *self.pick(&[
                "threshold = \"90%\"",
                "scaling_threshold = \"1%\", saturation_threshold = \"70%\"",
            ]);
            let every = *self.pick(&["10ms", "300ms", "1s"]);
            self.line(&format!(
                "overload = {{ action = \"{action}\", {monitor}, {trigger}, \
                 refresh_interval = \"{every}\" }}"
            ));
        }
        if places.len() > 1 && self.chance(0.5) {
            let service = places[1].clone();
            self.line(&format!(
                "[[event]]\nid = \"drained\"\nat = \"1s\"\nuntil = \"3s\"\ndo = \"drain\"\n\
                 target = \"service:{service}\"\ndrain_time = \"1500ms\""
            ));
        }
    }

    // === what goes wrong ===

    /// What else happens to istiod.
    fn istiod(&mut self) {
        match self.below(3) {
            0 => self.line("do = \"slow\"\ntarget = \"istiod\"\nfactor = 50"),
            1 => self.line("do = \"freeze\"\ntarget = \"istiod\""),
            _ => return self.line("do = \"push\"\ntarget = \"istiod\""),
        }
        self.maybe(0.3, "share", &["0.5", "0.1"]);
    }

    fn event(&mut self, number: usize) {
        self.line(&format!("[[event]]\nid = \"e{number}\""));
        self.trigger();
        let kind = self.below(20);
        if kind == 0 && self.has_mesh && self.chance(0.5) {
            return self.istiod();
        }
        match kind {
            0 | 1 if self.has_mesh => {
                let target = *self.pick(&["", "/ca", "/xds", "/injector"]);
                self.line(&format!("do = \"fail\"\ntarget = \"istiod{target}\""));
                self.maybe(0.3, "share", &["0.5", "0.1"]);
            }
            0..=3 => {
                self.line("do = \"fail\"");
                self.pods();
                self.maybe(0.4, "part", &["\"app\""]);
            }
            4 => {
                self.line("do = \"restart\"");
                self.pods();
            }
            5 => {
                self.line("do = \"freeze\"");
                self.pods();
            }
            6 | 7 => {
                let place = self.place();
                self.line(&format!("do = \"fail\"\ntarget = \"{place}\""));
            }
            8 => {
                let link = self.link();
                self.line(&format!("do = \"cut\"\ntarget = \"{link}\""));
            }
            9 => {
                let link = self.link();
                self.line(&format!("do = \"degrade\"\ntarget = \"{link}\""));
                self.maybe(1.0, "delay", &["\"5ms\"", "\"100ms\""]);
                self.maybe(0.7, "loss", &["0.2", "1.0"]);
            }
            10 => {
                let is_gateway = self.text.contains("from = \"ingress\"") && self.chance(0.3);
                let target = if is_gateway { "ingress".to_owned() } else { self.target() };
                self.line(&format!("do = \"rollout\"\ntarget = \"{target}\""));
            }
            11 => {
                let service = self.below(self.services.len());
                let version = self.below(self.services[service].len());
                let replicas = self.below(7);
                self.line(&format!("do = \"scale\"\ntarget = \"service:s{service}/v{version}\""));
                self.line(&format!("replicas = {replicas}"));
            }
            12 => self.reroute(),
            13 => {
                let target = self.target();
                self.line(&format!("do = \"endpoints\"\ntarget = \"{target}\""));
                self.maybe(1.0, "health", &["\"healthy\"", "\"unhealthy\"", "\"degraded\""]);
                self.maybe(0.3, "weight", &["3"]);
                self.maybe(0.3, "priority", &["0", "2"]);
            }
            other => self.kubernetes_event(other),
        }
    }

    /// What goes wrong with Kubernetes.
    fn kubernetes_event(&mut self, which: usize) {
        match which {
            15 => {
                let node = self.below(self.nodes);
                self.line(&format!("do = \"drain\"\ntarget = \"node:n{node}\""));
            }
            16 => {
                self.line("do = \"crash_loop\"");
                self.pods();
            }
            17 => {
                let node = self.below(self.nodes);
                match self.below(if self.has_mesh { 4 } else { 2 }) {
                    0 => self.line("do = \"fail\"\ntarget = \"api_server\""),
                    1 => self.line(&format!("do = \"fail\"\ntarget = \"kubelet:n{node}\"")),
                    2 => {
                        self.line(&format!("do = \"fail\"\ntarget = \"kubelet:n{node}\""));
                        self.maybe(1.0, "part", &["\"tokens\""]);
                        self.maybe(0.5, "share", &["0.5"]);
                    }
                    _ => {
                        self.line("do = \"errors\"\ntarget = \"api_server\"");
                        self.maybe(0.8, "share", &["0.3", "1.0"]);
                    }
                }
            }
            18 if self.has_mesh => {
                let does = *self.pick(&[
                    "do = \"cut\"",
                    "do = \"slow\"\ndelay = \"50ms\"",
                    "do = \"webhook\"\npolicy = \"ignore\"",
                    "do = \"slow\"\ndelay = \"10s\"",
                ]);
                self.line(&format!("{does}\ntarget = \"istiod/injector\""));
            }
            _ => self.load(),
        }
    }

    /// Authorities, clocks, certificates and sleep, perhaps.
    fn identity(&mut self) {
        if !self.has_mesh || self.chance(0.6) {
            return;
        }
        let trust = *self.pick(&["", "trust = [\"c0\"]\n", "trust = [\"c0\", \"c2\"]\n"]);
        self.text = self.text.replacen("[mesh]\n", &format!("[mesh]\nca = \"c0\"\n{trust}"), 1);
        for (name, issuer) in
            [("c0", ""), ("c1", "issuer = \"c0\""), ("c2", ""), ("c3", "issuer = \"c2\"")]
        {
            self.line(&format!("[[ca]]\nname = \"{name}\"\n{issuer}"));
            self.maybe(0.5, "remaining", &["\"2s\"", "\"5s\"", "\"20s\""]);
        }
        for number in 0..=self.below(5) {
            self.line(&format!("[[event]]\nid = \"i{number}\""));
            self.trigger();
            let (target, place) = (self.target(), self.place());
            match self.below(5) {
                0 => {
                    let ca = self.below(4);
                    self.line(&format!("do = \"ca\"\ntarget = \"istiod\"\nca = \"c{ca}\""));
                    self.maybe(0.5, "share", &["0.4"]);
                    self.maybe(0.5, "restart", &["true", "false"]);
                }
                1 => {
                    self.line("do = \"trust\"");
                    self.maybe(1.0, "trust", &["[\"c0\"]", "[\"c2\"]", "[\"c0\", \"c2\"]"]);
                }
                2 => {
                    let whose = *self.pick(&[target.as_str(), place.as_str(), "istiod"]);
                    self.line(&format!("do = \"clock\"\ntarget = \"{whose}\""));
                    let way = *self.pick(&["ahead", "behind"]);
                    self.maybe(1.0, way, &["\"1s\"", "\"130s\"", "\"2h\""]);
                }
                3 => self.line(&format!("do = \"suspend\"\ntarget = \"{place}\"")),
                _ => {
                    self.line(&format!("do = \"secret\"\ntarget = \"{target}\""));
                    let shown = [
                        "{ none = true }",
                        "{ san = \"x\" }",
                        "{ ca = \"c3\" }",
                        "{ not_after = \"2s\" }",
                    ];
                    self.maybe(1.0, "certificate", &shown);
                }
            }
        }
    }

    fn trigger(&mut self) {
        if self.chance(0.1) {
            let gauge = *self.pick(&[
                "success_rate < 90%",
                "p99 > 20ms",
                "pods_missing > 0",
                "queued > 5",
                "success_rate >= 10%",
                "requests_in_flight > 3",
            ]);
            self.line(&format!("when = \"{gauge} for 500ms\""));
            self.maybe(0.5, "for", &["\"300ms\"", "\"2s\""]);
            return;
        }
        let at = if self.chance(0.2) { 1.0 } else { self.between(0.0, self.duration_s - 0.01) };
        let long = self.duration_s / 2.0;
        self.line(&format!("at = \"{at:.3}s\""));
        if self.chance(0.85) {
            let lasts = if self.chance(0.3) { 0.5 } else { self.between(0.001, long) };
            self.line(&format!("for = \"{lasts:.3}s\""));
            if self.chance(0.2) {
                let every = lasts + self.between(0.0, 2.0);
                self.line(&format!("every = \"{every:.3}s\""));
                self.maybe(0.5, "times", &["2", "5"]);
            }
        }
    }

    fn pods(&mut self) {
        let service = self.below(self.services.len());
        let version = self.below(self.services[service].len());
        if self.chance(0.4) {
            let ordinal = self.below(self.services[service][version]);
            self.line(&format!("target = \"pod:s{service}-v{version}-{ordinal}\""));
        } else {
            let target = self.target();
            self.line(&format!("target = \"{target}\""));
            self.maybe(0.5, "share", &["0.5", "0.2"]);
        }
    }

    fn target(&mut self) -> String {
        let service = self.below(self.services.len());
        let version = self.below(self.services[service].len());
        let whole = self.chance(0.4);
        if whole { format!("service:s{service}") } else { format!("service:s{service}/v{version}") }
    }

    fn place(&mut self) -> String {
        if self.chance(0.8) {
            format!("node:n{}", self.below(self.nodes))
        } else {
            format!("zone:z{}", self.below(self.zones))
        }
    }

    fn link(&mut self) -> String {
        if 1 < self.zones && self.chance(0.3) {
            return format!("zone:z{}", self.below(self.zones));
        }
        let arrow = *self.pick(&["->", "<->"]);
        format!("link:n{}{arrow}n{}", self.below(self.nodes), self.below(self.nodes))
    }

    fn reroute(&mut self) {
        let service = self.below(self.services.len());
        if !self.has_routes[service] {
            return self.line("do = \"note\"");
        }
        let weights = self.weights(service);
        self.line(&format!("do = \"route\"\ntarget = \"service:s{service}\"\nroute = \"rest\""));
        self.line(&format!("weights = {weights}"));
    }

    fn load(&mut self) {
        match self.below(3) {
            0 => {
                let target = self.target();
                self.line(&format!("do = \"slow\"\ntarget = \"{target}\""));
                self.maybe(1.0, "factor", &["0", "3", "20"]);
            }
            1 => {
                let target = self.target();
                self.line(&format!("do = \"errors\"\ntarget = \"{target}\""));
                self.maybe(1.0, "share", &["0.5", "1.0"]);
                self.maybe(0.5, "status", &["503", "404"]);
            }
            _ => {
                let source = self.below(self.sources);
                self.line(&format!("do = \"traffic\"\ntarget = \"traffic:t{source}\""));
                self.maybe(1.0, "factor", &["0", "3", "0.5"]);
            }
        }
    }
}
