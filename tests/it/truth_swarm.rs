//! Random cases in the format of the measured ones, from a seed: every key and every verb that
//! `envoy-lab/2` has, in combinations that nobody has measured. Only laws are checked: the simulator
//! has a word for all of it, no run breaks a law of the checked build or fails to end, and no more
//! requests are logged than were sent.
//!
//! `MESHSIM_SWARM=FROM..TO` plays other seeds; a failure prints its configuration.
//!
//! Source: the schema `envoy-lab/2`.

use meshsim::check::truth::lower::{Lowering, lower};
use meshsim::check::truth::observe;
use meshsim::check::truth::schema::config::Config;
use meshsim::check::truth::schema::{Configs, read};
use meshsim::kernel::stream::{Stream, below, uniform};
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds of a plain test run.
const SEEDS: std::ops::Range<u64> = 0..600;
/// More events than this for a few requests is a loop that feeds itself.
const EVENTS_MAX: u64 = 3_000_000;

#[test]
fn whatever_the_schema_allows_is_modelled_and_obeys_the_laws() {
    let mut failures = Vec::new();
    let mut rejected = 0;
    for seed in seeds() {
        let config = Author::new(seed).config();
        match catch_unwind(AssertUnwindSafe(|| obey(&config))) {
            Ok(is_accepted) => rejected += u64::from(!is_accepted),
            Err(why) => {
                let text = why.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let why = why.downcast_ref::<String>().cloned().or(text);
                failures.push((seed, why.unwrap_or_default(), config.to_string()));
            }
        }
    }
    if let Some((_, _, text)) = failures.iter().min_by_key(|(_, _, text)| text.len()) {
        let list: String = failures.iter().fold(String::new(), |mut list, (seed, why, _)| {
            let _ = writeln!(list, "seed {seed}: {why}");
            list
        });
        panic!("{list}\n{} broke a law; the shortest configuration:\n{text}", failures.len());
    }
    let all = seeds().count() as u64;
    assert!(rejected * 4 < all, "{rejected} of {all} are not accepted: too few are played");
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("MESHSIM_SWARM") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("MESHSIM_SWARM=FROM..TO");
    let seed = |text: &str| text.parse().expect("a seed is a number");
    seed(from)..seed(to)
}

/// As the harness reads it: a file with one case.
fn read_config(config: &Value) -> Config {
    let case = json!({
        "case": "swarm", "config": config, "repetitions": 1, "summary": {},
        "observed": [{}], "compare": null, "why": "nobody has measured it",
    });
    let file = json!({
        "name": "swarm", "about": "", "schema": "envoy-lab/2", "tool": {}, "made": "",
        "cases": [case],
    });
    let mut file = read("swarm.json", &file.to_string()).unwrap_or_else(|why| panic!("{why}"));
    match file.cases.remove(0).configs {
        Configs::One(config) => *config,
        Configs::Variants(_) => panic!("one configuration"),
    }
}

/// Plays a case; false if its proxy would not start.
fn obey(config: &Value) -> bool {
    let config = read_config(config);
    let lowered = match lower(&config) {
        Lowering::Plan(lowered) => lowered,
        Lowering::Rejected => return false,
        Lowering::NotModelled(keys) => panic!("not modelled: {}", keys.join(", ")),
    };
    let options = Options { access_log: true, max_events: Some(EVENTS_MAX), ..Options::default() };
    for seed in 1..=2 {
        let run = simulate(&lowered.plan, seed, options, &mut |_| Go::On);
        assert!(run.partial.is_none(), "more than {EVENTS_MAX} events: {:?}", run.partial);
        let facts = observe::facts(&config, &lowered, &run, &[]);
        let logged: f64 = facts.outcomes.values().chain(facts.burst.values()).sum();
        let sent: u64 = config.load.iter().map(|load| load.count).sum();
        assert!(logged <= sent as f64, "{logged} of {sent} requests are logged");
    }
    true
}

// === the author ===

struct Author {
    stream: Stream,
    hosts: usize,
    proxies: usize,
    has_tls: bool,
}

const CERTIFICATES: [&str; 7] =
    ["lab-ca", "other-ca", "server-leaf", "client-leaf", "old-leaf", "other-leaf", "late-leaf"];

