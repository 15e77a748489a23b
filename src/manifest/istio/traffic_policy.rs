//! The traffic policy of a `DestinationRule`: balancing, limits, outlier detection, TLS.
//!
//! Source: Istio API `networking/v1/destination_rule.proto` with its CRD ranges; istio/istio
//! `pkg/config/validation/validation.go` (`validateConnectionPool`, `validateOutlierDetection`,
//! `validateLoadBalancer`, `validateTLS`, `validateTrafficPolicy`).
//! Left out: `tunnel`, `proxyProtocol`, TCP keep-alive (named in the ignored list).

use crate::manifest::istio::balancer::Balancer;
use crate::manifest::istio::check;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;
use crate::manifest::units::DurationForm;

/// How traffic to a host, a subset or a port is treated.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TrafficPolicy {
    /// Where it stands.
    pub at: At,
    /// How endpoints are picked.
    pub balancer: Option<Balancer>,
    /// Limits of connections and requests.
    pub pool: Option<ConnectionPool>,
    /// When an endpoint is taken out.
    pub outlier: Option<OutlierDetection>,
    /// How the client side speaks TLS.
    pub tls: Option<ClientTls>,
    /// How many retries may be under way.
    pub retry_budget: Option<RetryBudget>,
    /// Policies of single ports, each replacing the whole.
    pub ports: Vec<(u16, TrafficPolicy)>,
}

/// Limits of connections and requests; none: unlimited.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnectionPool {
    /// Where it stands.
    pub at: At,
    /// Connections per endpoint group.
    pub connections_max: Option<u32>,
    /// How long a connection may take to open; 10 s unless set.
    pub connect_timeout_ns: Option<u64>,
    /// How long a TCP connection may live.
    pub connection_age_ns: Option<u64>,
    /// How long an idle TCP connection stays.
    pub tcp_idle_ns: Option<u64>,
    /// Requests that may wait.
    pub pending_max: Option<u32>,
    /// Requests at once.
    pub requests_max: Option<u32>,
    /// Requests of one connection; 0: unlimited.
    pub per_connection_max: Option<u32>,
    /// Retries at once.
    pub retries_max: Option<u32>,
    /// How long an idle HTTP connection stays.
    pub http_idle_ns: Option<u64>,
    /// Streams of one HTTP/2 connection.
    pub streams_max: Option<u32>,
    /// Whether HTTP/1.1 goes over HTTP/2 between proxies; none: the mesh's setting.
    pub upgrade: Option<bool>,
}

/// When an endpoint is taken out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutlierDetection {
    /// Where it stands.
    pub at: At,
    /// 5xx answers in a row; 0 switches it off.
    pub consecutive_5xx: u32,
    /// 502, 503, 504 in a row; none or 0: off.
    pub consecutive_gateway: Option<u32>,
    /// Whether failures of the local side are counted apart.
    pub split_local: bool,
    /// Failures of the local side in a row, if counted apart.
    pub consecutive_local: u32,
    /// How often the sweep looks.
    pub interval_ns: u64,
    /// How long the first ejection lasts.
    pub base_ejection_ns: u64,
    /// At most so many percent are out.
    pub ejection_percent_max: u32,
    /// Below this percentage of healthy endpoints all are used.
    pub health_percent_min: u32,
}

/// How the client side speaks TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientTls {
    /// Where it stands.
    pub at: At,
    /// The mode.
    pub mode: TlsMode,
    /// The secret with certificates.
    pub credential_name: Option<String>,
    /// The file of trusted authorities.
    pub ca_certificates: Option<String>,
    /// The names that the server's certificate must have.
    pub subject_alt_names: Vec<String>,
    /// The name in the TLS hello.
    pub sni: Option<String>,
    /// Whether the server is trusted without a check.
    pub insecure: Option<bool>,
}

/// A mode of TLS at the client side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsMode {
    /// Plain text.
    #[default]
    Disable,
    /// TLS.
    Simple,
    /// TLS with own certificates.
    Mutual,
    /// The mesh's mutual TLS.
    IstioMutual,
}

impl TlsMode {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disable => "DISABLE",
            Self::Simple => "SIMPLE",
            Self::Mutual => "MUTUAL",
            Self::IstioMutual => "ISTIO_MUTUAL",
        }
    }
}

/// How many retries may be under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryBudget {
    /// Share of the active requests, in parts per million.
    pub share_ppm: u32,
    /// So many are always allowed.
    pub concurrency_min: u32,
}

impl TrafficPolicy {
    /// Reads a policy.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        let mut policy = Self::read_part(reader);
        reader.ignore(&["tunnel", "proxyProtocol"], "not simulated");
        policy.ports = reader.list("portLevelSettings", |port| {
            let number = check::port_selector(port, "port");
            if number.is_none() && !port.has("port") {
                port.missing("port");
            }
            (number.unwrap_or(0), Self::read_part(port))
        });
        policy
    }

    fn read_part(reader: &mut Reader<'_, '_>) -> Self {
        Self {
            at: reader.at(),
            balancer: reader.map("loadBalancer", Balancer::read),
            pool: reader.map("connectionPool", ConnectionPool::read),
            outlier: reader.map("outlierDetection", OutlierDetection::read),
            tls: reader.map("tls", ClientTls::read),
            retry_budget: reader.map("retryBudget", RetryBudget::read),
            ports: Vec::new(),
        }
    }

    /// The policy for a port: the port's own in place of the whole, as Istio merges them.
    #[must_use]
    pub fn for_port(&self, port: u16) -> Self {
        match self.ports.iter().find(|(number, _)| *number == port) {
            Some((_, own)) => own.clone(),
            None => Self { ports: Vec::new(), ..self.clone() },
        }
    }

    /// This policy with what a subset's own says on top.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        Self {
            at: own.at,
            balancer: own.balancer.clone().or_else(|| self.balancer.clone()),
            pool: own.pool.clone().or_else(|| self.pool.clone()),
            outlier: own.outlier.clone().or_else(|| self.outlier.clone()),
            tls: own.tls.clone().or_else(|| self.tls.clone()),
            retry_budget: own.retry_budget.or(self.retry_budget),
            ports: Vec::new(),
        }
    }
}

