//! `Gateway`: the ports, hosts and certificates that a gateway's proxies serve.
//!
//! Source: Istio API `networking/v1/gateway.proto`; istio/istio `pkg/config/validation/gateway.go`.
//! Left out: cipher suites, TLS versions, certificate hashes, `bind` (named in the ignored list).

use crate::manifest::istio::check;
use crate::manifest::istio::meta::Head;
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// A gateway.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gateway {
    /// Who it is.
    pub head: Head,
    /// Labels of the pods that serve it; empty: all.
    pub selector: Labels,
    /// Where the selector stands.
    pub selector_at: At,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// One port of a gateway.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Server {
    /// Where it stands.
    pub at: At,
    /// Its port.
    pub port: u16,
    /// Where the port stands.
    pub port_at: At,
    /// The protocol as written, in capitals.
    pub protocol: String,
    /// The hosts, as written: `host` or `namespace/host`.
    pub hosts: Vec<Word>,
    /// TLS, if it has any.
    pub tls: Option<ServerTls>,
}

/// TLS of a server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerTls {
    /// Where it stands.
    pub at: At,
    /// Whether plain HTTP is answered with a redirect to https (301).
    pub https_redirect: bool,
    /// The mode.
    pub mode: ServerTlsMode,
    /// The secret with the certificate.
    pub credential: Option<Word>,
    /// The file of the certificate.
    pub server_certificate: Option<Word>,
    /// The file of the key.
    pub private_key: Option<String>,
}

/// What a server does with TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ServerTlsMode {
    /// Passes it on by its SNI.
    #[default]
    Passthrough,
    /// Ends it.
    Simple,
    /// Ends it and asks for the client's certificate.
    Mutual,
    /// Passes it on by SNI without rules (`outbound_.port_._.host`).
    AutoPassthrough,
    /// Ends it with the mesh's certificates.
    IstioMutual,
}

impl ServerTlsMode {
    /// Whether it ends TLS, so that requests can be seen.
    pub fn ends_tls(self) -> bool {
        matches!(self, Self::Simple | Self::Mutual | Self::IstioMutual)
    }
}

impl Server {
    /// Whether it sees requests: HTTP, or HTTPS whose TLS it ends.
    pub fn is_http(&self) -> bool {
        let ends = self.tls.as_ref().is_some_and(|tls| tls.mode.ends_tls());
        match self.protocol.as_str() {
            "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" | "HTTP_PROXY" => true,
            "HTTPS" => ends,
            _ => false,
        }
    }

    /// Whether clients must speak TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.protocol.as_str(), "HTTPS" | "TLS")
    }
}

const PROTOCOLS: [&str; 10] =
    ["HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TCP", "TLS", "MONGO", "MYSQL", "REDIS"];

impl Gateway {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let selector_at = reader.at_field("selector");
        let selector = reader.labels("selector");
        let servers = reader.list("servers", Server::read);
        if servers.is_empty() {
            reader.problem(reader.at(), "gateway must have at least one server", "");
        }
        for (index, server) in servers.iter().enumerate() {
            let same = |other: &&Server| {
                other.port == server.port && other.port != 0 && other.protocol != server.protocol
            };
            if let Some(other) = servers[..index].iter().find(same) {
                let what = format!(
                    "port {} has protocol {} here and {} before",
                    server.port, server.protocol, other.protocol
                );
                reader.warning(server.port_at, what, "servers of one port need one protocol");
            }
        }
        Self { head, selector, selector_at, servers }
    }
}