impl Author {
    fn new(seed: u64) -> Self {
        let mut stream = Stream::new(seed, "truth swarm", "author");
        let (hosts, proxies) =
            (1 + below(stream.next_u64(), 5), 1 + below(stream.next_u64(), 6) / 3);
        let has_tls = below(stream.next_u64(), 4) == 0;
        Self { stream, hosts, proxies, has_tls }
    }

    fn chance(&mut self, share: f64) -> bool {
        uniform(self.stream.next_u64()) < share
    }

    fn below(&mut self, n: usize) -> usize {
        below(self.stream.next_u64(), n)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        let place = self.below(of.len());
        of[place].clone()
    }

    /// Sets a key in a share of the cases.
    fn maybe(&mut self, table: &mut Map<String, Value>, share: f64, key: &str, of: &[Value]) {
        if self.chance(share) {
            let value = self.one(of);
            table.insert(key.to_owned(), value);
        }
    }

    fn config(&mut self) -> Value {
        let proxies: Vec<Value> = (0..self.proxies).map(|index| self.proxy(index)).collect();
        let names = (0..self.hosts).map(|index| format!("h{index}")).chain(["authz".to_owned()]);
        let names: Vec<String> = names.collect();
        let host = |name| json!({"name": name, "behaviour": self.behaviour()});
        let hosts: Vec<Value> = names.into_iter().map(host).collect();
        let count = 1 + self.below(3);
        let mut load: Vec<Value> = (0..count).map(|_| self.load()).collect();
        let at = |load: &Value| load["at_s"].as_f64().unwrap_or(0.0);
        load.sort_by(|a, b| at(a).total_cmp(&at(b)));
        let count = if self.chance(0.6) { self.below(6) } else { 0 };
        let mut times: Vec<f64> = (0..count).map(|_| self.below(60) as f64 / 20.0).collect();
        times.sort_by(f64::total_cmp);
        let steps: Vec<Value> = times.into_iter().map(|at| self.step(at)).collect();
        json!({
            "defaults": "envoy-1.40", "entry": "p0", "proxies": proxies, "hosts": hosts,
            "certificates": if self.has_tls { certificates() } else { json!([]) },
            "load": load, "steps": steps,
        })
    }

    // === proxies ===

    fn proxy(&mut self, index: usize) -> Value {
        let mut proxy = Map::new();
        proxy.insert("name".into(), json!(format!("p{index}")));
        proxy.insert("workers".into(), json!(1 + self.below(8) / 6));
        let clusters: Vec<Value> = (0..3).map(|number| self.cluster(index, number)).collect();
        proxy.insert("clusters".into(), json!(clusters));
        proxy.insert("routes".into(), self.routes());
        self.maybe(&mut proxy, 0.2, "drain_time_s", &[json!(1), json!(2.5), json!(4)]);
        self.maybe(
            &mut proxy,
            0.5,
            "runtime",
            &[json!({"w.c0": 10, "w.c1": 90}), json!({"w.c1": 0})],
        );
        let dynamic = [json!(["cds", "rds"]), json!(["cds", "rds", "lds"]), json!(["rds"])];
        self.maybe(&mut proxy, 0.7, "dynamic", &dynamic);
        let mut listener = Map::new();
        if self.chance(0.5) {
            let count = self.below(4);
            let filters: Vec<Value> = (0..count).map(|_| self.filter()).collect();
            listener.insert("filters".into(), json!(filters));
        }
        if self.has_tls && self.chance(if index == 0 { 0.05 } else { 0.8 }) {
            let tls = self.tls(true);
            listener.insert("tls".into(), tls);
        }
        let some = |of: &[u64]| of.iter().map(|one| json!(one)).collect::<Vec<_>>();
        self.maybe(&mut listener, 0.1, "per_request_buffer_limit_bytes", &some(&[0, 100, 100_000]));
        self.maybe(&mut listener, 0.5, "validate_clusters", &[json!(false)]);
        let cidrs = [json!(["10.0.0.0/8"]), json!(["0.0.0.0/0"]), json!([])];
        self.maybe(&mut listener, 0.4, "internal_cidrs", &cidrs);
        self.maybe(&mut listener, 0.1, "stream_idle_timeout_ms", &some(&[0, 20, 500]));
        proxy.insert("listener".into(), Value::Object(listener));
        Value::Object(proxy)
    }