impl ConnectionPool {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        if !reader.has("tcp") && !reader.has("http") {
            let what = "connection pool must have at least one field";
            reader.problem(reader.at(), what, "tcp or http");
        }
        let mut pool = Self { at: reader.at(), ..Self::default() };
        reader.map("tcp", |tcp| {
            pool.connections_max = tcp.count("maxConnections");
            pool.connect_timeout_ns = check::some_duration(tcp, "connectTimeout");
            pool.connection_age_ns = check::some_duration(tcp, "maxConnectionDuration");
            pool.tcp_idle_ns = check::duration(tcp, "idleTimeout", 0);
            tcp.ignore(&["tcpKeepalive"], "keep-alive of the operating system");
        });
        reader.map("http", |http| {
            pool.pending_max = http.count("http1MaxPendingRequests");
            pool.requests_max = http.count("http2MaxRequests");
            pool.per_connection_max = http.count("maxRequestsPerConnection");
            pool.retries_max = http.count("maxRetries");
            pool.http_idle_ns = check::duration(http, "idleTimeout", 0);
            pool.streams_max = http.count("maxConcurrentStreams");
            let words =
                [("DEFAULT", None), ("DO_NOT_UPGRADE", Some(false)), ("UPGRADE", Some(true))];
            pool.upgrade = http.one_of("h2UpgradePolicy", &words).flatten();
            http.ignore(&["useClientProtocol"], "the protocol between proxies is the port's");
            http.ignore(&["http2KeepAlive"], "HTTP/2 pings are not simulated");
        });
        pool
    }
}

impl OutlierDetection {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        let old = reader.count("consecutiveErrors");
        let five = reader.int("consecutive5xxErrors", 0..=i64::from(u32::MAX));
        let interval = check::some_duration(reader, "interval");
        Self {
            at: reader.at(),
            consecutive_5xx: five.and_then(|n| u32::try_from(n).ok()).or(old).unwrap_or(5),
            consecutive_gateway: reader.count("consecutiveGatewayErrors").filter(|n| *n > 0),
            split_local: reader.bool("splitExternalLocalOriginErrors").unwrap_or(false),
            consecutive_local: reader.count("consecutiveLocalOriginFailures").unwrap_or(5),
            interval_ns: interval.unwrap_or(10_000_000_000),
            base_ejection_ns: check::some_duration(reader, "baseEjectionTime")
                .unwrap_or(30_000_000_000),
            ejection_percent_max: percent(reader, "maxEjectionPercent").unwrap_or(10),
            health_percent_min: percent(reader, "minHealthPercent").unwrap_or(0),
        }
    }
}

fn percent(reader: &mut Reader<'_, '_>, name: &'static str) -> Option<u32> {
    reader.int(name, 0..=100).and_then(|percent| u32::try_from(percent).ok())
}

impl ClientTls {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        let modes = [
            ("DISABLE", TlsMode::Disable),
            ("SIMPLE", TlsMode::Simple),
            ("MUTUAL", TlsMode::Mutual),
            ("ISTIO_MUTUAL", TlsMode::IstioMutual),
        ];
        let mode = reader.one_of("mode", &modes).unwrap_or_default();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (client, key) =
            (filled(reader.text("clientCertificate")), filled(reader.text("privateKey")));
        let tls = Self {
            at: reader.at(),
            mode,
            credential_name: filled(reader.text("credentialName")),
            ca_certificates: filled(reader.text("caCertificates")),
            subject_alt_names: reader.texts("subjectAltNames"),
            sni: filled(reader.text("sni")),
            insecure: reader.bool("insecureSkipVerify"),
        };
        reader.ignore(&["caCrl"], "revocation lists are not simulated");
        let by_file = client.is_some() || key.is_some() || tls.ca_certificates.is_some();
        let told = |reader: &mut Reader<'_, '_>, what: &str| reader.problem(reader.at(), what, "");
        if mode == TlsMode::IstioMutual
            && (by_file || tls.credential_name.is_some() || !tls.subject_alt_names.is_empty())
            && (by_file || tls.credential_name.is_some())
        {
            told(reader, "certificates cannot be set when ISTIO_MUTUAL is used");
        }
        if mode == TlsMode::Mutual && tls.credential_name.is_none() {
            if client.is_none() {
                told(reader, "client certificate required for mutual tls");
            }
            if key.is_none() {
                told(reader, "private key required for mutual tls");
            }
        }
        if matches!(mode, TlsMode::Mutual | TlsMode::Simple)
            && tls.credential_name.is_some()
            && (client.is_some() || key.is_some())
        {
            told(reader, "cannot specify client certificates or private key with credentialName");
        }
        if tls.insecure == Some(true) && !tls.subject_alt_names.is_empty() {
            told(reader, "insecureSkipVerify and subjectAltNames exclude each other");
        }
        tls
    }
}

impl RetryBudget {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        reader.duration_ns("budgetInterval", DurationForm::Go);
        let percent = reader.float("percent", 0.0..=100.0);
        Self {
            share_ppm: check::ppm(percent.unwrap_or(20.0)),
            concurrency_min: reader.count("minRetryConcurrency").unwrap_or(3),
        }
    }
}