impl Server {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        reader.ignore(&["bind"], "addresses of listeners are not simulated");
        reader.pass(&["name", "defaultEndpoint"]);
        let mut server =
            Self { at: reader.at(), port_at: reader.at_field("port"), ..Self::default() };
        let port = reader.map("port", |port| {
            port.pass(&["targetPort"]);
            let name = port.text("name");
            if name.is_none_or(|name| name.is_empty()) {
                port.missing("name");
            }
            let number = port.port("number");
            if number.is_none() && !port.has("number") {
                port.missing("number");
            }
            let protocol = port.word("protocol");
            if protocol.is_none() {
                port.missing("protocol");
            }
            if let Some(word) = &protocol {
                let upper = word.text.to_ascii_uppercase();
                if !PROTOCOLS.contains(&upper.as_str()) && upper != "HTTP_PROXY" {
                    let what = format!("`{}` is no protocol", word.text);
                    port.problem(word.at, what, "HTTP, HTTPS, HTTP2, GRPC, TCP, TLS, MONGO");
                }
            }
            (number.unwrap_or(0), protocol.map(|word| word.text.to_ascii_uppercase()))
        });
        match port {
            Some((number, protocol)) => {
                server.port = number;
                server.protocol = protocol.unwrap_or_default();
            }
            None => reader.missing("port"),
        }
        server.hosts = reader.words("hosts");
        if server.hosts.is_empty() {
            let what = "server config must contain at least one host";
            reader.problem(reader.at(), what, "`*` is all hosts");
        }
        for word in &server.hosts {
            server_host(reader, word);
        }
        server.tls = reader.map("tls", ServerTls::read);
        server.check_tls(reader);
        server
    }

    fn check_tls(&self, reader: &mut Reader<'_, '_>) {
        if self.is_tls() && self.tls.is_none() {
            let what = format!("server must have TLS settings for {} protocol", self.protocol);
            reader.problem(self.at, what, "tls: {mode: SIMPLE, credentialName: …}");
        }
        let Some(tls) = &self.tls else { return };
        if tls.https_redirect && self.protocol == "TLS" {
            reader.problem(tls.at, "tls.httpsRedirect should only be used with http servers", "");
        }
        if !self.is_tls() && !tls.https_redirect && !tls.mode.ends_tls() && self.is_http() {
            let what = "TLS settings of a plain HTTP server have no effect";
            reader.warning(tls.at, what, "protocol: HTTPS");
        }
    }
}

/// `host`, `namespace/host`, `./host` or `*/host`.
fn server_host(reader: &mut Reader<'_, '_>, word: &Word) {
    let (namespace, host) = word.text.split_once('/').unwrap_or(("*", &word.text));
    let namespace_fits = matches!(namespace, "*" | ".") || check::is_label(namespace);
    let address = host.parse::<std::net::IpAddr>().is_ok();
    if !namespace_fits || !(check::is_wildcard_domain(host) || address) {
        let what = format!("`{}` is no host of a gateway", word.text);
        reader.problem(word.at, what, "`host`, `namespace/host`, `./host`; `*` first label only");
    }
}

impl ServerTls {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        let modes = [
            ("PASSTHROUGH", ServerTlsMode::Passthrough),
            ("SIMPLE", ServerTlsMode::Simple),
            ("MUTUAL", ServerTlsMode::Mutual),
            ("OPTIONAL_MUTUAL", ServerTlsMode::Mutual),
            ("AUTO_PASSTHROUGH", ServerTlsMode::AutoPassthrough),
            ("ISTIO_MUTUAL", ServerTlsMode::IstioMutual),
        ];
        let mode = reader.one_of("mode", &modes).unwrap_or_default();
        let filled = |word: Option<Word>| word.filter(|word| !word.text.is_empty());
        let tls = Self {
            at: reader.at(),
            https_redirect: reader.bool("httpsRedirect").unwrap_or(false),
            mode,
            credential: filled(reader.word("credentialName")),
            server_certificate: filled(reader.word("serverCertificate")),
            private_key: reader.text("privateKey").filter(|text| !text.is_empty()),
        };
        let ca = reader.text("caCertificates").filter(|text| !text.is_empty());
        reader.pass(&[
            "subjectAltNames",
            "credentialNames",
            "tlsCertificates",
            "caCertCredentialName",
        ]);
        let ignored = [
            "minProtocolVersion",
            "maxProtocolVersion",
            "cipherSuites",
            "verifyCertificateSpki",
            "verifyCertificateHash",
            "caCrl",
        ];
        reader.ignore(&ignored, "details of TLS handshakes with outside clients");
        let several = reader.has("credentialNames") || reader.has("tlsCertificates");
        let secret = tls.credential.is_some() || several;
        let needs = matches!(mode, ServerTlsMode::Simple | ServerTlsMode::Mutual);
        if needs && !secret {
            if tls.server_certificate.is_none() {
                reader.problem(
                    tls.at,
                    "SIMPLE TLS requires a server certificate",
                    "credentialName",
                );
            }
            if tls.private_key.is_none() {
                reader.problem(tls.at, "SIMPLE TLS requires a private key", "credentialName");
            }
            if mode == ServerTlsMode::Mutual && ca.is_none() {
                let what = "MUTUAL TLS requires a client CA bundle";
                reader.problem(tls.at, what, "caCertificates or credentialName");
            }
        }
        if mode == ServerTlsMode::IstioMutual && (secret || tls.server_certificate.is_some()) {
            reader.problem(tls.at, "ISTIO_MUTUAL TLS cannot have associated certificates", "");
        }
        tls
    }
}