    fn filter(&mut self) -> Value {
        let percent = [json!(0), json!(30), json!(100)];
        match self.below(4) {
            0 => {
                let mut fault = Map::new();
                fault.insert("filter".into(), json!("fault"));
                if self.chance(0.6) {
                    fault.insert("delay_ms".into(), json!(self.below(100)));
                    fault.insert("delay_percent".into(), self.one(&percent));
                }
                if self.chance(0.6) {
                    let key = self.one(&["abort_status", "abort_grpc_status"]);
                    let status = if key == "abort_status" { 503 } else { 14 };
                    fault.insert(key.into(), json!(status));
                    fault.insert("abort_percent".into(), self.one(&percent));
                }
                self.maybe(&mut fault, 0.3, "max_active_faults", &[json!(0), json!(1), json!(3)]);
                Value::Object(fault)
            }
            1 => json!({
                "filter": "local_rate_limit", "max_tokens": 1 + self.below(20),
                "tokens_per_fill": 1 + self.below(5), "fill_interval_ms": 50 + self.below(500),
            }),
            2 => {
                let principal = self.one(&[json!("any"), json!({"header_present": "X-User"})]);
                let policies = if self.chance(0.8) {
                    json!([{"name": "all", "principal": principal}])
                } else {
                    json!([])
                };
                json!({"filter": "rbac", "action": self.one(&["ALLOW", "DENY"]), "policies": policies})
            }
            _ => {
                let cluster = self.one(&["authz", "authz", "c1", "ghost"]);
                let mut authz = Map::new();
                authz.insert("filter".into(), json!("ext_authz"));
                authz.insert("cluster".into(), json!(cluster));
                self.maybe(&mut authz, 0.5, "timeout_ms", &[json!(10), json!(250)]);
                self.maybe(&mut authz, 0.5, "failure_mode_allow", &[json!(true), json!(false)]);
                Value::Object(authz)
            }
        }
    }

    // === routes ===

    fn routes(&mut self) -> Value {
        let count = 1 + self.below(3);
        let mut routes: Vec<Value> = (1..count).map(|_| self.route("/a")).collect();
        let last = self.one(&["/", "/", "/", "/a"]);
        routes.push(self.route(last));
        json!(routes)
    }

    fn route(&mut self, prefix: &str) -> Value {
        let mut route = Map::new();
        route.insert("prefix".into(), json!(prefix));
        match self.below(12) {
            0 => {
                let status = self.one(&[200, 404, 503]);
                route.insert("direct_response".into(), json!({"status": status, "body_bytes": 3}));
            }
            1 => {
                route.insert("redirect".into(), json!({"path": "/b"}));
            }
            2 => {
                route.insert("cluster_header".into(), json!("X-Cluster"));
                self.maybe(&mut route, 0.5, "cluster_not_found_status", &[json!(404), json!(503)]);
            }
            3 | 4 => {
                let weights: Vec<Value> = ["c0", "c1", "ghost"]
                    .iter()
                    .map(|name| json!({"cluster": name, "weight": self.below(4)}))
                    .chain([json!({"cluster": "c0", "weight": 1})])
                    .collect();
                route.insert("weighted_clusters".into(), json!(weights));
                self.maybe(&mut route, 0.3, "runtime_key_prefix", &[json!("w")]);
                self.maybe(&mut route, 0.3, "total_weight", &[json!(50)]);
            }
            _ => {
                let cluster = self.one(&["c0", "c0", "c0", "c1", "c2", "late"]);
                route.insert("cluster".into(), json!(cluster));
            }
        }
        let times = [json!(0), json!(30), json!(200), json!(1000)];
        self.maybe(&mut route, 0.8, "timeout_ms", &times);
        self.maybe(&mut route, 0.15, "idle_timeout_ms", &times);
        if self.chance(0.6) {
            let policy = self.retry_policy();
            route.insert("retry_policy".into(), policy);
        }
        self.maybe(&mut route, 0.25, "hedge_on_per_try_timeout", &[json!(true), json!(false)]);
        self.maybe(&mut route, 0.4, "hash_on_header", &[json!("X-User"), json!("x-none")]);
        if self.chance(0.25) {
            let to = self.one(&["c1", "c2", "ghost", "c0"]);
            let percent = self.one(&[0, 50, 100]);
            let mut mirrors = vec![json!({"cluster": to, "percent": percent})];
            if self.chance(0.3) {
                mirrors.push(json!({"cluster": "c1", "percent": 100}));
            }
            route.insert("mirror".into(), json!(mirrors));
        }
        Value::Object(route)
    }

