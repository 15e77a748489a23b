//! Where a client's proxy sends a request: the ladder of rules, from the outside in.
//!
//! No proxy, or a skipped port: no rule at all. A name of no Service: [`super::egress`]. A port that the
//! Service lacks: refused. Opaque ports: TCP routes only. A `ServiceProfile` (or a `TrafficSplit`, which
//! becomes one): it wins over all routes. Then gRPC routes, which hide HTTP routes, which hide TLS
//! routes, which hide TCP routes; a Service with routes of which none takes the request answers 404.
//! Source: linkerd2 `policy-controller/grpc/src/outbound.rs` (`to_proto`, `undefined_port`); linkerd2-proxy
//! `app/outbound/src/sidecar.rs`, `opaq.rs` (`should_override_opaq_policy`: destinations count for bytes);
//! `controller/api/destination/server.go` (profiles), linkerd2-proxy `linkerd/app/outbound/src`.
//! Left out: a port in `l5d-dst-override` (the called one counts); the control plane's outage; a proxy
//! whose discovery has not answered yet. A status of 0 stands for a closed connection.

use crate::manifest::gateway_api::layer4::Layer4Route;
use crate::manifest::gateway_api::parent::ParentRef;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::service::{Port, Service, ServiceKind};
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::caller::Caller;
use crate::manifest::linkerd::matching;
use crate::manifest::linkerd::profiled;
use crate::manifest::linkerd::routes::{Parent, RouteOf};
use crate::manifest::linkerd::share::{self, Target};
use crate::manifest::linkerd::status::Kind;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Query, Route};
use crate::manifest::source::{At, Sources};

/// A connection that is closed without an HTTP answer.
pub const CLOSED: u16 = 0;

/// A question with all that is needed to answer it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What Linkerd read.
    pub linkerd: &'a Linkerd,
    /// What Kubernetes has.
    pub cluster: &'a Cluster,
    /// Names of files.
    pub sources: &'a Sources,
    /// Who sends.
    pub caller: &'a Caller<'a>,
    /// What is sent.
    pub request: &'a Request,
}

