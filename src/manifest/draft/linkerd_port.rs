//! What is spoken with a service in a mesh of Linkerd: `app_protocol`.
//!
//! A service of a scenario has one port. It is the first whose requests Linkerd sees, else the first. An `appProtocol`
//! decides, then opaque ports, then what a name, a `GRPCRoute` or a Server tells; the rest is HTTP/1.
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index.rs` (`appProtocol`, opaque ports); Linkerd does
//! not read names of ports, and finds out by the first bytes what their apps speak.
//! Left out: other ports than that one (named); whether an app that speaks TLS is seen by its server name.

use super::linkerd::{Called, Part};
use crate::manifest::draft::value::Value;
use crate::manifest::kubernetes::service::{self, Protocol, Service};
use crate::manifest::linkerd::routes::Parent;
use crate::manifest::linkerd::server::ProxyProtocol;
use crate::manifest::linkerd::share;
use crate::manifest::linkerd::status::Kind;
use crate::manifest::source::At;

/// Names of ports behind which servers speak first.
const SERVER_FIRST: &[&str] = &["mysql", "mariadb", "smtp", "ftp", "imap", "pop3", "ssh"];

/// A port and what is spoken there.
#[derive(Clone, Copy)]
pub(super) struct Port<'l> {
    /// The Service's port.
    pub(super) of: &'l service::Port,
    /// The word of `app_protocol`; none for HTTP/1, which is the default.
    pub(super) word: Option<&'static str>,
    /// Where that is told.
    pub(super) at: At,
    /// Whether a `GRPCRoute` is bound to it.
    pub(super) has_grpc_route: bool,
}

impl Port<'_> {
    /// Whether proxies see requests.
    pub(super) fn is_http(&self) -> bool {
        matches!(self.word, None | Some("http2" | "grpc"))
    }
}

impl<'l> Part<'_, 'l> {
    /// The port that a service of a scenario has.
    pub(super) fn port(&mut self, service: &'l Service) -> Option<Port<'l>> {
        let ports = service.ports.iter().filter(|port| port.is_tcp);
        let all: Vec<Port<'l>> = ports.map(|port| self.spoken(service, port)).collect();
        let first = all.iter().find(|port| port.is_http()).or_else(|| all.first()).copied()?;
        for other in all.iter().filter(|other| other.of.number != first.of.number) {
            // Of ports that differ by name Kubernetes' part has told.
            let is_new = other.of.protocol == first.of.protocol;
            if is_new && other.word != first.word {
                let why = "a service has one port here: the first whose requests Linkerd sees";
                self.draft.ignore("Service.spec.ports", other.of.at, why);
            }
        }
        Some(first)
    }

    /// Sets `app_protocol`, where it is not the default.
    pub(super) fn speak(&mut self, called: &Called<'l>) {
        if let Some(word) = called.port.word {
            self.set(called, "app_protocol", Value::text(word).at(called.port.at));
        }
    }

    fn spoken(&self, service: &Service, port: &'l service::Port) -> Port<'l> {
        let grpc = self.grpc_route(service, port);
        let of = |word, at| Port { of: port, word, at, has_grpc_route: grpc.is_some() };
        let by_name = Protocol::of(None, &port.name);
        if let Some(word) = &port.app_protocol {
            return match word.text.to_ascii_lowercase().as_str() {
                "http" => of(None, word.at),
                "kubernetes.io/h2c" if grpc.is_some() || by_name == Protocol::Grpc => {
                    of(Some("grpc"), grpc.unwrap_or(word.at))
                }
                "kubernetes.io/h2c" => of(Some("http2"), word.at),
                _ => of(Some("opaque"), word.at),
            };
        }
        if let Some(at) = self.loaded.linkerd.opaque(service, port.number) {
            return of(Some("opaque"), at.unwrap_or(port.at));
        }
        if let Some(at) = grpc {
            return of(Some("grpc"), at);
        }
        if let Some(at) = self.tcp_route(service, port) {
            return of(Some(if speaks_first(&port.name) { "server-first" } else { "tcp" }), at);
        }
        match by_name {
            Protocol::Grpc => of(Some("grpc"), port.at),
            Protocol::Http2 => of(Some("http2"), port.at),
            Protocol::Tls => of(Some("tcp"), port.at),
            Protocol::Tcp if !speaks_first(&port.name) => of(Some("tcp"), port.at),
            Protocol::Unknown if !speaks_first(&port.name) => {
                let (word, at) = self.by_server(service, port);
                of(word, at)
            }
            Protocol::Tcp | Protocol::Unknown => of(Some("server-first"), port.at),
            Protocol::Http1 | Protocol::WebSocket | Protocol::Udp => of(None, port.at),
        }
    }

    /// Where a `GRPCRoute` is bound to a port.
    fn grpc_route(&self, service: &Service, port: &service::Port) -> Option<At> {
        let linkerd = &self.loaded.linkerd;
        let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
        let mut routes = linkerd.routes.http.iter();
        let bound = routes.find(|route| {
            let parent = route.bound(Parent::Service, namespace, name, port.number);
            let accepted = parent.and_then(|parent| {
                linkerd.accepts(&self.loaded.cluster, Kind::Grpc, &route.group, parent)
            });
            route.kind() == Kind::Grpc
                && route.dropped.is_none()
                && accepted.is_some_and(|condition| condition.is_true)
        });
        bound.map(|route| route.route.at)
    }

    /// Where a `TCPRoute` is bound to a port that has no other routes: its connections are bytes then.
    fn tcp_route(&self, service: &Service, port: &service::Port) -> Option<At> {
        let linkerd = &self.loaded.linkerd;
        let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
        let mut routes = linkerd.routes.layer4.iter().filter(|route| !route.is_tls);
        let bound = routes.find(|route| {
            let parent = share::bound_at(route, Parent::Service, namespace, name, port.number);
            let accepted = parent
                .and_then(|parent| linkerd.accepts(&self.loaded.cluster, Kind::Tcp, "", parent));
            accepted.is_some_and(|condition| condition.is_true)
        });
        bound.map(|route| route.at)
    }

    /// What the Server of a port says that nothing else tells of.
    fn by_server(&self, service: &Service, port: &service::Port) -> (Option<&'static str>, At) {
        let workloads = self.loaded.cluster.workloads_of(service);
        let servers = workloads.iter().filter_map(|workload| {
            let number = workload.port_number(&port.target)?;
            self.loaded.linkerd.servers_of(workload, number).into_iter().next()
        });
        let Some(server) = servers.into_iter().next() else { return (None, port.at) };
        let word = match server.protocol {
            ProxyProtocol::Grpc => Some("grpc"),
            ProxyProtocol::Http2 => Some("http2"),
            ProxyProtocol::Opaque => Some("opaque"),
            ProxyProtocol::Tls => Some("tcp"),
            ProxyProtocol::Http1 | ProxyProtocol::Unknown => None,
        };
        (word, server.at)
    }
}

fn speaks_first(name: &str) -> bool {
    let first = name.split('-').next().unwrap_or_default();
    SERVER_FIRST.iter().any(|known| first.eq_ignore_ascii_case(known))
}