    fn retry_policy(&mut self) -> Value {
        let words = [
            "5xx",
            "gateway-error",
            "reset",
            "reset-before-request",
            "connect-failure",
            "retriable-4xx",
            "refused-stream",
            "unavailable",
            "cancelled",
            "retriable-status-codes",
        ];
        let count = self.below(5);
        let on: Vec<&str> = (0..count).map(|_| self.one(&words)).collect();
        let mut policy = Map::new();
        policy.insert("retry_on".into(), json!(on));
        self.maybe(&mut policy, 0.7, "num_retries", &[json!(0), json!(1), json!(3), json!(6)]);
        self.maybe(&mut policy, 0.4, "retriable_status_codes", &[json!([503]), json!([200, 404])]);
        self.maybe(&mut policy, 0.5, "per_try_timeout_ms", &[json!(0), json!(15), json!(100)]);
        self.maybe(&mut policy, 0.2, "per_try_idle_timeout_ms", &[json!(0), json!(15), json!(100)]);
        if self.chance(0.5) {
            let base = self.one(&[1, 5, 100]);
            policy.insert("back_off_base_ms".into(), json!(base));
            self.maybe(&mut policy, 0.6, "back_off_max_ms", &[json!(base), json!(base * 4)]);
        }
        self.maybe(
            &mut policy,
            0.4,
            "retry_host_predicate",
            &[json!(["previous_hosts"]), json!([])],
        );
        let attempts = [json!(1), json!(5)];
        self.maybe(&mut policy, 0.3, "host_selection_retry_max_attempts", &attempts);
        Value::Object(policy)
    }

    // === clusters ===

    fn cluster(&mut self, proxy: usize, number: usize) -> Value {
        let name = if proxy == 0 && number == 2 && self.chance(0.5) {
            "authz".to_owned()
        } else {
            format!("c{number}")
        };
        let mut cluster = self.cluster_of(&name, proxy);
        if name == "authz" {
            cluster["endpoints"] = json!([{"host": "authz"}]);
        }
        cluster
    }

    fn cluster_of(&mut self, name: &str, proxy: usize) -> Value {
        let policies = ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV"];
        let mut cluster = Map::new();
        cluster.insert("name".into(), json!(name));
        cluster.insert("lb_policy".into(), json!(self.one(&policies)));
        cluster.insert("connect_timeout_ms".into(), json!(self.one(&[50, 250, 1000])));
        let protocol = self.one(&["http1", "http1", "http2"]);
        cluster.insert("http".into(), json!(protocol));
        self.maybe(
            &mut cluster,
            0.5,
            "discovery",
            &[json!("eds"), json!("eds"), json!("eds_rest")],
        );
        self.maybe(&mut cluster, 0.3, "initial_fetch_timeout_ms", &[json!(300), json!(2000)]);
        if self.chance(0.93) {
            let endpoints = self.endpoints(proxy);
            cluster.insert("endpoints".into(), endpoints);
        }
        self.balancing(&mut cluster);
        let some = |of: &[u64]| of.iter().map(|one| json!(one)).collect::<Vec<_>>();
        if self.chance(0.4) {
            let breakers = self.breakers(&some(&[0, 1, 2, 5]));
            cluster.insert("circuit_breakers".into(), breakers);
        }
        self.maybe(&mut cluster, 0.1, "drop_overload_percent", &some(&[0, 30, 100]));
        self.maybe(&mut cluster, 0.1, "endpoint_stale_after_ms", &some(&[300, 1500]));
        self.maybe(&mut cluster, 0.1, "max_connection_duration_ms", &some(&[20, 700]));
        self.maybe(&mut cluster, 0.1, "max_stream_duration_ms", &some(&[15, 300]));
        self.maybe(&mut cluster, 0.15, "max_requests_per_connection", &some(&[1, 3]));
        if self.chance(0.35) {
            let outlier = self.outlier();
            cluster.insert("outlier_detection".into(), outlier);
        }
        if self.has_tls && self.chance(0.6) {
            let tls = self.tls(false);
            cluster.insert("tls".into(), tls);
        }
        if self.chance(0.2) {
            let check = self.health_check();
            cluster.insert("health_checks".into(), json!([check]));
        }
        Value::Object(cluster)
    }