/// Which routes of a parent count, by what is spoken on its port.
#[derive(Clone, Debug)]
pub enum Rules<'a> {
    /// HTTP or gRPC routes, maybe none.
    Http(Vec<&'a RouteOf>),
    /// TLS routes by server name.
    Tls(Vec<&'a Layer4Route>),
    /// TCP routes.
    Tcp(Vec<&'a Layer4Route>),
    /// None: opaque bytes go to the parent.
    Opaque,
}

/// Where a request goes in a Linkerd mesh.
pub fn route(linkerd: &Linkerd, cluster: &Cluster, sources: &Sources, query: &Query) -> Route {
    let caller = Caller::of(linkerd, cluster, &query.from);
    let asked = Asked { linkerd, cluster, sources, caller: &caller, request: &query.request };
    let mut route = asked.route();
    route.why.splice(0..0, caller.why(&asked));
    route
}

impl<'a> Asked<'a> {
    /// `file:line`.
    pub fn place(&self, at: At) -> String {
        self.sources.short(at)
    }

    fn route(&self) -> Route {
        let named = self.caller.named_host(self.request);
        let host = named.as_deref().unwrap_or(&self.request.host);
        let Some((namespace, name)) = self.caller.service_name(self.linkerd, self.cluster, host)
        else {
            return self.outside(host);
        };
        let Some(service) = self.cluster.service(&namespace, &name) else {
            let why = format!("there is no Service {namespace}/{name}: its name does not resolve");
            return Route::direct(CLOSED, "", why);
        };
        self.of_service(service)
    }

    fn outside(&self, host: &str) -> Route {
        if self.caller.bypass(self.request.port).is_some() {
            return share::external(self, host, self.request.port, "");
        }
        super::outside::route(self, host)
    }

    fn of_service(&self, service: &'a Service) -> Route {
        if service.kind == ServiceKind::ExternalName {
            let host = service.external_name.clone().unwrap_or_default();
            let step = format!("Service {}/{} stands for {host}", service.namespace, service.name);
            return self.outside(&host).because(step);
        }
        let Some(port) = service.port(self.request.port) else {
            return self.undefined_port(service);
        };
        if let Some(step) = self.caller.bypass(port.number) {
            return self.default_route(service, port).because(step);
        }
        if service.is_headless {
            let step = "the Service is headless: clients connect to pods, where neither routes nor \
                        a ServiceProfile nor the Service's annotations count";
            return self.default_route(service, port).because(step);
        }
        let rules = self.rules(service, port);
        let is_tls = self.request.scheme == "https";
        let mut route = match rules {
            Rules::Opaque => {
                self.by_bytes(service, port, &[]).because(self.opaque_step(service, port))
            }
            Rules::Tcp(routes) => self.by_bytes(service, port, &routes),
            Rules::Tls(routes) if is_tls => self.by_tls(service, port, &routes),
            Rules::Tls(_) => self.default_route(service, port),
            Rules::Http(_) if is_tls => self
                .by_bytes(service, port, &[])
                .because("the app speaks TLS itself: the proxy passes its bytes on unread"),
            Rules::Http(routes) => self.by_http(service, port, &routes),
        };
        self.note_breaking(service, &mut route);
        route
    }

    fn undefined_port(&self, service: &Service) -> Route {
        let numbers: Vec<String> =
            service.ports.iter().map(|port| port.number.to_string()).collect();
        let (port, ports) = (self.request.port, numbers.join(", "));
        let what = format!("Service {} has no port {port} (only {ports})", service.name);
        let mut route = Route::direct(CLOSED, "", what);
        route.why.push("the proxy refuses connections to ports that a Service lacks".to_owned());
        route
    }

    // ---- which rules count ----

    fn is_for_caller(&self, route_namespace: &str, service: &Service) -> bool {
        route_namespace == service.namespace || route_namespace == self.caller.namespace
    }

    /// The HTTP or gRPC routes that count for this client, in their order.
    fn http_routes(&self, service: &Service, port: &Port, kind: Kind) -> Vec<&'a RouteOf> {
        let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
        let bound = |route: &&RouteOf| {
            let parent = route.bound(Parent::Service, namespace, name, port.number);
            route.kind() == kind
                && route.dropped.is_none()
                && self.is_for_caller(&route.route.namespace, service)
                && parent.is_some_and(|parent| self.accepts(kind, &route.group, parent))
        };
        self.linkerd.routes.http.iter().filter(bound).collect()
    }

    fn layer4_routes(&self, service: &Service, port: &Port, kind: Kind) -> Vec<&'a Layer4Route> {
        let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
        let bound = |route: &&Layer4Route| {
            let parent = share::bound_at(route, Parent::Service, namespace, name, port.number);
            route.is_tls == (kind == Kind::Tls)
                && self.is_for_caller(&route.namespace, service)
                && parent.is_some_and(|parent| self.accepts(kind, "", parent))
        };
        self.linkerd.routes.layer4.iter().filter(bound).collect()
    }

    /// Whether the policy controller accepts a route at a parent.
    pub fn accepts(&self, kind: Kind, group: &str, parent: &ParentRef) -> bool {
        let condition = self.linkerd.accepts(self.cluster, kind, group, parent);
        condition.is_some_and(|condition| condition.is_true)
    }

    /// The rules that count on a port for this client.
    pub fn rules(&self, service: &Service, port: &Port) -> Rules<'a> {
        let app = port.app_protocol.as_ref().map(|word| word.text.to_ascii_lowercase());
        let http = || Rules::Http(self.http_routes(service, port, Kind::Http));
        let grpc = || {
            Some(self.http_routes(service, port, Kind::Grpc)).filter(|routes| !routes.is_empty())
        };
        let layer4 = |kind| {
            Some(self.layer4_routes(service, port, kind)).filter(|routes| !routes.is_empty())
        };
        let opaque = || layer4(Kind::Tcp).map_or(Rules::Opaque, Rules::Tcp);
        match app.as_deref() {
            Some("http") => http(),
            Some("kubernetes.io/h2c") => grpc().map_or_else(http, Rules::Http),
            Some(_) => opaque(),
            None if self.linkerd.opaque(service, port.number).is_some() => opaque(),
            None => {
                if let Some(routes) = grpc() {
                    return Rules::Http(routes);
                }
                let routes = self.http_routes(service, port, Kind::Http);
                if !routes.is_empty() {
                    return Rules::Http(routes);
                }
                if let Some(routes) = layer4(Kind::Tls) {
                    return Rules::Tls(routes);
                }
                layer4(Kind::Tcp).map_or(Rules::Http(Vec::new()), Rules::Tcp)
            }
        }
    }

    fn opaque_step(&self, service: &Service, port: &Port) -> String {
        if let Some(word) = &port.app_protocol {
            let place = self.place(word.at);
            return format!("appProtocol {} is opaque bytes to Linkerd ({place})", word.text);
        }
        match self.linkerd.opaque(service, port.number).flatten() {
            Some(at) => format!("port {} is opaque ({})", port.number, self.place(at)),
            None => format!("port {} is one of Linkerd's default opaque ports", port.number),
        }
    }

    // ---- what each kind of rule does ----

    /// To the Service itself, as without any rule.
    fn default_route(&self, service: &Service, port: &Port) -> Route {
        let target = Target::to(service, port.number, 1, service.at);
        share::split(self, &[target], self.request)
    }

    /// Bytes: the destinations of a profile or split, else the first TCP route, else the Service. A
    /// profile that has only routes does not count here.
    fn by_bytes(&self, service: &Service, port: &Port, routes: &[&Layer4Route]) -> Route {
        if let Some(won) = profiled::won(self, service, port).filter(|won| !won.targets.is_empty())
        {
            return profiled::route(self, &won, service, port, &[]);
        }
        let Some(route) = routes.first() else { return self.default_route(service, port) };
        share::by_layer4(self, route, &service.namespace)
            .because("bytes: the first TCPRoute takes them all")
    }

    fn by_tls(&self, service: &Service, port: &Port, routes: &[&Layer4Route]) -> Route {
        let best = share::by_server_name(routes, &self.request.authority);
        if let Some(route) = best {
            return share::by_layer4(self, route, &service.namespace);
        }
        let (name, number) = (&self.request.authority, port.number);
        let what = format!("no TLSRoute of {}:{number} is for {name}", service.name);
        Route::direct(CLOSED, "", what)
    }

    fn by_http(&self, service: &'a Service, port: &Port, routes: &[&'a RouteOf]) -> Route {
        if let Some(won) = profiled::won(self, service, port) {
            return profiled::route(self, &won, service, port, routes);
        }
        if routes.is_empty() {
            let mut route = self.default_route(service, port).because("no route is bound to it");
            self.apply_service_policy(service, &mut route);
            return route;
        }
        let settings = &self.linkerd.settings;
        let Some(taken) = matching::find(routes, self.request, settings.method_before_headers)
        else {
            let titles: Vec<String> = routes.iter().map(|route| route.title()).collect();
            let what = "no route of the Service takes the request";
            return Route::direct(404, "", what)
                .because(format!("bound are {}", titles.join(", ")));
        };
        super::routed::by_rule(self, taken, service, port)
    }

    /// Timeouts and retries that annotations of the Service give, where no route counts.
    pub fn apply_service_policy(&self, service: &Service, route: &mut Route) {
        let key = (service.namespace.clone(), service.name.clone());
        if let Some(policy) = self.linkerd.services.get(&key) {
            super::routed::apply_timeouts(self, &policy.timeouts, route);
            super::routed::apply_retry(self, policy.http_retry.as_ref(), route);
        }
    }

    /// Circuit breaking is the called Service's, whatever backend a route chooses.
    fn note_breaking(&self, service: &Service, route: &mut Route) {
        let key = (service.namespace.clone(), service.name.clone());
        let policy = self.linkerd.services.get(&key);
        if let Some(accrual) = policy.and_then(|policy| policy.accrual.as_ref()) {
            let (count, place) = (accrual.max_failures, self.place(accrual.at));
            route.notes.push(
                if route.rule.as_ref().is_some_and(|rule| share::is_profile(&rule.object)) {
                    format!("failure accrual ({place}) is ignored: a ServiceProfile counts")
                } else {
                    format!("an endpoint is taken out after {count} failures in a row ({place})")
                },
            );
        }
    }
}