    fn balancing(&mut self, cluster: &mut Map<String, Value>) {
        if self.chance(0.4) {
            let mut config = Map::new();
            self.maybe(&mut config, 0.4, "choice_count", &[json!(2), json!(4)]);
            self.maybe(&mut config, 0.3, "active_request_bias", &[json!(0), json!(1), json!(2.5)]);
            self.maybe(&mut config, 0.3, "minimum_ring_size", &[json!(8), json!(4096)]);
            if self.chance(0.4) {
                let window = self.one(&[500, 3000]);
                let slow = json!({"window_ms": window, "min_weight_percent": self.below(50)});
                config.insert("slow_start".into(), slow);
            }
            cluster.insert("lb_config".into(), Value::Object(config));
        }
        let zones = [json!({"z0": 1, "z1": 3}), json!({"z1": 5}), json!({"z0": 0, "z1": 0})];
        self.maybe(cluster, 0.2, "locality_weights", &zones);
        let shares = [json!(0), json!(30), json!(50), json!(100)];
        self.maybe(cluster, 0.4, "healthy_panic_threshold_percent", &shares);
    }

    fn breakers(&mut self, limits: &[Value]) -> Value {
        let mut breakers = Map::new();
        for key in ["max_connections", "max_pending_requests", "max_requests", "max_retries"] {
            self.maybe(&mut breakers, 0.5, key, limits);
        }
        let budget =
            json!({"budget_percent": self.below(101), "min_retry_concurrency": self.below(4)});
        self.maybe(&mut breakers, 0.3, "retry_budget", &[budget]);
        Value::Object(breakers)
    }

    fn outlier(&mut self) -> Value {
        let mut outlier = Map::new();
        let keys: [(&str, &[u64]); 18] = [
            ("interval_ms", &[100, 1000]),
            ("base_ejection_time_ms", &[100, 500, 5000]),
            ("max_ejection_time_ms", &[100, 1000]),
            ("max_ejection_time_jitter_ms", &[0, 300]),
            ("consecutive_5xx", &[0, 1, 3]),
            ("consecutive_gateway_failure", &[0, 1, 3]),
            ("consecutive_local_origin_failure", &[0, 1, 3]),
            ("enforcing_consecutive_5xx", &[0, 50, 100]),
            ("enforcing_consecutive_gateway_failure", &[0, 50, 100]),
            ("enforcing_success_rate", &[0, 100]),
            ("enforcing_failure_percentage", &[0, 100]),
            ("max_ejection_percent", &[0, 34, 50, 100]),
            ("success_rate_minimum_hosts", &[1, 3]),
            ("success_rate_request_volume", &[1, 10]),
            ("success_rate_stdev_factor", &[0, 500, 1900]),
            ("failure_percentage_threshold", &[0, 30, 85]),
            ("failure_percentage_minimum_hosts", &[1, 3]),
            ("failure_percentage_request_volume", &[1, 10]),
        ];
        for (key, of) in keys {
            let of: Vec<Value> = of.iter().map(|one| json!(one)).collect();
            self.maybe(&mut outlier, 0.4, key, &of);
        }
        self.maybe(&mut outlier, 0.3, "split_external_local_origin_errors", &[json!(true)]);
        self.maybe(&mut outlier, 0.3, "always_eject_one_host", &[json!(true), json!(false)]);
        Value::Object(outlier)
    }

    fn health_check(&mut self) -> Value {
        let mut check = Map::new();
        let path = self.one(&["/health", "/"]);
        check.insert("path".into(), json!(path));
        check.insert("timeout_ms".into(), json!(self.one(&[20, 300])));
        check.insert("interval_ms".into(), json!(self.one(&[100, 400])));
        check.insert("interval_jitter_ms".into(), json!(self.one(&[0, 50])));
        check.insert("initial_jitter_ms".into(), json!(self.one(&[0, 50])));
        check.insert("no_traffic_interval_ms".into(), json!(self.one(&[100, 60_000])));
        check.insert("unhealthy_threshold".into(), json!(1 + self.below(3)));
        check.insert("healthy_threshold".into(), json!(1 + self.below(2)));
        self.maybe(&mut check, 0.3, "retriable_statuses", &[json!([[500, 599]])]);
        Value::Object(check)
    }

    // === endpoints and hosts ===

    /// A host, or a proxy behind this one.
    fn target(&mut self, proxy: usize) -> String {
        if proxy + 1 < self.proxies && self.chance(0.5) {
            format!("p{}", proxy + 1)
        } else {
            format!("h{}", self.below(self.hosts))
        }
    }

    fn endpoints(&mut self, proxy: usize) -> Value {
        let count = self.below(5);
        let mut endpoints: Vec<Value> = Vec::new();
        for _ in 0..count {
            let endpoint = self.endpoint(proxy);
            if endpoints.iter().all(|one| one["host"] != endpoint["host"]) || self.chance(0.1) {
                endpoints.push(endpoint);
            }
        }
        json!(endpoints)
    }

    fn endpoint(&mut self, proxy: usize) -> Value {
        let mut endpoint = Map::new();
        endpoint.insert("host".into(), json!(self.target(proxy)));
        if self.chance(0.3) {
            self.maybe(&mut endpoint, 0.5, "weight", &[json!(1), json!(2), json!(10)]);
            self.maybe(&mut endpoint, 0.4, "priority", &[json!(0), json!(1), json!(2)]);
            self.maybe(&mut endpoint, 0.4, "locality", &[json!("z0"), json!("z1"), json!("z2")]);
            let health = [json!("HEALTHY"), json!("UNHEALTHY"), json!("DRAINING")];
            self.maybe(&mut endpoint, 0.4, "health", &health);
            self.maybe(&mut endpoint, 0.2, "connect_delay_ms", &[json!(5), json!(100)]);
        }
        Value::Object(endpoint)
    }

    fn behaviour(&mut self) -> Value {
        let kinds = [
            "respond",
            "respond",
            "respond",
            "respond_and_close",
            "slow_body",
            "headers_then_reset",
            "reset_before_headers",
            "fin_before_headers",
            "hang",
            "refuse",
            "blackhole",
        ];
        let mut behaviour = Map::new();
        let kind = self.one(&kinds);
        behaviour.insert("kind".into(), json!(kind));
        let times = [json!(0), json!(1), json!(20), json!(150)];
        self.maybe(&mut behaviour, 0.8, "delay_ms", &times);
        let statuses = [json!(200), json!(404), json!(409), json!(500), json!(503)];
        self.maybe(&mut behaviour, 0.6, "status", &statuses);
        self.maybe(&mut behaviour, 0.3, "body_bytes", &[json!(0), json!(10), json!(100_000)]);
        self.maybe(&mut behaviour, 0.4, "body_delay_ms", &times);
        if self.chance(0.2) {
            behaviour.insert("error_p".into(), json!(self.one(&[0.0, 0.3, 1.0])));
            self.maybe(&mut behaviour, 0.7, "error_status", &statuses);
        }
        self.maybe(&mut behaviour, 0.1, "idle_close_ms", &[json!(30), json!(500)]);
        self.maybe(&mut behaviour, 0.1, "health_check_status", &[json!(200), json!(503)]);
        self.maybe(&mut behaviour, 0.1, "health_check_delay_ms", &[json!(0), json!(100)]);
        Value::Object(behaviour)
    }

    // === TLS ===

    fn tls(&mut self, is_server: bool) -> Value {
        let mut tls = Map::new();
        let own =
            if is_server { ["server-leaf", "late-leaf"] } else { ["client-leaf", "old-leaf"] };
        if is_server || self.chance(0.8) {
            let own = if self.chance(0.1) { "other-leaf" } else { self.one(&own) };
            tls.insert("certificate".into(), json!(own));
        }
        let roots = [json!(["lab-ca"]), json!(["lab-ca"]), json!(["other-ca"]), json!([])];
        self.maybe(&mut tls, 0.9, "trusted_ca", &roots);
        let names = [json!("spiffe://lab/server"), json!("spiffe://lab/client")];
        self.maybe(&mut tls, 0.3, "match_uri_san", &names);
        self.maybe(&mut tls, 0.4, "version", &[json!("1.2"), json!("1.3")]);
        self.maybe(&mut tls, 0.6, "sds", &[json!(true)]);
        if is_server {
            self.maybe(&mut tls, 0.6, "require_client_certificate", &[json!(true), json!(false)]);
            self.maybe(&mut tls, 0.3, "disable_stateless_session_resumption", &[json!(true)]);
            self.maybe(&mut tls, 0.3, "disable_stateful_session_resumption", &[json!(true)]);
        } else {
            self.maybe(&mut tls, 0.3, "max_session_keys", &[json!(0)]);
        }
        Value::Object(tls)
    }

    // === load ===

    fn load(&mut self) -> Value {
        let mut load = Map::new();
        let kind = self.one(&["open_loop", "open_loop", "closed_loop", "burst", "sequential"]);
        load.insert("at_s".into(), json!(self.below(30) as f64 / 20.0));
        load.insert("kind".into(), json!(kind));
        load.insert("count".into(), json!(1 + self.below(60)));
        match kind {
            "open_loop" => {
                load.insert("rate_rps".into(), json!(5 + self.below(100)));
            }
            "closed_loop" => {
                load.insert("concurrency".into(), json!(1 + self.below(8)));
                self.maybe(&mut load, 0.4, "think_ms", &[json!(0), json!(20)]);
            }
            "sequential" => self.maybe(&mut load, 0.6, "gap_ms", &[json!(0), json!(1), json!(30)]),
            _ => self.maybe(&mut load, 0.5, "phase", &[json!("burst")]),
        }
        self.maybe(&mut load, 0.4, "path", &[json!("/a/b"), json!("/none"), json!("/")]);
        if self.chance(0.4) {
            let mut headers = Map::new();
            self.maybe(&mut headers, 0.5, "X-User", &[json!("eve")]);
            let clusters = [json!("c0"), json!("ghost"), json!("late")];
            self.maybe(&mut headers, 0.4, "X-Cluster", &clusters);
            let senders = [json!("10.1.2.3"), json!("8.8.8.8")];
            self.maybe(&mut headers, 0.5, "X-Forwarded-For", &senders);
            let times = [json!("20"), json!("0"), json!("many")];
            self.maybe(&mut headers, 0.3, "x-envoy-upstream-rq-timeout-ms", &times);
            self.maybe(&mut headers, 0.3, "x-envoy-upstream-rq-per-try-timeout-ms", &times);
            self.maybe(&mut headers, 0.3, "x-envoy-max-retries", &[json!("0"), json!("4")]);
            self.maybe(&mut headers, 0.3, "x-envoy-retry-on", &[json!("5xx,reset"), json!("")]);
            load.insert("headers".into(), Value::Object(headers));
        }
        self.maybe(&mut load, 0.1, "header_bytes", &[json!({"x-big": 70_000}), json!({"x": 10})]);
        self.maybe(&mut load, 0.25, "header_sequence", &[json!({"X-User": "user-{i}"})]);
        self.maybe(&mut load, 0.2, "method", &[json!("POST")]);
        self.maybe(&mut load, 0.2, "body_bytes", &[json!(0), json!(1000), json!(2_000_000)]);
        self.maybe(&mut load, 0.2, "abort_after_ms", &[json!(1), json!(25), json!(400)]);
        self.maybe(&mut load, 0.08, "malformed", &[json!("missing_host")]);
        self.maybe(&mut load, 0.2, "new_connection_each", &[json!(true), json!(false)]);
        let phases = ["warmup", "before", "again", "after"].map(|one| json!(one));
        if kind != "burst" {
            self.maybe(&mut load, 0.2, "phase", &phases);
        }
        Value::Object(load)
    }

    // === steps ===

    fn step(&mut self, at: f64) -> Value {
        let cluster = self.one(&["c0", "c0", "c1", "late"]);
        let host = format!("h{}", self.below(self.hosts));
        let last = self.proxies - 1;
        let proxy = if self.chance(0.1) { 0 } else { last };
        let proxy = format!("p{proxy}");
        let (verb, target, args): (&str, String, Value) = match self.below(22) {
            0 => ("eds_remove", cluster.into(), json!({"endpoints": [host]})),
            1 => ("eds_add", cluster.into(), json!({"endpoints": [self.endpoint(0)]})),
            2 => ("eds_set", cluster.into(), json!({"endpoints": self.endpoints(0)})),
            3 => ("eds_set_health", cluster.into(), json!({"endpoints": [self.endpoint(0)]})),
            4 => {
                let reason = self.one(&["bad_address", "other_cluster_name"]);
                ("eds_invalid", cluster.into(), json!({"reason": reason}))
            }
            5 => {
                let added = self.cluster_of("late", 0);
                ("cds_add", "late".into(), json!({"cluster": added}))
            }
            6 => ("cds_remove", cluster.into(), Value::Null),
            7 => {
                let set = json!({"connect_timeout_ms": self.one(&[10, 3000])});
                ("cds_modify", cluster.into(), json!({"set": set}))
            }
            8 => ("rds_switch", "routes".into(), json!({"routes": self.routes()})),
            9 => ("lds_update", "listener".into(), json!({"routes": self.routes()})),
            10 => ("lds_remove", "listener".into(), Value::Null),
            11 => ("host_stop", host, json!({"close": self.one(&["fin", "rst"])})),
            12 => ("host_start", host, Value::Null),
            13 => ("host_behaviour", host, json!({"behaviour": self.behaviour()})),
            14 => (self.one(&["proxy_kill", "proxy_sigterm"]), proxy, Value::Null),
            15 => ("proxy_drain", proxy, Value::Null),
            16 => ("proxy_healthcheck_fail", proxy, Value::Null),
            17 => ("proxy_freeze", proxy, Value::Null),
            18 => ("proxy_resume", proxy, Value::Null),
            19 if self.has_tls => {
                let secret = self.one(&["certificate", "trusted_ca"]);
                let new = self.one(&CERTIFICATES);
                let proxy = format!("p{}", self.below(self.proxies));
                ("cert_rotate", proxy, json!({"secret": secret, "certificates": [new]}))
            }
            19 | 20 => ("control_plane_down", "eds".into(), Value::Null),
            _ => ("control_plane_up", "eds".into(), Value::Null),
        };
        let mut step = json!({"at_s": at, "do": verb, "target": target});
        if !args.is_null() {
            step["args"] = args;
        }
        step
    }
}

fn certificates() -> Value {
    let leaf = |name: &str, issuer: &str, san: &str, from: f64, to: f64| {
        json!({
            "name": name, "kind": "leaf", "issuer": issuer, "uri_san": format!("spiffe://lab/{san}"),
            "key": if name == "late-leaf" { "rsa_2048" } else { "ec_p256" },
            "not_before_s": from, "not_after_s": to,
        })
    };
    let ca = |name: &str, to: f64| json!({"name": name, "kind": "ca", "key": "ec_p256", "not_before_s": -60, "not_after_s": to});
    json!([
        ca("lab-ca", 3600.0),
        ca("other-ca", 1.5),
        leaf("server-leaf", "lab-ca", "server", -60.0, 3600.0),
        leaf("client-leaf", "lab-ca", "client", -60.0, 3600.0),
        leaf("old-leaf", "lab-ca", "client", -60.0, 0.8),
        leaf("other-leaf", "other-ca", "server", -60.0, 3600.0),
        leaf("late-leaf", "lab-ca", "server", 0.7, 2.0),
    ])
}
